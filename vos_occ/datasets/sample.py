"""One annotated frame in memory, before it becomes tensors. Knows nothing of files or of mmdet."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

UNKNOWN_ORDER = -1
UNKNOWN_OCCLUSION = -1
NOTHING_KNOWN = np.zeros(0, np.int8)  # stands for labels of which none is known, however many there are
ALL_KNOWN = np.zeros(0, bool)  # stands for masks of which all are known


@dataclass(frozen=True)
class Sample:
    """An image and what is known of the instances in it.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        masks: (N, H, W) uint8 in {0, 1}, visible pixels.
        labels: (N,) int64, 0-based class index.
        instance_ids: (N,) int64, >= 0, the same object has the same id in every frame of a video.
        hidden: (N,) float32 in [0, 1], fraction of the object that others cover; nan where unknown.
        in_front: (N, N) int8; `in_front[i, j]` is 1 when i lies in front of j, 0 when it does not, -1 when unknown.
        crowd: (N,) bool; crowd regions are ignored in training and occlude nothing.
        occlusion: (N,) int8, OVIS' label: 0 not occluded, 1 slightly, 2 severely, -1 unknown; default: all unknown.
        mask_known: (N,) bool; where False only the box is known, and the mask is the box filled: it moves and is cut
            as a box would be, but no mask is learned from it. Default: all known.
    """

    image: np.ndarray
    masks: np.ndarray
    labels: np.ndarray
    instance_ids: np.ndarray
    hidden: np.ndarray
    in_front: np.ndarray
    crowd: np.ndarray
    occlusion: np.ndarray = field(default_factory=lambda: NOTHING_KNOWN)
    mask_known: np.ndarray = field(default_factory=lambda: ALL_KNOWN)

    def __post_init__(self) -> None:
        count = len(self.masks)
        if self.occlusion is NOTHING_KNOWN:
            object.__setattr__(self, "occlusion", unknown_occlusion(count))
        if self.mask_known is ALL_KNOWN:
            object.__setattr__(self, "mask_known", np.ones(count, bool))
        assert self.masks.shape[1:] == self.image.shape[:2], (self.masks.shape, self.image.shape)
        per_object = (self.labels, self.instance_ids, self.hidden, self.crowd, self.occlusion, self.mask_known)
        assert all(len(values) == count for values in per_object), [len(values) for values in per_object]
        assert self.in_front.shape == (count, count), self.in_front.shape

    def __len__(self) -> int:
        return len(self.masks)

    def select(self, keep: np.ndarray) -> Sample:
        """The sample with the instances at `keep` (indices, or a bool mask) only."""
        if keep.dtype == bool and keep.all():
            return self  # copying the masks of a large picture takes longer than finding out
        index = np.flatnonzero(keep) if keep.dtype == bool else keep
        return replace(
            self,
            masks=self.masks[index],
            labels=self.labels[index],
            instance_ids=self.instance_ids[index],
            hidden=self.hidden[index],
            in_front=self.in_front[np.ix_(index, index)],
            crowd=self.crowd[index],
            occlusion=self.occlusion[index],
            mask_known=self.mask_known[index],
        )

    def boxes(self) -> np.ndarray:
        """(N, 4) float32 xyxy of the visible masks, end-exclusive; zeros for an empty mask."""
        boxes = np.zeros((len(self), 4), np.float32)
        for box, mask in zip(boxes, self.masks, strict=True):
            columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
            if len(columns):
                box[:] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
        return boxes


def unknown_order(count: int) -> np.ndarray:
    """(count, count) int8 order of instances of which nothing is known."""
    return np.full((count, count), UNKNOWN_ORDER, np.int8)


def unknown_occlusion(count: int) -> np.ndarray:
    """(count,) int8 labels of instances of which nothing is known."""
    return np.full(count, UNKNOWN_OCCLUSION, np.int8)


def visible_sample(
    image: np.ndarray,
    masks: np.ndarray,
    labels: np.ndarray,
    instance_ids: np.ndarray,
    crowd: np.ndarray,
    mask_known: np.ndarray = ALL_KNOWN,
) -> Sample:
    """A sample of data that says what is visible, and neither how much is hidden nor by whom."""
    count = len(masks)
    hidden = np.full(count, np.nan, np.float32)
    return Sample(image, masks, labels, instance_ids, hidden, unknown_order(count), crowd, mask_known=mask_known)
