"""Tube AP and image AP: official answers, pycocotools, and the rules restated slowly."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as mask_api
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from eval.average_precision import AveragePrecision
from eval.image_ap import ImageObject, image_ap
from eval.readers.coco import read_coco, read_coco_results
from eval.rle import Rle
from eval.tube_ap import Tube, tube_ap, tube_ious

SHARED = Path(os.environ.get("VOS_OCC_DATA", Path(__file__).parents[2] / ".." / "shared"))
QUIRKS = SHARED / "fixtures" / "golden_quirks" / "ytvis_quirks_official_output.txt"
COCO_100 = SHARED / "fixtures" / "coco_val2014_100"
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


def test_a_score_that_is_not_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="Scores must be finite numbers, found nan"):
        tube_ap([truth(A)], [found(A, score=float("nan"))])


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
        assert tube_ious([first], [second])[0, 0] == MEASURED[key]
    return MEASURED[key]


def assert_same(scores: AveragePrecision, expected: dict[str, float]) -> None:
    for name in FIELDS:
        value = getattr(scores, name)
        assert (-1 if value is None else value) == pytest.approx(expected[name], abs=1e-12), name


def official_coco(ground_truth: list[dict], detections: list[dict], iou_type: str) -> dict[str, float]:
    """pycocotools' own numbers, without its printing."""
    images = sorted({a["image_id"] for a in ground_truth + detections})
    categories = sorted({a["category_id"] for a in ground_truth})
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": i, "height": 100, "width": 100} for i in images],
            "categories": [{"id": i} for i in categories],
            "annotations": ground_truth,
            "info": {},
        }
        coco.createIndex()
        evaluator = COCOeval(coco, coco.loadRes(detections), iou_type)
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return dict(zip(FIELDS, (float(v) for v in evaluator.stats), strict=False))


def random_instances(rng: np.random.Generator, count: int, truths: bool) -> list[dict]:
    instances = []
    for i in range(count):
        top, left, height, width = (int(v) for v in (*rng.integers(0, 3, 2) * 10, *rng.integers(1, 5, 2) * 12))
        bottom, right = min(100, top + height), min(100, left + width)
        instances.append(
            {
                "id": i + 1,
                "image_id": int(rng.integers(1, 4)),
                "category_id": int(rng.integers(1, 3)),
                "segmentation": rectangle(top, left, bottom, right, 100, 100),
                "bbox": [left, top, right - left, bottom - top],
                "area": float((bottom - top) * (right - left)),
            }
            | ({"iscrowd": int(rng.random() < 0.1)} if truths else {"score": float(rng.choice([0.2, 0.5, 0.9]))})
        )
    return instances


def image_object(raw: dict) -> ImageObject:
    return ImageObject(
        image_id=raw["image_id"],
        category_id=raw["category_id"],
        mask=raw.get("segmentation"),
        bbox=tuple(raw["bbox"]) if "bbox" in raw else None,
        score=raw.get("score", 1.0),
        iscrowd=bool(raw.get("iscrowd", 0)),
    )


@pytest.mark.parametrize("iou_type", ["segm", "bbox"])
@pytest.mark.parametrize("seed", range(4))
def test_image_ap_equals_pycocotools_on_random_scenes(seed: int, iou_type: Any) -> None:
    rng = np.random.default_rng(seed)
    ground_truth, detections = random_instances(rng, 30, True), random_instances(rng, 90, False)
    ours = image_ap([image_object(g) for g in ground_truth], [image_object(d) for d in detections], iou_type)
    assert_same(ours, official_coco(ground_truth, detections, iou_type))


def test_ignored_objects_are_neither_to_be_found_nor_wrong_to_find() -> None:
    def at(mask: Rle, **kwargs: Any) -> ImageObject:
        return ImageObject(image_id=1, category_id=1, mask=mask, **kwargs)

    hidden, open_to_view = at(A), at(B, ignored=True)
    assert image_ap([hidden, open_to_view], [at(B), at(A, score=0.5)]).ap == pytest.approx(1)
    assert image_ap([hidden, open_to_view], []).ar100 == 0
    twice = image_ap([hidden, open_to_view], [at(B), at(B, score=0.8), at(A, score=0.5)])
    assert twice.ap == pytest.approx(0.5), "unlike a crowd, an ignored object excuses one detection only"


def test_an_object_without_the_thing_to_compare_is_refused() -> None:
    thing = ImageObject(image_id=7, category_id=2, mask=A)
    with pytest.raises(ValueError, match=r"image 7 \(category 2\) has no bbox"):
        image_ap([thing], [thing], "bbox")


# pycocotools 2.0.11 on these files (segm), and the three printed decimals of val2014_fake_eval_res.txt (bbox).
COCO_100_SEGM = (0.319545, 0.562288, 0.298927, 0.387374, 0.310183, 0.326934, 0.268230, 0.415449, 0.416839)
COCO_100_BBOX = (0.505, 0.697, 0.573, 0.586, 0.519, 0.501, 0.387, 0.594, 0.595)


@pytest.mark.skipif(not COCO_100.exists(), reason=f"no COCO sample at {COCO_100}")
@pytest.mark.parametrize(
    ("iou_type", "expected", "tolerance"), [("segm", COCO_100_SEGM, 5e-7), ("bbox", COCO_100_BBOX, 5e-4)]
)
def test_image_ap_on_a_hundred_coco_images(iou_type: Any, expected: tuple, tolerance: float) -> None:
    dataset = read_coco(COCO_100 / "instances_val2014_100.json")
    results = json.loads((COCO_100 / f"instances_val2014_fake{iou_type}100_results.json").read_text())
    assert len(results) == 734
    detections = read_coco_results(COCO_100 / f"instances_val2014_fake{iou_type}100_results.json", dataset)
    scores = image_ap(dataset.objects(), detections, iou_type)
    np.testing.assert_allclose([getattr(scores, name) for name in FIELDS], expected, atol=tolerance)
