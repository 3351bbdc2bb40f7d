"""CLEAR and Identity against TrackEval 1.3.0, and on its recorded answers to degenerate sequences."""

from __future__ import annotations

import ast
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from eval.clear import Clear, clear
from eval.identity import Identity, identity
from eval.sequences import FramePair, TrackingSequence

SHARED = Path(os.environ.get("VOS_OCC_DATA", Path(__file__).parents[2] / ".." / "shared"))
QUIRKS = SHARED / "fixtures" / "golden_quirks"
needs_quirks = pytest.mark.skipif(not QUIRKS.exists(), reason=f"no recorded official answers at {QUIRKS}")

CLEAR_NAMES = {
    "CLR_TP": "tp", "CLR_FN": "fn", "CLR_FP": "fp", "IDSW": "idsw", "Frag": "frag", "MT": "mt", "PT": "pt", "ML": "ml",
    "MOTA": "mota", "sMOTA": "smota", "MODA": "moda", "MOTP": "motp", "MOTP_sum": "motp_sum", "CLR_Frames": "frames",
    "CLR_Re": "recall", "CLR_Pr": "precision", "CLR_F1": "f1",
}  # fmt: skip
IDENTITY_NAMES = {"IDTP": "idtp", "IDFN": "idfn", "IDFP": "idfp", "IDF1": "idf1", "IDR": "idr", "IDP": "idp"}


def frame(gt_ids: list[int], pred_ids: list[int], similarity: list) -> FramePair:
    return FramePair(np.array(gt_ids), np.array(pred_ids), np.array(similarity))


def random_sequence(rng: np.random.Generator) -> list[FramePair]:
    """Up to 12 frames of up to 5 against 6 ids, with ties, with similarities of exactly .5 and with empty frames."""
    frames = []
    for _ in range(rng.integers(1, 13)):
        gt = rng.permutation(5)[: rng.integers(0, 6)]
        pred = rng.permutation(6)[: rng.integers(0, 7)]
        similarity = rng.choice([0, 0.3, 0.5, 0.5 - 1e-16, 0.7, rng.random()], (len(gt), len(pred)))
        frames.append(FramePair(gt * 3 + 1, pred * 7, similarity))
    return frames


@pytest.mark.parametrize("seed", range(8))
def test_counts_equal_trackeval_on_random_sequences_bit_for_bit(seed: int, trackeval_data: Callable) -> None:
    metrics = pytest.importorskip("trackeval", reason="TrackEval, the oracle, is not installed").metrics
    oracles = metrics.CLEAR({"PRINT_CONFIG": False}), metrics.Identity({"PRINT_CONFIG": False})
    rng = np.random.default_rng(seed)
    sequences = [random_sequence(rng) for _ in range(25)]
    for frames in (*([s] for s in sequences), sequences):  # each alone, then all of them added up
        theirs = {}
        for oracle in oracles:
            each = {str(i): oracle.eval_sequence(trackeval_data(s)) for i, s in enumerate(frames)}
            theirs |= oracle.combine_sequences(each)
        sequences_of = [TrackingSequence.from_frames(sequence) for sequence in frames]
        ours = sum(map(clear, sequences_of), Clear()), sum(map(identity, sequences_of), Identity())
        for result, names in zip(ours, (CLEAR_NAMES, IDENTITY_NAMES), strict=True):
            for official, name in names.items():
                assert getattr(result, name) == theirs[official], (official, frames)


def quirk_cases() -> list:
    """The recorded cases that TrackEval scored and that need no protocol: ignore regions are applied before us."""
    path = QUIRKS / "mots_quirks.json"
    cases = json.loads(path.read_text()) if path.exists() else []
    return [case for case in cases if trackeval_answer(case).startswith("{") and {row[2] for row in case["gt"]} <= {2}]


def trackeval_answer(case: dict) -> str:
    return case["official"]["trackeval_1.3.0_kitti_mots"]


def frames_of(case: dict) -> list[FramePair]:
    """The pedestrians of a recorded MOTS case; rows are [frame, id, class, size, counts]."""
    frames = []
    for t in range(case["T"]):
        sides = []
        for rows in (case["gt"], case["trk"]):
            rows = [row for row in rows if row[0] == t and row[2] == 2]
            sides += [[row[1] for row in rows], [{"size": row[3], "counts": row[4]} for row in rows]]
        frames.append(FramePair.from_masks(*sides))
    return frames


@needs_quirks
@pytest.mark.parametrize("case", quirk_cases(), ids=lambda case: case["name"])
def test_recorded_mots_cases_score_as_trackeval_scored_them(case: dict) -> None:
    parts = [ast.literal_eval(part) for part in re.findall(r"\{[^}]*\}", trackeval_answer(case))]
    sequence = TrackingSequence.from_frames(frames_of(case))
    for result, names, expected in (
        (clear(sequence), CLEAR_NAMES, parts[0]),
        (identity(sequence), IDENTITY_NAMES, parts[1]),
    ):
        assert expected.items() <= {k: round(getattr(result, v), 4) for k, v in names.items()}.items()


# The cases of id_continuity_official_output.txt: (frames, TP, FP, FN, IDSW, Frag, MOTP, IDF1), TrackEval 1.3.0.
CONTINUITY = {
    "after a miss the better overlap wins over the old id": (
        [([1], [1], [[0.9]]), ([1], [9], [[0]]), ([1], [1, 2], [[0.6, 0.9]])], 2, 2, 1, 1, 1, 0.9, 4 / 7,
    ),
    "a frame without any prediction does not forget the old id": (
        [([1], [1], [[0.9]]), ([1], [], []), ([1], [1, 2], [[0.6, 0.9]])], 2, 1, 1, 0, 0, 0.75, 2 / 3,
    ),
    "two objects remember one id": (
        [([1], [1], [[0.9]]), ([1, 2], [1], [[0], [0.9]]), ([1, 2], [1], [[0.6], [0.9]])], 3, 0, 2, 0, 0, 0.9, 0.5,
    ),
    "two objects remember one id, in the other order": (
        [([1], [1], [[0.9]]), ([2, 1], [1], [[0.9], [0]]), ([2, 1], [1], [[0.9], [0.6]])], 3, 0, 2, 0, 0, 0.9, 0.5,
    ),
    "continuity weighs more than a second match": (
        [([1, 2], [1], [[0.9], [0]]), ([1, 2], [1, 2], [[0.6, 0.55], [0.9, 0]])], 2, 1, 2, 0, 0, 0.75, 4 / 7,
    ),
    "an object that returns under another id is switched and fragmented": (
        [([1], [1], [[0.9]]), ([2], [1], [[0]]), ([1], [2], [[0.9]])], 2, 1, 1, 1, 1, 0.9, 1 / 3,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CONTINUITY)
def test_identity_continuity_follows_trackeval(name: str) -> None:
    frames, tp, fp, fn, idsw, frag, motp, idf1 = CONTINUITY[name]
    sequence = TrackingSequence.from_frames([frame(*row) for row in frames])
    result = clear(sequence)
    assert (result.tp, result.fp, result.fn, result.idsw, result.frag) == (tp, fp, fn, idsw, frag)
    assert result.motp == pytest.approx(motp, abs=1e-15)
    assert identity(sequence).idf1 == pytest.approx(idf1, abs=1e-15)


def tracks(gt: list[str], pred: list[str], alike: dict[tuple[int, int], str]) -> TrackingSequence:
    """A video drawn as strings, one character per frame: which object is there, and which pairs are alike (x)."""
    frames = []
    for t in range(len(gt[0])):
        gt_ids = [g for g, drawn in enumerate(gt) if drawn[t] == "x"]
        pred_ids = [p for p, drawn in enumerate(pred) if drawn[t] == "x"]
        met = [[float(alike.get((g, p), "." * 9)[t] == "x") for p in pred_ids] for g in gt_ids]
        frames.append(frame(gt_ids, pred_ids, met))
    return TrackingSequence.from_frames(frames)


# Small enough to count by hand; the answers are those of the analytic cases in TrackEval's tests/test_metrics.py.
ANALYTIC = {
    "two objects, each found by one id in two frames": (
        tracks(["xxxxx", "xxx.."], ["xxxx.", "xxxxx"], {(0, 1): "...xx", (1, 0): "xx..."}),
        {"tp": 4, "fn": 4, "fp": 5, "idsw": 0, "mota": -1 / 8},
        {"idtp": 4, "idf1": 8 / 17},
    ),
    "one object changes its id, the other could but goes on": (
        tracks(
            ["xxxxx", "xxx.."],
            ["xxxx.", "xxxxx"],
            {(0, 1): "...xx", (1, 0): "xx...", (0, 0): "..x..", (1, 1): ".x..."},
        ),
        {"tp": 5, "fn": 3, "fp": 4, "idsw": 1, "mota": 0},
        {"idtp": 4, "idf1": 8 / 17},
    ),
    "two objects are found always, but under five ids": (
        tracks(
            ["xxxxx", "xxxx."],
            ["xx...", "..xx.", "....x", "xx..x", "x.xx."],
            {(0, 0): "xx...", (0, 1): "..xx.", (0, 2): "....x", (1, 3): "xx...", (1, 4): "..xx."},
        ),
        {"tp": 9, "fn": 0, "fp": 2, "idsw": 3, "mota": 4 / 9},
        {"idtp": 4, "idfn": 5, "idfp": 7, "idf1": 0.4},
    ),
}


@pytest.mark.parametrize("name", ANALYTIC)
def test_analytic_cases_count_as_by_hand(name: str) -> None:
    sequence, of_clear, of_identity = ANALYTIC[name]
    for result, expected in ((clear(sequence), of_clear), (identity(sequence), of_identity)):
        assert {key: getattr(result, key) for key in expected} == expected


def test_ids_that_meet_only_through_others_are_matched_together() -> None:
    """0 gives its best id away, because 1 has no other: 3 + 4 frames beat 5 + 0."""
    sequence = tracks(
        ["xxxxxxxx....", "........xxxx"], ["xxxxx...xxxx", ".....xxx...."],
        {(0, 0): "xxxxx.......", (0, 1): ".....xxx....", (1, 0): "........xxxx"},
    )  # fmt: skip
    assert identity(sequence).idtp == 7


def test_without_ground_truth_mota_is_minus_the_false_positives_and_not_valid() -> None:
    result = clear(TrackingSequence.from_frames([frame([], [1, 2, 3], [])]))
    assert (result.fp, result.mota, result.valid) == (3, -3.0, False)
    assert not identity(TrackingSequence.from_frames([frame([], [1], [])])).valid


def test_nothing_at_all_counts_nothing() -> None:
    nothing = TrackingSequence.from_frames([])
    assert clear(nothing) == Clear()
    assert identity(nothing) == Identity()


def test_frame_pair_refuses_an_id_that_occurs_twice() -> None:
    with pytest.raises(ValueError, match="pred_ids of a frame must be unique, found 4 more than once"):
        frame([1], [4, 4], [[0.1, 0.2]])


def test_frame_pair_refuses_a_similarity_of_another_shape_or_range() -> None:
    with pytest.raises(ValueError, match=r"shape \(gt_ids, pred_ids\) = \(1, 2\), found \(2, 1\)"):
        frame([1], [4, 5], [[0.1], [0.2]])
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        frame([1], [4], [[-1]])


ONE_OBJECT = {
    "num_frames": 3,
    "gt_frames": [0, 1], "gt_ids": [5, 5],
    "pred_frames": [1, 1], "pred_ids": [7, 8],
    "gt": [1], "pred": [0], "similarity": [0.5],
}  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"gt_frames": [1, 0]}, r"gt_frames must ascend within \[0, 3\)"),
        ({"pred_frames": [1, 3]}, r"pred_frames must ascend within \[0, 3\)"),
        ({"gt_ids": [5]}, "gt_frames and gt_ids must be of one length, found 2 and 1"),
        ({"pred_ids": [7, 7]}, "pred_ids of a frame must be unique, found 7 more than once in frame 1"),
        ({"gt": [0]}, "must be of one frame"),
        ({"pred": [2]}, "must be rows"),
        ({"similarity": [0.0]}, r"\(0, 1\]"),
        ({"similarity": [float("nan")]}, r"\(0, 1\]"),
        ({"similarity": [0.5, 0.5]}, "must be of one length, found 1, 1, 2"),
        ({"gt": [1, 1], "pred": [0, 0], "similarity": [0.5, 0.6]}, "A pair occurs twice"),
    ],
)
def test_a_sequence_refuses_what_cannot_be(wrong: dict, message: str) -> None:
    TrackingSequence(**ONE_OBJECT)
    with pytest.raises(ValueError, match=message):
        TrackingSequence(**(ONE_OBJECT | wrong))


def test_pairs_in_any_order_are_one_sequence() -> None:
    mixed = TrackingSequence(**(ONE_OBJECT | {"gt": [1, 1], "pred": [1, 0], "similarity": [0.2, 0.9]}))
    assert (mixed.pred.tolist(), mixed.similarity.tolist()) == ([0, 1], [0.9, 0.2])
    assert mixed.dense(1).tolist() == [[0.9, 0.2]]
    assert (mixed.dense(0).shape, mixed.dense(2).shape) == ((1, 0), (0, 0))


def test_box_similarity_is_intersection_over_union() -> None:
    pair = FramePair.from_boxes([1, 2], [[0.1, 0.2, 10.3, 10.7], [0, 0, 4, 4]], [5], [[0.1, 0.2, 10.3, 10.7]])
    assert pair.similarity[0, 0] == 1
    assert pair.similarity[1, 0] == pytest.approx(3.9 * 3.8 / (10.2 * 10.5 + 16 - 3.9 * 3.8))
    assert FramePair.from_boxes([], [], [5], [[0, 0, 1, 1]]).similarity.shape == (0, 1)
    assert FramePair.from_boxes([1], [[3, 3, 3, 3]], [5], [[3, 3, 3, 3]]).similarity[0, 0] == 0


def test_masks_of_two_sizes_are_refused() -> None:
    small, large = {"size": [2, 2], "counts": "04"}, {"size": [3, 3], "counts": "09"}
    with pytest.raises(ValueError, match=r"one size .* found \[\(2, 2\), \(3, 3\)\]"):
        FramePair.from_masks([1], [small], [2], [large])
