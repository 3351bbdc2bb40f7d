"""COCO instance files whose annotations say which object they are, by `track_id` or, as in mmdet, `instance_id`.

Images say of which video they are (`video_id`) and where in it (`frame_id` or `frame_index`); where they do not, the
folder of the file name is the video, whatever it is called elsewhere, and its natural order the time. File names may
be those of Windows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.errors import SchemaError
from eval.readers.annotated_inputs import refuse_zip
from eval.readers.annotated_video import (
    BOXES,
    VANISHED,
    AnnotatedVideo,
    ObjectTrack,
    file_name,
    natural_key,
    parent_folder,
    short_names,
)
from eval.readers.coco import Annotation, Image, decode_annotations, read_images
from eval.readers.record import Record, by_id, categories, load_object, refuse_strangers, table
from eval.readers.segmentation import read_mask
from eval.rle import Rle, areas

_Key = int | str  # video_id, or the folder of images that have none

_PLACES = ("track_id", "instance_id", "video_id", "frame_id", "frame_index", "file_name")


def read_coco_tracks(path: str | Path) -> list[AnnotatedVideo]:
    """Read a COCO file of videos.

    Raises:
        SchemaError: There is no such file, or a record does not fit.
    """
    refuse_zip(Path(path), "the json in it")
    document = load_object(path)
    images, names = read_images(document), categories(document)
    if not images:
        raise SchemaError(f"{document.file} has no images, and so no videos to convert. Give the file that has them.")
    if document.values.get("annotations") is None:
        raise SchemaError(f"{document.file} has no annotations to convert. Give the file that has them.")
    written = table(document, "annotations", lambda record: record)
    annotations = decode_annotations(written, by_id(images), by_id(names))
    track_of = {record.integer("id"): _track_id(record) for record in written}
    image_of = {annotation.id: annotation.image_id for annotation in annotations}
    found: dict[int, list[tuple[Record, Annotation]]] = defaultdict(list)
    for record, annotation in zip(written, annotations, strict=True):
        behind = record.values.get("in_front_of")
        refuse_strangers(record, "in_front_of", behind, image_of, annotation.id, annotation.image_id)
        found[annotation.image_id].append((record, annotation))
    by_name = {category.id: category.name for category in names}
    return [_video(name, frames, found, track_of, by_name, document.file) for name, frames in _videos(document, images)]


def _track_id(record: Record) -> int:
    for name in ("track_id", "instance_id"):
        if record.values.get(name) is not None:
            return record.integer(name)
    raise record.error("", "has neither track_id nor instance_id", "Say which object it is, the same in every frame.")


def _videos(document: Record, images: Sequence[Image]) -> list[tuple[str, list[Image]]]:
    """The videos by order of appearance: their names, and their images in order of time."""
    ordered: dict[_Key, list[tuple[Any, Image]]] = defaultdict(list)
    records = [Record(v, f"images[{i}]", document.file) for i, v in enumerate(document.values["images"])]
    for record, image in zip(records, images, strict=True):
        known = record.values.get("video_id") is not None
        key = record.integer("video_id") if known else parent_folder(image.file_name)
        ordered[key].append((_time(record, image), image))
    names = _names(document, {key: parent_folder(frames[0][1].file_name) for key, frames in ordered.items()})
    return [(names[key], _in_order(names[key], frames, document.file)) for key, frames in ordered.items()]


def _names(document: Record, folders: Mapping[_Key, str]) -> dict[_Key, str]:
    """Names of videos: their own, else of their folders; of those without either, the id or that of the file."""
    own: dict[int, str] = {}
    if document.values.get("videos") is not None:
        own = dict(table(document, "videos", _named))
    names: dict[_Key, str] = {key: own[key] for key in folders if isinstance(key, int) and own.get(key)}
    names |= short_names({key: folder for key, folder in folders.items() if folder and key not in names})
    alone = {key: Path(document.file).stem if isinstance(key, str) else str(key) for key in folders}
    return {key: file_name(names.get(key) or alone[key]) for key in folders}


def _named(record: Record) -> tuple[int, str]:
    return record.integer("id"), record.text("name", default="")


def _time(record: Record, image: Image) -> tuple[bool, Any]:
    for name in ("frame_id", "frame_index"):
        if record.values.get(name) is not None:
            return False, record.integer(name)
    if not image.file_name:
        raise record.error("", "has neither frame_id nor file_name", "Say where in the video it is.")
    return True, natural_key(image.file_name)


def _in_order(name: str, frames: list[tuple[Any, Image]], file: str) -> list[Image]:
    frames.sort(key=lambda item: item[0])
    for (time, image), (after, other) in zip(frames, frames[1:], strict=False):
        if time == after:
            raise SchemaError(
                f"Images {image.id} and {other.id} are the same frame of video '{name}' ({file}). Number the frames."
            )
        if (image.height, image.width) != (other.height, other.width):
            sizes = f"{image.height} x {image.width} and {other.height} x {other.width} (height x width)"
            raise SchemaError(f"Images {image.id} and {other.id} of video '{name}' are {sizes} ({file}). Split it.")
    return [image for _, image in frames]


def _video(
    name: str,
    frames: Sequence[Image],
    found: Mapping[int, Sequence[tuple[Record, Annotation]]],
    track_of: Mapping[int, int],
    names: Mapping[int, str],
    file: str,
) -> AnnotatedVideo:
    rows: dict[int, dict[int, tuple[Record, Annotation]]] = defaultdict(dict)
    for t, image in enumerate(frames):
        for record, annotation in found.get(image.id, ()):
            row = rows[track_of[annotation.id]]
            if t in row:
                problem = f"is of track {track_of[annotation.id]} in image {image.id}, as {row[t][0].where}"
                raise record.error("", problem, "An object has one annotation per image.")
            row[t] = record, annotation
    boxes = sum(annotation.segmentation is None for row in rows.values() for _, annotation in row.values())
    tracks = tuple(_track(number, rows[number], len(frames), frames[0], track_of, names) for number in sorted(rows))
    seen = sum(mask is not None for track in tracks for mask in track.masks)
    file_names = tuple(image.file_name.replace("\\", "/") for image in frames)
    return AnnotatedVideo(
        name=name,
        height=frames[0].height,
        width=frames[0].width,
        length=len(frames),
        frame_names=file_names if all(file_names) else (),
        classes={label: number for number, label in names.items()},
        tracks=tracks,
        source=file,
        notes={BOXES: boxes, VANISHED: sum(map(len, rows.values())) - seen},
    )


def _track(
    number: int,
    row: Mapping[int, tuple[Record, Annotation]],
    length: int,
    frame: Image,
    track_of: Mapping[int, int],
    names: Mapping[int, str],
) -> ObjectTrack:
    first = next(iter(row.values()))[1]
    masks: list[Rle | None] = [None] * length
    facts: dict[str, list[Any]] = {}
    for t, (record, annotation) in row.items():
        if (annotation.category_id, annotation.iscrowd) != (first.category_id, first.iscrowd):
            problem = f"is of another category or iscrowd than annotation {first.id} of the same track {number}"
            raise record.error("", problem, "Give the track one class.")
        masks[t] = _mask(record, annotation, frame)
        for name, value in _facts(annotation, track_of).items():
            facts.setdefault(name, [None] * length)[t] = value
    per_frame = {name: tuple(values) for name, values in facts.items()}
    return ObjectTrack(number, names[first.category_id], tuple(masks), first.iscrowd, per_frame)


def _facts(annotation: Annotation, track_of: Mapping[int, int]) -> dict[str, Any]:
    """What else an annotation says, by the names that YouTube-VIS files give it."""
    facts = {name: value for name, value in annotation.extra.items() if name not in _PLACES and value is not None}
    if "amodal_segmentation" in facts:
        facts["amodal_segmentations"] = facts.pop("amodal_segmentation")
    if "in_front_of" in facts:
        facts["in_front_of"] = [track_of[number] for number in facts["in_front_of"]]
    return facts


def _mask(record: Record, annotation: Annotation, image: Image) -> Rle | None:
    """The mask of an annotation, or its box filled; None without a pixel."""
    mask = annotation.segmentation
    if mask is None:
        x, y, width, height = annotation.bbox
        corners = [x, y, x + width, y, x + width, y + height, x, y + height]
        mask = read_mask([corners], image.height, image.width, record, "bbox")
    return mask if areas([mask])[0] else None
