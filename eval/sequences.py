"""What the tracking metrics see of a video: who is there in each frame, and how alike they are.

Knows nothing of files, classes and ignore regions: protocols apply those before. `TrackingSequence` holds a whole
video sparsely, so that metrics work on arrays instead of frames; `FramePair` is the easy way in, one frame at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment

from eval.rle import Rle, ious

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FramePair:
    """The true and the predicted objects of one frame.

    Attributes:
        gt_ids: (G,) int64, each once.
        pred_ids: (D,) int64, each once.
        similarity: (G, D) float64 in [0, 1], mask or box IoU.

    Raises:
        ValueError: Shapes do not fit, an id occurs twice, or a similarity lies outside [0, 1].
    """

    gt_ids: NDArray[np.int64]
    pred_ids: NDArray[np.int64]
    similarity: NDArray[np.float64]

    def __post_init__(self) -> None:
        for name in ("gt_ids", "pred_ids"):
            ids = np.asarray(getattr(self, name), np.int64).reshape(-1)
            object.__setattr__(self, name, ids)
            repeated = [int(i) for i, count in zip(*np.unique(ids, return_counts=True), strict=True) if count > 1]
            if repeated:
                raise ValueError(f"{name} of a frame must be unique, found {repeated[0]} more than once.")
        similarity = np.asarray(self.similarity, np.float64)
        shape = (len(self.gt_ids), len(self.pred_ids))
        if similarity.size == 0 and 0 in shape:
            similarity = similarity.reshape(shape)
        if similarity.shape != shape:
            raise ValueError(f"similarity must have the shape (gt_ids, pred_ids) = {shape}, found {similarity.shape}.")
        if not ((similarity >= 0) & (similarity <= 1)).all():
            raise ValueError("similarity must lie in [0, 1].")
        object.__setattr__(self, "similarity", similarity)

    @classmethod
    def from_masks(
        cls, gt_ids: ArrayLike, gt_masks: Sequence[Rle], pred_ids: ArrayLike, pred_masks: Sequence[Rle]
    ) -> FramePair:
        """Compare by mask IoU; all masks must have one size."""
        return cls(np.asarray(gt_ids), np.asarray(pred_ids), ious(gt_masks, pred_masks))

    @classmethod
    def from_boxes(
        cls, gt_ids: ArrayLike, gt_boxes: ArrayLike, pred_ids: ArrayLike, pred_boxes: ArrayLike
    ) -> FramePair:
        """Compare by box IoU; boxes are (N, 4) xyxy, end-exclusive, in pixels."""
        gt, pred = (np.asarray(boxes, np.float64).reshape(-1, 4) for boxes in (gt_boxes, pred_boxes))
        corner = np.maximum(gt[:, None, :2], pred[:, :2])
        shared = (np.minimum(gt[:, None, 2:], pred[:, 2:]) - corner).clip(0).prod(-1)
        gt_areas, pred_areas = ((boxes[:, 2:] - boxes[:, :2]).prod(-1) for boxes in (gt, pred))
        union = gt_areas[:, None] + pred_areas - shared
        similarity = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
        return cls(np.asarray(gt_ids), np.asarray(pred_ids), similarity)


@dataclass(frozen=True, eq=False)
class TrackingSequence:
    """The true and the predicted objects of one class in one video.

    Rows are in frame order; within a frame their order is that of the file, which breaks ties. Pairs are sorted by
    true row, then predicted row; they are put into this order if they are not.

    Attributes:
        num_frames: Length of the video, empty frames included.
        gt_frames, gt_ids: (N,) int64, frame in [0, num_frames) and id of each true object; an id once in a frame.
        pred_frames, pred_ids: (M,) int64, likewise of each predicted object.
        gt, pred: (P,) int64, the rows of each pair of one frame that is alike at all.
        similarity: (P,) float64 in (0, 1], mask or box IoU; that of all other pairs is 0.

    Raises:
        ValueError: Any of this does not hold.
    """

    num_frames: int
    gt_frames: Ints
    gt_ids: Ints
    pred_frames: Ints
    pred_ids: Ints
    gt: Ints
    pred: Ints
    similarity: Floats

    def __post_init__(self) -> None:
        for name in ("gt_frames", "gt_ids", "pred_frames", "pred_ids", "gt", "pred"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), np.int64).reshape(-1))
        object.__setattr__(self, "similarity", np.asarray(self.similarity, np.float64).reshape(-1))
        self._check_rows("gt", self.gt_frames, self.gt_ids, self.gt_index)
        self._check_rows("pred", self.pred_frames, self.pred_ids, self.pred_index)
        self._check_pairs()

    @classmethod
    def from_frames(cls, frames: Sequence[FramePair]) -> TrackingSequence:
        """Join the frames of a video, every frame in order, empty ones too."""
        gt_start = np.cumsum([0, *(len(frame.gt_ids) for frame in frames)])
        pred_start = np.cumsum([0, *(len(frame.pred_ids) for frame in frames)])
        pairs = [np.nonzero(frame.similarity) for frame in frames]
        none = np.zeros(0, np.int64)
        return cls(
            num_frames=len(frames),
            gt_frames=np.repeat(np.arange(len(frames)), np.diff(gt_start)),
            gt_ids=np.concatenate([none, *(frame.gt_ids for frame in frames)]),
            pred_frames=np.repeat(np.arange(len(frames)), np.diff(pred_start)),
            pred_ids=np.concatenate([none, *(frame.pred_ids for frame in frames)]),
            gt=np.concatenate([none, *(rows + gt_start[t] for t, (rows, _) in enumerate(pairs))]),
            pred=np.concatenate([none, *(columns + pred_start[t] for t, (_, columns) in enumerate(pairs))]),
            similarity=np.concatenate([none, *(f.similarity[at] for f, at in zip(frames, pairs, strict=True))]),
        )

    @cached_property
    def gt_index(self) -> Ints:
        """(N,) the true ids as 0..n-1, in the order of the ids."""
        return np.unique(self.gt_ids, return_inverse=True)[1].reshape(-1)

    @cached_property
    def pred_index(self) -> Ints:
        """(M,) the predicted ids as 0..n-1, in the order of the ids."""
        return np.unique(self.pred_ids, return_inverse=True)[1].reshape(-1)

    @cached_property
    def num_gt_ids(self) -> int:
        """Different true ids."""
        return int(self.gt_index.max(initial=-1)) + 1

    @cached_property
    def num_pred_ids(self) -> int:
        """Different predicted ids."""
        return int(self.pred_index.max(initial=-1)) + 1

    @cached_property
    def frames(self) -> Ints:
        """(P,) the frame of each pair."""
        return self.gt_frames[self.gt]

    @cached_property
    def gt_offsets(self) -> Ints:
        """(num_frames + 1,) first true row of each frame; the last entry is N."""
        return np.searchsorted(self.gt_frames, np.arange(self.num_frames + 1))

    @cached_property
    def pred_offsets(self) -> Ints:
        """(num_frames + 1,) first predicted row of each frame; the last entry is M."""
        return np.searchsorted(self.pred_frames, np.arange(self.num_frames + 1))

    @cached_property
    def pair_offsets(self) -> Ints:
        """(num_frames + 1,) first pair of each frame; the last entry is P."""
        return np.searchsorted(self.frames, np.arange(self.num_frames + 1))

    def dense(self, frame: int, values: Floats | None = None, elsewhere: float = 0.0) -> Floats:
        """One frame as the officials see it: (G, D).

        Args:
            frame: The frame.
            values: (P,) one for each pair; the similarity when left out.
            elsewhere: What stands where there is no pair.
        """
        first_gt, first_pred = self.gt_offsets[frame], self.pred_offsets[frame]
        shape = self.gt_offsets[frame + 1] - first_gt, self.pred_offsets[frame + 1] - first_pred
        matrix = np.full(shape, elsewhere)
        pairs = self.pairs_of(frame)
        values = self.similarity if values is None else values
        matrix[self.gt[pairs] - first_gt, self.pred[pairs] - first_pred] = values[pairs]
        return matrix

    def pairs_of(self, frame: int) -> slice:
        """The pairs of one frame."""
        return slice(self.pair_offsets[frame], self.pair_offsets[frame + 1])

    def keep_pred(self, kept: NDArray[np.bool_]) -> TrackingSequence:
        """The sequence without some predictions.

        Args:
            kept: (M,) which of them stay.
        """
        rows = np.cumsum(kept) - 1
        pairs = kept[self.pred]
        return TrackingSequence(
            self.num_frames,
            self.gt_frames,
            self.gt_ids,
            self.pred_frames[kept],
            self.pred_ids[kept],
            self.gt[pairs],
            rows[self.pred[pairs]],
            self.similarity[pairs],
        )

    def _check_rows(self, side: str, frames: Ints, ids: Ints, index: Ints) -> None:
        if len(frames) != len(ids):
            raise ValueError(f"{side}_frames and {side}_ids must be of one length, found {len(frames)} and {len(ids)}.")
        if len(frames) and (frames[0] < 0 or frames[-1] >= self.num_frames or (np.diff(frames) < 0).any()):
            raise ValueError(f"{side}_frames must ascend within [0, {self.num_frames}).")
        keys = np.sort(frames * (len(ids) + 1) + index)
        if (keys[1:] == keys[:-1]).any():
            key = keys[1:][keys[1:] == keys[:-1]][0]
            row = np.flatnonzero(frames * (len(ids) + 1) + index == key)[0]
            raise ValueError(
                f"{side}_ids of a frame must be unique, found {ids[row]} more than once in frame {frames[row]}."
            )

    def _check_pairs(self) -> None:
        gt, pred, similarity = self.gt, self.pred, self.similarity
        if not len(gt) == len(pred) == len(similarity):
            raise ValueError(
                f"gt, pred and similarity must be of one length, found {len(gt)}, {len(pred)}, {len(similarity)}."
            )
        if not len(gt):
            return
        if min(gt.min(), pred.min()) < 0 or gt.max() >= len(self.gt_ids) or pred.max() >= len(self.pred_ids):
            raise ValueError("gt and pred must be rows of the true and the predicted objects.")
        if (self.gt_frames[gt] != self.pred_frames[pred]).any():
            raise ValueError("The two objects of a pair must be of one frame.")
        if not ((similarity > 0) & (similarity <= 1)).all():
            raise ValueError("similarity must lie in (0, 1].")
        keys = gt * len(self.pred_ids) + pred
        if (np.diff(keys) <= 0).any():
            order = np.argsort(keys, kind="stable")
            if (np.diff(keys[order]) == 0).any():
                raise ValueError("A pair occurs twice.")
            for name in ("gt", "pred", "similarity"):
                object.__setattr__(self, name, getattr(self, name)[order])


def ambiguous(sequence: TrackingSequence, pairs: NDArray[np.bool_]) -> Ints:
    """Frames in which an object has more than one of the chosen pairs: only these leave a choice of matches.

    Args:
        sequence: A video.
        pairs: (P,) which of its pairs are candidates.

    Returns:
        The frames, ascending.
    """
    gt, pred = sequence.gt[pairs], sequence.pred[pairs]
    several = (np.bincount(gt) > 1)[gt] | (np.bincount(pred) > 1)[pred]
    return np.unique(sequence.frames[pairs][several])


def assign(sequence: TrackingSequence, frame: int, score: Floats, elsewhere: float = 0.0) -> NDArray[np.bool_]:
    """Which pairs of a frame the assignment of highest total score takes.

    The officials give scipy this same matrix, so ties are broken alike.

    Args:
        sequence: A video.
        frame: The frame.
        score: (P,) of every pair of the video.
        elsewhere: Score where there is no pair.

    Returns:
        One flag for each of `sequence.pairs_of(frame)`.
    """
    matrix = sequence.dense(frame, score, elsewhere)
    chosen = np.zeros(matrix.shape, bool)
    chosen[linear_sum_assignment(-matrix)] = True
    pairs = sequence.pairs_of(frame)
    return chosen[sequence.gt[pairs] - sequence.gt_offsets[frame], sequence.pred[pairs] - sequence.pred_offsets[frame]]
