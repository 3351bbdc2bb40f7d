"""kitti_mots and mots_challenge against TrackEval 1.3.0, run on the same files, and on its recorded answers."""

from __future__ import annotations

import ast
import itertools
import json
import os
import pickle
import re
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_api

from eval.errors import EvalError, RequestError, SchemaError
from eval.evaluation import evaluate
from eval.protocols import protocol
from eval.protocols.protocol import Request
from eval.readers.mots_png import masks_of
from eval.scores import Scores

SHARED = Path(os.environ.get("VOS_OCC_DATA", Path(__file__).parents[2] / ".." / "shared"))
QUIRKS = SHARED / "fixtures" / "golden_quirks" / "mots_quirks.json"
KITTI = SHARED / "data" / "kitti_mots_gt" / "instances_txt.zip"
needs_kitti = pytest.mark.skipif(not KITTI.exists(), reason=f"no ground truth of KITTI MOTS at {KITTI}")

THEIR_NAMES = {
    "MOTSA": "MOTA", "sMOTSA": "sMOTA", "MOTSP": "MOTP", "MODSA": "MODA", "TP": "CLR_TP", "FN": "CLR_FN",
    "FP": "CLR_FP",
}  # fmt: skip
HOTA = ("HOTA", "DetA", "AssA", "DetRe", "DetPr", "AssRe", "AssPr", "LocA")

Row = tuple[int, int, int, list[int], str]  # frame, id, class, size, counts


def write(folder: Path, sequences: dict[str, list[Row]], first_frame: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in sequences.items():
        lines = (f"{t + first_frame} {i} {c} {size[0]} {size[1]} {counts}\n" for t, i, c, size, counts in rows)
        (folder / f"{name}.txt").write_text("".join(lines))
    return folder


def write_seqmap(path: Path, lengths: dict[str, int], first_frame: int = 0) -> Path:
    path.write_text(
        "".join(f"{name} empty {first_frame:06d} {n + first_frame - 1:06d}\n" for name, n in lengths.items())
    )
    return path


def trackeval_scores(dataset: str, gt: Path, pred: Path, lengths: dict[str, int], classes: Iterable[str]) -> dict:
    """TrackEval's own way from these files to numbers: by class, then sequence ("" for all), then metric."""
    trackeval = pytest.importorskip("trackeval", reason="TrackEval, the oracle, is not installed")
    kind = getattr(trackeval.datasets, dataset)
    config = {
        "GT_FOLDER": str(gt), "GT_LOC_FORMAT": "{gt_folder}/{seq}.txt", "TRACKERS_FOLDER": str(pred.parent),
        "TRACKERS_TO_EVAL": [pred.name], "TRACKER_SUB_FOLDER": "", "SEQ_INFO": lengths, "PRINT_CONFIG": False,
        "CLASSES_TO_EVAL": list(classes),
    }  # fmt: skip
    source = kind(config | ({"SKIP_SPLIT_FOL": True} if dataset == "MOTSChallenge" else {}))
    quiet = {"PRINT_CONFIG": False}
    metrics = [trackeval.metrics.CLEAR(quiet), trackeval.metrics.Identity(quiet), trackeval.metrics.HOTA()]
    scores: dict = {name: {"": {}} for name in classes}
    raw = {sequence: source.get_raw_seq_data(pred.name, sequence) for sequence in lengths}
    for name in classes:
        data = {sequence: source.get_preprocessed_seq_data(raw[sequence], name) for sequence in lengths}
        for metric in metrics:
            each = {sequence: metric.eval_sequence(data[sequence]) for sequence in lengths}
            for sequence, result in (each | {"": metric.combine_sequences(each)}).items():
                scores[name].setdefault(sequence, {}).update(result)
    return scores


def assert_equal(ours: Scores, theirs: dict) -> None:
    """CLEAR and Identity bit for bit, HOTA to the last bits of its sums."""
    for name, sequences in theirs.items():
        for sequence, expected in sequences.items():
            numbers = ours.videos[sequence][name] if sequence else ours.classes[name]
            for metric, value in numbers.items():
                official = float(np.mean(expected[THEIR_NAMES.get(metric, metric)]))
                tolerance = 1e-14 if metric in HOTA else 0
                assert value == pytest.approx(official, rel=0, abs=tolerance), (name, sequence, metric)


def random_video(rng: np.random.Generator, num_frames: int) -> tuple[list[Row], list[Row]]:
    """Rectangles that drift, and predictions that copy, halve, split, lose, rename and invent them.

    A half has an IoU of exactly .5, and of two halves either may match; ignore regions come as one or as several that
    overlap each other, and predictions lie in them by more than half, by exactly half and by less.
    """
    gt: list[Row] = []
    pred: list[Row] = []
    classes = rng.integers(1, 3, 6)
    renamed: dict[int, int] = {}
    for t in range(num_frames):
        truth, found = np.zeros((2, 24, 36), np.int64)
        for k in range(6):
            y, x = 4 * (k // 2) * 2, 18 * (k % 2) + (t % 3)
            if rng.random() < 0.85:
                truth[y : y + 4, x : x + 8] = 1000 * classes[k] + k + 1
            if rng.random() < 0.1:
                renamed[k] = int(rng.integers(1, 9)) + 10 * k
            value = 1000 * int(rng.choice([classes[k], classes[k], classes[k], 3 - classes[k]])) + renamed.get(
                k, 50 + k
            )
            kind = rng.integers(0, 7)
            if kind == 0:  # two halves
                found[y : y + 4, x : x + 4], found[y : y + 4, x + 4 : x + 8] = value, value + 400
            elif kind == 1:
                found[y : y + 4, x : x + 4] = value
            elif kind == 2:
                shift = rng.integers(0, 5)
                found[y : y + 4, x + shift : x + 8 + shift] = value
            elif kind < 6:
                found[y : y + 4, x : x + 8] = value
        rows = [(t, v, v // 1000, [24, 36], counts) for v, counts in masks_of(truth).items()]
        for k in range(rng.integers(0, 3)):  # ignore regions in the rows that no object has
            region = np.zeros((24, 36), np.uint8, order="F")
            region[4:8, 5 * k : 5 * k + 7] = 1
            code = mask_api.encode(region)["counts"].decode()
            rows.append((t, 10000 + k, 10, [24, 36], code))
        found[4:6, : rng.integers(1, 15)] = 1900
        found[6:8, : rng.choice([7, 14, 20])] = 2900
        gt += [rows[i] for i in rng.permutation(len(rows))]
        more = [(t, v, v // 1000, [24, 36], counts) for v, counts in masks_of(found).items()]
        pred += [more[i] for i in rng.permutation(len(more))] if rng.random() < 0.9 else []
    return gt, pred


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("name", "dataset", "classes", "first_frame"),
    [("kitti_mots", "KittiMOTS", ("car", "pedestrian"), 0), ("mots_challenge", "MOTSChallenge", ("pedestrian",), 1)],
)
def test_random_files_score_as_trackeval_scores_them(
    tmp_path: Path, seed: int, name: str, dataset: str, classes: tuple[str, ...], first_frame: int
) -> None:
    rng = np.random.default_rng(seed)
    lengths = {f"{k:04d}": int(rng.integers(1, 14)) for k in range(5)} | {"0009": 3}
    sides = {sequence: random_video(rng, length) for sequence, length in lengths.items()}
    sides["0009"] = ([row for row in sides["0009"][0] if row[2] == 10], sides["0009"][1])  # nothing to be found
    gt = write(tmp_path / "gt", {sequence: sides[sequence][0] for sequence in lengths}, first_frame)
    pred = write(tmp_path / "pred", {sequence: sides[sequence][1] for sequence in lengths}, first_frame)
    ours = evaluate(name, gt, pred, seqmap=write_seqmap(tmp_path / "map", lengths, first_frame))
    assert_equal(ours, trackeval_scores(dataset, gt, pred, lengths, classes))
    assert ours.warnings == ()


def recorded_cases() -> list[dict]:
    return json.loads(QUIRKS.read_text()) if QUIRKS.exists() else []


TOLERATED_BY_TRACKEVAL = {"unknown class id 7 in tracker"}
RECORDED = {
    "sMOTSA": "sMOTA", "MOTSA": "MOTA", "MODSA": "MODA", "MOTSP": "MOTP", "TP": "CLR_TP", "FP": "CLR_FP",
    "FN": "CLR_FN", "IDSW": "IDSW", "Frag": "Frag", "MT": "MT", "PT": "PT", "ML": "ML", "IDF1": "IDF1",
    "IDTP": "IDTP", "HOTA": "HOTA", "AssA": "AssA", "LocA": "LocA",
}  # fmt: skip


@pytest.mark.skipif(not QUIRKS.exists(), reason=f"no recorded official answers at {QUIRKS}")
@pytest.mark.parametrize("case", recorded_cases(), ids=lambda case: case["name"])
def test_recorded_cases_score_as_trackeval_scored_them(tmp_path: Path, case: dict) -> None:
    gt, pred = (write(tmp_path / side, {"0000": case[key]}) for side, key in (("gt", "gt"), ("pred", "trk")))
    seqmap = write_seqmap(tmp_path / "map", {"0000": case["T"]})
    answer = case["official"]["trackeval_1.3.0_kitti_mots"]
    if answer.startswith("ERR"):
        for compat in (None, "official"):
            with pytest.raises(SchemaError):
                evaluate("kitti_mots", gt, pred, seqmap=seqmap, compat=compat)
        return
    if case["name"] in TOLERATED_BY_TRACKEVAL or not any(row[2] in (1, 2) for row in case["gt"]):
        with pytest.raises(SchemaError):
            evaluate("kitti_mots", gt, pred, seqmap=seqmap)
    scores = evaluate("kitti_mots", gt, pred, seqmap=seqmap, compat="official").classes["pedestrian"]
    parts = [ast.literal_eval(part) for part in re.findall(r"\{[^}]*\}", answer)]
    expected = parts[0] | parts[1] | parts[2]
    assert {theirs: round(float(scores[ours] or 0), 4) for ours, theirs in RECORDED.items()} == expected


def test_a_prediction_in_two_ignore_regions_is_judged_by_their_union(tmp_path: Path) -> None:
    """40 % in each: TrackEval 1.3.0 counts no false positive (golden_quirks/ignore_union_case.txt)."""

    def code(y0: int, y1: int, x0: int, x1: int) -> str:
        mask = np.zeros((20, 20), np.uint8, order="F")
        mask[y0:y1, x0:x1] = 1
        return mask_api.encode(mask)["counts"].decode()

    size = [20, 20]
    truth = [(0, 1, 1, size, code(0, 4, 0, 4))]
    regions = [(0, 10000, 10, size, code(10, 14, 0, 10)), (0, 10000, 10, size, code(16, 20, 0, 10))]
    found = [(0, 7, 1, size, code(0, 4, 0, 4)), (0, 8, 1, size, code(10, 20, 0, 10))]
    gt, pred = write(tmp_path / "gt", {"0000": truth + regions}), write(tmp_path / "pred", {"0000": found})
    assert evaluate("kitti_mots", gt, pred).classes["car"]["FP"] == 0
    gt = write(tmp_path / "gt", {"0000": truth + regions[:1]})
    assert evaluate("kitti_mots", gt, pred).classes["car"]["FP"] == 1


def degraded(rng: np.random.Generator, rows: list[Row]) -> list[Row]:
    """Ground truth as a tracker might have it: lost, shifted and swapped masks, others that are not there."""
    paint: dict[int, np.ndarray] = {}
    swapped: dict[int, int] = {}
    for t, i, category, size, counts in rows:
        image = paint.setdefault(t, np.zeros(size, np.int64))
        draw = rng.random()
        if draw < 0.1:
            continue
        mask = mask_api.decode({"size": size, "counts": counts}).astype(bool)
        if draw < 0.4:
            mask = np.roll(mask, rng.integers(-12, 13, 2), axis=(0, 1))
        if rng.random() < 0.03:
            swapped[i] = int(rng.integers(0, 9))
        if category == 10:  # found as something, by parts
            category, mask = int(rng.integers(1, 3)), mask & (np.arange(size[1]) % 200 < rng.integers(60, 200))
        image[mask & (image == 0)] = 10000 * category + 10 * (i % 1000) + swapped.get(i, 9)
        if rng.random() < 0.05:
            y, x = rng.integers(0, size[0] - 40), rng.integers(0, size[1] - 60)
            image[y : y + 40, x : x + 60] = 10000 * category + 9990 + t % 3
    return [
        (t, value, value // 10000, list(image.shape), counts)
        for t, image in sorted(paint.items())
        for value, counts in masks_of(image).items()
    ]


def kitti_rows(sequence: str, last_frame: int) -> list[Row]:
    with zipfile.ZipFile(KITTI) as archive:
        lines = archive.read(f"instances_txt/{sequence}.txt").decode().splitlines()
    fields = (line.split() for line in lines)
    rows = [(int(f[0]), int(f[1]), int(f[2]), [int(f[3]), int(f[4])], f[5]) for f in fields]
    return [row for row in rows if row[0] <= last_frame]


def check_degraded(tmp_path: Path, sequences: Iterable[str], last_frame: int) -> None:
    truth = {sequence: kitti_rows(sequence, last_frame) for sequence in sequences}
    lengths = {sequence: max(row[0] for row in rows) + 1 for sequence, rows in truth.items()}
    rng = np.random.default_rng(7)
    gt = write(tmp_path / "gt", truth)
    pred = write(tmp_path / "pred", {sequence: degraded(rng, rows) for sequence, rows in truth.items()})
    ours = evaluate("kitti_mots", gt, pred)
    assert_equal(ours, trackeval_scores("KittiMOTS", gt, pred, lengths, ("car", "pedestrian")))
    assert 0 < ours.classes["car"]["HOTA"] < 0.95


@needs_kitti
def test_degraded_ground_truth_of_kitti_scores_as_trackeval_scores_it(tmp_path: Path) -> None:
    check_degraded(tmp_path, ("0012", "0014", "0017"), last_frame=60)


@needs_kitti
@pytest.mark.slow
def test_every_sequence_of_kitti_degraded_scores_as_trackeval_scores_it(tmp_path: Path) -> None:
    check_degraded(tmp_path, [f"{k:04d}" for k in range(21)], last_frame=120)


@needs_kitti
def test_ground_truth_of_kitti_scores_one_against_itself() -> None:
    scores = evaluate("kitti_mots", KITTI, KITTI)
    assert len(scores.videos) == 21
    assert set(scores.summary.values()) == {1.0}
    assert {(n["TP"], n["FP"], n["FN"], n["IDSW"]) for n in scores.classes.values()} == {
        (26860, 0, 0, 0),
        (11415, 0, 0, 0),
    }


@needs_kitti
def test_a_job_is_small_and_scores_alike_in_another_process() -> None:
    job = protocol("kitti_mots").open(Request(KITTI, KITTI))
    sent = pickle.dumps(job)
    assert len(sent) < 20_000
    one, other = job.score(12), pickle.loads(pickle.dumps(pickle.loads(sent).score(12)))
    assert {name: counts.numbers() for name, counts in one.counts.items()} == {
        name: counts.numbers() for name, counts in other.counts.items()
    }


def square(y: int, x: int, side: int = 4) -> str:
    mask = np.zeros((12, 12), np.uint8, order="F")
    mask[y : y + side, x : x + side] = 1
    return mask_api.encode(mask)["counts"].decode()


ONE = [(t, 1, 1, [12, 12], square(2, t)) for t in range(3)]


def test_verify_recomputes_with_trackeval(tmp_path: Path) -> None:
    pytest.importorskip("trackeval", reason="TrackEval is not installed")
    gt, pred = write(tmp_path / "gt", {"0001": ONE}), write(tmp_path / "pred", {"0001": ONE[:2]})
    rules, request = protocol("kitti_mots"), Request(gt, pred)
    scores = evaluate("kitti_mots", gt, pred)
    assert rules.verify is not None
    assert rules.verify(request, scores) <= 1e-15
    wrong = Scores(scores.protocol, scores.version, {}, scores.classes | {"car": {**scores.classes["car"], "FP": 3}})
    wrong = Scores(wrong.protocol, wrong.version, {}, wrong.classes, videos=scores.videos)
    assert rules.verify(request, wrong) == 3


def test_verify_without_trackeval_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gt = write(tmp_path / "gt", {"0001": ONE})
    scores = evaluate("kitti_mots", gt, gt)
    monkeypatch.setitem(__import__("sys").modules, "trackeval", None)
    verify = protocol("kitti_mots").verify
    assert verify is not None
    with pytest.raises(RequestError, match=r"pip install vos-occ\[verify\]"):
        verify(Request(gt, gt), scores)


def test_summary_names_metric_and_class_and_a_class_without_truth_is_said(tmp_path: Path) -> None:
    gt = write(tmp_path / "gt", {"0001": ONE})
    scores = evaluate("kitti_mots", gt, gt)
    assert scores.summary["sMOTSA_car"] == 1
    assert (scores.summary["HOTA_pedestrian"], scores.classes["pedestrian"]["LocA"]) == (0, 1)
    assert scores.warnings == ("The ground truth has no pedestrian; its scores are TrackEval's for none.",)


@pytest.mark.parametrize("name", ["kitti_mots", "mots_challenge", "mots_tools"])
def test_ground_truth_without_objects_is_refused(tmp_path: Path, name: str) -> None:
    gt = write(tmp_path / "gt", {"0001": []})
    with pytest.raises(SchemaError, match="to score against"):
        evaluate(name, gt, gt)


@pytest.mark.parametrize("name", ["kitti_mots", "mots_tools"])
def test_sequences_must_agree(tmp_path: Path, name: str) -> None:
    gt = write(tmp_path / "gt", {"0001": ONE, "0002": ONE})
    less = write(tmp_path / "less", {"0001": ONE})
    more = write(tmp_path / "more", {"0001": ONE, "0002": ONE, "0003": ONE})
    with pytest.raises(SchemaError, match="has no sequence 0002. Add an empty file"):
        evaluate(name, gt, less)
    assert evaluate(name, gt, less, allow_missing=True).warnings[0] == "No results, counted as empty: sequence 0002."
    assert evaluate(name, gt, less, allow_missing=True).videos["0002"]["car"]["FN"] == 3
    with pytest.raises(SchemaError, match="has sequence 0003, which the ground truth does not have"):
        evaluate(name, gt, more)
    tolerated = evaluate(name, gt, more, compat="official")
    assert (sorted(tolerated.videos), tolerated.classes["car"]["MOTSA"]) == (["0001", "0002"], 1)
    seqmap = write_seqmap(tmp_path / "map", {"0001": 3, "0007": 3})
    with pytest.raises(SchemaError, match="has no sequence 0007, which .*map lists"):
        evaluate(name, gt, less, seqmap=seqmap)
    only = evaluate(name, gt, gt, seqmap=write_seqmap(tmp_path / "map", {"0002": 4}))
    assert list(only.videos) == ["0002"]
    assert only.warnings[0] == "Not scored, as the officials do: sequence 0001."


WRONG_ROWS = {
    "twice an id": ((1, 1, 2, [12, 12], square(7, 7)), r"line 4: id 1 occurs twice in frame 1, first in line 2"),
    "outside": ((3, 1, 1, [12, 12], square(2, 2)), r"line 4: frame 3 is outside of the sequence, which has 0 to 2"),
    "another size": ((2, 2, 1, [12, 11], square(7, 7)), r"line 4: the mask is 12 x 11 .* ground truth's .* 12 x 12"),
    "unknown class": ((2, 2, 7, [12, 12], square(7, 7)), r"line 4: the class is 7, expected one of 1, 2, 10"),
    "negative id": ((2, -2, 1, [12, 12], square(7, 7)), r"line 4: the id is -2, expected 0 or more"),
    "overlap": ((2, 2, 2, [12, 12], square(4, 4)), r"line 4: the mask of id 2 overlaps that of id 1 in the same frame"),
    "broken code": ((2, 2, 1, [12, 12], "51"), r"line 4: the mask covers 6 pixels, but the image has 12 x 12"),
    "no code": ((2, 2, 1, [12, 12], "~~"), r"line 4: the mask holds '~', which is no run-length code"),
}  # fmt: skip


@pytest.mark.parametrize("name", ["kitti_mots", "mots_tools"])
@pytest.mark.parametrize("wrong", WRONG_ROWS)
def test_what_is_wrong_is_named_with_file_and_line(tmp_path: Path, name: str, wrong: str) -> None:
    row, message = WRONG_ROWS[wrong]
    gt, pred = write(tmp_path / "gt", {"0001": ONE}), write(tmp_path / "pred", {"0001": [*ONE, row]})
    with pytest.raises(EvalError, match=rf"^0001.txt, {message}"):
        evaluate(name, gt, pred, seqmap=write_seqmap(tmp_path / "map", {"0001": 3}))


@pytest.mark.parametrize(("name", "tolerated"), [("kitti_mots", True), ("mots_tools", False)])
def test_only_where_the_official_ignores_an_unknown_class_is_it_advised(
    tmp_path: Path, name: str, tolerated: bool
) -> None:
    gt = write(tmp_path / "gt", {"0001": ONE})
    pred = write(tmp_path / "pred", {"0001": [*ONE, (2, 2, 7, [12, 12], square(7, 7))]})
    with pytest.raises(SchemaError) as refused:
        evaluate(name, gt, pred)
    assert ("--compat official" in str(refused.value)) == tolerated
    if tolerated:
        assert evaluate(name, gt, pred, compat="official").classes["car"]["MOTSA"] == 1
    else:
        with pytest.raises(
            SchemaError, match=r"the class is 7, expected one of 1, 2, 10\. Correct or remove the line\.$"
        ):
            evaluate(name, gt, pred, compat="official")


def test_ignore_regions_outside_of_the_sequence_do_nothing_officially(tmp_path: Path) -> None:
    gt = write(tmp_path / "gt", {"0001": [*ONE, (5, 10000, 10, [12, 12], square(2, 2))]})
    pred = write(tmp_path / "pred", {"0001": ONE})
    seqmap = write_seqmap(tmp_path / "map", {"0001": 3})
    with pytest.raises(SchemaError, match="line 4: frame 5 is outside of the sequence"):
        evaluate("kitti_mots", gt, pred, seqmap=seqmap)
    assert evaluate("kitti_mots", gt, pred, seqmap=seqmap, compat="official").classes["car"]["MOTSA"] == 1


def test_masks_without_a_pixel_are_said(tmp_path: Path) -> None:
    nothing = (1, 2, 1, [12, 12], mask_api.encode(np.zeros((12, 12), np.uint8, order="F"))["counts"].decode())
    gt, pred = write(tmp_path / "gt", {"0001": ONE}), write(tmp_path / "pred", {"0001": [*ONE, nothing]})
    scores = evaluate("kitti_mots", gt, pred)
    assert scores.warnings[-1] == "0001.txt, line 4: an empty mask matches nothing; the file has 1."
    assert scores.classes["car"]["FP"] == 1


def test_images_score_as_the_text_that_says_the_same(tmp_path: Path) -> None:
    """Ground truth of images, 10000 among them, against text; and predicted images that end too early."""
    text = tmp_path / "text"
    rows: dict[str, list[Row]] = {"gt": [], "pred": []}
    for t in range(3):
        truth, found = np.zeros((2, 10, 12), np.uint16)
        truth[1:4, t : t + 5], truth[7:, :6] = 2001, 10000
        found[1:4, t + 1 : t + 5], found[8:, :4], found[5, 8] = 2007, 1003, 2009
        for side, image in (("gt", truth), ("pred", found)):
            folder = tmp_path / side / "0004"
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / f"{t:06d}.png")
            rows[side] += [(t, v, v // 1000, [10, 12], counts) for v, counts in masks_of(image).items()]
    for side in rows:
        write(text / side, {"0004": rows[side]})
    pairs = itertools.product((text, tmp_path), repeat=2)
    scores = [evaluate("kitti_mots", gt / "gt", pred / "pred").as_json() for gt, pred in pairs]
    assert scores.count(scores[0]) == 4
    assert {name: scores[0]["classes"]["pedestrian"][name] for name in ("TP", "FP")} == {"TP": 3, "FP": 3}
    assert scores[0]["classes"]["car"]["FP"] == 0
    (tmp_path / "pred" / "0004" / "000002.png").unlink()
    with pytest.raises(SchemaError, match="images of sequence 0004 up to frame 1, but its last frame is 2"):
        evaluate("kitti_mots", tmp_path / "gt", tmp_path / "pred")


def test_mots_challenge_is_read_as_it_is_published(tmp_path: Path) -> None:
    """Folders with gt/gt.txt and seqinfo.ini, a seqmap with a header, frames from 1, cars present but not scored."""
    walker = [(t, 2001, 2, [12, 12], square(2, t)) for t in range(3)]
    car = [(0, 1001, 1, [12, 12], square(8, 8))]
    for name in ("MOTS20-02", "MOTS20-05"):
        folder = tmp_path / "train" / name
        write(folder / "gt", {"gt": walker + car}, first_frame=1)
        (folder / "seqinfo.ini").write_text(f"[Sequence]\nname={name}\nseqLength=5\n")
    write(tmp_path / "pred", {"MOTS20-02": walker, "MOTS20-05": [(4, 3, 2, [12, 12], square(5, 5))]}, first_frame=1)
    (tmp_path / "map.txt").write_text("name\nMOTS20-05\nMOTS20-02\n")
    scores = evaluate("mots_challenge", tmp_path / "train", tmp_path / "pred", seqmap=tmp_path / "map.txt")
    assert list(scores.videos) == ["MOTS20-05", "MOTS20-02"]
    assert list(scores.classes) == ["pedestrian"]
    assert {k: scores.classes["pedestrian"][k] for k in ("TP", "FN", "FP")} == {"TP": 3, "FN": 3, "FP": 1}
    (tmp_path / "map.txt").write_text("MOTS20-05\nMOTS20-02\n")
    with pytest.raises(SchemaError, match="first row must be the header 'name'"):
        evaluate("mots_challenge", tmp_path / "train", tmp_path / "pred", seqmap=tmp_path / "map.txt")
