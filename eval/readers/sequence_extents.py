"""Which videos a tracking benchmark asks for, how long and how large they are, as its labels or a seqmap say.

What is not said is None: a MOTS text file has no line for a frame without objects, and a seqmap knows no sizes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.errors import SchemaError
from eval.readers.archive import is_zip
from eval.readers.bdd_bitmask import find_bitmasks, read_codes
from eval.readers.mots_files import find_mots_files, read_seqmap
from eval.readers.record import Record
from eval.readers.scalabel import ScalabelLabels


@dataclass(frozen=True)
class SequenceExtent:
    """A video of a split.

    Attributes:
        length: Frames, None where nothing says so.
        size: (height, width) in pixels, None where nothing says so.
        frames: What the benchmark calls each frame, without folders and suffix; empty where nothing says so.
    """

    length: int | None = None
    size: tuple[int, int] | None = None
    frames: tuple[str, ...] = ()


Extents = Mapping[str, SequenceExtent]
"""By the names of the videos, in order."""


def mots_extents(path: Path, first_frame: int = 0, header: bool = False) -> Extents:
    """The sequences of KITTI MOTS or MOTSChallenge.

    Args:
        path: A seqmap; or labels, as text or images, in a folder or zip.
        first_frame: Number of the first frame.
        header: Whether the seqmap may start with a header, as in MOTSChallenge.

    Raises:
        SchemaError: It is neither, or there are none.
    """
    _require(path)
    if path.is_dir() or is_zip(path):
        return _of_mots_labels(path, first_frame)
    return {name: SequenceExtent(length) for name, length in read_seqmap(path, first_frame, header).items()}


def bdd_extents(path: Path) -> Extents:
    """The videos of BDD100K.

    Args:
        path: A Scalabel file or a folder of them, or a folder of bitmasks.

    Raises:
        SchemaError: It is neither, or there are none.
    """
    _require(path)
    if path.is_file() or any(path.glob("*.json")):
        return _of_scalabel(path)
    return {
        name: SequenceExtent(len(files), read_codes(next(iter(files.values()))).shape, tuple(files))
        for name, files in find_bitmasks(path).items()
    }


def _require(path: Path) -> None:
    if not path.exists():
        raise SchemaError(f"There is no file or folder '{path}'. Check the path.")


def _of_mots_labels(path: Path, first_frame: int) -> Extents:
    files = find_mots_files(path)
    extents = {}
    for name in files.files:
        rows = files.read(name)
        size = (int(rows.heights[0]), int(rows.widths[0])) if len(rows) else None
        extents[name] = SequenceExtent(files.length(name, first_frame), size)
    return extents


def _of_scalabel(path: Path) -> Extents:
    labels = ScalabelLabels(path)
    extents = {}
    for name in labels.videos:
        frames = labels.frames(name)
        names = tuple(Path(frame.text("name", default="")).stem for frame in frames)
        extents[name] = SequenceExtent(len(frames), _stated_size(frames), names if all(names) else ())
    return extents


def _stated_size(frames: list[Record]) -> tuple[int, int] | None:
    """Of the first frame or mask that states one; what else is wrong with it, others say."""
    for frame in frames:
        stated = frame.values.get("size")
        if isinstance(stated, Mapping) and (size := _size([stated.get("height"), stated.get("width")])):
            return size
        labels = frame.values.get("labels")
        for label in labels if isinstance(labels, list) else ():
            mask = label.get("rle") if isinstance(label, Mapping) else None
            if isinstance(mask, Mapping) and (size := _size(mask.get("size"))):
                return size
    return None


def _size(value: Any) -> tuple[int, int] | None:
    if not isinstance(value, list) or len(value) != 2 or not all(type(side) is int for side in value):
        return None
    return value[0], value[1]
