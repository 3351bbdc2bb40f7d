"""Prototypes by expectation maximisation: the definition, what never changes, and the edges."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vos_occ.models.layers.prototypes import blend, em_prototypes, expectation, random_prototypes

CHANNELS, COUNT, CELLS = 6, 4, 20


def cells(batch: int = 2, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, CHANNELS, CELLS, generator=generator, dtype=torch.float64)


def start(batch: int = 1, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(batch, CHANNELS, COUNT, generator=generator, dtype=torch.float64), dim=1)


def em(feats: Tensor, prototypes: Tensor, *, iterations: int = 3, kappa: float = 5.0, **kwargs: Tensor) -> Tensor:
    return em_prototypes(feats, prototypes, iterations=iterations, kappa=kappa, **kwargs)


def em_by_definition(feats: Tensor, prototypes: Tensor, iterations: int, kappa: float, weights: Tensor) -> Tensor:
    """One map (C, n), one cell after another, as the released code orders it."""
    for _ in range(iterations):
        z = torch.stack([torch.softmax(kappa * prototypes.T @ cell, dim=0) for cell in feats.T]) * weights[:, None]
        z = z / z.sum(0)
        moved = [sum(z[i, k] * feats[:, i] for i in range(feats.size(1))) for k in range(prototypes.size(1))]
        prototypes = torch.stack([mean / mean.norm() for mean in moved], dim=1)
    return prototypes


def test_equals_the_definition() -> None:
    feats, prototypes = cells(), start(2)
    weights = torch.rand(2, CELLS, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    found = em(feats, prototypes, weights=weights)
    for i in range(2):
        torch.testing.assert_close(found[i], em_by_definition(feats[i], prototypes[i], 3, 5.0, weights[i]))


def test_one_iteration_by_hand() -> None:
    """Cells and prototypes are both axes; with kappa = ln 3 a cell belongs to the prototype on its axis by 3/4."""
    axes = torch.eye(2, dtype=torch.float64)[None]
    torch.testing.assert_close(
        expectation(axes, axes, math.log(3)), torch.tensor([[[0.75, 0.25], [0.25, 0.75]]], dtype=torch.float64)
    )
    expected = torch.tensor([[[3.0, 1.0], [1.0, 3.0]]], dtype=torch.float64) / math.sqrt(10)
    torch.testing.assert_close(em(axes, axes, iterations=1, kappa=math.log(3)), expected)
    first_cell_only = em(axes, axes, iterations=1, kappa=math.log(3), weights=torch.tensor([[1.0, 0.0]]))
    torch.testing.assert_close(first_cell_only, torch.tensor([[[1.0, 1.0], [0.0, 0.0]]], dtype=torch.float64))


@pytest.mark.parametrize("kappa", [0.0, 1.0, 20.0, 1e4], ids=["even", "soft", "the paper's", "hard"])
def test_shares_of_a_cell_sum_to_one(kappa: float) -> None:
    shares = expectation(cells(), start(), kappa)
    assert shares.shape == (2, CELLS, COUNT) and (shares >= 0).all()
    torch.testing.assert_close(shares.sum(2), torch.ones(2, CELLS, dtype=torch.float64))


@settings(max_examples=40)
@given(st.data())
def test_prototypes_are_finite_and_of_length_one_whatever_the_cells(data: st.DataObject) -> None:
    numbers = st.one_of(st.just(0.0), st.floats(-1e6, 1e6, width=32))
    feats = torch.tensor(data.draw(st.lists(numbers, min_size=12, max_size=12))).reshape(1, 2, 6)
    weights = torch.tensor([data.draw(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=6, max_size=6))])
    found = em(feats, torch.tensor([[[1.0, 0.0, 0.6], [0.0, 1.0, -0.8]]]), kappa=20.0, weights=weights)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(1, 3))


def test_prototypes_come_in_the_order_of_their_start() -> None:
    feats, prototypes, order = cells(), start(), [2, 0, 3, 1]
    torch.testing.assert_close(em(feats, prototypes[..., order]), em(feats, prototypes)[..., order])


def test_the_order_of_the_cells_does_not_matter() -> None:
    feats, order = cells(), torch.randperm(CELLS, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(em(feats[..., order], start()), em(feats, start()))


def test_cells_of_weight_zero_are_left_out() -> None:
    feats, kept = cells(), torch.arange(CELLS) % 3 > 0
    loud = torch.where(kept, feats, 1e3 * feats)
    found = em(loud, start(), weights=kept.expand(2, -1))
    torch.testing.assert_close(found, em(feats[..., kept], start()))


def test_a_cell_of_weight_one_counts_as_two_of_half() -> None:
    feats = cells(1)
    twice = torch.cat([feats, feats[..., :1]], dim=2)
    weights = torch.full((1, CELLS), 0.5)
    weights[0, 0] = 1
    torch.testing.assert_close(em(feats, start(), weights=weights), em(twice, start()))


def test_em_can_be_continued() -> None:
    once = em(cells(), start(), iterations=1)
    torch.testing.assert_close(em(cells(), em(cells(), once, iterations=1), iterations=1), em(cells(), start()))


def test_one_start_serves_a_whole_batch() -> None:
    feats = cells(3)
    found = em(feats, start())
    for i in range(3):
        torch.testing.assert_close(found[i : i + 1], em(feats[i : i + 1], start()))


@pytest.mark.parametrize(
    ("feats", "weights"),
    [(cells(1), torch.zeros(1, CELLS)), (torch.zeros(1, CHANNELS, CELLS), torch.ones(1, CELLS))],
    ids=["an empty mask", "features of zero"],
)
def test_prototypes_that_no_cell_answers_to_keep_their_direction(feats: Tensor, weights: Tensor) -> None:
    """The released code makes them zero vectors, to which every later cell is equally near."""
    torch.testing.assert_close(em(feats, 0.3 * start(), weights=weights), start().to(feats.dtype))


def test_a_prototype_that_loses_every_cell_stays_and_the_others_go_on() -> None:
    """Its shares are exp(-400), which is nothing in float32."""
    feats, prototypes = torch.tensor([[[1.0, 2.0], [0.0, 0.1]]]), torch.tensor([[[0.6, -1.0], [0.8, 0.0]]])
    found = em(feats, prototypes, kappa=400.0)
    torch.testing.assert_close(found[0, :, 1], prototypes[0, :, 1])
    torch.testing.assert_close(found[0, :, 0], F.normalize(feats.sum(2), dim=1)[0])


def test_shares_near_the_end_of_float32_still_move_a_prototype() -> None:
    """exp(-80) is 1e-35: squared in a length it would be zero."""
    feats, prototypes = torch.tensor([[[1.0, 1.0], [0.0, 0.1]]]), torch.tensor([[[1.0, -0.6], [0.0, 0.8]]])
    found = em(feats, prototypes, iterations=1, kappa=50.0)
    assert expectation(feats, prototypes, 50.0)[..., 1].max() < 1e-30
    assert found[0, 0, 1] > 0.9


def test_no_cells_and_no_maps() -> None:
    assert em(cells()[:0], start()).shape == (0, CHANNELS, COUNT)
    torch.testing.assert_close(em(cells(1)[..., :0], start()), start())


def test_em_carries_no_gradient() -> None:
    assert not em(cells().requires_grad_(), start().requires_grad_()).requires_grad


def test_bfloat16_features_are_taken_in_float32() -> None:
    feats = cells().bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, shares = em(feats, start().float()), expectation(feats, start().float())
    assert found.dtype == shares.dtype == torch.float32
    torch.testing.assert_close(found, em(feats.float(), start().float()))
    torch.testing.assert_close(shares, expectation(feats.float(), start().float()))


def test_products_beyond_half_precision_stay_finite() -> None:
    feats = torch.full((1, 64, 5), 6e4, dtype=torch.float16)
    assert expectation(feats, torch.ones(1, 64, 3).half(), 20.0).isfinite().all()


@pytest.mark.parametrize("dense_in", ["cells", "channels"])
def test_a_blend_is_each_cell_and_what_the_prototypes_say_of_it(dense_in: str) -> None:
    feats, prototypes = cells(), start(2)
    laid_out = feats if dense_in == "cells" else feats.mT.contiguous().mT
    expected = torch.empty_like(feats)
    for b in range(2):
        for n in range(CELLS):
            shares = torch.softmax(prototypes[b].T @ feats[b, :, n], dim=0)
            expected[b, :, n] = 0.7 * feats[b, :, n] + 0.3 * prototypes[b] @ shares
    found = blend(laid_out, prototypes, 0.3)
    torch.testing.assert_close(found, expected)
    assert found.stride() == laid_out.stride()


@pytest.mark.parametrize("dense_in", ["cells", "channels"])
def test_gradient_of_a_blend(dense_in: str) -> None:
    feats, prototypes = cells()[..., :5].contiguous(), start(2)
    feats = (feats if dense_in == "cells" else feats.mT.contiguous().mT).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, p: blend(x, p, 0.3), (feats, prototypes.requires_grad_()), fast_mode=True)


def test_random_prototypes_are_unit_vectors_in_all_directions() -> None:
    torch.manual_seed(0)
    found = random_prototypes(256, 1000)
    assert found.shape == (1, 256, 1000) and not found.requires_grad
    torch.testing.assert_close(found.norm(dim=1), torch.ones(1, 1000))
    assert abs(found.mean()) < 1e-3 and found.std().item() == pytest.approx(256**-0.5, rel=0.01)


def test_random_prototypes_are_the_normal_draw_brought_to_length_one() -> None:
    torch.manual_seed(0)
    drawn = torch.empty(1, 256, 30).normal_(0, math.sqrt(2 / 30))
    torch.manual_seed(0)
    torch.testing.assert_close(random_prototypes(256, 30), drawn / drawn.norm(dim=1, keepdim=True))
