"""Masks as plain pictures: which track owns each pixel of a frame, or every track's own masks, overlaps kept."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import numpy as np

from vos_occ.results.mots_objects import pixel_owners
from vos_occ.results.output import FrameOrder, require_new
from vos_occ.results.png_folder import frame_name, remove_numbered, write_png
from vos_occ.structures import rle
from vos_occ.structures.errors import InputError
from vos_occ.structures.frame_result import FrameResult

MAX_TRACK_ID = np.iinfo(np.uint16).max


class IdPngWriter:
    """Writes `000000.png`, `000001.png`, ...: 16-bit grey, a pixel is the track id, 0 is background.

    Unlike MOTS images these hold no class, and so ids up to 65535. A pixel has one owner: where masks overlap, the
    higher score wins.

    Args:
        folder: where the pictures go; made when the first one is written.
        overwrite: write into a folder that is not empty; numbered pngs of an earlier run are removed from it.

    Raises:
        OutputExistsError: on construction, if the folder is not empty and `overwrite` is False.
    """

    def __init__(self, folder: str | Path, overwrite: bool = False) -> None:
        require_new(folder, overwrite, folder=True)
        self.folder = Path(folder)
        self._order = FrameOrder()
        self._started = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.folder)!r})"

    def write(self, result: FrameResult) -> Path:
        """Write one frame, also an empty one.

        Raises:
            InputError: if a track id does not fit into 16 bits.
            ValueError: if the frame does not come after the one before.
        """
        if len(result) and result.track_ids.max() > MAX_TRACK_ID:
            raise InputError(
                f"A 16-bit picture holds track ids up to {MAX_TRACK_ID}, found {result.track_ids.max()}. "
                "Split the video, or use the JSONL output."
            )
        image = np.array([0, *result.track_ids], np.uint16)[pixel_owners(result)]
        self._order.advance(result.frame_index)
        if not self._started:
            remove_numbered(self.folder)
            self._started = True
        path = self.folder / frame_name(result.frame_index)
        write_png(path, image)
        return path


class TrackPngWriter:
    """Writes `track_000007/000012.png`: the mask of track 7 in frame 12, 8-bit grey, 255 on it and 0 elsewhere.

    A track has a picture for every frame that shows a pixel of it. Masks are written as they were predicted, so two
    tracks may own one pixel.

    Args:
        folder: where the folders of the tracks go.
        overwrite: write into a folder that is not empty; numbered pngs in track folders of an earlier run are removed.

    Raises:
        OutputExistsError: on construction, if the folder is not empty and `overwrite` is False.
    """

    def __init__(self, folder: str | Path, overwrite: bool = False) -> None:
        require_new(folder, overwrite, folder=True)
        self.folder = Path(folder)
        self._order = FrameOrder()
        self._started = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.folder)!r})"

    def write(self, result: FrameResult) -> list[Path]:
        """Write one picture for each object of a frame that shows a pixel.

        Raises:
            ValueError: if the frame does not come after the one before.
        """
        self._order.advance(result.frame_index)
        self._start()
        paths = []
        for track_id, mask in zip(result.track_ids.tolist(), result.masks, strict=True):
            if rle.area(mask):
                paths.append(self.folder / f"track_{track_id:06d}" / frame_name(result.frame_index))
                write_png(paths[-1], rle.decode(mask).astype(np.uint8) * 255)
        return paths

    def _start(self) -> None:
        if not self._started and self.folder.is_dir():
            for old in self.folder.iterdir():
                if re.fullmatch(r"track_\d{6,}", old.name) and old.is_dir():
                    remove_numbered(old)
                    with suppress(OSError):  # something else lies in it
                        old.rmdir()
        self._started = True
