"""MOTS text files: one per video, a line per object and frame, as KITTI MOTS and MOTSChallenge take them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TextIO

from vos_occ.results.mots_objects import (
    IGNORE_CLASS,
    INSTANCES_PER_CLASS,
    AppearanceIds,
    MotsIds,
    disjoint_masks,
    ignore_region,
)
from vos_occ.results.output import FrameOrder, reported, require_new, whole_file
from vos_occ.structures import rle
from vos_occ.structures.errors import InputError
from vos_occ.structures.frame_result import FrameResult


class MotsTxtWriter:
    """Writes `frame id class height width rle`, the id being class * 1000 + track id, as in MOTS images.

    A pixel belongs to one object: where masks overlap, the higher score wins, and an object that is left without a
    pixel has no line. A track keeps the class of its first frame. The file appears when it is closed, whole; until
    then it grows under a hidden name beside it.

    Args:
        path: the file to write; the benchmarks want it named after the sequence.
        class_ids: the class id of each label; None takes label + 1. Both benchmarks: 1 car, 2 pedestrian.
        first_frame: number of the first frame; KITTI MOTS 0, MOTSChallenge 1.
        renumber: number tracks as `AppearanceIds` does, instead of by track id.
        overwrite: replace an existing file.

    Raises:
        OutputExistsError: on construction, if the file exists and `overwrite` is False.
    """

    def __init__(
        self,
        path: str | Path,
        class_ids: Sequence[int] | None = None,
        *,
        first_frame: int = 0,
        renumber: bool = False,
        overwrite: bool = False,
    ) -> None:
        require_new(path, overwrite, folder=False)
        self.path = Path(path)
        self._ids = (AppearanceIds if renumber else MotsIds)("MOTS text", class_ids)
        self._first_frame = first_frame
        self._order = FrameOrder()
        self._stack = ExitStack()
        self._file: TextIO | None = None
        self._closed = False

    def __enter__(self) -> MotsTxtWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        elif not self._closed:
            self._closed = True
            self._stack.__exit__(kind, error, trace)

    def __repr__(self) -> str:
        return f"MotsTxtWriter({str(self.path)!r})"

    def write(self, result: FrameResult, ignored: rle.Rle | None = None) -> None:
        """Add one frame; frames without objects may be left out.

        Args:
            result: the frame.
            ignored: of ground truth: the region that is not scored.

        Raises:
            InputError: if a track id or class id does not fit into the format.
            ValueError: if the frame does not come after the one before, or the file is closed.
        """
        if self._closed:
            raise ValueError(f"'{self.path}' is closed.")
        ids = self._ids.of(result)
        if any(class_id == IGNORE_CLASS for class_id, _ in ids):
            raise InputError(f"MOTS text keeps class id {IGNORE_CLASS} for ignored regions. Choose other class ids.")
        self._order.advance(result.frame_index)
        frame, height, width = result.frame_index + self._first_frame, result.height, result.width
        lines = [
            f"{frame} {object_id} {class_id} {height} {width} {mask['counts']}\n"
            for (class_id, object_id), mask in zip(ids, disjoint_masks(result), strict=True)
            if rle.area(mask)
        ]
        if ignored is not None and (region := ignore_region(ignored, result)).any():
            counts = rle.encode(region)["counts"]
            lines.append(f"{frame} {IGNORE_CLASS * INSTANCES_PER_CLASS} {IGNORE_CLASS} {height} {width} {counts}\n")
        with reported(self.path):
            self._open().writelines(lines)

    def close(self) -> None:
        """Write the file, also an empty one. Closing twice is harmless."""
        if not self._closed:
            self._open()
            self._closed = True
            self._stack.close()

    def _open(self) -> TextIO:
        if self._file is None:
            part = self._stack.enter_context(whole_file(self.path))
            with reported(self.path, part):
                self._file = self._stack.enter_context(part.open("w", encoding="utf-8", newline="\n"))
        return self._file
