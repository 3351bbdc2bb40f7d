"""What the evaluator needs of YouTube-VIS and OVIS records: a video's extent, and tracks as tubes. Nothing of the rest.

Strict where the official loader is not: there short tracks are cut off by `zip`, and masks of another size count as
found. `official` accepts those, as it does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from eval.readers.record import Record, shown
from eval.readers.track_masks import TrackMasks, WrittenTrack, read_masks_of_any_size, read_track_masks
from eval.tube_ap import OCCLUSION_SCORES, Tube, occlusion_score

OCCLUSION_LABELS = tuple(OCCLUSION_SCORES)

_LARGEST_AREA = 2**53  # whole numbers up to it are floats


@dataclass(frozen=True)
class Video:
    """A video; `length` is its number of frames, `file_names` is empty where the file names none.

    `name` is the record's, or the folder that its frames lie in, or its id: the benchmarks' own files have no names.
    """

    id: int
    name: str
    width: int
    height: int
    length: int
    file_names: tuple[str, ...]


def read_video(record: Record) -> Video:
    """A record of `videos`."""
    files = record.values.get("file_names") or []
    if not isinstance(files, list) or not all(isinstance(name, str) for name in files):
        raise record.error("file_names", f"is {shown(files)}, expected a list of names", "Correct the record.")
    if not files and "length" not in record.values:
        cure = "Convert a COCO file of videos to YouTube-VIS format first (tools/convert_dataset.py)."
        raise record.error("", "has neither length nor file_names", cure)
    length = record.integer("length") if "length" in record.values else len(files)
    if length < 1:
        raise record.error("length", f"is {length}, but a video has at least one frame", "Remove the video.")
    if files and len(files) != length:
        raise record.error("file_names", f"has {len(files)} entries, but length is {length}", "Correct either.")
    height, width = record.extent()
    video_id = record.integer("id")
    folder = PurePosixPath(files[0].replace("\\", "/")).parent.name if files else ""
    return Video(
        id=video_id,
        name=record.text("name", default="") or folder or str(video_id),
        width=width,
        height=height,
        length=length,
        file_names=tuple(files),
    )


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
    masks = masks_by_frame(found, videos, "segmentations", official)
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
    masks = masks_by_frame(annotations, videos, "segmentations", official)
    return [
        _annotation_tube(record, video, tube, official)
        for record, video, tube in zip(annotations, videos, masks, strict=True)
    ]


def _annotation_tube(record: Record, video: Video, tube: TrackMasks, official: bool) -> Tube:
    length = len(tube.masks)  # that of the video, unless official
    labels = occlusion_labels(record, video, length)
    return Tube(
        video_id=video.id,
        category_id=record.integer("category_id"),
        masks=tube.masks,
        iscrowd=record.flag("iscrowd"),
        areas=stated_areas(record, video, length, official),
        occlusion=None if labels is None else occlusion_score(labels),
        lost=official and record.integer("id") == 0,
        runs=tube.runs,
    )


def frame_entries(record: Record, field: str, video: Video) -> list[Any]:
    """A list with one entry per frame of the video."""
    return record.entries(field, video.length, f"video {video.id}")


def _any_entries(record: Record, field: str) -> list[Any]:
    """A list of any length."""
    values = record.values.get(field)
    return values if isinstance(values, list) else record.entries(field, 1, "its video")


def masks_by_frame(
    found: Sequence[Record], videos: Sequence[Video], field: str, official: bool = False
) -> list[TrackMasks]:
    """The masks that a field of each record holds, one per frame of its video.

    Args:
        found: Records.
        videos: The video of each.
        field: That holds the masks.
        official: Accept any number of masks, and of any size.

    Raises:
        SchemaError: A value is no mask or, unless official, does not fit the video.
    """
    if official:
        return [
            read_masks_of_any_size(WrittenTrack(_any_entries(record, field), video.height, video.width, record, field))
            for record, video in zip(found, videos, strict=True)
        ]
    return read_track_masks(
        [
            WrittenTrack(frame_entries(record, field, video), video.height, video.width, record, field)
            for record, video in zip(found, videos, strict=True)
        ]
    )


def stated_areas(record: Record, video: Video, length: int, official: bool = False) -> tuple[float | None, ...] | None:
    """Pixels per frame as an annotation states them; None where it states none.

    Args:
        record: The annotation.
        video: Its video.
        length: Entries that there must be.
        official: Accept areas that are negative.
    """
    if record.values.get("areas") is None:
        return None
    stated = record.entries("areas", length, f"video {video.id}")
    if set(map(type, stated)) <= {int, float, type(None)}:
        numbers = [value or 0 for value in stated]
        in_range = min(numbers, default=0) >= 0 and max(numbers, default=0) <= _LARGEST_AREA
        if in_range and sum(numbers) >= 0:  # which it is not with a NaN
            return tuple(stated)
    check = record.finite if official else record.not_negative
    return tuple(None if value is None else check(value, f"areas[{t}]") for t, value in enumerate(stated))


def occlusion_labels(record: Record, video: Video, length: int) -> tuple[str | None, ...] | None:
    """OVIS' label per frame, None where the object is not there; None where the annotation has no labels.

    Args:
        record: The annotation.
        video: Its video.
        length: Entries that there must be.

    Raises:
        SchemaError: A label is none that OVIS has.
    """
    if record.values.get("occlusion") is None:
        return None
    labels = record.entries("occlusion", length, f"video {video.id}")
    for t, label in enumerate(labels):
        if label is not None and label not in OCCLUSION_LABELS:
            expected = f"expected one of {', '.join(OCCLUSION_LABELS)} or null"
            raise record.error(f"occlusion[{t}]", f"is {shown(label)}, {expected}", "Correct the record.")
    return tuple(labels)
