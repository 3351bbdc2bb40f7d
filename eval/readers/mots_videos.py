"""MOTS images as annotations of videos: a folder of 16-bit PNGs per sequence, pixel = class * 1000 + instance.

Known layouts: `NAME/000000.png` (KITTI MOTS), `NAME/gt/*.png`, `instances/*.png` and `instances/NAME/*.png` with
`instances/labels.txt` (CVAT and Datumaro, whose names are those of the pictures and leave out frames without objects),
and CVAT's zip of a task, `NAME.zip` with `default/instances/*.png`.
"""

from __future__ import annotations

import re
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from eval.errors import SchemaError
from eval.readers.annotated_video import AnnotatedVideo, ObjectTrack, natural_key, pictures_in
from eval.readers.archive import is_zip, list_members, unpack_member
from eval.readers.mots import CLASSES, IGNORE_CLASS, MOST_FRAMES, MotsRows
from eval.readers.mots_png import INSTANCES_PER_CLASS, parse_mots_png
from eval.readers.png import read_png
from eval.rle import Rle

FOLDERS = ("gt", "instances", "img1", "masks", "default")
"""Names of folders that say what is in them, not which sequence it is."""

LABELS_FILE = "labels.txt"


def read_mots_videos(
    folder: str | Path, classes: Sequence[str] | None = None, frames: str | Path | None = None
) -> list[AnnotatedVideo]:
    """Read the sequences of a folder or a zip.

    Args:
        folder: In a known layout.
        classes: Names of classes 1, 2, ...; default: labels.txt, else the benchmarks': 1 car, 2 pedestrian.
        frames: Folder with the pictures of each sequence in a folder of its name; they say how long it is, and images
            of their names are theirs. Else numbers count from 0, or from 1 where there is no 0.

    Raises:
        SchemaError: There are none, or an image does not fit.
    """
    folder = Path(folder)
    if is_zip(folder):
        with tempfile.TemporaryDirectory() as place:
            unpacked = Path(place) / folder.stem
            _unpack(folder, unpacked)
            try:
                return read_mots_videos(unpacked, classes, frames)
            except SchemaError as error:  # what was unpacked is gone when this is read
                raise SchemaError(str(error).replace(str(unpacked), str(folder))) from None
    sequences = _sequences(folder)
    names = classes or _labels(folder) or tuple(CLASSES)
    return [
        _video(name, images, names, None if frames is None else Path(frames) / name)
        for name, images in sequences.items()
    ]


def _unpack(path: Path, folder: Path) -> None:
    """Write the images of a zip and its names of classes to a folder."""
    for name in list_members(path):
        member = PurePosixPath(name)
        hidden = any(part.startswith((".", "__MACOSX")) for part in member.parts)
        if not hidden and (member.suffix == ".png" or member.name == LABELS_FILE) and "images" not in member.parts:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            unpack_member(path, name, folder / name)


def _sequences(folder: Path) -> dict[str, list[Path]]:
    """Images of each sequence by its name, in natural order."""
    found: dict[str, list[Path]] = defaultdict(list)
    owner: dict[str, Path] = {}
    for path in sorted(folder.rglob("*.png")) if folder.is_dir() else ():
        place = path.parent
        while place.name in FOLDERS and place != folder:
            place = place.parent
        if owner.setdefault(place.name, path.parent) != path.parent:
            both = f"'{owner[place.name]}' and '{path.parent}'"
            raise SchemaError(f"{both} are both of a sequence '{place.name}'. Give one folder per sequence.")
        found[place.name].append(path)
    if not found:
        raise SchemaError(f"'{folder}' has no MOTS images (*.png). Give the folder that holds the sequences.")
    return {name: sorted(found[name], key=lambda path: natural_key(path.name)) for name in sorted(found)}


def _labels(folder: Path) -> tuple[str, ...]:
    files = sorted(folder.rglob(LABELS_FILE))
    if not files:
        return ()
    try:
        lines = [line.strip() for line in files[0].read_text(encoding="utf-8").splitlines()]
    except UnicodeDecodeError:
        raise SchemaError(f"'{files[0]}' is not text in UTF-8. Write one class a line.") from None
    return tuple(line for line in lines if line)


def _video(name: str, images: Sequence[Path], names: Sequence[str], frames: Path | None) -> AnnotatedVideo:
    pictures = [] if frames is None else pictures_in(frames)
    places = {Path(picture).stem: t for t, picture in enumerate(pictures)}
    if not all(image.stem in places for image in images):
        places = _numbered(name, images)
    length = len(pictures) or max(places.values()) + 1
    if max(places[image.stem] for image in images) >= length:
        raise SchemaError(
            f"Sequence '{name}' has an image '{images[-1].name}', but '{frames}' has {length} pictures and none of its "
            "name. Give the pictures of these frames."
        )
    rows = parse_mots_png(((places[i.stem], i.stem, i.read_bytes()) for i in images), name)
    height, width = (int(rows.heights[0]), int(rows.widths[0])) if len(rows) else _extent(images[0])
    return AnnotatedVideo(
        name=name,
        height=height,
        width=width,
        length=length,
        frame_names=tuple(pictures and (f"{name}/{picture}" for picture in pictures)),
        classes={label: number for number, label in enumerate(names, start=1)},
        tracks=_tracks(rows, names, length),
        source=name,
    )


def _extent(image: Path) -> tuple[int, int]:
    """Height and width of a sequence without objects."""
    width, height = read_png(image.read_bytes()).size
    return height, width


def _numbered(name: str, images: Sequence[Path]) -> dict[str, int]:
    """Frame of each image by its stem, from the number at its end."""
    numbers = {}
    for image in images:
        digits = re.search(r"[0-9]{1,9}$", image.stem)
        if digits is None:
            raise SchemaError(f"'{image}' has no number at the end of its name. Give the folder of the frames.")
        numbers[image.stem] = int(digits[0])
    if len(set(numbers.values())) < len(numbers):
        raise SchemaError(f"Two images of sequence '{name}' have one number. Give the folder of the frames.")
    first = min(1, min(numbers.values()))
    last = max(numbers.values()) - first
    if last >= MOST_FRAMES:
        raise SchemaError(f"Sequence '{name}' has a frame {last}, expected less than {MOST_FRAMES}. Correct the names.")
    return {stem: number - first for stem, number in numbers.items()}


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
