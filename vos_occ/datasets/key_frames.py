"""Which frames of a source are key frames, how often, and which may be their references. Reads no frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vos_occ.structures.errors import InputError


class KeyFrames:
    """The usable frames of a source.

    Args:
        frames: usable frame indices of each video, ascending.
        repeat: how often they count in an epoch. Of a fraction, which frames count is drawn anew each time: 0.25 is a
            quarter of the frames in every epoch, and other ones in the next.

    Attributes:
        skipped: videos without a usable frame.

    Raises:
        InputError: `repeat` is not positive.
    """

    def __init__(self, frames: Sequence[Sequence[int]], repeat: float = 1) -> None:
        if isinstance(repeat, bool) or not isinstance(repeat, int | float) or not 0 < repeat < float("inf"):
            raise InputError(f"`repeat` of a training source must be a number above 0, found {repeat!r}.")
        lengths = [len(found) for found in frames]
        self._starts = np.append(0, np.cumsum(lengths)).astype(np.int64)
        self._frames = np.array([t for found in frames for t in found], np.int32)
        self._videos = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
        self._in_turn = int(repeat) * len(self._frames)
        self._length = max(round(repeat * len(self._frames)), min(1, len(self._frames)))
        self.skipped = sum(length == 0 for length in lengths)

    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        videos = len(self._starts) - 1
        return f"KeyFrames({len(self._frames)} of {videos} videos, {len(self)} an epoch)"

    def pick(self, index: int, rng: np.random.Generator) -> tuple[int, int]:
        """Video and frame of an item; `rng` decides only where a fraction of the frames counts."""
        row = index % len(self._frames) if index < self._in_turn else int(rng.integers(len(self._frames)))
        return int(self._videos[row]), int(self._frames[row])

    def near(self, video: int, frame: int, within: int) -> NDArray[np.int32]:
        """The other usable frames of a video at most `within` frames away; all others where none is, as CMTrack's."""
        frames = self._frames[self._starts[video] : self._starts[video + 1]]
        others = frames[frames != frame]
        close = others[np.abs(others - frame) <= within]
        return close if len(close) else others
