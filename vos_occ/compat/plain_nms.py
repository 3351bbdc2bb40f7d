"""Greedy non-maximum suppression in plain torch, equal to mmcv's compiled one. Knows torch only."""

from __future__ import annotations

import torch
from torch import Tensor

BLOCK = 128
"""Boxes decided at a time: their IoUs with some thousand others stay in the cache."""


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Keep each box that no kept box of higher score overlaps by more than the threshold.

    Works through the boxes by falling score, a block at a time: first decides within the block, then removes what the
    block's kept boxes suppress. What is removed early is never compared again. Costs O(kept x N / 2) IoUs.

    Args:
        boxes: (N, 4) float xyxy.
        scores: (N,) float.
        iou_threshold: in [0, 1]; a box goes when its IoU is *above* it.
        offset: 0 or 1, added to widths and heights (1: corners are pixels that belong to the box).

    Returns:
        (K,) int64 indices into `boxes`, by falling score; equal scores keep their order.

    Source: mmcv/ops/csrc/pytorch/cpu/nms.cpp, the order of its float32 operations included.
    """
    if boxes.dtype in (torch.float16, torch.bfloat16):
        boxes = boxes.float()
    order = scores.sort(descending=True, stable=True).indices
    # columns x1, y1, x2, y2, area: each contiguous
    columns = torch.cat([boxes.t(), _areas(boxes, offset)[None]])[:, order]
    kept = []
    while order.numel():
        block = columns[:, :BLOCK]
        chosen = _decide_block(_overlapping(block, block, iou_threshold, offset))
        kept.append(order[:BLOCK][chosen])
        columns, order = columns[:, BLOCK:], order[BLOCK:]
        if order.numel():
            free = ~_overlapping(block[:, chosen], columns, iou_threshold, offset).any(dim=0)
            columns, order = columns[:, free], order[free]
    return torch.cat(kept) if kept else order


def _areas(boxes: Tensor, offset: int) -> Tensor:
    """(N, 4) xyxy -> (N,)."""
    return (boxes[:, 2] - boxes[:, 0] + offset) * (boxes[:, 3] - boxes[:, 1] + offset)


def _overlapping(first: Tensor, second: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Whether IoU > threshold for columns (5, A) and (5, B) of x1, y1, x2, y2, area -> (A, B) bool.

    0 / 0, the IoU of two boxes without area, is NaN and above no threshold.
    """
    x1, y1, x2, y2, area = first[:, :, None]
    width = torch.minimum(x2, second[2]).sub_(torch.maximum(x1, second[0]))
    height = torch.minimum(y2, second[3]).sub_(torch.maximum(y1, second[1]))
    if offset:
        width.add_(offset)
        height.add_(offset)
    intersection = width.clamp_(min=0).mul_(height.clamp_(min=0))
    union = (area + second[4]).sub_(intersection)
    return intersection.div_(union) > iou_threshold


def _decide_block(overlapping: Tensor) -> Tensor:
    """Greedy choice among boxes in falling order of score.

    A box is kept when no kept box before it overlaps it. Starting from "all kept", each round settles at least one
    more link of every chain of overlaps, so the rounds end, at the one answer that greedy choice has; a few suffice.

    Args:
        overlapping: (B, B) bool.

    Returns:
        (B,) bool.
    """
    suppresses = overlapping.triu(diagonal=1)
    kept = ~suppresses.any(dim=0)
    settled = torch.ones_like(kept)
    while not torch.equal(kept, settled):
        settled, kept = kept, ~(suppresses & kept[:, None]).any(dim=0)
    return kept
