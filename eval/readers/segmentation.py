"""COCO's three ways to write a mask (polygons, run lengths as a list, run lengths as a string) to one: `Rle`.

pycocotools trusts what it is given: runs that do not fill the image give a mask of nonsense, a polygon of two points
is drawn as a box, and a mask with empty runs inside has IoU 0 with itself. All three are caught here, thousands of
masks at a time: alone, a string takes ten times as long to check.
"""

from __future__ import annotations

import math
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from pycocotools import mask as mask_api

from eval.errors import SchemaError
from eval.readers.record import Record, shown
from eval.rle import Rle, from_lengths
from eval.runs import MOST_PIXELS, MaskError, canonical_code, decode_runs

_CURE = "Export the mask again, or write null."
FARTHEST = 1_000_000  # pixels from the origin; pycocotools draws in fifths of a pixel and in 32 bits
_SHARE = 200_000  # characters of run lengths that are checked at once; more falls out of the second-level cache


class WrittenMask(NamedTuple):
    """A segmentation as a file has it, not yet looked at.

    Attributes:
        value: A list of polygons [x, y, x, y, ...], an RLE with list or string counts, or null or [] for no mask.
        height, width: Of the image, in pixels.
        record: The record that holds it, for errors.
        field: The field that holds it, for errors.
    """

    value: Any
    height: int
    width: int
    record: Record
    field: str

    def error(self, problem: str, cure: str, within: str = "") -> SchemaError:
        """What to raise about this mask; `within` is the place in the field."""
        return self.record.error(f"{self.field}{within}", problem, cure)

    def of_own_size(self) -> WrittenMask:
        """As if the image had the size that an RLE states: what the official evaluators accept."""
        size = self.value.get("size") if isinstance(self.value, dict) else None
        if not isinstance(size, list) or len(size) != 2 or not all(type(side) is int and side > 0 for side in size):
            return self
        return self._replace(height=size[0], width=size[1])


def read_masks(written: Sequence[WrittenMask]) -> list[Rle | None]:
    """Decode the segmentations of one file.

    Returns:
        For each its mask with string counts and no empty run inside, or None.

    Raises:
        SchemaError: A value is none of the ways to write a mask, or the mask is of another size than the image.

    Warns:
        UserWarning: Masks had empty runs inside.
    """
    masks: list[Rle | None] = [None] * len(written)
    codes: dict[tuple[int, int], list[int]] = defaultdict(list)  # indices of those with string counts, by size
    for i, mask in enumerate(written):
        if mask.value is None or mask.value == []:
            continue
        if isinstance(mask.value, list):
            masks[i] = _from_polygons(mask)
        else:
            counts = _counts(mask)
            if isinstance(counts, list):
                counts = _from_list(mask, counts)
            masks[i] = {"size": [mask.height, mask.width], "counts": counts}
            codes[mask.height, mask.width].append(i)
    for size, indices in codes.items():
        for share in _shares(masks, indices):
            _check(written, masks, share, size)
    return masks


def read_mask(value: Any, height: int, width: int, record: Record, field: str) -> Rle | None:
    """Decode one segmentation, see `WrittenMask`; for many, `read_masks` is faster.

    Raises:
        SchemaError: The value is no mask, or one of another size than the image.
    """
    return read_masks([WrittenMask(value, height, width, record, field)])[0]


def _counts(mask: WrittenMask) -> str | list[int]:
    """Counts of an RLE whose size is that of its image."""
    value = mask.value
    if not isinstance(value, dict) or not {"size", "counts"} <= value.keys():
        raise mask.error(f"is {shown(value)}, expected polygons, an RLE or null", _CURE)
    if value["size"] != [mask.height, mask.width]:
        raise mask.error(
            f"has size {shown(value['size'])}, but its image has [height, width] [{mask.height}, {mask.width}]",
            "Export masks at the size of the image.",
        )
    counts = value["counts"]
    if isinstance(counts, str) or (isinstance(counts, list) and set(map(type, counts)) == {int}):
        return counts
    raise mask.error(f"is {shown(counts)}, expected a string or a list of integers", _CURE, ".counts")


def _from_list(mask: WrittenMask, counts: list[int]) -> str:
    """Listed run lengths as a string."""
    pixels = mask.height * mask.width
    if pixels > MOST_PIXELS:
        raise mask.error(f"is of an image of {mask.height} x {mask.width}, more than {MOST_PIXELS} pixels", _CURE)
    if min(counts) < 0 or sum(counts) != pixels:
        raise mask.error(
            f"covers {shown(sum(counts))} pixels, but the image has {mask.height} x {mask.width}", _CURE, ".counts"
        )
    return from_lengths(counts, mask.height, mask.width)["counts"]


def _shares(masks: Sequence[Rle | None], indices: Sequence[int]) -> Iterator[list[int]]:
    """The indices in order, about _SHARE characters of counts at a time."""
    share: list[int] = []
    characters = 0
    for i in indices:
        mask = masks[i]
        assert mask is not None
        share.append(i)
        characters += len(mask["counts"])
        if characters >= _SHARE:
            yield share
            share, characters = [], 0
    if share:
        yield share


def _check(
    written: Sequence[WrittenMask], masks: list[Rle | None], share: Sequence[int], size: tuple[int, int]
) -> None:
    """Check the counts of some masks of one size, and take out their empty runs."""
    counts = [mask["counts"] for mask in map(masks.__getitem__, share) if mask is not None]
    try:
        runs = decode_runs(counts, *size)
    except MaskError as error:
        raise written[share[error.index]].error(error.problem, _CURE, ".counts") from None
    for k in np.flatnonzero(~runs.canonical).tolist():
        masks[share[k]] = {"size": list(size), "counts": canonical_code(counts[k], *size)}
    if not runs.canonical.all():
        file = written[share[0]].record.file
        warnings.warn(
            f"{file} has masks with empty runs inside, of which pycocotools says that they do not overlap themselves. "
            "They count as the pixels that they cover.",
            stacklevel=3,
        )


def _from_polygons(mask: WrittenMask) -> Rle:
    for i, polygon in enumerate(mask.value):
        if not _is_polygon(polygon):
            raise mask.error(
                f"is {shown(polygon)}, expected a polygon [x, y, x, y, x, y, ...] of three points or more",
                "Correct or remove the polygon.",
                f"[{i}]",
            )
    longest = longest_outline(mask.height, mask.width)
    at_most = sum(len(polygon) * max(max(polygon), -min(polygon)) for polygon in mask.value)
    if at_most > longest and outline_length(mask.value) > longest:
        problem = f"has polygons far outside of its image of [height, width] [{mask.height}, {mask.width}]"
        raise mask.error(problem, "Write pixels.")
    drawn = mask_api.frPyObjects(mask.value, mask.height, mask.width)
    merged = mask_api.merge(drawn) if len(drawn) > 1 else drawn[0]
    return {"size": [mask.height, mask.width], "counts": merged["counts"].decode()}


def _is_polygon(value: Any) -> bool:
    """Whether a value is a list of x, y, x, y, ... of three points or more, all finite and none beyond all pictures."""
    if not isinstance(value, list) or len(value) < 6 or len(value) % 2:
        return False
    return (
        set(map(type, value)) <= {int, float}
        and min(value) >= -FARTHEST
        and max(value) <= FARTHEST
        and sum(value) < math.inf
    )


def outline_length(polygons: Sequence[Sequence[float]]) -> float:
    """Pixels along the outlines of polygons: drawing takes as long, and as much memory."""
    length = 0.0
    for polygon in polygons:
        points = np.array(polygon, np.float64).reshape(-1, 2)
        length += float(np.abs(np.diff(points, axis=0, append=points[:1])).max(1).sum())
    return length


def longest_outline(height: int, width: int) -> int:
    """More than the outlines of a mask can have in pixels: as if they went around every pixel of it, or of 8K."""
    return min(4 * height * width + 8 * (height + width), 4_000_000)
