"""The toolkit's own result file, schema `vos_occ/1`: a header line, then one JSON line per frame, as they come.

Undefined values are null. Numbers are written in the shortest form that reads back to the same float32. Reading is in
`jsonl_reader.py`.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vos_occ.results.header import BOX_CONVENTION, SCHEMA, Header
from vos_occ.results.jsonl_reader import JsonlVideo, read_jsonl
from vos_occ.results.output import FrameOrder, LineWriter
from vos_occ.results.records import to_json
from vos_occ.structures.frame_result import FrameResult

__all__ = ["Header", "JsonlVideo", "JsonlWriter", "read_jsonl"]


class JsonlWriter:
    """Writes a video's results frame by frame; every line is whole on disk before the next one begins.

    Args:
        path: the file to write; it appears with its first frame, or on `close` for a video without frames.
        header: what holds for the whole file.
        overwrite: replace an existing file.

    Raises:
        OutputExistsError: on construction, if the file exists and `overwrite` is False.
    """

    def __init__(self, path: str | Path, header: Header, overwrite: bool = False) -> None:
        self.header = header
        self._lines = LineWriter(path, overwrite)
        self._order = FrameOrder()
        self._has_header = False

    def __enter__(self) -> JsonlWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._lines.close(create=False)

    def write(self, result: FrameResult, time: float | None) -> None:
        """Append one frame.

        Args:
            result: the frame; must come after the one before.
            time: presentation time in seconds, None when unknown.

        Raises:
            ValueError: if the frame is out of order, of another size than the header, has an unknown label, or the
                time is not finite.
        """
        self._check(result, time)
        line = to_json(_frame_record(result, time, self.header.classes))
        self._order.advance(result.frame_index)
        self._write_header()
        self._lines.write(line)

    def close(self) -> None:
        """Finish the file. Closing twice is harmless."""
        self._write_header()
        self._lines.close()

    def _write_header(self) -> None:
        if not self._has_header:
            self._lines.write(to_json(_header_record(self.header)))
            self._has_header = True

    def _check(self, result: FrameResult, time: float | None) -> None:
        if time is not None and not math.isfinite(time):
            raise ValueError(f"{result!r} has time {time}; give None when it is unknown.")
        expected = (self.header.height, self.header.width)
        if (result.height, result.width) != expected:
            raise ValueError(f"{result!r} differs from the header's size {expected[0]}x{expected[1]}.")
        if len(result) and result.labels.max() >= len(self.header.classes):
            raise ValueError(f"{result!r} has label {result.labels.max()} of {len(self.header.classes)} classes.")


def _header_record(header: Header) -> dict[str, Any]:
    fields = asdict(header)
    model = {key: fields.pop(key) for key in ("model", "checkpoint_sha256")}
    return {"type": "header", "schema": SCHEMA, **fields, "box": BOX_CONVENTION, **model}


def _frame_record(result: FrameResult, time: float | None, classes: tuple[str, ...]) -> dict[str, Any]:
    objects = [_object_record(result, i, classes) for i in range(len(result))]
    return {"type": "frame", "frame_index": result.frame_index, "time": time, "objects": objects}


def _object_record(result: FrameResult, i: int, classes: tuple[str, ...]) -> dict[str, Any]:
    hidden = None if result.hidden is None or np.isnan(result.hidden[i]) else _shortest(result.hidden[i : i + 1])[0]
    return {
        "track_id": int(result.track_ids[i]),
        "label": classes[int(result.labels[i])],
        "label_id": int(result.labels[i]),
        "score": _shortest(result.scores[i : i + 1])[0],
        "box": _shortest(result.boxes[i]),
        "mask": result.masks[i],
        "occluder": None if result.occluder_masks is None else result.occluder_masks[i],
        "hidden": hidden,
        "hidden_by": result.hidden_by(i),
    }


def _shortest(values: NDArray[np.float32]) -> list[float]:
    """The floats whose decimal form is the shortest that gives these float32 back: 0.1, not 0.10000000149011612."""
    return [float(str(value)) for value in values]
