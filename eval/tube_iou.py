"""Spatio-temporal IoU of tubes: the pixels that two share over all frames, of those that either covers.

Exact in integers. Which pairs cannot reach a threshold shows from areas and extents alone; only the others are compared
pixel by pixel, frame after frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.tube_runs import Intervals, TubeRuns, shared_pixels

Ints = NDArray[np.int64]


def tube_ious(
    first: Sequence[TubeRuns], second: Sequence[TubeRuns], least: float = 0.0, any_shape: bool = False
) -> NDArray[np.float64]:
    """IoU of each pair of tubes of one video.

    Args:
        first: N tubes.
        second: M tubes.
        least: An IoU that is less may be given as 0, which is quicker.
        any_shape: Whether tubes may differ in length and mask size, as YTVOSeval lets them. Frames that lie behind the
            end of either tube, or in which both have masks but of different sizes, then count as if both were empty.

    Returns:
        (N, M) in [0, 1]; 0 where both tubes are empty. Sums are integers, so the quotient is exact.

    Raises:
        ValueError: Unless any shape is allowed, tubes differ in length or mask size.
    """
    length = max((len(tube.extents) for tube in (*first, *second)), default=0)
    sides = _Side.of(first, length), _Side.of(second, length)
    if not any_shape:
        _require_one_shape(*sides)
    return _ious(*sides, least)


@dataclass(frozen=True)
class _Side:
    """The N tubes of one side, padded to T frames.

    Attributes:
        tubes: The tubes.
        pixels, first, last: (N, T) as `TubeRuns.extents`.
        size: (N, T) a number for each mask size, 0 where there is no mask, -1 behind the end of a tube.
    """

    tubes: Sequence[TubeRuns]
    pixels: Ints
    first: Ints
    last: Ints
    size: Ints

    @classmethod
    def of(cls, tubes: Sequence[TubeRuns], length: int) -> _Side:
        """Tubes of at most this length."""
        padded = np.full((len(tubes), length, 5), -1, np.int64)
        for row, tube in zip(padded, tubes, strict=True):
            row[: len(tube.extents)] = tube.extents
        height, width = padded[..., 3], padded[..., 4]
        size = np.where(height < 0, -1, height << 32 | width)
        return cls(tubes, np.maximum(padded[..., 0], 0), padded[..., 1], padded[..., 2], size)


def _ious(found: _Side, truth: _Side, least: float) -> NDArray[np.float64]:
    """(D, G) IoU of each pair, or 0 where bounds show that it does not reach `least`."""
    meets = np.zeros((len(truth.tubes), *found.size.shape), bool)  # (G, D, T)
    covered = np.zeros(meets.shape[:2], np.int64)
    for k, size in enumerate(truth.size):
        counted = (found.size == size) | (np.minimum(found.size, size) == 0)
        covered[k] = ((found.pixels + truth.pixels[k]) * counted).sum(1)
        meets[k] = (found.size == size) & (size > 0)
        meets[k] &= (found.first < truth.last[k]) & (truth.first[k] < found.last)
        most = (np.minimum(found.pixels, truth.pixels[k]) * meets[k]).sum(1)  # that they can share
        meets[k] &= ((most > 0) & (most >= least * (covered[k] - most)))[:, None]
    shared = np.zeros_like(covered)
    by_frame = np.ascontiguousarray(meets.transpose(2, 0, 1))
    for t in np.flatnonzero(by_frame.any((1, 2))).tolist():
        sizes = truth.size[:, t]
        for size in set(sizes.tolist()) - {0, -1}:
            g, d = np.nonzero(by_frame[t] & (sizes == size)[:, None])
            if len(g):
                shared[g, d] += _shared(found, truth, g, d, t)
    return np.where(meets.any(2), shared / np.maximum(covered - shared, 1), 0.0).T


def _shared(found: _Side, truth: _Side, g: Ints, d: Ints, frame: int) -> Ints:
    """(P,) pixels that pairs of tubes share in one frame, in which their masks have one size."""
    begins = np.diff(g, prepend=-1) > 0  # of the pairs of another object; g ascends
    objects, of = g[begins], np.cumsum(begins) - 1
    masks = Intervals.at([found.tubes[i] for i in d.tolist()], frame)
    others = Intervals.at([truth.tubes[i] for i in objects.tolist()], frame)
    size = int(truth.size[g[0], frame])
    return shared_pixels(masks, others, of, size >> 32, size & 0xFFFFFFFF)


def _require_one_shape(*sides: _Side) -> None:
    sizes = set().union(*(np.unique(side.size).tolist() for side in sides)) - {0}
    if -1 in sizes:
        raise ValueError("Tubes to compare must be of one length. Give each one entry per frame.")
    if len(sizes) > 1:
        shown = sorted((size >> 32, size & 0xFFFFFFFF) for size in sizes)
        raise ValueError(f"Masks to compare must have one size (height, width), found {shown}.")
