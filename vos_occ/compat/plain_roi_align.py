"""RoIAlign in plain torch: bilinear sampling as two matrix products. Knows torch only.

Bilinear interpolation on a grid is separable: with `rows` (bins_y, h) holding the weight of each feature row in each
bin, the average over the bin's samples included, and `cols` (bins_x, w) likewise, the pooled RoI is

    rows @ crop @ cols.T        for every channel of its crop (h, w)

Channels go last, so that the first product is one matrix product over all columns and channels, and the second a
batched one. Where the RoIs cover the features more than once, the whole map is laid out so, and crops are views of it;
where they are few, only their crops are. Crops of a few cells are computed together, since the calls would cost more
than the products. The gradient runs the same products transposed.

The alternative, gathering four neighbours for each sample, moves 4 x C x samples values per RoI;
`tools/benchmark_ops.py` has it as its naive baseline.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vos_occ.compat.plain_roi_sampling import RoISampling

SMALL_SIDE = 8
"""Crops up to this many cells in height and width are computed together; measured to pay at 64 channels."""

TOGETHER = 64
"""How many of them at a time: their crops stay in the cache."""


def pool(features: Tensor, sampling: RoISampling) -> Tensor:
    """Average-pool every RoI.

    Args:
        features: (B, H, W, C) of any strides; a contiguous one is used as it lies.

    Returns:
        (R, bins_y, bins_x, C).
    """
    if _cover(sampling, features):
        features = features.contiguous()
    channels, (bins_y, bins_x) = features.size(3), sampling.bins
    pooled = features.new_empty(len(sampling), bins_y, bins_x, channels)
    small, large = sampling.split(SMALL_SIDE)
    for rois in small.split(TOGETHER):
        cells, rows, cols = sampling.padded(rois, SMALL_SIDE)
        lines = rows @ features[cells].flatten(2)  # (N, bins_y, w * C)
        pooled[rois] = cols[:, None] @ lines.unflatten(2, (-1, channels))
    for index, crop, rows, cols in sampling.crops(features, large):
        lines = rows @ crop.flatten(1)  # (bins_y, w * C); flatten copies a crop whose channels are not last in memory
        torch.matmul(cols, lines.view(bins_y, -1, channels), out=pooled[index])
    return pooled


def pool_backward(grad: Tensor, sampling: RoISampling, grad_features: Tensor) -> None:
    """Add the gradient of `pool` to the features' gradient.

    Args:
        grad: (R, bins_y, bins_x, C) contiguous.
        grad_features: (B, H, W, C) of any strides, added to in place.
    """
    if not _cover(sampling, grad_features):
        _scatter(grad, sampling, grad_features)
        return
    total = torch.zeros_like(grad_features, memory_format=torch.contiguous_format)
    _scatter(grad, sampling, total)
    grad_features += total


def _scatter(grad: Tensor, sampling: RoISampling, grad_features: Tensor) -> None:
    """As `pool_backward`, into the features as they lie."""
    small, large = sampling.split(SMALL_SIDE)
    for rois in small.split(TOGETHER):
        cells, rows, cols = sampling.padded(rois, SMALL_SIDE)
        lines = cols.transpose(1, 2)[:, None] @ grad[rois]  # (N, bins_y, w, C)
        crops = rows.transpose(1, 2) @ lines.flatten(2)  # (N, h, w * C)
        grad_features.index_put_(cells, crops.unflatten(2, lines.shape[2:]), accumulate=True)
    for index, grad_crop, rows, cols in sampling.crops(grad_features, large):
        lines = cols.t() @ grad[index]  # (bins_y, w, C)
        if grad_crop.stride(1) == grad_crop.size(2):  # channels last in memory: flatten is a view
            grad_crop.flatten(1).addmm_(rows.t(), lines.flatten(1))
        else:
            grad_crop += (rows.t() @ lines.flatten(1)).view(grad_crop.shape)


def _cover(sampling: RoISampling, features: Tensor) -> bool:
    """Whether laying out the whole map (B, H, W, C) costs less than laying out each crop."""
    return sampling.area() >= features[..., 0].numel()
