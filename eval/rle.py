"""Run-length masks as exact integers: areas, intersections, IoU. Knows nothing of files and metrics.

Every mask is a COCO RLE with string counts and without empty runs (`eval.readers.segmentation` makes such);
pycocotools answers 0 for the IoU of a mask with empty runs inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as mask_api


class Rle(TypedDict):
    """A binary mask in COCO's compressed form."""

    size: list[int]  # [height, width]
    counts: str


def from_lengths(lengths: Sequence[int], height: int, width: int) -> Rle:
    """The mask of run lengths, background first, that fill the image."""
    encoded = mask_api.frPyObjects({"size": [height, width], "counts": list(lengths)}, height, width)
    return {"size": [height, width], "counts": encoded["counts"].decode()}


def empty_mask(height: int, width: int) -> Rle:
    """A mask without a pixel."""
    return from_lengths([height * width], height, width)


def areas(masks: Sequence[Rle | None]) -> NDArray[np.int64]:
    """Pixels of each mask, (N,). None, a mask that is not there, has none."""
    result = np.zeros(len(masks), np.int64)
    present = [i for i, mask in enumerate(masks) if mask is not None]
    for start in range(0, len(present), 255):  # pycocotools 2.0.11 beside numpy 2 has no room for the number 256
        some = present[start : start + 255]
        result[some] = mask_api.area([masks[i] for i in some])
    return result


def intersections(first: Sequence[Rle | None], second: Sequence[Rle | None]) -> NDArray[np.int64]:
    """Pixels that each pair of masks shares, exactly.

    pycocotools counts no intersections, but with the crowd flag its IoU divides by the area of the first mask, and
    rounding the product undoes a division of integers below 2^53.

    Args:
        first: N masks; None counts as empty.
        second: M masks of the same size; None counts as empty.

    Returns:
        (N, M) pixels.

    Raises:
        ValueError: The masks differ in size.
    """
    rows = [i for i, mask in enumerate(first) if mask is not None]
    columns = [j for j, mask in enumerate(second) if mask is not None]
    result = np.zeros((len(first), len(second)), np.int64)
    if rows and columns:
        of_first = ious([first[i] for i in rows], [second[j] for j in columns], crowd=[True] * len(columns))
        result[np.ix_(rows, columns)] = np.rint(of_first * areas(first)[rows, None])
    return result


def ious(first: Sequence[Rle | None], second: Sequence[Rle | None], crowd: Sequence[bool] | None = None) -> NDArray:
    """Intersection over union of each pair of masks; 0 where both are empty.

    Args:
        first: N masks, none of them None.
        second: M masks of the same size, none of them None.
        crowd: M flags; where set, the intersection is divided by the area of the first mask (COCO's rule for crowds).

    Returns:
        (N, M) float64 in [0, 1], bit-equal to pycocotools.

    Raises:
        ValueError: The masks differ in size, which pycocotools would answer with -1 or 0.
    """
    if not first or not second:
        return np.zeros((len(first), len(second)))
    sizes = {tuple(mask["size"]) for mask in (*first, *second) if mask is not None}
    if len(sizes) > 1:
        raise ValueError(f"Masks to compare must have one size (height, width), found {sorted(sizes)}.")
    flags = [0] * len(second) if crowd is None else [int(flag) for flag in crowd]
    return np.asarray(mask_api.iou(list(first), list(second), flags), np.float64)
