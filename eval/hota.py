"""HOTA: detection and association weighed alike, at 19 similarities that a match must reach (Luiten et al., IJCV 2021).

Equals TrackEval 1.3.0's `HOTA` to the last bits of a sum. That keeps a dense table of ids for each of the 19
similarities; a list of the matches and two counts over it say the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from eval.counts import Counts
from eval.sequences import Floats, Ints, TrackingSequence, assign

ALPHAS = np.arange(0.05, 0.99, 0.05)  # the constructor, not the literals: [2] is .15000000000000002
_EPS = float(np.finfo(float).eps)
_CLEAR_CUT = 1e-12  # an assignment's own rounding is far below, and no two scores of interest are so close by design


def _zeros() -> Floats:
    return np.zeros(len(ALPHAS))


@dataclass(frozen=True, eq=False)
class Hota(Counts):
    """Sums of one sequence or, added up, of many: `sum(per_video, Hota())`. Arrays are (19,), one entry per ALPHAS.

    Adding sums weighs every video by its matches, as TrackEval does. Where nothing matches, `loc_a` is 1.

    Attributes:
        tp, fn, fp: Matched true objects, missed ones, and predictions that match nothing, over all frames.
        ass_a_sum: Over the matches: share of the frames of either id in which the two are matched with each other.
        ass_re_sum, ass_pr_sum: Likewise of the frames of the true id, of the predicted id.
        loc_sum: Over the matches: similarity.
    """

    tp: Floats = field(default_factory=_zeros)
    fn: Floats = field(default_factory=_zeros)
    fp: Floats = field(default_factory=_zeros)
    ass_a_sum: Floats = field(default_factory=_zeros)
    ass_re_sum: Floats = field(default_factory=_zeros)
    ass_pr_sum: Floats = field(default_factory=_zeros)
    loc_sum: Floats = field(default_factory=_zeros)

    @property
    def valid(self) -> bool:
        """Whether there was any ground truth."""
        return bool(self.tp[0] + self.fn[0] > 0)

    @property
    def det_re_by_alpha(self) -> Floats:
        """TP / true objects."""
        return self.tp / np.maximum(1, self.tp + self.fn)

    @property
    def det_pr_by_alpha(self) -> Floats:
        """TP / predictions."""
        return self.tp / np.maximum(1, self.tp + self.fp)

    @property
    def det_a_by_alpha(self) -> Floats:
        """TP / (TP + FN + FP)."""
        return self.tp / np.maximum(1, self.tp + self.fn + self.fp)

    @property
    def ass_a_by_alpha(self) -> Floats:
        """Mean over the matches of how well the two ids go together."""
        return self.ass_a_sum / np.maximum(1, self.tp)

    @property
    def ass_re_by_alpha(self) -> Floats:
        """Likewise, of the true id's frames alone."""
        return self.ass_re_sum / np.maximum(1, self.tp)

    @property
    def ass_pr_by_alpha(self) -> Floats:
        """Likewise, of the predicted id's frames alone."""
        return self.ass_pr_sum / np.maximum(1, self.tp)

    @property
    def loc_a_by_alpha(self) -> Floats:
        """Mean similarity of the matches."""
        return np.maximum(1e-10, self.loc_sum) / np.maximum(1e-10, self.tp)

    @property
    def hota_by_alpha(self) -> Floats:
        """Geometric mean of detection and association."""
        return np.sqrt(self.det_a_by_alpha * self.ass_a_by_alpha)

    @property
    def owta_by_alpha(self) -> Floats:
        """As HOTA, where predictions that match nothing cost nothing (Liu et al., CVPR 2022)."""
        return np.sqrt(self.det_re_by_alpha * self.ass_a_by_alpha)

    @property
    def hota(self) -> float:
        """HOTA, the mean over ALPHAS of `hota_by_alpha`; so are the others, in [0, 1]."""
        return float(np.mean(self.hota_by_alpha))

    @property
    def det_a(self) -> float:
        """DetA."""
        return float(np.mean(self.det_a_by_alpha))

    @property
    def ass_a(self) -> float:
        """AssA."""
        return float(np.mean(self.ass_a_by_alpha))

    @property
    def det_re(self) -> float:
        """DetRe."""
        return float(np.mean(self.det_re_by_alpha))

    @property
    def det_pr(self) -> float:
        """DetPr."""
        return float(np.mean(self.det_pr_by_alpha))

    @property
    def ass_re(self) -> float:
        """AssRe."""
        return float(np.mean(self.ass_re_by_alpha))

    @property
    def ass_pr(self) -> float:
        """AssPr."""
        return float(np.mean(self.ass_pr_by_alpha))

    @property
    def loc_a(self) -> float:
        """LocA."""
        return float(np.mean(self.loc_a_by_alpha))

    @property
    def owta(self) -> float:
        """OWTA."""
        return float(np.mean(self.owta_by_alpha))

    @property
    def hota_0(self) -> float:
        """HOTA(0), at the lowest of ALPHAS."""
        return float(self.hota_by_alpha[0])

    @property
    def loc_a_0(self) -> float:
        """LocA(0), at the lowest of ALPHAS."""
        return float(self.loc_a_by_alpha[0])


def hota(sequence: TrackingSequence) -> Hota:
    """HOTA's sums of one video and one class.

    Source: TrackEval 1.3.0, metrics/hota.py, eval_sequence.
    """
    matches = _match(sequence)
    levels = np.searchsorted(ALPHAS - _EPS, sequence.similarity[matches], side="right")  # how many a match reaches
    tp = _reaching(np.bincount(levels, minlength=len(ALPHAS) + 1))
    return Hota(
        tp,
        len(sequence.gt_ids) - tp,
        len(sequence.pred_ids) - tp,
        *_association(sequence, matches, levels),
        _localisation(sequence, matches, levels),
    )


def _reaching(by_level: Floats | Ints) -> Floats:
    """(20, ...) by how many of ALPHAS are reached -> (19, ...) by alpha: all that reach at least it."""
    return np.cumsum(by_level[::-1], axis=0)[-2::-1].astype(np.float64)


def _localisation(sequence: TrackingSequence, matches: Ints, levels: Ints) -> Floats:
    """Sum of the similarities; within a frame one after the other, then the frames, as TrackEval adds."""
    sums = _zeros()
    for a in range(len(ALPHAS) if len(matches) else 0):
        reached = matches[levels > a]
        sums[a] = np.cumsum(np.bincount(sequence.frames[reached], sequence.similarity[reached], 1))[-1]
    return sums


def _association(sequence: TrackingSequence, matches: Ints, levels: Ints) -> tuple[Floats, Floats, Floats]:
    """Sums over the matches of the share of frames that their ids are matched with each other."""
    ids = sequence.gt_index[sequence.gt[matches]] * sequence.num_pred_ids + sequence.pred_index[sequence.pred[matches]]
    pairs, pair = np.unique(ids, return_inverse=True)
    gt, pred = np.divmod(pairs, max(1, sequence.num_pred_ids))
    num_gt, num_pred = np.bincount(sequence.gt_index)[gt], np.bincount(sequence.pred_index)[pred]
    size = (len(ALPHAS) + 1) * len(pairs)
    together = _reaching(np.bincount(levels * len(pairs) + pair, minlength=size).reshape(len(ALPHAS) + 1, len(pairs)))
    squares = together * together
    either = np.maximum(1, num_gt + num_pred - together)
    return (squares / either).sum(1), (squares / num_gt).sum(1), (squares / num_pred).sum(1)


def _match(sequence: TrackingSequence) -> Ints:
    """The pairs that are matched, at any similarity, for ids that go together over the whole video.

    A pair whose score exceeds that of its best rivals on both sides together is in every best assignment. Frames in
    which that settles all pairs need no assignment.
    """
    score = _alignment(sequence) * sequence.similarity
    settled = score > _best_rival(sequence.gt, score) + _best_rival(sequence.pred, score) + _CLEAR_CUT
    gt_taken, pred_taken = np.zeros(len(sequence.gt_ids), bool), np.zeros(len(sequence.pred_ids), bool)
    gt_taken[sequence.gt[settled]] = pred_taken[sequence.pred[settled]] = True
    open_pairs = ~settled & ~gt_taken[sequence.gt] & ~pred_taken[sequence.pred]
    matched = settled
    for frame in np.unique(sequence.frames[open_pairs]):
        matched[sequence.pairs_of(frame)] = assign(sequence, frame, score)
    return np.flatnonzero(matched)


def _alignment(sequence: TrackingSequence) -> Floats:
    """(P,) of each pair: how well its two ids go together over the whole video, before anything is matched."""
    gt, pred, similarity = sequence.gt, sequence.pred, sequence.similarity
    shared = np.bincount(pred, similarity)[pred] + np.bincount(gt, similarity)[gt] - similarity
    weight = np.divide(similarity, shared, out=np.zeros_like(similarity), where=shared > _EPS)
    ids = sequence.gt_index[gt] * sequence.num_pred_ids + sequence.pred_index[pred]
    pairs, pair = np.unique(ids, return_inverse=True)
    rows, columns = np.divmod(pairs, max(1, sequence.num_pred_ids))
    # In frame order, as TrackEval adds them: ties must stay ties.
    together = np.bincount(pair, weight, len(pairs))
    either = np.bincount(sequence.gt_index)[rows] + np.bincount(sequence.pred_index)[columns] - together
    return (together / either)[pair]


def _best_rival(rows: Ints, score: Floats) -> Floats:
    """(P,) of each pair: the highest score among the other pairs of its row, or 0."""
    order = np.lexsort((score, rows))
    ordered_rows, ordered = rows[order], score[order]
    ends = np.flatnonzero(np.diff(ordered_rows, append=-1))  # the best of each row
    before = np.concatenate([[-1], ends[:-1]])
    second = np.where(ends - before > 1, ordered[ends - 1], 0.0)
    sizes = ends - before
    rival = np.repeat(ordered[ends], sizes)
    rival[ends] = second
    result = np.empty_like(score)
    result[order] = rival
    return result
