"""A frame as a network sees it: resized, normalised and padded, as mmdet's test pipeline does. Knows no model."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class NetworkImage:
    """A frame as the network sees it.

    Attributes:
        tensor: (1, 3, h, w) float, normalised and padded.
        scale: (4,) float, multiplies xyxy in source pixels to get network pixels.
        shape: (height, width) in network pixels before padding.
    """

    tensor: Tensor
    scale: Tensor
    shape: tuple[int, int]


def network_image(
    image: np.ndarray, fit: tuple[int, int], mean: Tensor, std: Tensor, pad_size_divisor: int
) -> NetworkImage:
    """Resizes, normalises and pads one frame, on the device of `mean`.

    Args:
        image: (H, W, 3) uint8 RGB.
        fit: long and short side in pixels that the frame is resized to fit, ratio kept; as mmdet's `Resize`, but that
            no side becomes 0.
        mean: 3 values, RGB.
        std: 3 values, RGB.
        pad_size_divisor: height and width are padded with zeros to multiples of this, at the bottom and the right.
    """
    height, width = image.shape[:2]
    factor = min(max(fit) / max(height, width), min(fit) / min(height, width))
    new_height, new_width = (max(1, int(side * factor + 0.5)) for side in (height, width))
    resized = cv2.resize(image, (new_width, new_height), interpolation=cv2.INTER_LINEAR)
    tensor = torch.from_numpy(resized).to(mean.device).permute(2, 0, 1).float()
    tensor = (tensor - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    padding = (0, -new_width % pad_size_divisor, 0, -new_height % pad_size_divisor)
    scale = tensor.new_tensor([new_width / width, new_height / height]).repeat(2)
    return NetworkImage(F.pad(tensor, padding)[None], scale, (new_height, new_width))
