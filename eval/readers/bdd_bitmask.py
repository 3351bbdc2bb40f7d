"""BDD100K's bitmasks: a PNG per frame whose pixels say everything, in a folder per video.

R is the category from 1, G the attributes (8 truncated, 4 occluded, 2 crowd, 1 ignored), 256 B + A the id of the
instance; id 0 is background. Masks cannot overlap. Two such pictures are compared by the stretches of pixels that look
alike in both, of which there are a few thousand, so nothing is done per object.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as mask_api

from eval.errors import SchemaError
from eval.masks import MaskTable
from eval.readers.png import PngError, bit_depth, read_png

IGNORED, CROWD, OCCLUDED, TRUNCATED = 1, 2, 4, 8
_FLAGS = {"ignored": IGNORED, "crowd": CROWD, "occluded": OCCLUDED, "truncated": TRUNCATED}

Ints = NDArray[np.int64]
Codes = NDArray[np.uint32]  # R | G << 8 | B << 16 | A << 24


def find_bitmasks(root: Path) -> dict[str, dict[str, Path]]:
    """PNG files by video and frame, both sorted: the name of a file's folder relative to the root ("." for the root
    itself), and its own without ".png".

    Raises:
        SchemaError: There are none.
    """
    videos: dict[str, dict[str, Path]] = {}
    for file in sorted(root.rglob("*.png")):
        videos.setdefault(file.parent.relative_to(root).as_posix(), {})[file.stem] = file
    if not videos:
        raise SchemaError(f"There are no .png files below '{root}'. Name the folder that holds the videos' folders.")
    return dict(sorted(videos.items()))


def read_codes(path: Path) -> Codes:
    """A picture as one number for each pixel, (H, W).

    Raises:
        SchemaError: It is no RGBA PNG of 8 bits.
    """
    try:
        data = path.read_bytes()
        image = read_png(data)
    except (PngError, OSError) as error:
        raise SchemaError(f"{path} cannot be read as PNG: it {error}. Export it again.") from None
    if image.mode != "RGBA" or bit_depth(data) != 8:
        raise SchemaError(f"{path} is of mode {image.mode}, expected RGBA of 8 bits. Export bitmasks as BDD100K does.")
    pixels = np.frombuffer(image.tobytes(), "<u4").reshape(image.height, image.width)
    return pixels.astype(np.uint32, copy=False)


@dataclass(frozen=True)
class Instances:
    """The objects of one picture, by id.

    Attributes:
        ids, categories, attributes: (N,) ascending ids, categories from 1, and the bits of the attributes.
        areas: (N,) pixels.
    """

    ids: Ints
    categories: Ints
    attributes: Ints
    areas: Ints

    @classmethod
    def none(cls) -> Instances:
        """No objects."""
        return cls(*np.zeros((4, 0), np.int64))

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def ignored(self) -> NDArray[np.bool_]:
        """(N,) whether an object is a crowd or to be ignored."""
        return self.attributes & (IGNORED | CROWD) > 0


def compare_codes(first: Path, second: Path) -> tuple[Instances, Instances, Ints]:
    """The objects of two pictures, and the pixels that each pair shares.

    Returns:
        The objects of either, and (N, M) pixels.

    Raises:
        SchemaError: A file is no bitmask, the sizes differ, or an instance has two categories or attributes.
    """
    pictures = read_codes(first), read_codes(second)
    if pictures[0].shape != pictures[1].shape:
        sizes = [f"{picture.shape[0]} x {picture.shape[1]}" for picture in pictures]
        raise SchemaError(
            f"{second} has {sizes[1]} pixels (height x width), but {first} has {sizes[0]}. Export it again."
        )
    ours, theirs = (picture.reshape(-1) for picture in pictures)
    starts, lengths = _stretches(ours, theirs)
    sides = [_instances(codes[starts], lengths, path) for codes, path in ((ours, first), (theirs, second))]
    (gt, rows), (pred, columns) = sides
    both = (rows >= 0) & (columns >= 0)
    shape = (len(gt), len(pred))
    pixels = np.bincount(rows[both] * shape[1] + columns[both], lengths[both], shape[0] * shape[1])
    return gt, pred, pixels.reshape(shape).astype(np.int64)


def read_instances(path: Path) -> Instances:
    """The objects of one picture.

    Raises:
        SchemaError: It is no bitmask, or an instance has two categories or attributes.
    """
    codes = read_codes(path).reshape(-1)
    starts, lengths = _stretches(codes)
    return _instances(codes[starts], lengths, path)[0]


def read_picture(path: Path) -> tuple[Instances, Ints]:
    """The objects of one picture, and (H, W) which of them each pixel belongs to, -1 for background.

    Raises:
        SchemaError: It is no bitmask, or an instance has two categories or attributes.
    """
    return objects_of(read_codes(path), path)


def objects_of(codes: Codes, path: Path) -> tuple[Instances, Ints]:
    """As `read_picture`, of what `read_codes` gave."""
    starts, lengths = _stretches(codes.reshape(-1))
    objects, rows = _instances(codes.reshape(-1)[starts], lengths, path)
    return objects, np.repeat(rows, lengths).reshape(codes.shape)


def read_bitmasks(files: Mapping[str, Path] | Sequence[Path], source: str = "") -> MaskTable:
    """The masks of a video as run lengths, with the flags "ignored", "crowd", "occluded" and "truncated".

    Raises:
        SchemaError: A file is no bitmask, or sizes differ.
    """
    paths = list(files.values()) if isinstance(files, Mapping) else list(files)
    found, counts, shape = [], [], (0, 0)
    for t, path in enumerate(paths):
        objects, rows = read_picture(path)
        if t and rows.shape != shape:
            raise SchemaError(f"{path} has {rows.shape} pixels, but {paths[0]} has {shape}. Export it again.")
        shape = rows.shape
        found.append(np.stack([np.full(len(objects), t), objects.ids, objects.categories, objects.attributes]))
        counts += [mask_api.encode(np.asfortranarray(rows == k))["counts"].decode() for k in range(len(objects))]
    frames, ids, categories, attributes = np.concatenate([np.zeros((4, 0), np.int64), *found], axis=1)
    flags = {name: attributes & bit > 0 for name, bit in _FLAGS.items()}
    return MaskTable(*shape, len(paths), frames, ids, categories, counts, flags, source, frames, "frame")


def _stretches(*pictures: Codes) -> tuple[Ints, Ints]:
    """First pixel and length of each stretch that looks alike in every picture."""
    changes = np.zeros(len(pictures[0]) - 1, bool)
    for codes in pictures:
        changes |= codes[1:] != codes[:-1]
    starts = np.append(0, np.flatnonzero(changes) + 1)
    return starts, np.diff(starts, append=len(pictures[0]))


def _instances(codes: Codes, lengths: Ints, path: Path) -> tuple[Instances, Ints]:
    """The objects of stretches of pixels, and for each stretch the index of its object, -1 for background."""
    looks, look = np.unique(codes, return_inverse=True)
    ids = (looks >> 16 & 255).astype(np.int64) << 8 | looks >> 24
    order = np.argsort(ids, kind="stable")
    order = order[ids[order] > 0]
    ids, looks = ids[order], looks[order].astype(np.int64)
    twice = np.flatnonzero(np.diff(ids) == 0)
    if len(twice):
        raise SchemaError(
            f"{path}: instance {ids[twice[0]]} has pixels of two categories or attributes. Give each object its own id."
        )
    index = np.full(int(look.max()) + 1, -1)
    index[order] = np.arange(len(order))
    rows = index[look.reshape(-1)]
    areas = np.bincount(rows[rows >= 0], lengths[rows >= 0], len(order)).astype(np.int64)
    return Instances(ids, looks & 255, looks >> 8 & 255, areas), rows
