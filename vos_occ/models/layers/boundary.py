"""Contours of binary masks, batched and on whatever device the masks are. Knows nothing about RoIs or losses."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def dilate_cross(masks: Tensor) -> Tensor:
    """Binary dilation with a 3x3 cross (the 4-neighbourhood); outside the window everything is background.

    Args:
        masks: (N, H, W) float in {0, 1}.

    Returns:
        (N, H, W) float in {0, 1}.
    """
    if masks.numel() == 0:
        return masks
    vertical = F.max_pool2d(masks[:, None], kernel_size=(3, 1), stride=1, padding=(1, 0))
    horizontal = F.max_pool2d(masks[:, None], kernel_size=(1, 3), stride=1, padding=(0, 1))
    return torch.maximum(vertical, horizontal)[:, 0]


def mask_boundary(masks: Tensor) -> Tensor:
    """Contour of binary masks, two pixels thick (one inside, one outside).

    A mask that touches the window's edge has no contour there: the object goes on.

    Args:
        masks: (N, H, W) float in {0, 1}.

    Returns:
        (N, H, W) float in {0, 1}. Empty and full masks give zeros.

    Source: BCNet's boundary targets (dilation xor erosion by a 3x3 cross, erosion seeing foreground outside the
    window); dilate(m) & dilate(1 - m) is the same set without an erosion.
    """
    return dilate_cross(masks) * dilate_cross(1 - masks)
