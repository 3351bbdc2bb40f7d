"""Plain-torch non-maximum suppression against greedy choice one box at a time."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import vos_occ.compat  # noqa: F401  (before any mm* import)
from vos_occ.compat.plain_nms import BLOCK, nms


def greedy(boxes: Tensor, scores: Tensor, threshold: float, offset: int) -> list[int]:
    """One box at a time, in the boxes' own precision."""
    kept: list[int] = []
    for index in scores.sort(descending=True, stable=True).indices.tolist():
        if all(not overlap(boxes[index], boxes[other], offset) > torch.tensor(threshold) for other in kept):
            kept.append(index)
    return kept


def overlap(a: Tensor, b: Tensor, offset: int) -> Tensor:
    sides = (torch.minimum(a[2:], b[2:]) - torch.maximum(a[:2], b[:2]) + offset).clamp(min=0)
    area_a, area_b = (a[2:] - a[:2] + offset).prod(), (b[2:] - b[:2] + offset).prod()
    return sides.prod() / (area_a + area_b - sides.prod())


def random_boxes(count: int, seed: int = 0, spread: float = 60.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(count, 2, generator=generator) * spread
    sides = torch.rand(count, 2, generator=generator) * 30 + 1
    return torch.cat([corners, corners + sides], dim=1), torch.rand(count, generator=generator)


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("count", [1, 40, BLOCK, BLOCK + 1, 2 * BLOCK + 7])
def test_keeps_what_greedy_choice_keeps_in_its_order(count, threshold, offset):
    boxes, scores = random_boxes(count, seed=count)
    if count > 40:  # greedy choice in Python is slow on boxes that all stay
        boxes[:, :2] *= 0.2
        boxes[:, 2:] = boxes[:, :2] + 25
    assert nms(boxes, scores, threshold, offset).tolist() == greedy(boxes, scores, threshold, offset)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(*[st.integers(0, 6)] * 4, st.integers(0, 3)), max_size=14), st.sampled_from([0.0, 0.5, 1 / 3])
)
def test_keeps_what_greedy_choice_keeps_on_ties_and_boxes_without_area(rows, threshold):
    boxes = torch.tensor([[x, y, x + w, y + h] for x, y, w, h, _ in rows], dtype=torch.float32).reshape(-1, 4)
    scores = torch.tensor([score for *_, score in rows], dtype=torch.float32)
    assert nms(boxes, scores, threshold, 0).tolist() == greedy(boxes, scores, threshold, 0)


def test_a_suppressed_box_suppresses_nothing():
    chain = torch.tensor([[0.0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]])
    assert nms(chain, torch.tensor([0.9, 0.8, 0.7]), 0.4, 0).tolist() == [0, 2]


def test_a_long_chain_of_overlaps_keeps_every_second_box():
    left = torch.arange(BLOCK - 1) * 4.0
    chain = torch.stack([left, torch.zeros_like(left), left + 10, torch.full_like(left, 10)], dim=1)
    kept = nms(chain, torch.linspace(1, 0, len(chain)), 0.4, 0)
    assert kept.tolist() == list(range(0, len(chain), 2))


def test_iou_equal_to_the_threshold_stays():
    halves = torch.tensor([[0.0, 0, 2, 1], [0, 0, 1, 1]])
    assert nms(halves, torch.tensor([0.9, 0.8]), 0.5, 0).tolist() == [0, 1]
    assert nms(halves, torch.tensor([0.9, 0.8]), 0.499, 0).tolist() == [0]


def test_offset_counts_the_last_pixel():
    boxes = torch.tensor([[0.0, 0, 1, 1], [1, 0, 2, 1]])  # 2 x 2 pixels each, sharing one column: IoU 1/3
    assert nms(boxes, torch.tensor([0.9, 0.8]), 0.3, 1).tolist() == [0]
    assert nms(boxes, torch.tensor([0.9, 0.8]), 0.3, 0).tolist() == [0, 1]


def test_no_boxes_keep_none():
    kept = nms(torch.zeros(0, 4), torch.zeros(0), 0.5, 0)
    assert kept.shape == (0,) and kept.dtype == torch.int64


def test_mmcv_nms_and_batched_nms_run_on_it():
    from mmcv.ops import batched_nms
    from mmcv.ops import nms as mmcv_nms

    boxes, scores = random_boxes(80)
    kept = greedy(boxes, scores, 0.5, 0)
    dets, indices = mmcv_nms(boxes, scores, 0.5)
    assert indices.tolist() == kept
    assert torch.equal(dets, torch.cat([boxes[kept], scores[kept, None]], dim=1))
    assert mmcv_nms(boxes, scores, 0.5, max_num=3)[1].tolist() == kept[:3]

    classes = torch.arange(80) % 2
    _, indices = batched_nms(boxes, scores, classes, {"type": "nms", "iou_threshold": 0.5})
    per_class = [torch.nonzero(classes == label)[:, 0] for label in (0, 1)]
    expected = [i for own in per_class for i in own[greedy(boxes[own], scores[own], 0.5, 0)].tolist()]
    assert sorted(indices.tolist()) == sorted(expected)
