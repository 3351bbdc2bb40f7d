"""Identity metrics: how well one predicted id can stand for each true object through the whole sequence.

Equals TrackEval 1.3.0's `Identity`. That pads its cost matrix to (G + D)^2 so that ids may stay alone; an id that
shares no frame adds nothing, so the matching of highest weight on the G x D shared frames gives the same counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from eval.sequences import FramePair, index


@dataclass(frozen=True)
class Identity:
    """Counts of one sequence or, added up, of many: `sum(per_video, Identity())`.

    Attributes:
        idtp: Frames in which a true object carries the id that stands for it.
        idfn: Frames of true objects in which it does not.
        idfp: Frames of predictions in which they do not carry the id of their object.
    """

    idtp: int = 0
    idfn: int = 0
    idfp: int = 0

    def __add__(self, other: Identity) -> Identity:
        return Identity(self.idtp + other.idtp, self.idfn + other.idfn, self.idfp + other.idfp)

    @property
    def valid(self) -> bool:
        """Whether there was any ground truth."""
        return self.idtp + self.idfn > 0

    @property
    def idf1(self) -> float:
        """IDTP / (IDTP + IDFN / 2 + IDFP / 2), in [0, 1]."""
        return self.idtp / max(1.0, self.idtp + 0.5 * self.idfp + 0.5 * self.idfn)

    @property
    def idr(self) -> float:
        """IDTP / true objects."""
        return self.idtp / max(1, self.idtp + self.idfn)

    @property
    def idp(self) -> float:
        """IDTP / predictions."""
        return self.idtp / max(1, self.idtp + self.idfp)


def identity(frames: Sequence[FramePair], threshold: float = 0.5) -> Identity:
    """Identity counts of one sequence and one class.

    Args:
        frames: Every frame in any order.
        threshold: Least similarity at which two objects are the same, in (0, 1]; unlike in CLEAR without tolerance.

    Source: TrackEval 1.3.0, metrics/identity.py, eval_sequence.
    """
    sequence = index(frames)
    together = np.zeros((sequence.num_gt, sequence.num_pred), np.int64)
    num_gt = num_pred = 0
    for gt, pred, similarity in sequence.frames:
        together[np.ix_(gt, pred)] += similarity >= threshold
        num_gt, num_pred = num_gt + len(gt), num_pred + len(pred)
    idtp = int(together[linear_sum_assignment(together, maximize=True)].sum())
    return Identity(idtp, num_gt - idtp, num_pred - idtp)
