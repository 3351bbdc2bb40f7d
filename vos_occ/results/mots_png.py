"""MOTS images: one 16-bit PNG per frame, pixel = class id * 1000 + instance number, 0 = background."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vos_occ.results.output import FrameOrder, require_new, write_atomically
from vos_occ.structures import rle
from vos_occ.structures.errors import InputError
from vos_occ.structures.frame_result import FrameResult

INSTANCES_PER_CLASS = 1000
MAX_CLASS_ID = np.iinfo(np.uint16).max // INSTANCES_PER_CLASS - 1


class MotsPngWriter:
    """Writes `000000.png`, `000001.png`, ... in the layout of KITTI MOTS.

    The instance number is the track id, so a pixel leads back to the track in the other files. A pixel holds one
    object only: where masks overlap, the higher score wins. A track keeps the class of its first frame, since another
    one would read as a new object.

    Args:
        folder: where the images go; made when the first one is written.
        class_ids: the class id of each label, 1..64; None takes label + 1. KITTI MOTS: 1 car, 2 pedestrian.
        overwrite: write into a folder that is not empty; numbered PNGs of an earlier run are removed from it.

    Raises:
        OutputExistsError: on construction, if the folder is not empty and `overwrite` is False.
    """

    def __init__(self, folder: str | Path, class_ids: Sequence[int] | None = None, overwrite: bool = False) -> None:
        require_new(folder, overwrite, folder=True)
        self.folder = Path(folder)
        self._class_ids = None if class_ids is None else list(class_ids)
        self._class_of_track: dict[int, int] = {}
        self._order = FrameOrder()
        self._started = False

    def __repr__(self) -> str:
        return f"MotsPngWriter({str(self.folder)!r})"

    def write(self, result: FrameResult) -> Path:
        """Write one frame, also an empty one.

        Raises:
            InputError: if a track id or class id does not fit into the format.
            ValueError: if the frame does not come after the one before.
        """
        image = self._paint(result)
        encoded, data = cv2.imencode(".png", image)
        if not encoded:
            raise RuntimeError(f"OpenCV could not encode the PNG of frame {result.frame_index}.")
        self._order.advance(result.frame_index)
        self._start()
        path = self.folder / f"{result.frame_index:06d}.png"
        write_atomically(path, data.tobytes())
        return path

    def _paint(self, result: FrameResult) -> NDArray[np.uint16]:
        """Ascending scores, so that the highest is painted last."""
        image = np.zeros((result.height, result.width), np.uint16)
        for i in np.argsort(result.scores, kind="stable"):
            crop, x0, y0 = rle.decode_box(result.masks[i])
            h, w = crop.shape
            image[y0 : y0 + h, x0 : x0 + w][crop] = self._pixel_value(int(result.track_ids[i]), int(result.labels[i]))
        return image

    def _pixel_value(self, track_id: int, label: int) -> int:
        if track_id >= INSTANCES_PER_CLASS:
            raise InputError(
                f"MOTS PNG holds instance numbers up to {INSTANCES_PER_CLASS - 1}, found track id {track_id}. "
                "Split the video, or use the JSONL output."
            )
        class_id = self._class_of_track.setdefault(track_id, self._class_id(label))
        return class_id * INSTANCES_PER_CLASS + track_id

    def _class_id(self, label: int) -> int:
        if self._class_ids is not None and label >= len(self._class_ids):
            raise InputError(f"Label {label} has no class id, {len(self._class_ids)} are given. Give one per class.")
        class_id = label + 1 if self._class_ids is None else self._class_ids[label]
        if not 1 <= class_id <= MAX_CLASS_ID:
            raise InputError(
                f"MOTS PNG holds class ids 1 to {MAX_CLASS_ID}, found {class_id}. Choose fewer classes with --classes."
            )
        return class_id

    def _start(self) -> None:
        """Remove the images of an earlier, perhaps longer run, which would mix with ours."""
        if not self._started and self.folder.is_dir():
            for old in self.folder.iterdir():
                if re.fullmatch(r"\d{6}\.png", old.name):
                    old.unlink()
        self._started = True
