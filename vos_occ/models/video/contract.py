"""What every video model answers to. A model keeps nothing between calls: all that is remembered is in the state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from vos_occ.structures import FrameResult
from vos_occ.tracking.memory import TrackMemory


@dataclass(frozen=True)
class VideoMeta:
    """What is known of a video before its first frame.

    Attributes:
        height: of the frames, in source pixels.
        width: likewise.
        num_frames: length of the video, None when unknown. In a video of one frame no track waits for a second.
    """

    height: int
    width: int
    num_frames: int | None = None


@dataclass(frozen=True)
class VideoState:
    """What a model remembers of one video."""

    meta: VideoMeta
    memory: TrackMemory


class VideoModel(Protocol):
    """Stateless: two videos stepped in turn on one model give what they give apart.

    Attributes:
        classes: names in label order.
        name: of the checkpoint, for whoever reads its results.
        checkpoint_sha256: of its file, None for random weights.
    """

    classes: tuple[str, ...]
    name: str
    checkpoint_sha256: str | None

    def new_state(self, meta: VideoMeta) -> VideoState:
        """A fresh memory for one video."""

    def step(self, state: VideoState, image: np.ndarray, frame_index: int) -> list[FrameResult]:
        """Takes the next frame, (H, W, 3) uint8 RGB; answers with the frames that are finished by it."""

    def finish(self, state: VideoState) -> list[FrameResult]:
        """The frames still owed at the end of the video."""
