"""COCO's greedy matching and its average precision, for anything that has an IoU, a score and an area.

Knows nothing of masks, boxes or videos: `tube_ap` and `image_ap` hand over one `Group` per (video or image, category).
The rules, ties and thresholds are those of pycocotools 2.0.11 `COCOeval` and of YouTube-VIS' `YTVOSeval`, which share
them. GT order, detection order and group order break ties, so they must be those of the files.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)  # the constructor, not the literals: [8] is .8999999999999999
RECALLS = np.linspace(0, 1, 101)
MAX_DETECTIONS = (1, 10, 100)  # per group
AREA_NAMES = ("all", "small", "medium", "large")

AreaRanges = Sequence[tuple[float, float]]  # in the order of AREA_NAMES, closed at both ends
Curve = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class AveragePrecision:
    """Average precision and recall, each in [0, 1], or None where no ground truth defines it.

    Attributes:
        ap, ap50, ap75: Precision averaged over 101 recalls and the categories; over IoU .50:.05:.95, at .50, at .75.
        ap_small, ap_medium, ap_large: As `ap`, of objects in that range of areas.
        ar1, ar10, ar100: Recall averaged over IoU .50:.05:.95 with at most so many detections per group.
        per_category: `ap` of each category that occurs in ground truth or detections.
    """

    ap: float | None
    ap50: float | None
    ap75: float | None
    ap_small: float | None
    ap_medium: float | None
    ap_large: float | None
    ar1: float | None
    ar10: float | None
    ar100: float | None
    per_category: Mapping[int, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Group:
    """The D detections and G ground-truth objects of one category in one video or image.

    Attributes:
        category_id: The category.
        scores: (D,) descending, at most MAX_DETECTIONS[-1]; see `rank`.
        ious: (D, G) in [0, 1].
        detection_areas: (D,) pixels.
        truth_areas: (G,) pixels.
        crowd: (G,) bool. A crowd may be matched by many detections.
        ignored: (G,) bool. Neither to be found nor wrong to find; crowds are ignored without saying so.
    """

    category_id: int
    scores: NDArray[np.float64]
    ious: NDArray[np.float64]
    detection_areas: NDArray[np.float64]
    truth_areas: NDArray[np.float64]
    crowd: NDArray[np.bool_]
    ignored: NDArray[np.bool_]


@dataclass(frozen=True)
class _Matches:
    """What became of one group's detections: area range A, IoU threshold T, detection D."""

    scores: NDArray[np.float64]  # (D,)
    positive: NDArray[np.bool_]  # (A, T, D) matched an object that counts
    negative: NDArray[np.bool_]  # (A, T, D) matched nothing, and counts
    objects: NDArray[np.int64]  # (A,) ground-truth objects that count


def rank(scores: Sequence[float]) -> NDArray[np.int64]:
    """Indices of the detections that count, best first; equal scores keep their order.

    Raises:
        ValueError: A score is not finite; the officials sort NaN last and keep it.
    """
    values = np.asarray(scores, np.float64)
    if not np.isfinite(values).all():
        raise ValueError(f"Scores must be finite numbers, found {values[~np.isfinite(values)][0]}.")
    return np.argsort(-values, kind="stable")[: MAX_DETECTIONS[-1]]


def average_precision(groups: Iterable[Group], area_ranges: AreaRanges) -> AveragePrecision:
    """Match every group and average over categories.

    Args:
        groups: In the order of their video or image ids, which breaks ties of scores between groups.
        area_ranges: (lowest, highest) area in pixels for each of AREA_NAMES.
    """
    matches: dict[int, list[_Matches]] = defaultdict(list)
    for group in groups:
        matches[group.category_id].append(_match(group, area_ranges))
    categories = sorted(matches)
    by_area = [[_curve(matches[c], a, MAX_DETECTIONS[-1]) for c in categories] for a in range(len(AREA_NAMES))]
    by_limit = [[_curve(matches[c], 0, limit) for c in categories] for limit in MAX_DETECTIONS]
    return AveragePrecision(
        ap=_mean_precision(by_area[0]),
        ap50=_mean_precision(by_area[0], slice(0, 1)),
        ap75=_mean_precision(by_area[0], slice(5, 6)),
        ap_small=_mean_precision(by_area[1]),
        ap_medium=_mean_precision(by_area[2]),
        ap_large=_mean_precision(by_area[3]),
        ar1=_mean_recall(by_limit[0]),
        ar10=_mean_recall(by_limit[1]),
        ar100=_mean_recall(by_limit[2]),
        per_category={c: _mean_precision([curve]) for c, curve in zip(categories, by_area[0], strict=True)},
    )


def _match(group: Group, area_ranges: AreaRanges) -> _Matches:
    """Give each detection, best first, the free object of highest IoU, for all areas and thresholds at once.

    An ignored object is taken only where no other qualifies, and of equal IoUs the later object wins: COCOeval walks
    the objects in order, ignored ones last, and replaces its choice on `>=`.
    """
    low, high = np.asarray(area_ranges, np.float64).T[:, :, None]
    ignored = group.ignored | group.crowd | _outside(group.truth_areas, low, high)  # (A, G)
    thresholds = np.minimum(IOU_THRESHOLDS, 1 - 1e-10)
    shape = (len(area_ranges), len(thresholds))
    num_detections, num_objects = group.ious.shape
    taken = np.zeros((*shape, num_objects), bool)
    matched = np.zeros((*shape, num_detections), bool)
    void = np.zeros((*shape, num_detections), bool)
    for d in range(num_detections if num_objects else 0):
        iou = group.ious[d]
        candidate = (iou >= thresholds[:, None]) & (group.crowd | ~taken)  # (A, T, G)
        regular = candidate & ~ignored[:, None]
        candidate = np.where(regular.any(-1, keepdims=True), regular, candidate)
        last_best = num_objects - 1 - np.where(candidate, iou, -1.0)[..., ::-1].argmax(-1)
        matched[..., d] = candidate.any(-1)
        a, t = np.nonzero(matched[..., d])
        taken[a, t, last_best[a, t]] = True
        void[a, t, d] = ignored[a, last_best[a, t]]
    void |= ~matched & _outside(group.detection_areas, low, high)[:, None]
    return _Matches(group.scores, matched & ~void, ~matched & ~void, (~ignored).sum(1))


def _outside(values: NDArray, low: NDArray, high: NDArray) -> NDArray[np.bool_]:
    return (values < low) | (values > high)


def _curve(matches: Sequence[_Matches], area: int, limit: int) -> Curve | None:
    """Precision at RECALLS (T, 101) and the highest recall (T,) of one category; None without ground truth."""
    objects = sum(int(m.objects[area]) for m in matches)
    if objects == 0:
        return None
    order = np.argsort(-np.concatenate([m.scores[:limit] for m in matches]), kind="stable")
    positive = np.concatenate([m.positive[area, :, :limit] for m in matches], axis=1)[:, order].cumsum(1)
    negative = np.concatenate([m.negative[area, :, :limit] for m in matches], axis=1)[:, order].cumsum(1)
    recall = positive / objects
    precision = positive / (negative + positive + np.spacing(1))
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    sampled = np.zeros((len(IOU_THRESHOLDS), len(RECALLS)))
    for t in range(len(IOU_THRESHOLDS)):
        reached = np.searchsorted(recall[t], RECALLS, side="left")
        inside = reached < len(order)
        sampled[t, inside] = precision[t, reached[inside]]
    return sampled, recall[:, -1] if len(order) else np.zeros(len(IOU_THRESHOLDS))


def _mean_precision(curves: Iterable[Curve | None], thresholds: slice = slice(None)) -> float | None:
    defined = [curve[0][thresholds] for curve in curves if curve is not None]
    return float(np.mean(np.stack(defined, axis=-1))) if defined else None


def _mean_recall(curves: Iterable[Curve | None]) -> float | None:
    defined = [curve[1] for curve in curves if curve is not None]
    return float(np.mean(np.stack(defined, axis=-1))) if defined else None
