"""Which images of a COCO file hold objects that overlap: the split COCO-OCC. Knows nothing of files.

The paper says "the overlapping ratio between the bounding boxes of objects is at least 0.2" and finds 1,005 images of
val2017; how the ratio of a pair is measured, and how those of an image become one, was not released. All readings that
make sense are here; the list of image ids, where one has it, is better than any.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

METRICS = ("iou", "smaller", "target")
AGGREGATES = ("max", "mean")
PAPER_COUNT = 1005
"""Images of val2017 in the split. Source: BCNet, section 4.1; docs/sources.md, BCNet 6."""


def box_overlaps(boxes: Sequence[Sequence[float]], metric: str) -> NDArray[np.float64]:
    """Overlap ratio of each pair of boxes, (N, N) in [0, 1], 0 on the diagonal.

    Args:
        boxes: N of (x, y, width, height).
        metric: `iou`; `smaller`: intersection over the smaller box; `target`: [i, j] is intersection over box j.
    """
    array = np.asarray(boxes, np.float64).reshape(-1, 4)
    low, high = array[:, :2], array[:, :2] + array[:, 2:]
    sides = np.minimum(high[:, None], high[None]) - np.maximum(low[:, None], low[None])
    shared = np.clip(sides, 0, None).prod(2)
    areas = array[:, 2:].prod(1)
    by = {
        "iou": areas[:, None] + areas[None] - shared,
        "smaller": np.minimum(areas[:, None], areas[None]),
        "target": np.broadcast_to(areas[None], shared.shape),
    }[metric]
    ratios = np.divide(shared, by, out=np.zeros_like(shared), where=by > 0)
    np.fill_diagonal(ratios, 0)
    return ratios


def image_overlap(boxes: Sequence[Sequence[float]], metric: str = "iou", aggregate: str = "max") -> float:
    """One ratio for an image, 0 for fewer than two boxes.

    Args:
        boxes: N of (x, y, width, height).
        metric: see `box_overlaps`.
        aggregate: `max`: of all pairs; `mean`: over objects, of the largest ratio that each has with another.
    """
    if len(boxes) < 2:
        return 0.0
    largest = box_overlaps(boxes, metric).max(0)
    return float(largest.max() if aggregate == "max" else largest.mean())
