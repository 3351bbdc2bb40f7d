"""labelme: a json per frame, in one folder per video; `group_id` says which object a shape is.

Shapes of one label and group in one frame are parts of one object. Rectangles become their pixels, corners included, as
labelme draws them; masks are small pictures at a place.
"""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.errors import SchemaError
from eval.readers.annotated_inputs import refuse_zip, require_there
from eval.readers.annotated_video import (
    BOXES,
    PICTURES,
    VANISHED,
    AnnotatedVideo,
    ObjectTrack,
    folder_name,
    natural_key,
)
from eval.readers.png import PngError, read_png
from eval.readers.record import LARGEST_IMAGE, Record, is_number, load_object, records, shown
from eval.readers.segmentation import FARTHEST, read_mask
from eval.readers.shapes import encode_window, merge_masks
from eval.readers.ytvis_tubes import OCCLUSION_LABELS
from eval.rle import Rle, areas

KINDS = ("polygon", "rectangle", "mask")

_Key = tuple[str, int]  # label and group


def read_labelme(folder: str | Path) -> AnnotatedVideo:
    """Read the json files of a folder, one per frame in natural order.

    Pictures without a json are frames without objects.

    Raises:
        SchemaError: There are none, or one does not fit.
    """
    folder = Path(folder)
    require_there(folder)
    refuse_zip(folder, "the folder of one video")
    there = [path for path in folder.iterdir() if not path.name.startswith(".")] if folder.is_dir() else []
    files = {path.stem: path for path in there if path.suffix == ".json"}
    if not files:
        raise SchemaError(f"'{folder}' has no labelme files (*.json). Give the folder of one video.")
    pictures = {path.stem: path.name for path in there if path.suffix.lower() in PICTURES}
    stems = sorted({*files, *pictures}, key=natural_key)
    documents = {stem: load_object(path) for stem, path in files.items()}
    height, width = _size(documents)
    notes = dict.fromkeys((BOXES, VANISHED), 0)
    parts: dict[_Key, dict[int, list[Rle]]] = defaultdict(lambda: defaultdict(list))
    facts: dict[_Key, dict[int, dict[str, Any]]] = defaultdict(dict)
    for t, stem in enumerate(stems):
        for record in _shapes(documents.get(stem)):
            key = record.text("label"), _group(record)
            parts[key][t].append(_mask(record, height, width, notes))
            facts[key].setdefault(t, {}).update(_facts(record))
    name = folder_name(folder)
    names = tuple(f"{name}/{pictures.get(stem) or _picture(documents[stem])}" for stem in stems)
    labels = sorted({label for label, _ in parts})
    return AnnotatedVideo(
        name=name,
        height=height,
        width=width,
        length=len(stems),
        frame_names=names,
        classes={label: number for number, label in enumerate(labels, start=1)},
        tracks=_tracks(parts, facts, len(stems), notes),
        source=name,
        notes=notes,
    )


def _size(documents: Mapping[str, Record]) -> tuple[int, int]:
    first: Record | None = None
    size = (0, 0)
    for stem in sorted(documents, key=natural_key):
        record = documents[stem]
        found = record.positive("imageHeight"), record.positive("imageWidth")
        if found[0] * found[1] > LARGEST_IMAGE:
            raise record.error("imageHeight", f"times imageWidth is more than {LARGEST_IMAGE} pixels", "Correct it.")
        if first is not None and found != size:
            sizes = f"{found[0]} x {found[1]} (height x width), but {first.file} is {size[0]} x {size[1]}"
            raise record.error("", f"is of a picture of {sizes}", "Frames of a video have one size.")
        first, size = first or record, found
    return size


def _shapes(document: Record | None) -> Sequence[Record]:
    if document is None:
        return ()
    return tuple(records(document.values.get("shapes"), "shapes", document.file))


def _group(record: Record) -> int:
    value = record.values.get("group_id")
    if value is None:
        problem = "has no group_id, so nobody knows which object it is in other frames"
        raise record.error("", problem, "Give every object a group id of its own (labelme: edit label).")
    return record.integer("group_id")


def _mask(record: Record, height: int, width: int, notes: dict[str, int]) -> Rle:
    kind = record.text("shape_type", default="polygon")
    if kind not in KINDS:
        problem = f"is {shown(kind)}, expected one of {', '.join(KINDS)}"
        raise record.error("shape_type", problem, "Draw it again, or remove it.")
    points = _points(record)
    if kind == "polygon":
        mask = read_mask([[value for point in points for value in point]], height, width, record, "points")
        assert mask is not None, "a polygon that is read is a mask"
        return mask
    if len(points) != 2:
        raise record.error("points", f"has {len(points)} points, expected two corners", "Draw it again.")
    (x0, x1), (y0, y1) = (sorted(round(value) for value in axis) for axis in zip(*points, strict=True))
    if kind == "rectangle":
        notes[BOXES] += 1
        return encode_window(np.ones((y1 - y0 + 1, x1 - x0 + 1), bool), x0, y0, height, width)
    window = _picture_of(record)
    if window.shape != (y1 - y0 + 1, x1 - x0 + 1):
        found = f"{window.shape[1]} x {window.shape[0]}, but its points say {x1 - x0 + 1} x {y1 - y0 + 1}"
        raise record.error("mask", f"is {found}", "Save it in labelme again.")
    return encode_window(window, x0, y0, height, width)


def _points(record: Record) -> list[list[float]]:
    points = record.values.get("points")
    pairs: list[Any] = points if isinstance(points, list) else [None]
    if not all(isinstance(pair, list) and len(pair) == 2 and all(map(is_number, pair)) for pair in pairs):
        raise record.error("points", f"is {shown(points)}, expected a list of [x, y]", "Draw it again.")
    if any(abs(value) > FARTHEST for pair in pairs for value in pair):
        raise record.error("points", "lies outside of all pictures", "Draw it again.")
    return pairs


def _picture_of(record: Record) -> NDArray[np.bool_]:
    try:
        data = base64.b64decode(record.text("mask"), validate=True)
        return np.asarray(read_png(data).convert("L")) != 0
    except PngError as error:
        raise record.error("mask", str(error), "Save it in labelme again.") from None
    except ValueError as error:
        raise record.error("mask", f"is not base64 ({error})", "Save it in labelme again.") from None


def _facts(record: Record) -> dict[str, Any]:
    """Flags and description; a flag by the name of one of OVIS' labels is that label."""
    flags = record.values.get("flags") or {}
    if not isinstance(flags, dict):
        raise record.error("flags", f"is {shown(flags)}, expected an object", "Correct the shape.")
    labels = [name for name in OCCLUSION_LABELS if flags.get(name) is True]
    facts: dict[str, Any] = {"occlusion": labels[-1]} if labels else {}
    others = {name: value for name, value in flags.items() if name not in OCCLUSION_LABELS}
    facts |= {"flags": others} if others else {}
    return facts | ({"description": record.values["description"]} if record.values.get("description") else {})


def _picture(document: Record) -> str:
    """Name of a frame's picture; labelme on Windows writes backslashes."""
    return PureWindowsPath(document.text("imagePath")).name


def _tracks(
    parts: Mapping[_Key, Mapping[int, Sequence[Rle]]],
    facts: Mapping[_Key, Mapping[int, Mapping[str, Any]]],
    length: int,
    notes: dict[str, int],
) -> tuple[ObjectTrack, ...]:
    groups = [group for _, group in parts]
    tracks: list[ObjectTrack] = []
    for label, group in sorted(parts, key=lambda key: (key[1], key[0])):
        masks: list[Rle | None] = [None] * length
        for t, shapes in parts[label, group].items():
            whole = merge_masks(shapes)
            masks[t] = whole if areas([whole])[0] else None
            notes[VANISHED] += masks[t] is None
        names = dict.fromkeys(name for known in facts[label, group].values() for name in known)
        per_frame = {
            name: tuple(facts[label, group].get(t, {}).get(name) if masks[t] else None for t in range(length))
            for name in names
        }
        shared = groups.count(group) > 1  # labelme allows one group for several labels
        number = len(tracks) + 1 + max(groups) if shared else group
        tracks.append(ObjectTrack(number, label, tuple(masks), False, per_frame, {"group_id": group} if shared else {}))
    return tuple(tracks)
