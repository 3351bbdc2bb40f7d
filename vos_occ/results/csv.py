"""A table for spreadsheets and data frames: one row per object and frame, without the masks."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np

from vos_occ.results.output import FrameOrder, LineWriter
from vos_occ.structures import rle
from vos_occ.structures.frame_result import FrameResult

COLUMNS = ("frame", "time", "track_id", "label", "score", "x0", "y0", "x1", "y1", "area", "hidden", "hidden_by")


class CsvWriter:
    """Writes a line of column names, then one row per object, each whole on disk before the next one begins.

    Frames count from 0; boxes are xyxy in pixels, end-exclusive; `area` is of the visible mask, in pixels; what is
    unknown is empty; `hidden_by` holds track ids with blanks between them.

    Args:
        path: the file to write; it appears with its first frame, or on `close` for a video without frames.
        classes: class names; an object's label is an index into them.
        overwrite: replace an existing file.

    Raises:
        OutputExistsError: on construction, if the file exists and `overwrite` is False.
    """

    def __init__(self, path: str | Path, classes: Sequence[str], overwrite: bool = False) -> None:
        self._classes = list(classes)
        self._lines = LineWriter(path, overwrite)
        self._order = FrameOrder()
        self._has_columns = False

    def __enter__(self) -> CsvWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._lines.close(create=False)

    def write(self, result: FrameResult, time: float | None) -> None:
        """Append one frame's objects.

        Args:
            result: the frame; must come after the one before.
            time: presentation time in seconds, None when unknown.

        Raises:
            ValueError: if the frame is out of order or has an unknown label.
        """
        if len(result) and result.labels.max() >= len(self._classes):
            raise ValueError(f"{result!r} has label {result.labels.max()} of {len(self._classes)} classes.")
        self._order.advance(result.frame_index)
        self._write_columns()
        for i in range(len(result)):
            self._lines.write(_row(self._values(result, i, time)))

    def close(self) -> None:
        """Finish the file. Closing twice is harmless."""
        self._write_columns()
        self._lines.close()

    def _write_columns(self) -> None:
        if not self._has_columns:
            self._lines.write(_row(COLUMNS))
            self._has_columns = True

    def _values(self, result: FrameResult, i: int, time: float | None) -> tuple[object, ...]:
        hidden = None if result.hidden is None or np.isnan(result.hidden[i]) else result.hidden[i]
        return (
            result.frame_index,
            time,
            result.track_ids[i],
            self._classes[int(result.labels[i])],
            result.scores[i],
            *result.boxes[i],
            rle.area(result.masks[i]),
            hidden,
            " ".join(map(str, result.hidden_by(i))),
        )


def _row(values: Sequence[object]) -> str:
    """One line as spreadsheets read it; float32 in the shortest form that reads back to the same."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(values)  # both in it, so that names with either are quoted
    return text.getvalue().removesuffix("\r\n")
