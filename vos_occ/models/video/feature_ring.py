"""The feature maps of the frames around one that is still to be answered. Knows no network.

Keyed by frame index and bounded: at most 2 * reach + 1 frames are held, however long the video.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from torch import Tensor

from vos_occ.models.video.network_image import NetworkImage


@dataclass(frozen=True, repr=False)
class FrameFeatures:
    """A frame that waits for its answer, or serves others as a neighbour.

    Attributes:
        frame_index: of the frame.
        feats: levels (1, C, h, w).
        image: what they were made of; of its tensor only the size is kept.
    """

    frame_index: int
    feats: tuple[Tensor, ...]
    image: NetworkImage

    @property
    def nbytes(self) -> int:
        """Bytes of the feature maps."""
        return sum(level.nbytes for level in self.feats)


class FeatureRing:
    """Holds frames until they are answered and no frame to come has them as a neighbour.

    Args:
        reach: a frame's neighbours are those at most so many frames before or behind it.
    """

    def __init__(self, reach: int) -> None:
        self.reach = reach
        self._frames: dict[int, FrameFeatures] = {}
        self._answered = -1

    def __len__(self) -> int:
        return len(self._frames)

    def __repr__(self) -> str:
        return f"FeatureRing({len(self)} frames, {self.nbytes / 2**20:.0f} MiB)"

    @property
    def nbytes(self) -> int:
        """Bytes of all feature maps held."""
        return sum(frame.nbytes for frame in self._frames.values())

    def add(self, frame_index: int, feats: tuple[Tensor, ...], image: NetworkImage) -> None:
        """Take in a frame.

        Raises:
            ValueError: a frame of this index or a later one is there.
        """
        newest = max(self._frames, default=-1)
        if frame_index <= newest:
            raise ValueError(f"Frames come in order: got frame {frame_index} after frame {newest}.")
        image = replace(image, tensor=image.tensor.to("meta"))
        self._frames[frame_index] = FrameFeatures(frame_index, feats, image)

    def due(self, *, at_end: bool = False) -> Iterator[tuple[FrameFeatures, list[FrameFeatures]]]:
        """The frames that can be answered, in order, each with its neighbours; each counts as answered with the next.

        A frame without neighbours, the only one of its video, is its own.

        Args:
            at_end: no frame will follow, so those that wait for neighbours need not wait.
        """
        newest = max(self._frames, default=-1)
        for frame_index in sorted(self._frames):
            if frame_index > self._answered and (at_end or frame_index + self.reach <= newest):
                yield self._frames[frame_index], self._neighbours(frame_index)
                self._answered = frame_index
                self._frames = {t: frame for t, frame in self._frames.items() if t > frame_index - self.reach}

    def _neighbours(self, frame_index: int) -> list[FrameFeatures]:
        near = [frame for t, frame in self._frames.items() if 0 < abs(t - frame_index) <= self.reach]
        return near or [self._frames[frame_index]]
