"""What follows from extents and depth, on drawings of which each letter stands for 4 x 4 pixels."""

from __future__ import annotations

import numpy as np
import pytest

from vos_occ.datasets.synthetic_truth import MIN_AREA, SyntheticFrame, layer_truth


def extents(*drawings: str) -> np.ndarray:
    """(N, H, W) bool from drawings: '#' is inside."""
    rows = [[[letter == "#" for letter in line] for line in drawing.split()] for drawing in drawings]
    return np.kron(np.array(rows, bool), np.ones((1, 4, 4), bool))


def test_a_nearer_object_hides_what_it_covers_and_nothing_else() -> None:
    amodal = extents("####. ####.", "..### .....")
    truth = layer_truth(amodal, np.array([0, 1]))
    assert (truth["visible"] == extents("##... ####.", "..### .....")).all()
    assert truth["hidden"].tolist() == [0.25, 0.0]
    assert truth["in_front"].tolist() == [[False, False], [True, False]]


def test_the_occluder_is_the_whole_visible_mask_of_those_in_front() -> None:
    amodal = extents("####.", "..###", "#....")
    truth = layer_truth(amodal, np.array([0, 1, 2]))
    assert (truth["occluder"] == extents("#.###", ".....", ".....")).all()


def test_who_is_itself_covered_there_does_not_hide() -> None:
    bottom, middle, top = "###", ".#.", "##."
    truth = layer_truth(extents(bottom, middle, top), np.array([0, 1, 2]))
    assert truth["hidden"][1] == 1.0
    assert truth["in_front"].tolist() == [[False] * 3, [False] * 3, [True, True, False]]


def test_an_object_outside_the_image_has_no_hidden_fraction() -> None:
    truth = layer_truth(extents("...", "##."), np.array([1, 0]))
    assert np.isnan(truth["hidden"][0]) and truth["hidden"][1] == 0.0
    assert not truth["in_front"].any()


def test_a_contact_of_a_few_pixels_is_no_occlusion_pair() -> None:
    amodal = np.zeros((2, 8, 16), bool)
    amodal[0, :, :8] = amodal[1, :, 7:] = True  # eight pixels in common
    truth = layer_truth(amodal, np.array([0, 1]))
    assert MIN_AREA > 8 and not truth["in_front"].any()
    assert truth["hidden"][0] == pytest.approx(1 / 8)


def test_a_frame_refuses_rows_that_do_not_fit_its_image() -> None:
    truth = layer_truth(extents("##."), np.array([0]))
    one = np.ones(1, np.int64)
    with pytest.raises(ValueError, match=r"amodal must be \(1, 4, 12\)"):
        SyntheticFrame(0, np.zeros((4, 12, 3), np.uint8), one, one, amodal=extents("##"), depth_order=one, **truth)
