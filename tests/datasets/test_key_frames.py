from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vos_occ.datasets.key_frames import KeyFrames
from vos_occ.structures.errors import InputError

VIDEOS = st.lists(st.sets(st.integers(0, 30), max_size=8).map(sorted), max_size=5)


@given(VIDEOS, st.integers(1, 3))
def test_every_usable_frame_counts_as_often_as_said(videos: list[list[int]], repeat: int) -> None:
    keys = KeyFrames(videos, repeat)
    picked = Counter(keys.pick(index, np.random.default_rng(0)) for index in range(len(keys)))
    assert picked == {(video, t): repeat for video, frames in enumerate(videos) for t in frames}


@given(VIDEOS, st.floats(0.01, 4))
def test_a_fraction_adds_to_the_whole_rounds(videos: list[list[int]], repeat: float) -> None:
    keys, usable = KeyFrames(videos, repeat), sum(map(len, videos))
    assert len(keys) == (max(round(repeat * usable), 1) if usable else 0)
    for index in range(len(keys)):
        video, t = keys.pick(index, np.random.default_rng(index))
        assert t in videos[video]


@given(VIDEOS, st.integers(1, 40))
def test_references_are_the_other_frames_within_the_window_or_any_other(videos: list[list[int]], within: int) -> None:
    keys = KeyFrames(videos)
    for video, frames in enumerate(videos):
        for t in frames:
            others = [u for u in frames if u != t]
            expected = [u for u in others if abs(u - t) <= within] or others
            assert keys.near(video, t, within).tolist() == expected


@pytest.mark.parametrize("repeat", [0, -1, float("inf"), float("nan"), "2", True])
def test_a_weight_is_a_number_above_0(repeat: object) -> None:
    with pytest.raises(InputError, match="`repeat` of a training source must be a number above 0"):
        KeyFrames([[0]], repeat)
