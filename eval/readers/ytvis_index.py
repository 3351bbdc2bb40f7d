"""Where the tracks of each video stand in YouTube-VIS and OVIS files, found in one pass that keeps no masks.

A job reads by this index only the video that it is about to score. What can be wrong with a record other than its
masks is found here, before any work is done.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from eval.errors import RequestError, SchemaError
from eval.readers.archive import is_zip, list_members, unpack_member
from eval.readers.entries import Entry, list_entries, stream_object
from eval.readers.record import Category, by_id, categories, table
from eval.readers.ytvis_tubes import Video, read_video

ByVideo = Mapping[int, Sequence[Entry]]


@dataclass(frozen=True)
class AnnotationIndex:
    """An annotation file.

    Attributes:
        path: The file.
        videos: By ascending id.
        categories: In file order.
        annotations: Of each video, in file order.
    """

    path: Path
    videos: tuple[Video, ...]
    categories: tuple[Category, ...]
    annotations: ByVideo


def index_annotations(path: Path, whole: bool = False, official: bool = False) -> AnnotationIndex:
    """Index an annotation file.

    Args:
        path: The file.
        whole: Keep the masks in memory.
        official: Do as the official evaluator: leave out annotations of unknown videos and categories, and let the last
            of several annotations of one id stand in the place of each.

    Raises:
        SchemaError: The file is no annotation file, has no annotations, or a record does not fit.
    """
    entries: list[Entry] = []
    document = stream_object(path, "annotations", lambda item: entries.append(Entry(path, item, whole)))
    videos, names = table(document, "videos", read_video), categories(document)
    if not entries and not (official and document.values.get("annotations", []) == []):
        raise SchemaError(f"{path.name} has no annotations to score against. Give the file that has them.")
    known = by_id(videos), by_id(names)
    annotations = _resolved(entries, *known) if official else _checked(entries, *known)
    return AnnotationIndex(path, tuple(sorted(videos, key=lambda video: video.id)), names, annotations)


def index_results(
    files: Sequence[tuple[Path, int | None]], truth: AnnotationIndex, whole: bool = False, official: bool = False
) -> ByVideo:
    """Index results: of each video that has any.

    Args:
        files: Each with the id of the video that it is of, None for a file of many videos; see `result_files`.
        truth: What they answer.
        whole: Keep the masks in memory.
        official: Do as the official evaluator: leave out results of unknown categories, and accept any score.

    Raises:
        SchemaError: A file holds no results, or a record does not fit the annotations.
        RequestError: The official evaluator stops at these results.
    """
    videos, names = by_id(truth.videos), by_id(truth.categories)
    found: dict[int, list[Entry]] = {}
    for path, video_id in files:
        if video_id is not None and video_id not in videos:
            raise SchemaError(f"'{path}' is named by video {video_id}, but {truth.path.name} has none of this id.")
        for entry in list_entries(path, whole):
            record = entry.record
            if official and record.integer("video_id") not in videos:
                raise RequestError(
                    f"The official loader stops with an AssertionError, because {record.where}.video_id is "
                    f"{record.integer('video_id')}, but no video has this id ({record.file}). Remove the record."
                )
            of = record.known("video_id", videos, "video")
            if video_id is not None and of != video_id:
                raise record.error("video_id", f"is {of}, expected {video_id} as the file's name says", "Rename it.")
            if not official:
                record.known("category_id", names, "category")
                record.number("score")
            of_video = found.setdefault(of, [])
            if record.integer("category_id") in names:
                of_video.append(entry)
    return found


def result_files(path: Path, unpacked: Path) -> list[tuple[Path, int | None]]:
    """The files of a submission, each with the id of its video, or None where it is of many videos.

    Args:
        path: A results.json, a folder that holds one or else one file for each video, named by the video's id, or a
            zip of either.
        unpacked: An empty folder for what a zip holds.

    Raises:
        SchemaError: There are no results.
    """
    if path.is_file() and not is_zip(path):
        return [(path, None)]
    source = f"'{path}'"
    if path.is_file():
        _unpack(path, unpacked)
        path = unpacked
    files = sorted(path.glob("*.json"))
    shards = sorted((int(file.stem), file) for file in files if re.fullmatch(r"[0-9]{1,18}", file.stem))
    named = [file for file in files if file.name == "results.json"] or files * (len(files) == 1 and not shards)
    if named:
        return [(named[0], None)]
    if not shards:
        raise SchemaError(
            f"{source} holds {len(files)} json files, expected results.json or one file for each video, named by its "
            "id. Give the file itself."
        )
    return [(file, video_id) for video_id, file in shards]


def _unpack(path: Path, folder: Path) -> None:
    """Take the json files out of a zip, whatever folder of it they lie in; what macOS adds stays inside."""
    taken: dict[str, str] = {}
    for member in list_members(path):
        name = PurePosixPath(member)
        if name.suffix == ".json" and not name.name.startswith(".") and "__MACOSX" not in name.parts:
            first = taken.setdefault(name.name, member)
            if first != member:
                raise SchemaError(f"'{path}' holds '{first}' and '{member}'. Remove one of them.")
            unpack_member(path, member, folder / name.name)


def _checked(entries: Sequence[Entry], videos: Mapping[int, Video], names: Mapping[int, Category]) -> ByVideo:
    """Annotations by video; each has an id of its own."""
    annotations: dict[int, list[Entry]] = defaultdict(list)
    seen: dict[int, str] = {}
    for record, entry in ((entry.record, entry) for entry in entries):
        first = seen.setdefault(record.integer("id"), record.where)
        if first != record.where:
            raise record.error("id", f"is {record.integer('id')}, as that of {first}", "Give every record its own id.")
        record.known("category_id", names, "category")
        annotations[record.known("video_id", videos, "video")].append(entry)
    return annotations


def _resolved(entries: Sequence[Entry], videos: Mapping[int, Video], names: Mapping[int, Category]) -> ByVideo:
    """Annotations by video as the official loader finds them: by the ids that the video's annotations have."""
    last = {entry.record.integer("id"): entry for entry in entries}
    of: dict[int, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.record.integer("category_id") in names:
            of[entry.record.integer("video_id")].append(last[entry.record.integer("id")])
    annotations: dict[int, list[Entry]] = defaultdict(list)
    for video_id in sorted(videos):
        for entry in of[video_id]:
            record = entry.record
            if record.integer("video_id") in videos and record.integer("category_id") in names:
                annotations[record.integer("video_id")].append(entry)
    return annotations
