"""YouTube-VIS and OVIS files: results.json for the benchmark servers, and datasets in their annotation format.

Tracks of one video are collected, written as a shard, and the shards of all videos joined into one results.json, so
that memory holds one video and a run that stops can go on.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vos_occ.results.output import atomic_file, require_new, write_atomically
from vos_occ.results.records import dataset_json, index_by_id, require_fields, require_known, to_json
from vos_occ.structures import rle
from vos_occ.structures.errors import InputError, SchemaError
from vos_occ.structures.frame_result import FrameResult
from vos_occ.structures.rle import Rle

# Fields of an annotation with one entry per frame; the last three are ours and optional, as is OVIS' `occlusion`.
PER_FRAME = ("segmentations", "bboxes", "areas")
OPTIONAL_PER_FRAME = ("occlusion", "amodal_segmentations", "hidden", "in_front_of")


class YtvisTracks:
    """Collects one video's frames into track entries. Holds run-length strings only.

    Args:
        video_id: the dataset's id of the video.
        length: its number of frames.
        category_ids: the dataset's category id of each label.
    """

    def __init__(self, video_id: int, length: int, category_ids: Sequence[int]) -> None:
        self.video_id = video_id
        self.length = length
        self.category_ids = list(category_ids)
        self._size: tuple[int, int] | None = None
        self._seen: set[int] = set()
        self._masks: defaultdict[int, dict[int, Rle]] = defaultdict(dict)
        self._votes: defaultdict[int, list[tuple[int, float]]] = defaultdict(list)

    def __repr__(self) -> str:
        return f"YtvisTracks(video {self.video_id}, {len(self._seen)}/{self.length} frames, {len(self._votes)} tracks)"

    def add(self, result: FrameResult) -> None:
        """Add one frame; frames may come in any order and be left out.

        Raises:
            ValueError: if the frame lies outside the video, came before, has another size or an unknown label.
        """
        self._check(result)
        self._seen.add(result.frame_index)
        self._size = (result.height, result.width)
        for i, track_id in enumerate(result.track_ids.tolist()):
            self._votes[track_id].append((int(result.labels[i]), float(result.scores[i])))
            if rle.area(result.masks[i]):
                self._masks[track_id][result.frame_index] = result.masks[i]

    def entries(self) -> list[dict[str, Any]]:
        """One entry per track that ever shows a pixel: score = mean of its frames' scores, category by majority.

        Frames in which the track is missing or its mask empty are null. Votes that tie go to the larger summed score.
        """
        return [self._entry(track_id) for track_id in sorted(self._masks)]

    def _entry(self, track_id: int) -> dict[str, Any]:
        votes, masks = self._votes[track_id], self._masks[track_id]
        return {
            "video_id": self.video_id,
            "category_id": self.category_ids[_majority(votes)],
            "score": sum(score for _, score in votes) / len(votes),
            "segmentations": [masks.get(t) for t in range(self.length)],
        }

    def _check(self, result: FrameResult) -> None:
        if result.frame_index >= self.length:
            raise ValueError(f"{result!r} lies outside video {self.video_id} of {self.length} frames.")
        if result.frame_index in self._seen:
            raise ValueError(f"{result!r} was added before.")
        if self._size is not None and self._size != (result.height, result.width):
            raise ValueError(f"{result!r} differs from the {self._size[0]}x{self._size[1]} of the frames before.")
        if len(result) and result.labels.max() >= len(self.category_ids):
            raise ValueError(f"{result!r} has label {result.labels.max()} of {len(self.category_ids)} categories.")


def shard_path(folder: str | Path, video_id: int) -> Path:
    """Where the entries of one video lie until they are merged."""
    return Path(folder) / f"{video_id}.json"


def write_shard(
    folder: str | Path, video_id: int, entries: Sequence[Mapping[str, Any]], overwrite: bool = False
) -> Path:
    """Write one video's entries, whole or not at all; an empty list says that the video has no tracks.

    Raises:
        OutputExistsError: if the shard exists and `overwrite` is False.
        SchemaError: if entries belong to another video or differ in length.
    """
    path = shard_path(folder, video_id)
    require_new(path, overwrite, folder=False)
    _check_entries(path, video_id, entries)
    write_atomically(path, to_json(list(entries)))
    return path


def merge_shards(folder: str | Path, video_ids: Iterable[int], out: str | Path, overwrite: bool = False) -> None:
    """Join the shards of these videos, in this order, into one results.json. Holds one shard in memory at a time.

    Raises:
        OutputExistsError: if `out` exists and `overwrite` is False.
        InputError: if shards are missing.
        SchemaError: if a shard is not a list of entries of its video.
    """
    require_new(out, overwrite, folder=False)
    paths = {video_id: shard_path(folder, video_id) for video_id in video_ids}
    if missing := [video_id for video_id, path in paths.items() if not path.is_file()]:
        raise InputError(
            f"'{folder}' has no results of {len(missing)} of {len(paths)} videos (first: video {missing[0]}). "
            "Run the test again for these videos."
        )
    with atomic_file(out) as file:
        separator = "["
        for video_id, path in paths.items():
            for entry in _read_shard(path, video_id):
                file.write(f"{separator}\n{to_json(entry)}".encode())
                separator = ","
        file.write(b"[]\n" if separator == "[" else b"\n]\n")


def write_ytvis_dataset(
    path: str | Path,
    videos: Sequence[Mapping[str, Any]],
    annotations: Sequence[Mapping[str, Any]] | None,
    categories: Sequence[Mapping[str, Any]],
    overwrite: bool = False,
) -> None:
    """Write a dataset in YTVIS/OVIS format; extra fields are kept.

    Args:
        path: the json file.
        videos: id, width, height, length, file_names[length].
        annotations: one per track: id, video_id, category_id, iscrowd, and per frame `segmentations`, `bboxes`
            (x, y, w, h) and `areas`, null together where the object shows no pixel. None writes null, as the
            benchmarks do for their test videos.
        categories: id, name.
        overwrite: replace an existing file.

    Raises:
        OutputExistsError: if the file exists and `overwrite` is False.
        SchemaError: if ids clash or point nowhere, or a per-frame list has not the video's length.
    """
    require_new(path, overwrite, folder=False)
    known_videos = index_by_id(path, "videos", videos)
    known_categories = index_by_id(path, "categories", categories)
    for i, video in enumerate(videos):
        require_fields(path, f"videos[{i}]", video, ("width", "height", "length", "file_names"))
        if len(video["file_names"]) != video["length"]:
            found = len(video["file_names"])
            raise SchemaError(f"{path}: videos[{i}] has {found} file_names, but length {video['length']}. Fix either.")
    index_by_id(path, "annotations", annotations or [])
    for i, annotation in enumerate(annotations or []):
        where = f"annotations[{i}]"
        require_known(path, f"{where}.video_id", annotation.get("video_id"), known_videos, "video")
        require_known(path, f"{where}.category_id", annotation.get("category_id"), known_categories, "category")
        _check_track(path, where, annotation, known_videos[annotation["video_id"]])
    content = {
        "videos": list(videos),
        "categories": list(categories),
        "annotations": None if annotations is None else list(annotations),
    }
    write_atomically(path, dataset_json(path, content))


def _majority(votes: Sequence[tuple[int, float]]) -> int:
    """The label with most votes; then with the larger summed score; then the smaller label."""
    tally: defaultdict[int, tuple[int, float]] = defaultdict(lambda: (0, 0.0))
    for label, score in votes:
        count, total = tally[label]
        tally[label] = (count + 1, total + score)
    return max(tally, key=lambda label: (*tally[label], -label))


def _check_entries(path: Path, video_id: int, entries: object) -> None:
    if not isinstance(entries, Sequence) or not all(isinstance(entry, Mapping) for entry in entries):
        raise SchemaError(f"{path}: expected a list of track entries. Delete the file and write it again.")
    for i, entry in enumerate(entries):
        if entry.get("video_id") != video_id:
            found = entry.get("video_id")
            raise SchemaError(f"{path}: entry {i} belongs to video {found}, expected {video_id}. Write it again.")
        require_fields(path, f"entry {i}", entry, ("category_id", "score", "segmentations"))
        if len(entry["segmentations"]) != len(entries[0]["segmentations"]):
            raise SchemaError(f"{path}: entries 0 and {i} differ in their number of frames. Write them again.")


def _read_shard(path: Path, video_id: int) -> list[dict[str, Any]]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SchemaError(f"{path}: not a JSON file ({error}). Delete it and run this video again.") from error
    _check_entries(path, video_id, entries)
    return entries


def _check_track(path: str | Path, where: str, annotation: Mapping[str, Any], video: Mapping[str, Any]) -> None:
    length = video["length"]
    present = [name for name in OPTIONAL_PER_FRAME if name in annotation]
    for name in (*PER_FRAME, *present):
        found = annotation.get(name)
        if not isinstance(found, Sequence) or len(found) != length:
            entries = len(found) if isinstance(found, Sequence) else "no"
            raise SchemaError(
                f"{path}: {where}.{name} has {entries} entries, but video {video['id']} has {length} frames. "
                "Write one entry per frame, null where the object is not seen."
            )
    for t in range(length):
        if len({annotation[name][t] is None for name in PER_FRAME}) > 1:
            raise SchemaError(
                f"{path}: {where} frame {t}: {', '.join(PER_FRAME)} must be null together. Fix the frame."
            )
