"""MOTS images: one 16-bit PNG per frame, pixel = class id * 1000 + instance number, 0 = background."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vos_occ.results.mots_objects import IGNORE_CLASS, INSTANCES_PER_CLASS, MotsIds, ignore_region, pixel_owners
from vos_occ.results.output import FrameOrder, require_new
from vos_occ.results.png_folder import frame_name, remove_numbered, write_png
from vos_occ.structures.frame_result import FrameResult
from vos_occ.structures.rle import Rle


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
        self._ids = MotsIds("MOTS PNG", class_ids)
        self._order = FrameOrder()
        self._started = False

    def __repr__(self) -> str:
        return f"MotsPngWriter({str(self.folder)!r})"

    def write(self, result: FrameResult, ignored: Rle | None = None) -> Path:
        """Write one frame, also an empty one.

        Args:
            result: the frame.
            ignored: of ground truth: the region that is not scored.

        Raises:
            InputError: if a track id or class id does not fit into the format.
            ValueError: if the frame does not come after the one before.
        """
        image = mots_pixels(result, self._ids)
        if ignored is not None:
            image[ignore_region(ignored, result)] = IGNORE_CLASS * INSTANCES_PER_CLASS
        self._order.advance(result.frame_index)
        if not self._started:
            remove_numbered(self.folder)
            self._started = True
        path = self.folder / frame_name(result.frame_index)
        write_png(path, image)
        return path


def mots_pixels(result: FrameResult, ids: MotsIds) -> NDArray[np.uint16]:
    """(height, width) what each pixel holds.

    Raises:
        InputError: if a track id or class id does not fit into the format.
    """
    values = [0, *(value for _, value in ids.of(result))]
    return np.array(values, np.uint16)[pixel_owners(result)]
