"""Annotated videos from one format to another, by way of `eval.readers.annotated_video`.

What a target has no place for is named, never dropped in silence; a YouTube-VIS file is read back before it counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from eval.errors import SchemaError
from eval.readers.annotated_inputs import refuse_zip
from eval.readers.annotated_pictures import pictures_in, refuse_other_sizes
from eval.readers.annotated_video import AnnotatedVideo, counted, from_ytvis, refuse_same_videos
from eval.readers.coco_tracks import read_coco_tracks
from eval.readers.cvat import read_cvat_video
from eval.readers.labelme import read_labelme
from eval.readers.mots_videos import read_mots_videos
from eval.readers.ytvis import index_ytvis, read_ytvis
from vos_occ.datasets.jsonl_videos import read_jsonl_video
from vos_occ.results.annotated_videos import (
    class_ids,
    write_coco_tracks,
    write_cvat_mots,
    write_mots_videos,
    write_ytvis_videos,
)
from vos_occ.results.cvat import write_cvat_video
from vos_occ.results.labelme import write_labelme
from vos_occ.results.output import require_new, whole_file
from vos_occ.structures.errors import InputError

SOURCES = ("ytvis", "cvat-video", "mots-png", "coco-track", "labelme", "jsonl")
TARGETS = ("ytvis", "cvat-video", "mots-png", "cvat-mots", "coco-track", "labelme")
"""`mots-png` reads CVAT's zips of MOTS images too, which `cvat-mots` writes; `jsonl` is what a model found."""

Shown = Callable[[Iterable[Any], str], Iterable[Any]]


@dataclass(frozen=True)
class Report:
    """What was converted.

    Attributes:
        videos, tracks, masks: how many.
        classes: ids by name.
        notes: what readers did that is worth a word, and how often.
        remarks: what else is worth a word, in sentences.
        left_out: what the target has no place for, by name.
        made_up: whether the names of frames are guesses.
    """

    videos: int
    tracks: int
    masks: int
    classes: dict[str, int]
    notes: Counter[str]
    remarks: tuple[str, ...]
    left_out: tuple[str, ...]
    made_up: bool


def read_videos(
    source: str,
    inputs: Sequence[Path],
    frames: Path | None = None,
    classes: Sequence[str] | None = None,
    shown: Shown = lambda items, _: items,
) -> list[AnnotatedVideo]:
    """The videos of some files or folders.

    Args:
        source: one of SOURCES.
        inputs: what holds them: files, or folders for labelme and mots-png, which takes zips as well.
        frames: folder with the pictures of each video in a folder of its name.
        classes: of mots-png: names of classes 1, 2, ..., with or without spaces around them.
        shown: wraps what is iterated over, to show progress.

    Raises:
        SchemaError: a file does not fit its format, or two videos have one name.
        InputError: an option that has no use here, or a class without a name.
    """
    if classes is not None and source != "mots-png":
        raise InputError(f"Class names come with {source} files; only mots-png needs --classes.")
    names = None if classes is None else _stripped(classes)
    readers: dict[str, Callable[[Path], list[AnnotatedVideo]]] = {
        "ytvis": _read_ytvis_videos,
        "cvat-video": lambda path: [read_cvat_video(path, frames)],
        "mots-png": lambda path: read_mots_videos(path, names, frames),
        "coco-track": read_coco_tracks,
        "labelme": lambda path: [read_labelme(path)],
        "jsonl": lambda path: [read_jsonl_video(path)],
    }
    videos = [video for path in shown(inputs, "read") for video in readers[source](path)]
    refuse_same_videos(videos)
    return videos


def _read_ytvis_videos(path: Path) -> list[AnnotatedVideo]:
    refuse_zip(path, "the json in it")
    return from_ytvis(read_ytvis(path))


def _stripped(classes: Sequence[str]) -> list[str]:
    names = [name.strip() for name in classes]
    if not all(names):
        place = names.index("") + 1
        raise InputError(f"--classes {','.join(classes)!r} has no name at place {place}. Write it as person,dog.")
    return names


def with_frames(video: AnnotatedVideo, frames: Path | None) -> AnnotatedVideo:
    """The video with a file name for every frame: its own, else those of the pictures, else made-up ones.

    Raises:
        SchemaError: there are no pictures of it, or one is not of its size.
        InputError: a picture is missing, or there are more or fewer than frames.
    """
    if frames is None:
        made_up = tuple(f"{video.name}/{t:06d}.jpg" for t in range(video.length))
        return video if video.frame_names else replace(video, frame_names=made_up)
    names = _pictures_of(video, frames)
    refuse_other_sizes(names, frames, video.height, video.width, video.source)
    return replace(video, frame_names=names)


def _pictures_of(video: AnnotatedVideo, frames: Path) -> tuple[str, ...]:
    """Paths of its pictures, all of which are there."""
    if video.frame_names:
        absent = [name for name in video.frame_names if not (frames / name).is_file()]
        if absent:
            raise InputError(f"{video.source} names {absent[0]}, which is not in '{frames}'. Give the folder it is in.")
        return video.frame_names
    pictures = pictures_in(frames / video.name)
    if len(pictures) != video.length:
        raise InputError(
            f"'{frames / video.name}' has {counted(len(pictures), 'picture')}, but {video.source} is of "
            f"{counted(video.length, 'frame')}. "
            "Extract every frame that was annotated, and no others."
        )
    return tuple(f"{video.name}/{name}" for name in pictures)


def convert(
    videos: Sequence[AnnotatedVideo],
    target: str,
    out: Path,
    frames: Path | None = None,
    overwrite: bool = False,
    shown: Shown = lambda items, _: items,
) -> Report:
    """Write videos in another format.

    Args:
        videos: to write.
        target: one of TARGETS.
        out: the json of ytvis and coco-track, else the folder.
        frames: as in `read_videos`.
        overwrite: replace what exists.
        shown: wraps what is iterated over, to show progress.

    Raises:
        UserError: the place is taken, or the format cannot hold what there is.
        SchemaError: what the source says makes no file of YouTube-VIS that can be read, such as an `occlusion` of other
            words; nothing is left behind.
    """
    named = [with_frames(video, frames) for video in shown(videos, "pictures")]
    made_up = target != "cvat-mots" and frames is None and not all(video.frame_names for video in videos)
    left_out: set[str] = set()
    if target in ("cvat-video", "labelme"):
        require_new(out, overwrite, folder=True)
        for video in shown(named, "write"):
            if target == "cvat-video":
                left_out |= write_cvat_video(out / f"{video.name}.xml", video, overwrite)
            else:
                left_out |= write_labelme(out, video, overwrite)
    elif target == "ytvis":
        _write_and_read_back(out, named, overwrite)
    elif target == "cvat-mots":  # CVAT has names of its own for frames that have none
        left_out |= write_cvat_mots(out, named if frames is not None else videos, overwrite)
    else:
        write = {"coco-track": write_coco_tracks, "mots-png": write_mots_videos}[target]
        left_out |= write(out, named, overwrite)
    tracks, masks = _count(named)
    notes: Counter[str] = Counter()
    for video in named:
        notes.update(video.notes)
    remarks = tuple(dict.fromkeys(remark for video in named for remark in video.remarks))
    return Report(len(named), tracks, masks, class_ids(named), +notes, remarks, tuple(sorted(left_out)), made_up)


def _count(videos: Sequence[AnnotatedVideo]) -> tuple[int, int]:
    """Tracks and masks."""
    tracks = [track for video in videos for track in video.tracks]
    return len(tracks), sum(mask is not None for track in tracks for mask in track.masks)


def _write_and_read_back(path: Path, videos: Sequence[AnnotatedVideo], overwrite: bool) -> None:
    """Writes a file that appears only when it was read as an evaluator or a training would."""
    require_new(path, overwrite, folder=False)
    with whole_file(path) as part:
        write_ytvis_videos(part, videos, overwrite=True)
        try:
            found = [sum(mask is not None for mask in track.segmentations) for track in index_ytvis(part).tracks()]
        except SchemaError as error:  # which names a file that will be gone
            raise SchemaError(str(error).replace(part.name, path.name)) from None
        assert (len(found), sum(found)) == _count(videos), f"{path}: {len(found)} tracks, {sum(found)} masks"
