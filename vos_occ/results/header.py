"""What holds for a whole result file of schema `vos_occ/1`."""

from __future__ import annotations

import math
from dataclasses import dataclass

from eval.readers.record import LARGEST_IMAGE

SCHEMA = "vos_occ/1"
BOX_CONVENTION = "xyxy pixels, end-exclusive"


@dataclass(frozen=True)
class Header:
    """What holds for the whole file.

    Attributes:
        video: name of the video.
        width: frame width in pixels.
        height: frame height in pixels.
        fps: frames per second, None when unknown.
        frames: number of frames of the video, None when unknown (a camera).
        classes: class names; an object's label is an index into them.
        model: name of the model or config, None when unknown.
        checkpoint_sha256: of the weights, None for random ones.

    Raises:
        ValueError: if a number leaves its range.
    """

    video: str
    width: int
    height: int
    fps: float | None
    frames: int | None
    classes: tuple[str, ...]
    model: str | None = None
    checkpoint_sha256: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))
        if self.width <= 0 or self.height <= 0:
            raise ValueError(f"width and height must be positive, got {self.width} x {self.height}")
        if self.width * self.height > LARGEST_IMAGE:
            raise ValueError(f"a frame has at most {LARGEST_IMAGE} pixels, got {self.width} x {self.height}")
        if self.fps is not None and not 0 < self.fps < math.inf:
            raise ValueError(f"fps must be a positive number or null, got {self.fps}")
        if self.frames is not None and self.frames < 0:
            raise ValueError(f"frames must be >= 0 or null, got {self.frames}")
