"""MOT challenge text files: boxes with ids, one line per object and frame.

`frame, id, left, top, width, height, confidence, ...`, frames and pixels counted from 1. In ground truth a
confidence of 0 marks an object that is not scored.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eval.errors import SchemaError
from eval.readers.mots import MOST_FRAMES


@dataclass(frozen=True)
class MotFrame:
    """The objects of one frame.

    Attributes:
        ids: (N,) int64, each once.
        boxes: (N, 4) float64 xyxy, 0-based pixels, end-exclusive.
    """

    ids: NDArray[np.int64]
    boxes: NDArray[np.float64]


def read_mot(path: str | Path, num_frames: int | None = None) -> list[MotFrame]:
    """Objects by 0-based frame; lines of confidence 0 are left out.

    Args:
        path: the text file; empty lines are skipped, an empty file is no objects.
        num_frames: length of the video; without it, the last frame that has a line.

    Raises:
        SchemaError: there is no such file, it is no text, or a line has fewer than six numbers, the last is cut off, an
            id twice in a frame, a box of negative size, or a frame outside the video.
    """
    rows: dict[int, dict[int, tuple[float, ...]]] = defaultdict(dict)
    most = MOST_FRAMES if num_frames is None else num_frames
    text = _text(Path(path))
    columns = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            columns.append(_read_line(line, f"{path}, line {number}", rows, most))
    if not text.endswith("\n") and len(columns) > 1 and columns[-1] != columns[-2]:
        found = f"{columns[-1]} numbers and no end, but the line before has {columns[-2]}"
        raise SchemaError(f"{path}: the last line has {found}. It was cut off; write the file again.")
    length = num_frames if num_frames is not None else max(rows, default=0)
    empty = _frame({})
    return [_frame(rows[t]) if t in rows else empty for t in range(1, length + 1)]


def _text(path: Path) -> str:
    if not path.is_file():
        raise SchemaError(f"There is no file '{path}'. Check the path.")
    try:
        return path.read_text(encoding="utf-8")
    except ValueError as error:
        raise SchemaError(f"'{path}' is not a text file. Expected lines of frame, id, left, top, ...") from error


def _read_line(line: str, where: str, rows: dict[int, dict[int, tuple[float, ...]]], num_frames: int) -> int:
    """Add one line to its frame; returns how many numbers it has."""
    try:
        values = [float(value) for value in line.replace(",", " ").split()]
    except ValueError as error:
        raise SchemaError(f"{where}: expected comma-separated numbers, found {line[:60]!r}.") from error
    if len(values) < 6 or not np.isfinite(values).all():
        raise SchemaError(f"{where}: expected frame, id, left, top, width, height, found {line[:60]!r}.")
    frame, track_id = int(values[0]), int(values[1])
    if (frame, track_id) != (values[0], values[1]):
        raise SchemaError(f"{where}: frame and id must be whole numbers, found {line[:60]!r}.")
    if not 1 <= frame <= num_frames:
        raise SchemaError(f"{where}: frame {frame} is outside 1..{num_frames}; MOT files count from 1.")
    if abs(track_id) >= 2**53:
        raise SchemaError(f"{where}: id {track_id} is larger than any that a number of a text file keeps apart.")
    if min(values[4:6]) < 0 or not np.isfinite(sum(values[2:6])):
        raise SchemaError(f"{where}: the box has width {values[4]:g} and height {values[5]:g}, expected 0 or more.")
    if track_id in rows[frame]:
        raise SchemaError(f"{where}: id {track_id} occurs twice in frame {frame}.")
    if len(values) < 7 or values[6] != 0:
        rows[frame][track_id] = tuple(values[2:6])
    return len(values)


def _frame(objects: dict[int, tuple[float, ...]]) -> MotFrame:
    boxes = np.array(list(objects.values()), np.float64).reshape(-1, 4)
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1) - 1
    return MotFrame(np.array(list(objects), np.int64), corners)
