"""Shift correlation against its definition, shift by shift, and its gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from vos_occ.models.layers.shift_correlation import ShiftCorrelation
from vos_occ.structures.errors import InputError


def maps(batch: int = 2, channels: int = 3, height: int = 5, width: int = 7) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shape = (2, batch, channels, height, width)
    return tuple(torch.randn(shape, generator=generator, dtype=torch.float64))


def definition(x: np.ndarray, reference: np.ndarray, shifts: list[int]) -> np.ndarray:
    """One image, one shift, one cell after another."""
    batch, channels, height, width = x.shape
    result = np.zeros((batch, len(shifts) ** 2, height, width))
    for b, i, j, y, x_at in np.ndindex(batch, len(shifts), len(shifts), height, width):
        row, column = y + shifts[i], x_at + shifts[j]
        if 0 <= row < height and 0 <= column < width:
            value = x[b, :, y, x_at] @ reference[b, :, row, column] / channels
            result[b, i * len(shifts) + j, y, x_at] = value if value > 0 else 0.1 * value
    return result


@pytest.mark.parametrize(
    ("patch_size", "dilation", "shifts"),
    [
        (16, 2, list(range(-15, 16, 2))),
        (17, 2, list(range(-16, 17, 2))),
        (3, 1, [-1, 0, 1]),
        (3, 3, [-3, 0, 3]),
        (4, 2, [-3, -1, 1, 3]),
        (1, 2, [0]),
    ],
    ids=["released", "symmetric", "neighbours", "far neighbours", "small and even", "no shift"],
)
def test_equals_the_definition(patch_size: int, dilation: int, shifts: list[int]) -> None:
    x, reference = maps()
    layer = ShiftCorrelation(patch_size, dilation)
    assert list(layer.shifts) == shifts and layer.out_channels == len(shifts) ** 2
    expected = definition(x.numpy(), reference.numpy(), shifts)
    np.testing.assert_allclose(layer(x, reference).numpy(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 6), (6, 1), (4, 4)])
def test_maps_smaller_than_the_patch_are_compared_too(height: int, width: int) -> None:
    x, reference = maps(height=height, width=width)
    layer = ShiftCorrelation(5, 2)
    expected = definition(x.numpy(), reference.numpy(), [-4, -2, 0, 2, 4])
    np.testing.assert_allclose(layer(x, reference).numpy(), expected, rtol=0, atol=1e-12)


def test_the_strongest_channel_says_where_the_map_went() -> None:
    x, _ = maps(batch=1, channels=64, height=12, width=12)
    layer = ShiftCorrelation(5, 2)
    moved = x.roll((4, -2), dims=(2, 3))  # content of (y, x) is now at (y + 4, x - 2)
    channel = layer(x, moved)[0, :, 5, 6].argmax().item()
    assert (layer.shifts[channel // 5], layer.shifts[channel % 5]) == (4, -2)


def test_expected_shift_is_where_the_map_went_and_zero_where_nothing_is_better() -> None:
    layer = ShiftCorrelation(patch_size=5, dilation=2)
    x, _ = maps(channels=64, height=16, width=20)
    there = layer.expected_shift(layer(x, torch.roll(x, (2, -4), dims=(2, 3))), 100)
    torch.testing.assert_close(
        there[:, :, 4:-4, 4:-4].mean((0, 2, 3)), torch.tensor([2.0, -4.0]).double(), atol=0.01, rtol=0
    )
    nowhere = layer.expected_shift(torch.zeros(1, 25, 3, 4), 100)
    torch.testing.assert_close(nowhere, torch.zeros(1, 2, 3, 4))


@pytest.mark.parametrize("patch_size", [4, 5], ids=["even", "odd"])
def test_gradient_is_that_of_the_result(patch_size: int) -> None:
    """The released code's is taken at other shifts than the result is."""
    x, reference = (tensor.requires_grad_() for tensor in maps(height=3, width=3))
    assert torch.autograd.gradcheck(ShiftCorrelation(patch_size, 2), (x, reference), fast_mode=True)


def test_shifts_of_half_a_cell_are_refused() -> None:
    with pytest.raises(InputError, match=r"even, found 4 and 1. Use an odd patch_size"):
        ShiftCorrelation(4, 1)
