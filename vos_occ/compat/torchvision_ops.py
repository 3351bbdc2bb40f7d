"""mmcv's nms and roi_align by torchvision's operators, with the in-place signatures of mmcv's compiled extension.

Their rules are the same (both go back to detectron2's); they differ in their arguments only.
"""

from __future__ import annotations

import torch
import torchvision  # noqa: F401  (registers torch.ops.torchvision)
from torch import Tensor

from vos_occ.compat.errors import MissingOperatorError
from vos_occ.compat.plain_ops import MAX_POOL

__all__ = ["nms", "roi_align_backward", "roi_align_forward"]


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
    pooled = torch.ops.torchvision.roi_align(
        input, rois.to(input), spatial_scale, aligned_height, aligned_width, sampling_ratio, aligned
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
    grad = torch.ops.torchvision._roi_align_backward(
        grad_output,
        rois.to(grad_output),
        spatial_scale,
        aligned_height,
        aligned_width,
        *grad_input.shape,
        sampling_ratio,
        aligned,
    )
    grad_input += grad
