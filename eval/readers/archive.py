"""Zip files as people submit them, and as nobody should: names that repeat, files of terabytes, damage of any kind."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from eval.errors import SchemaError

_MOST_SHRUNK = 200  # run lengths shrink to a fifth or so, the emptiest text to a fiftieth
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # of the others zipfile unpacks more than it was asked for
_NOTICED = 10 << 20  # bytes below which a file may shrink to whatever it does


def is_zip(path: Path) -> bool:
    """Whether a path is a file that can be a zip."""
    return path.is_file() and zipfile.is_zipfile(path)


def list_members(path: Path) -> list[str]:
    """Names of the files in a zip, in its order.

    Raises:
        SchemaError: It is damaged, or two files have one name.
    """
    with _opened(path) as archive:
        names = [info.filename for info in archive.infolist() if not info.is_dir()]
    again = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if again is not None:
        raise SchemaError(f"'{path}' holds the file '{again}' twice. Remove one of them.")
    outside = next((name for name in names if ".." in PurePosixPath(name).parts or name.startswith("/")), None)
    if outside is not None:
        raise SchemaError(f"'{path}' holds '{outside}', which lies outside of it. Zip the folder again.")
    return names


def read_members(path: Path, names: Iterable[str]) -> list[bytes]:
    """What files of a zip hold.

    Raises:
        SchemaError: The zip is damaged or encrypted, or a file grows by more than any results do.
    """
    with _opened(path) as archive:
        return [archive.read(_checked(archive, name, path)) for name in names]


def unpack_member(path: Path, name: str, target: Path) -> None:
    """Write one file of a zip to a place of our own, a little at a time.

    Raises:
        SchemaError: As `read_members`.
    """
    unpack_members(path, {name: target})


def unpack_members(path: Path, targets: Mapping[str, Path]) -> None:
    """Write files of a zip to places of our own; its list of names, which is long, is read once.

    Raises:
        SchemaError: As `read_members`.
    """
    with _opened(path) as archive:
        for name, target in targets.items():
            with archive.open(_checked(archive, name, path)) as source, target.open("wb") as file:
                shutil.copyfileobj(source, file)


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except SchemaError:
        raise
    except (
        Exception
    ) as error:  # whatever zipfile meets: struct.error, zlib.error, NotImplementedError, RuntimeError, ...
        raise SchemaError(f"'{path}' is a zip that cannot be read: {error}. Zip it again.") from None


def _checked(archive: zipfile.ZipFile, name: str, path: Path) -> zipfile.ZipInfo:
    info = archive.getinfo(name)
    if info.compress_type not in _METHODS:
        problem = f"is compressed by method {info.compress_type}"
        raise SchemaError(f"'{name}' in '{path}' {problem}. Zip it with deflate, as zips usually are.")
    if info.file_size > max(_NOTICED, _MOST_SHRUNK * info.compress_size):
        size = f"{info.file_size} bytes, of which the zip holds {info.compress_size}"
        raise SchemaError(f"'{name}' in '{path}' has {size}. That is no file of results.")
    return info
