from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vos_occ.media.labels import Label, candidate_rects, choose_place, render_text

coordinate = st.integers(-300, 900)


@given(st.tuples(coordinate, coordinate, coordinate, coordinate), st.integers(1, 200), st.integers(1, 60))
def test_every_candidate_lies_inside_the_picture(box, width, height):
    for left, top, right, bottom in candidate_rects(box, (width, height), (640, 360), gap=2):
        assert 0 <= left < right <= 640 and 0 <= top < bottom <= 360
        assert (right - left, bottom - top) == (width, height)


def test_tags_of_objects_side_by_side_do_not_overlap():
    boxes = [(40 * i, 100, 40 * i + 40, 200) for i in range(6)]
    tags = []
    for box in boxes:
        rects = candidate_rects(box, (90, 20), (640, 360), gap=2)
        tags.append(rects[choose_place(rects, tags, boxes)])
    covered = np.zeros((360, 640), int)
    for left, top, right, bottom in tags:
        covered[top:bottom, left:right] += 1
    assert covered.max() == 1


def test_a_tag_stays_where_it_was_unless_another_place_is_clearly_better():
    candidates = [(0, 0, 10, 10), (20, 0, 30, 10)]
    assert choose_place(candidates, [], []) == 0
    assert choose_place(candidates, [], [], previous=1) == 1
    assert choose_place(candidates, [(20, 0, 30, 10)], [], previous=1) == 0


def test_text_of_one_size_has_one_height_and_grows_with_its_length():
    short, long = render_text("#3", 9), render_text("#3 person", 9)
    assert short.shape[0] == long.shape[0] and short.shape[1] < long.shape[1]
    assert short.max() > 150
    assert render_text("", 9).shape[0] == short.shape[0]


def test_characters_that_the_font_lacks_become_question_marks():
    np.testing.assert_array_equal(render_text("größe", 9), render_text("gr??e", 9))


@pytest.mark.parametrize(("left", "top"), [(0, 0), (35, 15), (39, 19)])
def test_a_tag_larger_than_the_picture_is_cut_off(left, top):
    image = np.full((20, 40, 3), 200, np.uint8)
    label = Label(((("#3 ", (255, 255, 255)), ("person", (255, 255, 255))),), (255, 0, 0), 9)
    label.draw(image, left, top)
    assert (image[top:, left:] != 200).any()
    assert label.size[0] > 40
