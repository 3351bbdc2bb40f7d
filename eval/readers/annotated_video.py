"""A video as people annotate it, whatever the tool: objects with masks, one per frame, and what else was said of them.

The common ground of CVAT, labelme, MOTS images, COCO with track ids and YouTube-VIS. Each format is read into this form
and written from it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from eval.errors import SchemaError
from eval.readers.ytvis import Track, YtvisDataset
from eval.readers.ytvis_tubes import Video
from eval.rle import Rle, areas

BOXES = "frames are boxes, written as filled rectangles"
VANISHED = "shapes cover no pixel and are left out"
EMPTY = "tracks are never seen and are left out"
FROM_ONE = "sequences have no image 0 and are taken to count from 1; give --frames where they do not"
PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
VIDEOS = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".3gp", ".ts", ".mts", ".gif")

Key = TypeVar("Key", bound=int | str)

PER_FRAME = ("occlusion", "hidden", "in_front_of", "amodal_segmentations")
"""Facts of a frame that our own formats know by name; `in_front_of` holds ids of tracks of the video."""


@dataclass(frozen=True)
class ObjectTrack:
    """One object through a video.

    Attributes:
        id: Its own among the video's.
        label: Name of its class.
        masks: One per frame; None where nothing of it is to be seen.
        iscrowd: Whether it stands for many objects.
        per_frame: What else is known of it frame by frame, by name: one entry per frame, None where nothing is.
        extra: What else is known of it as a whole, by name.
    """

    id: int
    label: str
    masks: tuple[Rle | None, ...]
    iscrowd: bool = False
    per_frame: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class AnnotatedVideo:
    """A video and its objects.

    Attributes:
        name: Its own in the data set.
        height, width: Of its frames, in pixels.
        length: Its number of frames.
        frame_names: Paths of its pictures below their root, where the format knows them; else empty.
        classes: Ids of classes by name, also of those without objects.
        tracks: Its objects.
        source: Where it was read, for errors.
        source_frames: Number of each frame in the file that the video was taken from.
        open_ended: Whether frames without objects may follow the last, as where they have no image and nothing says
            how many there are.
        media: Name of the file that was annotated, where the format says it; else empty.
        notes: What the reader did that is worth a word (BOXES, VANISHED, EMPTY, FROM_ONE), and how often.
        remarks: What else is worth a word, in sentences.
    """

    name: str
    height: int
    width: int
    length: int
    frame_names: tuple[str, ...]
    classes: Mapping[str, int]
    tracks: tuple[ObjectTrack, ...]
    source: str
    source_frames: Sequence[int] = ()
    open_ended: bool = False
    media: str = ""
    notes: Mapping[str, int] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        ids = [track.id for track in self.tracks]
        if len(set(ids)) < len(ids):
            raise ValueError(f"Tracks of a video need ids of their own, found {sorted(ids)}.")
        per_frame = [values for track in self.tracks for values in (track.masks, *track.per_frame.values())]
        if any(len(values) != self.length for values in per_frame):
            raise ValueError(f"Everything said of a track needs one entry for each of the {self.length} frames.")


def from_ytvis(dataset: YtvisDataset) -> list[AnnotatedVideo]:
    """The videos of a YouTube-VIS or OVIS file; a mask without a pixel is none.

    Raises:
        SchemaError: It has no videos or no annotations.
    """
    if not dataset.videos:
        raise SchemaError(f"{dataset.path.name} has no videos to convert. Give the file that has them.")
    if not dataset.has_annotations:
        raise SchemaError(f"{dataset.path.name} has no annotations to convert. Give the file that has them.")
    names = {category.id: category.name for category in dataset.categories}
    classes = {category.name: category.id for category in dataset.categories}
    tracks: dict[int, list[ObjectTrack]] = {video.id: [] for video in dataset.videos}
    called, vanished = _names(dataset.videos), dict.fromkeys(tracks, 0)
    for track in dataset.tracks:
        found = _object(track, names[track.category_id])
        tracks[track.video_id].append(found)
        vanished[track.video_id] += found.masks.count(None) - track.segmentations.count(None)
    return [
        AnnotatedVideo(
            name=file_name(called[video.id]),
            height=video.height,
            width=video.width,
            length=video.length,
            frame_names=video.file_names,
            classes=classes,
            tracks=tuple(tracks[video.id]),
            source=dataset.path.name,
            notes={VANISHED: vanished[video.id]},
        )
        for video in dataset.videos
    ]


def refuse_same_videos(videos: Sequence[AnnotatedVideo]) -> None:
    """Videos are told apart by name, in files and folders.

    Raises:
        SchemaError: Two have one name.
    """
    first: dict[str, str] = {}
    for video in videos:
        if video.name in first:
            places = " and ".join(sorted({first[video.name], video.source}))
            raise SchemaError(f"Two videos are named '{video.name}' ({places}). Give every video its own name.")
        first[video.name] = video.source


def prolonged(video: AnnotatedVideo, length: int) -> AnnotatedVideo:
    """The video with frames without objects at its end, up to a length."""
    rest = (None,) * (length - video.length)
    tracks = tuple(
        replace(
            track,
            masks=track.masks + rest,
            per_frame={name: values + rest for name, values in track.per_frame.items()},
        )
        for track in video.tracks
    )
    return replace(video, length=length, tracks=tracks, source_frames=range(length), open_ended=False)


def file_name(text: str) -> str:
    """A text as the name of a file or folder, and never of one elsewhere."""
    name = text.replace("/", "_").replace("\\", "_").strip()
    return name if name.strip(".") else "video"


def folder_name(folder: Path) -> str:
    """Name of a folder, also of `.` and `..`."""
    return folder.name if folder.name.strip(".") else folder.resolve().name


def parent_folder(name: str) -> str:
    """What a file name says before its last slash or backslash."""
    return name.replace("\\", "/").rpartition("/")[0]


def short_names(folders: Mapping[Key, str]) -> dict[Key, str]:
    """The last folder of each video, with as many of those above it as tell all apart: `A_img1`.

    The id of a video counts as a folder where several lie in one.

    Args:
        folders: Of videos by id, or by themselves where videos have none.
    """
    shared = Counter(folders.values())
    parts = {
        key: [*folder.strip("/").split("/"), *([str(key)] if shared[folder] > 1 and isinstance(key, int) else [])]
        for key, folder in folders.items()
    }
    joined: dict[Key, str] = {}
    for depth in range(1, max(map(len, parts.values()), default=0) + 1):
        joined = {key: "_".join(part[-depth:]) for key, part in parts.items()}
        if len(set(joined.values())) == len(joined):
            break
    return joined


def video_stem(name: str) -> str:
    """Name of a video, or of a picture that is one, without the suffix of its file; `cam.1` has none."""
    stem, dot, suffix = name.rpartition(".")
    return stem if stem and (dot + suffix).lower() in (*VIDEOS, *PICTURES) else name


def counted(number: int, noun: str) -> str:
    """A number and what it counts: `1 video`, `2 videos`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def natural_key(name: str) -> list[tuple[int, str]]:
    """Sorts img2 before img10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]+)", name)]


def _object(track: Track, label: str) -> ObjectTrack:
    length = len(track.segmentations)
    extra = dict(track.extra)
    per_frame = {name: tuple(extra.pop(name)) for name in PER_FRAME if extra.get(name) is not None}
    if track.occlusion is not None:
        per_frame["occlusion"] = track.occlusion
    for name, value in list(extra.items()):
        if isinstance(value, list) and len(value) == length and name not in ("segmentations", "bboxes", "areas"):
            per_frame[name] = tuple(extra.pop(name))
    extent = {"width", "height", "length"}  # of the video, as official files repeat it in annotations
    extra = {name: value for name, value in extra.items() if name not in extent}
    pixels = areas(track.segmentations).tolist()
    masks = tuple(mask if area else None for mask, area in zip(track.segmentations, pixels, strict=True))
    return ObjectTrack(track.id, label, masks, track.iscrowd, per_frame, extra)


def _names(videos: Sequence[Video]) -> dict[int, str]:
    """Names of videos by id; those that are called as the folder of their frames are told apart by folders above."""
    folders = {video.id: parent_folder(video.file_names[0]) for video in videos if video.file_names}
    unnamed = {video.id for video in videos if video.name == folders.get(video.id, "").rpartition("/")[2]}
    names = {video.id: video.name for video in videos}
    return names | short_names({number: folder for number, folder in folders.items() if number in unnamed})
