"""What is given for annotations, before it is read: whether it is there, and whether it is a zip, whole or torn."""

from __future__ import annotations

from pathlib import Path

from eval.errors import SchemaError
from eval.readers.archive import is_zip

_ZIP_START = b"PK\x03\x04"


def require_there(path: Path) -> None:
    """Files and folders that are absent are not blamed for what they hold.

    Raises:
        SchemaError: There is nothing of this name.
    """
    if not path.exists():
        raise SchemaError(f"There is no file or folder '{path}'. Check the path.")


def refuse_zip(path: Path, wanted: str) -> None:
    """For formats that are not read from zips.

    Args:
        path: Of a file or folder, or of nothing.
        wanted: What to give in its place.

    Raises:
        SchemaError: It is a zip, or a part of one.
    """
    if _starts_as_zip(path) or is_zip(path):
        raise SchemaError(f"'{path}' is a zip. Unpack it and give {wanted}.")


def refuse_torn_zip(path: Path) -> None:
    """For formats that are read from zips.

    Raises:
        SchemaError: It begins as a zip does and does not end so, as after a download that broke off.
    """
    if _starts_as_zip(path) and not is_zip(path):
        raise SchemaError(f"'{path}' is no whole zip. Export it again, or copy it again.")


def _starts_as_zip(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_ZIP_START)) == _ZIP_START
