"""CLEAR-MOT: errors counted frame by frame. On mask IoU these are MOTSA (`mota`), sMOTSA (`smota`), MOTSP (`motp`).

Equals TrackEval 1.3.0's `CLEAR`, quirks included; motmetrics, mots_tools and TrackEval differ from one another in how
long a match is remembered, in what a fragment is, and in whether .8 is mostly tracked.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.counts import Counts
from eval.sequences import Ints, TrackingSequence, ambiguous, assign

_EPS = float(np.finfo(float).eps)


@dataclass(frozen=True)
class Clear(Counts):
    """Counts of one sequence or, added up, of many: `sum(per_video, Clear())`.

    Ratios are TrackEval's: a denominator of 0 counts as 1. Without ground truth `mota` is therefore minus the number
    of false positives; `valid` says so.

    Attributes:
        tp, fn, fp: Matched true objects, missed ones, and predictions that match nothing, over all frames.
        idsw: Matches of a true object with another id than it was last matched with, however long ago.
        frag: Times that a true object is matched again after it was not.
        mt, pt, ml: True objects matched in more than 80 % of their frames, in 20 % to 80 %, in less than 20 %.
        frames: Length of the sequences in which there was both truth and prediction.
        motp_sum: Sum of the similarities of the matches.
    """

    tp: int = 0
    fn: int = 0
    fp: int = 0
    idsw: int = 0
    frag: int = 0
    mt: int = 0
    pt: int = 0
    ml: int = 0
    frames: int = 0
    motp_sum: float = 0.0

    @property
    def valid(self) -> bool:
        """Whether there was any ground truth."""
        return self.tp + self.fn > 0

    @property
    def mota(self) -> float:
        """(TP - FP - IDSW) / true objects, at most 1 and without lower bound."""
        return (self.tp - self.fp - self.idsw) / max(1, self.tp + self.fn)

    @property
    def smota(self) -> float:
        """As `mota`, with each match worth its similarity."""
        return (self.motp_sum - self.fp - self.idsw) / max(1, self.tp + self.fn)

    @property
    def moda(self) -> float:
        """As `mota`, without identity switches."""
        return (self.tp - self.fp) / max(1, self.tp + self.fn)

    @property
    def motp(self) -> float:
        """Mean similarity of the matches, in [0, 1]."""
        return self.motp_sum / max(1, self.tp)

    @property
    def recall(self) -> float:
        """TP / true objects."""
        return self.tp / max(1, self.tp + self.fn)

    @property
    def precision(self) -> float:
        """TP / predictions."""
        return self.tp / max(1, self.tp + self.fp)

    @property
    def f1(self) -> float:
        """TP / (TP + FN / 2 + FP / 2)."""
        return self.tp / max(1.0, self.tp + 0.5 * self.fn + 0.5 * self.fp)


def clear(sequence: TrackingSequence, threshold: float = 0.5) -> Clear:
    """CLEAR counts of one video and one class.

    In a frame a true object keeps the id that it had in the frame before where that still overlaps enough; the rest is
    matched for the highest total similarity.

    Args:
        sequence: The video.
        threshold: Least similarity of a match, in (0, 1].

    Returns:
        The counts. With no prediction in the whole video, or no truth, `frames` is 0 and no object is tracked.

    Source: TrackEval 1.3.0, metrics/clear.py, eval_sequence.
    """
    num_truth, num_predicted = len(sequence.gt_ids), len(sequence.pred_ids)
    if num_predicted == 0:
        return Clear(fn=num_truth, ml=sequence.num_gt_ids)
    if num_truth == 0:
        return Clear(fp=num_predicted)
    matches = clear_matches(sequence, threshold)
    tp = len(matches)
    switched, fragmented = breaks(sequence, matches)
    # In a frame similarities are added one after the other, then the frames, as TrackEval does.
    by_frame = np.bincount(sequence.frames[matches], sequence.similarity[matches], sequence.num_frames)
    return Clear(
        tp,
        num_truth - tp,
        num_predicted - tp,
        int(switched.sum()),
        int(fragmented.sum()),
        *_tracked(sequence, matches),
        frames=sequence.num_frames,
        motp_sum=float(np.cumsum(by_frame)[-1]),
    )


def clear_matches(sequence: TrackingSequence, threshold: float = 0.5) -> Ints:
    """Which of the sequence's pairs match, ascending.

    Where every object of a frame has one candidate, that is its match. Only the other frames leave a choice, which the
    matches of the frame before take part in.
    """
    candidate = sequence.similarity >= threshold - _EPS
    score = np.where(candidate, sequence.similarity, 0.0)
    before = _frame_before(sequence)
    matched = candidate.copy()
    for frame in ambiguous(sequence, candidate):
        here = sequence.pairs_of(frame)
        if before[frame] >= 0:
            last = sequence.pairs_of(before[frame])
            score[here] += 1000 * (candidate[here] & _same_ids(sequence, here, last, matched[last]))
        matched[here] = assign(sequence, frame, score) & candidate[here]
    return np.flatnonzero(matched)


def breaks(sequence: TrackingSequence, matches: Ints) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which matches are identity switches, and which end fragmentations.

    Each true object's matches in time are compared with the one before.

    Args:
        sequence: The video.
        matches: (M,) of its pairs, as of `clear_matches`.

    Returns:
        (M,) and (M,).
    """
    gt = sequence.gt_index[sequence.gt[matches]]
    order = np.argsort(gt, kind="stable")
    same_object = np.diff(gt[order]) == 0
    pred = sequence.pred_index[sequence.pred[matches]][order]
    frames = sequence.frames[matches][order]
    missed_between = _frame_before(sequence)[frames[1:]] != frames[:-1]
    switched, fragmented = np.zeros(len(order), bool), np.zeros(len(order), bool)
    switched[order[1:]] = same_object & (pred[1:] != pred[:-1])
    fragmented[order[1:]] = same_object & missed_between
    return switched, fragmented


def _frame_before(sequence: TrackingSequence) -> Ints:
    """(num_frames + 1,) the latest earlier frame with objects on both sides, or -1.

    TrackEval skips a frame in which either side is empty, so what was matched before is not forgotten there.
    """
    frames = np.arange(sequence.num_frames)
    processed = (np.diff(sequence.gt_offsets) > 0) & (np.diff(sequence.pred_offsets) > 0)
    return np.concatenate([[-1], np.maximum.accumulate(np.where(processed, frames, -1))])


def _same_ids(sequence: TrackingSequence, here: slice, last: slice, matched: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which pairs of one frame have the two ids of a pair that matched in another."""
    gt, pred = sequence.gt_index[sequence.gt], sequence.pred_index[sequence.pred]
    keys, earlier = (gt[pairs] * sequence.num_pred_ids + pred[pairs] for pairs in (here, last))
    return np.isin(keys, earlier[matched])


def _tracked(sequence: TrackingSequence, matches: Ints) -> tuple[int, int, int]:
    """Mostly tracked, partially tracked, mostly lost."""
    present = np.bincount(sequence.gt_index)
    ratio = np.bincount(sequence.gt_index[sequence.gt[matches]], minlength=len(present)) / present
    mostly, at_least_partially = int((ratio > 0.8).sum()), int((ratio >= 0.2).sum())
    return mostly, at_least_partially - mostly, len(ratio) - at_least_partially
