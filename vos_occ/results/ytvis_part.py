"""Some of the videos of a YouTube-VIS or OVIS file as a file of their own, every record as it stands, byte for byte."""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path

from eval.readers.stream import Item, stream_json
from vos_occ.results.output import atomic_file, require_new
from vos_occ.results.records import to_json

_OWNERS = {"videos": "id", "annotations": "video_id"}


def write_ytvis_part(source: str | Path, path: str | Path, videos: Set[int], overwrite: bool = False) -> None:
    """Copy videos, their annotations, and all else that the file says. Holds one record in memory at a time.

    Args:
        source: a file that `index_ytvis` takes.
        path: the file to write.
        videos: ids of those to copy.
        overwrite: replace an existing file.

    Raises:
        OutputExistsError: if the file exists and `overwrite` is False.
        SchemaError: if the source is not JSON.
    """
    require_new(path, overwrite, folder=False)
    with Path(source).open("rb") as original, atomic_file(path) as file:
        members: list[str] = []
        closing = b""
        for item in stream_json(source):
            if not _is_wanted(item, videos):
                continue
            separator = b","
            if item.member not in members:
                members.append(item.member)
                opening = b"" if item.index is None else b"["
                separator = (
                    closing + (b"," if len(members) > 1 else b"{") + f"{to_json(item.member)}:".encode() + opening
                )
                closing = b"" if item.index is None else b"]"
            original.seek(item.offset)
            file.write(separator + b"\n" + original.read(item.length))
        file.write(closing + (b"" if "annotations" in members else b',"annotations":[]') + b"}\n")


def _is_wanted(item: Item, videos: Set[int]) -> bool:
    return item.index is None or item.member not in _OWNERS or item.value[_OWNERS[item.member]] in videos
