"""COCO's greedy matching and its average precision, for anything that has an IoU, a score and an area.

Knows nothing of masks, boxes or videos: `tube_ap` and `image_ap` hand over one `Group` per (video or image, category).
The rules, ties and thresholds are those of pycocotools 2.0.11 `COCOeval` and of YouTube-VIS' `YTVOSeval`, which share
them; ranges of occlusion are those of OVIS' `OVISeval`. GT order, detection order and group order break ties, so they
must be those of the files.

Two steps, so that groups can be matched by different workers: `match_group` makes small `Matches`, and `Curves.of`
joins those of all groups.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)  # the constructor, not the literals: [8] is .8999999999999999
RECALLS = np.linspace(0, 1, 101)
MAX_DETECTIONS = (1, 10, 100)  # per group
AREA_NAMES = ("all", "small", "medium", "large")
NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")  # in COCO's order

Span = tuple[float, float]  # closed at both ends
AreaRanges = Sequence[Span]  # in the order of AREA_NAMES


@dataclass(frozen=True)
class AveragePrecision:
    """Average precision and recall, each in [0, 1], or None where no ground truth defines it.

    Attributes:
        ap, ap50, ap75: Precision averaged over 101 recalls and the categories; over IoU .50:.05:.95, at .50, at .75.
        ap_small, ap_medium, ap_large: As `ap`, of objects in that range of areas.
        ar1, ar10, ar100: Recall averaged over IoU .50:.05:.95 with at most so many detections per group.
        ar_small, ar_medium, ar_large: As `ar100`, of objects in that range of areas.
        per_category: `ap` of each category that occurs in ground truth or detections.
        ap_by_occlusion: As `ap`, of objects in each of the ranges of occlusion that were asked for.
        curves: What all of them are means of.
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
    ar_small: float | None = None
    ar_medium: float | None = None
    ar_large: float | None = None
    per_category: Mapping[int, float | None] = field(default_factory=dict)
    ap_by_occlusion: tuple[float | None, ...] = ()
    curves: Curves | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Group:
    """The D detections and G ground-truth objects of one category in one video or image.

    Attributes:
        category_id: The category.
        scores: (D,) descending, at most MAX_DETECTIONS[-1]; see `rank`.
        ious: (D, G) in [0, 1]; only those that reach the lowest of IOU_THRESHOLDS need be exact.
        detection_areas: (D,) pixels.
        truth_areas: (G,) pixels.
        crowd: (G,) bool. A crowd may be matched by many detections.
        ignored: (G,) bool. Neither to be found nor wrong to find; crowds are ignored without saying so.
        occlusion: (G,) how much of each object is hidden, NaN where nobody knows; None where nobody asks.
        lost: (G,) bool. Who matches such an object keeps it from others, but counts as having matched nothing: what
            the officials make of an annotation with id 0. None: no such object.
    """

    category_id: int
    scores: NDArray[np.float64]
    ious: NDArray[np.float64]
    detection_areas: NDArray[np.float64]
    truth_areas: NDArray[np.float64]
    crowd: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
    occlusion: NDArray[np.float64] | None = None
    lost: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Matches:
    """What became of one group's detections: range A (of areas, then of occlusion), IoU threshold T, detection D."""

    category_id: int
    scores: NDArray[np.float64]  # (D,)
    positive: NDArray[np.bool_]  # (D, A, T) matched an object that counts
    negative: NDArray[np.bool_]  # (D, A, T) matched nothing, and counts
    objects: NDArray[np.int64]  # (A,) ground-truth objects that count


def rank(scores: Sequence[float], limit: int = MAX_DETECTIONS[-1]) -> NDArray[np.int64]:
    """Indices of the detections that count, best first, no more than the limit; equal scores keep their order.

    Raises:
        ValueError: A score is not finite; the officials sort NaN last and keep it.
    """
    values = np.asarray(scores, np.float64)
    if not np.isfinite(values).all():
        raise ValueError(f"Scores must be finite numbers, found {values[~np.isfinite(values)][0]}.")
    return np.argsort(-values, kind="stable")[:limit]


def average_precision(
    groups: Iterable[Group], area_ranges: AreaRanges, occlusion_ranges: Sequence[Span] = ()
) -> AveragePrecision:
    """Match every group and average over categories.

    Args:
        groups: In the order of their video or image ids, which breaks ties of scores between groups.
        area_ranges: (lowest, highest) area in pixels for each of AREA_NAMES.
        occlusion_ranges: (lowest, highest) occlusion of the groups of `ap_by_occlusion`.
    """
    return Curves.of(match_group(group, area_ranges, occlusion_ranges) for group in groups).summary()


def match_group(group: Group, area_ranges: AreaRanges, occlusion_ranges: Sequence[Span] = ()) -> Matches:
    """Give each detection, best first, the free object of highest IoU, for all ranges and thresholds at once.

    An ignored object is taken only where no other qualifies, and of equal IoUs the later object wins: COCOeval walks
    the objects in order, ignored ones last, and replaces its choice on `>=`. Detections have an area but no occlusion,
    so one that matches nothing is wrong in every range of occlusion.
    """
    ignored = _ignored(group, area_ranges, occlusion_ranges)
    thresholds = np.minimum(IOU_THRESHOLDS, 1 - 1e-10)
    shape = (len(group.scores), len(ignored), len(thresholds))
    taken = np.zeros((len(group.crowd), *shape[1:]), bool)
    matched, void, lost = np.zeros(shape, bool), np.zeros(shape, bool), np.zeros(shape, bool)
    reached = group.ious >= thresholds[0]
    for d in np.flatnonzero(reached.any(1)):
        objects = np.flatnonzero(reached[d])
        free = (group.ious[d, objects, None] >= thresholds)[:, None] & (
            group.crowd[objects, None, None] | ~taken[objects]
        )
        chosen = free if len(objects) == 1 else _choose(free, group.ious[d, objects], ignored.T[objects])
        taken[objects] |= chosen
        matched[d] = chosen.any(0)
        void[d] = (chosen & ignored.T[objects, :, None]).any(0)
        if group.lost is not None:
            lost[d] = (chosen & group.lost[objects, None, None]).any(0)
    matched &= ~lost
    low, high = _edges(area_ranges, len(ignored))
    void |= ~matched & _outside(group.detection_areas, low, high).T[:, :, None]
    return Matches(group.category_id, group.scores, matched & ~void, ~matched & ~void, (~ignored).sum(1))


def _choose(free: NDArray[np.bool_], ious: NDArray[np.float64], ignored: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Of the objects (G, A, T) that are free for a detection the one that it takes, at most one for each A and T."""
    regular = free & ~ignored[:, :, None]
    free = np.where(regular.any(0), regular, free)
    last_best = len(ious) - 1 - np.where(free, ious[:, None, None], -1.0)[::-1].argmax(0)
    return free & (np.arange(len(ious))[:, None, None] == last_best)


def _ignored(group: Group, area_ranges: AreaRanges, occlusion_ranges: Sequence[Span]) -> NDArray[np.bool_]:
    """(A, G) which objects do not count in which range."""
    ignored = [group.ignored | group.crowd | _outside(group.truth_areas, *span) for span in area_ranges]
    for span in occlusion_ranges:
        assert group.occlusion is not None
        unknown = np.isnan(group.occlusion)
        ignored.append(ignored[0] | unknown | _outside(group.occlusion, *span))
    return np.stack(ignored)


def _edges(area_ranges: AreaRanges, ranges: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest and highest area (A, 1) of all ranges; those of occlusion hold all areas that the first range holds."""
    edges = np.array([*area_ranges, *[area_ranges[0]] * (ranges - len(area_ranges))], np.float64)
    return edges[:, :1], edges[:, 1:]


def _outside(values: NDArray, low: ArrayLike, high: ArrayLike) -> NDArray[np.bool_]:
    return (values < low) | (values > high)


@dataclass(frozen=True)
class Curves:
    """Precision and recall by threshold T, recall R, category K, range A and limit M; NaN without ground truth.

    Attributes:
        categories: (K,) ids, ascending.
        precision: (T, R, K, A) at RECALLS, with all ranked detections of each group.
        recall: (T, K, A, M) the highest, with each of the limits.
    """

    categories: tuple[int, ...]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]

    @classmethod
    def of(cls, matches: Iterable[Matches], limits: Sequence[int] = MAX_DETECTIONS) -> Curves:
        """Join the matches of all groups, given in the order of their video or image ids.

        Args:
            matches: Of groups that were ranked with the highest limit.
            limits: Detections per group for each recall, ascending.
        """
        by_category: dict[int, list[Matches]] = defaultdict(list)
        for group in matches:
            by_category[group.category_id].append(group)
        categories = tuple(sorted(by_category))
        ranges = len(by_category[categories[0]][0].objects) if categories else len(AREA_NAMES)
        precision = np.full((len(IOU_THRESHOLDS), len(RECALLS), len(categories), ranges), np.nan)
        recall = np.full((len(IOU_THRESHOLDS), len(categories), ranges, len(limits)), np.nan)
        for k, category_id in enumerate(categories):
            groups = by_category[category_id]
            objects = np.sum([group.objects for group in groups], axis=0)
            order = np.argsort(-np.concatenate([group.scores for group in groups]), kind="stable")
            positive = np.concatenate([group.positive for group in groups])[order]
            negative = np.concatenate([group.negative for group in groups])[order]
            for a in np.flatnonzero(objects):
                precision[:, :, k, a] = _precision(positive[:, a].T, negative[:, a].T, objects[a])
                for m, limit in enumerate(limits):
                    found = np.sum([group.positive[:limit, a].sum(0) for group in groups], axis=0)
                    recall[:, k, a, m] = found / objects[a]
        return cls(categories, precision, recall)

    def summary(self, category_id: int | None = None) -> AveragePrecision:
        """The means over all categories, or over one of them."""
        every = range(len(self.categories))
        k = slice(None) if category_id is None else [self.categories.index(category_id)]
        precision, recall = self.precision[:, :, k], self.recall[:, k]
        ap, small, medium, large, *by_occlusion = (mean_defined(precision[..., a]) for a in range(precision.shape[-1]))
        return AveragePrecision(
            ap=ap,
            ap50=mean_defined(precision[0, ..., 0]),
            ap75=mean_defined(precision[5, ..., 0]),
            ap_small=small,
            ap_medium=medium,
            ap_large=large,
            ar1=mean_defined(recall[:, :, 0, 0]),
            ar10=mean_defined(recall[:, :, 0, 1]),
            ar100=mean_defined(recall[:, :, 0, 2]),
            ar_small=mean_defined(recall[:, :, 1, 2]),
            ar_medium=mean_defined(recall[:, :, 2, 2]),
            ar_large=mean_defined(recall[:, :, 3, 2]),
            per_category={self.categories[k]: mean_defined(self.precision[:, :, k, 0]) for k in every},
            ap_by_occlusion=tuple(by_occlusion),
            curves=self,
        )


def _precision(positive: NDArray[np.bool_], negative: NDArray[np.bool_], objects: int) -> NDArray[np.float64]:
    """(T, R) precision at RECALLS of (T, D) detections, best first."""
    true, false = positive.cumsum(1), negative.cumsum(1)
    precision = true / (false + true + np.spacing(1))
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    sampled = np.zeros((len(positive), len(RECALLS)))
    for t, recall in enumerate(true / objects):
        reached = np.searchsorted(recall, RECALLS, side="left")
        inside = np.count_nonzero(reached < len(recall))  # ascending, so those that are never reached come last
        sampled[t, :inside] = precision[t, reached[:inside]]
    return sampled


def mean_defined(values: NDArray[np.float64]) -> float | None:
    """The mean of what is not NaN; in C order, as the officials sum it."""
    defined = values[~np.isnan(values)]
    return float(np.mean(defined)) if len(defined) else None


def named(ap: AveragePrecision) -> dict[str, float | None]:
    """The numbers by NAMES."""
    values = (ap.ap, ap.ap50, ap.ap75, ap.ap_small, ap.ap_medium, ap.ap_large)
    recalls = (ap.ar1, ap.ar10, ap.ar100, ap.ar_small, ap.ar_medium, ap.ar_large)
    return dict(zip(NAMES, (*values, *recalls), strict=True))
