"""Which videos a split of a tracking benchmark asks for, how long they are and how large: its pictures, labels or list.

Folders of pictures say all of it: `NAME/000000.png` (KITTI MOTS), `NAME/img1/000001.jpg` (MOTSChallenge) and
`NAME/NAME-0000001.jpg` (BDD100K; its bitmasks likewise). Labels of tracks and a seqmap know less; what they do not know
is None.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from eval.errors import SchemaError
from eval.readers.annotated_video import pictures_in
from eval.readers.archive import is_zip
from eval.readers.mots_files import find_mots_files, read_seqmap
from eval.readers.record import LARGEST_IMAGE, Record
from eval.readers.scalabel import ScalabelLabels

_PICTURES_BELOW = "img1"


@dataclass(frozen=True)
class SequenceExtent:
    """A video of a split.

    Attributes:
        name: Its own in the split.
        length: Frames, None where nothing says so.
        size: (height, width) in pixels, None where nothing says so.
        frames: Of each frame, the path of its picture below the split's folder, or what labels call it; empty where
            nothing says so.
    """

    name: str
    length: int | None = None
    size: tuple[int, int] | None = None
    frames: tuple[str, ...] = ()


def read_extents(path: Path, first_frame: int = 0, header: bool = False) -> dict[str, SequenceExtent]:
    """The videos of a split, by name.

    Args:
        path: Folder of pictures or of labels, a Scalabel file, or a seqmap.
        first_frame: Number of the first frame in seqmaps and MOTS labels.
        header: Whether the seqmap may start with a header, as in MOTSChallenge.

    Raises:
        SchemaError: It is none of these, or holds no video.
    """
    if not path.exists():
        raise SchemaError(f"There is no file or folder '{path}'. Check the path.")
    if path.suffix == ".json" or (path.is_dir() and any(path.glob("*.json"))):
        return _of_scalabel(path)
    if path.is_dir() and any(_picture_folder(folder) for folder in _folders(path)):
        return read_picture_folders(path)
    if path.is_dir() or is_zip(path):
        return _of_mots_labels(path, first_frame)
    lengths = read_seqmap(path, first_frame, header)
    return {name: SequenceExtent(name, length) for name, length in lengths.items()}


def read_picture_folders(root: Path) -> dict[str, SequenceExtent]:
    """The videos of a folder that holds a folder of pictures for each.

    Raises:
        SchemaError: There are none, one has no pictures, or their numbers leave one out.
    """
    if not root.is_dir():
        raise SchemaError(f"There is no folder '{root}'. Name the one that holds a folder of frames for each video.")
    found = {folder.name: _extent(root, folder) for folder in _folders(root)}
    if not found:
        raise SchemaError(f"'{root}' has no folders. Name the one that holds a folder of frames for each video.")
    return found


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith((".", "__MACOSX")))


def _picture_folder(folder: Path) -> Path | None:
    """Where a video's pictures are, None where there are none."""
    for place in (folder, folder / _PICTURES_BELOW):
        try:
            pictures_in(place)
        except SchemaError:
            continue
        return place
    return None


def _extent(root: Path, folder: Path) -> SequenceExtent:
    place = _picture_folder(folder) or folder
    names = pictures_in(place)
    _refuse_gaps(place, names)
    below = place.relative_to(root)
    frames = tuple((below / name).as_posix() for name in names)
    return SequenceExtent(folder.name, len(names), _size(place / names[0]), frames)


def _refuse_gaps(folder: Path, names: list[str]) -> None:
    """A frame that is missing would shift all that come after it."""
    digits = [re.search(r"[0-9]{1,9}$", Path(name).stem) for name in names]
    numbers = [int(found[0]) for found in digits if found]
    if len(numbers) < len(names):
        raise SchemaError(f"'{folder}' has pictures without a number at the end of their names. Number the frames.")
    if numbers[0] not in (0, 1) or numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        expected = range(min(numbers[0], 1), numbers[-1])
        missing = next((number for number in expected if number not in set(numbers)), numbers[-1])
        raise SchemaError(
            f"'{folder}' has not one picture of frame {missing}; it has {len(names)}, up to frame {numbers[-1]}. "
            "Put the frames of the whole video there, counted from 0 or 1."
        )


def _size(picture: Path) -> tuple[int, int]:
    try:
        with Image.open(picture) as image:  # the header alone
            width, height = image.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise SchemaError(f"'{picture}' is no picture that can be read. Copy it again.") from None
    if height * width > LARGEST_IMAGE:
        raise SchemaError(
            f"'{picture}' has {height} x {width} pixels, expected at most {LARGEST_IMAGE}. Is it a frame?"
        )
    return height, width


def _of_mots_labels(path: Path, first_frame: int) -> dict[str, SequenceExtent]:
    files = find_mots_files(path)
    extents = {}
    for name in files.files:
        rows = files.read(name)
        size = (int(rows.heights[0]), int(rows.widths[0])) if len(rows) else None
        extents[name] = SequenceExtent(name, files.length(name, first_frame), size)
    return extents


def _of_scalabel(path: Path) -> dict[str, SequenceExtent]:
    labels = ScalabelLabels(path)
    extents = {}
    for name in labels.videos:
        frames = labels.frames(name)
        names = tuple(frame.text("name", default="") for frame in frames)
        extents[name] = SequenceExtent(name, len(frames), _stated_size(frames), names)
    return extents


def _stated_size(frames: list[Record]) -> tuple[int, int] | None:
    """Of the first mask that states one; what else is wrong with it, others say."""
    for frame in frames:
        labels = frame.values.get("labels")
        for label in labels if isinstance(labels, list) else ():
            mask = label.get("rle") if isinstance(label, Mapping) else None
            size = mask.get("size") if isinstance(mask, Mapping) else None
            if isinstance(size, list) and len(size) == 2 and all(type(side) is int for side in size):
                return size[0], size[1]
    return None
