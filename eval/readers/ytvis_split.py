"""What a split of YouTube-VIS or OVIS asks for: its videos and categories. Its tracks are looked over, never kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.errors import SchemaError
from eval.readers.record import Record, by_id, categories, table
from eval.readers.stream import stream_json
from eval.readers.ytvis_tubes import Video, read_video


@dataclass(frozen=True)
class Split:
    """The part of an annotation file that results answer.

    Attributes:
        path: The file.
        videos: By id, in file order.
        categories: Name of each, by id.
        has_annotations: Whether it holds at least one track; test splits have none, or null in their place.
        has_occlusion: Whether its first track has OVIS' occlusion labels.
    """

    path: Path
    videos: Mapping[int, Video]
    categories: Mapping[int, str]
    has_annotations: bool
    has_occlusion: bool


def read_split(path: str | Path) -> Split:
    """Read the videos and categories of an annotation file, in the memory of one record.

    Raises:
        SchemaError: There is no such file, it is no annotation file, or a record does not fit.
    """
    path = Path(path)
    members: dict[str, Any] = {}
    first: Any = None
    for item in stream_json(path):
        if not item.member:
            raise SchemaError(f"{path.name} holds a list, expected a JSON object. Is it a results file?")
        if item.index is None:
            members[item.member] = item.value
        elif item.member != "annotations":
            members.setdefault(item.member, []).append(item.value)
        elif first is None:
            first = item.value
    document = Record(members, "", path.name)
    videos, names = table(document, "videos", read_video), categories(document)
    return Split(
        path=path,
        videos=by_id(videos),
        categories={category.id: category.name for category in names},
        has_annotations=first is not None,
        has_occlusion=isinstance(first, dict) and first.get("occlusion") is not None,
    )
