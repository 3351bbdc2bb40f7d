"""HOTA against TrackEval 1.3.0, alone and added up, and on its recorded answers."""

from __future__ import annotations

import ast
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from eval.hota import ALPHAS, Hota, hota
from eval.sequences import FramePair, TrackingSequence

SHARED = Path(os.environ.get("VOS_OCC_DATA", Path(__file__).parents[2] / ".." / "shared"))
QUIRKS = SHARED / "fixtures" / "golden_quirks"

BY_ALPHA = {
    "HOTA": "hota_by_alpha", "DetA": "det_a_by_alpha", "AssA": "ass_a_by_alpha", "DetRe": "det_re_by_alpha",
    "DetPr": "det_pr_by_alpha", "AssRe": "ass_re_by_alpha", "AssPr": "ass_pr_by_alpha", "LocA": "loc_a_by_alpha",
    "OWTA": "owta_by_alpha", "HOTA_TP": "tp", "HOTA_FN": "fn", "HOTA_FP": "fp", "HOTA(0)": "hota_0",
    "LocA(0)": "loc_a_0",
}  # fmt: skip
MEANS = {
    "HOTA": "hota", "DetA": "det_a", "AssA": "ass_a", "DetRe": "det_re", "DetPr": "det_pr", "AssRe": "ass_re",
    "AssPr": "ass_pr", "LocA": "loc_a", "OWTA": "owta",
}  # fmt: skip


def similarities(rng: np.random.Generator, kind: int, gt: np.ndarray, pred: np.ndarray) -> np.ndarray:
    """Four worlds: ties everywhere; dense noise; sparse values on the thresholds; masks that touch their neighbours."""
    shape = (len(gt), len(pred))
    if kind == 0:
        return rng.choice([0, 0.3, 0.5, 0.5 - 1e-16, 0.7, rng.random()], shape)
    if kind == 1:
        return rng.random(shape) ** 3
    if kind == 2:
        return np.where(rng.random(shape) < 0.25, rng.choice([*ALPHAS[:3], 0.25, 0.5, 1.0], shape), 0.0)
    touching = rng.random(shape) * 0.1 * (rng.random(shape) < 0.3)
    return np.where((gt[:, None] == pred) & (rng.random(shape) < 0.8), 0.5 + rng.random(shape) / 2, touching)


def random_sequence(rng: np.random.Generator, kind: int) -> list[FramePair]:
    """Up to 15 frames of up to 12 against 12 ids; many are empty on one side, or on both."""
    frames = []
    num_gt, num_pred = rng.integers(1, 13, 2)
    for _ in range(rng.integers(1, 16)):
        gt = rng.permutation(num_gt)[: rng.integers(0, num_gt + 1)]
        pred = rng.permutation(num_pred)[: rng.integers(0, num_pred + 1)]
        frames.append(FramePair(gt * 3 + 1, pred * 7, similarities(rng, kind, gt, pred)))
    return frames


@pytest.mark.parametrize("kind", range(4))
def test_hota_equals_trackeval_on_random_sequences(kind: int, trackeval_data: Callable) -> None:
    oracle = pytest.importorskip("trackeval", reason="TrackEval, the oracle, is not installed").metrics.HOTA()
    rng = np.random.default_rng(kind)
    sequences = [random_sequence(rng, kind) for _ in range(40)]
    theirs = [oracle.eval_sequence(trackeval_data(frames)) for frames in sequences]
    ours = [hota(TrackingSequence.from_frames(frames)) for frames in sequences]
    together = oracle.combine_sequences(dict(enumerate(theirs)))
    for their_result, our_result in zip((*theirs, together), (*ours, sum(ours, Hota())), strict=True):
        for official, name in BY_ALPHA.items():
            np.testing.assert_allclose(getattr(our_result, name), their_result[official], rtol=0, atol=1e-15)
        for official, name in MEANS.items():
            assert getattr(our_result, name) == pytest.approx(np.mean(their_result[official]), abs=1e-15)


def quirk_cases() -> list:
    """The recorded cases that TrackEval scored and that need no protocol: ignore regions are applied before us."""
    path = QUIRKS / "mots_quirks.json"
    cases = json.loads(path.read_text()) if path.exists() else []
    answers = [case["official"]["trackeval_1.3.0_kitti_mots"] for case in cases]
    return [c for c, a in zip(cases, answers, strict=True) if a.startswith("{") and {row[2] for row in c["gt"]} <= {2}]


@pytest.mark.skipif(not QUIRKS.exists(), reason=f"no recorded official answers at {QUIRKS}")
@pytest.mark.parametrize("case", quirk_cases(), ids=lambda case: case["name"])
def test_recorded_mots_cases_score_as_trackeval_scored_them(case: dict) -> None:
    frames = []
    for t in range(case["T"]):
        sides = []
        for rows in (case["gt"], case["trk"]):
            rows = [row for row in rows if row[0] == t and row[2] == 2]
            sides += [[row[1] for row in rows], [{"size": row[3], "counts": row[4]} for row in rows]]
        frames.append(FramePair.from_masks(*sides))
    result = hota(TrackingSequence.from_frames(frames))
    expected = ast.literal_eval(re.findall(r"\{[^}]*\}", case["official"]["trackeval_1.3.0_kitti_mots"])[2])
    assert {name: round(getattr(result, MEANS[name]), 4) for name in expected} == expected


def test_a_perfect_answer_scores_one_whatever_its_ids_are_called() -> None:
    frames = [FramePair(np.array([1, 2]), np.array([9, 4]), np.eye(2)) for _ in range(3)]
    result = hota(TrackingSequence.from_frames(frames))
    assert {name: getattr(result, name) for name in MEANS.values()} == dict.fromkeys(MEANS.values(), 1.0)


def test_one_object_under_two_ids_is_found_but_half_associated() -> None:
    frames = [FramePair(np.array([1]), np.array([t // 2]), np.array([[1.0]])) for t in range(4)]
    result = hota(TrackingSequence.from_frames(frames))
    assert (result.det_a, result.ass_a, result.ass_re, result.ass_pr) == (1, 0.5, 0.5, 1)
    assert result.hota == pytest.approx(np.sqrt(0.5))


def test_nothing_found_has_no_errors_of_place() -> None:
    result = hota(TrackingSequence.from_frames([FramePair(np.array([1]), np.array([]), np.zeros((1, 0)))]))
    assert (result.hota, result.loc_a, result.fn.tolist()) == (0, 1, [1] * 19)
    assert result.valid
    nothing = hota(TrackingSequence.from_frames([]))
    assert (nothing.hota, nothing.loc_a, nothing.valid) == (0, 1, False)
