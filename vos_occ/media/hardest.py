"""The hardest moments of a video: a few of its most hidden objects, kept while the frames go by. Draws nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from vos_occ.structures import rle
from vos_occ.structures.frame_result import FrameResult


def covered_by_others(result: FrameResult) -> np.ndarray:
    """(N, N) float in [0, 1]: how much of object i's box belongs to the visible mask of object j; 0 for itself."""
    boxes = [rle.from_box(box, result.height, result.width) for box in result.boxes.tolist()]
    covered = rle.intersection_over_first(boxes, result.masks)
    np.fill_diagonal(covered, 0)
    return covered


def hardness(result: FrameResult, covered: np.ndarray) -> np.ndarray:
    """(N,) float in [0, 2]: the hidden fraction that is predicted, 0 where unknown, plus what others own of the box.

    Either alone would hide a kind of mistake: objects called hidden while nobody is near, and objects behind others
    that are called free.

    Args:
        result: the frame.
        covered: its `covered_by_others`.
    """
    predicted = np.zeros(len(result)) if result.hidden is None else np.nan_to_num(result.hidden.astype(np.float64))
    return predicted + np.minimum(covered.sum(axis=1), 1)


@dataclass(frozen=True, eq=False)
class HardMoment:
    """An object in a frame, with its picture.

    Attributes:
        hardness: as `hardness` gives it.
        track_id: of the object.
        frame_index: of the frame.
        picture: (H, W, 3) uint8 RGB.
    """

    hardness: float
    track_id: int
    frame_index: int
    picture: np.ndarray = field(repr=False)


class HardestMoments:
    """Keeps the hardest moments that differ: neighbouring frames of one track count as one, and no track fills it all.

    Args:
        count: how many are kept, at most.
        per_track: how many of one track.
        gap: frames that two moments of one track lie apart, at least.
    """

    def __init__(self, count: int, per_track: int, gap: int) -> None:
        self._count = count
        self._per_track = per_track
        self._gap = gap
        self._kept: list[HardMoment] = []

    def __len__(self) -> int:
        return len(self._kept)

    def offer(self, hardness: float, track_id: int, frame_index: int, draw: Callable[[], np.ndarray]) -> None:
        """Take a moment in if it is hard enough; only then is its picture drawn. Of equals, the first one stays."""
        own = [moment for moment in self._kept if moment.track_id == track_id]
        rivals = [moment for moment in own if abs(moment.frame_index - frame_index) < self._gap]
        if not rivals and len(own) >= self._per_track:
            rivals = [min(own, key=lambda moment: moment.hardness)]
        if not rivals and len(self._kept) >= self._count:
            rivals = [min(self._kept, key=lambda moment: moment.hardness)]
        if any(hardness <= rival.hardness for rival in rivals):
            return
        kept = [moment for moment in self._kept if moment not in rivals]
        self._kept = [*kept, HardMoment(hardness, track_id, frame_index, draw())]

    def hardest_first(self) -> list[HardMoment]:
        """What is kept; equals in the order of frames, then of tracks."""
        return sorted(self._kept, key=lambda moment: (-moment.hardness, moment.frame_index, moment.track_id))
