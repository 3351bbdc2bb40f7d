"""CLEAR-MOT: errors counted frame by frame. On mask IoU these are MOTSA (`mota`), sMOTSA (`smota`), MOTSP (`motp`).

Equals TrackEval 1.3.0's `CLEAR`, quirks included; motmetrics, mots_tools and TrackEval differ from one another in how
long a match is remembered, in what a fragment is, and in whether .8 is mostly tracked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from eval.sequences import FramePair, index

_EPS = float(np.finfo(float).eps)


@dataclass(frozen=True)
class Clear:
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

    def __add__(self, other: Clear) -> Clear:
        return Clear(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})

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


def clear(frames: Sequence[FramePair], threshold: float = 0.5) -> Clear:
    """CLEAR counts of one sequence and one class.

    In a frame a true object keeps the id that it had in the frame before where that still overlaps enough; the rest is
    matched for the highest total similarity.

    Args:
        frames: Every frame in order, empty ones too.
        threshold: Least similarity of a match, in (0, 1].

    Returns:
        The counts. With no prediction in the whole sequence, or no truth, `frames` is 0 and no object is tracked.

    Source: TrackEval 1.3.0, metrics/clear.py, eval_sequence.
    """
    sequence = index(frames)
    num_truth, num_predicted = (sum(len(frame[side]) for frame in sequence.frames) for side in (0, 1))
    if num_predicted == 0:
        return Clear(fn=num_truth, ml=sequence.num_gt)
    if num_truth == 0:
        return Clear(fp=num_predicted)
    memory = _Memory(sequence.num_gt)
    tp = fn = fp = idsw = 0
    motp_sum = 0.0
    for gt, pred, similarity in sequence.frames:
        memory.present[gt] += 1
        rows, columns = _match(similarity, memory.last[gt, None] == pred, threshold)
        # TrackEval skips a frame in which either side is empty, so there the last match is not forgotten.
        if len(gt) and len(pred):
            idsw += memory.update(gt[rows], pred[columns])
        tp, fn, fp = tp + len(rows), fn + len(gt) - len(rows), fp + len(pred) - len(rows)
        if len(rows):
            motp_sum += float(np.cumsum(similarity[rows, columns])[-1])  # one after the other, as TrackEval adds
    return Clear(tp, fn, fp, idsw, memory.fragments(), *memory.tracked(), len(frames), motp_sum)


def _match(
    similarity: NDArray[np.float64], continues: NDArray[np.bool_], threshold: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of the matches; a pair that continues outweighs any similarity."""
    score = np.where(similarity < threshold - _EPS, 0.0, 1000 * continues + similarity)
    rows, columns = linear_sum_assignment(-score)
    good = score[rows, columns] > _EPS
    return rows[good], columns[good]


class _Memory:
    """What is remembered of the true objects, by index. -1 is never and nobody."""

    def __init__(self, num_gt: int) -> None:
        self.last = np.full(num_gt, -1)  # match in the frame before
        self.ever = np.full(num_gt, -1)  # latest match at all
        self.present, self.matched, self.starts = np.zeros((3, num_gt), np.int64)

    def update(self, gt: NDArray[np.int64], pred: NDArray[np.int64]) -> int:
        """Remember a frame's matches; returns how many of them switch identity."""
        switches = int(((self.ever[gt] >= 0) & (self.ever[gt] != pred)).sum())
        self.starts[gt] += self.last[gt] < 0
        self.matched[gt] += 1
        self.last[:] = -1
        self.last[gt] = self.ever[gt] = pred
        return switches

    def fragments(self) -> int:
        return int(np.maximum(self.starts - 1, 0).sum())

    def tracked(self) -> tuple[int, int, int]:
        """Mostly tracked, partially tracked, mostly lost."""
        ratio = self.matched / self.present
        mostly, at_least_partially = int((ratio > 0.8).sum()), int((ratio >= 0.2).sum())
        return mostly, at_least_partially - mostly, len(ratio) - at_least_partially
