"""Hidden fraction, its levels, and who hides whom."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

from vos_occ.structures import OcclusionOrder, hidden_fraction, occlusion_level, predict_order, rle


def box_mask(*box: float) -> rle.Rle:
    return rle.from_box(box, 20, 30)


def test_hidden_fraction_is_the_share_of_the_whole_extent_that_is_not_visible():
    amodal = box_mask(0, 0, 10, 10)
    assert hidden_fraction(amodal, amodal) == 0
    assert hidden_fraction(box_mask(0, 0, 10, 4), amodal) == pytest.approx(0.6)
    assert hidden_fraction(rle.empty(20, 30), amodal) == 1
    assert hidden_fraction(box_mask(5, 0, 30, 10), amodal) == 0.5, "what lies outside the extent counts nowhere"


def test_hidden_fraction_of_nothing_is_undefined():
    assert math.isnan(hidden_fraction(box_mask(0, 0, 5, 5), rle.empty(20, 30)))


@pytest.mark.parametrize(
    ("fraction", "level"),
    [(0, 0), (0.0099, 0), (0.01, 1), (0.2999, 1), (0.30, 2), (0.60, 3), (0.8999, 3), (0.90, 4), (1, 4)],
)
def test_levels_begin_at_their_lower_bound(fraction, level):
    assert occlusion_level(fraction) == level


def test_an_undefined_fraction_has_no_level():
    assert occlusion_level(None) is None
    assert occlusion_level(math.nan) is None


@pytest.mark.parametrize("fraction", [-0.01, 1.01])
def test_a_fraction_outside_its_range_is_refused(fraction):
    with pytest.raises(ValueError, match="lies in"):
        occlusion_level(fraction)


def test_order_lists_occluders_and_pairs():
    matrix = np.zeros((3, 3), bool)
    matrix[0, 1] = matrix[2, 1] = matrix[1, 0] = True
    order = OcclusionOrder(matrix)
    assert order.hidden_by(1) == [0, 2]
    assert order.hidden_by(2) == []
    assert order.pairs() == [(0, 1), (1, 0), (2, 1)]
    assert len(order) == 3


@pytest.mark.parametrize("matrix", [np.zeros((2, 3), bool), np.zeros((2, 2)), np.eye(2, dtype=bool)])
def test_a_matrix_that_is_no_order_is_refused(matrix):
    with pytest.raises(ValueError, match="bool matrix|hide itself"):
        OcclusionOrder(matrix)


def test_the_object_that_the_other_calls_its_occluder_lies_in_front():
    front, behind = box_mask(5, 5, 15, 15), box_mask(0, 8, 5, 12)
    boxes = np.array([[5, 5, 15, 15], [0, 8, 9, 12]], np.float32)
    order = predict_order([front, behind], [None, box_mask(5, 8, 9, 12)], boxes)
    assert order.pairs() == [(0, 1)]


def test_the_larger_direction_of_a_pair_wins():
    left, right = box_mask(0, 0, 10, 10), box_mask(10, 0, 20, 10)
    boxes = np.array([[0, 0, 15, 10], [5, 0, 20, 10]], np.float32)
    right_calls_left = box_mask(5, 0, 10, 10)
    left_calls_right = box_mask(10, 0, 13, 10)
    order = predict_order([left, right], [left_calls_right, right_calls_left], boxes)
    assert order.pairs() == [(0, 1)]


@pytest.mark.parametrize(("called_columns", "expected"), [(1, []), (3, [(0, 1)])])
def test_a_weak_claim_is_no_order(called_columns, expected):
    front, behind = box_mask(10, 0, 20, 10), box_mask(0, 0, 10, 10)
    boxes = np.array([[10, 0, 20, 10], [0, 0, 20, 10]], np.float32)
    order = predict_order([front, behind], [None, box_mask(10, 0, 10 + called_columns, 10)], boxes)
    assert order.pairs() == expected


def test_objects_apart_have_no_order_whatever_their_heads_say():
    a, b = box_mask(0, 0, 5, 5), box_mask(20, 10, 25, 15)
    boxes = np.array([[0, 0, 5, 5], [20, 10, 25, 15]], np.float32)
    assert predict_order([a, b], [box_mask(0, 0, 5, 5), box_mask(20, 10, 25, 15)], boxes).pairs() == []


def test_no_objects_have_an_empty_order():
    assert len(predict_order([], [], np.zeros((0, 4), np.float32))) == 0


@given(hnp.arrays(bool, (3, 6, 6)), hnp.arrays(bool, (3, 6, 6)))
@settings(max_examples=50)
def test_a_predicted_order_never_runs_both_ways(visible, occluders):
    boxes = np.array([[0, 0, 6, 6]] * 3, np.float32)
    order = predict_order([rle.encode(m) for m in visible], [rle.encode(m) for m in occluders], boxes, min_score=0.01)
    assert not (order.matrix & order.matrix.T).any()
