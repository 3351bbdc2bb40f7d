"""BDD100K's bitmasks: an RGBA PNG per frame whose pixels say category, attributes and instance.

Decoded by `eval.readers.bdd_bitmask`. Facts: docs/sources.md, trackers 6.2.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vos_occ.results.bdd_objects import FLAG_BITS, BddCategories, Flags, FrameNames, InstanceIds, flags_of
from vos_occ.results.mots_objects import pixel_owners
from vos_occ.results.output import require_new
from vos_occ.results.png_folder import remove_numbered, write_png
from vos_occ.structures.errors import InputError
from vos_occ.structures.frame_result import FrameResult

MAX_INSTANCE_ID = np.iinfo(np.uint16).max
_NUMBERED = re.compile(r".*\d{6,}\.png")


class BddBitmaskWriter:
    """Writes `VIDEO-0000001.png`, ... : R category from 1, G attributes, 256 B + A the instance, which is the track.

    Instance 0 is background, so that ids count from 1 (tracks numbered from 0 lost the first of each video, P-c). A
    pixel holds one object only: where masks overlap, the higher score wins.

    Args:
        folder: of one video; bears its name, which that of the frames starts with. Made with the first picture.
        classes: names by label; see `BddCategories`.
        names: of the video's pictures by frame index, whose stems the bitmasks get; None: `FOLDER-0000001`, ...
        renumber: number tracks as they appear, see `InstanceIds`.
        overwrite: write into a folder that is not empty; numbered PNGs of an earlier run are removed from it.

    Raises:
        OutputExistsError: on construction, if the folder is not empty and `overwrite` is False.
        InputError: on construction, if BDD100K does not know a class.
    """

    def __init__(
        self,
        folder: str | Path,
        classes: Sequence[str],
        *,
        names: Sequence[str] | None = None,
        renumber: bool = False,
        overwrite: bool = False,
    ) -> None:
        require_new(folder, overwrite, folder=True)
        self.folder = Path(folder)
        self._categories = BddCategories(classes)
        self._names = FrameNames(self.folder.name, names)
        self._ids = InstanceIds(renumber)
        self._started = False

    def __repr__(self) -> str:
        return f"BddBitmaskWriter({str(self.folder)!r})"

    def write(self, result: FrameResult, flags: Flags | None = None) -> Path:
        """Write one frame, also an empty one.

        Args:
            result: the frame that comes next.
            flags: of ground truth: what is to be said of its objects.

        Raises:
            InputError: a track id does not fit, a label has no category, or there are more frames than names.
            ValueError: another frame comes next.
        """
        image = np.array([0, *self._codes(result, flags)], "<u4")[pixel_owners(result)]
        path = self.folder / f"{Path(self._names.advance(result.frame_index)).stem}.png"
        if not self._started:
            remove_numbered(self.folder, _NUMBERED)
            self._started = True
        write_png(path, image.view(np.uint8).reshape(result.height, result.width, 4))
        return path

    def close(self) -> None:
        """Check that all frames were written.

        Raises:
            InputError: frames are missing of those that have names.
        """
        self._names.require_all()

    def _codes(self, result: FrameResult, flags: Flags | None) -> NDArray[np.int64]:
        """(N,) R | G << 8 | B << 16 | A << 24 of each object."""
        ids, labels = self._ids.of(result), result.labels.tolist()
        if len(ids) and ids.max() > MAX_INSTANCE_ID:
            raise InputError(
                f"BDD100K's bitmasks hold instance ids up to {MAX_INSTANCE_ID}, found {ids.max()}. Split the video, or "
                "write Scalabel JSON."
            )
        told = flags_of(flags, result)
        told["ignored"] = told["ignored"] | np.array([self._categories.is_ignored(k) for k in labels], bool)
        attributes = sum(told[name] * bit for name, bit in FLAG_BITS.items())
        categories = np.array([self._categories.number(k) for k in labels], np.int64)
        return categories | attributes << 8 | (ids >> 8) << 16 | (ids & 255) << 24
