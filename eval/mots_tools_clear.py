"""CLEAR-MOT as the tool of the MOTS paper counts it (Voigtlaender et al., CVPR 2019; KITTI's rules on masks).

Equals mots_tools at commit f5689df. It differs from TrackEval: a match needs IoU above .5, not at least; an identity
switch is a fragmentation too, unless the object is lost in the frame after; and what is undefined is infinite there
and None here. The tool's IDF1, which changed between its versions, is left out: `eval.identity` has TrackEval's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from eval.counts import Counts
from eval.sequences import Floats, Ints, TrackingSequence

LOST = -1  # the tool's id of nobody; a prediction of this id counts as found, but not as tracked


@dataclass(frozen=True)
class MotsToolsCounts(Counts):
    """Counts of one sequence or, added up, of many: `sum(per_video, MotsToolsCounts())`.

    Attributes:
        tp, fn, fp: Matched true objects, missed ones, and predictions that match nothing and are not ignored.
        ignored: Predictions that match nothing and lie by more than half in an ignore region.
        idsw: Matches of a true object with another id than it was last matched with.
        frag: Times that what follows a true object changes, to an id again.
        mt, pt, ml: True objects matched in more than 80 % of their frames, in 20 % to 80 %, in less than 20 %.
        frames: Length.
        iou_sum: Over the matches.
        precision_sum: Over the frames, the mean IoU of their matches, 1 where nothing matches.
    """

    tp: int = 0
    fn: int = 0
    fp: int = 0
    ignored: int = 0
    idsw: int = 0
    frag: int = 0
    mt: int = 0
    pt: int = 0
    ml: int = 0
    frames: int = 0
    iou_sum: float = 0.0
    precision_sum: float = 0.0

    @property
    def num_gt(self) -> int:
        """True objects, over all frames."""
        return self.tp + self.fn

    @property
    def motsa(self) -> float | None:
        """1 - (FN + FP + IDSW) / true objects; None without any, where the tool says -inf."""
        return self._accuracy(self.idsw)

    @property
    def modsa(self) -> float | None:
        """As `motsa`, without identity switches."""
        return self._accuracy(0)

    @property
    def motsal(self) -> float | None:
        """As `motsa`, with the decimal logarithm of the identity switches."""
        return self._accuracy(math.log10(self.idsw) if self.idsw else 0)

    @property
    def smotsa(self) -> float | None:
        """(sum of IoU - FP - IDSW) / true objects; None without any."""
        return (self.iou_sum - self.fp - self.idsw) / self.num_gt if self.num_gt else None

    @property
    def motsp(self) -> float | None:
        """Mean IoU of the matches; None without any, where the tool says inf."""
        return self.iou_sum / self.tp if self.tp else None

    @property
    def modsp(self) -> float | None:
        """Mean over frames of the mean IoU of their matches, 1 where nothing matches."""
        return self.precision_sum / self.frames if self.frames else None

    @property
    def recall(self) -> float:
        """TP / true objects; 0 without objects or predictions."""
        return self.tp / self.num_gt if self.num_gt and self.tp + self.fp else 0.0

    @property
    def precision(self) -> float:
        """TP / predictions that count; 0 without objects or predictions."""
        return self.tp / (self.tp + self.fp) if self.num_gt and self.tp + self.fp else 0.0

    @property
    def tracks(self) -> int:
        """True objects over time: MT, PT and ML are reported as shares of them, 0 where there are none."""
        return self.mt + self.pt + self.ml

    def _accuracy(self, switches: float) -> float | None:
        return 1 - (self.fn + self.fp + switches) / self.num_gt if self.num_gt else None


def mots_tools_clear(sequence: TrackingSequence, ignored_share: Floats) -> MotsToolsCounts:
    """Counts of one sequence and one class, of masks that do not overlap within a side.

    Args:
        sequence: The objects, before anything is ignored.
        ignored_share: (M,) share of each prediction that lies in the frame's ignore regions.
    """
    matches = np.flatnonzero(sequence.similarity > 0.5)  # one per object, since masks do not overlap
    similarity = sequence.similarity[matches]
    unmatched = np.ones(len(sequence.pred_ids), bool)
    unmatched[sequence.pred[matches]] = False
    ignored = int((unmatched & (ignored_share > 0.5)).sum())
    frames, of_frame = sequence.frames[matches], sequence.num_frames
    sums, found = np.bincount(frames, similarity, of_frame), np.bincount(frames, minlength=of_frame)
    precision = np.divide(sums, found, out=np.ones(of_frame), where=found > 0)
    tp = len(matches)
    return MotsToolsCounts(
        tp,
        len(sequence.gt_ids) - tp,
        len(sequence.pred_ids) - tp - ignored,
        ignored,
        *_trajectories(sequence, matches),
        frames=of_frame,
        iou_sum=float(np.cumsum(similarity)[-1]) if tp else 0.0,  # one after the other, as the tool adds
        precision_sum=float(np.cumsum(precision)[-1]) if of_frame else 0.0,
    )


def _trajectories(sequence: TrackingSequence, matches: Ints) -> tuple[int, int, int, int, int]:
    """Identity switches, fragmentations; mostly tracked, partially tracked, mostly lost.

    Each true object is looked at in the frames in which it is there, and in no others.
    """
    if not len(sequence.gt_ids):
        return 0, 0, 0, 0, 0
    follower = np.full(len(sequence.gt_ids), LOST)
    follower[sequence.gt[matches]] = sequence.pred_ids[sequence.pred[matches]]
    order = np.argsort(sequence.gt_index, kind="stable")
    track, now = sequence.gt_index[order], follower[order]
    first = np.diff(track, prepend=-1) != 0
    last = np.append(first[1:], True)
    before, after = np.append(LOST, now[:-1]), np.append(now[1:], LOST)
    remembered = _remembered(now, first)
    followed = now != LOST
    switches = followed & ~first & (remembered != LOST) & (remembered != now)
    # at the end the tool asks what it remembers after the last frame, which is what follows the object there
    known = (remembered != LOST) & (after != LOST) & ~last | last
    fragments = followed & ~first & (before != now) & known
    length = np.bincount(track)
    tracked = np.bincount(track, followed & ~(first & (now < 0)))
    ratio = np.where(np.bincount(track, followed) > 0, tracked / length, 0.0)
    mostly, lost = int((ratio > 0.8).sum()), int((ratio < 0.2).sum())
    return int(switches.sum()), int(fragments.sum()), mostly, len(length) - mostly - lost, lost


def _remembered(now: Ints, first: Ints) -> Ints:
    """What followed each object before each of its frames, LOST where nothing yet did."""
    rows = np.arange(len(now))
    latest = np.maximum.accumulate(np.where(first | (now != LOST), rows, -1))
    return np.where(first, LOST, now[np.append(0, latest[:-1])])
