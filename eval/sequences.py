"""What the tracking metrics see of a video: per frame, who is there and how alike they are.

Knows nothing of files, classes and ignore regions: protocols apply those before they make frame pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eval.rle import Rle, ious


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


@dataclass(frozen=True)
class Indexed:
    """The frames of a sequence with ids replaced by indices 0..n-1, in the order of the ids.

    Attributes:
        frames: Per frame: indices of the true objects (G,), of the predicted (D,), and their similarity (G, D).
        num_gt: Different true ids.
        num_pred: Different predicted ids.
    """

    frames: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]]
    num_gt: int
    num_pred: int


def index(frames: Sequence[FramePair]) -> Indexed:
    """Number the ids of a sequence."""
    gt_names, gt = _number([frame.gt_ids for frame in frames])
    pred_names, pred = _number([frame.pred_ids for frame in frames])
    similarities = [frame.similarity for frame in frames]
    return Indexed(list(zip(gt, pred, similarities, strict=True)), gt_names, pred_names)


def _number(ids: Sequence[NDArray[np.int64]]) -> tuple[int, list[NDArray[np.int64]]]:
    if not ids:
        return 0, []
    names, indices = np.unique(np.concatenate(ids), return_inverse=True)
    return len(names), np.split(indices, np.cumsum([len(frame) for frame in ids])[:-1])
