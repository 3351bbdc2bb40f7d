"""MOTChallenge text files of tracked boxes (MOT15 and MOT16)."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from vos_occ.results.output import FrameOrder, LineWriter
from vos_occ.structures.frame_result import FrameResult


class MotWriter:
    """Writes `frame,id,x,y,w,h,score,-1,-1,-1`, one line per object.

    Frames and the top left pixel count from 1, as the benchmark's page says and its ground truth files do. Classes
    have no column in result files; write one file per class to keep them apart.

    Args:
        path: the file to write; it appears with its first line, or empty on `close`.
        overwrite: replace an existing file.

    Raises:
        OutputExistsError: on construction, if the file exists and `overwrite` is False.
    """

    def __init__(self, path: str | Path, overwrite: bool = False) -> None:
        self._lines = LineWriter(path, overwrite)
        self._order = FrameOrder()

    def __enter__(self) -> MotWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lines.__exit__(kind, error, trace)

    def write(self, result: FrameResult) -> None:
        """Append one frame's boxes.

        Raises:
            ValueError: if the frame does not come after the one before.
        """
        self._order.advance(result.frame_index)
        for track_id, score, box in zip(result.track_ids, result.scores, result.boxes.tolist(), strict=True):
            x0, y0, x1, y1 = box
            place = f"{x0 + 1:.3f},{y0 + 1:.3f},{x1 - x0:.3f},{y1 - y0:.3f}"
            self._lines.write(f"{result.frame_index + 1},{track_id},{place},{score:.6f},-1,-1,-1")

    def close(self) -> None:
        """Finish the file. Closing twice is harmless."""
        self._lines.close()
