"""A JSON document of any size, record by record, with the place of each so that it can be read again alone.

A results file of a benchmark is hundreds of megabytes of masks. Read this way it costs the memory of one record; an
index of offsets by video is all that a job has to hand to its workers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.errors import SchemaError
from eval.readers.record import shown

_CHUNK = 1 << 20  # bytes
_SPACE = " \t\r\n"
_decode = json.JSONDecoder().raw_decode


@dataclass(frozen=True)
class Item:
    """One record of a list, or a member of the document that is no list.

    Attributes:
        member: Name of the member of the document that holds it; "" in a document that is one list.
        index: Its place in its list; None for a member that is no list.
        value: What it says.
        offset: Of its first byte in the file.
        length: In bytes.
    """

    member: str
    index: int | None
    value: Any
    offset: int
    length: int

    @property
    def where(self) -> str:
        """`annotations[12]`, as errors name it."""
        return self.member if self.index is None else f"{self.member}[{self.index}]"


def stream_json(path: str | Path) -> Iterator[Item]:
    """The records of a document that is a list, or of the lists in one that is an object, in file order.

    Raises:
        SchemaError: There is no such file, it is not JSON, or it is neither list nor object.
    """
    path = Path(path)
    if not path.is_file():
        raise SchemaError(f"There is no file '{path}'. Check the path.")
    with path.open("rb") as file:
        yield from _Document(path, file.read).items()


def read_item(path: str | Path, offset: int, length: int) -> Any:
    """The value of one item, read alone."""
    with Path(path).open("rb") as file:
        file.seek(offset)
        return json.loads(file.read(length))


class _Document:
    """A window of the file as text, one character for one byte, that moves on as values are taken out of it."""

    def __init__(self, path: Path, read: Any) -> None:
        self._path, self._read = path, read
        self._text = ""
        self._start = 0  # offset of the window in the file
        self._at = 0  # in the window
        self._whole = False  # whether the window reaches the end of the file

    def items(self) -> Iterator[Item]:
        opening = self._next()
        if opening == "\u00ef":  # a byte order mark, three bytes in UTF-8
            self._at += 3
            opening = self._next()
        if opening not in ("[", "{"):
            raise self._error("holds neither a list nor an object")
        yield from self._records("") if opening == "[" else self._members()
        if self._next():
            raise self._error("goes on after its end")

    def _members(self) -> Iterator[Item]:
        names = set()
        for _ in self._separated("}"):
            name, _, _ = self._value()
            if not isinstance(name, str) or self._next() != ":":
                raise self._error("expected a name and a colon")
            if name in names:
                raise self._error(f"the member {shown(name)} is there twice")
            names.add(name)
            self._at += 1
            if self._next() == "[":
                yield from self._records(name)
            else:
                yield Item(name, None, *self._value())

    def _records(self, member: str) -> Iterator[Item]:
        for index, _ in enumerate(self._separated("]")):
            yield Item(member, index, *self._value())

    def _separated(self, closing: str) -> Iterator[None]:
        """Stands before each entry of the list or object that opens here; entries are taken in between."""
        self._at += 1
        if self._next() == closing:
            self._at += 1
            return
        while True:
            yield
            separator = self._next()
            self._at += 1
            if separator == closing:
                return
            if separator != ",":
                self._at -= 1
                raise self._error(f"expected a comma or '{closing}'")

    def _value(self) -> tuple[Any, int, int]:
        """The value that begins here, its offset and its length."""
        self._next()
        while True:
            try:
                value, end = _decode(self._text, self._at)
            except RecursionError:
                raise self._error("lists or objects are nested too deeply") from None
            except ValueError as error:
                if self._whole:
                    raise self._error(getattr(error, "msg", str(error)).lower()) from None
            else:
                if len(self._text) - end > 2 or self._whole:  # the window may cut a number: 1.5 or 1e-5
                    break
            self._fill(len(self._text) - self._at)
        start, text = self._at, self._text[self._at : end]
        self._at = end
        if not text.isascii():
            value = self._utf8(text, start)
        return value, self._start + start, end - start

    def _utf8(self, text: str, start: int) -> Any:
        try:
            return json.loads(text.encode("latin-1"))
        except UnicodeDecodeError:
            self._at = start
            raise self._error("holds text that is not UTF-8") from None

    def _next(self) -> str:
        """The next character that is no space; "" at the end."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in _SPACE:
                    return self._text[self._at]
                self._at += 1
            if self._whole:
                return ""
            self._fill(0)

    def _fill(self, least: int) -> None:
        """Move the window on to what is not taken yet, and make it at least as much longer as said."""
        more = self._read(max(_CHUNK, least))
        self._whole = not more
        self._start += self._at
        self._text = self._text[self._at :] + more.decode("latin-1")
        self._at = 0

    def _error(self, problem: str) -> SchemaError:
        place = self._start + self._at
        return SchemaError(f"'{self._path}' is not valid JSON: {problem} (byte {place}). Export or download it again.")
