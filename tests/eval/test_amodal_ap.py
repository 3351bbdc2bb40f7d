"""Amodal AP against COCOeval with exchanged masks, areas and flags; what it cannot do by hand."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as mask_api
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from eval.amodal_ap import OCCLUSION_BINS, RATIO_RANGES, AmodalInstance, Part, amodal_ap, visible_ratios
from eval.errors import EvalError
from eval.evaluation import evaluate
from eval.parts import hidden_fractions, hidden_parts
from eval.protocols import protocol as find_protocol
from eval.protocols.protocol import Request
from eval.rle import Rle, areas

FIELDS = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar1", "ar10", "ar100")
SIDE = 110


def mask(picture: str) -> Rle:
    rows = [[c == "#" for c in row] for row in picture.split()]
    return encoded(np.array(rows))


def encoded(pixels: np.ndarray) -> Rle:
    rle = mask_api.encode(np.asfortranarray(pixels, np.uint8))
    return {"size": list(rle["size"]), "counts": rle["counts"].decode()}


class Oracle(COCOeval):
    """COCOeval that ignores the annotations with `hide`; it overwrites a flag `ignore` itself."""

    def _prepare(self) -> None:
        super()._prepare()
        for annotation in itertools.chain.from_iterable(self._gts.values()):
            annotation["ignore"] = annotation["ignore"] or annotation["hide"]


def official(truth: list[dict], found: list[dict], **params: Any) -> Oracle:
    """An oracle that has scored annotations and results, which need all fields but `ignore`."""
    both = []
    for side in (truth, found):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": i, "height": SIDE, "width": SIDE} for i in range(1, 5)],
            "categories": [{"id": i} for i in sorted({a["category_id"] for a in truth})],
            "annotations": [
                {"id": i, "iscrowd": 0, "hide": False} | annotation for i, annotation in enumerate(side, start=1)
            ],
        }
        with contextlib.redirect_stdout(io.StringIO()):
            coco.createIndex()
        both.append(coco)
    oracle = Oracle(*both, "segm")
    for name, value in params.items():
        setattr(oracle.params, name, value)
    with contextlib.redirect_stdout(io.StringIO()):
        oracle.evaluate()
        oracle.accumulate()
    return oracle


def mean(values: np.ndarray) -> float | None:
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else None


def nine(oracle: Oracle) -> list[float | None]:
    precision, recall = oracle.eval["precision"], oracle.eval["recall"]
    by_area = [mean(precision[..., a, -1]) for a in range(4)]
    by_limit = [mean(recall[..., 0, m]) for m in range(3)]
    return [by_area[0], mean(precision[0, ..., 0, -1]), mean(precision[5, ..., 0, -1]), *by_area[1:], *by_limit]


def instances(rng: np.random.Generator, count: int, truths: bool) -> list[AmodalInstance]:
    things = []
    for _ in range(count):
        top, left, height, width = (int(v) for v in (*rng.integers(0, 3, 2) * 5, *rng.integers(1, 5, 2) * 26))
        amodal, visible = np.zeros((SIDE, SIDE), bool), np.zeros((SIDE, SIDE), bool)
        amodal[top : top + height, left : left + width] = True
        visible[top : top + height, left : left + int(width * rng.choice([0, 0.5, 0.6, 0.75, 0.85, 1, 1]))] = True
        things.append(
            AmodalInstance(
                image_id=int(rng.integers(1, 5)),
                category_id=int(rng.integers(1, 3)),
                amodal=encoded(amodal),
                visible=encoded(visible),
                score=float(rng.choice([0.2, 0.5, 0.9])),
                iscrowd=bool(truths and rng.random() < 0.1),
                area=float(amodal.sum() * rng.choice([0.9, 1, 1.1])) if truths else None,
                visible_ratio=float(rng.choice([0.3, 0.6, 0.75, 0.8, 0.85, 0.9, 1, 1.1])) if truths else None,
            )
        )
    return things


def exchanged(things: list[AmodalInstance], part: Part, size: Callable[[AmodalInstance, Rle], float]) -> list[dict]:
    """Annotations in which the mask of a part takes the place of `segmentation`, without those of no hidden pixel."""
    amodal, visible = [t.amodal for t in things], [t.visible for t in things]
    masks = {"amodal": amodal, "visible": visible, "invisible": hidden_parts(amodal, visible)}[part]
    return [
        {
            "image_id": t.image_id,
            "category_id": t.category_id,
            "score": t.score,
            "iscrowd": int(t.iscrowd),
            "segmentation": dict(m),
            "area": size(t, m),
            "hide": hidden_fractions([t.amodal], [t.visible])[0] <= 0.3,
        }
        for t, m in zip(things, masks, strict=True)
        if part != "invisible" or areas([m])[0]
    ]


def pixels(thing: AmodalInstance, compared: Rle) -> float:
    return float(areas([compared])[0])


def stated(thing: AmodalInstance, compared: Rle) -> float:
    return thing.area if thing.area is not None else pixels(thing, compared)


def ratio(thing: AmodalInstance, compared: Rle) -> float:
    return thing.visible_ratio if thing.visible_ratio is not None else float(visible_ratios([thing])[0])


def assert_equal(ours: Any, expected: list[float | None]) -> None:
    for name, value in zip(FIELDS, expected, strict=True):
        assert (getattr(ours, name) is None) == (value is None), name
        assert getattr(ours, name) == (None if value is None else pytest.approx(value, abs=1e-12)), name


@pytest.fixture(params=range(3))
def scene(request: pytest.FixtureRequest) -> tuple[list[AmodalInstance], list[AmodalInstance]]:
    rng = np.random.default_rng(request.param)
    return instances(rng, 40, True), instances(rng, 120, False)


@pytest.mark.parametrize("part", ["amodal", "visible", "invisible"])
def test_coco_areas_equal_cocoeval_with_exchanged_masks(scene: tuple, part: Part) -> None:
    truth, found = scene
    size = pixels if part == "invisible" else stated
    raw = [annotation | {"hide": False} for annotation in exchanged(truth, part, size)]
    ours = amodal_ap(truth, found, part)
    assert ours.ap is not None and 0 < ours.ap < 1
    assert_equal(ours, nine(official(raw, exchanged(found, part, stated))))


@pytest.mark.parametrize("part", ["amodal", "visible"])
def test_vrsp_areas_equal_cocoeval_with_exchanged_areas_and_ranges(scene: tuple, part: Part) -> None:
    truth, found = scene
    raw = [annotation | {"hide": False} for annotation in exchanged(truth, part, ratio)]
    ranges = [list(span) for span in RATIO_RANGES]
    ours = amodal_ap(truth, found, part, "vrsp")
    assert_equal(ours, nine(official(raw, exchanged(found, part, ratio), areaRng=ranges)))
    assert ours.ap != amodal_ap(truth, found, part).ap, "objects with more visible than whole are left out"


@pytest.mark.parametrize("part", ["amodal", "visible", "invisible"])
def test_ap_on_occluded_equals_cocoeval_that_ignores_the_others(scene: tuple, part: Part) -> None:
    truth, found = scene
    oracle = official(exchanged(truth, part, stated), exchanged(found, part, stated))
    (occluded,) = amodal_ap(truth, found, part, occluded=0.3).ap_by_occlusion
    assert occluded == pytest.approx(mean(oracle.eval["precision"][..., 0, -1]), abs=1e-12)


WHOLE, OTHER = mask("###... ###... ......"), mask("...... ...### ...###")
SEEN, LITTLE = mask("##.... ##.... ......"), mask("#..... #..... ......")


def one(amodal: Rle = WHOLE, visible: Rle = WHOLE, **fields: Any) -> AmodalInstance:
    return AmodalInstance(image_id=1, category_id=1, amodal=amodal, visible=visible, **fields)


def test_each_part_is_compared_with_its_own() -> None:
    """Visible: 2 of 4 pixels, a match at IoU .50 alone. Invisible: 2 of 4 likewise."""
    truth, found = [one(visible=SEEN)], [one(visible=LITTLE)]
    assert amodal_ap(truth, found, "amodal").ap == pytest.approx(1)
    assert amodal_ap(truth, found, "visible").ap == pytest.approx(0.1)
    assert amodal_ap(truth, found, "invisible").ap50 == pytest.approx(1)
    assert amodal_ap(truth, found, "invisible").ap75 == 0


def test_nothing_hidden_is_nothing_to_find() -> None:
    truth, found = (
        [one(), one(OTHER, mask("...... ....## ....##"))],
        [one(score=0.9), one(OTHER, mask("...... ....## ....##"))],
    )
    assert amodal_ap(truth, found, "invisible").ap == pytest.approx(1)
    assert amodal_ap([one()], [one()], "invisible").ap is None


def test_occluded_is_more_than_the_threshold() -> None:
    half = one(visible=mask("###... ...... ......"))
    assert amodal_ap([half], [half], occluded=0.5).ap_by_occlusion == (None,)
    assert amodal_ap([half], [half], occluded=0.49).ap_by_occlusion == (pytest.approx(1),)


def test_a_detection_that_matches_an_object_in_the_open_is_not_wrong_among_the_occluded() -> None:
    truth = [one(), one(OTHER, mask("...... ...... ...###"))]
    found = [one(score=0.9), one(OTHER, OTHER, score=0.5)]
    assert amodal_ap(truth, found, occluded=0.15).ap_by_occlusion == (pytest.approx(1),)
    stray = [one(mask("...### ...... ......"), score=0.95), *found]
    assert amodal_ap(truth, stray, occluded=0.15).ap_by_occlusion == (pytest.approx(0.5),)


def test_visible_ratios_are_those_of_float32() -> None:
    three_of_five = one(mask("#####."), mask("###..."))
    assert visible_ratios([three_of_five]).tolist() == [0.6000000238418579], "so it is outside [0, .60] in VRSP"
    assert np.isnan(visible_ratios([one(mask("......"), mask("......"))])).all()


def test_an_object_without_the_mask_of_a_part_is_refused() -> None:
    with pytest.raises(ValueError, match=r"image 1 \(category 1\) has no visible mask"):
        amodal_ap([one()], [one(visible=None)], "invisible")


# The protocols, on files.


def write(folder: Path, gt: dict, pred: list[dict]) -> tuple[Path, Path]:
    paths = folder / "gt.json", folder / "pred.json"
    for path, content in zip(paths, (gt, pred), strict=True):
        path.write_text(json.dumps(content))
    return paths


def dataset(*annotations: dict[str, Any]) -> dict[str, Any]:
    return {
        "images": [{"id": 1, "width": 6, "height": 3}, {"id": 2, "width": 6, "height": 3}],
        "categories": [{"id": 4, "name": "car"}, {"id": 6, "name": "tram"}],
        "annotations": [{"id": i, "image_id": 1, "category_id": 4} | a for i, a in enumerate(annotations, start=1)],
    }


GROUND_TRUTHS = {
    "kins": [
        dataset({"segmentation": WHOLE, "inmodal_seg": SEEN}, {"segmentation": OTHER, "inmodal_seg": OTHER}),
        dataset({"a_segm": WHOLE, "i_segm": SEEN}, {"a_segm": OTHER, "i_segm": OTHER}),
    ],
    "cocoa_cls": [dataset({"segmentation": WHOLE, "visible_mask": SEEN}, {"segmentation": OTHER, "occlude_rate": 0})],
    "d2sa": [dataset({"segmentation": WHOLE, "visible_mask": SEEN}, {"segmentation": OTHER, "visible_mask": OTHER})],
}
CASES = [(name, gt) for name, gts in GROUND_TRUTHS.items() for gt in gts]


def result(amodal: Rle = WHOLE, **fields: Any) -> dict[str, Any]:
    return {"image_id": 1, "category_id": 4, "score": 0.5, "segmentation": amodal} | fields


@pytest.mark.parametrize(("protocol", "gt"), CASES)
def test_a_perfect_answer_scores_one_in_all_parts(tmp_path: Path, protocol: str, gt: dict) -> None:
    pred = [result(visible_segmentation=SEEN), result(OTHER, visible_segmentation=OTHER)]
    scores = evaluate(protocol, *write(tmp_path, gt, pred))
    assert (scores.protocol, scores.version) == (protocol, "pycocotools 2.0.11 COCOeval, masks exchanged")
    for part in ("amodal", "visible", "invisible"):
        assert scores.summary[f"{part}_AP"] == scores.overall[f"{part}_APs"] == pytest.approx(1), part
        assert scores.overall[f"{part}_APl"] is None, part
    assert scores.classes["car"]["visible_AP"] == pytest.approx(1)
    assert set(scores.classes["tram"].values()) == {None}, "a class that neither side has"
    assert scores.warnings == ()


def test_results_of_amodal_masks_alone_score_amodal_masks_alone(tmp_path: Path) -> None:
    gt = GROUND_TRUTHS["kins"][0]
    scores = evaluate("kins", *write(tmp_path, gt, [result()]), options={"occluded": "0.15"})
    assert scores.summary["amodal_AP"] == pytest.approx(51 / 101), "recall .5 is reached at 51 of 101 recalls"
    assert scores.summary["amodal_AP_occluded"] == pytest.approx(1)
    assert scores.warnings == ("pred.json has no masks to score as visible and invisible.",)
    lone = evaluate("kins", *write(tmp_path, gt, [result(SEEN)]), options={"segmentation": "visible"})
    assert (lone.overall["visible_AR1"], "amodal_AP" in lone.overall) == (0.5, False)


def test_where_nothing_is_hidden_the_invisible_part_has_no_number(tmp_path: Path) -> None:
    gt, pred = dataset({"a_segm": WHOLE, "i_segm": WHOLE}), [result(visible_segmentation=WHOLE)]
    scores = evaluate("kins", *write(tmp_path, gt, pred), options={"occluded": "0.15"})
    assert {value for name, value in scores.overall.items() if name.startswith("invisible")} == {None}
    assert (scores.summary["visible_AP"], scores.summary["visible_AP_occluded"]) == (pytest.approx(1), None)


def test_vrsp_names_its_ranges_and_takes_the_ratio_as_area(tmp_path: Path) -> None:
    """The first object is visible by .67, the second, by what its file states, by more than all of it."""
    first, second = {"segmentation": WHOLE, "inmodal_seg": SEEN}, {"segmentation": OTHER, "inmodal_seg": OTHER}
    gt = dataset(first, second | {"area": 5})
    pred = [result(area=0.7), result(OTHER, area=0.9)]
    scores = evaluate("kins", *write(tmp_path, gt, pred), options={"area": "vrsp"})
    assert scores.version.endswith("areas as in VRSP ff12329")
    assert [scores.overall[f"amodal_AP_visible{n}"] for n in (85, 75, 60)] == [pytest.approx(1), pytest.approx(1), None]
    assert scores.overall["amodal_AR100"] == 1, "the second object counts nowhere"
    assert "amodal_APs" not in scores.overall


def test_a_stated_rate_that_masks_deny_is_warned_of(tmp_path: Path) -> None:
    gt = dataset({"segmentation": WHOLE, "visible_mask": SEEN, "occlude_rate": 0.1})
    scores = evaluate("d2sa", *write(tmp_path, gt, []))
    assert scores.summary["amodal_AP"] == 0
    assert scores.warnings[0] == "pred.json has no results."
    assert scores.warnings[-1] == "gt.json: occlude_rate of 1 objects is not that of their masks."


@pytest.mark.parametrize(
    ("situation", "pred", "options", "message"),
    [
        ("some without visible mask", [result(), result(visible_mask=SEEN)], {}, "[0] has no visible mask, but others"),
        ("no ratio for vrsp", [result()], {"area": "vrsp"}, "[0].area is missing, but vrsp needs the visible ratio"),
        ("pixels for vrsp", [result(area=6)], {"area": "vrsp"}, "[0].area is 6, but vrsp needs"),
        ("an area that nobody uses", [], {"area": "kins"}, "Option area is 'kins', expected one of: coco, vrsp"),
        ("all are to be occluded", [], {"occluded": "1"}, "Option occluded is 1, expected a fraction below 1"),
        ("a class that is not there", [result(category_id=5)], {}, "[0].category_id is 5, but no category"),
    ],
)
def test_the_protocols_refuse(tmp_path: Path, situation: str, pred: list, options: dict, message: str) -> None:
    with pytest.raises(EvalError) as error:
        evaluate("kins", *write(tmp_path, GROUND_TRUTHS["kins"][0], pred), options=options)
    assert message in str(error.value), situation


def test_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EvalError, match="inmodal_seg is missing, expected the inmodal mask"):
        evaluate("kins", *write(tmp_path, GROUND_TRUTHS["d2sa"][0], []))


@pytest.mark.parametrize("area", ["coco", "vrsp"])
def test_verify_runs_cocoeval_and_finds_what_differs(tmp_path: Path, area: str) -> None:
    gt = dataset({"a_segm": WHOLE, "i_segm": SEEN}, {"a_segm": OTHER, "i_segm": OTHER, "category_id": 6})
    pred = [result(visible_segmentation=LITTLE), result(OTHER, visible_segmentation=OTHER, score=0.2)]
    paths = write(tmp_path, gt, pred)
    scores = evaluate("kins", *paths, options={"area": area})
    verify = find_protocol("kins").verify
    assert verify is not None
    request = Request(*paths, options={"area": area})
    assert verify(request, scores) < 1e-12
    other = dict(scores.overall) | {"visible_AP50": 0.25}
    assert verify(request, replace(scores, overall=other)) == pytest.approx(
        abs((scores.overall["visible_AP50"] or 0) - 0.25)
    )


# COCOA.


def cocoa_scene(seed: int) -> tuple[dict, list[dict], list[dict], list[dict]]:
    """A file, its results, and both for the oracle."""
    rng = np.random.default_rng(seed)
    truth, found = instances(rng, 40, True), instances(rng, 400, False)
    rates = rng.choice([0, 1e-5, 0.1, 0.25, 0.6], len(truth))
    stuff = rng.random(len(truth)) < 0.3
    annotations: list[dict[str, Any]] = [{"id": i, "image_id": i, "regions": []} for i in range(1, 5)]
    for thing, rate, is_stuff in zip(truth, rates, stuff, strict=True):
        regions = annotations[thing.image_id - 1]["regions"]
        fields = {"occlude_rate": float(rate), "isStuff": int(is_stuff), "order": len(regions) + 1}
        regions.append({"segmentation": thing.amodal, "visible_mask": thing.visible} | fields)
    gt = {"images": [{"id": i, "width": SIDE, "height": SIDE} for i in range(1, 5)], "annotations": annotations}
    pred = [
        {"image_id": f.image_id, "category_id": 44, "score": f.score, "segmentation": f.visible, "amodalMask": f.amodal}
        for f in found
    ]
    raw = [
        {"image_id": t.image_id, "category_id": 1, "area": 1, "segmentation": dict(t.amodal)}
        | {"rate": rate, "stuff": bool(is_stuff)}
        for t, rate, is_stuff in zip(truth, rates, stuff, strict=True)
    ]
    results = [
        {"image_id": f.image_id, "category_id": 1, "area": 1, "score": f.score, "segmentation": dict(f.visible)}
        for f in found
    ]
    return gt, pred, raw, results


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("limit", [100, 1000])
def test_cocoa_equals_cocoeval_without_classes_that_ignores_regions(tmp_path: Path, seed: int, limit: int) -> None:
    gt, pred, raw, results = cocoa_scene(seed)
    scores = evaluate("cocoa", *write(tmp_path, gt, pred), options={"max_detections": str(limit)})
    limits = [n for n in (1, 10, 100, 1000) if n <= limit]
    kinds: dict[str, Callable[[dict], bool]] = {
        "things": lambda region: region["stuff"],
        "stuff": lambda region: not region["stuff"],
        "all": lambda region: False,
    }
    for kind, ignored in kinds.items():
        for name, (low, high) in {"": (0, 1), **OCCLUSION_BINS}.items():
            annotations = [r | {"hide": ignored(r) or not low <= r["rate"] <= high} for r in raw]
            oracle = official(annotations, results, maxDets=limits, areaRng=[[0, 1e10]])
            suffix = f"_{name}" if name else ""
            expected = {f"AP{suffix}": mean(oracle.eval["precision"][..., -1])}
            recall = oracle.eval["recall"]
            expected |= {f"AR{n}": mean(recall[..., m]) for m, n in enumerate(limits) if not name}
            expected |= {f"AR{suffix}": mean(recall[..., -1])} if name else {}
            for metric, value in expected.items():
                assert scores.classes[kind][metric] == pytest.approx(value, abs=1e-12), (kind, metric)
    assert scores.summary == scores.classes["things"]
    assert ("AR1000" in scores.summary) == (limit == 1000)


def region(amodal: Rle, **fields: Any) -> dict[str, Any]:
    return {"segmentation": amodal, "occlude_rate": 0, "isStuff": 0, "order": 1} | fields


def cocoa_file(*regions: dict[str, Any]) -> dict[str, Any]:
    images = [{"id": i, "width": 6, "height": 3} for i in (1, 2)]
    return {"images": images, "annotations": [{"id": i, "image_id": i, "regions": list(regions)} for i in (1, 2)]}


def test_a_cocoa_image_without_results_has_found_nothing(tmp_path: Path) -> None:
    scores = evaluate("cocoa", *write(tmp_path, cocoa_file(region(WHOLE)), [result()]))
    assert (scores.summary["AR1000"], scores.summary["AR_none"], scores.summary["AR_heavy"]) == (0.5, 0.5, None)
    assert evaluate("cocoa", *write(tmp_path, cocoa_file(region(WHOLE)), [])).summary["AR1000"] == 0


def test_cocoa_masks_on_both_sides_are_options(tmp_path: Path) -> None:
    gt = cocoa_file(region(WHOLE, visible_mask=SEEN, occlude_rate=0.33))
    pred = [result(SEEN, amodal_mask=WHOLE, image_id=i) for i in (1, 2)]

    def recall(**options: str) -> Any:
        return evaluate("cocoa", *write(tmp_path, gt, pred), options=options).summary["AR1"]

    matched_to = np.linspace(0.5, 0.95, 10) <= 4 / 6
    assert recall() == pytest.approx(matched_to.mean()), "amodal truth, `segmentation` of the results, as in batchEval"
    assert recall(dt="amodal") == recall(gt="visible") == 1


def test_stuff_is_ignored_unless_asked_for(tmp_path: Path) -> None:
    paths = write(
        tmp_path, cocoa_file(region(WHOLE), region(OTHER, isStuff=1)), [result(OTHER), result(OTHER, image_id=2)]
    )
    assert evaluate("cocoa", *paths).summary["AR10"] == 0
    assert evaluate("cocoa", *paths, options={"regions": "stuff"}).summary["AR10"] == 1
    assert evaluate("cocoa", *paths, options={"regions": "all"}).summary["AR10"] == 0.5


def test_cocoa_refuses_results_of_other_images_and_without_the_mask(tmp_path: Path) -> None:
    with pytest.raises(EvalError, match=r"\[0\].image_id is 3, but no image has this id"):
        evaluate("cocoa", *write(tmp_path, cocoa_file(region(WHOLE)), [result(image_id=3)]))
    amodal_alone = [{"image_id": 1, "score": 1, "amodal_mask": WHOLE}]
    with pytest.raises(EvalError, match=r"\[0\].segmentation is missing .* choose the other with dt"):
        evaluate("cocoa", *write(tmp_path, cocoa_file(region(WHOLE)), amodal_alone))
