"""BDD100K segmentation tracking: the officials' own fixtures, their recorded answers to odd input, and ours.

Numbers of the officials come from scalabel 0.3.1, bdd100k 1.0.1 and motmetrics 1.4.0 (tools/oracles.sh), by
    python -m bdd100k.eval.run -t seg_track -g gt.json -r pred.json --nproc 1
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_api

from eval.errors import EvalError, RequestError, SchemaError
from eval.evaluation import evaluate
from eval.protocols import protocol
from eval.protocols.bdd100k_rules import VOCABULARY
from eval.protocols.protocol import Request
from eval.scores import Scores

SHARED = Path(os.environ.get("VOS_OCC_DATA", Path(__file__).parents[2] / ".." / "shared"))
SEG_TRACK = SHARED / "fixtures" / "scalabel_seg_track"
BITMASK = SHARED / "fixtures" / "bdd100k_bitmask" / "mots"
QUIRKS = SHARED / "fixtures" / "golden_quirks"
needs_seg_track = pytest.mark.skipif(not SEG_TRACK.exists(), reason=f"no fixture of scalabel at {SEG_TRACK}")
needs_bitmask = pytest.mark.skipif(not BITMASK.exists(), reason=f"no fixture of bdd100k at {BITMASK}")
needs_quirks = pytest.mark.skipif(not QUIRKS.exists(), reason=f"no recorded official answers at {QUIRKS}")

NAMES = {"MOTA": "MOTSA", "MOTP": "MOTSP", "IDSw": "IDSW", "mMOTA": "mMOTSA", "mMOTP": "mMOTSP"}
RATIOS = ("MOTSA", "MOTSP", "IDF1", "mMOTSA", "mMOTSP", "mIDF1")

Labels = list[dict[str, Any]]


def expect(found: Mapping[str, Any], official: Mapping[str, float], tolerance: float = 1e-9) -> None:
    """Compare with a row of an official table: percent, other names, NaN and infinities where we have None."""
    for theirs, value in official.items():
        name = NAMES.get(theirs, theirs)
        if name in RATIOS:
            expected = pytest.approx(value / 100, abs=tolerance) if math.isfinite(value) else None
        else:
            expected = value
        assert found[name] == expected, theirs


@needs_seg_track
def test_scalabels_fixture() -> None:
    gt, pred = SEG_TRACK / "seg_track_sample.json", SEG_TRACK / "seg_track_preds.json"
    scores = evaluate("bdd100k_mots", gt, pred)
    expect(scores.summary, {"mMOTA": -36.86830564411494, "mMOTP": 45.791906065134405, "mIDF1": 26.458539514581545})
    expect(
        scores.overall,
        {
            "MOTA": 64.30611079383209, "MOTP": 83.57249803157146, "IDF1": 74.51573849878935, "FP": 201, "FN": 399,
            "IDSw": 25, "MT": 56, "PT": 19, "ML": 11, "FM": 42,
        },
    )  # fmt: skip
    per_class = {
        "pedestrian": -420, "rider": -6.06060606, "car": 77.73224044, "truck": 39.24050633, "bus": math.nan,
        "train": math.nan, "motorcycle": 14.14141414, "bicycle": -math.inf, "human": -44.03669725,
        "vehicle": 75.76150356, "bike": 5.05050505,
    }  # fmt: skip
    for name, value in per_class.items():
        expect(scores.classes[name], {"MOTA": value}, 1e-10)
    assert scores.summary["IDSW"] == 25 and scores.warnings == ()
    assert protocol("bdd100k_mots").verify(Request(gt, pred), scores) <= 1e-12


@needs_seg_track
def test_scalabels_fixture_without_predictions() -> None:
    empty = SEG_TRACK / "seg_track_preds_empty.json"
    scores = evaluate("bdd100k_mots", SEG_TRACK / "seg_track_sample.json", empty)
    expect(scores.summary, {"mMOTA": 0, "mMOTP": 0, "mIDF1": 0})
    expect(
        scores.overall,
        {"MOTA": 0, "MOTP": math.nan, "IDF1": 0, "FP": 0, "FN": 1751, "IDSw": 0, "MT": 0, "PT": 0, "ML": 86, "FM": 0},
    )
    assert protocol("bdd100k_mots").verify(Request(SEG_TRACK / "seg_track_sample.json", empty), scores) == 0


@needs_bitmask
def test_bdd100ks_bitmask_fixture() -> None:
    scores = evaluate("bdd100k_mots_bitmask", BITMASK / "gt", BITMASK / "result")
    expect(scores.summary, {"mMOTA": 8.333333333333334, "mMOTP": 9.375, "mIDF1": 10})
    expect(
        scores.overall,
        {
            "MOTA": 66.66666666666667, "MOTP": 75, "IDF1": 80, "FP": 0, "FN": 1, "IDSw": 0, "MT": 2, "PT": 0, "ML": 1,
            "FM": 0,
        },
    )  # fmt: skip
    assert protocol("bdd100k_mots_bitmask").verify(Request(BITMASK / "gt", BITMASK / "result"), scores) <= 1e-12


# Odd input, as golden_quirks/scq_cases.txt writes it.


def box(top: int, left: int, bottom: int, right: int, height: int = 20, width: int = 20) -> dict[str, Any]:
    mask = np.zeros((height, width), np.uint8, order="F")
    mask[top:bottom, left:right] = 1
    return {"size": [height, width], "counts": mask_api.encode(mask)["counts"].decode()}


def label(name: int | str, category: str, mask: dict[str, Any], **attributes: bool) -> dict[str, Any]:
    return {"id": str(name), "category": category, "rle": mask, "attributes": attributes}


def frame(index: int | None, labels: Labels | None, video: str = "v0") -> dict[str, Any]:
    return {"name": f"f{index}", "videoName": video, "frameIndex": index, "labels": labels}


def unnumbered_frame(name: str, videoName: str, labels: Labels | None, frameIndex: int | None = None) -> dict[str, Any]:
    return {"name": name, "videoName": videoName, "frameIndex": frameIndex, "labels": labels}


A, B, HALF = box(0, 0, 4, 4), box(12, 12, 16, 16), box(0, 0, 4, 2)
PERFECT = [[frame(t, [label(1, "car", A)]) for t in range(3)]]


def score(folder: Path, gt: list, pred: list, **options: Any) -> Scores:
    for name, videos in (("gt", gt), ("pred", pred)):
        (folder / f"{name}.json").write_text(json.dumps([f for video in videos for f in video]))
    return evaluate("bdd100k_mots", folder / "gt.json", folder / "pred.json", **options)


def quirks() -> list[tuple[str, list, list]]:
    """Name, ground truth and predictions of each recorded case."""
    cases: list[tuple[str, list, list]] = []
    if QUIRKS.exists():
        scope = {
            "__builtins__": {"range": range}, "run": lambda *case: cases.append(case), "g": PERFECT, "a": A, "b": B,
            "half": HALF, "box": box, "L": label, "F": frame, "Frame": unnumbered_frame,
        }  # fmt: skip
        for line in (QUIRKS / "scq_cases.txt").read_text().splitlines():
            eval(line, scope)
    return cases


def recorded() -> dict[str, str]:
    text = (QUIRKS / "scalabel_quirks_official_output.txt").read_text()
    return {name.strip(): answer.strip() for name, answer in re.findall(r"== (.*)\n(.*)", text)}


@needs_quirks
@pytest.mark.parametrize("case", quirks(), ids=lambda case: case[0])
def test_compat_official_is_what_scalabel_answers(case: tuple[str, list, list], tmp_path: Path) -> None:
    name, gt, pred = case
    answer = recorded()[name]
    if answer.startswith("ERR"):
        with pytest.raises(EvalError):
            score(tmp_path, gt, pred, compat="official")
        return
    scores = score(tmp_path, gt, pred, compat="official")
    table, pedestrian, car = re.fullmatch(r"(\{.*\}) ped MOTA (\S+) car MOTA (\S+)", answer).groups()
    numbers = eval(table, {"nan": math.nan, "inf": math.inf, "__builtins__": {}})
    expect(scores.summary, {key: value for key, value in numbers.items() if key.startswith("m")}, 5.1e-6)
    expect(scores.overall, {key: value for key, value in numbers.items() if not key.startswith("m")}, 5.1e-6)
    expect(scores.classes["pedestrian"], {"MOTA": float(pedestrian)})
    expect(scores.classes["car"], {"MOTA": float(car)})


@needs_quirks
def test_every_recorded_case_is_there() -> None:
    assert {name.strip() for name, _, _ in quirks()} == set(recorded())


STRICT: dict[str, tuple[list, list, str]] = {
    "a frame is missing": (PERFECT, [PERFECT[0][:2]], r"pred.json, video v0: 1 of 3 frames are missing: 2\."),
    "a frame too many": (PERFECT, [[*PERFECT[0], frame(3, [])]], r"has frames that gt.json, video v0 does not have: 3"),
    "a frame is there twice": (
        PERFECT, [[*PERFECT[0], frame(2, [])]], r"\[3\]\.frameIndex is 2, as that of \[2\] of video v0 \(pred",
    ),
    "a video is missing": (
        [*PERFECT, [frame(0, [], "v1")]], PERFECT, r"no predictions for 1 of 2 videos: v1\. .* --allow-missing",
    ),
    "a video too many": (PERFECT, [*PERFECT, [frame(0, [], "v9")]], "does not have: v9"),
    "a wrong video name": (PERFECT, [[frame(t, [], "v9") for t in range(3)]], "does not have: v9"),
    "an unknown category": (
        PERFECT, [[frame(0, [label(1, "dog", A)]), *PERFECT[0][1:]]],
        r'\[0\]\.labels\[0\]\.category is "dog", expected one of pedestrian, rider, .*\(pred.json\)',
    ),
    "an id twice in a frame": (
        PERFECT, [[frame(t, [label(1, "car", A), label(1, "bus", B)]) for t in range(3)]],
        r"pred.json, video v0, frame 0: two labels have the id of one track \(number 1",
    ),
    "a mask of another size": (
        PERFECT, [[frame(t, [label(1, "car", box(0, 0, 4, 4, 40, 20))]) for t in range(3)]],
        r"labels\[0\]\.rle\.size is \[40, 20\], but the masks of this video have \[height, width\] \[20, 20\]",
    ),
    "a broken mask": (
        PERFECT, [[frame(0, [label(1, "car", {"size": [20, 20], "counts": "04`0"})]), *PERFECT[0][1:]]],
        r"pred.json, video v0, frame 0: the mask covers",
    ),
    "ground truth without objects": ([[frame(0, [])]], [[frame(0, [])]], "no object that counts"),
    "ground truth of ignored regions alone": (
        [[frame(0, [label(1, "car", A, crowd=True)])]], [[frame(0, [label(1, "car", A)])]], "no object that counts",
    ),
    "polygons as predictions": (
        PERFECT, [[frame(0, [{"id": "1", "category": "car", "poly2d": []}]), *PERFECT[0][1:]]],
        "poly2d is all there is of the mask .* Write 'rle' in predictions",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", STRICT)
def test_wrong_input_is_refused_with_one_line(case: str, tmp_path: Path) -> None:
    gt, pred, message = STRICT[case]
    with pytest.raises(SchemaError, match=message) as error:
        score(tmp_path, gt, pred)
    assert "\n" not in str(error.value)


def test_as_many_videos_of_other_names_are_compared_in_their_order_only_if_official(tmp_path: Path) -> None:
    pred = [[frame(t, [label(1, "car", A)], "other") for t in range(3)]]
    scores = score(tmp_path, PERFECT, pred, compat="official")
    assert scores.overall["MOTSA"] == 1 and list(scores.videos) == ["v0"]
    assert "their names differ: other" in scores.warnings[0]
    seven = [[frame(0, [label(1, "car", A)], f"v{k}")] for k in range(7)]
    others = [[frame(0, [label(1, "car", A)], f"w{k}")] for k in range(7)]
    scores = score(tmp_path, seven, others, compat="official")
    assert scores.warnings[0].endswith("their names differ: w0, w1, w2, w3, w4 and 2 more.")


def test_a_missing_video_counts_as_empty_where_that_is_allowed(tmp_path: Path) -> None:
    gt = [*PERFECT, [frame(t, [label(1, "car", A)], "v1") for t in range(2)]]
    scores = score(tmp_path, gt, PERFECT, allow_missing=True)
    assert (scores.overall["FN"], scores.videos["v1"]["car"]["FN"]) == (2, 2)
    assert scores.warnings == ("1 of 2 videos have no predictions and count as empty: v1.",)


def test_frames_without_an_index_are_matched_by_name(tmp_path: Path) -> None:
    gt = [unnumbered_frame(f"f{t}", "v0", [label(1, "car", box(t, 0, t + 4, 4))]) for t in range(3)]
    assert score(tmp_path, [gt], [gt[::-1]]).overall["MOTSA"] == 1
    assert score(tmp_path, [gt], [gt[::-1]], compat="official").overall["MOTSA"] < 1


def test_predictions_that_overlap_cost_their_whole_frame_with_a_warning(tmp_path: Path) -> None:
    overlapping = frame(0, [label(1, "car", A), label(2, "pedestrian", HALF), label(3, "bus", B)])
    scores = score(tmp_path, PERFECT, [[overlapping, *PERFECT[0][1:]]])
    assert (scores.overall["FN"], scores.overall["FP"]) == (1, 0)
    assert "predicted masks overlap in 1 of 3 frames" in scores.warnings[0] and "(frames 0)" in scores.warnings[0]


def test_names_may_stand_for_ids(tmp_path: Path) -> None:
    pred = [[frame(t, [label(f"car-{t // 2}", "car", A)]) for t in range(3)]]
    assert score(tmp_path, PERFECT, pred).overall["IDSW"] == 1


def test_an_empty_mask_is_kept_with_a_warning(tmp_path: Path) -> None:
    pred = [[frame(t, [label(1, "car", A), label(2, "car", box(0, 0, 0, 0))]) for t in range(3)]]
    scores = score(tmp_path, PERFECT, pred)
    assert scores.overall["FP"] == 3
    assert scores.warnings == ("pred.json, video v0, frame 0: an empty mask matches nothing; the video has 3.",)


@needs_quirks
def test_two_ignored_regions_do_not_cover_together(tmp_path: Path) -> None:
    """golden_quirks/ignore_union_case.txt: scalabel 0.3.1 counts FP 1, car MOTA 0.0."""
    regions = [label(i, "pedestrian", box(top, 0, top + 4, 10), crowd=True) for i, top in ((7, 10), (8, 16))]
    gt = [[frame(0, [label(1, "car", A), *regions])]]
    pred = [[frame(0, [label(1, "car", A), label(2, "car", box(10, 0, 20, 10))])]]
    scores = score(tmp_path, gt, pred)
    assert (scores.overall["FP"], scores.classes["car"]["MOTSA"]) == (1, 0)
    assert "FP 1, car MOTA 0.0" in (QUIRKS / "ignore_union_case.txt").read_text()


@pytest.mark.parametrize(("bottom", "counted"), [(14, 1), (15, 0)])
def test_more_than_half_of_a_prediction_must_lie_in_an_ignored_region_of_any_class(
    bottom: int, counted: int, tmp_path: Path
) -> None:
    gt = [[frame(0, [label(1, "car", A), label(2, "other person", box(10, 0, bottom, 10))])]]
    pred = [[frame(0, [label(1, "car", A), label(2, "car", box(10, 0, 18, 10))])]]
    assert score(tmp_path, gt, pred).overall["FP"] == counted


def test_other_names_of_a_class_are_that_class(tmp_path: Path) -> None:
    pred = [[frame(t, [label(1, "van", A)]) for t in range(3)]]
    assert score(tmp_path, PERFECT, pred).classes["car"]["MOTSA"] == 1


def test_workers_and_folders_change_nothing(tmp_path: Path) -> None:
    gt, pred = random_dataset(3)
    whole = score(tmp_path, gt, pred)
    folder = tmp_path / "videos"
    folder.mkdir()
    for video in pred:
        (folder / f"{video[0]['videoName']}.json").write_text(json.dumps({"frames": video, "config": None}))
    shared = evaluate("bdd100k_mots", tmp_path / "gt.json", folder, workers=2)
    assert shared.as_json() == whole.as_json()


def test_verify_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    scores = score(tmp_path, PERFECT, PERFECT)
    monkeypatch.setitem(__import__("sys").modules, "motmetrics", None)
    with pytest.raises(RequestError, match=r"pip install vos-occ\[verify\]"):
        protocol("bdd100k_mots").verify(Request(tmp_path / "gt.json", tmp_path / "pred.json"), scores)


# Random videos. In some frames predictions overlap, and no bus is true.

OFFICIAL_JSON = {
    "mMOTA": 38.125, "mMOTP": 60.82367993897286, "mIDF1": 48.746894409937894, "MOTA": 46.08695652173913,
    "MOTP": 80.8477037754716, "IDF1": 63.681592039801, "FP": 14, "FN": 43, "IDSw": 5, "MT": 2, "PT": 9, "ML": 0,
    "FM": 17,
}  # fmt: skip
OFFICIAL_BITMASK = {
    "mMOTA": 37.84722222222222, "mMOTP": 60.89756607824955, "mIDF1": 48.79817646121994, "MOTA": 45.21739130434783,
    "MOTP": 81.11006399772542, "IDF1": 63.725490196078425, "FP": 16, "FN": 42, "IDSw": 5, "MT": 2, "PT": 9, "ML": 0,
    "FM": 18,
}  # fmt: skip


def test_random_videos_score_as_officially(tmp_path: Path) -> None:
    """`random_dataset(3)`, written by `score` and scored by the command at the top of this file."""
    scores = score(tmp_path, *random_dataset(3))
    expect({**scores.summary, **scores.overall}, OFFICIAL_JSON, 1e-12)
    per_class = {
        "pedestrian": 58.33333333333333, "rider": 30.000000000000004, "car": 33.333333333333336,
        "truck": 58.33333333333333, "bus": -math.inf, "train": math.nan, "motorcycle": 66.66666666666667,
        "bicycle": 58.33333333333333,
    }  # fmt: skip
    for name, value in per_class.items():
        expect(scores.classes[name], {"MOTA": value}, 1e-12)
    assert len(scores.warnings) == 2
    request = Request(tmp_path / "gt.json", tmp_path / "pred.json")
    assert protocol("bdd100k_mots").verify(request, scores) <= 1e-12


def test_random_videos_as_bitmasks_score_as_officially(tmp_path: Path) -> None:
    """The same videos painted by `paint`, scored by bdd100k.eval.run on the folders; nothing overlaps there."""
    for side, videos in zip(("gt", "pred"), random_dataset(3), strict=True):
        for video in videos:
            for entry in video:
                paint(tmp_path / side / entry["videoName"] / f"{entry['frameIndex']:04d}.png", entry["labels"])
    scores = evaluate("bdd100k_mots_bitmask", tmp_path / "gt", tmp_path / "pred")
    expect({**scores.summary, **scores.overall}, OFFICIAL_BITMASK, 1e-12)
    assert protocol("bdd100k_mots_bitmask").verify(Request(tmp_path / "gt", tmp_path / "pred"), scores) <= 1e-12
    assert evaluate("bdd100k_mots_bitmask", tmp_path / "gt", tmp_path / "pred", compat="official") == scores


@pytest.mark.parametrize("seed", range(8))
def test_random_videos_equal_motmetrics_on_the_same_distances(seed: int, tmp_path: Path) -> None:
    scores = score(tmp_path, *random_dataset(seed, videos=1))
    request = Request(tmp_path / "gt.json", tmp_path / "pred.json")
    assert protocol("bdd100k_mots").verify(request, scores) <= 1e-12


def paint(path: Path, labels: Labels) -> None:
    """Write a bitmask; later labels cover earlier ones."""
    picture = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    for entry in labels:
        kind, ignored = VOCABULARY.kinds()[entry["category"]]
        attributes = entry["attributes"]
        bits = (ignored or attributes.get("ignored", False)) + 2 * attributes.get("crowd", False)
        number = int(entry["id"]) + 1
        picture[mask_api.decode(entry["rle"]) > 0] = (kind + 1, bits, number >> 8, number & 255)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)


HEIGHT, WIDTH, FRAMES = 48, 64, 12
KINDS = ("pedestrian", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle", "other vehicle", "person")


def random_dataset(seed: int, videos: int = 3) -> tuple[list, list]:
    """Blocks that move behind one another; predictions move less, vanish, change id or class, or lie upon others."""
    rng = np.random.default_rng(seed)
    sides = [random_video(rng, f"video{v}") for v in range(videos)]
    return [gt for gt, _ in sides], [pred for _, pred in sides]


def random_video(rng: np.random.Generator, name: str) -> tuple[list, list]:
    count = int(rng.integers(2, 8))
    kinds = rng.choice(KINDS, count, p=[0.1, 0.1, 0.3, 0.1, 0.05, 0.05, 0.05, 0.1, 0.1, 0.05])
    corner = rng.integers(-4, [[HEIGHT], [WIDTH]], (2, count))
    size = 2 * rng.integers(2, 9, (2, count))
    speed = rng.integers(-2, 3, (2, count))
    crowd = rng.random(count) < 0.1
    names = np.arange(count)
    gt, pred = [], []
    for t in range(FRAMES):
        top, left = corner + t * speed
        true, found = np.zeros((2, HEIGHT, WIDTH), np.int64)
        for k in range(count):
            bottom, right = top[k] + size[0, k], left[k] + size[1, k]
            true[max(top[k], 0) : max(bottom, 0), max(left[k], 0) : max(right, 0)] = k + 1
            if rng.random() > 0.1:
                down, across = rng.choice([0, 0, 0, size[0, k] // 2, 1]), rng.choice([0, 0, 0, size[1, k] // 2, 2])
                found[max(top[k] + down, 0) : max(bottom, 0), max(left[k] + across, 0) : max(right, 0)] = k + 1
        names = np.where(rng.random(count) < 0.08, rng.integers(0, 50, count) * 10 + names % 10, names)
        said = np.where(rng.random(count) < 0.05, rng.choice(KINDS, count), kinds)
        labels = [labelled(true == k + 1, k, kinds[k], crowd=bool(crowd[k])) for k in range(count)]
        answers = [labelled(found == k + 1, names[k], said[k], ignored=rng.random() < 0.03) for k in range(count)]
        if rng.random() < 0.05:
            answers.append(labelled(true == 1, 77, "car"))
        gt.append(frame(t, [entry for entry in labels if entry], name))
        pred.append(frame(t, [answers[k] for k in rng.permutation(len(answers)) if answers[k]], name))
    return gt, pred


def labelled(mask: np.ndarray, name: int, kind: str, **attributes: bool) -> dict[str, Any] | None:
    counts = mask_api.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    return (
        label(int(name), str(kind), {"size": [HEIGHT, WIDTH], "counts": counts}, **attributes) if mask.any() else None
    )
