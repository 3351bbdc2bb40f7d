"""Records of a JSON file, each with its place, so that a job can hand places to its workers instead of masks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from eval.errors import SchemaError
from eval.readers.record import Record, as_record
from eval.readers.stream import Item, read_item, stream_json


class Entry:
    """One record of a file. Pickled, it leaves its lists behind: masks are read again where they are needed.

    Attributes:
        record: Its fields; those that are lists only if `whole`.
        whole: Whether all fields are in memory.

    Args:
        path: The file.
        item: The record in it, a JSON object.
        whole: Keep all of it in memory, which is right for small files.
    """

    def __init__(self, path: Path, item: Item, whole: bool) -> None:
        record = as_record(item.value, item.where, path.name)
        self.record = record if whole else Record(_without_lists(record.values), item.where, path.name)
        self.whole = whole
        self._place = path, item.offset, item.length

    def __repr__(self) -> str:
        return f"Entry({self.record.where} of {self.record.file}, {self._place[2]} bytes)"

    def __getstate__(self) -> dict[str, Any]:
        record = Record(_without_lists(self.record.values), self.record.where, self.record.file)
        return {"record": record, "whole": False, "_place": self._place}

    def read(self) -> Record:
        """The whole record."""
        return self.record if self.whole else Record(read_item(*self._place), self.record.where, self.record.file)


def list_entries(path: Path, whole: bool) -> Iterator[Entry]:
    """The records of a file that is one list.

    Raises:
        SchemaError: There is no such file, it is not JSON, or no list of objects.
    """
    for item in stream_json(path):
        if item.member:
            raise SchemaError(f"{path.name} holds an object, expected a list. Is it an annotation file?")
        yield Entry(path, item, whole)


def stream_object(path: Path, name: str, take: Callable[[Item], None]) -> Record:
    """Read a file that is one object, without keeping the records of its longest list.

    Args:
        path: The file.
        name: The list's name.
        take: Gets the records of this list, one after the other.

    Returns:
        All else that the file holds; lists without records are passed over.

    Raises:
        SchemaError: There is no such file, it is not JSON, or no object.
    """
    members: dict[str, Any] = {}
    for item in stream_json(path):
        if not item.member:
            raise SchemaError(f"{path.name} holds a list, expected a JSON object. Is it a results file?")
        if item.index is None:
            members[item.member] = item.value
        elif item.member == name:
            take(item)
        else:
            members.setdefault(item.member, []).append(item.value)
    return Record(members, "", path.name)


def _without_lists(values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if not isinstance(value, list | dict)}
