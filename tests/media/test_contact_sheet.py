"""The sheet of hardest occlusions: which moments it picks, and what it shows of them."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vos_occ.media import ContactSheet, track_colour
from vos_occ.media.contact_sheet import _PANE, _view, _window
from vos_occ.media.hardest import HardestMoments, covered_by_others, hardness
from vos_occ.media.labels import render_text
from vos_occ.structures import FrameResult, OcclusionOrder, rle

HEIGHT, WIDTH = 120, 160
CAT, DOG = [40, 30, 80, 90], [60, 30, 100, 90]


def frame(
    index: int, boxes: list[list[float]], hidden: list[float] | None = None, ids: list[int] | None = None
) -> FrameResult:
    count = len(boxes)
    masks = [rle.from_box(box, HEIGHT, WIDTH) for box in boxes]
    order = np.zeros((count, count), bool)
    if hidden is not None and count == 2:
        order[1, 0] = hidden[0] > 0.1
    return FrameResult(
        index,
        HEIGHT,
        WIDTH,
        list(range(1, count + 1)) if ids is None else ids,
        [0] * count,
        [0.9] * count,
        np.array(boxes, np.float32).reshape(-1, 4),
        masks,
        [None if h < 0.1 else masks[-1] for h in hidden] if hidden is not None else None,
        hidden=None if hidden is None else np.array(hidden, np.float32),
        order=None if hidden is None else OcclusionOrder(order),
    )


def grey() -> np.ndarray:
    return np.full((HEIGHT, WIDTH, 3), 128, np.uint8)


def moments(offers: list[tuple[float, int, int]], **options: int) -> list[tuple[float, int, int]]:
    found = HardestMoments(**({"count": 3, "per_track": 2, "gap": 10} | options))
    for hard, track_id, frame_index in offers:
        found.offer(hard, track_id, frame_index, lambda: np.zeros((1, 1, 3), np.uint8))
    return [(m.hardness, m.track_id, m.frame_index) for m in found.hardest_first()]


def test_an_object_is_hard_by_what_is_predicted_and_by_who_else_is_in_its_box() -> None:
    result = frame(0, [CAT, DOG], hidden=[0.25, np.nan])
    covered = covered_by_others(result)
    np.testing.assert_allclose(covered, [[0, 0.5], [0.5, 0]])
    np.testing.assert_allclose(hardness(result, covered), [0.75, 0.5])
    unknown = frame(0, [CAT, DOG])
    np.testing.assert_allclose(hardness(unknown, covered_by_others(unknown)), [0.5, 0.5])


def test_a_frame_without_objects_has_no_hardness() -> None:
    empty = FrameResult.empty(0, HEIGHT, WIDTH)
    assert hardness(empty, covered_by_others(empty)).shape == (0,)


@pytest.mark.parametrize(
    ("offers", "kept"),
    [
        ([(0.1, 1, 0), (0.4, 2, 1), (0.3, 3, 2), (0.2, 4, 3)], [(0.4, 2, 1), (0.3, 3, 2), (0.2, 4, 3)]),
        ([(0.5, 1, 0), (0.6, 1, 5), (0.4, 1, 9)], [(0.6, 1, 5)]),
        ([(0.5, 1, 0), (0.4, 1, 10)], [(0.5, 1, 0), (0.4, 1, 10)]),
        ([(0.5, 1, 0), (0.4, 1, 10), (0.3, 1, 20), (0.6, 1, 30)], [(0.6, 1, 30), (0.5, 1, 0)]),
        ([(0.5, 2, 3), (0.5, 1, 3), (0.5, 3, 1)], [(0.5, 3, 1), (0.5, 1, 3), (0.5, 2, 3)]),
    ],
    ids=["the hardest", "neighbours are one", "apart they are two", "no track fills the sheet", "order of equals"],
)
def test_moments_that_differ_are_kept(offers, kept) -> None:
    assert moments(offers) == kept


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.3, 0.4]), st.integers(1, 3), st.integers(0, 60)), max_size=40).map(
        lambda offers: sorted(offers, key=lambda offer: offer[2])
    )
)
def test_what_is_kept_fits_and_holds_the_hardest_of_all(offers) -> None:
    kept = moments(offers)
    assert len(kept) <= 3 and set(kept) <= set(offers)
    assert max((hard for hard, _, _ in kept), default=0) == max((hard for hard, _, _ in offers), default=0)
    for track_id in {1, 2, 3}:
        frames = sorted(t for _, other, t in kept if other == track_id)
        assert len(frames) <= 2 and (len(frames) < 2 or frames[1] - frames[0] >= 10)


def test_a_picture_is_drawn_only_for_moments_that_are_taken_in() -> None:
    drawn = []

    def draw(name: str) -> np.ndarray:
        drawn.append(name)
        return np.zeros((1, 1, 3), np.uint8)

    found = HardestMoments(count=1, per_track=1, gap=1)
    for name, hard in (("first", 0.5), ("easier", 0.4), ("equal", 0.5), ("harder", 0.6)):
        found.offer(hard, 1, len(drawn), lambda name=name: draw(name))
    assert drawn == ["first", "harder"]


def test_the_sheet_shows_the_object_its_occluder_and_the_plain_picture() -> None:
    sheet = ContactSheet("clip.mp4", ("cat",))
    sheet.add(grey(), frame(7, [CAT, DOG], hidden=[0.5, 0.0]), 0.28)
    picture = sheet.picture().astype(int)
    coloured = np.abs(picture - picture.mean(axis=2, keepdims=True)).sum(axis=2) > 30
    panes = picture[(picture == 128).all(axis=2).nonzero()[0].min() :]
    assert panes.shape[0] > _PANE
    for track_id in (1, 2):
        assert (picture == track_colour(track_id)).all(axis=2).sum() > 200  # outlines, tags, captions
    columns = coloured[-2 * _PANE :].any(axis=0).nonzero()[0]
    assert columns.min() < 2 * _PANE < picture.shape[1]


def test_a_sheet_of_nothing_says_so_and_is_a_picture() -> None:
    sheet = ContactSheet("clip.mp4", ("cat",))
    sheet.add(grey(), frame(0, [CAT], hidden=[0.0]))
    sheet.add(grey(), FrameResult.empty(1, HEIGHT, WIDTH))
    picture = sheet.picture()
    assert picture.dtype == np.uint8 and picture.shape[0] < _PANE and len(np.unique(picture)) > 10


def test_an_object_without_a_pixel_is_not_shown() -> None:
    result = frame(0, [CAT, DOG], hidden=[0.5, 0.0])
    unseen = FrameResult(
        0,
        HEIGHT,
        WIDTH,
        result.track_ids,
        result.labels,
        result.scores,
        result.boxes,
        [rle.empty(HEIGHT, WIDTH)] * 2,
        hidden=result.hidden,
    )
    sheet = ContactSheet("clip.mp4", ("cat",))
    sheet.add(grey(), unseen)
    assert sheet.picture().shape[0] < _PANE


@pytest.mark.parametrize(("count", "rows", "columns"), [(1, 1, 1), (3, 1, 3), (4, 2, 3), (12, 4, 3)])
def test_cells_fill_rows(count: int, rows: int, columns: int) -> None:
    sheet = ContactSheet("clip.mp4", ("cat",), cells=12)
    one = ContactSheet("clip.mp4", ("cat",), cells=1)
    for t in range(count):
        result = frame(t, [CAT], hidden=[0.3 + t / 100], ids=[t + 1])
        sheet.add(grey(), result)
        one.add(grey(), result)
    height, width, _ = sheet.picture().shape
    cell_height, cell_width, _ = one.picture().shape
    assert rows * _PANE < height <= rows * cell_height
    assert columns * 2 * _PANE < width <= columns * cell_width


@pytest.mark.parametrize(
    "box",
    [[0, 0, 4, 3], [150, 110, 160, 120], [-30, -30, 10, 10], [0, 0, 160, 120], [70, 0, 74, 120], [400, 300, 500, 400]],
    ids=["corner", "other corner", "reaches out", "whole frame", "tall", "outside"],
)
def test_every_box_has_a_window_that_holds_it(box: list[float]) -> None:
    result = frame(0, [box])
    left, top, side = _window(result, 0)
    clipped = np.clip(box, 0, [WIDTH, HEIGHT] * 2)
    assert left <= clipped[0] and top <= clipped[1] and left + side >= clipped[2] and top + side >= clipped[3]
    assert _view(grey(), (left, top, side)).shape[:2] == _view(grey(), (0, 0, 50)).shape[:2]


@settings(max_examples=25, deadline=None)
@given(
    x=st.integers(-20, 170),
    y=st.integers(-20, 130),
    w=st.integers(0, 200),
    h=st.integers(0, 200),
    size=st.integers(1, 9),
)
def test_any_object_in_any_frame_can_be_drawn(x, y, w, h, size) -> None:
    height, width = 13 * size, 29
    boxes = np.array([[x, y, x + w, y + h], [0, 0, width, height]], np.float32)
    masks = [rle.from_box(box, height, width) for box in boxes.tolist()]
    result = FrameResult(
        0, height, width, [1, 2], [0, 5], [0.5, 0.5], boxes, masks, [masks[1], None], hidden=np.ones(2, np.float32)
    )
    sheet = ContactSheet("clip.mp4", ("cat",))
    sheet.add(np.zeros((height, width, 3), np.uint8), result)
    assert sheet.picture().shape[0] > _PANE


def test_pictures_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="not of that size"):
        ContactSheet("clip.mp4", ()).add(np.zeros((2, 2, 3), np.uint8), FrameResult.empty(0, HEIGHT, WIDTH))


def test_memory_holds_the_sheet_and_not_the_video() -> None:
    sheet = ContactSheet("clip.mp4", ("cat",), cells=4, gap=1)

    def add(start: int, stop: int) -> int:
        for t in range(start, stop):
            sheet.add(grey(), frame(t, [CAT, DOG], hidden=[0.2 + t / 1000, 0.0], ids=[2 * t + 1, 2 * t + 2]))
        render_text.cache_clear()  # it has a bound of its own
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        early, late = add(0, 20), add(20, 200)
    finally:
        tracemalloc.stop()
    assert late < early + 300_000  # a cell has 700 kB
