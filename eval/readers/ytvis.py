"""YouTube-VIS and OVIS annotations and results, and what the synthetic world adds to them.

Strict where the official loader is not: there a second annotation of the same id replaces the first, short tracks are
cut off by `zip`, and masks of another size count as found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pycocotools import mask as mask_api

from eval.errors import SchemaError
from eval.readers.record import (
    Category,
    Record,
    by_id,
    categories,
    load_json,
    load_object,
    records,
    refuse_strangers,
    shown,
    table,
)
from eval.readers.track_masks import TrackMasks, WrittenTrack, read_masks_of_any_size, read_track_masks
from eval.rle import Rle
from eval.tube_ap import OCCLUSION_SCORES, Tube, occlusion_score

OCCLUSION_LABELS = tuple(OCCLUSION_SCORES)

_LARGEST_AREA = 2**53  # whole numbers up to it are floats

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
        return Tube(
            self.video_id,
            self.category_id,
            self.segmentations,
            iscrowd=self.iscrowd,
            areas=self.areas,
            occlusion=None if self.occlusion is None else occlusion_score(self.occlusion),
        )


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
    videos = table(document, "videos", read_video)
    names = categories(document)
    tracks: tuple[Track, ...] = ()
    has_annotations = document.values.get("annotations") is not None
    if has_annotations:
        tracks = _tracks(table(document, "annotations", lambda record: record), by_id(videos), by_id(names))
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
    found = list(records(load_json(path), "", file))
    of = [videos[record.known("video_id", videos, "video")] for record in found]
    for record in found:
        record.known("category_id", names, "category")
    return result_tubes(found, of)


def result_tubes(found: Sequence[Record], videos: Sequence[Video], official: bool = False) -> list[Tube]:
    """Predictions as the evaluator takes them.

    Args:
        found: Records of a results file, of videos and categories that are known.
        videos: The video of each.
        official: Accept what the official evaluator accepts: tracks that are longer or shorter than their video, masks
            of another size, scores that are not finite.

    Raises:
        SchemaError: A record does not fit its video.
    """
    scores = [record.any_number("score") if official else record.number("score") for record in found]
    masks = _read_masks(found, videos, "segmentations", official)
    return [
        Tube(video.id, record.integer("category_id"), tube.masks, score, runs=tube.runs)
        for record, video, score, tube in zip(found, videos, scores, masks, strict=True)
    ]


def annotation_tubes(annotations: Sequence[Record], videos: Sequence[Video], official: bool = False) -> list[Tube]:
    """Annotations as the evaluator takes them, without the fields that it does not need.

    Args:
        annotations: Records of an annotation file, of videos and categories that are known.
        videos: The video of each.
        official: Accept what the official evaluator accepts, and count matches of id 0 as none, as it does.

    Raises:
        SchemaError: A record does not fit its video.
    """
    masks = _read_masks(annotations, videos, "segmentations", official)
    return [
        _annotation_tube(record, video, tube, official)
        for record, video, tube in zip(annotations, videos, masks, strict=True)
    ]


def _annotation_tube(record: Record, video: Video, tube: TrackMasks, official: bool) -> Tube:
    length = len(tube.masks)  # that of the video, unless official
    labels = _occlusion(record, video, length)
    return Tube(
        video_id=video.id,
        category_id=record.integer("category_id"),
        masks=tube.masks,
        iscrowd=record.flag("iscrowd"),
        areas=_stated_areas(record, video, length, official),
        occlusion=None if labels is None else occlusion_score(labels),
        lost=official and record.integer("id") == 0,
        runs=tube.runs,
    )


def read_video(record: Record) -> Video:
    """A record of `videos`."""
    files = record.values.get("file_names") or []
    if not isinstance(files, list) or not all(isinstance(name, str) for name in files):
        raise record.error("file_names", f"is {shown(files)}, expected a list of names", "Correct the record.")
    length = record.integer("length") if "length" in record.values else len(files)
    if length < 1:
        raise record.error("length", f"is {length}, but a video has at least one frame", "Remove the video.")
    if files and len(files) != length:
        raise record.error("file_names", f"has {len(files)} entries, but length is {length}", "Correct either.")
    height, width = record.extent()
    return Video(
        id=record.integer("id"),
        name=record.text("name", default=""),
        width=width,
        height=height,
        length=length,
        file_names=tuple(files),
    )


def _tracks(
    annotations: Sequence[Record], videos: Mapping[int, Video], names: Mapping[int, Category]
) -> tuple[Track, ...]:
    of = [videos[record.known("video_id", videos, "video")] for record in annotations]
    for record in annotations:
        record.known("category_id", names, "category")
    masks = _read_masks(annotations, of, "segmentations")
    amodal = [i for i, record in enumerate(annotations) if "amodal_segmentations" in record.values]
    whole = _read_masks([annotations[i] for i in amodal], [of[i] for i in amodal], "amodal_segmentations")
    amodal_masks = {i: tube.masks for i, tube in zip(amodal, whole, strict=True)}
    tracks = tuple(
        _track(record, video, tube, amodal_masks.get(i))
        for i, (record, video, tube) in enumerate(zip(annotations, of, masks, strict=True))
    )
    video_of = {track.id: track.video_id for track in tracks}
    for record, track in zip(annotations, tracks, strict=True):
        for t, behind in enumerate(track.extra.get("in_front_of", ())):
            refuse_strangers(record, f"in_front_of[{t}]", behind, video_of, track.id, track.video_id)
    return tracks


def _track(record: Record, video: Video, tube: TrackMasks, amodal: tuple[Rle | None, ...] | None) -> Track:
    extra = record.extra("id", "video_id", "category_id", "iscrowd", "segmentations", "bboxes", "areas", "occlusion")
    for field, read in (("hidden", record.fraction), ("in_front_of", record.ids)):
        if field in extra:
            entries = enumerate(_entries(record, field, video))
            extra[field] = tuple(read(value, f"{field}[{t}]") for t, value in entries)
    if amodal is not None:
        extra["amodal_segmentations"] = amodal
    return Track(
        id=record.integer("id"),
        video_id=video.id,
        category_id=record.integer("category_id"),
        iscrowd=record.flag("iscrowd"),
        segmentations=tube.masks,
        bboxes=_bboxes(record, tube.masks, video),
        areas=_areas(record, tube, video),
        occlusion=_occlusion(record, video, video.length),
        extra=extra,
    )


def _entries(record: Record, field: str, video: Video) -> list[Any]:
    return record.entries(field, video.length, f"video {video.id}")


def _any_entries(record: Record, field: str) -> list[Any]:
    """A list of any length."""
    values = record.values.get(field)
    return values if isinstance(values, list) else record.entries(field, 1, "its video")


def _read_masks(
    found: Sequence[Record], videos: Sequence[Video], field: str, official: bool = False
) -> list[TrackMasks]:
    if official:
        return [
            read_masks_of_any_size(WrittenTrack(_any_entries(record, field), video.height, video.width, record, field))
            for record, video in zip(found, videos, strict=True)
        ]
    return read_track_masks(
        [
            WrittenTrack(_entries(record, field, video), video.height, video.width, record, field)
            for record, video in zip(found, videos, strict=True)
        ]
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


def _areas(record: Record, tube: TrackMasks, video: Video) -> tuple[float | None, ...]:
    stated = _stated_areas(record, video, video.length)
    if stated is not None:
        return stated
    pixels = tube.runs.extents[:, 0].tolist()
    return tuple(None if mask is None else float(area) for mask, area in zip(tube.masks, pixels, strict=True))


def _stated_areas(record: Record, video: Video, length: int, official: bool = False) -> tuple[float | None, ...] | None:
    if record.values.get("areas") is None:
        return None
    stated = record.entries("areas", length, f"video {video.id}")
    if set(map(type, stated)) <= {int, float, type(None)}:
        numbers = [value or 0 for value in stated]
        if (
            min(numbers, default=0) >= 0 and max(numbers, default=0) <= _LARGEST_AREA and sum(numbers) >= 0
        ):  # the sum is none with a NaN
            return tuple(stated)
    check = record.finite if official else record.not_negative
    return tuple(None if value is None else check(value, f"areas[{t}]") for t, value in enumerate(stated))


def _occlusion(record: Record, video: Video, length: int) -> tuple[str | None, ...] | None:
    if record.values.get("occlusion") is None:
        return None
    labels = record.entries("occlusion", length, f"video {video.id}")
    for t, label in enumerate(labels):
        if label is not None and label not in OCCLUSION_LABELS:
            expected = f"expected one of {', '.join(OCCLUSION_LABELS)} or null"
            raise record.error(f"occlusion[{t}]", f"is {shown(label)}, {expected}", "Correct the record.")
    return tuple(labels)
