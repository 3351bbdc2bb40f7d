"""How hidden each object of a MOTS benchmark is: KITTI's tracking labels, or a file of hidden fractions per sequence.

One text file per sequence, named as in the ground truth, in a folder or zip. KITTI's label_02 has 17 columns, of which
`frame id type truncated occluded` come first; its ids are those of KITTI MOTS modulo 1000. A file of fractions has
three, `frame id hidden`, with frames and ids as the ground truth has them. The number of columns says which it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

import numpy as np

from eval.by_occlusion import KITTI_SCALE, RATE_SCALE, OcclusionScale, rate_levels
from eval.errors import SchemaError
from eval.readers.mots_files import MotsFiles, find_mots_files
from eval.sequences import Ints

Kind = Literal["labels", "fractions"]

INSTANCES_PER_CLASS = 1000  # a KITTI MOTS id is class * 1000 + KITTI's track id

_COLUMNS: dict[int, Kind] = {17: "labels", 3: "fractions"}
_EXPECTED = "the 17 columns of KITTI's label_02, or 'frame id hidden'"


class _Label(NamedTuple):
    line: int
    level: int


@dataclass(frozen=True)
class OcclusionFiles:
    """The files of all sequences: paths, nothing read yet.

    Attributes:
        files: Where they are.
        kind: What they hold.
    """

    files: MotsFiles
    kind: Kind

    @property
    def scale(self) -> OcclusionScale:
        """What the levels mean."""
        return KITTI_SCALE if self.kind == "labels" else RATE_SCALE

    def levels(self, sequence: str, frames: Ints, ids: Ints) -> Ints:
        """Level of each true mask of a sequence; those that no line tells of are not labelled.

        Args:
            sequence: Its name.
            frames, ids: (N,) of each mask, as they stand in the ground truth's files.

        Raises:
            SchemaError: The sequence has no file, a line is wrong, or none tells of a mask.
        """
        if sequence not in self.files.files:
            raise SchemaError(
                f"'{self.files.path}' has no occlusion levels of sequence {sequence}. Add {sequence}.txt."
            )
        labels = self._read(sequence)
        track_ids = ids % INSTANCES_PER_CLASS if self.kind == "labels" else ids
        found = [labels.get(key) for key in zip(frames.tolist(), track_ids.tolist(), strict=True)]
        if labels and found and not any(found):
            raise SchemaError(
                f"{self._name(sequence)}: none of its {len(labels)} lines tells of one of the {len(found)} true masks. "
                f"Number frames and ids alike{' (ids modulo 1000)' if self.kind == 'labels' else ''}."
            )
        unknown = self.scale.not_labelled
        return np.array([unknown if label is None else label.level for label in found], np.int64)

    def _name(self, sequence: str) -> str:
        return PurePosixPath(self.files.files[sequence][0]).name

    def _read(self, sequence: str) -> dict[tuple[int, int], _Label]:
        labels: dict[tuple[int, int], _Label] = {}
        source = self._name(sequence)
        for number, columns in _lines(self.files, sequence):
            place = f"{source}, line {number}"
            if _COLUMNS.get(len(columns)) != self.kind:
                expected = next(count for count, kind in _COLUMNS.items() if kind == self.kind)
                raise SchemaError(
                    f"{place}: expected {expected} columns as in the other files, found {len(columns)}. Correct it."
                )
            frame, track = _whole(columns[0], "frame", place), _whole(columns[1], "id", place)
            if frame < 0:
                raise SchemaError(f"{place}: the frame is {frame}, expected 0 or more. Correct the line.")
            if self.kind == "labels" and track < 0:  # DontCare: a region, no object
                continue
            level = _occluded(columns[4], place) if self.kind == "labels" else _fraction_level(columns[2], place)
            if (frame, track) in labels:
                first = labels[frame, track].line
                raise SchemaError(
                    f"{place}: id {track} occurs twice in frame {frame}, first in line {first}. Remove one."
                )
            labels[frame, track] = _Label(number, level)
        return labels


def find_occlusion_files(path: Path) -> OcclusionFiles:
    """Look for label_02 or hidden fractions in a folder or zip, or take a single text file.

    Raises:
        SchemaError: There are none, or the first that has a line is neither.
    """
    files = find_mots_files(path)
    for sequence in files.files:
        for number, columns in _lines(files, sequence)[:1]:
            if len(columns) not in _COLUMNS:
                place = f"{PurePosixPath(files.files[sequence][0]).name}, line {number}"
                raise SchemaError(f"{place}: expected {_EXPECTED}, found {len(columns)} columns. Check --by-occlusion.")
            return OcclusionFiles(files, _COLUMNS[len(columns)])
    raise SchemaError(f"'{path}' has no line in any of its files. Expected {_EXPECTED} per line.")


def _lines(files: MotsFiles, sequence: str) -> Sequence[tuple[int, list[str]]]:
    """Number and columns of every line that is not empty."""
    names = files.files[sequence]
    if not names[0].endswith(".txt"):
        raise SchemaError(f"'{files.path}' has images of sequence {sequence}, expected {sequence}.txt: {_EXPECTED}.")
    try:
        text = files.contents(names)[0].decode()
    except UnicodeDecodeError:
        raise SchemaError(f"{PurePosixPath(names[0]).name} is not a text file. Expected {_EXPECTED}.") from None
    split = ((number, line.split()) for number, line in enumerate(text.splitlines(), start=1))
    return [(number, columns) for number, columns in split if columns]


def _whole(text: str, what: str, place: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise SchemaError(f"{place}: the {what} is '{text[:40]}', expected a whole number. Correct the line.") from None


def _occluded(text: str, place: str) -> int:
    if text not in ("0", "1", "2", "3"):
        raise SchemaError(f"{place}: occluded is '{text[:40]}', expected 0, 1, 2 or 3 (column 5). Correct the line.")
    return int(text)


def _fraction_level(text: str, place: str) -> int:
    try:
        fraction = float(text)
    except ValueError:
        fraction = -1.0
    if not 0 <= fraction <= 1:
        raise SchemaError(
            f"{place}: the hidden fraction is '{text[:40]}', expected a number in [0, 1]. Leave out what is not known."
        )
    return int(rate_levels(fraction))
