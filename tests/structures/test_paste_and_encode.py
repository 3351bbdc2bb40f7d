"""Boxed pasting against mmdet's own paste, bit for bit."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from torch import Tensor

import vos_occ.compat  # noqa: F401  (before any mm* import)

from mmdet.models.roi_heads.mask_heads.fcn_mask_head import _do_paste_mask  # isort: skip
from vos_occ.structures import rle

HEIGHT, WIDTH = 47, 61


def mmdet_paste(logits: Tensor, boxes: Tensor, height: int, width: int, threshold: float = 0.5) -> list[rle.Rle]:
    """The dense way: one frame per instance."""
    probabilities = logits.sigmoid()
    encoded = []
    for i in range(len(boxes)):
        frame = np.zeros((height, width), bool)
        pasted, window = _do_paste_mask(probabilities[i : i + 1, None], boxes[i : i + 1], height, width, True)
        frame[tuple(slice(int(s.start), int(s.stop)) for s in window)] = (pasted[0] >= threshold).numpy()
        encoded.append(rle.encode(frame))
    return encoded


def random_boxes(kind: str, count: int, generator: torch.Generator) -> Tensor:
    centre = torch.rand(count, 2, generator=generator) * torch.tensor([WIDTH, HEIGHT])
    size = torch.rand(count, 2, generator=generator)
    if kind == "inside":
        low = torch.rand(count, 2, generator=generator) * torch.tensor([WIDTH / 2, HEIGHT / 2])
        return torch.cat([low, low + size * torch.tensor([WIDTH / 2, HEIGHT / 2])], 1)
    scale = {"partly outside": 40, "tiny": 1.5, "huge": 3000, "zero width": 20, "zero height": 20, "point": 0}
    half = size * scale.get(kind, 1) / 2
    if kind == "zero width":
        half[:, 0] = 0
    if kind == "zero height":
        half[:, 1] = 0
    if kind == "slightly negative":
        half = -half / 2
    if kind == "pixel centres":  # zero divided by zero in the sampling positions
        return (centre.floor() + 0.5).repeat(1, 2)
    if kind == "clipped to the frame":
        box = torch.cat([centre - 30 * size, centre + 30 * size], 1)
        return box.clamp(min=0).minimum(torch.tensor([WIDTH, HEIGHT] * 2))
    if kind == "whole pixels":
        return torch.cat([centre - 9 * size, centre + 9 * size], 1).round()
    return torch.cat([centre - half, centre + half], 1)


@pytest.mark.parametrize("resolution", [1, 7, 28, 56])
@pytest.mark.parametrize(
    "kind",
    [
        "inside",
        "partly outside",
        "clipped to the frame",
        "whole pixels",
        "tiny",
        "huge",
        "zero width",
        "zero height",
        "point",
        "pixel centres",
        "slightly negative",
    ],
)
def test_equals_mmdet_bit_for_bit(kind, resolution):
    generator = torch.Generator().manual_seed(resolution)
    boxes = random_boxes(kind, 40, generator)
    logits = 3 * torch.randn(len(boxes), resolution, resolution, generator=generator)
    assert rle.paste_and_encode(logits, boxes, HEIGHT, WIDTH) == mmdet_paste(logits, boxes, HEIGHT, WIDTH)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 50), (50, 1), (360, 640)])
def test_equals_mmdet_on_frames_of_any_size(height, width):
    generator = torch.Generator().manual_seed(height)
    low = (torch.rand(20, 2, generator=generator) - 0.1) * torch.tensor([width, height])
    boxes = torch.cat([low, low + torch.rand(20, 2, generator=generator) * torch.tensor([width, height]) + 2], 1)
    logits = torch.randn(20, 14, 14, generator=generator)
    assert rle.paste_and_encode(logits, boxes, height, width) == mmdet_paste(logits, boxes, height, width)


def test_equals_mmdet_at_other_thresholds_and_at_exact_ties():
    generator = torch.Generator().manual_seed(3)
    boxes = random_boxes("inside", 20, generator)
    logits = torch.zeros(20, 28, 28)
    assert rle.paste_and_encode(logits, boxes, HEIGHT, WIDTH) == mmdet_paste(logits, boxes, HEIGHT, WIDTH)
    logits = torch.randn(20, 28, 28, generator=generator)
    pasted = rle.paste_and_encode(logits, boxes, HEIGHT, WIDTH, threshold=0.3)
    assert pasted == mmdet_paste(logits, boxes, HEIGHT, WIDTH, threshold=0.3)


@pytest.mark.parametrize(
    "box",
    [[-50, 5, -20, 20], [200, 5, 230, 20], [5, -90, 20, -60], [5, 300, 20, 330], [40, 5, 10, 20], [1e10, 0, 2e10, 9]],
)
def test_boxes_outside_the_frame_or_inside_out_give_empty_masks(box):
    found = rle.paste_and_encode(torch.full((1, 28, 28), 9.0), torch.tensor([box], dtype=torch.float32), HEIGHT, WIDTH)
    assert found == [rle.empty(HEIGHT, WIDTH)]


def test_no_instances_give_no_masks():
    assert rle.paste_and_encode(torch.zeros(0, 28, 28), torch.zeros(0, 4), HEIGHT, WIDTH) == []


def test_logits_that_need_gradients_or_half_precision_are_taken():
    logits = torch.ones(1, 28, 28, dtype=torch.float16, requires_grad=True)
    (found,) = rle.paste_and_encode(logits, torch.tensor([[10.0, 10.0, 30.0, 30.0]]), HEIGHT, WIDTH)
    assert 300 < rle.area(found) <= 400


def test_a_box_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="finite"):
        rle.paste_and_encode(torch.zeros(1, 28, 28), torch.tensor([[0, 0, float("nan"), 5]]), HEIGHT, WIDTH)


def test_shapes_that_do_not_belong_together_are_refused():
    with pytest.raises(ValueError, match=r"logits \(N, S, S\) and boxes \(N, 4\)"):
        rle.paste_and_encode(torch.zeros(2, 1, 28, 28), torch.zeros(2, 4), HEIGHT, WIDTH)
    with pytest.raises(ValueError, match=r"logits \(N, S, S\) and boxes \(N, 4\)"):
        rle.paste_and_encode(torch.zeros(2, 28, 28), torch.zeros(3, 4), HEIGHT, WIDTH)


def test_memory_is_that_of_the_box_and_not_of_the_frame():
    boxes = torch.tensor([[30_000.0, 40_000.0, 30_020.0, 40_030.0]]).repeat(5, 1)
    tracemalloc.start()
    masks = rle.paste_and_encode(torch.full((5, 28, 28), 9.0), boxes, 60_000, 60_000)
    crop, x0, y0 = rle.decode_box(masks[0])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (crop.shape, x0, y0) == ((30, 20), 30_000, 40_000)
    assert peak < 2**20
