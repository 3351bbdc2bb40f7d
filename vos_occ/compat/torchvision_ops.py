"""mmcv's nms, roi_align and deform_conv by torchvision's operators, with the in-place signatures of its extension.

Their rules are the same (both go back to detectron2's); they differ in their arguments only.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torchvision  # noqa: F401  (registers torch.ops.torchvision)
from torch import Tensor

from vos_occ.compat.errors import MissingOperatorError
from vos_occ.compat.plain_ops import MAX_POOL, working_dtype

__all__ = [
    "deform_conv_backward_input",
    "deform_conv_backward_parameters",
    "deform_conv_forward",
    "nms",
    "roi_align_backward",
    "roi_align_forward",
]


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """See `plain_nms.nms`. torchvision has no offset: moving x2 and y2 by it is the same."""
    if offset:
        boxes = boxes + boxes.new_tensor([0, 0, offset, offset])
    return torch.ops.torchvision.nms(boxes, scores, iou_threshold)


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
    """See `plain_ops.roi_align_forward`."""
    if pool_mode == MAX_POOL:
        raise MissingOperatorError("roi_align_forward with pool_mode='max'")
    features = input.to(working_dtype(input))
    pooled = torch.ops.torchvision.roi_align(
        features, rois.to(features), spatial_scale, aligned_height, aligned_width, sampling_ratio, aligned
    )
    output.copy_(pooled)


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
    """See `plain_ops.roi_align_backward`."""
    given = grad_output.to(working_dtype(grad_output))
    grad = torch.ops.torchvision._roi_align_backward(
        given,
        rois.to(given),
        spatial_scale,
        aligned_height,
        aligned_width,
        *grad_input.shape,
        sampling_ratio,
        aligned,
    )
    grad_input += grad


def deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """See `plain_deform_conv.deform_conv_forward`."""
    options = (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group, False)
    for part, moves, out in _together(im2col_step, input, offset, output):
        out.copy_(torch.ops.torchvision.deform_conv2d(part, weight, moves, *_no_mask_and_bias(part, weight), *options))


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    gradOutput: Tensor,
    gradInput: Tensor,
    gradOffset: Tensor,
    weight: Tensor,
    columns: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """See `plain_deform_conv.deform_conv_backward_input`."""
    options = (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group, False)
    for part, moves, grad, into, into_moves in _together(im2col_step, input, offset, gradOutput, gradInput, gradOffset):
        grad_input, _, grad_offset = _deform_conv_gradients(grad, part, weight, moves, options)
        into += grad_input
        into_moves += grad_offset


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    gradOutput: Tensor,
    gradWeight: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    scale: float,
    im2col_step: int,
) -> None:
    """See `plain_deform_conv.deform_conv_backward_parameters`."""
    options = (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group, False)
    for part, moves, grad in _together(im2col_step, input, offset, gradOutput):
        gradWeight += scale * _deform_conv_gradients(grad, part, gradWeight, moves, options)[1]


def _together(step: int, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """`step` images of each tensor at a time, as views."""
    return zip(*(tensor.split(step) for tensor in tensors), strict=True)


def _deform_conv_gradients(
    grad: Tensor, input: Tensor, weight: Tensor, offset: Tensor, options: tuple[int, ...]
) -> list[Tensor]:
    """Gradients with respect to input, weight and offset. torchvision computes all or none."""
    absent = _no_mask_and_bias(input, weight)
    return torch.ops.torchvision._deform_conv2d_backward(grad, input, weight, offset, *absent, *options)[:3]


def _no_mask_and_bias(input: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """What stands for them where DCNv1 has none; the mask is indexed by image even so."""
    return input.new_zeros(len(input), 1), input.new_zeros(len(weight))
