"""mask_boundary against morphology from scipy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from vos_occ.models.layers.boundary import mask_boundary


def mask_from(art: str) -> torch.Tensor:
    """`#` is foreground, anything else background: (1, H, W)."""
    return torch.tensor([[float(c == "#") for c in line.strip()] for line in art.strip().splitlines()])[None]


def reference_boundary(mask: np.ndarray) -> np.ndarray:
    """Dilation xor erosion by a cross; outside, dilation sees background and erosion foreground (skimage's rule)."""
    dilated = ndimage.binary_dilation(mask, border_value=0)
    eroded = ndimage.binary_erosion(mask, border_value=1)
    return dilated ^ eroded


@pytest.mark.parametrize("fill", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("shape", [(28, 28), (5, 9), (1, 7)])
def test_boundary_equals_dilation_xor_erosion(shape: tuple[int, int], fill: float) -> None:
    masks = np.random.default_rng(0).random((20, *shape)) < fill
    expected = np.stack([reference_boundary(mask) for mask in masks])
    assert np.array_equal(mask_boundary(torch.from_numpy(masks).float()).numpy() != 0, expected)


def test_contour_is_one_pixel_inside_and_one_outside() -> None:
    mask = mask_from("""
        .......
        .......
        ..###..
        ..###..
        ..###..
        .......
    """)
    expected = mask_from("""
        .......
        ..###..
        .#####.
        .##.##.
        .#####.
        ..###..
    """)
    assert torch.equal(mask_boundary(mask), expected)


def test_mask_that_leaves_the_window_has_no_contour_at_the_edge() -> None:
    mask = mask_from("""
        ###..
        ###..
        ###..
    """)
    expected = mask_from("""
        ..##.
        ..##.
        ..##.
    """)
    assert torch.equal(mask_boundary(mask), expected)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_empty_and_full_masks_have_no_contour(value: float) -> None:
    assert mask_boundary(torch.full((2, 28, 28), value)).sum() == 0


def test_both_layers_in_one_call_equal_two_calls() -> None:
    first, second = (torch.rand(2, 4, 28, 28, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    together = mask_boundary(torch.cat([first, second]))
    assert torch.equal(together, torch.cat([mask_boundary(first), mask_boundary(second)]))


def test_no_masks_give_no_contours() -> None:
    assert mask_boundary(torch.zeros(0, 28, 28)).shape == (0, 28, 28)
    assert mask_boundary(torch.zeros(2, 0, 4)).shape == (2, 0, 4)
