"""COCO's three ways to write a mask (polygons, run lengths as a list, run lengths as a string) to one: `Rle`.

pycocotools trusts what it is given: runs that do not fill the image give a mask of nonsense, a polygon of two points
is drawn as a box, and a mask with empty runs inside has IoU 0 with itself. All three are caught here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as mask_api

from eval.readers.record import Record, numbers, shown
from eval.rle import Rle

_CURE = "Export the mask again, or write null."


def read_mask(value: Any, height: int, width: int, record: Record, field: str) -> Rle | None:
    """Decode one segmentation.

    Args:
        value: A list of polygons [x, y, x, y, ...], an RLE with list or string counts, or null or [] for no mask.
        height: Of the image, in pixels.
        width: Of the image, in pixels.
        record: The record that holds it, for the error.
        field: The field that holds it, for the error.

    Returns:
        The mask with string counts and no empty run inside, or None.

    Raises:
        SchemaError: The value is none of these, or the mask is of another size than the image.
    """
    if value is None or value == []:
        return None
    if isinstance(value, list):
        return _from_polygons(value, height, width, record, field)
    if not isinstance(value, dict) or not {"size", "counts"} <= value.keys():
        raise record.error(field, f"is {shown(value)}, expected polygons, an RLE or null", _CURE)
    if value["size"] != [height, width]:
        raise record.error(
            field,
            f"has size {shown(value['size'])}, but its image has [height, width] [{height}, {width}]",
            "Export masks at the size of the image.",
        )
    return _from_runs(value["counts"], height, width, record, field)


def runs_of(counts: str) -> NDArray[np.int64]:
    """Run lengths of COCO's compressed counts, background first.

    A number is written low digits first in base 32, one character from '0' each, with bit 32 where more follow; the
    fourth number and those after it are differences from the number two before.

    Raises:
        ValueError: The string is not of this form.

    Source: rleFrString in pycocotools' maskApi.c.
    """
    codes = np.frombuffer(counts.encode(), np.uint8).astype(np.int64) - 48
    if not len(codes) or codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        raise ValueError("counts are cut off or hold characters that do not belong there")
    ends = np.flatnonzero(codes & 32 == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > 7:
        raise ValueError("counts hold a number of more than 35 bits")
    digit = np.arange(len(codes)) - np.repeat(starts, lengths)
    runs = np.add.reduceat((codes & 31) << 5 * digit, starts)
    runs -= np.where(codes[ends] & 16, 1 << 5 * lengths, 0)
    runs[1::2] = runs[1::2].cumsum()
    runs[2::2] = runs[2::2].cumsum()
    return runs


def _from_runs(counts: Any, height: int, width: int, record: Record, field: str) -> Rle:
    field = f"{field}.counts"
    if isinstance(counts, str):
        try:
            runs = runs_of(counts)
        except ValueError as error:
            raise record.error(field, f"is no run-length code: {error}", _CURE) from None
    elif isinstance(counts, list) and counts and all(type(run) is int for run in counts):
        runs = np.array(counts, np.int64)
    else:
        raise record.error(field, f"is {shown(counts)}, expected a string or a list of integers", _CURE)
    if runs.min() < 0 or runs.sum() != height * width:
        raise record.error(field, f"covers {runs.sum()} pixels, but the image has {height} x {width}", _CURE)
    if isinstance(counts, str) and (runs[1:] > 0).all():
        return {"size": [height, width], "counts": counts}
    return _encode(_without_empty_runs(runs), height, width)


def _without_empty_runs(runs: NDArray[np.int64]) -> list[int]:
    """Runs of the same pixels, none empty but the first."""
    filled = np.repeat(np.arange(len(runs)) % 2, runs > 0)
    lengths = runs[runs > 0]
    starts = np.flatnonzero(np.diff(filled, prepend=-1))
    merged = np.add.reduceat(lengths, starts).tolist()
    return [0, *merged] if filled[0] else merged


def _encode(runs: list[int], height: int, width: int) -> Rle:
    encoded = mask_api.frPyObjects({"size": [height, width], "counts": runs}, height, width)
    return {"size": [height, width], "counts": encoded["counts"].decode()}


def _from_polygons(polygons: list, height: int, width: int, record: Record, field: str) -> Rle:
    for i, polygon in enumerate(polygons):
        if not isinstance(polygon, list) or not numbers(polygon) or len(polygon) < 6 or len(polygon) % 2:
            raise record.error(
                f"{field}[{i}]",
                f"is {shown(polygon)}, expected a polygon [x, y, x, y, x, y, ...] of three points or more",
                "Correct or remove the polygon.",
            )
    merged = mask_api.merge(mask_api.frPyObjects(polygons, height, width))
    return {"size": [height, width], "counts": merged["counts"].decode()}
