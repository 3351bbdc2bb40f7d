"""The zip that a server takes: its files at the root, byte for byte the same whenever it is made."""

from __future__ import annotations

import re
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from eval.errors import SchemaError
from eval.readers.archive import is_zip, list_members, unpack_members
from vos_occ.results.output import require_new, whole_file
from vos_occ.results.submission_report import SubmissionReport

_DATE = (1980, 1, 1, 0, 0, 0)  # the first that a zip can tell
_FILE_MODE = 0o100644 << 16
_UNIX = 3
_MAGIC = b"PK\x03\x04"


def looks_like_zip(path: Path) -> bool:
    """Whether a file is meant to be a zip, be it whole or not."""
    if path.suffix.lower() == ".zip":
        return True
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def unpack(path: Path, names: str, folder: Path, report: SubmissionReport) -> dict[str, Path]:
    """The files of a submission's zip that lie where the server looks for them.

    Args:
        path: a zip, whole or not.
        names: regular expression of the names that the server reads, with the folders that they have in the zip.
        folder: an empty folder for them.
        report: takes what is wrong with the zip.

    Returns:
        Name -> place of the file in `folder`; empty when there are none.
    """
    found: dict[str, Path] = {}
    if not is_zip(path):
        cut = f"'{path}' is no whole zip: its table of contents, which comes last, is not there"
        report.defect("broken zip", f"{cut}. Copy or make it again.")
        return found
    try:
        members = list_members(path)
        found = {member: folder / member for member in members if re.fullmatch(names, member)}
        for target in found.values():
            target.parent.mkdir(parents=True, exist_ok=True)
        unpack_members(path, found)
    except SchemaError as error:
        report.defect("broken zip", str(error))
        return {}
    _look_at_others(path, [member for member in members if member not in found], names, report)
    return found


def _look_at_others(path: Path, members: list[str], names: str, report: SubmissionReport) -> None:
    for member in members:
        name = PurePosixPath(member)
        hidden = name.name.startswith(".") or "__MACOSX" in name.parts  # what macOS adds
        below = ("/".join(name.parts[k:]) for k in range(1, len(name.parts)))
        wanted = None if hidden else next((place for place in below if re.fullmatch(names, place)), None)
        if wanted is not None:
            root = "at its root, in no folder" if "/" not in wanted else "with no folder around it"
            report.defect("nested zip", f"'{path}' holds '{member}', expected '{wanted}' {root}. Zip what is inside.")
        elif name.suffix == ".zip":
            report.defect("nested zip", f"'{path}' holds another zip, '{member}'. Zip the files themselves.")
        else:
            report.warn(f"'{path}' holds '{member}' too, which the server does not look at.")


def write_zip(files: Mapping[str, Path], out: str | Path, overwrite: bool = False) -> None:
    """Write files at the root of a zip; the same files give the same bytes.

    Args:
        files: name in the zip -> file.
        out: the zip; appears when it is whole.
        overwrite: replace an existing file.

    Raises:
        OutputExistsError: `out` exists and `overwrite` is False.
        UserError: it cannot be written.
    """
    require_new(out, overwrite, folder=False)
    with whole_file(out) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name in sorted(files):
            member = zip_member(name)
            member.file_size = files[name].stat().st_size  # by which zipfile chooses the form for large files
            with files[name].open("rb") as source, archive.open(member, "w") as target:
                shutil.copyfileobj(source, target, 1 << 20)


def zip_member(name: str) -> zipfile.ZipInfo:
    """A file of a zip that says nothing of when and by whom it was made."""
    member = zipfile.ZipInfo(name, _DATE)
    member.create_system, member.external_attr = _UNIX, _FILE_MODE
    member.compress_type = zipfile.ZIP_DEFLATED
    return member
