"""How much of the truth the occlusion scores are about: they know only objects that were found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from eval.clear import Clear
from eval.identity import Identity
from eval.readers.coco import Annotation
from vos_occ.inference.run import select
from vos_occ.scoring import OcclusionMatches, VideoScores
from vos_occ.structures import FrameResult, OcclusionOrder
from vos_occ.structures.rle import area, bounding_box, encode

IN_FRONT = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]], bool)  # first before second before third


def three_in_a_row() -> tuple[list[Annotation], FrameResult]:
    """Three objects side by side as annotated, and the same as a result."""
    masks = np.zeros((3, 8, 24), bool)
    for i, mask in enumerate(masks):
        mask[:, 8 * i : 8 * i + 8] = True
    encoded = [encode(mask) for mask in masks]
    behind = [[10 + int(j) for j in np.flatnonzero(row)] for row in IN_FRONT]
    true = [
        Annotation(10 + i, 1, 1, False, mask, (0, 0, 0, 0), area(mask), {"hidden": 0.1 * i, "in_front_of": behind[i]})
        for i, mask in enumerate(encoded)
    ]
    found = FrameResult(
        frame_index=0,
        height=8,
        width=24,
        track_ids=np.arange(1, 4),
        labels=np.zeros(3, np.int64),
        scores=np.ones(3, np.float32),
        boxes=np.array([bounding_box(mask) for mask in encoded], np.float32),
        masks=encoded,
        hidden=np.array([0, 0.1, 0.2], np.float32),
        order=OcclusionOrder(IN_FRONT),
    )
    return true, found


@pytest.mark.parametrize(("kept", "pairs"), [([0, 1, 2], 2), ([0, 1], 1), ([0, 2], 0), ([], 0)])
def test_pairs_of_objects_that_were_missed_are_counted_as_true(kept: list[int], pairs: int) -> None:
    true, result = three_in_a_row()
    matches = OcclusionMatches()
    matches.add_image(true, select(result, np.array(kept, int)))
    assert (matches.order.pairs, matches.order.correct) == (pairs, pairs)
    assert matches.true_pairs == 2


def test_pairs_that_hide_each_other_have_no_direction() -> None:
    true, result = three_in_a_row()
    true[1] = replace(true[1], extra={"hidden": 0.1, "in_front_of": [10, 12]})
    matches = OcclusionMatches()
    matches.add_image(true, result)
    assert matches.true_pairs == matches.order.pairs == 1


def test_scores_say_the_share_of_pairs_found() -> None:
    true, result = three_in_a_row()
    matches = OcclusionMatches()
    matches.add_image(true, select(result, np.array([0, 1])))
    scores = VideoScores(None, None, Identity(), Clear(tp=2, fn=1), matches.hidden(), matches.order, matches.true_pairs)
    assert scores.as_dict()["order_pairs_found"] == 0.5
    assert scores.as_dict()["recall"] == pytest.approx(2 / 3)
    assert scores.as_dict()["order_accuracy"] == 1
