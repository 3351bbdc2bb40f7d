"""Counts against motmetrics 1.4.0: order, memory, ties, empty frames, distances at the threshold, repeated ids."""

from __future__ import annotations

import ast
import json
import math
import os
from pathlib import Path

import motmetrics
import numpy as np
import pytest
from pycocotools import mask as mask_api

from eval.motmetrics_accumulator import MotmetricsCounts, accumulate, assigned, match
from eval.sequences import FramePair, TrackingSequence

SHARED = Path(os.environ.get("VOS_OCC_DATA", Path(__file__).parents[2] / ".." / "shared"))
QUIRKS = SHARED / "fixtures" / "golden_quirks"
needs_quirks = pytest.mark.skipif(not QUIRKS.exists(), reason=f"no recorded official answers at {QUIRKS}")

NAMES = {
    "num_objects": "gt", "num_predictions": "pred", "num_detections": "tp", "num_switches": "idsw",
    "num_misses": "fn", "num_false_positives": "fp", "mostly_tracked": "mt", "partially_tracked": "pt",
    "mostly_lost": "ml", "num_fragmentations": "fm", "idtp": "idtp", "mota": "mota", "idf1": "idf1", "idr": "idr",
}  # fmt: skip

Frame = tuple[list[int], list[int], list[list[float]]]


def sequence_of(frames: list[Frame]) -> TrackingSequence:
    return TrackingSequence.from_frames(
        [FramePair(np.array(g), np.array(p), np.array(s, float).reshape(len(g), len(p))) for g, p, s in frames]
    )


def official(frames: list[Frame]) -> dict[str, float]:
    """motmetrics' own numbers; distance and threshold as scalabel makes them, frames without anybody skipped."""
    accumulator = motmetrics.MOTAccumulator(auto_id=True)
    for gt, pred, similarity in frames:
        if gt or pred:
            distance = 1 - np.array(similarity, float).reshape(len(gt), len(pred))
            accumulator.update(gt, pred, np.where(distance > 0.5, np.nan, distance))
    summary = motmetrics.metrics.create().compute(accumulator, metrics=[*NAMES, "motp"], return_dataframe=False)
    return {ours: float(summary[theirs]) for theirs, ours in NAMES.items()} | {"motp": 1 - float(summary["motp"])}


def differing(counts: MotmetricsCounts, expected: dict[str, float]) -> dict[str, tuple[float, float]]:
    found = {name: float(getattr(counts, name)) for name in expected}
    return {
        name: (found[name], value)
        for name, value in expected.items()
        if not math.isclose(found[name], value, rel_tol=0, abs_tol=1e-12)
        and not (math.isnan(found[name]) and value != value)
    }


def random_frames(rng: np.random.Generator) -> list[Frame]:
    """Up to 12 frames of up to 5 against 6 ids in any order, with ties, IoU of .5 and near it, and empty frames."""
    frames = []
    for _ in range(rng.integers(1, 13)):
        gt = rng.permutation(5)[: rng.integers(0, 6)]
        pred = rng.permutation(6)[: rng.integers(0, 7)]
        values = [0, 0, 0.5, 0.5 - 1e-16, 0.7, 0.7, float(rng.random())]
        frames.append((gt.tolist(), pred.tolist(), rng.choice(values, (len(gt), len(pred))).tolist()))
    return frames


@pytest.mark.parametrize("seed", range(60))
def test_random_sequences_equal_motmetrics(seed: int) -> None:
    frames = random_frames(np.random.default_rng(seed))
    if any(gt or pred for gt, pred, _ in frames):
        assert differing(accumulate(sequence_of(frames)), official(frames)) == {}


@pytest.mark.parametrize("seed", range(20))
def test_repeated_predicted_ids_equal_motmetrics(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frames = random_frames(rng)
    names = [rng.integers(0, 3, len(pred)) for _, pred, _ in frames]
    expected = official([(gt, ids.tolist(), values) for (gt, _, values), ids in zip(frames, names, strict=True)])
    assert differing(accumulate(sequence_of(frames), pred_ids=np.concatenate(names)), expected) == {}


CASES = {
    "a remembered id is kept however long ago and however much better another fits": [
        ([1], [1], [[0.9]]), ([1], [9], [[0]]), ([1], [1, 2], [[0.6, 0.9]]),
    ],
    "a frame without predictions is a miss": [([1], [1], [[0.9]]), ([1], [], []), ([1], [1, 2], [[0.6, 0.9]])],
    "of two objects that remember one id the first keeps it": [
        ([1], [1], [[0.9]]), ([1, 2], [1], [[0], [0.9]]), ([1, 2], [1], [[0.6], [0.9]]),
    ],
    "the same with the objects in the other order": [
        ([1], [1], [[0.9]]), ([2, 1], [1], [[0.9], [0]]), ([2, 1], [1], [[0.9], [0.6]]),
    ],
    "memory goes before the number of matches": [
        ([1, 2], [1], [[0.9], [0]]), ([1, 2], [1, 2], [[0.6, 0.55], [0.9, 0]]),
    ],
    "an object that was not there does not interrupt, another id is a switch": [
        ([1], [1], [[0.9]]), ([2], [1], [[0]]), ([1], [2], [[0.9]]),
    ],
    "four of five frames are mostly tracked": [([1], [1], [[0.9]])] * 4 + [([1], [], [])],
    "one of five frames is partially tracked": [([1], [1], [[0.9]])] + [([1], [], [])] * 4,
    "predictions without truth": [([], [1, 2], [])],
    "truth without predictions": [([1], [], []), ([1], [], [])],
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_named_situations_equal_motmetrics(name: str) -> None:
    assert differing(accumulate(sequence_of(CASES[name])), official(CASES[name])) == {}


def test_nothing_at_all_is_undefined() -> None:
    counts = MotmetricsCounts()
    assert all(math.isnan(value) for value in (counts.mota, counts.motp, counts.idf1, counts.idp, counts.idr))
    assert MotmetricsCounts(pred=3).mota == -math.inf


def test_counts_add_up() -> None:
    first, second = (accumulate(sequence_of(frames)) for frames in list(CASES.values())[:2])
    both = first + second
    assert (both.gt, both.pred, both.fn, both.fp) == (6, 7, 2, 3)
    assert both.distance == first.distance + second.distance


def test_matches_tell_who_switched() -> None:
    found = match(sequence_of([([1], [5], [[0.75]]), ([1, 2], [6, 5], [[0.75, 0], [0, 1]])]))
    assert (found.gt.tolist(), found.pred.tolist()) == ([0, 1, 2], [0, 1, 2])
    assert found.switch.tolist() == [False, True, False]
    assert found.distance.tolist() == [0.25, 0.25, 0]


def test_an_assignment_without_memory_takes_the_nearer() -> None:
    frames = [([1], [1], [[0.6]]), ([1], [1, 2], [[0.6, 0.9]]), ([], [3], [])]
    assert assigned(sequence_of(frames)).tolist() == [True, False, True, False]
    assert match(sequence_of(frames)).pred.tolist() == [0, 1]


@needs_quirks
def test_recorded_answers_to_similarities() -> None:
    """golden_quirks/mmq_cases.txt: the lines that begin with MM in its recorded output."""
    cases: list[tuple[str, list[Frame]]] = []
    scope = {"run": lambda name, frames: cases.append((name, frames)), "__builtins__": {}}
    eval((QUIRKS / "mmq_cases.txt").read_text().replace("\n", ","), scope)
    recorded = (QUIRKS / "id_continuity_official_output.txt").read_text().split("== ")[1:]
    assert [name for name, _ in cases] == [entry.splitlines()[0].strip() for entry in recorded]
    for (name, frames), entry in zip(cases, recorded, strict=True):
        line = next(line for line in entry.splitlines() if line.strip().startswith("MM"))
        expect_recorded(accumulate(sequence_of(frames)), ast.literal_eval(line.split("MM", 1)[1].strip()), name)


@needs_quirks
def test_recorded_answers_to_masks() -> None:
    """golden_quirks/mots_quirks.json: cases of one class, the column of motmetrics."""
    compared = 0
    for case in json.loads((QUIRKS / "mots_quirks.json").read_text()):
        answer = case["official"].get("motmetrics_1.4.0_scalabel_rule")
        if answer is None or not answer.startswith("{"):
            continue
        frames, names = zip(*(frame_of(case, t) for t in range(case["T"])), strict=True)
        counts = accumulate(sequence_of(list(frames)), pred_ids=np.array(sum(names, []), np.int64))
        expect_recorded(counts, eval(answer, {"nan": math.nan, "inf": math.inf, "__builtins__": {}}), case["name"])
        compared += 1
    assert compared == 20


def frame_of(case: dict, t: int) -> tuple[Frame, list[int]]:
    """One frame of class 2; masks of another size share nothing. Predicted ids apart from rows, as they may repeat."""
    gt, pred = (
        [
            (i, {"size": size, "counts": counts})
            for frame, i, kind, size, counts in case[side]
            if (frame, kind) == (t, 2)
        ]
        for side in ("gt", "trk")
    )
    similarity = np.zeros((len(gt), len(pred)))
    if gt and pred:
        similarity = mask_api.iou([m for _, m in pred], [m for _, m in gt], [0] * len(gt)).T.clip(0)
    return ([i for i, _ in gt], list(range(len(pred))), similarity.tolist()), [i for i, _ in pred]


def expect_recorded(counts: MotmetricsCounts, expected: dict[str, float], case: str) -> None:
    """Recorded numbers have four digits, and motp is a distance."""
    names = NAMES | {"num_matches": "matches"}
    for theirs, value in expected.items():
        ours = {"matches": counts.tp - counts.idsw, "motp": 1 - counts.motp}
        name = names.get(theirs, theirs)
        found = ours[name] if name in ours else getattr(counts, name)
        assert found == pytest.approx(value, abs=5.1e-5, nan_ok=True), (case, theirs)
