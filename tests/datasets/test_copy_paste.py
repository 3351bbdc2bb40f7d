from __future__ import annotations

import numpy as np
import pytest

from vos_occ.datasets.copy_paste import (
    PASTED_ID,
    CopyPaste,
    Cutout,
    _append_in_front,
    _paste_one,
    assume_standalone_visible,
    standalone,
)

BACK = """
    ####....
    ####....
    ####....
    ####....
"""
FAR = """
    ......##
    ......##
    ........
    ........
"""
PASTED = """
    ........
    ..####..
    ..####..
    ........
"""


def pasted_over(sample, draw, **fields):
    return _append_in_front(sample(BACK, FAR, **fields), draw(PASTED), PASTED_ID, 0)


def test_the_occluder_takes_its_pixels_from_the_others(sample, draw) -> None:
    result = pasted_over(sample, draw)
    expected = """
        ####....
        ##......
        ##......
        ####....
    """
    np.testing.assert_array_equal(result.masks[0], draw(expected))
    np.testing.assert_array_equal(result.masks[1], draw(FAR))
    np.testing.assert_array_equal(result.masks[2], draw(PASTED))


def test_the_hidden_fraction_is_the_covered_share(sample, draw) -> None:
    result = pasted_over(sample, draw, hidden=np.float32([0, 0]))
    np.testing.assert_allclose(result.hidden, [4 / 16, 0, 0])


def test_what_was_hidden_before_stays_hidden(sample, draw) -> None:
    """Half was visible, a quarter of that is covered now: three eighths remain to be seen."""
    result = pasted_over(sample, draw, hidden=np.float32([0.5, 0]))
    assert result.hidden[0] == pytest.approx(1 - 3 / 8)


def test_an_unknown_hidden_fraction_stays_unknown(sample, draw) -> None:
    result = pasted_over(sample, draw)
    assert np.isnan(result.hidden[:2]).all()
    assert result.hidden[2] == 0


def test_the_pasted_one_is_in_front_of_what_it_covers_only(sample, draw) -> None:
    order = pasted_over(sample, draw).in_front
    assert order[2].tolist() == [1, 0, 0]
    assert order[:2, 2].tolist() == [0, 0]


def test_an_unknown_order_stays_unknown(sample, draw) -> None:
    assert (pasted_over(sample, draw).in_front[:2, :2] == -1).all()


def test_a_known_order_is_kept(sample, draw) -> None:
    known = np.array([[0, 1], [0, 0]], np.int8)
    assert pasted_over(sample, draw, in_front=known).in_front[:2, :2].tolist() == known.tolist()


def test_what_is_covered_wholly_is_hidden_wholly(sample, draw) -> None:
    result = _append_in_front(sample(PASTED, hidden=np.float32([0])), draw(PASTED), PASTED_ID, 0)
    assert not result.masks[0].any()
    assert result.hidden[0] == 1
    again = _append_in_front(result, draw(PASTED), PASTED_ID + 1, 0)
    assert again.hidden.tolist() == [1, 1, 0]


def test_each_pasted_one_lies_in_front_of_those_before(sample, draw) -> None:
    result = pasted_over(sample, draw, hidden=np.float32([0, 0]))
    second = """
        ........
        .....#..
        .....#..
        ........
    """
    result = _append_in_front(result, draw(second), PASTED_ID + 1, 0)
    assert result.in_front[3].tolist() == [0, 0, 1, 0]
    np.testing.assert_allclose(result.hidden, [4 / 16, 0, 2 / 8, 0])


def test_standing_alone_is_having_no_neighbour_and_being_one(sample) -> None:
    touching = sample(BACK, "...##...\n...##...\n...##...\n........", FAR, crowd=np.array([False, False, False]))
    assert standalone(touching).tolist() == [False, False, True]
    assert standalone(sample(FAR, crowd=np.array([True]))).tolist() == [False]


def test_only_the_unknown_of_those_that_stand_alone_is_taken_for_visible(sample) -> None:
    close = "...##...\n...##...\n...##...\n........"
    scene = sample(BACK, close, FAR, hidden=np.float32([np.nan, 0.5, np.nan]))
    np.testing.assert_array_equal(assume_standalone_visible(scene).hidden, np.float32([np.nan, 0.5, 0]))
    known = sample(FAR, hidden=np.float32([0.7]))
    assert assume_standalone_visible(known).hidden.tolist() == pytest.approx([0.7])


def test_pixels_and_mask_of_a_cutout_go_to_the_same_place(sample) -> None:
    scene = sample("........\n" * 8)
    cutout = Cutout(np.full((2, 3, 3), 200, np.uint8), np.array([[1, 1, 1], [0, 1, 0]], np.uint8), 7)
    result = _paste_one(scene, cutout, PASTED_ID, 1.0, 4, 5)
    assert result.boxes()[-1].tolist() == [4, 5, 7, 7]
    assert (result.image[result.masks[-1] == 1] == 200).all()
    untouched = result.masks[-1] == 0
    np.testing.assert_array_equal(result.image[untouched], scene.image[untouched])
    assert (result.labels[-1], result.instance_ids[-1]) == (7, PASTED_ID)


@pytest.mark.parametrize(
    ("x", "y", "box"),
    [(-2, -1, [0, 0, 2, 3]), (6, 6, [6, 6, 8, 8]), (-4, 0, None), (8, 0, None), (0, -9, None)],
    ids=["top left", "bottom right", "left of it", "right of it", "above it"],
)
def test_a_cutout_is_cut_at_the_image_and_dropped_outside(sample, x: int, y: int, box: list[int] | None) -> None:
    scene = sample("........\n" * 8)
    cutout = Cutout(np.zeros((4, 4, 3), np.uint8), np.ones((4, 4), np.uint8), 0)
    result = _paste_one(scene, cutout, PASTED_ID, 1.0, x, y)
    assert result.boxes()[1:].tolist() == ([box] if box else [])


def big(sample, **fields):
    """Two squares of 900 pixels far apart."""
    return sample("##......\n##......", "......##\n......##", scale=15, **fields)


def test_cutouts_are_whole_instances(sample) -> None:
    rng = np.random.default_rng(0)
    scene = big(sample, hidden=np.float32([0.4, np.nan]), labels=np.array([1, 2]))
    drawn = [CopyPaste(prob=1, max_objects=1).draw(lambda: scene, rng) for _ in range(10)]
    assert {cutout.label for cutouts in drawn for cutout in cutouts} == {2}  # the other is known to be hidden in part
    assert drawn[0][0].mask.shape == (30, 30)
    assert drawn[0][0].mask.all()


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        ({"prob": 0}, {0}),
        ({"prob": 1, "max_objects": 1}, {1}),
        ({"prob": 1, "max_objects": 3}, {1, 2, 3}),
        ({"prob": 1, "min_area": 901}, {0}),
    ],
    ids=["never", "one", "up to three", "too small to cut out"],
)
def test_how_many_are_pasted(sample, options: dict, numbers: set[int]) -> None:
    rng = np.random.default_rng(0)
    assert {len(CopyPaste(**options).draw(lambda: big(sample), rng)) for _ in range(40)} == numbers


def test_paste_is_decided_by_its_generator_and_keeps_ids(sample) -> None:
    scene, paste = big(sample), CopyPaste(prob=1)
    cutouts = [Cutout(np.zeros((20, 20, 3), np.uint8), np.ones((20, 20), np.uint8), 0)] * 2
    once, again = (paste.paste(scene, cutouts, [1, 2], np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(once.masks, again.masks)
    np.testing.assert_array_equal(once.image, again.image)
    assert once.instance_ids.tolist()[:2] == [1, 2]
    assert set(once.instance_ids.tolist()[2:]) <= {PASTED_ID, PASTED_ID + 1}
    assert once.masks.sum(0).max() == 1


def test_most_pastes_hide_part_of_their_target(sample) -> None:
    scene, paste = big(sample), CopyPaste(prob=1)
    cutout = Cutout(np.zeros((30, 30, 3), np.uint8), np.ones((30, 30), np.uint8), 0)
    results = [paste.paste(scene, [cutout], [2], np.random.default_rng(seed)) for seed in range(40)]
    assert np.mean([result.hidden[1] > 0.05 for result in results]) > 0.6


def test_a_target_that_is_gone_does_not_stop_the_paste(sample) -> None:
    cutout = Cutout(np.zeros((30, 30, 3), np.uint8), np.ones((30, 30), np.uint8), 0)
    assert len(CopyPaste().paste(big(sample), [cutout], [99], np.random.default_rng(0))) == 3
