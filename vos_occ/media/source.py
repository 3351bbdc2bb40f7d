"""What a video is to the rest of the house: RGB frames with an index and a time. Knows no file format."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from types import TracebackType

import numpy as np

from vos_occ.media.clip import Clip, Selection
from vos_occ.structures.errors import InputError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Frame:
    """One decoded picture.

    Attributes:
        index: 0-based position in decode (= presentation) order, of the whole video also where a clip of it is read.
        time: seconds since the first frame, strictly increasing; None where the source has no clock (image folders).
        image: (H, W, 3) uint8 RGB, upright, C-contiguous.
    """

    index: int
    time: float | None
    image: np.ndarray

    def __repr__(self) -> str:
        height, width = self.image.shape[:2]
        seconds = "no time" if self.time is None else f"{self.time:.3f} s"
        return f"Frame({self.index}, {seconds}, {width}x{height})"


class VideoReader(ABC):
    """A video that is decoded while it is iterated; no more than a few frames are in memory at any time.

    Every `for frame in video` starts again from the first frame. One pass at a time: a new one ends the one before.

    Attributes:
        name: file or folder name, without its path.
        width, height: of every frame, in pixels, after rotation and after `max_side`.
        fps: nominal frames per second of what is yielded; for sources of variable rate, their average.
        source_fps: that of the whole video, from which a stride may take fewer.
        num_frames: how many are to come, as announced by the source; None where it says nothing, or where times
            decide. A damaged file holds fewer.
        expected_frames: `num_frames`, or else an estimate from duration and rate (for progress bars), or None.
        problem: what was lost in the last pass that came to its end, in one line; None if nothing was. Also logged.

    Raises:
        InputError: the clip begins after the end of the video. Where only reading tells, the pass raises it.
    """

    def __init__(
        self,
        *,
        name: str,
        width: int,
        height: int,
        fps: float,
        num_frames: int | None,
        expected_frames: int | None = None,
        clip: Clip = Clip(),  # noqa: B008 (frozen)
    ) -> None:
        self.name = name
        self.width = width
        self.height = height
        self.source_fps = fps
        self.fps = fps / clip.stride
        expected = expected_frames if num_frames is None else num_frames
        if not clip.is_whole:
            exact = num_frames is not None and clip.is_exact
            expected = None if expected is None else clip.count(expected, fps)
            if exact and not expected:
                raise InputError(f"{name} has {num_frames} frames; {clip.start} is beyond its end.")
            num_frames = expected if exact else None
        self.num_frames = num_frames
        self.expected_frames = expected
        self.problem: str | None = None
        self._clip = clip
        self._pass: Generator[Frame, None, None] | None = None

    @abstractmethod
    def _decode(self) -> Generator[Frame, None, None]:
        """Opens the source, yields its frames, and closes it also when the caller stops early."""

    def _selection(self) -> Selection:
        """Which frames of a new pass are wanted."""
        return Selection(self._clip)

    def _end_pass(self, seen: int, taken: int, problem: str | None, resized: int = 0) -> None:
        """Says what a pass over `seen` frames, of which `taken` were wanted, has met with."""
        if not taken:
            raise InputError(f"{self.name} has {seen} frames; {self._clip.start} is beyond its end.")
        if resized:
            logger.warning("%s: %d frames of another size were scaled to that of the first.", self.name, resized)
        if problem is not None:
            self.problem = f"{self.name}: {problem}."
            logger.warning("%s", self.problem)

    def __iter__(self) -> Iterator[Frame]:
        if self._pass is not None:
            self.close()
        self.problem = None
        self._pass = self._decode()
        return self._pass

    def close(self) -> None:
        """Ends the current pass and releases its file."""
        if self._pass is not None:
            self._pass.close()
            self._pass = None

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        frames = "?" if self.num_frames is None else self.num_frames
        return f"{type(self).__name__}({self.name!r}, {self.width}x{self.height}, {self.fps:.4g} fps, {frames} frames)"


def scaled_size(width: int, height: int, max_side: int | None) -> tuple[int, int]:
    """Width and height at the same ratio with the longer side at most `max_side`; never larger than before.

    Raises:
        ValueError: `max_side` is not positive.
    """
    if max_side is None:
        return width, height
    if max_side < 1:
        raise ValueError(f"max_side must be a positive number of pixels, got {max_side}.")
    scale = min(1.0, max_side / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))
