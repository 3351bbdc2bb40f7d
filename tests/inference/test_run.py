from __future__ import annotations

import numpy as np

from vos_occ.inference.run import only_labels, select
from vos_occ.structures import FrameResult, OcclusionOrder
from vos_occ.structures.rle import encode


def result(**fields) -> FrameResult:
    """Three objects of classes 0, 1, 0; the first hides part of the second, that one part of the third."""
    masks = [encode(np.eye(4, dtype=bool)[[i]].repeat(4, 0)) for i in range(3)]
    order = np.zeros((3, 3), bool)
    order[0, 1] = order[1, 2] = True
    known = {
        "occluder_masks": [None, masks[0], masks[1]],
        "hidden": np.float32([0, 0.25, np.nan]),
        "order": OcclusionOrder(order),
    }
    return FrameResult(
        frame_index=3,
        height=4,
        width=4,
        track_ids=np.array([5, 6, 9]),
        labels=np.array([0, 1, 0]),
        scores=np.float32([0.9, 0.8, 0.7]),
        boxes=np.float32([[0, 0, 1, 4], [1, 0, 2, 4], [2, 0, 3, 4]]),
        masks=masks,
        **(known | fields),
    )


def test_objects_of_other_classes_vanish_everywhere() -> None:
    kept = only_labels(result(), frozenset([1]))
    assert kept.track_ids.tolist() == [6]
    assert kept.masks == [result().masks[1]]
    assert kept.occluder_masks == [result().masks[0]]
    assert kept.hidden.tolist() == [0.25]
    assert kept.hidden_by(0) == []  # whom it names must be in the frame


def test_who_hides_whom_is_kept_among_those_that_stay() -> None:
    kept = select(result(), np.array([2, 1]))
    assert kept.track_ids.tolist() == [9, 6]
    assert kept.hidden_by(0) == [6]
    assert kept.hidden_by(1) == []


def test_all_labels_keep_all() -> None:
    assert only_labels(result(), frozenset([0, 1])).track_ids.tolist() == [5, 6, 9]


def test_no_label_leaves_an_empty_frame() -> None:
    empty = only_labels(result(), frozenset())
    assert (len(empty), empty.frame_index, empty.boxes.shape) == (0, 3, (0, 4))


def test_what_was_not_known_stays_unknown() -> None:
    kept = only_labels(result(occluder_masks=None, hidden=None, order=None), frozenset([0]))
    assert (kept.occluder_masks, kept.hidden, kept.order) == (None, None, None)
    assert kept.hidden_by(0) == []
