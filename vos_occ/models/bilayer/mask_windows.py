"""Masks seen through RoIs: RoIAlign of binary masks and its threshold, for many RoIs and masks at a time.

Averaging bilinear samples over bins is separable: `rows (S, h) @ mask (h, w) @ cols (w, S)`, with the weight of every
pixel line in every bin. The RoIs of one object look at the same masks (its own, those of its neighbours) through much
the same window. So each mask is cut out once per object, never the whole image, and multiplied with the weights of all
of the object's RoIs at once: on a CPU this took a fifteenth of RoIAlign over whole masks. Bitmaps live in the CPU's
memory, so this runs there, wherever the RoIs are; only the rasters travel. Knows nothing about occlusion.
"""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import torch
from mmdet.structures.mask import BitmapMasks
from mmdet.structures.mask.structures import BaseInstanceMasks
from numpy.typing import NDArray
from torch import Tensor

BANDS = 4
"""Bins of a raster whose weights are multiplied together: a bin has weight in its own few lines only, so that products
over all lines would be of zeros for the most part. More bands save less than their calls cost."""


def dense(masks: BaseInstanceMasks) -> NDArray[np.uint8]:
    """Bitmaps (G, H, W) in {0, 1} of any container; those of `BitmapMasks` as they lie, where they are bytes."""
    bitmaps = masks.masks if isinstance(masks, BitmapMasks) else masks.to_ndarray()
    return bitmaps.view(np.uint8) if bitmaps.dtype == bool else bitmaps.astype(np.uint8, copy=False)


class MaskWindows:
    """The RoIs of an image, ready to look at masks.

    The rule is RoIAlign's with `aligned=True` and `sampling_ratio=0`: about one bilinear sample per pixel.

    Args:
        boxes: (N, 4) xyxy RoIs in pixels of the masks.
        owners: (N,) int64, the object of each RoI.
        frame: height and width of the masks.
        size: S, side of the rasters.
    """

    def __init__(self, boxes: Tensor, owners: Tensor, frame: tuple[int, int], size: int) -> None:
        self._device = boxes.device
        self._boxes = boxes.detach().float().cpu().numpy()
        self._frame = frame
        self._size = size
        self._owners, group = np.unique(owners.cpu().numpy(), return_inverse=True)
        self._rois = [np.flatnonzero(group == g) for g in range(len(self._owners))]

    def union(self, masks: BaseInstanceMasks, seen: NDArray[np.bool_]) -> Tensor:
        """Cells of each RoI of which one of the masks that its owner sees covers half or more.

        Args:
            masks: of G objects. Bitmaps are never copied; other containers crop themselves, mask by mask.
            seen: (G, G), `seen[k, j]`: mask k is looked at through the RoIs of j.

        Returns:
            (N, S, S) bool, on the RoIs' device.
        """
        covered = np.zeros((len(self._boxes), self._size, self._size), bool)
        members = [np.flatnonzero(seen[:, owner]) for owner in self._owners]
        see = self._see_bitmaps if isinstance(masks, BitmapMasks) else self._see_others
        see(masks, members, covered)
        return torch.from_numpy(covered).to(self._device)

    def _see_bitmaps(
        self, masks: BitmapMasks, members: Sequence[NDArray[np.int64]], covered: NDArray[np.bool_]
    ) -> None:
        bitmaps = dense(masks)
        for rois, rows, cols, chosen in zip(self._rois, *self._axes, members, strict=True):
            crops = (bitmaps[index, rows.window, cols.window] for index in chosen)
            coverages = [coverage for crop in crops if (coverage := _coverage(crop, rows, cols)) is not None]
            if coverages:
                covered[rois] = np.maximum.reduce(coverages) >= 0.5

    def _see_others(
        self, masks: BaseInstanceMasks, members: Sequence[NDArray[np.int64]], covered: NDArray[np.bool_]
    ) -> None:
        for rois, chosen in zip(self._rois, members, strict=True):
            for index in chosen:
                crops = masks.crop_and_resize(
                    self._boxes[rois], (self._size, self._size), np.full(len(rois), index), binarize=True
                )
                covered[rois] |= crops.to_ndarray() != 0

    @cached_property
    def _axes(self) -> tuple[list[AxisWeights], list[AxisWeights]]:
        """Weights of each owner's RoIs along y and x."""
        if not self._rois:
            return [], []
        boxes, counts = self._boxes[np.concatenate(self._rois)], [len(rois) for rois in self._rois]
        rows, cols = (
            list(_axis_weights(boxes[:, axis], boxes[:, axis + 2], counts, self._frame[1 - axis], self._size))
            for axis in (1, 0)
        )
        return rows, cols


@dataclass(frozen=True)
class AxisWeights:
    """How the bins of an owner's R RoIs read the masks along one axis.

    Attributes:
        first: line of the image where their common window begins.
        weights: (S, R, window) float32, the weight of each line of the window in each bin.
        bands: of each part of the bins: bins from, to; lines of the window from, to.
    """

    first: int
    weights: NDArray[np.float32]
    bands: Sequence[tuple[int, int, int, int]]

    @property
    def window(self) -> slice:
        """Lines of the image."""
        return slice(self.first, self.first + self.weights.shape[2])


def _coverage(crop: NDArray[np.uint8], rows: AxisWeights, cols: AxisWeights) -> NDArray[np.float32] | None:
    """(R, S, S) of one mask, cut out (h, w); None where nothing of it is in the window."""
    left, top, width, height = cv2.boundingRect(crop)
    if not width:
        return None
    pixels = crop[top : top + height, left : left + width].astype(np.float32)
    size, count, _ = rows.weights.shape
    lines = np.zeros((size, count, width), np.float32)
    for first, end, low, high in rows.bands:
        low, high = max(low, top), min(high, top + height)
        if low < high:
            weights = rows.weights[first:end, :, low:high].reshape((end - first) * count, -1)
            np.matmul(weights, pixels[low - top : high - top], out=lines[first:end].reshape(len(weights), width))
    return lines.transpose(1, 0, 2) @ cols.weights[:, :, left : left + width].transpose(1, 2, 0)


def _axis_weights(
    low: NDArray[np.float32], high: NDArray[np.float32], counts: Sequence[int], lines: int, size: int
) -> Iterator[AxisWeights]:
    """The weights of each owner's RoIs along one axis.

    Args:
        low, high: (N,) ends of the RoIs, owner after owner.
        counts: RoIs of each owner, at least 1.
        lines: of the image along this axis.
        size: number of bins.
    """
    line, share_low, share_high = _samples(low, high, lines, size)  # (N, S, samples)
    last = np.minimum(line + 1, lines - 1)
    starts = np.cumsum([0, *counts])
    begins = np.minimum.reduceat(line.min(2), starts[:-1])  # (groups, S)
    ends = np.maximum.reduceat(last.max(2), starts[:-1]) + 1
    firsts = begins.min(1)
    lengths = ends.max(1) - firsts
    places = np.cumsum([0, *(size * lengths * counts)])
    # the weight of bin b of RoI r in line l lies at places + (b * R + r) * length + l - first
    group = np.repeat(np.arange(len(counts)), counts)
    row = np.arange(size) * np.repeat(counts, counts)[:, None] + (np.arange(len(group)) - starts[group])[:, None]
    place = ((places[:-1] - firsts)[group])[:, None] + row * lengths[group][:, None]
    weights = np.zeros(places[-1], np.float32)
    np.add.at(weights, (place[:, :, None] + line).ravel(), share_low.ravel())
    np.add.at(weights, (place[:, :, None] + last).ravel(), share_high.ravel())
    cuts = np.unique(np.linspace(0, size, BANDS + 1).astype(int))
    tops = (np.minimum.reduceat(begins, cuts[:-1], axis=1) - firsts[:, None]).tolist()
    bottoms = (np.maximum.reduceat(ends, cuts[:-1], axis=1) - firsts[:, None]).tolist()
    bins = list(itertools.pairwise(cuts.tolist()))
    for g, count in enumerate(counts):
        bands = [(*part, top, bottom) for part, top, bottom in zip(bins, tops[g], bottoms[g], strict=True)]
        yield AxisWeights(
            int(firsts[g]), weights[places[g] : places[g + 1]].reshape(size, count, int(lengths[g])), bands
        )


def _samples(
    low: NDArray[np.float32], high: NDArray[np.float32], lines: int, size: int
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
    """Where each bin samples: the line before the sample, its share, and that of the next line, (N, S, samples).

    Samples that are farther than a pixel outside the image have no share; nor has any of an RoI that is not finite.
    The order of the float32 operations is that of vos_occ/compat/plain_roi_sampling.py.
    """
    finite = np.isfinite(low) & np.isfinite(high)
    low, high = np.where(finite, low, 0), np.where(finite, high, 0)
    start = low - np.float32(0.5)
    bin_size = ((high - np.float32(0.5)) - start) / np.float32(size)
    counts = np.ceil(bin_size).clip(0)[:, None, None]
    sample = np.arange(max(int(counts.max(initial=0)), 1), dtype=np.float32)
    bins = np.arange(size, dtype=np.float32)[:, None]
    bin_size = bin_size[:, None, None]
    divisor = counts.clip(1)
    position = start[:, None, None] + bins * bin_size + (sample + np.float32(0.5)) * bin_size / divisor
    used = (sample < counts) & (position >= -1) & (position <= lines)
    position = position.clip(0, lines - 1)
    position = np.where(used, position, position[:, :, :1])  # samples without a share do not widen the window
    share = used / divisor
    line = position.astype(np.int64)
    share_high = (position - line.astype(np.float32)) * share
    return line, share - share_high, share_high
