"""Hidden fractions and occlusion order: what counts, what does not, and the baselines."""

from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask as mask_api

from eval.occlusion import OrderScore, match_masks, score_hidden_fraction, score_order
from eval.rle import Rle


def mask(picture: str) -> Rle:
    rows = [[c == "#" for c in row] for row in picture.split()]
    rle = mask_api.encode(np.asfortranarray(rows, np.uint8))
    return {"size": list(rle["size"]), "counts": rle["counts"].decode()}


def test_masks_are_paired_one_to_one_for_the_highest_total_overlap() -> None:
    left, right, both = mask("##.. ##.."), mask("..## ..##"), mask("###. ###.")
    rows, columns = match_masks([left, right], [both, left])
    assert list(zip(rows.tolist(), columns.tolist(), strict=True)) == [(0, 1)], "right and both share too little"
    rows, columns = match_masks([left], [both])
    assert (rows.tolist(), columns.tolist()) == ([0], [0])


def test_nothing_pairs_with_nothing() -> None:
    assert [len(indices) for indices in match_masks([], [mask("#.")])] == [0, 0]
    assert [len(indices) for indices in match_masks([mask("#.")], [mask(".#")])] == [0, 0]


def test_hidden_fraction_is_scored_beside_predicting_the_mean() -> None:
    score = score_hidden_fraction([0.0, 0.005, 0.4, 0.6], [0.0, 0.2, 0.5, 0.6])
    assert score.mae == pytest.approx((0 + 0.195 + 0.1 + 0) / 4)
    assert score.baseline_mae == pytest.approx(0.24875)
    assert score.spearman == pytest.approx(1)
    assert (score.unoccluded, score.false_alarms) == (2, 0.5)


def test_unknown_truth_is_left_out_and_missing_predictions_are_reported() -> None:
    score = score_hidden_fraction([np.nan, 0.5, 0.2], [0.9, np.nan, 0.2])
    assert (score.objects, score.coverage, score.mae, score.spearman) == (2, 0.5, 0.0, None)


def test_without_objects_every_value_is_undefined() -> None:
    score = score_hidden_fraction([], [])
    assert score.objects == score.unoccluded == 0
    assert {score.coverage, score.mae, score.baseline_mae, score.spearman, score.false_alarms} == {None}


def test_hidden_fractions_outside_their_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"predicted hidden fractions must lie in \[0, 1\], found 1.5 to 1.5"):
        score_hidden_fraction([0.5], [1.5])
    with pytest.raises(ValueError, match="found 2 for 1 objects"):
        score_hidden_fraction([0.5], [0.5, 0.5])


def order(size: int, *pairs: tuple[int, int]) -> np.ndarray:
    matrix = np.zeros((size, size), bool)
    for front, behind in pairs:
        matrix[front, behind] = True
    return matrix


def boxes(*bottoms: float) -> np.ndarray:
    return np.array([[0, 0, 10, bottom] for bottom in bottoms])


@pytest.mark.parametrize(
    ("situation", "predicted", "expected"),
    [
        ("right", [(0, 1)], OrderScore(1, 1, 1, 0)),
        ("the wrong way round", [(1, 0)], OrderScore(1, 1, 0, 0)),
        ("no answer", [], OrderScore(1, 0, 0, 0)),
        ("both ways is no answer", [(0, 1), (1, 0)], OrderScore(1, 0, 0, 0)),
        ("an answer for a pair that does not occlude", [(0, 1), (2, 0)], OrderScore(1, 1, 1, 0)),
    ],
)
def test_order_of_one_pair(situation: str, predicted: list, expected: OrderScore) -> None:
    assert score_order(order(3, (0, 1)), order(3, *predicted), boxes(5, 9, 7)) == expected, situation


def test_the_lower_box_edge_is_the_baseline_and_a_tie_is_wrong() -> None:
    score = score_order(order(3, (0, 1), (2, 0), (1, 2)), order(3), boxes(9, 5, 9))
    assert (score.pairs, score.baseline_correct) == (3, 1)
    assert score.baseline_accuracy == pytest.approx(1 / 3)


def test_pairs_that_hide_each_other_have_no_direction() -> None:
    assert score_order(order(2, (0, 1), (1, 0)), order(2, (0, 1)), boxes(1, 2)) == OrderScore()


def test_order_adds_up_over_frames_and_is_undefined_without_pairs() -> None:
    assert (OrderScore().accuracy, OrderScore().coverage, OrderScore().baseline_accuracy) == (None, None, None)
    total = sum([OrderScore(2, 2, 1, 1), OrderScore(2, 1, 1, 0)], OrderScore())
    assert (total.accuracy, total.coverage, total.accuracy_of_predicted) == (0.5, 0.75, pytest.approx(2 / 3))
    assert score_order(np.zeros((0, 0)), np.zeros((0, 0)), np.zeros((0, 4))) == OrderScore()


def test_matrices_that_do_not_fit_the_boxes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Expected two matrices \(2, 2\) for 2 boxes"):
        score_order(order(3), order(2), boxes(1, 2))
