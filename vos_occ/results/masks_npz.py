"""All masks of a video in one npz: flat columns that numpy reads alone, with run lengths in place of pictures.

One file per video and not per frame: an hour of video would be a hundred thousand files, and a column over all frames
is what one computes with. No mask is ever dense, and no list grows with the video: each column is spooled to a nameless
file beside the output, and the npz is put together from these when the video ends.
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from vos_occ.results.output import FrameOrder, reported, require_new, whole_file
from vos_occ.structures import rle
from vos_occ.structures.frame_result import FrameResult


class MasksNpzWriter:
    """Writes the arrays `frame track_id label score box hidden run_ends runs` and `frames times size classes`.

    The first six have an entry per object and frame, in frame order. Object i has the run lengths
    `runs[run_ends[i - 1]:run_ends[i]]` (from 0 for the first): pixels off, on, off, ... down the columns, as in COCO's
    uncompressed encoding. `hidden` is nan where it is unknown, as are `times`. The file appears when it is closed,
    whole; a killed process leaves nothing.

    Args:
        path: the file to write.
        height: frame height in pixels.
        width: frame width in pixels.
        classes: class names; an object's label is an index into them.
        overwrite: replace an existing file.

    Raises:
        OutputExistsError: on construction, if the file exists and `overwrite` is False.
    """

    def __init__(
        self, path: str | Path, height: int, width: int, classes: tuple[str, ...], overwrite: bool = False
    ) -> None:
        require_new(path, overwrite, folder=False)
        self.path = Path(path)
        self._size = height, width
        self._classes = tuple(classes)
        self._order = FrameOrder()
        self._columns: dict[str, _Column] = {}
        self._num_runs = 0
        self._closed = False

    def __enter__(self) -> MasksNpzWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._discard()

    def __repr__(self) -> str:
        return f"MasksNpzWriter({str(self.path)!r})"

    def write(self, result: FrameResult, time: float | None) -> None:
        """Add one frame.

        Args:
            result: the frame; must come after the one before.
            time: presentation time in seconds, None when unknown.

        Raises:
            ValueError: if the frame is out of order or of another size, or the file is closed.
            UserError: if the disk is full, or the folder cannot be written to.
        """
        if self._closed:
            raise ValueError(f"'{self.path}' is closed.")
        if (result.height, result.width) != self._size:
            raise ValueError(f"{result!r} differs from the video's size {self._size[0]}x{self._size[1]}.")
        self._order.advance(result.frame_index)
        try:
            with reported(self.path):
                self._append(result, np.nan if time is None else time)
        except BaseException:
            self._discard()  # half a frame is in: columns of unequal length
            raise

    def close(self) -> None:
        """Put the file together, also without frames. Closing twice is harmless."""
        if self._closed:
            return
        try:
            with whole_file(self.path) as part:
                self._open()
                self._assemble(part)
        finally:
            self._discard()

    def _assemble(self, part: Path) -> None:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, column in self._columns.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    column.copy_to(member)
            for name, values in (("size", np.array(self._size)), ("classes", np.array(self._classes, np.str_))):
                with archive.open(f"{name}.npy", "w") as member:
                    np.lib.format.write_array(member, values, allow_pickle=False)

    def _discard(self) -> None:
        self._closed = True
        for column in self._columns.values():
            column.close()
        self._columns = {}

    def _append(self, result: FrameResult, time: float) -> None:
        self._open()
        count = len(result)
        runs = [rle.run_lengths(mask) for mask in result.masks]
        ends = self._num_runs + np.cumsum([len(lengths) for lengths in runs], dtype=np.int64)
        self._num_runs = int(ends[-1]) if count else self._num_runs
        values: dict[str, ArrayLike] = {
            "frame": np.full(count, result.frame_index),
            "track_id": result.track_ids,
            "label": result.labels,
            "score": result.scores,
            "box": result.boxes,
            "hidden": np.full(count, np.nan) if result.hidden is None else result.hidden,
            "run_ends": ends,
            "runs": np.concatenate([np.zeros(0, np.int64), *runs]),
            "frames": [result.frame_index],
            "times": [time],
        }
        for name, column in self._columns.items():
            column.append(values[name])

    def _open(self) -> None:
        if not self._columns:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            for name, (dtype, row) in _COLUMNS.items():
                self._columns[name] = _Column(dtype, row, self.path.parent)


_COLUMNS: dict[str, tuple[DTypeLike, tuple[int, ...]]] = {
    "frame": (np.int64, ()),
    "track_id": (np.int64, ()),
    "label": (np.int64, ()),
    "score": (np.float32, ()),
    "box": (np.float32, (4,)),
    "hidden": (np.float32, ()),
    "run_ends": (np.int64, ()),
    "runs": (np.uint32, ()),
    "frames": (np.int64, ()),
    "times": (np.float64, ()),
}


class _Column:
    """An array that grows on disk, in a file without a name, which is gone with the process."""

    def __init__(self, dtype: DTypeLike, row: tuple[int, ...], folder: Path) -> None:
        self._dtype = np.dtype(dtype).newbyteorder("<")
        self._row = row
        self._length = 0
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  (open until `close`)

    def append(self, values: ArrayLike) -> None:
        rows = np.asarray(values).astype(self._dtype).reshape(-1, *self._row)
        self._file.write(rows.tobytes())
        self._length += len(rows)

    def copy_to(self, file: IO[bytes]) -> None:
        """Write what `np.save` would."""
        header = {"descr": self._dtype.str, "fortran_order": False, "shape": (self._length, *self._row)}
        np.lib.format.write_array_header_1_0(file, header)
        self._file.seek(0)
        shutil.copyfileobj(self._file, file)

    def close(self) -> None:
        with suppress(OSError):  # a full disk, which whoever wrote was told
            self._file.close()
