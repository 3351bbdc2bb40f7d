"""Which frames are answered when, with which neighbours, and what is held meanwhile."""

from __future__ import annotations

import pytest
import torch

from vos_occ.models.video.feature_ring import FeatureRing
from vos_occ.models.video.network_image import NetworkImage

IMAGE = NetworkImage(torch.zeros(1, 3, 8, 8), torch.ones(4), (8, 8))


def run(indices: list[int], reach: int) -> tuple[list[list[tuple[int, list[int]]]], list[int]]:
    """What is due after each frame and at the end, as (frame, neighbours), and how many frames are held then."""
    ring, answers, held = FeatureRing(reach), [], []
    for t in indices:
        ring.add(t, (torch.full((1, 1), float(t)),), IMAGE)
        held.append(len(ring))
        answers.append(shown(ring.due()))
    answers.append(shown(ring.due(at_end=True)))
    return answers, held


def shown(due) -> list[tuple[int, list[int]]]:
    return [(now.frame_index, [frame.frame_index for frame in neighbours]) for now, neighbours in due]


@pytest.mark.parametrize("length", range(1, 12))
@pytest.mark.parametrize("reach", [1, 5])
def test_every_frame_is_answered_once_with_all_its_neighbours(length: int, reach: int) -> None:
    answers, held = run(list(range(length)), reach)
    expected = [(t, [u for u in range(length) if u != t and abs(u - t) <= reach] or [t]) for t in range(length)]
    assert [answer for step in answers for answer in step] == expected
    assert [len(step) for step in answers[:-1]] == [int(t >= reach) for t in range(length)]
    assert max(held) <= 2 * reach + 1


def test_what_is_held_does_not_grow() -> None:
    _, held = run(list(range(100)), reach=5)
    assert held[10:] == [11] * 90


def test_left_out_frames_are_no_neighbours_and_end_the_wait() -> None:
    answers, _ = run([0, 1, 9, 10], reach=3)
    assert answers == [[], [], [(0, [1]), (1, [0])], [], [(9, [10]), (10, [9])]]


def test_frames_come_in_order() -> None:
    ring = FeatureRing(5)
    ring.add(3, (), IMAGE)
    with pytest.raises(ValueError, match="got frame 3 after frame 3"):
        ring.add(3, (), IMAGE)


def test_pixels_are_not_kept() -> None:
    ring = FeatureRing(5)
    ring.add(0, (torch.zeros(1, 2, 4, 4),), IMAGE)
    ((now, _),) = ring.due(at_end=True)
    assert now.image.tensor.is_meta and now.image.tensor.shape == IMAGE.tensor.shape
    assert ring.nbytes == 2 * 4 * 4 * 4
