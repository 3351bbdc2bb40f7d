from __future__ import annotations

import numpy as np
import pytest

from vos_occ.media import Overlay, legible_scale, track_colour
from vos_occ.structures import FrameResult, OcclusionOrder, rle

HEIGHT, WIDTH = 120, 200


def _mask(y0: int, x0: int, y1: int, x1: int) -> rle.Rle:
    dense = np.zeros((HEIGHT, WIDTH), bool)
    dense[y0:y1, x0:x1] = True
    return rle.encode(dense)


def _result(frame_index: int = 0, hidden: float = 0.43, shift: int = 0, known: bool = True) -> FrameResult:
    """Object 1 on the left is partly hidden by object 2 on its right."""
    boxes = np.array([[60, 50, 100, 100], [90, 45, 140, 105]], np.float32) + [shift, 0, shift, 0]
    masks = [_mask(50, 60 + shift, 100, 90 + shift), _mask(45, 90 + shift, 105, 140 + shift)]
    return FrameResult(
        frame_index=frame_index,
        height=HEIGHT,
        width=WIDTH,
        track_ids=np.array([1, 2]),
        labels=np.array([0, 5]),
        scores=np.array([0.87, 0.5], np.float32),
        boxes=boxes.astype(np.float32),
        masks=masks,
        occluder_masks=[_mask(50, 90 + shift, 100, 100 + shift), None] if known else None,
        hidden=np.array([hidden, np.nan], np.float32) if known else None,
        order=OcclusionOrder(np.array([[False, False], [True, False]])) if known else None,
    )


def _picture() -> np.ndarray:
    return np.full((HEIGHT, WIDTH, 3), 90, np.uint8)


def _text(overlay: Overlay, result: FrameResult, i: int) -> list[str]:
    return ["".join(text for text, _ in line) for line in overlay._lines(result, i)]


def test_a_frame_without_objects_is_left_as_it_is():
    picture = _picture()
    drawn = Overlay(["person"]).draw(picture, FrameResult.empty(0, HEIGHT, WIDTH))
    np.testing.assert_array_equal(drawn, picture)
    assert drawn is not picture and not np.shares_memory(drawn, picture)


def test_the_picture_given_is_not_changed():
    picture = _picture()
    picture.setflags(write=False)
    drawn = Overlay(["person"]).draw(picture, _result())
    assert (picture == 90).all() and (drawn != picture).any()


def test_the_fill_is_a_mix_of_picture_and_track_colour():
    drawn = Overlay(["person"], trails=False, alpha=0.45).draw(_picture(), _result())
    for track_id, (y, x) in {1: (75, 75), 2: (85, 125)}.items():
        expected = 0.55 * 90 + 0.45 * np.array(track_colour(track_id))
        assert drawn[y, x] == pytest.approx(expected, abs=2)


def test_the_label_says_who_how_sure_how_hidden_and_behind_whom():
    overlay, result = Overlay(["person"]), _result()
    assert _text(overlay, result, 0) == ["#1 person 0.87", "hidden 43 % behind #2"]
    assert _text(overlay, result, 1) == ["#2 class 5 0.50"]


@pytest.mark.parametrize(
    ("hidden", "shown"), [(0.0, False), (0.009, False), (0.01, True), (1.0, True), (np.nan, False)]
)
def test_hidden_is_named_from_one_per_cent_on(hidden, shown):
    lines = _text(Overlay(["person"]), _result(hidden=hidden), 0)
    assert any("hidden" in line for line in lines) == shown


def test_occlusion_can_be_switched_off():
    off = Overlay(["person"], show_occlusion=False)
    assert _text(off, _result(), 0) == ["#1 person 0.87"]
    drawn = off.draw(_picture(), _result())
    np.testing.assert_array_equal(drawn, Overlay(["person"]).draw(_picture(), _result(known=False)))


def test_what_hides_an_object_is_hatched_in_the_colour_of_that_object():
    with_hatching = Overlay(["person"], trails=False).draw(_picture(), _result()).astype(int)
    without = Overlay(["person"], trails=False, show_occlusion=False).draw(_picture(), _result()).astype(int)
    window = np.s_[55:95, 92:99]
    changed = np.abs(with_hatching - without)[window].max(-1) > 40
    assert 0.15 < changed.mean() < 0.7
    striped = with_hatching[window][changed].mean(0)
    assert np.abs(striped - track_colour(1)).sum() < np.abs(striped - track_colour(2)).sum()


def test_trails_follow_the_lower_edge_of_the_box_and_can_be_switched_off():
    on, off = Overlay(["person"]), Overlay(["person"], trails=False)
    for frame_index in range(8):
        result = _result(frame_index, shift=-6 * frame_index)
        drawn_on, drawn_off = on.draw(_picture(), result), off.draw(_picture(), result)
    differs = (drawn_on != drawn_off).any(-1)
    rows = np.flatnonzero(differs.any(1))
    assert rows.min() >= 97 and rows.max() <= 108, rows  # boxes end at rows 100 and 105


def test_memory_holds_only_tracks_seen_lately():
    overlay = Overlay(["person"], trail_length=4)
    overlay.draw(_picture(), _result(0))
    for frame_index in range(1, 20):
        overlay.draw(_picture(), FrameResult.empty(frame_index, HEIGHT, WIDTH))
    assert overlay._traces == {}
    for frame_index in range(20, 60):
        overlay.draw(_picture(), _result(frame_index))
    assert all(len(trace.points) == 4 for trace in overlay._traces.values())


def test_an_object_with_an_empty_mask_and_a_box_outside_is_still_drawn():
    result = FrameResult(
        frame_index=0,
        height=HEIGHT,
        width=WIDTH,
        track_ids=np.array([9]),
        labels=np.array([0]),
        scores=np.array([0.4], np.float32),
        boxes=np.array([[-30, -50, 260, 400]], np.float32),
        masks=[rle.empty(HEIGHT, WIDTH)],
        occluder_masks=[rle.empty(HEIGHT, WIDTH)],
        hidden=np.array([1.0], np.float32),
    )
    assert (Overlay(["person"]).draw(_picture(), result) != 90).any()


def test_a_mask_over_the_whole_picture_is_drawn_at_every_scale():
    result = _result()
    full = FrameResult(
        **{
            **result.__dict__,
            "masks": [_mask(0, 0, HEIGHT, WIDTH)] * 2,
            "occluder_masks": [_mask(0, 0, HEIGHT, WIDTH)] * 2,
        }
    )
    for scale in (1, 2, 3):
        drawn = Overlay(["person"], scale=scale).draw(_picture(), full)
        assert drawn.shape == (HEIGHT * scale, WIDTH * scale, 3)
        assert (drawn[-1, -20:] != 90).any(-1).all()


def test_a_result_of_another_size_is_refused():
    with pytest.raises(ValueError, match="not of that size"):
        Overlay(["person"]).draw(np.zeros((10, 10, 3), np.uint8), _result())


@pytest.mark.parametrize(
    ("width", "height", "scale"), [(1920, 1080, 1), (640, 480, 1), (639, 400, 2), (320, 192, 2), (192, 319, 3)]
)
def test_small_pictures_are_enlarged_until_text_fits(width, height, scale):
    assert legible_scale(width, height) == scale
