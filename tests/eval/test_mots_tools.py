"""mots_tools: recorded answers of the tool, and its rules restated one object and frame at a time."""

from __future__ import annotations

import ast
import json
import math
import os
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as mask_api

from eval.errors import SchemaError
from eval.evaluation import evaluate
from eval.mots_tools_clear import MotsToolsCounts, mots_tools_clear
from eval.sequences import FramePair, TrackingSequence

SHARED = Path(os.environ.get("VOS_OCC_DATA", Path(__file__).parents[2] / ".." / "shared"))
KITTI = SHARED / "data" / "kitti_mots_gt" / "instances_txt.zip"
QUIRKS = SHARED / "fixtures" / "golden_quirks" / "mots_quirks.json"

RECORDED = {
    "sMOTSA": "sMOTSA", "MOTSA": "MOTSA", "MODSA": "MODSA", "MOTSP": "MOTSP", "MODSP": "MODSP", "tp": "TP",
    "fp": "FP", "fn": "FN", "id_switches": "IDSW", "fragments": "Frag", "MT": "MT", "PT": "PT", "ML": "ML",
    "n_itr": "ignored",
}  # fmt: skip
TOLERATED = {"wrong-size pred mask", "frame out of range", "negative id"}  # the tool's own words are in the fixture


def recorded_cases() -> list[dict]:
    return json.loads(QUIRKS.read_text()) if QUIRKS.exists() else []


def written(folder: Path, rows: list) -> Path:
    folder.mkdir()
    (folder / "0000.txt").write_text("".join(f"{t} {i} {c} {s[0]} {s[1]} {code}\n" for t, i, c, s, code in rows))
    return folder


@pytest.mark.skipif(not QUIRKS.exists(), reason=f"no recorded official answers at {QUIRKS}")
@pytest.mark.parametrize("case", recorded_cases(), ids=lambda case: case["name"])
def test_recorded_cases_score_as_the_tool_scored_them(tmp_path: Path, case: dict) -> None:
    gt, pred = written(tmp_path / "gt", case["gt"]), written(tmp_path / "pred", case["trk"])
    seqmap = tmp_path / "map"
    seqmap.write_text(f"0000 empty 000000 {case['T'] - 1:06d}\n")
    answer = case["official"]["mots_tools"]
    refused = answer.startswith("ERR") or case["name"] in TOLERATED or not case["gt"]
    if refused:
        with pytest.raises(SchemaError):
            evaluate("mots_tools", gt, pred, seqmap=seqmap)
    if answer.startswith("ERR"):
        with pytest.raises(SchemaError):
            evaluate("mots_tools", gt, pred, seqmap=seqmap, compat="official")
        return
    expected = ast.literal_eval(answer.replace("-inf", "None").replace("inf", "None"))
    for compat in ("official",) if refused else ("official", None):
        scores = evaluate("mots_tools", gt, pred, seqmap=seqmap, compat=compat).classes["pedestrian"]
        for key, name in RECORDED.items():
            assert scores[name] == (None if expected[key] is None else pytest.approx(expected[key], abs=5e-5)), name


@pytest.mark.skipif(not KITTI.exists(), reason=f"no ground truth of KITTI MOTS at {KITTI}")
def test_ground_truth_of_kitti_scores_one_against_itself() -> None:
    """An object that leaves and returns is not fragmented here: only frames in which it is there are looked at."""
    scores = evaluate("mots_tools", KITTI, KITTI)
    assert set(scores.summary.values()) == {1.0}
    assert {(n["MT"], n["IDSW"], n["Frag"], n["FP"], n["FN"]) for n in scores.classes.values()} == {(1, 0, 0, 0, 0)}


def test_a_prediction_in_two_ignore_regions_is_judged_by_their_union(tmp_path: Path) -> None:
    """40 % in each: the tool counts no false positive, n_itr 1 (golden_quirks/ignore_union_case.txt)."""

    def code(y0: int, y1: int, x1: int) -> str:
        mask = np.zeros((20, 20), np.uint8, order="F")
        mask[y0:y1, :x1] = 1
        return mask_api.encode(mask)["counts"].decode()

    size = (20, 20)
    truth = [(0, 1, 1, size, code(0, 4, 4))]
    regions = [(0, 10000, 10, size, code(10, 14, 10)), (0, 10001, 10, size, code(16, 20, 10))]
    found = [(0, 7, 1, size, code(0, 4, 4)), (0, 8, 1, size, code(10, 20, 10))]
    scores = evaluate("mots_tools", written(tmp_path / "gt", truth + regions), written(tmp_path / "pred", found))
    assert (scores.classes["car"]["FP"], scores.classes["car"]["ignored"]) == (0, 1)


def slow_counts(frames: list[FramePair], ignored_share: list[list[float]]) -> dict[str, float]:
    """The rules of metrics.md 1.2, without arrays."""
    counts: dict[str, float] = defaultdict(float)
    followers: dict[int, list[int | None]] = defaultdict(list)
    for frame, shares in zip(frames, ignored_share, strict=True):
        matched, ious = set(), []
        for g, gt_id in enumerate(frame.gt_ids):
            followers[gt_id].append(None)
            for p, pred_id in enumerate(frame.pred_ids):
                if frame.similarity[g, p] > 0.5:
                    followers[gt_id][-1] = pred_id
                    matched.add(p)
                    ious.append(frame.similarity[g, p])
                    counts["iou_sum"] += frame.similarity[g, p]
        ignored = sum(share > 0.5 and p not in matched for p, share in enumerate(shares))
        counts["tp"] += len(ious)
        counts["fn"] += len(frame.gt_ids) - len(ious)
        counts["fp"] += len(frame.pred_ids) - len(ious) - ignored
        counts["ignored"] += ignored
        counts["precision_sum"] += sum(ious) / len(ious) if ious else 1
    for track in followers.values():
        slow_track(track, counts)
    return counts


def slow_track(track: list[int | None], counts: dict[str, float]) -> None:
    remembered = None
    for f, now in enumerate(track):
        if now is None:
            continue
        at_end = f == len(track) - 1
        changed = f > 0 and track[f - 1] != now
        counts["idsw"] += remembered is not None and remembered != now
        counts["frag"] += changed and (at_end or (remembered is not None and track[f + 1] is not None))
        remembered = now
    ratio = sum(now is not None for now in track) / len(track)
    counts["mt" if ratio > 0.8 else "ml" if ratio < 0.2 else "pt"] += 1


@pytest.mark.parametrize("seed", range(6))
def test_counts_equal_the_rules_restated_slowly(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(25):
        frames, shares = [], []
        for _ in range(rng.integers(1, 12)):
            gt, pred = (rng.permutation(4)[: rng.integers(0, 5)] for _ in range(2))
            similarity = np.zeros((len(gt), len(pred)))
            for g, p in enumerate(rng.permutation(max(similarity.shape, default=0))[: len(gt)]):
                if p < len(pred):
                    similarity[g, p] = rng.choice([0.2, 0.5, 0.5 + 1e-16, 0.500001, 0.8, rng.random()])
            frames.append(FramePair(gt + 1, pred + 1, similarity))
            shares.append(rng.choice([0.0, 0.5, 0.6], len(pred)).tolist())
        result = mots_tools_clear(TrackingSequence.from_frames(frames), np.array(sum(shares, [])))
        expected = slow_counts(frames, shares)
        for name in ("tp", "fn", "fp", "ignored", "idsw", "frag", "mt", "pt", "ml"):
            assert getattr(result, name) == expected[name], (name, frames)
        assert result.iou_sum == pytest.approx(expected["iou_sum"], abs=1e-12)
        assert result.precision_sum == pytest.approx(expected["precision_sum"], abs=1e-12)


def test_an_object_first_found_in_its_last_frame_is_fragmented() -> None:
    """The tool asks whether anything followed the object only after the last frame was entered."""
    found = np.array([[0.9]])
    frames = [FramePair(np.array([1]), np.array([7]), found * (t == 2)) for t in range(3)]
    result = mots_tools_clear(TrackingSequence.from_frames(frames), np.zeros(3))
    assert (result.frag, result.idsw, result.tp, result.fp) == (1, 0, 1, 2)


def test_what_nothing_defines_is_none() -> None:
    nothing = MotsToolsCounts(fp=3, frames=2, precision_sum=2.0)
    assert [nothing.motsa, nothing.smotsa, nothing.modsa, nothing.motsal, nothing.motsp] == [None] * 5
    assert (nothing.modsp, nothing.recall, nothing.precision) == (1, 0, 0)
    assert MotsToolsCounts().modsp is None


def test_motsal_softens_switches() -> None:
    counts = MotsToolsCounts(tp=80, fn=20, idsw=10, iou_sum=70.0)
    assert counts.motsa == pytest.approx(0.7)
    assert counts.motsal == pytest.approx(1 - (20 + math.log10(10)) / 100)
    assert counts.smotsa == pytest.approx(0.6)
