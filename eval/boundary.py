"""The inner boundary of a mask, and the IoU that is as strict at the contour of a large object as of a small one.

Cheng et al., "Boundary IoU: Improving Object-Centric Image Segmentation Evaluation", CVPR 2021. Equals
boundary-iou-api, which erodes every mask over the whole image with opencv; here one works in the mask's bounding box.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from eval.rle import Rle, from_lengths, ious
from eval.runs import decode_runs

DILATION_RATIO = 0.02  # width of the boundary, of the image's diagonal


def boundary_width(height: int, width: int) -> int:
    """Pixels that the boundary is wide in an image of this size, at least 1."""
    return max(1, round(DILATION_RATIO * math.sqrt(height**2 + width**2)))


def boundaries(masks: Sequence[Rle]) -> list[Rle]:
    """The pixels of each mask that are at most `boundary_width` away from one outside, diagonals counted as 1.

    All around the image is outside: a mask that touches the image's edge has a boundary there.

    Source: boundary-iou-api, mask_to_boundary.
    """
    found = list(masks)
    by_size: dict[tuple[int, int], list[int]] = defaultdict(list)
    for i, mask in enumerate(masks):
        by_size[mask["size"][0], mask["size"][1]].append(i)
    for (height, width), indices in by_size.items():
        runs = decode_runs([masks[i]["counts"] for i in indices], height, width)
        lengths = np.stack([runs.background, runs.foreground], axis=1)
        reach = boundary_width(height, width)
        for i, first, pairs in zip(indices, runs.first.tolist(), runs.pairs.tolist(), strict=True):
            counts = _hollow(lengths[first : first + pairs].reshape(-1), height, reach)
            if counts is not None:
                rest = height * width - sum(counts)
                found[i] = from_lengths([*counts, rest] if rest else counts, height, width)
    return found


def boundary_ious(first: Sequence[Rle], second: Sequence[Rle], crowd: Sequence[bool] | None = None) -> NDArray:
    """The smaller of mask IoU and boundary IoU of each pair.

    Args:
        first: N masks.
        second: M masks of the same size.
        crowd: M flags; where set, the mask's intersection over the area of the first mask is taken as it is.

    Returns:
        (N, M) float64 in [0, 1], bit-equal to boundary-iou-api.

    Raises:
        ValueError: The masks differ in size.
    """
    result = ious(first, second, crowd)
    regular = np.zeros(len(second), bool) if crowd is None else np.array(crowd, bool)
    touching = (result > 0) & ~regular
    rows, columns = (np.flatnonzero(touching.any(axis)).tolist() for axis in (1, 0))
    if rows:  # where masks share nothing, no boundary can make it less
        hollow = boundaries([first[i] for i in rows] + [second[j] for j in columns])
        of_boundaries = ious(hollow[: len(rows)], hollow[len(rows) :])
        part = np.ix_(rows, columns)
        result[part] = np.minimum(result[part], of_boundaries)
    return result


def _hollow(lengths: NDArray[np.int32], height: int, reach: int) -> list[int] | None:
    """Run lengths of a mask's boundary, but for the background at the end; None where the boundary is all of it.

    Args:
        lengths: Run lengths in pairs of background and foreground.
        height: Of the image.
        reach: Width of the boundary.
    """
    lengths = lengths[: len(lengths) - 2 * int(lengths[-1] == 0)]
    if not len(lengths):
        return None
    first = int(lengths[0]) // height
    columns = _columns(lengths, first, height)
    rows = np.flatnonzero(columns.any(0))
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    inner = _erode(columns[:, top:bottom], reach)
    if not inner.any():
        return None
    columns[reach:-reach, top + reach : bottom - reach] ^= inner
    pixels = columns.reshape(-1)
    changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    starts_inside = int(pixels[0])
    edges = [0] * starts_inside + changes.tolist() + [len(pixels)] * int(pixels[-1])
    counts = np.diff(edges, prepend=0).tolist()
    counts[0] += first * height
    return counts


def _columns(lengths: NDArray[np.int32], first: int, height: int) -> NDArray[np.uint8]:
    """The mask's columns from the first that it touches to the last, (columns, height) in {0, 1}."""
    filled = np.arange(len(lengths), dtype=np.uint8) & 1
    lengths = np.concatenate([[lengths[0] - first * height], lengths[1:]])
    pixels = np.repeat(filled, lengths)
    return np.pad(pixels, (0, -len(pixels) % height)).reshape(-1, height)


def _erode(mask: NDArray[np.uint8], reach: int) -> NDArray[np.uint8]:
    """Where the square of `reach` pixels on every side lies inside the mask; smaller than the mask by `reach` all
    around, empty where nothing is left.

    A window of 2, 4, 8 ... pixels is made from two of half its size.
    """
    for axis in (0, 1):
        size, wanted = 1, 2 * reach + 1
        while size < wanted:
            step = min(size, wanted - size)
            if mask.shape[axis] <= step:
                return mask[:0, :0]
            mask = mask[:-step] & mask[step:] if axis == 0 else mask[:, :-step] & mask[:, step:]
            size += step
    return mask
