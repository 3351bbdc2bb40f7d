"""Average precision of tracks in video instance segmentation: a track's mask over time is one tube.

Equals YouTube-VIS' `YTVOSeval` (youtubevos/cocoapi f3f9948) and OVIS' `OVISeval` (qjy981010/cocoapi 886baff) on valid
input. On invalid input it raises where the official ones score nonsense: masks of another size and tubes of another
length count there as perfect, and matches of an annotation with id 0 as misses.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain

import numpy as np

from eval.average_precision import (
    IOU_THRESHOLDS,
    MAX_DETECTIONS,
    AveragePrecision,
    Curves,
    Group,
    Matches,
    match_group,
    rank,
)
from eval.rle import Rle
from eval.tube_iou import tube_ious
from eval.tube_runs import TubeRuns

AREA_RANGES = ((0.0, 1e10), (0.0, 128.0**2), (128.0**2, 256.0**2), (256.0**2, 1e10))
OCCLUSION_RANGES = ((0.0, 0.25), (0.25, 0.5), (0.5, 1.0))  # slight, moderate, heavy; closed, so .25 is in two
OCCLUSION_SCORES = {"no_occlusion": 0.0, "slight_occlusion": 0.25, "severe_occlusion": 0.75}


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
        occlusion: How much of a true object is hidden, in [0, 1], see `occlusion_score`; None where nobody knows.
        lost: Ground truth whose match counts as none, see `Group.lost`.
        runs: The masks decoded, where the reader has done so; None decodes them when needed.
    """

    video_id: int
    category_id: int
    masks: Sequence[Rle | None]
    score: float = 1.0
    iscrowd: bool = False
    areas: Sequence[float | None] | None = None
    occlusion: float | None = None
    lost: bool = False
    runs: TubeRuns | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.areas is not None and len(self.areas) != len(self.masks):
            raise ValueError(f"A tube needs one area per mask, found {len(self.areas)} for {len(self.masks)} masks.")

    @cached_property
    def decoded(self) -> TubeRuns:
        """The masks as intervals."""
        return TubeRuns.of(self.masks) if self.runs is None else self.runs

    def mean_area(self) -> float:
        """Mean over the frames in which the tube has pixels; 0 for a tube without."""
        stated = self.decoded.extents[:, 0] if self.areas is None else np.array([area or 0 for area in self.areas])
        present = stated[stated != 0]
        return float(np.mean(present)) if len(present) else 0.0


def occlusion_score(labels: Sequence[str | None]) -> float | None:
    """How much of a track is hidden: the mean over the half of its labelled frames in which it is hidden most.

    Args:
        labels: One of OCCLUSION_SCORES per frame, None where the object is not there.

    Returns:
        In [0, .75]; None for a track without labels, by which the official evaluator divides by zero.

    Source: OVISeval.
    """
    scores = sorted((OCCLUSION_SCORES[label] for label in labels if label is not None), reverse=True)
    half = (len(scores) + 1) // 2
    return sum(scores[:half]) / half if half else None


def tube_ap(ground_truth: Sequence[Tube], predictions: Sequence[Tube], by_occlusion: bool = False) -> AveragePrecision:
    """Average precision and recall over tubes.

    A category without ground truth has no precision and enters no mean, whatever was predicted for it.

    Args:
        ground_truth: Every annotated tube; ties fall by this order.
        predictions: At most the 100 best of each video and category count; equal scores keep this order.
        by_occlusion: Also average over the objects of each of OCCLUSION_RANGES.

    Returns:
        Areas are means over a tube's frames: small to 128^2 pixels, medium to 256^2, large above.

    Raises:
        ValueError: Tubes of one video differ in length or mask size, or a score is not finite.

    Source: YTVOSeval.evaluateVid, accumulate and summarize.
    """
    videos: dict[int, tuple[list[Tube], list[Tube]]] = defaultdict(lambda: ([], []))
    for side, tubes in enumerate((ground_truth, predictions)):
        for tube in tubes:
            videos[tube.video_id][side].append(tube)
    matches = (match_video(*videos[video_id], by_occlusion) for video_id in sorted(videos))
    return Curves.of(group for video in matches for group in video).summary()


def match_video(
    ground_truth: Sequence[Tube], predictions: Sequence[Tube], by_occlusion: bool = False, official: bool = False
) -> list[Matches]:
    """Match the tubes of one video, for `Curves.of`.

    Args:
        ground_truth: Of one video, as for `tube_ap`.
        predictions: Likewise.
        by_occlusion: Also match within each of OCCLUSION_RANGES.
        official: Accept what the official evaluator accepts: tubes of other lengths, of which the common frames are
            compared; masks of other sizes, whose frames are left out; scores that are not finite, NaN coming last.

    Returns:
        For each category that occurs, ascending.

    Raises:
        ValueError: Unless official, as for `tube_ap`.
    """
    if not official:
        _require_one_length(chain(ground_truth, predictions))
    members: dict[int, tuple[list[Tube], list[Tube]]] = defaultdict(lambda: ([], []))
    for side, tubes in enumerate((ground_truth, predictions)):
        for tube in tubes:
            members[tube.category_id][side].append(tube)
    ranges = OCCLUSION_RANGES if by_occlusion else ()
    groups = (_group(category_id, *members[category_id], official) for category_id in sorted(members))
    return [match_group(group, AREA_RANGES, ranges) for group in groups]


def best(predictions: Sequence[Tube], official: bool = False) -> list[Tube]:
    """The predictions of one video and category that count, best first."""
    scores = [tube.score for tube in predictions]
    order = np.argsort(-np.array(scores), kind="stable")[: MAX_DETECTIONS[-1]] if official else rank(scores)
    return [predictions[i] for i in order]


def _group(category_id: int, truth: Sequence[Tube], predictions: Sequence[Tube], official: bool) -> Group:
    found = best(predictions, official)
    runs = [tube.decoded for tube in found], [tube.decoded for tube in truth]
    occlusion = [np.nan if tube.occlusion is None else tube.occlusion for tube in truth]
    return Group(
        category_id=category_id,
        scores=np.array([tube.score for tube in found], np.float64),
        ious=tube_ious(*runs, least=IOU_THRESHOLDS[0], any_shape=official),
        detection_areas=np.array([tube.mean_area() for tube in found], np.float64),
        truth_areas=np.array([tube.mean_area() for tube in truth], np.float64),
        crowd=np.array([tube.iscrowd for tube in truth], bool),
        ignored=np.zeros(len(truth), bool),
        occlusion=np.array(occlusion, np.float64),
        lost=np.array([tube.lost for tube in truth], bool) if any(tube.lost for tube in truth) else None,
    )


def _require_one_length(tubes: Iterable[Tube]) -> None:
    lengths: dict[int, int] = {}
    for tube in tubes:
        expected = lengths.setdefault(tube.video_id, len(tube.masks))
        if len(tube.masks) != expected:
            raise ValueError(
                f"Video {tube.video_id} has tubes of {expected} and of {len(tube.masks)} frames. "
                "Give every tube one entry per frame, None where the object is not there."
            )
