"""Which part of a video is wanted: from where, to where, every how many frames. Knows no video."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

from vos_occ.structures.errors import InputError

_FRAME = re.compile(r"\d+")
_SECONDS = re.compile(r"(\d+(?:\.\d*)?|\.\d+)s")
_TIME = re.compile(r"(?:(\d+):)?(\d+):(\d+(?:\.\d*)?)")


@dataclass(frozen=True)
class Moment:
    """A place in a video: a frame's number or a time, one of the two.

    Attributes:
        frame: 0-based, in the order of decoding.
        seconds: since the first frame, on the clock of the source.
    """

    frame: int | None = None
    seconds: float | None = None

    @classmethod
    def parse(cls, text: str) -> Moment:
        """`120` is a frame; `4.5s`, `1:30` and `1:02:03.5` are times.

        Raises:
            InputError: it is none of these.
        """
        text = text.strip()
        if _FRAME.fullmatch(text):
            return cls(frame=int(text))
        if match := _SECONDS.fullmatch(text):
            return cls(seconds=float(match[1]))
        if match := _TIME.fullmatch(text):
            hours, minutes, seconds = match.groups()
            return cls(seconds=3600 * int(hours or 0) + 60 * int(minutes) + float(seconds))
        raise InputError(f"Expected a frame's number (120) or a time (4.5s, 1:30, 1:02:03), found {text!r}.")

    def reached(self, index: int, time: float) -> bool:
        """Whether the frame `index`, shown at `time` seconds, is at this place or after it."""
        return index >= self.frame if self.frame is not None else time >= (self.seconds or 0.0) - 1e-6

    def nearest_frame(self, fps: float) -> int:
        """The number of the first frame there, if all are 1 / fps apart."""
        return self.frame if self.frame is not None else math.ceil((self.seconds or 0.0) * fps - 1e-6)

    def __str__(self) -> str:
        return f"frame {self.frame}" if self.frame is not None else f"{self.seconds:g} s"


@dataclass(frozen=True)
class Clip:
    """A part of a video, with the frames left out that a stride steps over.

    Frames keep the index and the time that they have in the whole video. What lies before `start` is decoded and
    dropped: that makes the numbers exact in every format, and costs a fraction of what a model does.

    Args:
        start: the first frame that is wanted.
        end: the first one that is no longer; None is the end of the video.
        stride: 1 takes every frame, 3 every third from `start` on.

    Raises:
        InputError: the end is not after the start, or the stride is less than 1.
    """

    start: Moment = field(default=Moment(frame=0))
    end: Moment | None = None
    stride: int = 1

    def __post_init__(self) -> None:
        if self.stride < 1:
            raise InputError(f"The stride must be at least 1, found {self.stride}.")
        if self.end is None:
            return
        frames = self.start.frame, self.end.frame
        seconds = self.start.seconds, self.end.seconds
        for start, end in (frames, seconds):
            if start is not None and end is not None and end <= start:
                raise InputError(f"The end, {self.end}, must come after the start, {self.start}.")

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left out."""
        return self == Clip()

    @property
    def is_exact(self) -> bool:
        """Whether it is known without the times of the frames which ones are wanted."""
        return self.start.frame is not None and (self.end is None or self.end.frame is not None)

    def count(self, num_frames: int, fps: float) -> int:
        """How many frames of `num_frames` are wanted; exact where `is_exact`, else if all are 1 / fps apart."""
        end = num_frames if self.end is None else min(num_frames, self.end.nearest_frame(fps))
        return max(0, -(-(end - self.start.nearest_frame(fps)) // self.stride))


class Selection:
    """Which frames of one pass belong to a clip; asked once for every frame, in order."""

    def __init__(self, clip: Clip) -> None:
        self._clip = clip
        self._since_start = -1
        self.taken = 0

    def is_over(self, index: int, time: float) -> bool:
        """Whether this frame and all after it are beyond the end."""
        return self._clip.end is not None and self._clip.end.reached(index, time)

    def takes(self, index: int, time: float) -> bool:
        """Whether this frame is wanted."""
        if not self._clip.start.reached(index, time):
            return False
        self._since_start += 1
        wanted = self._since_start % self._clip.stride == 0
        self.taken += wanted
        return wanted
