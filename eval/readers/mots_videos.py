"""MOTS images as annotations of videos: a folder of 16-bit PNGs per sequence, pixel = class * 1000 + instance.

Known layouts: `NAME/000000.png` (KITTI MOTS), `NAME/gt/*.png`, `instances/*.png` and `instances/NAME/*.png` with
`instances/labels.txt` (CVAT and Datumaro, whose names are those of the pictures and leave out frames without objects),
and CVAT's zip of a task, `NAME.zip` with `default/instances/*.png`, or its subset's name for `default`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from eval.errors import SchemaError
from eval.readers.annotated_inputs import refuse_torn_zip, require_there
from eval.readers.annotated_pictures import pictures_in
from eval.readers.annotated_video import (
    FROM_ONE,
    AnnotatedVideo,
    ObjectTrack,
    counted,
    folder_name,
    natural_key,
)
from eval.readers.archive import is_zip, list_members, read_members
from eval.readers.mots import CLASSES, IGNORE_CLASS, MOST_FRAMES, MotsRows
from eval.readers.mots_png import INSTANCES_PER_CLASS, parse_mots_png
from eval.readers.png import read_png
from eval.rle import Rle

FOLDERS = ("gt", "instances", "img1", "masks", "default")
"""Names of folders that say what is in them, not which sequence it is."""

LABELS_FILE = "labels.txt"

_CALLED = ", ".join(f"{number} {name}" for number, name in enumerate(CLASSES, start=1))
BENCHMARK_CLASSES = f"Without {LABELS_FILE}, classes are called as in KITTI MOTS: {_CALLED}. Give --classes if wrong."

_HIDDEN = (".", "__MACOSX")
_FROM_ONE_FOLDERS = {"gt", "img1"}
_CVAT_FRAME = re.compile(r"frame_[0-9]{6,}")


def read_mots_videos(
    folder: str | Path, classes: Sequence[str] | None = None, frames: str | Path | None = None
) -> list[AnnotatedVideo]:
    """Read the sequences of a folder or a zip.

    Args:
        folder: In a known layout.
        classes: Names of classes 1, 2, ...; default: labels.txt, else the benchmarks': 1 car, 2 pedestrian.
        frames: Folder with the pictures of each sequence in a folder of its name; they say how long it is, and images
            of their names or numbers are theirs. Else see `_first_number`.

    Raises:
        SchemaError: There are none, an image does not fit, or nothing says of which frame it is.
    """
    require_there(Path(folder))
    refuse_torn_zip(Path(folder))
    place = _Place.of(Path(folder))
    sequences = _sequences(place)
    known = classes or _labels(place)
    videos = [
        _video(name, images, place, known or tuple(CLASSES), None if frames is None else Path(frames) / name)
        for name, images in sequences.items()
    ]
    return videos if known else [replace(video, remarks=(BENCHMARK_CLASSES,)) for video in videos]


@dataclass(frozen=True)
class _Place:
    """A folder or a zip.

    Attributes:
        path: Where it is.
        files: What is in it, below it, without what macOS adds.
    """

    path: Path
    files: tuple[PurePosixPath, ...]

    @classmethod
    def of(cls, path: Path) -> _Place:
        if is_zip(path):
            files = [PurePosixPath(name) for name in list_members(path)]
        else:
            found = path.rglob("*") if path.is_dir() else ()
            files = [PurePosixPath(file.relative_to(path).as_posix()) for file in found]
        return cls(path, tuple(file for file in files if not any(part.startswith(_HIDDEN) for part in file.parts)))

    @property
    def name(self) -> str:
        """Of the sequence that lies in it without a folder of its own."""
        return folder_name(self.path) if self.path.is_dir() else self.path.stem

    def read(self, files: Sequence[PurePosixPath]) -> list[bytes]:
        """What some of them hold."""
        if self.path.is_dir():
            return [(self.path / file).read_bytes() for file in files]
        return read_members(self.path, map(str, files))


def _sequences(place: _Place) -> dict[str, list[PurePosixPath]]:
    """Images of each sequence by its name, in natural order."""
    found: dict[str, list[PurePosixPath]] = defaultdict(list)
    owner: dict[str, PurePosixPath] = {}
    images = [file for file in sorted(place.files) if file.suffix == ".png" and _may_be_masks(file, place)]
    subset = _only_subset(images, place)
    for file in images:
        parts = () if file.parent == subset else file.parent.parts
        while parts and parts[-1] in FOLDERS:
            parts = parts[:-1]
        name = parts[-1] if parts else place.name
        if owner.setdefault(name, file.parent) != file.parent:
            both = f"'{place.path / owner[name]}' and '{place.path / file.parent}'"
            raise SchemaError(f"{both} are both of a sequence '{name}'. Give one folder per sequence.")
        found[name].append(file)
    if not found:
        raise SchemaError(f"'{place.path}' has no MOTS images (*.png). Give the folder that holds the sequences.")
    return {name: sorted(found[name], key=lambda file: natural_key(file.name)) for name in sorted(found)}


def _may_be_masks(file: PurePosixPath, place: _Place) -> bool:
    """Whether a PNG is none of the pictures that CVAT puts beside the masks in a zip."""
    return place.path.is_dir() or "images" not in file.parts


def _only_subset(images: Sequence[PurePosixPath], place: _Place) -> PurePosixPath | None:
    """The one `SUBSET/instances` of a zip: CVAT names it after a part of the data set, such as `train`."""
    folders = {image.parent for image in images if image.parent.name == "instances" and len(image.parent.parts) == 2}
    return folders.pop() if len(folders) == 1 and not place.path.is_dir() else None


def _labels(place: _Place) -> tuple[str, ...]:
    files = sorted(file for file in place.files if file.name == LABELS_FILE)
    if not files:
        return ()
    try:
        lines = [line.strip() for line in place.read(files[:1])[0].decode("utf-8-sig").splitlines()]
    except UnicodeDecodeError:
        raise SchemaError(f"'{place.path / files[0]}' is not text in UTF-8. Write one class a line.") from None
    return tuple(line for line in lines if line)


def _video(
    name: str, images: Sequence[PurePosixPath], place: _Place, names: Sequence[str], frames: Path | None
) -> AnnotatedVideo:
    pictures = [] if frames is None else pictures_in(frames)
    places, notes = _places(name, images, place, pictures)
    length = len(pictures) or max(places.values()) + 1
    if max(places[image.stem] for image in images) >= length:
        raise SchemaError(
            f"Sequence '{name}' has an image '{images[-1].name}', but '{frames}' has {counted(length, 'picture')} "
            "and none of its name. Give the pictures of these frames."
        )
    contents = place.read(images)
    rows = parse_mots_png(((places[i.stem], i.stem, data) for i, data in zip(images, contents, strict=True)), name)
    height, width = (int(rows.heights[0]), int(rows.widths[0])) if len(rows) else _extent(contents[0])
    return AnnotatedVideo(
        name=name,
        height=height,
        width=width,
        length=length,
        frame_names=tuple(pictures and (f"{name}/{picture}" for picture in pictures)),
        classes={label: number for number, label in enumerate(names, start=1)},
        tracks=_tracks(rows, names, length),
        source=name,
        source_frames=range(length),
        open_ended=not pictures,
        notes=notes,
    )


def _extent(image: bytes) -> tuple[int, int]:
    """Height and width of a sequence without objects."""
    width, height = read_png(image).size
    return height, width


def _places(
    name: str, images: Sequence[PurePosixPath], place: _Place, pictures: Sequence[str]
) -> tuple[dict[str, int], dict[str, int]]:
    """Frame of each image by its stem: that of the picture of its name, else told by its number; and notes."""
    by_name = {Path(picture).stem: t for t, picture in enumerate(pictures)}
    if all(image.stem in by_name for image in images):
        return by_name, {}
    numbers = _numbers(name, images, place.path)
    by_number = {_number(Path(picture).stem): t for t, picture in enumerate(pictures)}
    told = all(_CVAT_FRAME.fullmatch(stem) for stem in numbers) or _counts_from_one(images, place)
    if not told and len(by_number) == len(pictures) and by_number.keys() >= set(numbers.values()):
        return {stem: by_number[number] for stem, number in numbers.items()}, {}
    first, notes = _first_number(name, images, numbers, place, len(pictures))
    last = max(numbers.values()) - first
    if last >= MOST_FRAMES:
        raise SchemaError(f"Sequence '{name}' has a frame {last}, expected less than {MOST_FRAMES}. Correct the names.")
    return {stem: number - first for stem, number in numbers.items()}, notes


def _number(stem: str) -> int | None:
    digits = re.search(r"[0-9]{1,9}$", stem)
    return None if digits is None else int(digits[0])


def _numbers(name: str, images: Sequence[PurePosixPath], folder: Path) -> dict[str, int]:
    """Number at the end of each image's name, by its stem."""
    numbers = {}
    for image in images:
        number = _number(image.stem)
        if number is None:
            raise SchemaError(
                f"'{folder / image}' has no number at the end of its name. Give the folder of the frames."
            )
        numbers[image.stem] = number
    if len(set(numbers.values())) < len(numbers):
        raise SchemaError(f"Two images of sequence '{name}' have one number. Give the folder of the frames.")
    return numbers


def _counts_from_one(images: Sequence[PurePosixPath], place: _Place) -> bool:
    """Whether the layout is MOTSChallenge's."""
    return not _FROM_ONE_FOLDERS.isdisjoint((place.name, *images[0].parent.parts))


def _first_number(
    name: str, images: Sequence[PurePosixPath], numbers: Mapping[str, int], place: _Place, pictures: int
) -> tuple[int, dict[str, int]]:
    """Number of the first frame, of which there may be no image; and a note where it is a guess.

    CVAT counts the frames of videos from 0, MOTSChallenge from 1. Elsewhere a missing 0 may be a frame without objects:
    Datumaro, which writes labels.txt, leaves these out. The benchmarks' own images are of every frame, so that 1 is
    first where all images from it on are there.

    Raises:
        SchemaError: It is not known.
    """
    if 0 in numbers.values() or all(_CVAT_FRAME.fullmatch(stem) for stem in numbers):
        return 0, {}
    if _counts_from_one(images, place) or 0 < pictures <= max(numbers.values()):
        return 1, {}
    if max(numbers.values()) == len(numbers) and not any(file.name == LABELS_FILE for file in place.files):
        return 1, {FROM_ONE: 1}
    raise SchemaError(
        f"The first image of sequence '{name}' is '{images[0].name}', and nothing says whether its frames count from 0 "
        "or from 1. Give the folder of its pictures (--frames), called as the images are."
    )


def _tracks(rows: MotsRows, names: Sequence[str], length: int) -> tuple[ObjectTrack, ...]:
    """A track for each value of a pixel; regions to ignore become crowds of the first class."""
    masks: dict[int, list[Rle | None]] = defaultdict(lambda: [None] * length)
    for i, (frame, value) in enumerate(zip(rows.frames.tolist(), rows.ids.tolist(), strict=True)):
        class_id = value // INSTANCES_PER_CLASS
        if not 1 <= class_id <= len(names) and class_id != IGNORE_CLASS:
            known = ", ".join(f"{k} {name}" for k, name in enumerate(names, start=1))
            cure = "Name the classes (--classes, or labels.txt beside the images)."
            raise rows.error(i, f"a pixel is {value}, of class {class_id}; known are {known}", cure)
        size = [int(rows.heights[i]), int(rows.widths[i])]
        masks[value][frame] = {"size": size, "counts": rows.counts[i]}
    instances = np.array(sorted(masks), np.int64) % INSTANCES_PER_CLASS
    alone = len(np.unique(instances)) == len(instances) and 0 not in instances
    tracks = []
    for value in sorted(masks):
        class_id, instance = divmod(value, INSTANCES_PER_CLASS)
        ignored = class_id == IGNORE_CLASS and len(names) < IGNORE_CLASS
        label = names[0] if ignored else names[class_id - 1]
        tracks.append(ObjectTrack(instance if alone else value, label, tuple(masks[value]), ignored))
    return tuple(sorted(tracks, key=lambda track: track.id))
