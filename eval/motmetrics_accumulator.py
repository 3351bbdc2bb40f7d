"""CLEAR and identity counts as motmetrics 1.4.0's `MOTAccumulator` makes them, which BDD100K's numbers rest on.

Differs from `eval.clear` (TrackEval) in what is remembered: an object keeps the last id that it was ever matched with,
before anything else and however long ago, and of two objects that remember one id the first in the file gets it. An
object matched in exactly 80 % of its frames is mostly tracked, and a fragmentation is a match that is lost and comes
back later; frames in which the object does not exist do not interrupt.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from eval.counts import Counts
from eval.sequences import TrackingSequence

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class MotmetricsCounts(Counts):
    """Counts of one sequence or, added up, of many: `sum(per_video, MotmetricsCounts())`.

    Attributes:
        gt, pred: True and predicted objects over all frames.
        tp: Matches, switches among them.
        idsw: Matches of a true object with another id than it was last matched with.
        mt, pt, ml: True objects matched in at least 80 % of their frames, in 20 % to 80 %, in less than 20 %.
        fm: Times that a true object is lost and matched again later.
        idtp: Frames in which a true object carries the one id that stands for it in the whole sequence.
        distance: Sum of 1 - similarity over the matches.
    """

    gt: int = 0
    pred: int = 0
    tp: int = 0
    idsw: int = 0
    mt: int = 0
    pt: int = 0
    ml: int = 0
    fm: int = 0
    idtp: int = 0
    distance: float = 0.0

    @property
    def fn(self) -> int:
        """True objects without a match."""
        return self.gt - self.tp

    @property
    def fp(self) -> int:
        """Predicted objects without a match."""
        return self.pred - self.tp

    @property
    def mota(self) -> float:
        """1 - (FN + FP + IDSW) / true objects; without true objects minus infinity, or NaN where nothing is wrong."""
        return 1 - _ratio(self.fn + self.fp + self.idsw, self.gt)

    @property
    def motp(self) -> float:
        """Mean similarity of the matches, in [0, 1]; NaN without matches."""
        return 1 - _ratio(self.distance, self.tp)

    @property
    def idf1(self) -> float:
        """2 IDTP / (true + predicted objects), in [0, 1]; NaN without objects."""
        return _ratio(2 * self.idtp, self.gt + self.pred)

    @property
    def idp(self) -> float:
        """IDTP / predicted objects; NaN without them."""
        return _ratio(self.idtp, self.pred)

    @property
    def idr(self) -> float:
        """IDTP / true objects; NaN without them."""
        return _ratio(self.idtp, self.gt)


def _ratio(part: float, whole: float) -> float:
    """Division as numpy does it: x / 0 is infinite, 0 / 0 is NaN."""
    if whole:
        return part / whole
    return math.inf if part else math.nan


@dataclass(frozen=True)
class Matches:
    """Who was matched with whom.

    Attributes:
        gt, pred: (M,) rows of the sequence's true and predicted objects, in frame order.
        distance: (M,) 1 - similarity.
        switch: (M,) bool, the true object was last matched with another id.
    """

    gt: Ints
    pred: Ints
    distance: Floats
    switch: NDArray[np.bool_]


def accumulate(sequence: TrackingSequence, threshold: float = 0.5, pred_ids: Ints | None = None) -> MotmetricsCounts:
    """Counts of one sequence and one class.

    Args:
        sequence: The sequence.
        threshold: Least similarity of a match, in (0, 1].
        pred_ids: (M,) ids to use in place of the sequence's. These may repeat within a frame, as motmetrics lets them.
    """
    names = sequence.pred_ids if pred_ids is None else pred_ids
    matches = match(sequence, threshold, names)
    lengths = np.bincount(sequence.gt_index, minlength=sequence.num_gt_ids)
    ratio = np.bincount(sequence.gt_index[matches.gt], minlength=sequence.num_gt_ids) / lengths
    mostly, at_least_partially = int((ratio >= 0.8).sum()), int((ratio >= 0.2).sum())
    return MotmetricsCounts(
        gt=len(sequence.gt_ids),
        pred=len(sequence.pred_ids),
        tp=len(matches.gt),
        idsw=int(matches.switch.sum()),
        mt=mostly,
        pt=at_least_partially - mostly,
        ml=len(ratio) - at_least_partially,
        fm=int(fragmented(sequence, matches).sum()),
        idtp=_identity_matches(sequence, threshold, names),
        distance=float(matches.distance.sum()),
    )


def match(sequence: TrackingSequence, threshold: float = 0.5, pred_ids: Ints | None = None) -> Matches:
    """Match frame after frame.

    In each frame the true objects, in their order, first take back the id that they had last; the rest is matched for
    the least total distance. Where no object has a choice both come to the same, without looking at frames.

    Args:
        sequence, threshold, pred_ids: As of `accumulate`.
    """
    names = sequence.pred_ids if pred_ids is None else pred_ids
    gt, pred, distance = _candidates(sequence, threshold)
    if _repeats(gt) or _repeats(pred):
        order = np.array(_walk(sequence, names, gt, pred, distance), np.int64)
        gt, pred, distance = gt[order], pred[order], distance[order]
    return Matches(gt, pred, distance, _switches(sequence.gt_index[gt], names[pred]))


def assigned(sequence: TrackingSequence, threshold: float = 0.5) -> NDArray[np.bool_]:
    """Which predictions (M,) a matching without memory, each frame for itself, gives a true object."""
    gt, pred, distance = _candidates(sequence, threshold)
    result = np.zeros(len(sequence.pred_ids), bool)
    if not (_repeats(gt) or _repeats(pred)):
        result[pred] = True
        return result
    for frame in _frames(sequence, sequence.pred_ids, gt, pred, distance):
        result[pred[_assign(frame)]] = True
    return result


def _candidates(sequence: TrackingSequence, threshold: float) -> tuple[Ints, Ints, Floats]:
    """Rows and distances of the pairs that may be matched, in frame order.

    The threshold is one of distance, 1 - IoU <= 1 - threshold, as scalabel asks: rounding makes it another question
    than IoU >= threshold.
    """
    distance = 1 - sequence.similarity
    near = np.flatnonzero(distance <= 1 - threshold)
    return sequence.gt[near], sequence.pred[near], distance[near]


def _repeats(rows: Ints) -> bool:
    return len(rows) > 0 and int(np.bincount(rows).max()) > 1


def _switches(gt: Ints, names: Ints) -> NDArray[np.bool_]:
    """Whether each match, in frame order, is with another id than the last match of the same object."""
    order = np.argsort(gt, kind="stable")
    gt, names = gt[order], names[order]
    result = np.zeros(len(order), bool)
    result[order[1:]] = (gt[1:] == gt[:-1]) & (names[1:] != names[:-1])
    return result


def fragmented(sequence: TrackingSequence, matches: Matches) -> NDArray[np.bool_]:
    """(M,) which matches end a fragmentation: they begin a stretch of matched frames, but not their object's first."""
    matched = np.zeros(len(sequence.gt_ids), bool)
    matched[matches.gt] = True
    order = np.argsort(sequence.gt_index, kind="stable")
    matched, objects = matched[order], sequence.gt_index[order]
    goes_on = np.zeros(len(order), bool)
    goes_on[1:] = matched[:-1] & (objects[1:] == objects[:-1])
    begins = np.flatnonzero(matched & ~goes_on)
    again = begins[1:][objects[begins[1:]] == objects[begins[:-1]]]
    comes_back = np.zeros(len(order), bool)
    comes_back[order[again]] = True
    return comes_back[matches.gt]


def _identity_matches(sequence: TrackingSequence, threshold: float, names: Ints) -> int:
    """Frames that the best one-to-one naming explains: motmetrics' padded cost matrix has the same optimum."""
    gt, pred, _ = _candidates(sequence, threshold)
    objects, rows = np.unique(sequence.gt_index[gt], return_inverse=True)
    tracks, columns = np.unique(names[pred], return_inverse=True)
    shape = (len(objects), len(tracks))
    together = np.bincount(rows * shape[1] + columns, minlength=shape[0] * shape[1]).reshape(shape)
    return int(together[linear_sum_assignment(together, maximize=True)].sum())


@dataclass(frozen=True)
class _Frame:
    """One frame in which somebody could be matched.

    Attributes:
        gt_ids, pred_ids: (G,) and (D,), in the order of the sequence; predicted ids may repeat.
        distances: (G, D), NaN where no match is allowed.
        places: (G, D) of each pair among the candidates of the sequence, -1 where no match is allowed.
    """

    gt_ids: Ints
    pred_ids: Ints
    distances: Floats
    places: Ints


def _frames(sequence: TrackingSequence, names: Ints, gt: Ints, pred: Ints, distance: Floats) -> Iterator[_Frame]:
    """The frames that have candidates, in order."""
    present, first = np.unique(sequence.gt_frames[gt], return_index=True)
    for frame, start, end in zip(present.tolist(), first, [*first[1:], len(gt)], strict=True):
        gt_from, gt_to = sequence.gt_offsets[frame : frame + 2]
        pred_from, pred_to = sequence.pred_offsets[frame : frame + 2]
        distances = np.full((gt_to - gt_from, pred_to - pred_from), np.nan)
        places = np.full(distances.shape, -1)
        at = (gt[start:end] - gt_from, pred[start:end] - pred_from)
        distances[at], places[at] = distance[start:end], np.arange(start, end)
        yield _Frame(sequence.gt_ids[gt_from:gt_to], names[pred_from:pred_to], distances, places)


def _walk(sequence: TrackingSequence, names: Ints, gt: Ints, pred: Ints, distance: Floats) -> list[int]:
    """Places of the matched candidates, frame after frame."""
    result: list[int] = []
    memory: dict[int, int] = {}  # the last id of each true object
    for frame in _frames(sequence, names, gt, pred, distance):
        matched = _carry_on(frame, memory)
        matched += _assign(frame)
        memory.update(zip(sequence.gt_ids[gt[matched]].tolist(), names[pred[matched]].tolist(), strict=True))
        result += matched
    return result


def _carry_on(frame: _Frame, memory: dict[int, int]) -> list[int]:
    """Places of the pairs that are remembered; their rows and columns are closed for others."""
    matched = []
    taken = np.zeros(len(frame.pred_ids), bool)
    for row, name in enumerate(frame.gt_ids.tolist()):
        free = np.flatnonzero(~taken & (frame.pred_ids == memory[name])) if name in memory else np.zeros(0, np.int64)
        if len(free) and np.isfinite(frame.distances[row, free[0]]):
            taken[free[0]] = True
            matched.append(int(frame.places[row, free[0]]))
            frame.distances[row] = frame.distances[:, free[0]] = np.nan
    return matched


def _assign(frame: _Frame) -> list[int]:
    """Places of the most pairs that can be matched at once and, among such choices, of the least total distance.

    motmetrics gives the forbidden pairs a large cost and leaves them out of the answer. Ties fall as scipy decides, so
    shape and costs must be the same.

    Source: motmetrics 1.4.0, lap.py, add_expensive_edges.
    """
    valid = np.isfinite(frame.distances)
    if not valid.any():
        return []
    forbidden = 2 * min(valid.shape) * (np.abs(frame.distances[valid]).max() + 1) + 1
    rows, columns = linear_sum_assignment(np.where(valid, frame.distances, forbidden))
    return frame.places[rows, columns][valid[rows, columns]].tolist()
