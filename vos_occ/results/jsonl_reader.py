"""Reads `vos_occ/1` result files, checks every field, and says where and what to do when one is wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from eval.readers.record import is_number
from vos_occ.results.header import BOX_CONVENTION, SCHEMA, Header
from vos_occ.structures import rle
from vos_occ.structures.errors import InputError, SchemaError
from vos_occ.structures.frame_result import FrameResult
from vos_occ.structures.occlusion import OcclusionOrder
from vos_occ.structures.rle import Rle

Number = (int, float)


@dataclass(frozen=True)
class JsonlVideo:
    """A result file in memory.

    Attributes:
        header: what holds for the whole file.
        frames: the frames that were written, in order. A field that is null for every object of a frame is None.
        times: presentation time of each frame in seconds, None where unknown.
        torn: the writer was stopped in the middle of the last line, which was dropped.
    """

    header: Header
    frames: list[FrameResult]
    times: list[float | None]
    torn: bool = False

    def __len__(self) -> int:
        return len(self.frames)

    def __repr__(self) -> str:
        return f"JsonlVideo({self.header.video!r}, {len(self)} frames{', torn' if self.torn else ''})"


def read_jsonl(path: str | Path) -> JsonlVideo:
    """Read and check a result file; a last line that was cut off is dropped.

    Raises:
        InputError: if there is no such file.
        SchemaError: if a line is not what the schema says; names file, line, field and cure.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"No result file '{path}'. Check the path.")
    header: Header | None = None
    frames: list[FrameResult] = []
    times: list[float | None] = []
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            line = _Line(path, number)
            try:
                record = line.parse(raw)
            except SchemaError:
                if header is not None and not raw.endswith(b"\n"):
                    return JsonlVideo(header, frames, times, torn=True)
                raise
            if header is None:
                header = line.header(record)
                continue
            result, time = line.frame(record, header)
            if frames and result.frame_index <= frames[-1].frame_index:
                line.fail(f"frame {result.frame_index} comes after frame {frames[-1].frame_index}")
            frames.append(result)
            times.append(time)
    if header is None:
        raise SchemaError(f"{path} is empty, expected a {SCHEMA} header. Write the file again.")
    return JsonlVideo(header, frames, times)


@dataclass(frozen=True)
class _Line:
    """One line of a file: where errors are."""

    path: Path
    number: int

    def fail(self, problem: str) -> NoReturn:
        raise SchemaError(f"{self.path}, line {self.number}: {problem}. Fix the line or write the file again.")

    def parse(self, raw: bytes) -> Mapping[str, Any]:
        try:
            record = json.loads(raw.decode("utf-8"), parse_constant=self._refuse_constant)
        except ValueError as error:
            self.fail(f"not a JSON line ({error})")
        except RecursionError:
            self.fail("lists or objects are nested too deeply")
        if not isinstance(record, dict):
            self.fail("expected a JSON object")
        return record

    def header(self, record: Mapping[str, Any]) -> Header:
        schema = record.get("schema")
        if record.get("type") != "header" or schema != SCHEMA:
            self.fail(f"expected a header of schema {SCHEMA}, found type {record.get('type')!r}, schema {schema!r}")
        if record.get("box") != BOX_CONVENTION:
            self.fail(f"box is {record.get('box')!r}, expected {BOX_CONVENTION!r}")
        classes = self._get(record, "classes", (list,))
        if not all(isinstance(name, str) for name in classes):
            self.fail("classes must be a list of names")
        try:
            return Header(
                video=self._get(record, "video", (str,)),
                width=self._get(record, "width", (int,)),
                height=self._get(record, "height", (int,)),
                fps=self._get(record, "fps", Number, nullable=True),
                frames=self._get(record, "frames", (int,), nullable=True),
                classes=tuple(classes),
                model=self._get(record, "model", (str,), nullable=True),
                checkpoint_sha256=self._get(record, "checkpoint_sha256", (str,), nullable=True),
            )
        except ValueError as error:
            self.fail(str(error))

    def frame(self, record: Mapping[str, Any], header: Header) -> tuple[FrameResult, float | None]:
        if record.get("type") != "frame":
            self.fail(f"expected a line of type 'frame', found {record.get('type')!r}")
        index = self._get(record, "frame_index", (int,))
        time = self._get(record, "time", Number, nullable=True)
        objects = self._get(record, "objects", (list,))
        for i, item in enumerate(objects):
            if not isinstance(item, dict):
                self.fail(f"objects[{i}] is not a JSON object")
        try:
            with np.errstate(over="ignore"):  # too large for float32 becomes infinite, which FrameResult refuses
                return self._frame_result(index, objects, header), time
        except (ValueError, TypeError, OverflowError) as error:
            self.fail(str(error).removesuffix("."))

    def _frame_result(self, index: int, objects: Sequence[Mapping[str, Any]], header: Header) -> FrameResult:
        """Columns from rows; what is null for all objects is unknown."""
        rows = [self._object(item, f"objects[{i}].", header) for i, item in enumerate(objects)]
        occluders = [row["occluder"] for row in rows]
        hidden = [row["hidden"] for row in rows]
        track_ids = [row["track_id"] for row in rows]
        return FrameResult(
            frame_index=index,
            height=header.height,
            width=header.width,
            track_ids=np.array(track_ids, np.int64),
            labels=np.array([row["label_id"] for row in rows], np.int64),
            scores=np.array([row["score"] for row in rows], np.float32),
            boxes=np.array([row["box"] for row in rows], np.float32).reshape(-1, 4),
            masks=[row["mask"] for row in rows],
            occluder_masks=None if all(mask is None for mask in occluders) else occluders,
            hidden=None if all(value is None for value in hidden) else np.array(hidden, np.float32),
            order=self._order(track_ids, [row["hidden_by"] for row in rows]),
        )

    def _object(self, item: Mapping[str, Any], at: str, header: Header) -> dict[str, Any]:
        label = self._get(item, "label_id", (int,), at)
        if not 0 <= label < len(header.classes) or item.get("label") != header.classes[label]:
            self.fail(f"{at}label_id {label} and label {item.get('label')!r} do not name one of the header's classes")
        box = self._get(item, "box", (list,), at)
        if len(box) != 4 or not all(_is_a(value, Number) for value in box):
            self.fail(f"{at}box is {box}, expected four numbers")
        hidden_by = self._get(item, "hidden_by", (list,), at)
        occluder = self._get(item, "occluder", (dict,), at, nullable=True)
        return {
            "track_id": self._get(item, "track_id", (int,), at),
            "label_id": label,
            "score": self._get(item, "score", Number, at),
            "box": box,
            "mask": self._mask(self._get(item, "mask", (dict,), at), f"{at}mask", header),
            "occluder": None if occluder is None else self._mask(occluder, f"{at}occluder", header),
            "hidden": self._get(item, "hidden", Number, at, nullable=True),
            "hidden_by": hidden_by,
        }

    def _mask(self, value: Mapping[str, Any], name: str, header: Header) -> Rle:
        try:
            return rle.parse(value, header.height, header.width)
        except ValueError as error:
            self.fail(f"{name}: {error}")

    def _order(self, track_ids: Sequence[int], hidden_by: Sequence[Sequence[Any]]) -> OcclusionOrder | None:
        if not any(hidden_by):
            return None
        index = {track_id: i for i, track_id in enumerate(track_ids)}
        matrix = np.zeros((len(track_ids), len(track_ids)), bool)
        for j, occluders in enumerate(hidden_by):
            for track_id in occluders:
                if not _is_a(track_id, (int,)) or track_id not in index:
                    self.fail(f"objects[{j}].hidden_by names {track_id!r}, which is no track of this frame")
                matrix[index[track_id], j] = True
        return OcclusionOrder(matrix)

    def _get(
        self, record: Mapping[str, Any], key: str, kinds: tuple[type, ...], at: str = "", nullable: bool = False
    ) -> Any:
        """The field's value, if it is there and of one of these kinds."""
        if key not in record:
            self.fail(f"{at}{key} is missing")
        value = record[key]
        fits = _is_a(value, kinds) and (kinds != Number or is_number(value))
        if not fits and not (value is None and nullable):
            names = " or ".join(["number" if kinds == Number else kinds[0].__name__, *(["null"] if nullable else [])])
            self.fail(f"{at}{key} is {value!r}, expected {names}")
        return value

    def _refuse_constant(self, name: str) -> NoReturn:
        raise ValueError(f"{name} is not JSON, an undefined value is null")


def _is_a(value: object, kinds: tuple[type, ...]) -> bool:
    """isinstance, but true and false are no numbers."""
    return isinstance(value, kinds) and not isinstance(value, bool)
