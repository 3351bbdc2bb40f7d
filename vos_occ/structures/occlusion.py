"""How much of an object is hidden, and by whom.

Works on run-length encodings of one frame. Knows nothing of networks, tracks or files.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vos_occ.structures import rle
from vos_occ.structures.rle import Rle

# Lower bounds of L0..L4; each level ends where the next begins, and L4 includes 1.
# Source: L0-L3 are the occlusion levels of occluded-vehicle detection (CompositionalNets); L4 is ours.
OCCLUSION_LEVELS: tuple[float, ...] = (0.0, 0.01, 0.30, 0.60, 0.90)


def hidden_fraction(visible: Rle, amodal: Rle) -> float:
    """1 - |visible & amodal| / |amodal|, in [0, 1]; nan if the amodal mask is empty, where nothing could be hidden."""
    extent = rle.area(amodal)
    return 1 - rle.intersection_area(visible, amodal) / extent if extent else math.nan


def occlusion_level(fraction: float | None) -> int | None:
    """Level 0..4 of a hidden fraction in [0, 1]; None for an undefined one (None or nan).

    Raises:
        ValueError: if the fraction lies outside [0, 1].
    """
    if fraction is None or math.isnan(fraction):
        return None
    if not 0 <= fraction <= 1:
        raise ValueError(f"A hidden fraction lies in [0, 1], got {fraction}.")
    return sum(fraction >= bound for bound in OCCLUSION_LEVELS) - 1


@dataclass(frozen=True, eq=False)
class OcclusionOrder:
    """Who hides part of whom in one frame.

    Antisymmetric when predicted. True orders may hold both directions: two objects can hide parts of each other.

    Attributes:
        matrix: (N, N) bool; matrix[i, j] = object i hides part of object j. The diagonal is False.
    """

    matrix: NDArray[np.bool_]

    def __post_init__(self) -> None:
        matrix = np.asarray(self.matrix)
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.dtype != np.bool_:
            raise ValueError(f"Expected an (N, N) bool matrix, got {matrix.shape} {matrix.dtype}.")
        if matrix.diagonal().any():
            raise ValueError(f"Object {int(matrix.diagonal().argmax())} is said to hide itself.")
        object.__setattr__(self, "matrix", matrix)

    def __len__(self) -> int:
        return len(self.matrix)

    def __repr__(self) -> str:
        return f"OcclusionOrder({len(self)} objects, {int(self.matrix.sum())} pairs)"

    def hidden_by(self, j: int) -> list[int]:
        """Indices of the objects that hide part of object j."""
        return np.flatnonzero(self.matrix[:, j]).tolist()

    def pairs(self) -> list[tuple[int, int]]:
        """All (i, j) with i hiding part of j."""
        return [(int(i), int(j)) for i, j in zip(*np.nonzero(self.matrix), strict=True)]


def predict_order(
    visible: Sequence[Rle],
    occluders: Sequence[Rle | None],
    boxes: NDArray[np.float32],
    min_score: float = 0.25,
) -> OcclusionOrder:
    """Order of the objects of one frame from their predicted occluder masks.

    score(i hides j) = |occluder_j & visible_i| / |visible_i & box_j|: how much of what i shows in j's box did j's own
    head call occluder. The larger direction of a pair wins; a tie, or a winner below `min_score`, is no order.

    Args:
        visible: N visible masks.
        occluders: N masks of what hides each object, None where none was predicted.
        boxes: (N, 4) float xyxy in pixels of the same frame.
        min_score: smallest score that counts, in (0, 1].

    Raises:
        ValueError: if the lengths differ.
    """
    if not len(visible) == len(occluders) == len(boxes):
        raise ValueError(f"Expected equal lengths, got {len(visible)}, {len(occluders)} and {len(boxes)}.")
    if len(visible) == 0:
        return OcclusionOrder(np.zeros((0, 0), bool))
    height, width = visible[0]["size"]
    occluder_masks = [rle.empty(height, width) if mask is None else mask for mask in occluders]
    box_masks = [rle.from_box(box, height, width) for box in boxes.tolist()]
    called = rle.intersection_over_first(visible, occluder_masks)
    shown = rle.intersection_over_first(visible, box_masks)
    # An occluder mask may reach out of its box by the one pixel of interpolation, so the ratio is capped at 1.
    score = np.minimum(np.divide(called, shown, out=np.zeros_like(called), where=shown > 0), 1)
    np.fill_diagonal(score, 0)
    return OcclusionOrder((score > score.T) & (score >= min_score))
