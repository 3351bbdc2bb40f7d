"""Masks from what annotation tools store: windows of pixels, several parts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as mask_api

from eval.rle import Rle, empty_mask, from_lengths


def encode_window(window: NDArray[np.bool_], left: int, top: int, height: int, width: int) -> Rle:
    """The mask of a picture that is empty outside a window; what of the window lies outside is cut off.

    Args:
        window: (h, w) bool.
        left, top: The picture's column and row of the window's first pixel; may be negative.
        height, width: Of the picture.
    """
    window = window[max(-top, 0) : max(height - top, 0), max(-left, 0) : max(width - left, 0)]
    if not window.any():
        return empty_mask(height, width)
    left, top = max(left, 0), max(top, 0)
    picture = np.zeros((width, height), bool)  # by columns, as run lengths go
    picture[left : left + window.shape[1], top : top + window.shape[0]] = window.T
    flat = picture.reshape(-1)
    edges = np.flatnonzero(np.diff(flat, prepend=False))
    return from_lengths(np.diff(edges, prepend=0, append=len(flat)).tolist(), height, width)


def merge_masks(masks: Sequence[Rle]) -> Rle:
    """The pixels of any of some masks of one size, at least one of them."""
    if len(masks) == 1:
        return masks[0]
    return {"size": masks[0]["size"], "counts": mask_api.merge(list(masks))["counts"].decode()}
