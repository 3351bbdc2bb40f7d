"""MOTS text files: one mask per line, `frame id class height width counts`, a file per sequence, in a folder or a zip.

Classes are 1 car, 2 pedestrian, 10 ignore region. KITTI counts frames from 0, MOTSChallenge from 1. A line is read in
one of two ways that agree: whole files at once when every line is written as the benchmarks write it, or line by
line, which says what is wrong and where.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.errors import SchemaError
from eval.masks import MaskTable
from eval.readers.record import LARGEST_IMAGE

IGNORE_CLASS = 10
CLASSES = {"car": 1, "pedestrian": 2}

MOST_FRAMES = 1_000_000  # of a video: nine hours at 30 per second; memory grows with what a file says its length is

_FIELDS = ("frame", "id", "class", "height", "width")
_MAX_DIGITS = 18  # of a number that fits 64 bits for certain

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class MotsRows:
    """The lines of one file as they stand there, in the order of the file.

    Attributes:
        source: The file, for errors.
        numbers: (5, N) frames, ids, classes, heights and widths.
        counts: N compressed COCO run lengths; not looked at yet.
        lines: (N,) number of each line, from 1.
        record: What `lines` counts.
    """

    source: str
    numbers: Ints
    counts: list[str]
    lines: Ints
    record: str = "line"

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def frames(self) -> Ints:
        """(N,) as numbered in the file."""
        return self.numbers[0]

    @property
    def ids(self) -> Ints:
        """(N,)."""
        return self.numbers[1]

    @property
    def categories(self) -> Ints:
        """(N,) class ids."""
        return self.numbers[2]

    @property
    def heights(self) -> Ints:
        """(N,) of each mask."""
        return self.numbers[3]

    @property
    def widths(self) -> Ints:
        """(N,) of each mask."""
        return self.numbers[4]

    def keep(self, kept: NDArray[np.bool_]) -> MotsRows:
        """Without some rows.

        Args:
            kept: (N,) which of them stay.
        """
        if kept.all():
            return self
        counts = [code for code, stays in zip(self.counts, kept.tolist(), strict=True) if stays]
        return MotsRows(self.source, self.numbers[:, kept], counts, self.lines[kept], self.record)

    def table(
        self,
        first_frame: int = 0,
        num_frames: int | None = None,
        size: tuple[int, int] | None = None,
        classes: Collection[int] = (*CLASSES.values(), IGNORE_CLASS),
        nameless: Collection[int] = (),
        negative_ids: bool = False,
        cure: str = "Correct or remove the line.",
    ) -> MaskTable:
        """The masks in frame order, checked. Whether codes are broken and masks overlap shows when they are compared.

        Args:
            first_frame: Number of the video's first frame.
            num_frames: Length of the video; without it, up to the last frame that has a line.
            size: (height, width) that masks must have; without it, that of the first line.
            classes: Class ids that may occur.
            nameless: Class ids of which a frame may have several masks of one id.
            negative_ids: Whether ids may be negative.
            cure: What to do about a line of another class.

        Raises:
            SchemaError: A line does not fit; names file and line.
        """
        self._refuse(
            (self.ids < 0) & (not negative_ids),
            lambda i: f"the id is {self.ids[i]}, expected 0 or more",
            "Number tracks from 1.",
        )
        self._refuse(
            ~np.isin(self.categories, list(classes)),
            lambda i: f"the class is {self.categories[i]}, expected one of {', '.join(map(str, classes))}",
            cure,
        )
        if num_frames is None:
            num_frames = int(self.frames.max(initial=first_frame - 1)) - first_frame + 1
        refuse_endless(num_frames, self.source)
        last_frame = first_frame + num_frames - 1
        self._refuse(
            (self.frames < first_frame) | (self.frames > last_frame),
            lambda i: (
                f"frame {self.frames[i]} is outside of the sequence, which has "
                + (f"{first_frame} to {last_frame}" if num_frames else "none")
            ),
            f"Count frames from {first_frame}, and give sequences their length by a seqmap.",
        )
        height, width = self._size(size)
        order = np.arange(len(self))
        if (np.diff(self.frames) < 0).any():
            order = np.argsort(self.frames, kind="stable")
        self._refuse_repeated_ids(nameless)
        return MaskTable(
            height,
            width,
            num_frames,
            self.frames[order] - first_frame,
            self.ids[order],
            self.categories[order],
            [self.counts[row] for row in order.tolist()],
            source=self.source,
            records=self.lines[order],
            record=self.record,
        )

    def error(self, row: int, problem: str, cure: str) -> SchemaError:
        """`0003.txt, line 17: the class is 7, expected one of 1, 2, 10. Correct or remove the line.`"""
        return SchemaError(f"{self.source}, {self.record} {self.lines[row]}: {problem}. {cure}")

    def _refuse(self, wrong: NDArray[np.bool_], problem: Callable[[int], str], cure: str) -> None:
        if wrong.any():
            row = int(wrong.argmax())
            raise self.error(row, problem(row), cure)

    def _size(self, size: tuple[int, int] | None) -> tuple[int, int]:
        if not len(self):
            return size or (0, 0)
        height, width = size or (int(self.heights[0]), int(self.widths[0]))
        if height * width > LARGEST_IMAGE:
            raise self.error(
                0, f"the mask is {height} x {width}, more than {LARGEST_IMAGE} pixels", "Correct the line."
            )
        whose = "the ground truth's masks have" if size else f"those before, from line {self.lines[0]} on, have"
        self._refuse(
            (self.heights != height) | (self.widths != width) | (self.heights < 1) | (self.widths < 1),
            lambda i: (
                f"the mask is {self.heights[i]} x {self.widths[i]} (height x width), but {whose} {height} x {width}"
            ),
            "Export masks at the size of the frames.",
        )
        return height, width

    def _refuse_repeated_ids(self, nameless: Collection[int]) -> None:
        named = np.flatnonzero(~np.isin(self.categories, list(nameless)))
        order = named[np.lexsort((named, self.ids[named], self.frames[named]))]
        ids, frames = self.ids[order], self.frames[order]
        again = np.flatnonzero((ids[1:] == ids[:-1]) & (frames[1:] == frames[:-1]))
        if len(again):
            row, before = int(order[again[0] + 1]), int(order[again[0]])
            problem = (
                f"id {self.ids[row]} occurs twice in frame {self.frames[row]}, first in {self.record} "
                f"{self.lines[before]}"
            )
            raise self.error(row, problem, "An object has one mask per frame, and ids count across classes.")


def refuse_endless(num_frames: int, source: str) -> None:
    """Complain of a length that no video has.

    Raises:
        SchemaError: It is longer than MOST_FRAMES.
    """
    if num_frames > MOST_FRAMES:
        raise SchemaError(
            f"{source} is {num_frames} frames long, expected at most {MOST_FRAMES}. Correct the frame or length."
        )


def parse_mots(data: bytes, source: str) -> MotsRows:
    """Split a text file; an empty one has no rows, empty lines are skipped.

    Raises:
        SchemaError: A line does not have six fields, or the first five are not whole numbers; names file and line.
    """
    if data and not data.endswith(b"\n"):
        data += b"\n"
    rows = _parse_regular(data, source)
    return _parse_lines(data, source) if rows is None else rows


def _parse_regular(data: bytes, source: str) -> MotsRows | None:
    """A file in which every line is five unsigned numbers and a code, one space between; None for another."""
    text = np.frombuffer(data, np.uint8)
    separators = np.flatnonzero(text <= ord(" "))
    if len(separators) % 6 or (text > 127).any():
        return None
    starts = np.append(-1, separators)[:-1].reshape(-1, 6) + 1
    stops = separators.reshape(-1, 6)
    if (text[stops] != np.frombuffer(b"     \n", np.uint8)).any() or (starts == stops).any():
        return None
    numbers = _unsigned(text, starts[:, :5].T, stops[:, :5].T)
    if numbers is None:
        return None
    characters = data.decode("ascii")
    codes = zip(starts[:, 5].tolist(), stops[:, 5].tolist(), strict=True)
    counts = [characters[start:stop] for start, stop in codes]
    return MotsRows(source, numbers, counts, np.arange(1, len(counts) + 1))


def _unsigned(text: NDArray[np.uint8], starts: Ints, stops: Ints) -> Ints | None:
    """The numbers written at text[starts:stops]; None where any is not all digits."""
    lengths = stops - starts
    longest = int(lengths.max(initial=0))
    if longest > _MAX_DIGITS:
        return None
    values = np.zeros(starts.shape, np.int64)
    for k in range(longest):
        there = lengths > k
        digits = text[np.where(there, starts + k, 0)].astype(np.int64) - ord("0")
        if (there & ((digits < 0) | (digits > 9))).any():
            return None
        values = np.where(there, 10 * values + digits, values)
    return values


def _parse_lines(data: bytes, source: str) -> MotsRows:
    try:
        lines = data.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise SchemaError(f"{source} is not a MOTS text file. Expected lines of {_expected()}.") from None
    numbers, counts, where = [], [], []
    for line_number, line in enumerate(lines, start=1):
        fields = line.split()
        if fields:
            numbers.append(_numbers(fields, f"{source}, line {line_number}"))
            counts.append(fields[5])
            where.append(line_number)
    return MotsRows(source, np.array(numbers, np.int64).reshape(-1, 5).T, counts, np.array(where, np.int64))


def _numbers(fields: list[str], place: str) -> list[int]:
    if len(fields) != 6:
        raise SchemaError(f"{place}: expected {_expected()}, found {len(fields)} fields. Correct or remove the line.")
    for name, field in zip(_FIELDS, fields, strict=False):
        digits = field[1:] if field[0] in "+-" else field
        if not digits.isdecimal() or len(digits) > _MAX_DIGITS:
            raise SchemaError(f"{place}: the {name} is {field[:40]!r}, expected a whole number. Correct the line.")
    return [int(field) for field in fields[:5]]


def _expected() -> str:
    return "'frame id class height width counts'"
