"""Where RoIAlign samples a feature map, as one weight per bin and cell along each axis. Knows torch only.

The semantics are those of mmcv/ops/csrc/pytorch/cpu/roi_align.cpp: a sample more than one cell outside the features
counts as zero, one that is nearer takes the value of the outermost cell, an RoI without area gives zeros.
So does one that is not finite, where mmcv reads outside the features.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class AxisSampling:
    """How the bins of R RoIs read the features along one axis.

    Attributes:
        first: (R,) int64 feature index where each RoI's crop begins.
        length: (R,) int64 length of the crop, at least 1.
        weights: (R, bins, longest crop) float, the weight of each cell of the crop in each bin; 0 behind its end.
    """

    first: Tensor
    length: Tensor
    weights: Tensor

    def spans(self, rois: Tensor) -> list[tuple[int, int]]:
        """First and end (exclusive) of the crops of some RoIs, given by index."""
        first = self.first[rois]
        return list(zip(first.tolist(), (first + self.length[rois]).tolist(), strict=True))

    def cells(self, rois: Tensor, count: int) -> Tensor:
        """`count` cells from the beginning of some RoIs' crops, the last one repeated behind their ends: (N, count)."""
        steps = torch.arange(count, device=rois.device)
        return self.first[rois, None] + torch.minimum(steps, self.length[rois, None] - 1)


@dataclass(frozen=True)
class RoISampling:
    """How R RoIs read the features: from which image (R,) int64, which rows, which columns."""

    image: Tensor
    rows: AxisSampling
    cols: AxisSampling

    def __len__(self) -> int:
        return len(self.image)

    @property
    def bins(self) -> tuple[int, int]:
        """Height and width of the output."""
        return self.rows.weights.size(1), self.cols.weights.size(1)

    def area(self) -> int:
        """Cells in all crops together."""
        return int((self.rows.length * self.cols.length).sum())

    def split(self, side: int) -> tuple[Tensor, Tensor]:
        """Indices of the RoIs whose crops fit into a square of that side, and of the others."""
        small = (self.rows.length <= side) & (self.cols.length <= side)
        return small.nonzero()[:, 0], (~small).nonzero()[:, 0]

    def crops(self, features: Tensor, rois: Tensor) -> Iterator[tuple[int, Tensor, Tensor, Tensor]]:
        """Walk over some RoIs.

        Args:
            features: (B, H, W, C) of any strides.
            rois: (N,) int64 indices.

        Yields:
            index of the RoI; crop (h, w, C), a view of `features`; rows (bins_y, h); cols (bins_x, w).
        """
        spans = zip(self.rows.spans(rois), self.cols.spans(rois), strict=True)
        for index, image, ((top, bottom), (left, right)) in zip(
            rois.tolist(), self.image[rois].tolist(), spans, strict=True
        ):
            crop = features[image, top:bottom, left:right]
            yield index, crop, self.rows.weights[index, :, : bottom - top], self.cols.weights[index, :, : right - left]

    def padded(self, rois: Tensor, side: int) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor, Tensor]:
        """Some RoIs whose crops fit into a square, together.

        Returns:
            Indices (image, y, x) that take (N, h, w, C) from features (B, H, W, C); rows (N, bins_y, h);
            cols (N, bins_x, w). What lies behind the end of a crop repeats its last cell, with weight 0.
        """
        rows, cols = self.rows.weights[rois, :, :side], self.cols.weights[rois, :, :side]
        y, x = self.rows.cells(rois, rows.size(2)), self.cols.cells(rois, cols.size(2))
        return (self.image[rois, None, None], y[:, :, None], x[:, None, :]), rows, cols


def sample_rois(
    rois: Tensor,
    feature_size: tuple[int, int],
    bins: tuple[int, int],
    spatial_scale: float,
    sampling_ratio: int,
    aligned: bool,
) -> RoISampling:
    """Place the RoIs' samples on the feature map.

    Args:
        rois: (R, 5) float32 or float64: image index, x1, y1, x2, y2.
        feature_size: height, width of the features in cells.
        bins: height, width of the output.
        spatial_scale: cells per unit of the RoIs' coordinates.
        sampling_ratio: samples per bin and axis; 0: about one per cell.
        aligned: whether cell i has its centre at i + 0.5; if not, it is at i, and RoIs grow to at least one cell.
    """
    corners = rois[:, 1:] * spatial_scale - (0.5 if aligned else 0.0)
    starts = corners[:, [1, 0]]  # y, x
    sizes = corners[:, [3, 2]] - starts
    if not aligned:
        sizes = sizes.clamp(min=1.0)
    rows, cols = (
        _sample_axis(starts[:, axis], sizes[:, axis], feature_size[axis], bins[axis], sampling_ratio) for axis in (0, 1)
    )
    return RoISampling(rois[:, 0].long(), rows, cols)


def _sample_axis(start: Tensor, size: Tensor, cells: int, bins: int, sampling_ratio: int) -> AxisSampling:
    """Place the samples of one axis and sum their bilinear weights per bin.

    Args:
        start, size: (R,) of the RoIs, in cells.
    """
    bin_size = size / bins
    # mmcv rounds up in single precision whatever the dtype
    samples = torch.full_like(size, sampling_ratio) if sampling_ratio > 0 else bin_size.float().ceil().to(size)
    samples = samples.nan_to_num(0, 0, 0).clamp(min=0)[:, None, None]  # (R, 1, 1); none in a box that is not finite
    most = int(samples.max()) if samples.numel() else 0
    sample = torch.arange(max(most, 1), device=size.device, dtype=size.dtype)  # (S,)
    bin_index = torch.arange(bins, device=size.device, dtype=size.dtype)[:, None]  # (bins, 1)
    bin_size = bin_size[:, None, None]
    position = start[:, None, None] + bin_index * bin_size + (sample + 0.5) * bin_size / samples.clamp(min=1)
    used = (sample < samples) & (position >= -1) & (position <= cells)  # (R, bins, S)
    return _sum_weights(position, used / samples.clamp(min=1), cells)


def _sum_weights(position: Tensor, share: Tensor, cells: int) -> AxisSampling:
    """Turn sample positions into one weight per bin and cell.

    Args:
        position: (R, bins, S) in cells, cell i at i.
        share: (R, bins, S), the weight of each sample in its bin, 0 for samples that do not count.
    """
    position = position.nan_to_num(nan=0.0).clamp(0, cells - 1)
    low = position.floor()
    share_high = (position - low) * share
    low = low.long()
    high = (low + 1).clamp(max=cells - 1)
    counts = share > 0
    first = low.where(counts, cells - 1).amin(dim=(1, 2))
    last = high.where(counts, 0).amax(dim=(1, 2))
    length = (last - first + 1).clamp(min=1)
    longest = int(length.max()) if length.numel() else 1
    weights = position.new_zeros(*position.shape[:2], longest)
    for index, weight in ((low, share - share_high), (high, share_high)):
        weights.scatter_add_(2, (index - first[:, None, None]).clamp(0, longest - 1), weight)
    return AxisSampling(first, length, weights)
