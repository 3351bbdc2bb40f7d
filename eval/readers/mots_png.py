"""MOTS images: one 16-bit grey PNG per frame, pixel = class * 1000 + instance, 0 background, 10000 ignore region."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from eval.errors import SchemaError
from eval.readers.mots import MotsRows
from eval.readers.png import PngError, bit_depth, read_png
from eval.rle import from_lengths

INSTANCES_PER_CLASS = 1000


def parse_mots_png(images: Iterable[tuple[int, str, bytes]], source: str) -> MotsRows:
    """The masks of a sequence as the rows of a text file: the id is the pixel's value, the class what it starts with.

    Args:
        images: Frame number, name for errors and content of each image, in order.
        source: The sequence, for errors.

    Raises:
        SchemaError: An image is no 16-bit grey PNG, or not of the size of those before.
    """
    frames: list[int] = []
    values: list[int] = []
    counts: list[str] = []
    size: tuple[int, ...] = (0, 0)
    for frame, name, data in images:
        labels = parse_labels(data, f"{source}/{name}.png")
        if size not in ((0, 0), labels.shape):
            sizes = " x ".join(map(str, labels.shape)), " x ".join(map(str, size))
            raise SchemaError(
                f"{source}/{name}.png is {sizes[0]} (height x width), but the images before are {sizes[1]}. "
                "Write all at the size of the frames."
            )
        size = labels.shape
        masks = masks_of(labels)
        frames += [frame] * len(masks)
        values += masks
        counts += masks.values()
    where, ids = np.array(frames, np.int64), np.array(values, np.int64)
    one = np.ones_like(ids)
    numbers = np.stack([where, ids, ids // INSTANCES_PER_CLASS, size[0] * one, size[1] * one])
    return MotsRows(source, numbers, counts, where, "image")


def parse_labels(data: bytes, name: str) -> NDArray:
    """The pixels of one image, (H, W) int64.

    Args:
        data: The file.
        name: Of the image, for errors.

    Raises:
        SchemaError: It is no 16-bit grey PNG.
    """
    try:
        image = read_png(data)
    except PngError as error:
        raise SchemaError(f"{name} {error}. Export it again.") from None
    if image.mode not in ("I;16", "I;16B", "I") or bit_depth(data) != 16:
        raise SchemaError(f"{name} has pixels of mode {image.mode}, expected 16-bit grey. Export it again.")
    return np.asarray(image).astype(np.int64)


def masks_of(labels: NDArray) -> dict[int, str]:
    """Compressed run lengths of every value of a label map but 0, values ascending.

    Args:
        labels: (H, W) integers, at least 0.
    """
    flat = labels.T.reshape(-1)  # column by column, as run lengths go
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    ends = np.append(starts[1:], len(flat))
    values = flat[starts]
    masks = {}
    for value in np.unique(values[values > 0]).tolist():
        edges = np.stack([starts[values == value], ends[values == value]], 1).reshape(-1)
        runs = np.diff(edges, prepend=0, append=len(flat)).tolist()
        runs = runs[:-1] if runs[-1] == 0 else runs
        masks[int(value)] = from_lengths(runs, *labels.shape)["counts"]
    return masks
