"""RoIAlign in plain torch: bilinear sampling as two matrix products per RoI. Knows torch only.

Bilinear interpolation on a grid is separable: with `rows` (bins_y, h) holding the weight of each feature row in each
bin, the average over the bin's samples included, and `cols` (bins_x, w) likewise, the pooled RoI is

    rows @ crop @ cols.T        for every channel of its crop (h, w)

Channels go last, so that the first product is one matrix product over all columns and channels, and the second a
batched one. Where the RoIs cover the features more than once, the whole map is laid out so, and crops are strided views
of it; where they are few and small, only their crops are. The gradient runs the same products transposed. The
alternative, gathering four neighbours for each sample, moves 4 x C x samples values per RoI; `tools/benchmark_ops.py`
has it as its naive baseline.

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
        first: R feature indices, where each RoI's crop begins.
        length: R lengths of the crops.
        weights: (R, bins, longest crop) float, the weight of each cell of the crop in each bin; 0 behind its end.
    """

    first: list[int]
    length: list[int]
    weights: Tensor


@dataclass(frozen=True)
class RoISampling:
    """How R RoIs read the features: from which image, which rows, which columns."""

    image: list[int]
    rows: AxisSampling
    cols: AxisSampling

    def area(self) -> int:
        """Cells in all crops together."""
        return sum(height * width for height, width in zip(self.rows.length, self.cols.length, strict=True))

    def crops(self, features: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Walk over the RoIs.

        Args:
            features: (B, H, W, C) of any strides.

        Yields:
            crop (h, w, C), a view of `features`; rows (bins_y, h); cols (bins_x, w).
        """
        for index, image in enumerate(self.image):
            top, height = self.rows.first[index], self.rows.length[index]
            left, width = self.cols.first[index], self.cols.length[index]
            crop = features[image, top : top + height, left : left + width]
            yield crop, self.rows.weights[index, :, :height], self.cols.weights[index, :, :width]


def pool(features: Tensor, sampling: RoISampling) -> Tensor:
    """Average-pool every RoI.

    Args:
        features: (B, H, W, C) of any strides; a contiguous one is used as it lies.

    Returns:
        (R, bins_y, bins_x, C).
    """
    channels = features.size(3)
    bins_y, bins_x = sampling.rows.weights.size(1), sampling.cols.weights.size(1)
    if _cover(sampling, features):
        features = features.contiguous()
    pooled = features.new_empty(len(sampling.image), bins_y, bins_x, channels)
    for out, (crop, rows, cols) in zip(pooled, sampling.crops(features), strict=True):
        lines = rows @ crop.flatten(1)  # (bins_y, w * C); flatten copies a crop whose channels are not last in memory
        torch.matmul(cols, lines.view(bins_y, -1, channels), out=out)
    return pooled


def pool_backward(grad: Tensor, sampling: RoISampling, grad_features: Tensor) -> None:
    """Add the gradient of `pool` to the features' gradient.

    Args:
        grad: (R, bins_y, bins_x, C) contiguous.
        grad_features: (B, H, W, C) of any strides, added to in place.
    """
    if not _cover(sampling, grad_features):
        for grad_bins, (grad_crop, rows, cols) in zip(grad, sampling.crops(grad_features), strict=True):
            lines = cols.t() @ grad_bins  # (bins_y, w, C)
            grad_crop += (rows.t() @ lines.flatten(1)).view(grad_crop.shape)
        return
    total = torch.zeros_like(grad_features, memory_format=torch.contiguous_format)
    for grad_bins, (grad_crop, rows, cols) in zip(grad, sampling.crops(total), strict=True):
        grad_crop.flatten(1).addmm_(rows.t(), (cols.t() @ grad_bins).flatten(1))
    grad_features += total


def _cover(sampling: RoISampling, features: Tensor) -> bool:
    """Whether laying out the whole map (B, H, W, C) costs less than laying out each crop."""
    return sampling.area() >= features[..., 0].numel()


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
    return RoISampling(rois[:, 0].long().tolist(), rows, cols)


def _sample_axis(start: Tensor, size: Tensor, cells: int, bins: int, sampling_ratio: int) -> AxisSampling:
    """Place the samples of one axis and sum their bilinear weights per bin.

    Args:
        start, size: (R,) of the RoIs, in cells.
    """
    bin_size = size / bins
    # mmcv rounds up in single precision whatever the dtype
    samples = torch.full_like(size, sampling_ratio) if sampling_ratio > 0 else bin_size.float().ceil().to(size)
    samples = samples.nan_to_num(0, 0, 0).clamp(min=0)[
        :, None, None
    ]  # (R, 1, 1); no samples in a box that is not finite
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
    return AxisSampling(first.tolist(), length.tolist(), weights)
