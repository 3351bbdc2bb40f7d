"""Average precision of tracks in video instance segmentation: a track's mask over time is one tube.

Equals YouTube-VIS' `YTVOSeval` (youtubevos/cocoapi f3f9948) on valid input. On invalid input it raises where the
official one scores nonsense: masks of another size and tubes of another length count there as perfect, and matches
of an annotation with id 0 as misses.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.average_precision import AveragePrecision, Group, average_precision, rank
from eval.rle import Rle, areas, intersections

AREA_RANGES = ((0.0, 1e10), (0.0, 128.0**2), (128.0**2, 256.0**2), (256.0**2, 1e10))


@dataclass(frozen=True)
class Tube:
    """One object through one video, true or predicted.

    Attributes:
        video_id: The video.
        category_id: The category.
        masks: One entry per frame of the video; None where the object is not there.
        score: Confidence; of no meaning for ground truth.
        iscrowd: Ground truth that stands for many objects: not to be found, not wrong to find.
        areas: Pixels per frame as the annotation states them; None takes them from the masks.
    """

    video_id: int
    category_id: int
    masks: Sequence[Rle | None]
    score: float = 1.0
    iscrowd: bool = False
    areas: Sequence[float | None] | None = None

    def __post_init__(self) -> None:
        if self.areas is not None and len(self.areas) != len(self.masks):
            raise ValueError(f"A tube needs one area per mask, found {len(self.areas)} for {len(self.masks)} masks.")

    def mean_area(self) -> float:
        """Mean over the frames in which the tube has pixels; 0 for a tube without."""
        present = [area for area in (areas(self.masks) if self.areas is None else self.areas) if area]
        return float(np.mean(present)) if present else 0.0


def tube_ap(ground_truth: Sequence[Tube], predictions: Sequence[Tube]) -> AveragePrecision:
    """Average precision and recall over tubes.

    A category without ground truth has no precision and enters no mean, whatever was predicted for it.

    Args:
        ground_truth: Every annotated tube; ties fall by this order.
        predictions: At most the 100 best of each video and category count; equal scores keep this order.

    Returns:
        Areas are means over a tube's frames: small to 128^2 pixels, medium to 256^2, large above.

    Raises:
        ValueError: Tubes of one video differ in length or mask size, or a score is not finite.

    Source: YTVOSeval.evaluateVid, accumulate and summarize.
    """
    _require_one_length(ground_truth, predictions)
    return average_precision(_groups(ground_truth, predictions), AREA_RANGES)


def tube_ious(first: Sequence[Tube], second: Sequence[Tube]) -> NDArray[np.float64]:
    """Spatio-temporal IoU: the pixels that two tubes share over all frames, of those that either covers.

    Args:
        first: N tubes of one video.
        second: M tubes of the same video.

    Returns:
        (N, M) in [0, 1]; 0 where both tubes are empty. Sums are integers, so the quotient is exact.
    """
    shared = np.zeros((len(first), len(second)), np.int64)
    covered = np.zeros_like(shared)
    for t in range(len(first[0].masks) if first and second else 0):
        masks = [tube.masks[t] for tube in first], [tube.masks[t] for tube in second]
        shared += intersections(*masks)
        covered += areas(masks[0])[:, None] + areas(masks[1])
    return shared / np.maximum(covered - shared, 1)


def _groups(ground_truth: Sequence[Tube], predictions: Sequence[Tube]) -> Iterator[Group]:
    """One group per (video, category), videos in the order of their ids."""
    members: dict[tuple[int, int], tuple[list[Tube], list[Tube]]] = defaultdict(lambda: ([], []))
    for side, tubes in enumerate((ground_truth, predictions)):
        for tube in tubes:
            members[tube.video_id, tube.category_id][side].append(tube)
    for (_, category_id), (truth, found) in sorted(members.items(), key=lambda item: item[0]):
        found = [found[i] for i in rank([tube.score for tube in found])]
        yield Group(
            category_id=category_id,
            scores=np.array([tube.score for tube in found], np.float64),
            ious=tube_ious(found, truth),
            detection_areas=np.array([tube.mean_area() for tube in found], np.float64),
            truth_areas=np.array([tube.mean_area() for tube in truth], np.float64),
            crowd=np.array([tube.iscrowd for tube in truth], bool),
            ignored=np.zeros(len(truth), bool),
        )


def _require_one_length(*sides: Sequence[Tube]) -> None:
    lengths: dict[int, int] = {}
    for tube in (tube for side in sides for tube in side):
        expected = lengths.setdefault(tube.video_id, len(tube.masks))
        if len(tube.masks) != expected:
            raise ValueError(
                f"Video {tube.video_id} has tubes of {expected} and of {len(tube.masks)} frames. "
                "Give every tube one entry per frame, None where the object is not there."
            )
