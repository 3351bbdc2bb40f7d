"""Panoptic Quality: every pixel belongs to one segment, so a true and a predicted one either match or do not.

Equals panopticapi (`pq_compute`), of which Cityscapes has a copy. The two id maps are compared along runs of pixels in
which neither changes: a map of 2 million pixels has some ten thousand of them, counted in a few milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.counts import Counts

VOID = 0  # id of pixels that nobody annotated

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Segments:
    """One side of one image.

    Attributes:
        id_map: (H, W) id of each pixel's segment, VOID where there is none.
        ids: (N,) the segments, in the order of the file.
        categories: (N,) index of each segment's category, in [0, C).
        areas: (N,) pixels. Of the truth these are what its file states and need not equal those of the map.
        crowd: (N,) bool. Truth that stands for many objects: not to be found, and not wrong to find.
    """

    id_map: NDArray[np.integer]
    ids: Ints
    categories: Ints
    areas: Ints
    crowd: NDArray[np.bool_]


@dataclass(frozen=True)
class PanopticCounts(Counts):
    """What was found of each category, (C,) each; the counts of several images add up.

    Attributes:
        iou_sum: Sum of the IoU of the matches.
        tp: Matches: pairs of one category with an IoU above .5, of which a segment can have but one.
        fp: Predicted segments without a match, but for those that lie mostly in void and crowd.
        fn: True segments without a match, but for crowds.
    """

    iou_sum: NDArray[np.float64]
    tp: Ints
    fp: Ints
    fn: Ints

    @classmethod
    def zero(cls, num_categories: int) -> PanopticCounts:
        """Of no image."""
        return cls(np.zeros(num_categories), *np.zeros((3, num_categories), np.int64))

    @property
    def defined(self) -> NDArray[np.bool_]:
        """(C,) categories that occur; the others have no quality and enter no mean."""
        return self.tp + self.fp + self.fn > 0

    @property
    def pq(self) -> NDArray[np.float64]:
        """(C,) panoptic quality in [0, 1], sq * rq; NaN where undefined."""
        return _ratio(self.iou_sum, self._weight())

    @property
    def sq(self) -> NDArray[np.float64]:
        """(C,) segmentation quality: mean IoU of the matches, 0 without any; NaN where undefined."""
        return np.where(self.defined & (self.tp == 0), 0.0, _ratio(self.iou_sum, self.tp))

    @property
    def rq(self) -> NDArray[np.float64]:
        """(C,) recognition quality: F1 of the segments; NaN where undefined."""
        return _ratio(self.tp, self._weight())

    def _weight(self) -> NDArray[np.float64]:
        return self.tp + 0.5 * self.fp + 0.5 * self.fn


def panoptic_counts(truth: Segments, predicted: Segments, num_categories: int) -> PanopticCounts:
    """Match the segments of one image.

    Args:
        truth: The annotated segments.
        predicted: The predicted ones, `areas` those of their map.
        num_categories: C.

    Raises:
        ValueError: The maps differ in size.

    Source: panopticapi's evaluation.py, pq_compute_single_core.
    """
    if truth.id_map.shape != predicted.id_map.shape:
        raise ValueError(f"Maps must have one size, found {truth.id_map.shape} and {predicted.id_map.shape}.")
    true_ids, predicted_ids, shared = _overlaps(truth.id_map, predicted.id_map)
    g, p = _positions(truth.ids, true_ids), _positions(predicted.ids, predicted_ids)
    void = _per_segment(predicted, p, shared, true_ids == VOID)

    pair = (g >= 0) & (p >= 0)
    pair[pair] &= ~truth.crowd[g[pair]] & (truth.categories[g[pair]] == predicted.categories[p[pair]])
    g_pair, p_pair, inside = g[pair], p[pair], shared[pair]
    union = predicted.areas[p_pair] + truth.areas[g_pair] - inside - void[p_pair]
    with np.errstate(divide="ignore", invalid="ignore"):  # only where stated areas are wrong
        iou = inside / union
    found = iou > 0.5
    missed, wrong = ~truth.crowd, np.ones(len(predicted.ids), bool)
    missed[g_pair[found]] = wrong[p_pair[found]] = False
    in_crowd = _per_segment(predicted, p, shared, (g >= 0) & _last_crowd(truth, predicted, g, p))
    wrong &= ~((void + in_crowd) / np.maximum(predicted.areas, 1) > 0.5)

    matched = truth.categories[g_pair[found]]
    return PanopticCounts(
        iou_sum=np.bincount(matched, iou[found], num_categories).astype(np.float64),
        tp=np.bincount(matched, minlength=num_categories),
        fp=np.bincount(predicted.categories[wrong], minlength=num_categories),
        fn=np.bincount(truth.categories[missed], minlength=num_categories),
    )


def count_ids(id_map: NDArray[np.integer]) -> tuple[Ints, Ints]:
    """The ids of a map in ascending order, and how many pixels each has."""
    ids = id_map.ravel()
    return _count(ids, ids[1:] != ids[:-1])


def _overlaps(first: NDArray[np.integer], second: NDArray[np.integer]) -> tuple[Ints, Ints, Ints]:
    """Every pair of ids that share pixels, in ascending order: ids of the first map, of the second, pixels shared."""
    a, b = first.ravel(), second.ravel()
    keys, shared = _count(a.astype(np.int64) << 32 | b, (a[1:] != a[:-1]) | (b[1:] != b[:-1]))
    return keys >> 32, keys & 0xFFFFFFFF, shared


def _count(keys: NDArray[np.integer], changes: NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """Each key and how often it is there, by sorting the runs instead of the pixels."""
    starts = np.concatenate([[0], np.flatnonzero(changes) + 1])
    found, inverse = np.unique(keys[starts].astype(np.int64), return_inverse=True)
    lengths = np.diff(starts, append=keys.size)
    return found, np.bincount(inverse, weights=lengths).astype(np.int64)


def _positions(ids: Ints, wanted: Ints) -> Ints:
    """Index into `ids` of each wanted id, -1 where it is not among them."""
    if not len(ids):
        return np.full(len(wanted), -1)
    order = np.argsort(ids)
    place = order[np.minimum(np.searchsorted(ids, wanted, sorter=order), len(ids) - 1)]
    return np.where(ids[place] == wanted, place, -1)


def _per_segment(predicted: Segments, p: Ints, shared: Ints, counts: NDArray[np.bool_]) -> Ints:
    """(N,) pixels of each predicted segment over the pairs that count."""
    counts = counts & (p >= 0)
    return np.bincount(p[counts], weights=shared[counts], minlength=len(predicted.ids)).astype(np.int64)


def _last_crowd(truth: Segments, predicted: Segments, g: Ints, p: Ints) -> NDArray[np.bool_]:
    """Pairs whose true segment is the crowd of the predicted category: the last in the file, as panopticapi has it."""
    crowds = {int(truth.categories[i]): i for i in np.flatnonzero(truth.crowd)}
    crowd_of = np.array([crowds.get(category, -2) for category in predicted.categories.tolist()], np.int64)
    return (p >= 0) & (crowd_of[p] == g) if len(crowd_of) else np.zeros(len(p), bool)


def _ratio(numerator: NDArray, denominator: NDArray) -> NDArray[np.float64]:
    return np.divide(numerator, denominator, out=np.full(len(numerator), np.nan), where=denominator > 0)
