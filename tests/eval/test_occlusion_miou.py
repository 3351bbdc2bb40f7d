"""mIoU by occlusion level: which objects count, at which level, and what the means are over."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as mask_api

from eval.errors import EvalError
from eval.evaluation import evaluate
from eval.occlusion_miou import BAYESIAN, LEVELS, NO_LEVEL, ORM, LevelRules, counted, score_given_boxes
from eval.rle import Rle
from eval.scores import Scores

LOW = LevelRules(ORM.bounds, closed=False, min_height=0, height_of="visible")


def mask(picture: str) -> Rle:
    rows = [[c == "#" for c in row] for row in picture.split()]
    rle = mask_api.encode(np.asfortranarray(rows, np.uint8))
    return {"size": list(rle["size"]), "counts": rle["counts"].decode()}


WHOLE = mask("#####.. #####.. .......")  # 10 pixels
LEFT = {  # the first columns of it
    0: mask("....... ....... ......."),
    2: mask("#...... #...... ......."),
    4: mask("##..... ##..... ......."),
    8: mask("####... ####... ......."),
    10: WHOLE,
}
SHIFTED = mask(".#####. .#####. .......")  # IoU with WHOLE: 8 of 12


@dataclass(frozen=True)
class Thing:
    """A true object, or a prediction, whose boxes are those of its masks unless it says others."""

    amodal: Rle | None = field(default_factory=lambda: WHOLE)
    visible: Rle | None = field(default_factory=lambda: WHOLE)
    image_id: int = 1
    category_id: int | None = 1
    box: tuple[float, float, float, float] | None = None

    @property
    def amodal_box(self) -> tuple:
        return self.box or tuple(mask_api.toBbox(self.amodal).tolist())

    @property
    def visible_box(self) -> tuple:
        return self.box or tuple(mask_api.toBbox(self.visible).tolist())


@pytest.mark.parametrize(
    ("rules", "hidden", "level"),
    [
        (ORM, 0, 0),
        (ORM, 0.0099, 0),
        (ORM, 0.01, 1),
        (ORM, 0.2999, 1),
        (ORM, 0.30, 2),
        (ORM, 0.60, 3),
        (ORM, 0.8999, 3),
        (ORM, 0.90, 4),
        (ORM, 1, 4),
        (BAYESIAN, 0, 0),
        (BAYESIAN, 0.00005, NO_LEVEL),
        (BAYESIAN, 0.3, 1),
        (BAYESIAN, 0.30005, NO_LEVEL),
        (BAYESIAN, 0.6, 2),
        (BAYESIAN, 0.9, 3),
        (BAYESIAN, 0.9001, 4),
    ],
)
def test_levels_at_their_bounds(rules: LevelRules, hidden: float, level: int) -> None:
    assert rules.levels(np.array([hidden])).tolist() == [level]


def test_iou_of_every_mode_by_hand() -> None:
    """8 of 12 pixels of the whole, 4 of 4 of what is seen; hidden are 6, said to be hidden 8, both 4: 4 of 10."""
    scored = score_given_boxes([Thing(visible=LEFT[4])], [Thing(SHIFTED, mask(".#..... .#..... ......."))], LOW)
    assert scored.levels.tolist() == [3], "6 of 10 pixels are hidden"
    assert scored.values["amodal"].tolist() == [8 / 12]
    assert scored.values["visible"].tolist() == [2 / 4]
    hidden, guess = 6, 8
    assert scored.values["invisible"].tolist() == [6 / (hidden + guess - 6)]


def test_a_wrong_class_scores_nothing_and_no_class_was_given() -> None:
    things = [Thing(), Thing(), Thing()]
    scored = score_given_boxes(things, [Thing(), Thing(category_id=2), Thing(category_id=None)], LOW)
    assert scored.values["amodal"].tolist() == [1, 0, 1]


def test_means_are_over_objects_and_over_levels_and_the_last_level_is_in_none() -> None:
    visible = [LEFT[10], LEFT[10], LEFT[10], LEFT[4], mask("#...... ....... .......")]
    things = [Thing(visible=v) for v in visible]
    guesses = [Thing(), Thing(), Thing(SHIFTED), Thing(SHIFTED), Thing()]
    scores = score_given_boxes(things, guesses, LOW).scores()
    assert [scores[f"objects_{level}"] for level in LEVELS] == [3, 0, 0, 1, 1]
    level_0 = (1 + 1 + 8 / 12) / 3
    assert scores["amodal_L0"] == pytest.approx(level_0)
    assert (scores["amodal_L1"], scores["amodal_L3"], scores["amodal_L4"]) == (None, pytest.approx(8 / 12), 1)
    assert scores["amodal_mIoU"] == pytest.approx((3 * level_0 + 8 / 12) / 4)
    assert scores["amodal_mIoU_levels"] == pytest.approx((level_0 + 8 / 12) / 2)


def test_where_nothing_is_hidden_the_invisible_part_has_no_iou() -> None:
    things = [Thing(), Thing(visible=LEFT[8])]
    scores = score_given_boxes(things, things, LOW).scores()
    assert (scores["invisible_L0"], scores["invisible_L1"]) == (None, 1), "0/0 makes the level undefined, as in ORM"
    assert (scores["invisible_mIoU"], scores["invisible_mIoU_levels"]) == (1, 1)


def test_objects_without_a_visible_pixel_are_left_out() -> None:
    things = [Thing(visible=LEFT[0]), Thing()]
    assert score_given_boxes(things, things, LOW).levels.tolist() == [0]


def test_visible_pixels_outside_the_whole_are_no_hidden_part() -> None:
    thing = Thing(visible=mask("#####.. ####.## ......."))
    (level,) = score_given_boxes([thing], [thing], LOW).levels
    assert level == 1, "1 of 10 is hidden"


def test_a_missing_prediction_scores_nothing_and_masks_that_no_prediction_has_are_not_scored() -> None:
    things = [Thing(), Thing()]
    scored = score_given_boxes(things, [None, Thing(visible=None)], LOW)
    assert set(scored.values) == {"amodal"}
    assert scored.values["amodal"].tolist() == [0, 1]
    with pytest.raises(ValueError, match="found 1 for 2 objects"):
        score_given_boxes(things, [None], LOW)


def test_objects_count_by_class_height_and_image() -> None:
    things = [
        Thing(box=(0, 0, 9, 30)),
        Thing(box=(0, 0, 9, 29.9)),
        Thing(box=(0, 0, 9, 40), category_id=2),
        Thing(box=(0, 0, 9, 40), image_id=2),
        Thing(box=(0, 0, 0, 40), image_id=2),
        Thing(box=(0, 0, 0, 20), image_id=3),
        Thing(box=(0, 0, 9, 40), image_id=3),
    ]
    assert counted(things, ORM) == [0, 2, 6], "image 2 has an empty box; that of image 3 is too low to count"
    assert counted(things, ORM, {1}) == [0, 6]
    assert counted(things, BAYESIAN) == []


def reference(things: list[Thing], guesses: list[Thing], bounds: tuple) -> dict[tuple, float]:
    """ORM's rules once more, on arrays, object by object."""
    lists: dict[tuple, list[float]] = {}
    for thing, guess in zip(things, guesses, strict=True):
        a, v, pa, pv = (
            mask_api.decode(m).astype(bool) for m in (thing.amodal, thing.visible, guess.amodal, guess.visible)
        )
        if not v.any() or not a.any():
            continue
        rate = (a.sum() - (a & v).sum()) / a.sum()
        for low, high in bounds:
            if low <= rate < high:
                for mode, x, y in (("amodal", a, pa), ("visible", v, pv)):
                    iou = (x & y).sum() / (x | y).sum() * (thing.category_id == guess.category_id)
                    lists.setdefault((thing.category_id, mode, low), []).append(iou)
    return {key: float(np.mean(values)) for key, values in lists.items()}


@pytest.mark.parametrize("seed", range(3))
def test_random_objects_score_as_arrays_do(seed: int) -> None:
    rng = np.random.default_rng(seed)

    def thing() -> Thing:
        amodal = rng.random((9, 11)) < 0.6
        visible = amodal & (rng.random((9, 11)) < rng.choice([0, 0.1, 0.4, 0.8, 1]))
        pair = (mask(" ".join("".join(".#"[int(p)] for p in row) for row in m)) for m in (amodal, visible))
        return Thing(*pair, category_id=int(rng.integers(1, 3)))

    things, guesses = [thing() for _ in range(60)], [thing() for _ in range(60)]
    scored = score_given_boxes(things, guesses, LOW)
    expected = reference(things, guesses, ORM.bounds)
    assert len(expected) >= 12
    for (category, mode, low), value in expected.items():
        level = [bound[0] for bound in ORM.bounds].index(low)
        assert scored.of(category).scores()[f"{mode}_L{level}"] == pytest.approx(value, abs=1e-12)


# The protocol, on files.

KINS = {
    "images": [{"id": 1, "width": 7, "height": 3}],
    "categories": [{"id": 4, "name": "car"}, {"id": 5, "name": "van"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 4, "a_segm": WHOLE, "i_segm": WHOLE, "oco_id": 1, "ico_id": 1},
        {"id": 2, "image_id": 1, "category_id": 5, "a_segm": SHIFTED, "i_segm": LEFT[2], "oco_id": 1, "ico_id": 2},
        {"id": 3, "image_id": 1, "category_id": 4, "a_segm": WHOLE, "i_segm": LEFT[4], "oco_id": 1, "ico_id": 3},
    ],
}


def answer(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "image_id": 1,
        "annotation_id": number,
        "amodal_segmentation": WHOLE,
        "visible_segmentation": WHOLE,
    } | fields


def scores(folder: Path, gt: dict, pred: list[dict], **kwargs: Any) -> Scores:
    paths = folder / "gt.json", folder / "pred.json"
    for path, content in zip(paths, (gt, pred), strict=True):
        path.write_text(json.dumps(content))
    options = {"min_height": "0"} | kwargs.pop("options", {})
    return evaluate("occlusion_levels", *paths, options=options, **kwargs)


def test_the_protocol_reports_classes_and_all_means(tmp_path: Path) -> None:
    found = scores(tmp_path, KINS, [answer(1), answer(2), answer(3, visible_segmentation=LEFT[4])])
    assert set(found.classes) == {"car", "van"}
    assert (found.classes["car"]["amodal_mIoU"], found.classes["van"]["amodal_mIoU"]) == (1, None)
    assert found.classes["van"]["amodal_L4"] == pytest.approx(8 / 12), "nothing of the van is visible inside itself"
    assert found.overall["objects_L4"] == 1
    assert (found.summary["amodal_mIoU"], found.summary["visible_mIoU_classes"]) == (1, 1)
    assert "order_pairs" not in found.summary, "the results tell no order"


def test_order_is_scored_beside_its_baseline(tmp_path: Path) -> None:
    """True: 1 before 2 and 3, 2 before 3. Told: 1 before 2 and 3, 3 before 2."""
    pred = [answer(1, in_front_of=[2, 3]), answer(2, in_front_of=[]), answer(3, in_front_of=[2])]
    summary = scores(tmp_path, KINS, pred).summary
    assert (summary["order_pairs"], summary["order_coverage"]) == (3, 1)
    assert summary["order_accuracy"] == summary["order_accuracy_all_pairs"] == pytest.approx(2 / 3)
    assert summary["order_baseline"] == 0, "all end in the same row"


def test_classes_and_levels_are_options(tmp_path: Path) -> None:
    pred = [answer(1), answer(3)]
    found = scores(tmp_path, KINS, pred, options={"classes": "car", "levels": "bayesian"})
    assert (found.version, set(found.classes)) == ("Bayesian-Amodal run_experiment 0751b04", {"car"})
    assert [found.overall[f"objects_{level}"] for level in LEVELS] == [1, 0, 1, 0, 0]


def test_missing_answers_count_as_nothing_if_that_is_allowed(tmp_path: Path) -> None:
    found = scores(tmp_path, KINS, [answer(1)], allow_missing=True, options={"classes": "car"})
    assert found.summary["amodal_mIoU"] == 0.5
    assert found.warnings == ("pred.json has no answer for 1 objects, which count as 0.",)


@pytest.mark.parametrize(
    ("situation", "pred", "options", "message"),
    [
        ("an object without answer", [answer(1), answer(2)], {}, "pred.json has no answer for 1 of the 3 objects"),
        ("an answer twice", [answer(1), answer(1)], {}, "[1].annotation_id is 1, as that of [0]"),
        ("an answer to nothing", [answer(9)], {}, "[0].annotation_id is 9, which is no object of image 1"),
        ("no id", [answer(1, annotation_id=None)], {}, "[0].annotation_id is missing"),
        (
            "some without visible mask",
            [answer(1), answer(2, visible_segmentation=None), answer(3)],
            {},
            "gives 1 objects no visible mask, but others one",
        ),
        ("an unknown class", [], {"classes": "tram"}, "There is no class 'tram'. The classes: car, van."),
        ("objects all too low", [], {"min_height": "4"}, "gt.json has no object that counts"),
        ("a height that is none", [], {"min_height": "tall"}, "Option min_height is 'tall', expected a number"),
        ("levels that nobody uses", [], {"levels": "kins"}, "Option levels is 'kins', expected one of: orm, bayesian"),
        ("an option that does not exist", [], {"area": "coco"}, "has no option 'area'"),
    ],
)
def test_the_protocol_refuses(tmp_path: Path, situation: str, pred: list, options: dict, message: str) -> None:
    with pytest.raises(EvalError) as error:
        scores(tmp_path, KINS, pred, options=options)
    assert message in str(error.value), situation
