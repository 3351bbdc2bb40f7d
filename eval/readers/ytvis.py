"""YouTube-VIS and OVIS annotations and results, and what the synthetic world adds to them.

Strict where the official loader is not: there a second annotation of the same id replaces the first, short tracks are
cut off by `zip`, and masks of another size count as found.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pycocotools import mask as mask_api

from eval.errors import SchemaError
from eval.readers.record import Category, Record, by_id, categories, load_json, load_object, records, shown, table
from eval.readers.segmentation import read_mask
from eval.rle import Rle, areas
from eval.tube_ap import Tube

OCCLUSION_LABELS = ("no_occlusion", "slight_occlusion", "severe_occlusion")

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Video:
    """A video; `length` is its number of frames, `file_names` is empty where the file names none."""

    id: int
    name: str
    width: int
    height: int
    length: int
    file_names: tuple[str, ...]


@dataclass(frozen=True)
class Track:
    """One annotated object in one video; every tuple has one entry per frame.

    Attributes:
        id: The annotation's id, its own in the file.
        video_id: The video.
        category_id: The category.
        iscrowd: Whether it stands for many objects.
        segmentations: Masks; None where the object is not to be seen.
        bboxes: (x, y, width, height) in pixels, from the masks where the file states none; None without a mask.
        areas: Pixels as stated, from the masks where the file states none; None or 0 without a mask.
        occlusion: OVIS' labels (OCCLUSION_LABELS or None), or None where the file has none.
        extra: The record's other fields. Of those `hidden` (fraction or None), `in_front_of` (list of ids or None) and
            `amodal_segmentations` (decoded as `segmentations` are) have one entry per frame.
    """

    id: int
    video_id: int
    category_id: int
    iscrowd: bool
    segmentations: tuple[Rle | None, ...]
    bboxes: tuple[Box | None, ...]
    areas: tuple[float | None, ...]
    occlusion: tuple[str | None, ...] | None
    extra: Mapping[str, Any]

    def tube(self) -> Tube:
        """The track as the evaluator takes it."""
        return Tube(self.video_id, self.category_id, self.segmentations, iscrowd=self.iscrowd, areas=self.areas)


@dataclass(frozen=True)
class YtvisDataset:
    """An annotation file; without annotations (a published test set) `tracks` is empty."""

    path: Path
    videos: tuple[Video, ...]
    tracks: tuple[Track, ...]
    categories: tuple[Category, ...]
    has_annotations: bool

    def __repr__(self) -> str:
        return (
            f"YtvisDataset({self.path.name}: {len(self.videos)} videos, {len(self.tracks)} tracks, "
            f"{len(self.categories)} categories)"
        )

    def tubes(self) -> list[Tube]:
        """The ground truth for `tube_ap`.

        Raises:
            SchemaError: The file has no annotations, against which everything would score nothing.
        """
        if not self.has_annotations:
            raise SchemaError(f"{self.path.name} has no annotations to score against. Give the file that has them.")
        return [track.tube() for track in self.tracks]


def read_ytvis(path: str | Path) -> YtvisDataset:
    """Read an annotation file of YouTube-VIS, OVIS or the synthetic world.

    Raises:
        SchemaError: There is no such file, or a record does not fit.
    """
    document = load_object(path)
    videos = table(document, "videos", _video)
    names = categories(document)
    tracks: tuple[Track, ...] = ()
    has_annotations = document.values.get("annotations") is not None
    if has_annotations:
        by_video, by_category = by_id(videos), by_id(names)
        tracks = table(document, "annotations", lambda record: _track(record, by_video, by_category))
    return YtvisDataset(Path(path), videos, tracks, names, has_annotations)


def read_ytvis_results(path: str | Path, dataset: YtvisDataset) -> list[Tube]:
    """Read a results.json: a list of {video_id, category_id, score, segmentations}, in file order.

    Args:
        path: The file.
        dataset: The annotations that it answers; they need not be known, only videos and categories.

    Raises:
        SchemaError: There is no such file, or a record does not fit the dataset.
    """
    file = Path(path).name
    videos, names = by_id(dataset.videos), by_id(dataset.categories)
    return [_result(record, videos, names) for record in records(load_json(path), "", file)]


def _video(record: Record) -> Video:
    files = record.values.get("file_names") or []
    if not isinstance(files, list) or not all(isinstance(name, str) for name in files):
        raise record.error("file_names", f"is {shown(files)}, expected a list of names", "Correct the record.")
    length = record.integer("length") if "length" in record.values else len(files)
    if length < 1:
        raise record.error("length", f"is {length}, but a video has at least one frame", "Remove the video.")
    if files and len(files) != length:
        raise record.error("file_names", f"has {len(files)} entries, but length is {length}", "Correct either.")
    return Video(
        id=record.integer("id"),
        name=record.text("name", default=""),
        width=record.positive("width"),
        height=record.positive("height"),
        length=length,
        file_names=tuple(files),
    )


def _track(record: Record, videos: Mapping[int, Video], names: Mapping[int, Category]) -> Track:
    video = videos[record.known("video_id", videos, "video")]
    masks = _masks(record, "segmentations", video)
    extra = record.extra("id", "video_id", "category_id", "iscrowd", "segmentations", "bboxes", "areas", "occlusion")
    for field, read in (("hidden", record.fraction), ("in_front_of", record.ids)):
        if field in extra:
            entries = enumerate(_entries(record, field, video))
            extra[field] = tuple(read(value, f"{field}[{t}]") for t, value in entries)
    if "amodal_segmentations" in extra:
        extra["amodal_segmentations"] = _masks(record, "amodal_segmentations", video)
    return Track(
        id=record.integer("id"),
        video_id=video.id,
        category_id=record.known("category_id", names, "category"),
        iscrowd=record.flag("iscrowd"),
        segmentations=masks,
        bboxes=_bboxes(record, masks, video),
        areas=_areas(record, masks, video),
        occlusion=_occlusion(record, video),
        extra=extra,
    )


def _result(record: Record, videos: Mapping[int, Video], names: Mapping[int, Category]) -> Tube:
    video = videos[record.known("video_id", videos, "video")]
    return Tube(
        video_id=video.id,
        category_id=record.known("category_id", names, "category"),
        masks=_masks(record, "segmentations", video),
        score=record.number("score"),
    )


def _entries(record: Record, field: str, video: Video) -> list[Any]:
    return record.entries(field, video.length, f"video {video.id}")


def _masks(record: Record, field: str, video: Video) -> tuple[Rle | None, ...]:
    return tuple(
        read_mask(value, video.height, video.width, record, f"{field}[{t}]")
        for t, value in enumerate(_entries(record, field, video))
    )


def _bboxes(record: Record, masks: tuple[Rle | None, ...], video: Video) -> tuple[Box | None, ...]:
    stated = [None] * video.length
    if record.values.get("bboxes") is not None:
        stated = _entries(record, "bboxes", video)
    boxes: list[Box | None] = []
    for t, (value, mask) in enumerate(zip(stated, masks, strict=True)):
        if mask is None:
            boxes.append(None)
        elif value:
            boxes.append(record.box(value, f"bboxes[{t}]"))
        else:
            x, y, width, height = mask_api.toBbox(mask).tolist()
            boxes.append((x, y, width, height))
    return tuple(boxes)


def _areas(record: Record, masks: tuple[Rle | None, ...], video: Video) -> tuple[float | None, ...]:
    if record.values.get("areas") is None:
        pixels = areas(masks).tolist()
        return tuple(None if mask is None else float(area) for mask, area in zip(masks, pixels, strict=True))
    stated = _entries(record, "areas", video)
    return tuple(None if value is None else record.finite(value, f"areas[{t}]") for t, value in enumerate(stated))


def _occlusion(record: Record, video: Video) -> tuple[str | None, ...] | None:
    if record.values.get("occlusion") is None:
        return None
    labels = _entries(record, "occlusion", video)
    for t, label in enumerate(labels):
        if label is not None and label not in OCCLUSION_LABELS:
            expected = f"expected one of {', '.join(OCCLUSION_LABELS)} or null"
            raise record.error(f"occlusion[{t}]", f"is {shown(label)}, {expected}", "Correct the record.")
    return tuple(labels)
