"""What a split of YouTube-VIS or OVIS asks for: its videos and categories. Its tracks are looked over, never kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from eval.readers.entries import stream_object
from eval.readers.record import by_id, categories, table
from eval.readers.ytvis_tubes import Video, read_video


@dataclass(frozen=True)
class Split:
    """The part of an annotation file that results answer.

    Attributes:
        path: The file.
        videos: By id, in file order.
        categories: Name of each, by id.
    """

    path: Path
    videos: Mapping[int, Video]
    categories: Mapping[int, str]


def read_split(path: str | Path) -> Split:
    """Read the videos and categories of an annotation file, in the memory of one record.

    Raises:
        SchemaError: There is no such file, it is no annotation file, or a record does not fit.
    """
    path = Path(path)
    document = stream_object(path, "annotations", lambda track: None)
    videos, names = table(document, "videos", read_video), categories(document)
    return Split(
        path=path,
        videos=by_id(videos),
        categories={category.id: category.name for category in names},
    )
