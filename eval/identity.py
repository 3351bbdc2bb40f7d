"""Identity metrics: how well one predicted id can stand for each true object through the whole sequence.

Equals TrackEval 1.3.0's `Identity`. That pads its cost matrix to (G + D)^2 so that ids may stay alone; an id that
shares no frame adds nothing, so the matching of highest weight on the G x D shared frames gives the same counts, and
ids that share no frame, not even through others, are matched apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from eval.counts import Counts
from eval.sequences import Ints, TrackingSequence


@dataclass(frozen=True)
class Identity(Counts):
    """Counts of one sequence or, added up, of many: `sum(per_video, Identity())`.

    Attributes:
        idtp: Frames in which a true object carries the id that stands for it.
        idfn: Frames of true objects in which it does not.
        idfp: Frames of predictions in which they do not carry the id of their object.
    """

    idtp: int = 0
    idfn: int = 0
    idfp: int = 0

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


def identity(sequence: TrackingSequence, threshold: float = 0.5) -> Identity:
    """Identity counts of one video and one class.

    Args:
        sequence: The video.
        threshold: Least similarity at which two objects are the same, in (0, 1]; unlike in CLEAR without tolerance.

    Source: TrackEval 1.3.0, metrics/identity.py, eval_sequence.
    """
    alike = sequence.similarity >= threshold
    gt = sequence.gt_index[sequence.gt[alike]]
    pred = sequence.pred_index[sequence.pred[alike]]
    pairs, together = np.unique(gt * sequence.num_pred_ids + pred, return_counts=True)
    gt, pred = np.divmod(pairs, max(1, sequence.num_pred_ids))
    idtp = _heaviest_matching(gt, pred, together)
    return Identity(idtp, len(sequence.gt_ids) - idtp, len(sequence.pred_ids) - idtp)


def _heaviest_matching(gt: Ints, pred: Ints, weight: Ints) -> int:
    """Greatest total weight of pairs of which no two share an id.

    Pairs without a rival are taken; the others fall apart into groups, which mostly are small.
    """
    rivals = (np.bincount(gt) > 1)[gt] | (np.bincount(pred) > 1)[pred]
    total = int(weight[~rivals].sum())
    if not rivals.any():
        return total
    gt, pred, weight = gt[rivals], pred[rivals], weight[rivals]
    num_gt, num_pred = int(gt.max()) + 1, int(pred.max()) + 1
    ends = (gt, num_gt + pred)
    _, group = connected_components(coo_array((weight, ends), shape=(num_gt + num_pred,) * 2), directed=False)
    order = np.argsort(group[gt], kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(group[gt][order])) + 1):
        rows, row = np.unique(gt[members], return_inverse=True)
        columns, column = np.unique(pred[members], return_inverse=True)
        matrix = np.zeros((len(rows), len(columns)), np.int64)
        matrix[row, column] = weight[members]
        total += int(matrix[linear_sum_assignment(matrix, maximize=True)].sum())
    return total
