"""Masks as COCO run-length encodings, made and read without a dense frame per instance.

A run-length encoding lists, column by column, how many pixels are off, on, off, ... An object touches only the columns
of its box, so everything here but `encode` and `decode` costs O(runs) or O(box area), whatever the size of the frame.
Strings are pycocotools' compressed counts, and every mask of a given shape has exactly one string (no empty runs).

Knows nothing of instances, scores or tracks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from torch import Tensor

from eval import runs as rle_runs


class Rle(TypedDict):
    """COCO compressed run-length encoding: `size` is [height, width], `counts` an ASCII string."""

    size: list[int]
    counts: str


def paste_and_encode(logits: Tensor, boxes: Tensor, height: int, width: int, threshold: float = 0.5) -> list[Rle]:
    """Paste RoI mask logits into their boxes and encode each one within its own window of the frame.

    Equal bit for bit to mmdet's `_do_paste_mask(..., skip_empty=True)` called on one instance at a time on the CPU,
    thresholded and encoded by pycocotools. Boxes outside the frame, on which mmdet raises, give empty masks.
    Always runs on the CPU: the logits are small, and results do not depend on the device that made them.

    Args:
        logits: (N, S, S) float, before the sigmoid.
        boxes: (N, 4) float, xyxy in frame pixels, may reach outside the frame or be degenerate.
        height: frame height in pixels.
        width: frame width in pixels.
        threshold: a pixel is on where the pasted probability is >= this.

    Returns:
        N encodings of the full frame.

    Raises:
        ValueError: on other shapes, or if a box is not finite.
    """
    if logits.ndim != 3 or boxes.shape != (len(logits), 4):
        raise ValueError(f"Expected logits (N, S, S) and boxes (N, 4), got {(*logits.shape,)} and {(*boxes.shape,)}.")
    probabilities = logits.detach().float().cpu().sigmoid()
    corners = boxes.detach().float().cpu().numpy()
    if not np.isfinite(corners).all():
        raise ValueError(f"Boxes must be finite, got {corners[~np.isfinite(corners).all(1)][0].tolist()}.")
    return [_paste_one(p, box, height, width, threshold) for p, box in zip(probabilities, corners, strict=True)]


def encode(mask: NDArray[np.bool_]) -> Rle:
    """Encode a dense (H, W) bool mask."""
    found = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": [int(mask.shape[0]), int(mask.shape[1])], "counts": found["counts"].decode("ascii")}


def encode_box(crop: NDArray[np.bool_], x0: int, y0: int, height: int, width: int) -> Rle:
    """Encode a frame that is empty outside one crop.

    Args:
        crop: (h, w) bool; its pixel [0, 0] lies at column x0, row y0 of the frame. Must lie inside the frame.
        x0: first column of the crop.
        y0: first row of the crop.
        height: frame height in pixels.
        width: frame width in pixels.

    Raises:
        ValueError: if the crop reaches outside the frame.
    """
    h, w = crop.shape
    if x0 < 0 or y0 < 0 or y0 + h > height or x0 + w > width:
        raise ValueError(f"Crop {h}x{w} at column {x0}, row {y0} reaches outside the {height}x{width} frame.")
    return _encode_columns(crop.T, x0, y0, height, width)


def from_box(box: Sequence[float], height: int, width: int) -> Rle:
    """Encode a filled xyxy box: the pixels of the frame whose centres lie inside it, end-exclusive. O(box width)."""
    x0, x1 = (min(max(math.ceil(v - 0.5), 0), width) for v in (box[0], box[2]))
    y0, y1 = (min(max(math.ceil(v - 0.5), 0), height) for v in (box[1], box[3]))
    if x1 <= x0 or y1 <= y0:
        return empty(height, width)
    starts = np.arange(x0, x1, dtype=np.int64) * height + y0
    return _from_boundaries(np.stack([starts, starts + (y1 - y0)], axis=1).ravel(), height, width)


def empty(height: int, width: int) -> Rle:
    """Encode a frame without a single pixel on."""
    return _from_boundaries(np.zeros(0, np.int64), height, width)


def decode(rle: Rle) -> NDArray[np.bool_]:
    """Decode to a dense (H, W) bool mask. Prefer `decode_box`, which costs the box and not the frame."""
    return coco_mask.decode(rle).astype(bool)


def decode_box(rle: Rle) -> tuple[NDArray[np.bool_], int, int]:
    """Decode the tight crop of a mask.

    Returns:
        crop (h, w) bool, its first column x0 and its first row y0; a (0, 0) crop at 0, 0 for an empty mask.
    """
    height = rle["size"][0]
    boundaries = np.cumsum(run_lengths(rle))
    starts, ends = boundaries[:-1:2], boundaries[1::2]
    if len(starts) == 0:
        return np.zeros((0, 0), bool), 0, 0
    first_column, last_column = starts // height, (ends - 1) // height
    x0, w = int(first_column[0]), int(last_column[-1] - first_column[0] + 1)
    y0, h = 0, height  # a run that goes on into the next column touches bottom and top
    if (first_column == last_column).all():
        y0 = int((starts % height).min())
        h = int(((ends - 1) % height).max()) + 1 - y0
    in_crop = (first_column - x0) * h + starts % height - y0
    steps = np.zeros(w * h + 1, np.int8)
    steps[in_crop] += 1
    steps[in_crop + ends - starts] -= 1
    return np.cumsum(steps[:-1], dtype=np.int8).view(bool).reshape(w, h).T, x0, y0


def run_lengths(rle: Rle) -> NDArray[np.int64]:
    """Decompress the counts: lengths of the runs off, on, off, ... in column-major order.

    Raises:
        ValueError: if the string is no compressed encoding of a mask of this size.
    """
    height, width = rle["size"]
    try:
        runs = rle_runs.run_lengths(rle["counts"])
    except rle_runs.MaskError as error:
        raise ValueError(f"the code {error.problem}") from None
    if runs.min() < 0 or runs.sum() != height * width:
        raise ValueError(f"counts do not add up to {height}x{width} pixels")
    return runs


def parse(value: Mapping[str, Any], height: int, width: int) -> Rle:
    """Check an encoding that comes from outside and bring it to its one canonical string.

    Runs of length zero inside an encoding decode well but make pycocotools' IoU wrong (a mask against itself gives 0).

    Raises:
        ValueError: if it is no compressed encoding, or of another frame size; the message has no file name.
    """
    size, counts = value.get("size"), value.get("counts")
    if not isinstance(counts, str):
        raise ValueError(f"counts must be a COCO string, found {type(counts).__name__}")
    if size != [height, width]:
        raise ValueError(f"size must be [{height}, {width}] (height, width), found {size}")
    boundaries = np.cumsum(run_lengths({"size": [height, width], "counts": counts}))
    return _from_boundaries(boundaries[: len(boundaries) // 2 * 2], height, width)


def area(rle: Rle) -> int:
    """Number of pixels that are on."""
    return int(coco_mask.area(rle))


def bounding_box(rle: Rle) -> NDArray[np.float64]:
    """Tight (4,) box, xyxy in pixels, end-exclusive; zeros for an empty mask."""
    x, y, w, h = coco_mask.toBbox(rle)
    return np.array([x, y, x + w, y + h])


def iou(a: Sequence[Rle], b: Sequence[Rle]) -> NDArray[np.float64]:
    """Intersection over union of all pairs, (A, B) in [0, 1]; 0 for two empty masks.

    Raises:
        ValueError: if the masks are not all of one frame size.
    """
    return _pairwise(a, b, over_first=False)


def intersection_over_first(a: Sequence[Rle], b: Sequence[Rle]) -> NDArray[np.float64]:
    """|a & b| / |a| of all pairs, (A, B) in [0, 1]; 0 where a is empty.

    Raises:
        ValueError: if the masks are not all of one frame size.
    """
    return _pairwise(a, b, over_first=True)


def intersection_area(a: Rle, b: Rle) -> int:
    """Number of pixels that are on in both masks."""
    return area(_merge([a, b], intersect=True))


def union(masks: Sequence[Rle]) -> Rle:
    """The pixels that are on in any of the masks, at least one of them."""
    return _merge(masks, intersect=False)


def _paste_one(probability: Tensor, box: NDArray[np.float32], height: int, width: int, threshold: float) -> Rle:
    """Sample one (S, S) probability map on the pixels around its box, as mmdet does, and encode these pixels."""
    x0, y0 = (max(math.floor(v) - 1, 0) for v in box[:2])
    x1, y1 = min(math.ceil(box[2]) + 1, width), min(math.ceil(box[3]) + 1, height)
    if x1 <= x0 or y1 <= y0:
        return empty(height, width)
    # Columns come first in the grid, so the samples already lie in the order in which runs are counted.
    grid = np.empty((1, x1 - x0, y1 - y0, 2), np.float32)
    grid[0, :, :, 0] = _sampling_positions(x0, x1, box[0], box[2])[:, None]
    grid[0, :, :, 1] = _sampling_positions(y0, y1, box[1], box[3])[None, :]
    pasted = F.grid_sample(probability[None, None], torch.from_numpy(grid), align_corners=False)
    return _encode_columns((pasted[0, 0] >= threshold).numpy(), x0, y0, height, width)


def _sampling_positions(first: int, stop: int, low: np.float32, high: np.float32) -> NDArray[np.float32]:
    """Pixel centres first..stop-1 in box coordinates [-1, 1], float32 step by step as in mmdet; infinite becomes 0."""
    centres = np.arange(first, stop).astype(np.float32) + np.float32(0.5)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        positions = (centres - low) / (high - low) * np.float32(2) - np.float32(1)
    positions[np.isinf(positions)] = 0
    return positions


def _encode_columns(columns: NDArray[np.bool_], x0: int, y0: int, height: int, width: int) -> Rle:
    """Encode the (w, h) transpose of a crop at column x0, row y0."""
    w, h = columns.shape
    # One pixel off before all and one after each column: every run begins and ends within its column.
    padded = np.zeros(w * (h + 1) + 1, bool)
    padded[1:].reshape(w, h + 1)[:, :h] = columns
    column, row = np.divmod(np.flatnonzero(padded[1:] != padded[:-1]), h + 1)
    return _from_boundaries((x0 + column) * height + y0 + row, height, width)


def _from_boundaries(boundaries: NDArray[np.int64], height: int, width: int) -> Rle:
    """Encode from start, end, start, end, ... (column-major pixel numbers, ascending); drops what is empty."""
    total = height * width
    if (touching := boundaries[1:] == boundaries[:-1]).any():
        boundaries = _cancel_pairs(boundaries, touching)
    edges = np.concatenate([[0], boundaries, [total]])
    if len(boundaries) and boundaries[-1] == total:
        edges = edges[:-1]
    found = coco_mask.frPyObjects({"size": [height, width], "counts": np.diff(edges)}, height, width)
    return {"size": [height, width], "counts": found["counts"].decode("ascii")}


def _cancel_pairs(boundaries: NDArray[np.int64], touching: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Keep of every group of equal boundaries one if their number is odd, none if it is even."""
    first = np.flatnonzero(np.concatenate([[True], ~touching]))
    group_size = np.diff(first, append=len(boundaries))
    return boundaries[first[group_size % 2 == 1]]


def _pairwise(a: Sequence[Rle], b: Sequence[Rle], over_first: bool) -> NDArray[np.float64]:
    if not a or not b:
        return np.zeros((len(a), len(b)))
    _require_one_size([*a, *b])
    return np.ascontiguousarray(coco_mask.iou(list(a), list(b), [over_first] * len(b)))


def _merge(masks: Sequence[Rle], intersect: bool) -> Rle:
    _require_one_size(masks)
    found = coco_mask.merge(list(masks), intersect=intersect)
    return {"size": list(masks[0]["size"]), "counts": found["counts"].decode("ascii")}


def _require_one_size(masks: Sequence[Rle]) -> None:
    """pycocotools answers -1 or an empty mask for mixed sizes; we raise."""
    sizes = {tuple(mask["size"]) for mask in masks}
    if len(sizes) != 1:
        raise ValueError(f"Masks must share one frame size, got {sorted(sizes)}.")
