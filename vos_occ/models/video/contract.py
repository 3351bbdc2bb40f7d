"""What every video model answers to. A model keeps nothing between calls: all that is remembered is in the state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from vos_occ.structures import FrameResult
from vos_occ.tracking.memory import TrackMemory


@dataclass(frozen=True)
class VideoMeta:
    """Size of the frames of a video, in source pixels."""

    height: int
    width: int


@dataclass(frozen=True)
class VideoState:
    """What a model remembers of one video."""

    meta: VideoMeta
    memory: TrackMemory


class VideoModel(Protocol):
    """Stateless: two videos stepped in turn on one model give what they give apart."""

    classes: tuple[str, ...]

    def new_state(self, meta: VideoMeta) -> VideoState:
        """A fresh memory for one video."""

    def step(self, state: VideoState, image: np.ndarray, frame_index: int) -> list[FrameResult]:
        """Takes the next frame, (H, W, 3) uint8 RGB; answers with the frames that are finished by it."""

    def finish(self, state: VideoState) -> list[FrameResult]:
        """The frames still owed at the end of the video."""
