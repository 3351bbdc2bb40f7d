"""How result files come to be: never over an existing one unless asked, never left half-written.

Knows nothing of what is written.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from vos_occ.structures.errors import OutputExistsError, UserError


def require_new(path: str | Path, overwrite: bool, folder: bool | None = None) -> None:
    """Raise unless `path` is free: absent, or an empty folder, or allowed to be replaced.

    Args:
        path: the file or folder that will be written.
        overwrite: allow an existing file, or a folder with files in it.
        folder: whether a folder will be written; an existing path of the other kind is refused even with `overwrite`.
            None takes either.

    Raises:
        OutputExistsError: if the path is taken.
    """
    path = Path(path)
    if not path.exists():
        return
    if folder is not None and folder != path.is_dir():
        wanted, found = ("a folder", "a file") if folder else ("a file", "a folder")
        raise OutputExistsError(f"Output '{path}' should be {wanted}, but {found} has this name. Choose another name.")
    if overwrite:
        return
    if not path.is_dir():
        raise OutputExistsError(f"Output file '{path}' already exists. Use --overwrite to replace.")
    if any(path.iterdir()):
        raise OutputExistsError(f"Output folder '{path}' is not empty. Use --overwrite to replace.")


@contextmanager
def atomic_file(path: str | Path) -> Iterator[BinaryIO]:
    """A file that appears under its name only when the block ends without an error.

    Until then it is a neighbour, `.<name>.part`, which is removed on an error. Missing folders are made.

    Raises:
        UserError: if the system does not let the file be made.
    """
    with whole_file(path) as part, part.open("wb") as file:
        yield file


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """As `atomic_file`, for writers that open their file themselves: the name to write to until the block ends.

    Raises:
        UserError: if the system does not let the file be made, or has no space left.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.part")
    try:
        with reported(path, part):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield part
            os.replace(part, path)
    finally:
        with suppress(OSError):
            part.unlink()


def write_atomically(path: str | Path, content: str | bytes) -> None:
    """Write a whole file, or nothing. Replaces an existing file; text is UTF-8."""
    with atomic_file(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def reported(path: Path, *others: Path) -> Iterator[None]:
    """Turns the system's refusals (no right, no space, a file where a folder should be) into one line for the user.

    An error that names a file other than `path`, its folder and `others` is none of ours.

    Raises:
        UserError: in place of the OSError.
    """
    try:
        yield
    except OSError as error:
        if error.filename is not None and Path(error.filename) not in (path, *path.parents, *others):
            raise
        raise UserError(f"Cannot write '{path}': {error.strerror or error}. Choose another place.") from error


class LineWriter:
    """A text file that grows by whole lines, each given to the system, so that a crash costs at most the one in flight.

    A line that does not fit on the disk any more is taken back, so that the file ends with a whole one.
    The file is opened by its first line: a run that fails before that leaves no file, and an old one as it was.
    `close` without a line makes an empty file; leaving a `with` block on an error does not.

    Raises:
        OutputExistsError: on construction, if the file exists and `overwrite` is False.
    """

    def __init__(self, path: str | Path, overwrite: bool = False) -> None:
        require_new(path, overwrite, folder=False)
        self.path = Path(path)
        self._file: FileIO | None = None
        self._size = 0
        self._closed = False

    def __enter__(self) -> LineWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(create=kind is None)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    def write(self, line: str) -> None:
        """Append one line, given without its newline."""
        file, content = self._open(), (line + "\n").encode()
        with reported(self.path):
            try:
                _write_all(file, content)
            except OSError:
                with suppress(OSError):
                    file.seek(self._size)
                    file.truncate()
                raise
        self._size += len(content)

    def close(self, create: bool = True) -> None:
        """Close the file; `create` makes one even if no line was written. Closing twice is harmless."""
        if create and not self._closed:
            self._open()
        if self._file is not None:
            self._file.close()
        self._closed = True

    def _open(self) -> FileIO:
        if self._closed:
            raise ValueError(f"'{self.path}' is closed.")
        if self._file is None:
            with reported(self.path):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self.path.open("wb", buffering=0)
        return self._file


def _write_all(file: FileIO, content: bytes) -> None:
    """Without a buffer, a file may take a part and say so."""
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]


class FrameOrder:
    """Checks that frames arrive in ascending order, each at most once."""

    def __init__(self) -> None:
        self._last = -1

    def advance(self, frame_index: int) -> None:
        """Go on to a frame; raises ValueError if it does not come after the one before."""
        if frame_index <= self._last:
            raise ValueError(f"Frame {frame_index} came after frame {self._last}; frames are written in order.")
        self._last = frame_index
