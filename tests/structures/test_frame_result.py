"""A frame result cannot be built wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from vos_occ.structures import FrameResult, OcclusionOrder, rle


def two_objects(**changes: Any) -> FrameResult:
    fields: dict[str, Any] = {
        "frame_index": 4,
        "height": 6,
        "width": 8,
        "track_ids": np.array([7, 3]),
        "labels": np.array([0, 1]),
        "scores": np.array([0.9, 0.5], np.float32),
        "boxes": np.array([[0, 0, 3, 3], [2, 2, 9, 6]], np.float32),
        "masks": [rle.from_box((0, 0, 3, 3), 6, 8), rle.from_box((3, 3, 8, 6), 6, 8)],
    }
    return FrameResult(**(fields | changes))


def test_hidden_by_answers_in_track_ids():
    result = two_objects(order=OcclusionOrder(np.array([[False, True], [False, False]])))
    assert result.hidden_by(1) == [7]
    assert result.hidden_by(0) == []


def test_hidden_by_is_empty_when_the_order_is_unknown():
    assert two_objects().hidden_by(1) == []


def test_an_empty_frame_has_no_objects():
    result = FrameResult.empty(2, 6, 8)
    assert (len(result), result.frame_index, result.boxes.shape) == (0, 2, (0, 4))


def test_lists_and_wider_floats_become_the_documented_arrays():
    result = two_objects(track_ids=[7, 3], scores=[0.9, 0.5], hidden=[0.1, float("nan")])
    assert (result.track_ids.dtype, result.scores.dtype) == (np.int64, np.float32)
    assert result.hidden is not None and result.hidden.dtype == np.float32


def test_the_repr_fits_one_line():
    assert repr(two_objects()) == "FrameResult(4, 6x8, track_ids=[7, 3])"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"track_ids": np.array([1, 1])}, "share a track id"),
        ({"track_ids": np.array([0, 1])}, "start at 1"),
        ({"track_ids": np.array([1, 2, 3])}, r"track_ids has shape \(3,\), expected \(2,\)"),
        ({"labels": np.array([0, -1])}, "negative label"),
        ({"scores": np.array([0.5, 1.2], np.float32)}, "score outside"),
        ({"scores": np.array([0.5, np.nan], np.float32)}, "score outside"),
        ({"boxes": np.zeros((2, 5), np.float32)}, "boxes has shape"),
        ({"boxes": np.array([[0, 0, np.inf, 3], [0, 0, 1, 1]], np.float32)}, "not finite"),
        ({"boxes": np.array([[5, 0, 3, 3], [0, 0, 1, 1]], np.float32)}, "ends before it begins"),
        ({"masks": [rle.empty(6, 8), rle.empty(8, 6)]}, r"masks\[1\] is not a mask of a 6x8 frame"),
        ({"masks": [rle.empty(6, 8), None]}, r"masks\[1\] is not a mask"),
        ({"occluder_masks": [None]}, "occluder_masks has 1 entries, expected 2"),
        ({"occluder_masks": [None, rle.empty(2, 2)]}, r"occluder_masks\[1\] is not a mask"),
        ({"hidden": np.array([0, 1.5], np.float32)}, "hidden fraction outside"),
        ({"order": OcclusionOrder(np.zeros((3, 3), bool))}, "order is over 3 objects, expected 2"),
        ({"frame_index": -1}, "negative"),
    ],
)
def test_fields_that_contradict_each_other_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        two_objects(**changes)


@pytest.mark.parametrize(
    "changes",
    [{"track_ids": np.array([1.0, 2.0])}, {"masks": [{"size": [6, 8], "counts": b"`1"}, rle.empty(6, 8)]}],
)
def test_a_wrong_kind_is_refused(changes):
    with pytest.raises(TypeError):
        two_objects(**changes)


def test_replacing_a_field_validates_again():
    with pytest.raises(ValueError, match="start at 1"):
        replace(two_objects(), track_ids=np.array([0, 5]))
