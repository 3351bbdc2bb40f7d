from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

from vos_occ.datasets.motion import wanderer_path
from vos_occ.datasets.synthetic import CLASSES, SyntheticFrame, SyntheticVideo, SyntheticWorld
from vos_occ.structures.errors import InputError

ARRAYS = ("image", "track_ids", "labels", "visible", "amodal", "depth_order", "hidden", "in_front", "occluder")


@pytest.fixture(scope="module")
def video() -> SyntheticVideo:
    return SyntheticWorld("train", num_frames=24).video(7)


@pytest.fixture(scope="module")
def frames() -> list[SyntheticFrame]:
    """Frames of several videos of both splits, far enough apart to differ."""
    worlds = SyntheticWorld("train"), SyntheticWorld("heldout")
    return [world.video(seed)[t] for world in worlds for seed in range(5) for t in (0, 11, 29)]


def same(a: SyntheticFrame, b: SyntheticFrame) -> bool:
    return all(np.array_equal(getattr(a, name), getattr(b, name), equal_nan=name == "hidden") for name in ARRAYS)


def test_a_seed_always_gives_the_same_video(video: SyntheticVideo) -> None:
    again = SyntheticWorld("train", num_frames=24).video(7)
    assert all(same(video[t], again[t]) for t in (0, 13, 23))


def test_frames_do_not_depend_on_the_order_in_which_they_are_asked_for(video: SyntheticVideo) -> None:
    backwards = [video[t] for t in reversed(range(len(video)))]
    assert all(same(a, b) for a, b in zip(video, reversed(backwards), strict=True))


def test_drawing_leaves_the_global_random_state_alone() -> None:
    before = np.random.get_state()[1].copy()
    _ = SyntheticWorld("train").video(3)[0]
    assert (np.random.get_state()[1] == before).all()


@pytest.mark.parametrize("other", [("train", 8), ("heldout", 7)], ids=["another seed", "another split"])
def test_other_videos_look_different(video: SyntheticVideo, other: tuple) -> None:
    image = SyntheticWorld(other[0], num_frames=24).video(other[1])[0].image
    assert np.abs(image.astype(int) - video[0].image).mean() > 5


@pytest.mark.parametrize(("height", "width", "frames"), [(192, 320, 2), (101, 67, 1), (240, 240, 3)])
def test_frames_have_the_size_and_number_asked_for(height: int, width: int, frames: int) -> None:
    found = list(SyntheticWorld("train", height=height, width=width, num_frames=frames).video(0))
    assert [frame.frame_index for frame in found] == list(range(frames))
    assert found[0].image.shape == (height, width, 3) and found[0].image.dtype == np.uint8
    assert found[0].amodal.shape == (len(found[0]), height, width)


def test_the_rows_are_the_same_objects_in_every_frame(video: SyntheticVideo) -> None:
    first = video[0]
    assert first.track_ids.tolist() == list(range(1, len(first) + 1))
    assert sorted(first.depth_order) == list(range(len(first)))
    assert set(first.labels.tolist()) <= set(range(len(CLASSES)))
    for frame in video:
        assert (frame.track_ids == first.track_ids).all() and (frame.labels == first.labels).all()


def test_visible_masks_are_disjoint_parts_of_the_amodal_ones_and_leave_nothing_out(frames: list) -> None:
    for frame in frames:
        assert not (frame.visible & ~frame.amodal).any()
        assert frame.visible.sum(0).max() <= 1
        assert (frame.visible.any(0) == frame.amodal.any(0)).all()


def test_hidden_is_the_share_of_the_amodal_mask_that_cannot_be_seen(frames: list) -> None:
    for frame in frames:
        for visible, amodal, hidden in zip(frame.visible, frame.amodal, frame.hidden, strict=True):
            if amodal.any():
                assert hidden == pytest.approx(1 - (visible & amodal).sum() / amodal.sum(), abs=1e-12)
            else:
                assert np.isnan(hidden)


def test_in_front_is_antisymmetric_and_follows_the_depth(frames: list) -> None:
    assert any(frame.in_front.any() for frame in frames)
    for frame in frames:
        assert not (frame.in_front & frame.in_front.T).any()
        assert all(frame.depth_order[i] > frame.depth_order[j] for i, j in np.argwhere(frame.in_front))


def test_what_is_hidden_lies_under_its_occluder(frames: list) -> None:
    """Up to the contacts too small to count."""
    for frame in frames:
        uncovered = frame.amodal & ~frame.visible & ~frame.occluder
        assert (uncovered.sum((1, 2)) < 16 * len(frame)).all()
        assert not (frame.occluder & frame.visible).any()


def test_without_the_nearest_object_the_picture_changes_where_its_mask_is(video: SyntheticVideo) -> None:
    layers = sorted(video.scene.layers, key=lambda layer: layer.depth)
    whole = dataclasses.replace(video.scene, layers=layers).render(5)
    without = dataclasses.replace(video.scene, layers=layers[:-1]).render(5)
    mask = whole.visible[-1]
    change = np.abs(whole.image.astype(int) - without.image).max(2)
    assert mask.sum() > 200 and (change[mask] > 8).mean() > 0.9
    near = cv2.dilate(mask.astype(np.uint8), np.ones((61, 61))) > 0  # as far as its shadow falls
    assert not change[~near].any()
    assert (whole.amodal[:-1] == without.amodal).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "test"}, "split must be one of train, heldout"),
        ({"height": 20}, "at least 64x64"),
        ({"num_frames": 0}, "at least 1 frame"),
        ({"num_objects": (4, 9)}, "within 1 to 6"),
    ],
    ids=["unknown split", "tiny frame", "no frames", "too many objects"],
)
def test_arguments_out_of_range_are_told_in_one_line(arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        SyntheticWorld(**arguments)


@pytest.mark.parametrize("frame_index", [-1, 24])
def test_a_frame_that_does_not_exist_is_an_index_error(video: SyntheticVideo, frame_index: int) -> None:
    with pytest.raises(IndexError, match="frames 0 to 23"):
        video[frame_index]


@pytest.mark.parametrize("seed", range(5))
def test_a_wanderer_leaves_the_picture_and_comes_back(seed: int) -> None:
    path = wanderer_path(192, 320, 30, reach=60, rng=np.random.default_rng(seed))
    from_middle = np.abs(path.centres[:, 0] - 160)
    assert from_middle.max() > 160 + 30, "half its size beyond the border"
    assert from_middle[[0, -1]].max() < from_middle.max()
    assert np.abs(np.diff(path.centres, axis=0)).max() < 20, "pixels a frame"
