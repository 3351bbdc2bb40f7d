"""What the toolkit knows about one frame of a video: the one thing that inference hands to writers and overlays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from vos_occ.structures.occlusion import OcclusionOrder
from vos_occ.structures.rle import Rle


@dataclass(frozen=True, eq=False)
class FrameResult:
    """Tracked objects of one frame, in source pixels.

    Attributes:
        frame_index: 0-based, decode order.
        height: frame height in pixels.
        width: frame width in pixels.
        track_ids: (N,) int64, >= 1, unique in the frame, never reused in a video.
        labels: (N,) int64, >= 0, index into the model's classes.
        scores: (N,) float32 in [0, 1].
        boxes: (N, 4) float32 xyxy, end-exclusive; may reach outside the frame.
        masks: N encodings of the visible extent.
        occluder_masks: N encodings of what hides each object (None where not predicted), or None when unknown.
        hidden: (N,) float32, fraction of each object that is hidden, in [0, 1] or nan where undefined; None if unknown.
        order: who hides part of whom, or None when unknown.

    Raises:
        ValueError: if fields disagree in length, leave their range or belong to another frame size.
        TypeError: if an array has a dtype that cannot hold the field without loss of kind.
    """

    frame_index: int
    height: int
    width: int
    track_ids: NDArray[np.int64]
    labels: NDArray[np.int64]
    scores: NDArray[np.float32]
    boxes: NDArray[np.float32]
    masks: list[Rle]
    occluder_masks: list[Rle | None] | None = None
    hidden: NDArray[np.float32] | None = None
    order: OcclusionOrder | None = None

    def __post_init__(self) -> None:
        count = len(self.masks)
        self._set_array("track_ids", np.int64, (count,))
        self._set_array("labels", np.int64, (count,))
        self._set_array("scores", np.float32, (count,))
        self._set_array("boxes", np.float32, (count, 4))
        if self.hidden is not None:
            self._set_array("hidden", np.float32, (count,))
        self._check_frame()
        self._check_values()
        self._check_masks("masks", self.masks)
        if self.occluder_masks is not None:
            self._check_masks("occluder_masks", self.occluder_masks)
        if self.order is not None:
            self._require(len(self.order) == count, f"order is over {len(self.order)} objects, expected {count}")

    @classmethod
    def empty(cls, frame_index: int, height: int, width: int) -> FrameResult:
        """A frame without objects."""
        ids, scores = np.zeros(0, np.int64), np.zeros(0, np.float32)
        return cls(frame_index, height, width, ids, ids.copy(), scores, np.zeros((0, 4), np.float32), [])

    def __len__(self) -> int:
        return len(self.masks)

    def __repr__(self) -> str:
        return f"FrameResult({self.frame_index}, {self.height}x{self.width}, track_ids={self.track_ids.tolist()})"

    def hidden_by(self, i: int) -> list[int]:
        """Track ids of the objects that hide part of object i; empty when the order is unknown."""
        return [] if self.order is None else self.track_ids[self.order.hidden_by(i)].tolist()

    def _set_array(self, name: str, dtype: DTypeLike, shape: tuple[int, ...]) -> None:
        value: NDArray[Any] = np.asarray(getattr(self, name))
        self._require(value.shape == shape, f"{name} has shape {value.shape}, expected {shape}")
        if value.size and not np.can_cast(value.dtype, dtype, casting="same_kind"):
            raise TypeError(f"FrameResult {self.frame_index}: {name} has dtype {value.dtype}, expected {dtype}.")
        object.__setattr__(self, name, value.astype(dtype, copy=False))

    def _check_frame(self) -> None:
        self._require(self.frame_index >= 0, "frame_index is negative")
        self._require(self.height > 0 and self.width > 0, f"frame size {self.height}x{self.width} is empty")

    def _check_values(self) -> None:
        ids = self.track_ids
        self._require(bool((ids >= 1).all()), f"track ids start at 1, got {ids.tolist()}")
        self._require(len(np.unique(ids)) == len(ids), f"two objects share a track id in {ids.tolist()}")
        self._require(bool((self.labels >= 0).all()), f"negative label in {self.labels.tolist()}")
        in_range = (self.scores >= 0) & (self.scores <= 1)
        self._require(bool(in_range.all()), f"score outside [0, 1] in {self.scores.tolist()}")
        self._require(bool(np.isfinite(self.boxes).all()), "a box is not finite")
        self._require(bool((self.boxes[:, 2:] >= self.boxes[:, :2]).all()), "a box ends before it begins")
        if self.hidden is not None:
            defined = self.hidden[~np.isnan(self.hidden)]
            self._require(bool(((defined >= 0) & (defined <= 1)).all()), "hidden fraction outside [0, 1]")

    def _check_masks(self, name: str, masks: Sequence[Rle | None]) -> None:
        self._require(len(masks) == len(self.masks), f"{name} has {len(masks)} entries, expected {len(self.masks)}")
        for i, mask in enumerate(masks):
            if mask is None and name == "occluder_masks":
                continue
            fits = mask is not None and list(mask["size"]) == [self.height, self.width]
            self._require(fits, f"{name}[{i}] is not a mask of a {self.height}x{self.width} frame")
            if mask is not None and not isinstance(mask["counts"], str):
                raise TypeError(f"FrameResult {self.frame_index}: {name}[{i}] has no COCO string counts.")

    def _require(self, condition: bool, message: str) -> None:
        if not condition:
            raise ValueError(f"FrameResult {self.frame_index}: {message}.")
