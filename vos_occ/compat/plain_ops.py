"""mmcv's nms, roi_align and deform_conv in plain torch, with the in-place signatures of its compiled extension."""

from __future__ import annotations

import torch
from torch import Tensor

from vos_occ.compat.errors import MissingOperatorError
from vos_occ.compat.plain_deform_conv import (
    deform_conv_backward_input,
    deform_conv_backward_parameters,
    deform_conv_forward,
)
from vos_occ.compat.plain_nms import nms
from vos_occ.compat.plain_roi_align import pool, pool_backward
from vos_occ.compat.plain_roi_sampling import RoISampling, sample_rois

__all__ = [
    "deform_conv_backward_input",
    "deform_conv_backward_parameters",
    "deform_conv_forward",
    "nms",
    "roi_align_backward",
    "roi_align_forward",
]

MAX_POOL = 0
"""`pool_mode` of maximum pooling in mmcv's extension; 1 is average pooling."""


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Average-pool RoIs from a feature map.

    Args:
        input: (B, C, H, W) float; half precision is computed in float32.
        rois: (R, 5) float: image index, x1, y1, x2, y2.
        output: (R, C, aligned_height, aligned_width), overwritten.
        argmax_y, argmax_x: unused, they belong to maximum pooling.
        spatial_scale, sampling_ratio, aligned: see `plain_roi_sampling.sample_rois`.
        pool_mode: 1.

    Raises:
        MissingOperatorError: for maximum pooling.
    """
    sampling = _sampling(rois, input, output.shape[2:], spatial_scale, sampling_ratio, pool_mode, aligned)
    with torch.autocast(input.device.type, enabled=False):  # which would round the weights of the products
        output.copy_(pool(_channels_last(input), sampling).permute(0, 3, 1, 2))


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Gradient of `roi_align_forward` with respect to its features.

    Args:
        grad_output: (R, C, aligned_height, aligned_width).
        grad_input: (B, C, H, W), added to in place, as in mmcv.
    """
    sampling = _sampling(rois, grad_input, grad_output.shape[2:], spatial_scale, sampling_ratio, pool_mode, aligned)
    total = grad_input.to(working_dtype(grad_input))
    with torch.autocast(grad_input.device.type, enabled=False):
        pool_backward(_channels_last(grad_output).contiguous(), sampling, total.permute(0, 2, 3, 1))
    if total is not grad_input:
        grad_input.copy_(total)


def _sampling(
    rois: Tensor,
    features: Tensor,
    bins: torch.Size,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> RoISampling:
    if pool_mode == MAX_POOL:
        raise MissingOperatorError("roi_align_forward with pool_mode='max'")
    return sample_rois(
        rois.to(working_dtype(features)),
        feature_size=(features.size(2), features.size(3)),
        bins=(bins[0], bins[1]),
        spatial_scale=spatial_scale,
        sampling_ratio=sampling_ratio,
        aligned=aligned,
    )


def _channels_last(features: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, H, W, C) view, in the working dtype."""
    return features.to(working_dtype(features)).permute(0, 2, 3, 1)


def working_dtype(features: Tensor) -> torch.dtype:
    """What RoIAlign is computed in: coordinates in half precision are off by pixels."""
    return torch.float64 if features.dtype == torch.float64 else torch.float32
