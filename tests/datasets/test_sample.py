from __future__ import annotations

import numpy as np
import pytest

LEFT = """
    ##...
    ##...
    .....
"""
MIDDLE = """
    .....
    .##..
    .##..
"""
RIGHT = """
    ....#
    ....#
    ....#
"""
ORDER = np.array([[0, 1, -1], [0, 0, -1], [-1, -1, -1]], np.int8)


def three(sample):
    return sample(LEFT, MIDDLE, RIGHT, labels=np.array([4, 5, 6]), in_front=ORDER, hidden=np.float32([0, 0.25, np.nan]))


def test_boxes_are_tight_and_end_exclusive(sample) -> None:
    assert three(sample).boxes().tolist() == [[0, 0, 2, 2], [1, 1, 3, 3], [4, 0, 5, 3]]


def test_the_box_of_an_empty_mask_is_zero(sample) -> None:
    assert sample("...\n...").boxes().tolist() == [[0, 0, 0, 0]]


@pytest.mark.parametrize("keep", [np.array([0, 2]), np.array([True, False, True])], ids=["indices", "bool mask"])
def test_select_takes_everything_along(sample, keep: np.ndarray) -> None:
    kept = three(sample).select(keep)
    assert kept.instance_ids.tolist() == [1, 3]
    assert kept.labels.tolist() == [4, 6]
    assert kept.boxes().tolist() == [[0, 0, 2, 2], [4, 0, 5, 3]]
    np.testing.assert_array_equal(kept.hidden, np.float32([0, np.nan]))
    assert kept.in_front.tolist() == [[0, -1], [-1, -1]]


def test_select_can_change_the_order_of_instances(sample) -> None:
    turned = three(sample).select(np.array([1, 0]))
    assert turned.instance_ids.tolist() == [2, 1]
    assert turned.in_front.tolist() == [[0, 0], [1, 0]]


def test_select_of_none_keeps_shapes(sample) -> None:
    nobody = three(sample).select(np.zeros(3, bool))
    assert len(nobody) == 0
    assert nobody.masks.shape == (0, 3, 5)
    assert nobody.in_front.shape == (0, 0)
    assert nobody.boxes().shape == (0, 4)


def test_arrays_of_different_lengths_make_no_sample(sample) -> None:
    with pytest.raises(AssertionError):
        sample(LEFT, MIDDLE, labels=np.array([1]))
