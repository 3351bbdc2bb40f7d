"""How BDD100K's evaluator of instance bitmasks matches, which is not how COCO matches.

Each detection, best first, takes the free object of highest IoU, the first of equal ones, whether that is to be ignored
or not. A crowd is an object as any other, to be found and counted, but stays free. Precision and recall are COCO's
(`average_precision.Curves`), so recall exceeds 1 where several detections take one crowd.

Source: bdd100k 1.0.1, eval/ins_seg.py, BDD100KInsSegEval.compute_match.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from eval.average_precision import IOU_THRESHOLDS, AreaRanges, Group, Matches


def match_bitmask(group: Group, area_ranges: AreaRanges) -> Matches:
    """Match the detections of one class in one image.

    Args:
        group: `ious` are plain, those with crowds too; `crowd` has no effect on what is ignored.
        area_ranges: (lowest, highest) area in pixels, closed at both ends.
    """
    chosen = _chosen(group)
    ignored = np.stack([group.ignored | _outside(group.truth_areas, *span) for span in area_ranges])  # (A, G)
    outside = np.stack([_outside(group.detection_areas, *span) for span in area_ranges])  # (A, D)
    matched = np.repeat((chosen >= 0)[:, None], len(area_ranges), axis=1)  # (D, A, T)
    void = ~matched & outside.T[:, :, None]
    if len(group.ignored):
        void |= matched & ignored[:, chosen].transpose(1, 0, 2)
    return Matches(group.category_id, group.scores, matched & ~void, ~matched & ~void, (~ignored).sum(1))


def _chosen(group: Group) -> NDArray[np.int64]:
    """(D, T) the object that each detection takes at each IoU threshold, -1 for none; the same for all areas."""
    chosen = np.full((len(group.scores), len(IOU_THRESHOLDS)), -1)
    reached = (group.ious >= IOU_THRESHOLDS[0]).any(1)
    for t, threshold in enumerate(IOU_THRESHOLDS):
        free = np.ones(len(group.crowd), bool)
        for d in np.flatnonzero(reached):
            ious = np.where(free, group.ious[d], 0.0)
            best = int(ious.argmax())
            if ious[best] >= threshold:
                chosen[d, t] = best
                free[best] = group.crowd[best]
    return chosen


def _outside(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.bool_]:
    return (values < low) | (values > high)
