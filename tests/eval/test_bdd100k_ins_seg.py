"""BDD100K instance segmentation: the officials' own fixtures, their answers to random images, and what is refused.

Numbers of the officials come from scalabel 0.3.1, bdd100k 1.0.1 and pycocotools 2.0.11 (tools/oracles.sh), by
    python -m bdd100k.eval.run -t ins_seg -g gt.json -r pred.json --nproc 1 --out-file scores.json
    python -m bdd100k.eval.run -t ins_seg -g gt -r pred --score-file scores.json --nproc 1 --out-file scores.json
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_api

from eval.errors import RequestError, SchemaError
from eval.evaluation import evaluate
from eval.protocols.bdd100k_rules import CLASSES, VOCABULARY
from eval.protocols.coco import NAMES
from eval.scores import Scores

SHARED = Path(os.environ.get("VOS_OCC_DATA", Path(__file__).parents[2] / ".." / "shared"))
JSON = SHARED / "fixtures" / "scalabel_ins_seg"
BITMASK = SHARED / "fixtures" / "bdd100k_bitmask" / "ins_seg"
needs_json = pytest.mark.skipif(not JSON.exists(), reason=f"no fixture of scalabel at {JSON}")
needs_bitmask = pytest.mark.skipif(not BITMASK.exists(), reason=f"no fixture of bdd100k at {BITMASK}")

Frames = list[dict[str, Any]]


def expect(scores: Scores, summary: Mapping[str, float], ap: Mapping[str, float], tolerance: float = 1e-9) -> None:
    """Compare with the official numbers, in percent; of classes that are not listed there must be none."""
    for name, value in summary.items():
        expected = None if math.isnan(value) else pytest.approx(value / 100, abs=tolerance)
        assert scores.summary[name] == expected, name
    for name in CLASSES:
        value = ap.get(name, math.nan)
        expected = None if math.isnan(value) else pytest.approx(value / 100, abs=tolerance)
        assert scores.classes[name]["AP"] == expected, name


@needs_json
def test_scalabels_fixture() -> None:
    scores = evaluate("bdd100k_ins_seg", JSON / "ins_seg_rle_sample.json", JSON / "ins_seg_preds.json")
    expect(
        scores,
        {
            "AP": 48.77227722772277, "AP50": 86.73267326732673, "AP75": 36.83168316831682, "APs": 0,
            "APm": 53.399339933993396, "APl": 50.247524752475236, "AR1": 44.66666666666667, "AR10": 48.66666666666667,
            "AR100": 48.66666666666667, "ARs": 0, "ARm": 53.333333333333336, "ARl": 50,
        },
        {
            "pedestrian": 60.198019801980195, "rider": 49.99999999999999, "car": 33.66336633663366,
            "truck": 69.99999999999999, "bicycle": 29.999999999999993,
        },
    )  # fmt: skip
    assert scores.warnings == ()


@needs_json
def test_scalabels_fixture_without_predictions() -> None:
    scores = evaluate("bdd100k_ins_seg", JSON / "ins_seg_rle_sample.json", JSON / "ins_seg_preds_empty.json")
    assert scores.summary == dict.fromkeys(NAMES, 0)
    for name in CLASSES:
        assert scores.classes[name] == dict.fromkeys(NAMES, None if name in ("bus", "train", "motorcycle") else 0)


@needs_bitmask
def test_bdd100ks_bitmask_fixture() -> None:
    scores = evaluate("bdd100k_ins_seg_bitmask", BITMASK / "gt", BITMASK / "pred")
    nothing = dict.fromkeys(("APm", "APl", "ARm", "ARl"), math.nan)
    expect(
        scores,
        {
            "AP": 68.60561056105611, "AP50": 89.68646864686468, "AP75": 66.66666666666666, "APs": 68.60561056105611,
            "AR1": 65.83333333333333, "AR10": 70.83333333333333, "AR100": 70.83333333333333,
        } | nothing,
        {"pedestrian": 100, "rider": 90, "car": 15.816831683168317},
    )  # fmt: skip
    assert "scores of instances that the picture does not show" in scores.warnings[0]


# Random images of blocks: masks that halve or join others exactly, equal scores, crowds, regions to be ignored.

CELLS, PIXELS = 10, 24  # 240 x 240: from 1 block of 576 pixels, which is small, to 16 and more, which are large
KINDS = ("pedestrian", "car", "car", "bicycle", "truck")


def random_ids(rng: np.random.Generator, count: int) -> np.ndarray:
    """(CELLS, CELLS) the object in each cell, 0 for none; later ones cover earlier ones."""
    ids = np.zeros((CELLS, CELLS), np.int64)
    for number in range(1, count + 1):
        top, left = rng.integers(0, CELLS - 1, 2)
        height, width = rng.integers(1, 7, 2)
        ids[top : top + height, left : left + width] = number
    ids[-1, -1] = 0  # without background bdd100k's evaluator fails
    return ids


def predicted_ids(rng: np.random.Generator, truth: np.ndarray) -> np.ndarray:
    """Objects of the truth in pixels: joined, cut, split in two, moved, missing or as they are."""
    ids = truth.copy()
    for number in np.unique(truth[truth > 0]):
        own = np.argwhere(truth == number)
        change = rng.choice(["none", "join", "cut", "split", "miss"], p=[0.35, 0.2, 0.2, 0.15, 0.1])
        if change == "join":
            ids[truth == number] = rng.choice(truth[truth > 0])
        elif change != "none":
            part = own[: len(own) // 2] if change != "miss" else own
            ids[tuple(part.T)] = number + 20 if change == "split" else 0
    pixels = np.kron(ids, np.ones((PIXELS, PIXELS), np.int64))
    return np.roll(pixels, int(rng.choice([0, 0, 3, 8])), axis=int(rng.integers(2)))


def label(mask: np.ndarray, number: int, kind: str, score: float | None = None, **attributes: bool) -> dict[str, Any]:
    rle = mask_api.encode(np.asfortranarray(mask.astype(np.uint8)))
    written = {"size": list(mask.shape), "counts": rle["counts"].decode()}
    result = {"id": str(number), "category": kind, "rle": written, "attributes": attributes}
    return result if score is None else result | {"score": score}


def random_images(seed: int, images: int = 30) -> tuple[Frames, Frames]:
    rng = np.random.default_rng(seed)
    gt, pred = [], []
    for i in rng.permutation(images).tolist():
        ids = random_ids(rng, int(rng.integers(0, 9)))
        kinds = rng.choice([*KINDS, "other vehicle", "person", "bus"], 100)
        crowd, ignored = rng.random((2, 100)) < 0.15
        found = predicted_ids(rng, ids)
        truth = np.kron(ids, np.ones((PIXELS, PIXELS), np.int64))
        said = np.where(rng.random(100) < 0.15, rng.choice([*KINDS, "rider"], 100), kinds)
        scores = rng.choice([0.2, 0.5, 0.5, 0.9, 1], 100)
        labels = [
            label(truth == k, k, str(kinds[k]), crowd=bool(crowd[k]), ignored=bool(ignored[k]))
            for k in rng.permutation(np.unique(ids[ids > 0])).tolist()
        ]
        answers = [
            label(found == k, k, str(said[k % 20]), float(scores[k]), crowd=bool(rng.random() < 0.1))
            for k in rng.permutation(np.unique(found[found > 0])).tolist()
        ]
        gt.append({"name": f"{i:03d}.jpg", "labels": labels})
        pred.append({"name": f"{i:03d}.jpg", "labels": answers if answers or rng.random() < 0.5 else None})
    return gt, pred


def with_overlaps(pred: Frames) -> Frames:
    """In every fifth image that has any, the last label comes twice, with another class."""
    return [
        frame | {"labels": [*frame["labels"], frame["labels"][-1] | {"category": "train"}]}
        if k % 5 == 0 and frame["labels"]
        else frame
        for k, frame in enumerate(pred)
    ]


def write_json(folder: Path, **sides: Any) -> None:
    for name, frames in sides.items():
        (folder / f"{name}.json").write_text(json.dumps(frames))


def paint(folder: Path, frames: Frames, size: int = CELLS * PIXELS) -> None:
    """Bitmasks of frames; ids of instances as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    for frame in frames:
        picture = np.zeros((size, size, 4), np.uint8)
        for entry in frame["labels"] or []:
            kind, ignored = VOCABULARY.kinds()[entry["category"]]
            attributes, number = entry["attributes"], int(entry["id"])
            bits = (ignored or attributes.get("ignored", False)) + 2 * attributes.get("crowd", False)
            picture[mask_api.decode(entry["rle"]) > 0] = (kind + 1, bits, number >> 8, number & 255)
        Image.fromarray(picture).save(folder / frame["name"].replace(".jpg", ".png"))


def score_file(pred: Frames) -> Frames:
    """What bdd100k asks for beside bitmasks; an instance that no picture shows has a score too."""
    return [
        {
            "name": frame["name"],
            "labels": [{"index": int(entry["id"]), "score": entry["score"]} for entry in frame["labels"] or []]
            + [{"index": 999, "score": 0.7}],
        }
        for frame in pred
    ]


def write_bitmasks(folder: Path, gt: Frames, pred: Frames) -> None:
    paint(folder / "gt", gt)
    paint(folder / "pred", pred)
    write_json(folder, pred=score_file(pred))


def score_json(folder: Path, gt: Frames, pred: Frames, **options: Any) -> Scores:
    write_json(folder, gt=gt, pred=pred)
    return evaluate("bdd100k_ins_seg", folder / "gt.json", folder / "pred.json", **options)


def score_bitmask(folder: Path, gt: Frames, pred: Frames, scores: Frames | None = None, **options: Any) -> Scores:
    write_bitmasks(folder, gt, pred)
    if scores is not None:
        write_json(folder, pred=scores)
    return evaluate("bdd100k_ins_seg_bitmask", folder / "gt", folder / "pred", **options)


def test_random_images_score_as_by_scalabel(tmp_path: Path) -> None:
    """`random_images(3)` with overlaps, scored by the first command at the top of this file."""
    gt, pred = random_images(3)
    scores = score_json(tmp_path, gt, with_overlaps(pred))
    expect(
        scores,
        {
            "AP": 21.34158988484158, "AP50": 43.65887220590191, "AP75": 19.136020744931635, "APs": 27.722772277227726,
            "APm": 25.16187953960231, "APl": 36.465346534653456, "AR1": 25.331677018633535, "AR10": 32.40952380952381,
            "AR100": 32.40952380952381, "ARs": 27.500000000000004, "ARm": 33.46129426129426, "ARl": 38.33333333333333,
        },
        {
            "pedestrian": 23.270862800565773, "car": 28.265025186729197, "truck": 26.749174917491747,
            "bus": 20.059405940594058, "bicycle": 8.363480578827112,
        },
        1e-12,
    )  # fmt: skip
    assert len(scores.warnings) == 1 and "of 30 images predicted masks overlap" in scores.warnings[0]
    assert score_json(tmp_path, gt, with_overlaps(pred), workers=2, compat="official") == scores


def test_random_images_score_as_by_bdd100k(tmp_path: Path) -> None:
    """`random_images(3)`, scored by the second command at the top of this file."""
    gt, pred = random_images(3)
    scores = score_bitmask(tmp_path, gt, pred)
    expect(
        scores,
        {
            "AP": 23.980722551514226, "AP50": 48.7084513520117, "AP75": 21.651365136513647, "APs": 27.722772277227726,
            "APm": 26.219955990427746, "APl": 46.703960396039605, "AR1": 30.874470457079152, "AR10": 38.203790412486065,
            "AR100": 38.203790412486065, "ARs": 27.500000000000004, "ARm": 37.72733915700668, "ARl": 54.333333333333336,
        },
        {
            "pedestrian": 23.156972840141155, "car": 27.21079442919661, "truck": 27.30896166539731,
            "bus": 34.074728901461576, "bicycle": 8.15215492137449,
        },
        1e-12,
    )  # fmt: skip
    assert score_bitmask(tmp_path, gt, pred, workers=2, compat="official") == scores


# One image of bars of cars. Official AP and AR1 in percent, by the commands at the top of this file.


def bar(number: int, top: int, bottom: int, score: float | None = None, **attributes: bool) -> dict[str, Any]:
    mask = np.zeros((240, 240))
    mask[top:bottom, :40] = 1
    return label(mask, number, "car", score, **attributes)


WHOLE = [bar(1, 0, 40, 0.5)]
HALVES = [bar(1, 0, 20, 0.5), bar(2, 20, 40, 0.6)]
FAR = bar(2, 100, 120)
MATCHING: dict[str, tuple[list, list, tuple[float, float], tuple[float, float]]] = {
    "of two equal IoUs the first counts, if it is to be ignored too": (
        [bar(1, 0, 20, ignored=True), bar(2, 20, 40)], WHOLE, (10, 10), (0, 0),
    ),
    "of two equal IoUs the first counts": (
        [bar(1, 0, 20), bar(2, 20, 40, ignored=True)], WHOLE, (10, 10), (10, 10),
    ),
    "a crowd is found by both halves": ([bar(1, 0, 40, crowd=True), FAR], HALVES, (0, 0), (10, 5)),
    "what is to be ignored is taken once": ([bar(1, 0, 40, ignored=True), FAR], HALVES, (0, 0), (0, 0)),
    "a part of an ignored crowd is wrong": (
        [bar(1, 0, 80, crowd=True, ignored=True), FAR], [*HALVES, bar(3, 100, 120, 0.4)],
        (99.99999999999997, 0), (33.33333333333333, 0),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MATCHING)
def test_the_two_evaluators_match_in_different_ways(case: str, tmp_path: Path) -> None:
    truth, found, by_scalabel, by_bdd100k = MATCHING[case]
    files = [[{"name": "0.jpg", "labels": labels}] for labels in (truth, found)]
    for scores, official in (
        (score_json(tmp_path, *files), by_scalabel),
        (score_bitmask(tmp_path, *files), by_bdd100k),
    ):
        expected = [pytest.approx(value / 100, abs=1e-12) for value in official]
        assert [scores.summary["AP"], scores.summary["AR1"]] == expected


# Odd input. Official AP in percent, by the commands at the top of this file, where these give one.

GT, PRED = random_images(5, 8)
NO_LABELS = [frame | {"labels": None} for frame in PRED]


def of_video(name: str, frames: Frames) -> Frames:
    return [frame | {"videoName": name} for frame in frames]


SHIFTED = [frame | {"labels": PRED[(i + 1) % 8]["labels"]} for i, frame in enumerate(PRED)]
ODD_JSON: dict[str, tuple[Frames, Frames, float, str]] = {
    "missing images": (GT, PRED[:5], 7.734853842527109, r"lacks 3 of 8 images: 000\.jpg, 005\.jpg, 006\.jpg"),
    "images too many": (GT[:5], PRED, 13.37606082036775, r"does not have: 000\.jpg, 005\.jpg, 006\.jpg\."),
    "an image twice": (GT, [*PRED, PRED[0] | {"labels": []}], 10.431400282885432, r"has image 001\.jpg twice"),
    "a true image twice": ([*GT, GT[0]], PRED, 8.541816681668166, r"gt\.json' has image 001\.jpg twice"),
    "crowds alone": (
        [f | {"labels": [entry | {"attributes": {"crowd": True}} for entry in f["labels"]]} for f in GT], PRED,
        math.nan, "no object that counts",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ODD_JSON)
def test_odd_labels_are_refused_or_scored_as_by_scalabel(case: str, tmp_path: Path) -> None:
    gt, pred, official, message = ODD_JSON[case]
    with pytest.raises(SchemaError, match=message) as error:
        score_json(tmp_path, gt, pred)
    assert "\n" not in str(error.value)
    found = score_json(tmp_path, gt, pred, compat="official").summary["AP"]
    assert found == (None if math.isnan(official) else pytest.approx(official / 100, abs=1e-12))


def without_first(scores: Frames) -> Frames:
    return [frame | {"labels": frame["labels"][1:]} for frame in scores]


ODD_BITMASK: dict[str, tuple[Frames, Frames, Frames | None, float, str]] = {
    "pictures too many": (GT[:5], PRED, None, 33.57705770577057, r"does not have: 000\.png, 005\.png, 006\.png\."),
    "an instance without a score": (
        GT, PRED, without_first(score_file(PRED)), 27.658415841584162, r"have no score of instance 7, which .*000\.png",
    ),
    "an image with scores twice": (
        GT, PRED, [*score_file(PRED), PRED[0] | {"labels": None}], 27.63298758447273, r"has image 001\.png twice",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ODD_BITMASK)
def test_odd_bitmasks_are_refused_or_scored_as_by_bdd100k(case: str, tmp_path: Path) -> None:
    gt, pred, scores, official, message = ODD_BITMASK[case]
    with pytest.raises(SchemaError, match=message) as error:
        score_bitmask(tmp_path, gt, pred, scores)
    assert "\n" not in str(error.value)
    found = score_bitmask(tmp_path, gt, pred, scores, compat="official").summary["AP"]
    assert found == pytest.approx(official / 100, abs=1e-12)


def labelled(frames: Frames, **fields: Any) -> Frames:
    """The frames, with other fields in the first label of the first."""
    first = frames[0]
    return [first | {"labels": [first["labels"][0] | fields, *first["labels"][1:]]}, *frames[1:]]


SMALL = label(np.ones((20, 20)), 1, "car")["rle"]
REFUSED_JSON: dict[str, tuple[Frames, Frames, str]] = {
    "no score": (GT, labelled(PRED, score=None), r"^\[0\]\.labels\[0\]\.score is null, expected a finite number"),
    "NaN as score": (GT, labelled(PRED, score=math.nan), r"\[0\]\.labels\[0\]\.score is NaN"),
    "an unknown class": (GT, labelled(PRED, category="dog"), r'labels\[0\]\.category is "dog", expected one of'),
    "a mask of another size": (GT, labelled(PRED, rle=SMALL), r"rle\.size is \[20, 20\], but the masks"),
    "a broken mask": (
        GT, labelled(PRED, rle={"size": [240, 240], "counts": "0`"}), r"image 001\.jpg: the mask is cut off",
    ),
    "polygons as predictions": (GT, labelled(PRED, rle=None, poly2d=[]), r"poly2d is all there is of the mask"),
    "both run lengths and polygons": (labelled(GT, rle=None, poly2d=[]), PRED, "and labels with polygons alone"),
    "labels that are no list": (GT, [PRED[0] | {"labels": 3}, *PRED[1:]], r"labels"),
    "an image without a name": (GT, [{"labels": []}], r"\[0\]\.name is missing"),
    "what is no image": (GT, [3], r"\[0\] is 3, expected an object"),  # type: ignore[list-item]
    "no image at all": ([], PRED, "gt.json' has no frames"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED_JSON)
@pytest.mark.parametrize("compat", [None, "official"])
def test_labels_that_nobody_can_score_are_refused(case: str, compat: str | None, tmp_path: Path) -> None:
    gt, pred, message = REFUSED_JSON[case]
    with pytest.raises(SchemaError, match=message) as error:
        score_json(tmp_path, gt, pred, compat=compat)
    assert "\n" not in str(error.value)


def test_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    write_json(tmp_path, gt=GT, pred={"annotations": PRED})
    with pytest.raises(SchemaError, match="pred.json has no records in 'frames'. Is it a Scalabel file"):
        evaluate("bdd100k_ins_seg", tmp_path / "gt.json", tmp_path / "pred.json", allow_missing=True)


def many(rng: np.random.Generator, scored: bool) -> list[dict[str, Any]]:
    """150 bars, in random order where they have scores."""
    labels = []
    for k in rng.permutation(150).tolist() if scored else range(150):
        mask = np.zeros((240, 240))
        mask[k // 15 * 24 : k // 15 * 24 + 20, k % 15 * 16 : k % 15 * 16 + 12] = 1
        labels.append(label(mask, k + 1, "car", float(rng.choice([0.1, 0.5, 0.9])) if scored else None))
    return labels


def test_no_more_than_100_predictions_of_a_class_count(tmp_path: Path) -> None:
    truth, found = ([{"name": "0.jpg", "labels": many(np.random.default_rng(0), scored)}] for scored in (False, True))
    for scores in (score_json(tmp_path, truth, found), score_bitmask(tmp_path, truth, found)):
        assert scores.summary["AR100"] == pytest.approx(100 / 150)
    with pytest.raises(SchemaError, match="0.png has 150 objects; bdd100k's evaluator fails beyond 100"):
        score_bitmask(tmp_path, truth, found, compat="official")


@pytest.mark.parametrize("side", ["gt", "pred"])
def test_a_picture_without_background_counts_where_bdd100k_fails(side: str, tmp_path: Path) -> None:
    """bdd100k 1.0.1 ends with an IndexError."""
    part = np.ones((240, 240))
    part[:12] = 0
    masks = {"gt": part, "pred": part, side: np.ones((240, 240))}
    files = [[{"name": "0.jpg", "labels": [label(masks[name], 1, "car", 0.5)]}] for name in ("gt", "pred")]
    assert score_bitmask(tmp_path, *files).summary["AP50"] == pytest.approx(1)
    with pytest.raises(SchemaError, match=f"{side}/0.png has no background"):
        score_bitmask(tmp_path, *files, compat="official")


def test_a_missing_image_counts_as_empty_where_that_is_allowed(tmp_path: Path) -> None:
    scores = score_json(tmp_path, GT, PRED[:5], allow_missing=True)
    assert scores.summary["AP"] == pytest.approx(0.07734853842527109, abs=1e-12)
    assert "lacks 3 of 8 images, which count as empty: 000.jpg, 005.jpg, 006.jpg." in scores.warnings[0]
    for compat in (None, "official"):  # bdd100k ends with an AssertionError
        with pytest.raises(SchemaError, match="pred' lacks 3 of 8 images"):
            score_bitmask(tmp_path / str(compat), GT, PRED[:5], compat=compat)
    empty = [frame if k < 5 else frame | {"labels": None} for k, frame in enumerate(PRED)]
    scores = score_bitmask(tmp_path / "missing", GT, PRED[:5], allow_missing=True)
    assert scores.summary == score_bitmask(tmp_path / "empty", GT, empty).summary


def test_frames_of_one_name_are_told_apart_by_their_videos(tmp_path: Path) -> None:
    """Scalabel says 2.1779697379675853."""
    gt, pred = of_video("a", GT) + of_video("b", GT[::-1]), of_video("b", PRED) + of_video("a", SHIFTED)
    scores = score_json(tmp_path, gt, pred)
    assert scores.summary["AP"] == pytest.approx(0.021779697379675853, abs=1e-12)
    folder = tmp_path / "videos"
    folder.mkdir()
    for name, frames in (("a", pred[8:]), ("b", pred[:8])):
        (folder / f"{name}.json").write_text(json.dumps({"frames": frames, "config": None}))
    assert evaluate("bdd100k_ins_seg", tmp_path / "gt.json", folder) == scores


def test_without_any_prediction_scalabel_has_zeros_for_crowds_too(tmp_path: Path) -> None:
    """Scalabel 0.3.1 skips the evaluation; bdd100k 1.0.1 says NaN where no object has the size."""
    crowd = [{"name": "0.jpg", "labels": [bar(1, 0, 40, crowd=True)]}]
    nothing = [{"name": "0.jpg", "labels": []}]
    scores = score_json(tmp_path, crowd, nothing, compat="official")
    assert scores.summary == scores.classes["car"] == dict.fromkeys(NAMES, 0)
    bitmask = score_bitmask(tmp_path, crowd, nothing, [{"name": "0.jpg"}])
    assert (bitmask.summary["AP"], bitmask.summary["APm"], bitmask.summary["APl"]) == (0, 0, None)


def test_an_empty_mask_is_kept_with_a_warning(tmp_path: Path) -> None:
    """Scalabel says 8.585044166181321."""
    nothing = label(np.zeros((240, 240)), 77, "car", 0.6)
    gt, pred = ([frame | {"labels": [*(frame["labels"] or []), nothing]} for frame in side] for side in (GT, PRED))
    scores = score_json(tmp_path, gt, pred)
    assert scores.summary["AP"] == pytest.approx(0.08585044166181321, abs=1e-12)
    assert "In 8 of 8 images there are empty masks" in scores.warnings[0]


def polygon(left: int, top: int, width: int, height: int) -> list[dict[str, Any]]:
    corners = [[left, top], [left + width, top], [left + width, top + height], [left, top + height + 10]]
    return [{"vertices": corners, "types": "LLLL", "closed": True}]


def test_true_objects_may_be_polygons(tmp_path: Path) -> None:
    """Scalabel says 80, with matplotlib 3.10's `tostring_rgb` put back; a polygon outside of the image is left out."""
    gt, pred = [], []
    for k in range(3):
        lefts = [10 + 40 * (3 * i + k) for i in range(3)]
        outlines = [*(polygon(left, 10, 80, 110) for left in lefts), polygon(5000, 5000, 1, 1)]
        truth = [{"id": str(i), "category": "car", "poly2d": outline} for i, outline in enumerate(outlines)]
        gt.append({"name": f"{k}.jpg", "labels": truth})
        masks = np.zeros((3, 720, 1280))
        for mask, left in zip(masks, lefts, strict=True):
            mask[12:122, left : left + 75] = 1
        pred.append({"name": f"{k}.jpg", "labels": [label(m, i, "car", 0.5 + 0.1 * i) for i, m in enumerate(masks)]})
    scores = score_json(tmp_path, gt, pred)
    assert scores.summary["AP"] == pytest.approx(0.8, abs=1e-12) and scores.warnings == ()


def test_the_scores_of_bitmasks_may_be_elsewhere(tmp_path: Path) -> None:
    scores = score_bitmask(tmp_path, GT, PRED)
    elsewhere = (tmp_path / "pred.json").rename(tmp_path / "scores.json")
    with pytest.raises(RequestError, match=r"no scores '.*pred\.json'\. Name their JSON file by --option scores=PATH"):
        evaluate("bdd100k_ins_seg_bitmask", tmp_path / "gt", tmp_path / "pred")
    options = {"scores": str(elsewhere)}
    assert evaluate("bdd100k_ins_seg_bitmask", tmp_path / "gt", tmp_path / "pred", options=options) == scores


REFUSED_SCORES = {
    "two scores of one instance": ([{"index": 1, "score": 0.5}] * 2, r"labels\[1\]\.index is 1, which has a score"),
    "the index of the background": ([{"index": 0, "score": 0.5}], r"labels\[0\]\.index is 0, expected at least 1"),
    "a label without an index": ([{"score": 0.5}], r"labels\[0\]\.index is missing"),
    "NaN as score": ([{"index": 1, "score": math.nan}], r"labels\[0\]\.score is NaN"),
    "labels that are no objects": ([3], r"\[0\]\.labels is \[3\], expected a list of objects"),
}


@pytest.mark.parametrize("case", REFUSED_SCORES)
@pytest.mark.parametrize("compat", [None, "official"])
def test_scores_that_nobody_can_read_are_refused(case: str, compat: str | None, tmp_path: Path) -> None:
    labels, message = REFUSED_SCORES[case]
    frames = [{"name": "0.jpg", "labels": WHOLE}]
    with pytest.raises(SchemaError, match=message):
        score_bitmask(tmp_path, frames, frames, [{"name": "0.jpg", "labels": labels}], compat=compat)


def test_a_category_that_is_no_class_is_refused(tmp_path: Path) -> None:
    write_bitmasks(tmp_path, GT, PRED)
    picture = np.zeros((240, 240, 4), np.uint8)
    picture[:9] = (9, 0, 0, 1)
    Image.fromarray(picture).save(tmp_path / "gt" / "000.png")
    with pytest.raises(SchemaError, match=r"gt/000\.png has category 9, expected 1\.\.8"):
        evaluate("bdd100k_ins_seg_bitmask", tmp_path / "gt", tmp_path / "pred")
