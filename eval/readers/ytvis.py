"""YouTube-VIS and OVIS annotations and results, and what the synthetic world adds to them.

All of a file at once, for training and for scores of files in memory. What of it the evaluator needs, and how it is
checked, is in `ytvis_tubes`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pycocotools import mask as mask_api

from eval.errors import SchemaError
from eval.readers.entries import Entry, stream_object
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
from eval.readers.track_masks import TrackMasks
from eval.readers.ytvis_tubes import (
    Video,
    frame_entries,
    masks_by_frame,
    occlusion_labels,
    read_video,
    result_tubes,
    stated_areas,
)
from eval.rle import Rle
from eval.tube_ap import Tube, occlusion_score

Box = tuple[float, float, float, float]


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
        occlusion: OVIS' labels (one of OCCLUSION_SCORES or None), or None where the file has none.
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


@dataclass(frozen=True)
class YtvisIndex:
    """An annotation file of any size, of which only the places of the annotations are in memory.

    Attributes:
        path: The file.
        videos: In file order.
        categories: In file order.
        has_annotations: Whether there is a list of annotations, be it empty.
        entries: The places of the annotations, in file order.
    """

    path: Path
    videos: tuple[Video, ...]
    categories: tuple[Category, ...]
    has_annotations: bool
    entries: tuple[Entry, ...]

    def tracks(self) -> Iterator[Track]:
        """The annotations one by one, each read and checked when it is asked for.

        Raises:
            SchemaError: A record does not fit.
        """
        videos, names = by_id(self.videos), by_id(self.categories)
        video_of = {entry.record.integer("id"): entry.record.integer("video_id") for entry in self.entries}
        for entry in self.entries:
            yield _tracks([entry.read()], videos, names, video_of)[0]


def index_ytvis(path: str | Path) -> YtvisIndex:
    """Find the annotations of a file as `read_ytvis` takes it, in the memory of one of them.

    Raises:
        SchemaError: There is no such file, or a record other than an annotation does not fit.
    """
    path = Path(path)
    entries: list[Entry] = []
    document = stream_object(path, "annotations", lambda item: entries.append(Entry(path, item, whole=False)))
    # a stream passes over lists without records
    if not (entries and {"videos", "categories"} <= document.values.keys()):
        document = load_object(path)
    annotations = document.values.get("annotations")
    if not entries and annotations not in (None, []):
        raise document.error("annotations", f"is {shown(annotations)}, expected a list", "Correct the file.")
    videos, names = table(document, "videos", read_video), categories(document)
    seen: dict[int, str] = {}
    for record in (entry.record for entry in entries):
        first = seen.setdefault(record.integer("id"), record.where)
        if first != record.where:
            raise record.error("id", f"is {record.integer('id')}, as that of {first}", "Give every record its own id.")
        record.integer("video_id")
    return YtvisIndex(path, videos, names, bool(entries) or annotations is not None, tuple(entries))


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


def _tracks(
    annotations: Sequence[Record],
    videos: Mapping[int, Video],
    names: Mapping[int, Category],
    video_of: Mapping[int, int] | None = None,
) -> tuple[Track, ...]:
    """Checked annotations; `video_of` says of which video each is, if these are not all of the file's."""
    of = [videos[record.known("video_id", videos, "video")] for record in annotations]
    for record in annotations:
        record.known("category_id", names, "category")
    masks = masks_by_frame(annotations, of, "segmentations")
    amodal = [i for i, record in enumerate(annotations) if "amodal_segmentations" in record.values]
    whole = masks_by_frame([annotations[i] for i in amodal], [of[i] for i in amodal], "amodal_segmentations")
    amodal_masks = {i: tube.masks for i, tube in zip(amodal, whole, strict=True)}
    tracks = tuple(
        _track(record, video, tube, amodal_masks.get(i))
        for i, (record, video, tube) in enumerate(zip(annotations, of, masks, strict=True))
    )
    video_of = video_of or {track.id: track.video_id for track in tracks}
    for record, track in zip(annotations, tracks, strict=True):
        for t, behind in enumerate(track.extra.get("in_front_of", ())):
            refuse_strangers(record, f"in_front_of[{t}]", behind, video_of, track.id, track.video_id)
    return tracks


def _track(record: Record, video: Video, tube: TrackMasks, amodal: tuple[Rle | None, ...] | None) -> Track:
    extra = record.extra("id", "video_id", "category_id", "iscrowd", "segmentations", "bboxes", "areas", "occlusion")
    for field, read in (("hidden", record.fraction), ("in_front_of", record.ids)):
        if field in extra:
            entries = enumerate(frame_entries(record, field, video))
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
        occlusion=occlusion_labels(record, video, video.length),
        extra=extra,
    )


def _bboxes(record: Record, masks: tuple[Rle | None, ...], video: Video) -> tuple[Box | None, ...]:
    stated = [None] * video.length
    if record.values.get("bboxes") is not None:
        stated = frame_entries(record, "bboxes", video)
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
    stated = stated_areas(record, video, video.length)
    if stated is not None:
        return stated
    pixels = tube.runs.extents[:, 0].tolist()
    return tuple(None if mask is None else float(area) for mask, area in zip(tube.masks, pixels, strict=True))
