"""Tube AP: recorded official answers, mmdet's copy of the official evaluator, and the rules restated slowly."""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as mask_api

from eval.average_precision import AveragePrecision
from eval.rle import Rle
from eval.tube_ap import Tube, occlusion_score, tube_ap
from eval.tube_iou import tube_ious
from eval.tube_runs import TubeRuns

SHARED = Path(os.environ.get("VOS_OCC_DATA", Path(__file__).parents[2] / ".." / "shared"))
QUIRKS = SHARED / "fixtures" / "golden_quirks" / "ytvis_quirks_official_output.txt"
FIELDS = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar1", "ar10", "ar100")


def rectangle(top: int, left: int, bottom: int, right: int, height: int = 20, width: int = 20) -> Rle:
    mask = np.zeros((height, width), np.uint8, order="F")
    mask[top:bottom, left:right] = 1
    rle = mask_api.encode(mask)
    return {"size": [height, width], "counts": rle["counts"].decode()}


A = rectangle(0, 0, 10, 10)
B = rectangle(10, 10, 20, 20)


def truth(*masks: Rle | None, **kwargs: Any) -> Tube:
    return Tube(**({"video_id": 1, "category_id": 1, "masks": masks} | kwargs))


def found(*masks: Rle | None, score: float = 0.9, **kwargs: Any) -> Tube:
    return truth(*masks, score=score, **kwargs)


# The cases of yq_cases.txt by their recorded names, where the official evaluator takes valid input as we do.
OFFICIAL_CASES: dict[str, tuple[list[Tube], list[Tube]]] = {
    "perfect": ([truth(A, A)], [found(A, A)]),
    "no gt annotations at all": ([], [found(A, A)]),
    "gt of cat1 only, FP in cat2 (class without gt => excluded)": (
        [truth(A, A)],
        [found(A, A), found(B, B, category_id=2)],
    ),
    "pred None second frame": ([truth(A, A)], [found(A, None)]),
    "crowd gt matched twice": (
        [truth(A, A, iscrowd=True), truth(B, B)],
        [found(A, A), found(A, A, score=0.8), found(B, B, score=0.7)],
    ),
    "equal scores stable order": ([truth(A, A)], [found(B, B, score=0.5), found(A, A, score=0.5)]),
}


@pytest.mark.skipif(not QUIRKS.exists(), reason=f"no recorded official answers at {QUIRKS}")
@pytest.mark.parametrize("name", OFFICIAL_CASES)
def test_tube_ap_answers_as_ytvoseval_answered(name: str) -> None:
    answer = re.search(rf"== {re.escape(name)}\n  YT AP (\S+) AP50 (\S+) AR1 (\S+) AR10 (\S+)", QUIRKS.read_text())
    assert answer
    scores = tube_ap(*OFFICIAL_CASES[name])
    ours = [-1 if value is None else value for value in (scores.ap, scores.ap50, scores.ar1, scores.ar10)]
    np.testing.assert_allclose(ours, [float(value) for value in answer.groups()], atol=5e-5)


def test_no_predictions_score_zero_and_no_ground_truth_scores_none() -> None:
    assert tube_ap([truth(A)], []).ap == 0
    assert tube_ap([], []).ap is None
    assert tube_ap([truth(A, iscrowd=True)], [found(A)]).per_category == {1: None}


def test_a_track_on_the_border_of_two_area_ranges_is_in_both() -> None:
    square = rectangle(0, 0, 128, 128, 200, 200)
    scores = tube_ap([truth(square)], [found(square)])
    assert (scores.ap_small, scores.ap_medium) == pytest.approx((1, 1))
    assert scores.ap_large is None


def test_stated_areas_decide_the_range_and_absent_frames_do_not_count() -> None:
    stated = truth(A, None, A, areas=[128.0**2 + 1, None, 128.0**2 + 1])
    assert stated.mean_area() == 128.0**2 + 1
    assert truth(A, None, rectangle(0, 0, 0, 0)).mean_area() == 100
    scores = tube_ap([stated], [found(A, None, A)])
    assert scores.ap_small is None
    assert scores.ap_medium == pytest.approx(1)


def test_tubes_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="Video 1 has tubes of 2 and of 1 frames"):
        tube_ap([truth(A, A)], [found(A)])


def test_masks_of_different_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="must have one size"):
        tube_ap([truth(A)], [found(rectangle(0, 0, 5, 5, 40, 20))])


def test_iou_of_tubes_of_several_shapes_is_refused_unless_any_is_allowed() -> None:
    whole, half = rectangle(0, 0, 4, 4), rectangle(0, 0, 4, 2)
    tube, short, other = (TubeRuns.of(masks) for masks in ([whole, whole], [half], [half, rectangle(0, 0, 4, 4, 40)]))
    with pytest.raises(ValueError, match="of one length"):
        tube_ious([tube], [short])
    with pytest.raises(ValueError, match="one size"):
        tube_ious([tube], [other])
    assert tube_ious([tube], [short, other], any_shape=True).tolist() == [[0.5, 0.5]]


def test_a_score_that_is_not_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="Scores must be finite numbers, found nan"):
        tube_ap([truth(A)], [found(A, score=float("nan"))])


def test_occlusion_is_the_mean_over_the_half_of_the_frames_that_hides_most() -> None:
    no, slight, severe = "no_occlusion", "slight_occlusion", "severe_occlusion"
    assert occlusion_score([severe, slight, no, no]) == 0.5
    assert occlusion_score([no, None, severe, None, slight]) == 0.5
    assert occlusion_score([no, no, slight]) == 0.125
    assert occlusion_score([severe]) == 0.75
    assert occlusion_score([None, None]) is None


def test_objects_on_the_border_of_two_ranges_of_occlusion_are_in_both_and_wrong_tubes_in_all() -> None:
    border, hidden, unknown = truth(A, occlusion=0.25), truth(B, occlusion=0.75), truth(A, category_id=2)
    tubes = [found(A, score=0.9), found(rectangle(0, 10, 9, 20), score=0.8), found(B, score=0.7)]
    scores = tube_ap([border, hidden, unknown], [*tubes, found(A, category_id=2)], by_occlusion=True)
    assert scores.ap_by_occlusion == (pytest.approx(1), pytest.approx(1), pytest.approx(1 / 2))
    assert scores.per_category[2] == pytest.approx(1)


def random_tubes(rng: np.random.Generator, count: int, scores: list[float]) -> list[Tube]:
    """Tubes over three videos of four frames, on few places, so that IoUs and scores tie often."""
    tubes = []
    for _ in range(count):
        top, left, size = rng.integers(0, 3, 3) * 60
        place = rectangle(top, left, top + 60 + size, left + 120, 256, 256)
        masks = [place if rng.random() < 0.8 else None for _ in range(4)]
        tubes.append(
            Tube(
                video_id=int(rng.integers(1, 4)),
                category_id=int(rng.integers(1, 4)),
                masks=masks,
                score=float(rng.choice(scores)),
                iscrowd=bool(rng.random() < 0.1),
            )
        )
    return tubes


@pytest.mark.parametrize("seed", range(4))
def test_tube_ap_equals_its_rules_restated_slowly(seed: int) -> None:
    MEASURED.clear()
    rng = np.random.default_rng(seed)
    ground_truth = random_tubes(rng, 25, [1.0])
    predictions = random_tubes(rng, 60, [0.1, 0.4, 0.5, 0.9])
    assert_same(tube_ap(ground_truth, predictions), slow_tube_ap(ground_truth, predictions))


def slow_tube_ap(ground_truth: list[Tube], predictions: list[Tube]) -> dict[str, float]:
    """YTVOSeval's rules one object, one threshold and one area at a time, on dense masks."""
    ranges = [(0, 1e10), (0, 128**2), (128**2, 256**2), (256**2, 1e10)]
    thresholds = [min(t, 1 - 1e-10) for t in np.linspace(0.5, 0.95, 10)]
    precision, recall = {}, {}
    for category in sorted({tube.category_id for tube in ground_truth}):
        for a, area_range in enumerate(ranges):
            for t, threshold in enumerate(thresholds):
                for limit in (1, 10, 100):
                    outcomes, objects = [], 0
                    for video in sorted({tube.video_id for tube in ground_truth + predictions}):
                        truths = [g for g in ground_truth if (g.video_id, g.category_id) == (video, category)]
                        tubes = [d for d in predictions if (d.video_id, d.category_id) == (video, category)]
                        found_here, count = slow_match(truths, tubes, threshold, area_range)
                        outcomes += found_here[:limit]
                        objects += count
                    if objects:
                        precision[a, t, category, limit], recall[a, t, category, limit] = slow_curve(outcomes, objects)

    def mean(table: dict, a: int, limit: int, t: int | None = None) -> float:
        values = [v for k, v in table.items() if k[0] == a and k[3] == limit and t in (None, k[1])]
        return float(np.mean(values)) if values else -1

    return {
        **{name: mean(precision, a, 100) for a, name in enumerate(("ap", "ap_small", "ap_medium", "ap_large"))},
        **{"ap50": mean(precision, 0, 100, 0), "ap75": mean(precision, 0, 100, 5)},
        **{f"ar{limit}": mean(recall, 0, limit) for limit in (1, 10, 100)},
    }


def slow_match(truths: list[Tube], tubes: list[Tube], threshold: float, area_range: tuple) -> tuple[list, int]:
    """(score, outcome) of each tube, best first, outcome TP, FP or ignored; and the number of objects that count."""

    def outside(tube: Tube) -> bool:
        return not area_range[0] <= dense_area(tube) <= area_range[1]

    truths = sorted(truths, key=lambda g: g.iscrowd or outside(g))
    ignored = [g.iscrowd or outside(g) for g in truths]
    taken: set[int] = set()
    outcomes = []
    for d in sorted(tubes, key=lambda d: -d.score)[:100]:
        best, chosen = threshold, None
        for i, g in enumerate(truths):
            if i in taken and not g.iscrowd:
                continue
            if chosen is not None and not ignored[chosen] and ignored[i]:
                break
            if dense_iou(d, g) >= best:
                best, chosen = dense_iou(d, g), i
        if chosen is None:
            outcomes.append((d.score, "ignored" if outside(d) else "FP"))
        else:
            taken.add(chosen)
            outcomes.append((d.score, "ignored" if ignored[chosen] else "TP"))
    return outcomes, ignored.count(False)


def slow_curve(outcomes: list, objects: int) -> tuple[float, float]:
    """Mean of the precision at 101 recalls, and the highest recall."""
    points, tp, fp = [], 0, 0
    for _, outcome in sorted(outcomes, key=lambda o: -o[0]):
        tp, fp = tp + (outcome == "TP"), fp + (outcome == "FP")
        points.append((tp / objects, tp / (tp + fp + np.spacing(1))))
    at = [max([p for r, p in points if r >= wanted], default=0.0) for wanted in np.linspace(0, 1, 101)]
    return float(np.mean(at)), points[-1][0] if points else 0.0


@functools.cache
def decode(counts: str) -> np.ndarray:
    return mask_api.decode({"size": [256, 256], "counts": counts}).astype(bool)


def dense(tube: Tube) -> np.ndarray:
    return np.stack([np.zeros((256, 256), bool) if m is None else decode(m["counts"]) for m in tube.masks])


def dense_area(tube: Tube) -> float:
    key = id(tube), 0
    if key not in MEASURED:
        areas = [area for area in dense(tube).sum((1, 2)) if area]
        MEASURED[key] = float(np.mean(areas)) if areas else 0.0
    return MEASURED[key]


MEASURED: dict[tuple[int, int], float] = {}  # by the ids of tubes, which live as long as their test


def dense_iou(first: Tube, second: Tube) -> float:
    key = id(first), id(second)
    if key not in MEASURED:
        a, b = dense(first), dense(second)
        MEASURED[key] = (a & b).sum() / max(1, (a | b).sum())
        assert tube_ious([first.decoded], [second.decoded])[0, 0] == MEASURED[key]
    return MEASURED[key]


def assert_same(scores: AveragePrecision, expected: dict[str, float]) -> None:
    for name in FIELDS:
        value = getattr(scores, name)
        assert (-1 if value is None else value) == pytest.approx(expected[name], abs=1e-12), name
