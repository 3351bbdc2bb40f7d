"""Scalabel JSON, in which BDD100K publishes and takes its labels: frames with labels, grouped into videos by name.

A file holds {"frames": [...]} or the bare list; a folder's files are read as one. Only the names of the videos are
looked for when a file is opened. A video's frames are parsed when they are asked for, so that each worker reads its
own; of a file that holds several videos the parsed frames are kept, unless it is large: then its frames are indexed
once and read one video at a time.
"""

from __future__ import annotations

import json
import mmap
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from eval.errors import SchemaError
from eval.readers.record import Record, as_record, load_json, records, shown
from eval.readers.stream import read_item, stream_json

_KEPT = 64 << 20  # bytes of a file with several videos that is parsed as a whole: some four times that in memory
_VIDEO_NAME = re.compile(rb'"videoName"\s*:\s*("(?:[^"\\]|\\.)*")')
_Place = tuple[str, int, int]  # what errors call a frame, its offset and its length in bytes


class ScalabelLabels:
    """The frames of a file or folder, by video.

    Attributes:
        path: The file or folder.
        videos: Names, sorted.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._holders: dict[str, list[Path]] = defaultdict(list)  # files, in order
        for file in _files(path):
            for name in _video_names(file):
                self._holders[name].append(file)
        self.videos = tuple(sorted(self._holders))
        self._places = {file: _index(file) for file in self._large_files()}
        for file, places in self._places.items():
            self._refuse_unseen(file, places)
        self._parsed: tuple[Path, dict[str, list[Record]]] | None = None
        shared = self._files_of_several() - self._places.keys()
        if len(shared) == 1:
            self._parse(*shared)  # now, once, for all workers that are forked from here

    def __repr__(self) -> str:
        return f"ScalabelLabels({self.path}: {len(self.videos)} videos)"

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_parsed": None}

    def frames(self, video: str) -> list[Record]:
        """A video's frames, by `frameIndex`; those without it count as 0, and equal ones keep the order of the files.

        Raises:
            SchemaError: A file is no JSON, or a frame no object with the name of its video.
        """
        found = [record for file in self._holders.get(video, ()) for record in self._records(file, video)]
        return sorted(found, key=lambda record: frame_index(record) or 0)

    def _records(self, file: Path, video: str) -> list[Record]:
        if file in self._places:
            return [_frame(read_item(file, *place), where, file) for where, *place in self._places[file][video]]
        if self._parsed is None or self._parsed[0] != file:
            self._parse(file)
        assert self._parsed is not None
        return self._parsed[1].get(video, [])

    def _parse(self, file: Path) -> None:
        """Keeps the frames of a file, by video, in place of those of another: memory holds one."""
        self._parsed = None
        by_video: dict[str, list[Record]] = defaultdict(list)
        for record in _read(file):
            by_video[record.values["videoName"]].append(record)
        self._refuse_unseen(file, by_video)
        self._parsed = (file, by_video)

    def _refuse_unseen(self, file: Path, names: Iterable[str]) -> None:
        """Names are looked for in the text of a file, where JSON has more than one way to write them."""
        unseen = set(names).difference(self.videos)
        if unseen:
            problem = f"writes 'videoName' of video {shown(min(unseen))} in an unusual way"
            raise SchemaError(f"{file.name} {problem}. Export it with a JSON library.")

    def _files_of_several(self) -> set[Path]:
        """Files that hold several videos."""
        holders = Counter(file for files in self._holders.values() for file in files)
        return {file for file, videos in holders.items() if videos > 1}

    def _large_files(self) -> set[Path]:
        """Those of them that are too large to be kept."""
        return {file for file in self._files_of_several() if file.stat().st_size > _KEPT}


def frame_index(record: Record) -> int | None:
    """Position of a frame in its video, None where the file leaves it open."""
    if record.values.get("frameIndex") is None:
        return None
    index = record.integer("frameIndex")
    if not 0 <= index < 1 << 63:
        raise record.error("frameIndex", f"is {shown(index)}, expected 0 or more", "Count frames from 0.")
    return index


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(path.glob("*.json"))
    if not files:
        raise SchemaError(f"The folder '{path}' holds no .json files. Name a Scalabel file or a folder of such.")
    return files


def _video_names(file: Path) -> list[str]:
    """Names in a file, found without parsing it; parses it only to say what is wrong where there is none."""
    if not file.is_file():
        raise SchemaError(f"There is no file '{file}'. Check the path.")
    if file.stat().st_size:
        with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            names = dict.fromkeys(_VIDEO_NAME.findall(content))
            if names:
                return [_decoded(name, file) for name in names]
    for _ in _read(file):
        pass
    return []


def _decoded(name: bytes, file: Path) -> str:
    try:
        return json.loads(name)
    except ValueError as error:
        raise SchemaError(f"'{file}' is not valid JSON: {error}. Export or download it again.") from None


def _read(file: Path) -> Iterator[Record]:
    """The frames of a file, parsed at once."""
    document = load_json(file)
    where = ""
    if isinstance(document, dict):
        if "frames" not in document:
            raise SchemaError(f"{file.name} has no field 'frames'. Is it a Scalabel file?")
        document, where = document["frames"], "frames"
    return (_named(record) for record in records(document, where, file.name))


def _index(file: Path) -> dict[str, list[_Place]]:
    """Where the frames of each video are in a file."""
    places: dict[str, list[_Place]] = defaultdict(list)
    for item in stream_json(file):
        if item.member in ("", "frames") and item.index is not None:
            record = _frame(item.value, item.where, file)
            places[record.values["videoName"]].append((item.where, item.offset, item.length))
    return places


def _frame(value: Any, where: str, file: Path) -> Record:
    return _named(as_record(value, where, file.name))


def _named(record: Record) -> Record:
    if not isinstance(record.values.get("videoName"), str):
        raise record.error("videoName", f"is {shown(record.values.get('videoName'))}", "Name the video of every frame.")
    return record
