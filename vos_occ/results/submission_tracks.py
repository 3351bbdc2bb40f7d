"""Whether a results.json is what the servers of YouTube-VIS and OVIS take, every defect found in one pass.

Record by record, so that hundreds of megabytes of masks take the memory of one track.

Source: docs/sources.md, trackers 6.4; the official loader's conditions, and what it silently scores as something else.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eval.errors import SchemaError, listed
from eval.readers.record import Record, shown
from eval.readers.segmentation import read_mask
from eval.readers.stream import Item, stream_json
from eval.readers.track_masks import WrittenTrack, read_track_masks
from eval.readers.ytvis_split import Split, read_split
from eval.readers.ytvis_tubes import Video
from vos_occ.results.submission_report import SubmissionReport

RESULTS_FILE = "results.json"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Extent:
    """How large the splits of a benchmark are, to notice the file of another one.

    Attributes:
        title: What people call the benchmark.
        categories: How many.
        category: One of them that neighbours of this benchmark do not have.
        videos: How many in each split; empty where that is not certain.
    """

    title: str
    categories: int
    category: str
    videos: Mapping[str, int] = field(default_factory=dict)

    def doubt(self, split: Split) -> str:
        """What about a split is not as this benchmark's are, or ""."""
        right = not self.videos or len(split.videos) in self.videos.values()
        if right and len(split.categories) == self.categories:
            if self.category in split.categories.values():
                return ""
            return f"{split.path.name} has no category '{self.category}', as {self.title} has. Is it the split's file?"
        usual = ", ".join([f"{self.categories} categories", *(f"{n} videos ({of})" for of, n in self.videos.items())])
        found = f"{split.path.name} has {len(split.categories)} categories and {len(split.videos)} videos"
        return f"{found}; {self.title} has {usual}. Is it the split's file?"


def check_tracks(
    files: Mapping[str, Path],
    split_path: Path,
    report: SubmissionReport,
    *,
    allow_missing: bool = False,
    extent: Extent | None = None,
) -> None:
    """Compare a results.json with the split that it answers.

    Args:
        files: holds the path of results.json under that name.
        split_path: the split's annotation file; tracks in it are not looked at.
        report: takes what is found.
        allow_missing: a video without a track is a warning. It is a defect else: the server would count it as a video
            in which nothing was found, and in most cases it was forgotten.
        extent: of the benchmark; a split of another size, or of other categories, is a warning.

    Raises:
        SchemaError: the split's own file cannot be read.
    """
    split = read_split(split_path)
    if extent is not None and (doubt := extent.doubt(split)):
        report.warn(doubt)
    checker = _TrackChecker(split, files[RESULTS_FILE].name, report)
    with files[RESULTS_FILE].open("rb") as file:
        if file.read(len(_BYTE_ORDER_MARK)) == _BYTE_ORDER_MARK:
            found = f"{checker.file} begins with a byte order mark, at which the server's reader stops."
            report.defect("unreadable", f"{found} Write it as UTF-8 without one.")
    try:
        for item in stream_json(files[RESULTS_FILE]):
            if item.member:
                report.defect("no list", f"{checker.file} holds an object, expected a list of tracks. Is it the split?")
                return
            checker.look_at(item)
    except SchemaError as error:
        report.defect("unreadable", str(error))
        return  # what would come after the break is not missing
    if not report.contents["tracks"]:
        report.defect("empty", f"{checker.file} holds no track. Was the score threshold too high?")
    elif missing := [str(video_id) for video_id in split.videos if video_id not in checker.seen]:
        _tell_missing(missing, checker.file, split, report, allow_missing)


def _tell_missing(missing: list[str], file: str, split: Split, report: SubmissionReport, allow_missing: bool) -> None:
    if allow_missing:
        some = f"{len(missing)} of {len(split.videos)} videos ({listed(missing)})"
        report.warn(f"{file} has no track of {some}: they count as videos in which nothing was found.")
        return
    for video_id in missing:
        cure = "Run it too, or allow that videos are missing (--allow-missing) if nothing was found in it."
        report.defect("missing video", f"{file} has no track of video {video_id} of {split.path.name}. {cure}")


class _TrackChecker:
    """Looks at one record after the other; remembers the videos and a digest of each track."""

    def __init__(self, split: Split, file: str, report: SubmissionReport) -> None:
        self.file = file
        self.seen: set[int] = set()
        self._split = split
        self._report = report
        self._digests: dict[bytes, str] = {}

    def look_at(self, item: Item) -> None:
        """Check one entry of the list."""
        self._report.contents["tracks"] += 1
        if not isinstance(item.value, dict):
            found = f"{item.where} is {shown(item.value)}, expected an object ({self.file}). Correct the record."
            self._report.defect("no track", found)
            return
        record = Record(item.value, item.where, self.file)
        video = self._video(record)
        self._category(record)
        self._score(record)
        if video is not None and self._masks(record, video):
            self._repeated(record)

    def _video(self, record: Record) -> Video | None:
        try:
            video_id = record.integer("video_id")
            if video_id not in self._split.videos:
                cure = "Is it a result of another split? The video ids of valid and test overlap."
                raise record.error("video_id", f"is {video_id}, which {self._split.path.name} does not have", cure)
        except SchemaError as error:
            self._report.defect("unknown video", str(error))
            return None
        self.seen.add(video_id)
        return self._split.videos[video_id]

    def _category(self, record: Record) -> None:
        try:
            category_id = record.integer("category_id")
            if category_id not in self._split.categories:
                problem = f"is {category_id}, which {self._split.path.name} does not have"
                raise record.error("category_id", problem, "Category ids are the split's, not labels from 0.")
        except SchemaError as error:
            self._report.defect("unknown category", str(error))

    def _score(self, record: Record) -> None:
        try:
            score = record.number("score")
            if not 0 <= score <= 1:
                raise record.error("score", f"is {shown(score)}, expected a number in [0, 1]", "Scale the scores.")
        except SchemaError as error:
            self._report.defect("wrong score", str(error))

    def _masks(self, record: Record, video: Video) -> bool:
        """Whether the track has an entry for each frame, each null or a mask of the video's size."""
        try:
            values = record.entries("segmentations", video.length, f"video {video.id}")
        except SchemaError as error:
            self._report.defect("wrong length", str(error))
            return False
        self._report.contents["masks"] += sum(value is not None for value in values)
        if all(value is None or _is_string_rle(value) for value in values) and self._readable(record, video, values):
            return True
        for t, value in enumerate(values):  # one of them is wrong, and perhaps more: told one by one
            self._mask(record, video, t, value)
        return False

    def _readable(self, record: Record, video: Video, values: list[Any]) -> bool:
        """Whether all masks of a track can be decoded, at the speed of many at once."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                read_track_masks([WrittenTrack(values, video.height, video.width, record, "segmentations")])
            except SchemaError:
                return False
        for warning in caught:
            self._report.warn(str(warning.message))
        return True

    def _mask(self, record: Record, video: Video, t: int, value: Any) -> None:
        field = f"segmentations[{t}]"
        try:
            if value is not None and not _is_string_rle(value):
                problem = f"is {shown(value)}, expected null or {{size, counts}} with counts as a string"
                raise record.error(field, problem, "Encode the mask as COCO's compressed RLE.")
            read_mask(value, video.height, video.width, record, field)
        except SchemaError as error:
            self._report.defect("wrong mask", str(error))

    def _repeated(self, record: Record) -> None:
        """The same track twice, to the last digit, is a file that was joined twice."""
        masks = ("" if value is None else value["counts"] for value in record.values["segmentations"])
        named = (str(record.values.get(name)) for name in ("video_id", "category_id", "score"))
        digest = hashlib.blake2b("\n".join((*named, *masks)).encode(), digest_size=16).digest()
        first = self._digests.setdefault(digest, record.where)
        if first != record.where:
            self._report.defect("repeated", str(record.error("", f"is {first} again", "Write each track once.")))


def _is_string_rle(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("counts"), str) and "size" in value
