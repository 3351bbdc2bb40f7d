"""The exact truth of a layered picture: from amodal masks and a depth order to visible masks, occluders and pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MIN_AREA = 16
"""Pixels under which an extent or a contact does not count: a sliver is neither visible nor does it hide."""


@dataclass(frozen=True)
class SyntheticFrame:
    """One picture and all that is true of it. The N rows are the video's objects, the same in every frame.

    Attributes:
        frame_index: 0-based.
        image: (H, W, 3) uint8 RGB.
        track_ids: (N,) int64, 1 to N.
        labels: (N,) int64, indices into `CLASSES`.
        visible: (N, H, W) bool; no pixel belongs to two objects. Empty when fully hidden or outside the image.
        amodal: (N, H, W) bool, the whole extent inside the image.
        depth_order: (N,) int64, a permutation of 0 to N-1; larger is nearer.
        hidden: (N,) float64, 1 - |visible & amodal| / |amodal| in [0, 1]; nan where nothing lies inside the image.
        in_front: (N, N) bool; [i, j]: i is nearer and its visible mask covers >= `MIN_AREA` pixels of j's amodal one.
        occluder: (N, H, W) bool; row j is the union of the whole visible masks of all i with in_front[i, j].
    """

    frame_index: int
    image: NDArray[np.uint8]
    track_ids: NDArray[np.int64]
    labels: NDArray[np.int64]
    visible: NDArray[np.bool_]
    amodal: NDArray[np.bool_]
    depth_order: NDArray[np.int64]
    hidden: NDArray[np.float64]
    in_front: NDArray[np.bool_]
    occluder: NDArray[np.bool_]

    def __post_init__(self) -> None:
        count, planes = len(self.track_ids), (len(self.track_ids), *self.image.shape[:2])
        expected = dict.fromkeys(("labels", "depth_order", "hidden"), (count,))
        expected |= dict.fromkeys(("visible", "amodal", "occluder"), planes) | {"in_front": (count, count)}
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"SyntheticFrame.{name} must be {shape}, got {getattr(self, name).shape}.")

    def __len__(self) -> int:
        return len(self.track_ids)

    @property
    def is_visible(self) -> NDArray[np.bool_]:
        """(N,) bool: at least `MIN_AREA` pixels can be seen."""
        return self.visible.sum((1, 2)) >= MIN_AREA


def layer_truth(amodal: NDArray[np.bool_], depth_order: NDArray[np.int64]) -> dict[str, NDArray]:
    """What follows from the extents and the depth order of opaque objects.

    Args:
        amodal: (N, H, W) bool.
        depth_order: (N,) larger is nearer, no two equal.

    Returns:
        The fields `visible`, `hidden`, `in_front` and `occluder` of `SyntheticFrame`.
    """
    visible, covered = np.zeros_like(amodal), np.zeros(amodal.shape[1:], bool)
    for index in np.argsort(-depth_order):
        visible[index] = amodal[index] & ~covered
        covered |= amodal[index]
    seen, whole = (masks.reshape(len(amodal), -1).astype(np.float32) for masks in (visible, amodal))
    area, seen_area = whole.sum(1, dtype=np.float64), seen.sum(1, dtype=np.float64)
    hidden = np.where(area > 0, 1 - seen_area / np.maximum(area, 1), np.nan)
    in_front = (seen @ whole.T >= MIN_AREA) & (depth_order[:, None] > depth_order[None])
    occluder = np.zeros_like(amodal)
    for front, behind in np.argwhere(in_front):
        occluder[behind] |= visible[front]
    return {"visible": visible, "hidden": hidden, "in_front": in_front, "occluder": occluder}
