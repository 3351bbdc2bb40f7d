"""Where the sequences of a MOTS benchmark are: files in a folder or a zip, as the benchmarks publish them.

Known layouts, at any depth: `0001.txt` (KITTI MOTS), `0001/gt/gt.txt` with `0001/seqinfo.ini` (MOTSChallenge), and
`0001/000000.png` (both). Only the shallowest files of a kind count: the published zip of KITTI MOTS has other text
files below. Paths only, so this is cheap to send to a worker.
"""

from __future__ import annotations

import configparser
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from eval.errors import SchemaError
from eval.readers.archive import is_zip, list_members, read_members
from eval.readers.mots import MOST_FRAMES, MotsRows, parse_mots
from eval.readers.mots_png import parse_mots_png


@dataclass(frozen=True)
class MotsFiles:
    """The sequences of one side.

    Attributes:
        path: The folder, zip or single text file that was given.
        files: By sequence, sorted: its text file, or its images in frame order, as names inside of `path`.
        infos: By sequence, its seqinfo.ini where there is one.
    """

    path: Path
    files: Mapping[str, tuple[str, ...]]
    infos: Mapping[str, str]

    def __repr__(self) -> str:
        return f"MotsFiles({str(self.path)!r}: {len(self.files)} sequences)"

    def read(self, sequence: str) -> MotsRows:
        """The rows of a sequence, as they stand in its files.

        Raises:
            SchemaError: A file is not what its format says.
        """
        names = self.files[sequence]
        if names[0].endswith(".txt"):
            shown = names[0] if names[0].endswith("/gt.txt") else PurePosixPath(names[0]).name
            return parse_mots(self.contents(names)[0], shown)
        stems = [PurePosixPath(name).stem for name in names]
        return parse_mots_png(zip(map(int, stems), stems, self.contents(names), strict=True), sequence)

    def last_image(self, sequence: str) -> int | None:
        """Frame number of a sequence's last image, or None where it is a text file."""
        last = PurePosixPath(self.files[sequence][-1])
        return int(last.stem) if _is_frame(last) else None

    def length(self, sequence: str, first_frame: int) -> int | None:
        """Frames of a sequence as its seqinfo.ini or its images say; None where nothing does.

        Args:
            sequence: One of `files`.
            first_frame: Number of the frame that is counted as the first. In a sequence with a seqinfo.ini, which
                MOTSChallenge has, the last frame's number is the length.

        Raises:
            SchemaError: The seqinfo.ini does not state it.
        """
        last = self.last_image(sequence) if sequence not in self.infos else self._stated_length(sequence)
        return None if last is None else last + 1 - first_frame

    def _stated_length(self, sequence: str) -> int:
        info = configparser.ConfigParser()
        try:
            info.read_string(self.contents([self.infos[sequence]])[0].decode())
            length = info.getint("Sequence", "seqLength")
        except (configparser.Error, ValueError):
            length = -1
        if not 0 <= length <= MOST_FRAMES:
            raise SchemaError(
                f"{self.infos[sequence]} states no seqLength in a section [Sequence]. Add it, or remove the file."
            )
        return length

    def contents(self, names: Iterable[str]) -> list[bytes]:
        """What files of `files` or `infos` hold."""
        if self.path.is_dir():
            return [(self.path / name).read_bytes() for name in names]
        return read_members(self.path, names) if is_zip(self.path) else [self.path.read_bytes()]


def find_mots_files(path: Path) -> MotsFiles:
    """Look for sequences in a folder or zip, or take a single text file.

    Raises:
        SchemaError: There are none, it is neither, or a sequence is there twice.
    """
    names = [PurePosixPath(name) for name in _list(path)]
    visible = [name for name in names if not any(part.startswith((".", "__MACOSX")) for part in name.parts)]
    by_layout = (
        _shallowest((n, n.parts[-3]) for n in visible if len(n.parts) > 2 and n.parts[-2:] == ("gt", "gt.txt")),
        _shallowest((n, n.stem) for n in visible if n.suffix == ".txt"),
        _shallowest((n, n.parts[-2]) for n in visible if len(n.parts) > 1 and _is_frame(n)),
    )
    found = next((layout for layout in by_layout if layout), None)
    if found is None:
        raise SchemaError(f"'{path}' has no sequences. Expected 0001.txt, 0001/gt/gt.txt or 0001/000000.png in it.")
    files: dict[str, tuple[str, ...]] = {}
    for sequence in sorted(found):
        members = sorted(found[sequence], key=lambda name: (int(name.stem) if name.suffix == ".png" else 0, str(name)))
        if members[0].suffix == ".txt" and len(members) > 1 or len({name.parent for name in members}) > 1:
            both = f"'{members[0]}' and '{members[-1]}'"
            raise SchemaError(f"'{path}' has sequence {sequence} twice: {both}. Give the folder of one of them.")
        if members[0].suffix == ".png":
            _refuse_gaps([int(name.stem) for name in members], sequence, path)
        files[sequence] = tuple(map(str, members))
    infos = {name.parts[-2]: str(name) for name in visible if len(name.parts) > 1 and name.name == "seqinfo.ini"}
    return MotsFiles(path, files, infos)


def _is_frame(name: PurePosixPath) -> bool:
    return name.suffix == ".png" and _is_number(name.stem)


def _is_number(text: str) -> bool:
    """Whether a text is digits and not so many that it is none of a frame or a sequence."""
    return text.isascii() and text.isdecimal() and len(text) <= 18


def _refuse_gaps(numbers: list[int], sequence: str, path: Path) -> None:
    """An image that is missing would count as a frame in which nothing is."""
    if numbers[0] not in (0, 1) or numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        missing = next((i for i, number in enumerate(numbers, start=min(numbers[0], 1)) if number != i), None)
        raise SchemaError(
            f"'{path}' has no image of frame {missing} of sequence {sequence}. Write one for every frame, from 0 or 1, "
            "also where nothing is."
        )


def read_seqmap(path: Path, first_frame: int, header: bool = False) -> dict[str, int | None]:
    """Sequences in the order of the file, and their lengths where it has them.

    A row is `0001 empty 000000 000446`, the last frame at its end, or just a name. Numbers as names are written with
    four digits, as the officials do.

    Args:
        path: The seqmap.
        first_frame: Number of the first frame, which says what the last one means.
        header: Whether lists of names start with a row that is none, as in MOTSChallenge.

    Raises:
        SchemaError: There are no rows, a row is neither, or a sequence is there twice.
    """
    lengths: dict[str, int | None] = {}
    rows = [(number, line.split()) for number, line in enumerate(_text(path).splitlines(), start=1) if line.strip()]
    if header and rows and len(rows[0][1]) == 1:
        if rows[0][1][0].lower() != "name":
            raise SchemaError(f"{path}: the first row must be the header 'name', found '{rows[0][1][0]}'. Add it.")
        rows = rows[1:]
    for number, fields in rows:
        name = f"{int(fields[0]):04d}" if _is_number(fields[0]) else fields[0]
        if len(fields) not in (1, 4) or (
            len(fields) == 4 and not (_is_number(fields[3]) and int(fields[3]) <= MOST_FRAMES)
        ):
            raise SchemaError(f"{path}, line {number}: expected 'name' or 'name empty 000000 LAST_FRAME'. Correct it.")
        if name in lengths:
            raise SchemaError(f"{path}, line {number}: sequence {name} occurs twice. Remove one.")
        lengths[name] = int(fields[3]) + 1 - first_frame if len(fields) == 4 else None
    if not lengths:
        raise SchemaError(
            f"{path} lists no sequences. Give a seqmap, or leave it out to score all of the ground truth."
        )
    return lengths


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise SchemaError(f"'{path}' is not a seqmap. Expected a text file with one sequence per line.") from None


def _list(path: Path) -> list[str]:
    if path.is_dir():
        walk = os.walk(path, followlinks=True)
        return [(Path(folder) / name).relative_to(path).as_posix() for folder, _, names in walk for name in names]
    if is_zip(path):
        return list_members(path)
    if path.suffix == ".txt":
        return [path.name]
    raise SchemaError(f"'{path}' is neither a folder nor a zip nor a .txt file. Give the folder of the sequences.")


def _shallowest(files: Iterable[tuple[PurePosixPath, str]]) -> dict[str, list[PurePosixPath]]:
    """The files of least depth, by sequence."""
    by_depth: dict[int, dict[str, list[PurePosixPath]]] = defaultdict(lambda: defaultdict(list))
    for name, sequence in files:
        by_depth[len(name.parts)][sequence].append(name)
    return dict(by_depth[min(by_depth)]) if by_depth else {}
