"""Run-length masks against dense numpy arrays and pycocotools."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from vos_occ.structures import rle


def ascii_mask(*rows: str) -> NDArray[np.bool_]:
    """Rows of `#` (on) and `.` (off)."""
    return np.array([[pixel == "#" for pixel in row] for row in rows])


def coco_string(mask: NDArray[np.bool_]) -> str:
    return coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"].decode()


@st.composite
def frames_with_crop(draw: st.DrawFn) -> tuple[NDArray[np.bool_], int, int, int, int]:
    """A crop, its place and the size of the frame around it; often flush with the frame's edges."""
    crop = draw(hnp.arrays(bool, st.tuples(st.integers(0, 7), st.integers(0, 7))))
    if draw(st.booleans()):
        crop = crop | True
    above, below, left, right = draw(st.tuples(*[st.integers(0, 2)] * 4))
    h, w = crop.shape
    return crop, left, above, max(h + above + below, 1), max(w + left + right, 1)


@given(frames_with_crop())
def test_a_boxed_encoding_equals_pycocotools_on_the_whole_frame(case):
    crop, x0, y0, height, width = case
    frame = np.zeros((height, width), bool)
    frame[y0 : y0 + crop.shape[0], x0 : x0 + crop.shape[1]] = crop
    assert rle.encode_box(crop, x0, y0, height, width) == {"size": [height, width], "counts": coco_string(frame)}


@given(hnp.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_decoding_a_box_gives_the_tight_crop_of_the_mask(mask):
    crop, x0, y0 = rle.decode_box(rle.encode(mask))
    again = np.zeros_like(mask)
    again[y0 : y0 + crop.shape[0], x0 : x0 + crop.shape[1]] = crop
    np.testing.assert_array_equal(again, mask)
    if mask.any() and not (crop.shape[0] == mask.shape[0] and y0 == 0):
        assert crop[0].any() and crop[-1].any() and crop[:, 0].any() and crop[:, -1].any()


@given(hnp.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_decode_undoes_encode(mask):
    np.testing.assert_array_equal(rle.decode(rle.encode(mask)), mask)


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=40))
def test_run_lengths_reads_every_string_that_pycocotools_writes(counts):
    total = sum(counts)
    found = coco_mask.frPyObjects({"size": [total, 1], "counts": counts}, total, 1)
    read = rle.run_lengths({"size": [total, 1], "counts": found["counts"].decode()})
    assert read.tolist() == counts


@pytest.mark.parametrize(
    ("situation", "mask"),
    [
        ("runs merge from the bottom of one column to the top of the next", ascii_mask(".##", "###", "##.")),
        ("full frame", ascii_mask("###", "###")),
        ("first pixel on", ascii_mask("#..", "...")),
        ("last pixel on", ascii_mask("...", "..#")),
        ("one row", ascii_mask("#.##.")),
        ("one column", ascii_mask("#", ".", "#")),
    ],
)
def test_awkward_masks_encode_like_pycocotools(situation, mask):
    assert rle.encode_box(mask, 0, 0, *mask.shape)["counts"] == coco_string(mask), situation
    np.testing.assert_array_equal(rle.decode(rle.encode(mask)), mask)


def test_a_crop_outside_the_frame_is_refused():
    with pytest.raises(ValueError, match="reaches outside the 4x4 frame"):
        rle.encode_box(np.ones((2, 2), bool), 3, 0, 4, 4)


@given(st.tuples(*[st.floats(-3, 12)] * 4))
def test_a_filled_box_holds_the_pixels_whose_centres_lie_inside(box):
    y, x = np.mgrid[:7, :9] + 0.5
    expected = (x >= box[0]) & (x < box[2]) & (y >= box[1]) & (y < box[3])
    assert rle.from_box(box, 7, 9) == rle.encode(expected)


@given(hnp.arrays(bool, (3, 6, 5)), hnp.arrays(bool, (2, 6, 5)))
@settings(max_examples=50)
def test_set_arithmetic_equals_dense_arithmetic(a, b):
    a_rle, b_rle = [rle.encode(m) for m in a], [rle.encode(m) for m in b]
    intersection = (a[:, None] & b[None]).sum((2, 3))
    union = (a[:, None] | b[None]).sum((2, 3))
    np.testing.assert_array_equal(rle.iou(a_rle, b_rle), intersection / np.maximum(union, 1))
    first = np.maximum(a.sum((1, 2)), 1)[:, None]
    np.testing.assert_array_equal(rle.intersection_over_first(a_rle, b_rle), intersection / first)
    assert rle.intersection_area(a_rle[0], b_rle[0]) == intersection[0, 0]
    assert rle.union(a_rle) == rle.encode(a.any(0))
    assert rle.area(a_rle[0]) == a[0].sum()


def test_the_bounding_box_is_end_exclusive():
    mask = rle.encode(ascii_mask(".....", "..##.", ".##..", "....."))
    assert rle.bounding_box(mask).tolist() == [1, 1, 4, 3]
    assert rle.bounding_box(rle.empty(4, 5)).tolist() == [0, 0, 0, 0]


def test_pairs_with_an_empty_side_give_an_empty_matrix():
    assert rle.iou([], [rle.empty(2, 2)]).shape == (0, 1)
    assert rle.iou([rle.empty(2, 2)], []).shape == (1, 0)


def test_masks_of_different_frames_never_meet():
    with pytest.raises(ValueError, match="share one frame size"):
        rle.iou([rle.empty(2, 3)], [rle.empty(3, 2)])
    with pytest.raises(ValueError, match="share one frame size"):
        rle.union([rle.empty(2, 3), rle.empty(3, 2)])
    with pytest.raises(ValueError, match="share one frame size"):
        rle.union([])


def test_parse_removes_empty_runs_that_break_pycocotools_iou():
    counts = coco_mask.frPyObjects({"size": [4, 4], "counts": [2, 0, 0, 0, 3, 4, 7]}, 4, 4)["counts"].decode()
    broken: rle.Rle = {"size": [4, 4], "counts": counts}
    assert rle.iou([broken], [broken])[0, 0] == 0, "the defect this guards against"
    parsed = rle.parse(broken, 4, 4)
    np.testing.assert_array_equal(rle.decode(parsed), rle.decode(broken))
    assert parsed == rle.encode(rle.decode(broken))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"size": [2, 3], "counts": [6]}, "must be a COCO string"),
        ({"size": [3, 2], "counts": "6"}, r"size must be \[2, 3\]"),
        ({"size": [2, 3], "counts": "7"}, "do not add up to 2x3"),
        ({"size": [2, 3], "counts": ""}, "the code is empty"),
        ({"size": [2, 3], "counts": "6\x01"}, "the code holds '.x01'"),
        ({"size": [2, 3], "counts": "\u2603"}, "the code holds '\u2603'"),
        ({"size": [2, 3], "counts": "V"}, "the code is cut off"),
        ({"size": [2, 3], "counts": "V" * 9 + "0"}, "more than 32 bits"),
        ({"size": [2, 3], "counts": "O7"}, "do not add up"),
        ({"counts": "6"}, "size must be"),
    ],
)
def test_parse_refuses_what_is_no_mask_of_this_frame(value, message):
    with pytest.raises(ValueError, match=message):
        rle.parse(value, 2, 3)
