"""PCAN's refine head: what it is made of, which cells its prototypes see, and when its buffers move."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from torch import Tensor

from vos_occ.models.layers.prototypes import em_prototypes
from vos_occ.models.video import refine
from vos_occ.models.video.fusion import fuse
from vos_occ.models.video.refine import PrototypeRefineHead, masked_mean
from vos_occ.structures.errors import InputError

CHANNELS, SIDE = 8, 6

Inputs = tuple[Tensor, Tensor, Tensor, Tensor]


def head(**kwargs: object) -> PrototypeRefineHead:
    torch.manual_seed(0)
    return PrototypeRefineHead(CHANNELS, 12, num_pos=3, num_neg=4, iterations=2, **kwargs).eval()


def inputs(count: int = 3, seed: int = 0) -> Inputs:
    """RoI features and coarse logits of key and reference."""
    generator = torch.Generator().manual_seed(seed)
    shapes = ((CHANNELS, SIDE, SIDE), (1, 2 * SIDE, 2 * SIDE)) * 2
    return tuple(torch.randn(count, *shape, generator=generator) for shape in shapes)


def buffers(layer: PrototypeRefineHead) -> tuple[Tensor, Tensor]:
    return layer.pos_mu.clone(), layer.neg_mu.clone()


def em_of_the_spec(feats: Tensor, mu: Tensor, mask: Tensor, iterations: int) -> Tensor:
    """One RoI: (C, n), (C, K), (n,)."""
    for _ in range(iterations):
        z = torch.softmax(20 * feats.T @ mu, dim=1) * mask[:, None]
        mu = feats @ (z / z.sum(0))
        mu = mu / mu.norm(dim=0)
    return mu


def forward_of_the_spec(layer: PrototypeRefineHead, key: Tensor, logits: Tensor, ref: Tensor, ref_logits: Tensor):
    """docs/sources.md, trackers 3.3 for one RoI, in its order; returns the logits and both sets of prototypes."""
    coarse, ref_coarse = (F.avg_pool2d(x, 2) for x in (logits, ref_logits))  # bilinear halving takes 2 x 2 means
    mask, ref_mask = ((x.sigmoid() >= 0.5).double() for x in (coarse, ref_coarse))
    x, ref_x = key.flatten(1), ref.flatten(1)
    pos = em_of_the_spec(ref_x, layer.pos_mu[0], ref_mask.flatten(), layer.iterations)
    neg = em_of_the_spec(ref_x, layer.neg_mu[0], 1 - ref_mask.flatten(), layer.iterations)
    pos = em_of_the_spec(x, pos, mask.flatten(), layer.iterations)
    neg = em_of_the_spec(x, neg, 1 - mask.flatten(), layer.iterations)
    z = torch.softmax(x.T @ torch.cat([pos, neg], dim=1), dim=1)
    pos_z, neg_z = z[:, : pos.size(1)].sum(1), z[:, pos.size(1) :].sum(1)
    fused = torch.cat([key, pos_z.view(1, SIDE, SIDE), neg_z.view(1, SIDE, SIDE), coarse])[None]
    context = (ref * ref_mask).sum((1, 2)) / ref_mask.sum()
    y = layer.conv1.conv(fused) + layer.conv2.conv(context[None, :, None, None])
    for conv in layer.convs:
        y = F.relu(conv.conv(y))
    return layer.conv_logits(F.relu(layer.upsample(y)))[0], pos, neg


def test_parameters_equal_the_released_head() -> None:
    layer = PrototypeRefineHead()
    assert sum(p.numel() for p in layer.parameters()) == 2_695_681
    assert {name: tuple(value.shape) for name, value in layer.state_dict().items() if "bias" not in name} == {
        "conv1.conv.weight": (256, 259, 3, 3),
        "conv2.conv.weight": (256, 256, 1, 1),
        **{f"convs.{i}.conv.weight": (256, 256, 3, 3) for i in range(3)},
        "upsample.weight": (256, 256, 2, 2),
        "conv_logits.weight": (1, 256, 1, 1),
        "pos_mu": (1, 256, 10),
        "neg_mu": (1, 256, 10),
    }


def test_equals_the_equations() -> None:
    layer, given = head().double(), tuple(x.double() for x in inputs())
    found = layer(*given)
    for i in range(3):
        torch.testing.assert_close(found[i], forward_of_the_spec(layer, *(x[i] for x in given))[0])


def test_training_moves_the_buffers_towards_the_mean_of_what_was_found() -> None:
    layer, given = head().double(), tuple(x.double() for x in inputs())
    found = [forward_of_the_spec(layer, *(x[i] for x in given)) for i in range(3)]
    before = buffers(layer)
    layer.train()(*given)
    for now, old, side in zip(buffers(layer), before, (1, 2), strict=True):
        mean = torch.stack([one[side] for one in found]).mean(0)
        torch.testing.assert_close(now[0], 0.95 * old[0] + 0.05 * mean)
        assert not torch.equal(now, old)


def test_evaluation_leaves_the_buffers_alone_so_that_order_does_not_matter() -> None:
    """P-e: the released head moves them in evaluation too."""
    layer, before = head(), deepcopy(head().state_dict())
    first = layer(*inputs(seed=1))
    layer(*inputs(seed=2))
    assert torch.equal(layer(*inputs(seed=1)), first)
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())


@pytest.mark.parametrize("count", [0, 1, 3])
def test_any_number_of_objects_trains_every_parameter(count: int) -> None:
    layer = head().train()
    before = buffers(layer)
    logits = layer(*inputs(count))
    assert logits.shape == (count, 1, 2 * SIDE, 2 * SIDE)
    loss = layer.loss(logits, torch.ones(count, 2 * SIDE, 2 * SIDE))["loss_refine"]
    loss.backward()
    assert loss.isfinite() and all(p.grad is not None and p.grad.isfinite().all() for p in layer.parameters())
    moved = [not torch.equal(now, old) for now, old in zip(buffers(layer), before, strict=True)]
    assert moved == [count > 0] * 2  # the mean over no objects would be NaN


@pytest.mark.parametrize("key", [-9.0, 9.0], ids=["nothing now", "everything now"])
@pytest.mark.parametrize("ref", [-9.0, 9.0], ids=["nothing before", "everything before"])
def test_empty_and_full_masks_stay_finite(key: float, ref: float) -> None:
    """P-b: the released code leaves the mask of an empty reference uninitialised."""
    layer, (feats, logits, ref_feats, ref_logits) = head().train(), inputs()
    refined = layer(feats, torch.full_like(logits, key), ref_feats, torch.full_like(ref_logits, ref))
    refined.sum().backward()
    assert refined.isfinite().all() and all(p.grad.isfinite().all() for p in layer.parameters())
    assert all(buffer.isfinite().all() for buffer in buffers(layer))


def test_an_object_that_is_nowhere_leaves_its_prototypes_where_they_were() -> None:
    layer, (feats, logits, ref_feats, ref_logits) = head().train(), inputs()
    pos, neg = buffers(layer)
    layer(feats, torch.full_like(logits, -9.0), ref_feats, torch.full_like(ref_logits, -9.0))
    torch.testing.assert_close(layer.pos_mu, pos)
    assert (layer.neg_mu - neg).abs().max() > 1e-3


def test_prototypes_go_on_from_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    """Object and background each start at their buffer, see the reference, and continue on the key."""
    calls: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []

    def recorded(feats: Tensor, start: Tensor, *, weights: Tensor, **kwargs: float) -> Tensor:
        found = em_prototypes(feats, start, weights=weights, **kwargs)
        calls.append((feats, start, weights, found))
        return found

    monkeypatch.setattr(refine, "em_prototypes", recorded)
    layer, given = head(), inputs()
    layer(*given)
    feats, _, ref_feats, _ = given
    for call, x in zip(calls, [ref_feats, feats] * 2, strict=True):
        assert torch.equal(call[0], x.flatten(2))
    assert calls[0][1] is layer.pos_mu and calls[1][1] is calls[0][3]
    assert calls[2][1] is layer.neg_mu and calls[3][1] is calls[2][3]
    for pos, neg in ((calls[0], calls[2]), (calls[1], calls[3])):
        assert torch.equal(pos[2], ~neg[2])


def test_a_logit_of_zero_is_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    """sigmoid >= 0.5, after the 2 x 2 means were taken."""
    seen: list[Tensor] = []
    monkeypatch.setattr(
        refine, "em_prototypes", lambda f, s, **kw: seen.append(kw["weights"]) or s.expand(len(f), -1, -1)
    )
    feats, logits, ref_feats, ref_logits = inputs(1)
    logits = torch.full_like(logits, -1.0)
    logits[0, 0, 0, :4] = torch.tensor([3.0, -1.0, 3.0, -1.5])  # means with the row below: 0 and -0.125
    head()(feats, logits, ref_feats, ref_logits)
    assert seen[1].nonzero().tolist() == [[0, 0]]


def test_each_object_is_refined_alone() -> None:
    layer, given = head(), inputs()
    together = layer(*given)
    for i in range(3):
        torch.testing.assert_close(together[i : i + 1], layer(*(x[i : i + 1] for x in given)))


def test_the_reference_changes_the_mask() -> None:
    layer, (feats, logits, ref_feats, ref_logits) = head(), inputs()
    assert not torch.allclose(layer(feats, logits, -ref_feats, ref_logits), layer(feats, logits, ref_feats, ref_logits))
    assert not torch.allclose(layer(feats, logits, ref_feats, -ref_logits), layer(feats, logits, ref_feats, ref_logits))


def test_gradient_goes_through_features_and_coarse_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exact for fixed prototypes; the EM itself carries none, and the reference's mask is a mask."""
    layer = head().double()
    feats, logits, ref_feats, ref_logits = (x.double().requires_grad_() for x in inputs(2))
    prototypes = layer._prototypes(feats, F.avg_pool2d(logits, 2) >= 0, ref_feats, F.avg_pool2d(ref_logits, 2) >= 0)
    assert not prototypes.requires_grad
    layer(feats, logits, ref_feats, ref_logits).sum().backward()
    assert ref_logits.grad is None and all(x.grad.abs().max() > 0 for x in (feats, logits, ref_feats))
    monkeypatch.setattr(layer, "_prototypes", lambda *args: prototypes)
    assert torch.autograd.gradcheck(lambda *x: layer(*x, ref_logits), (feats, logits, ref_feats), fast_mode=True)


def test_masked_mean_by_hand() -> None:
    feats = torch.arange(8.0).reshape(2, 1, 2, 2)
    masks = torch.tensor([[True, False, False, True], [False] * 4]).reshape(2, 1, 2, 2)
    assert masked_mean(feats, masks).flatten().tolist() == [1.5, 0.0]


def test_loss_is_the_mean_binary_cross_entropy() -> None:
    logits, targets = inputs()[1], (inputs()[3][:, 0] > 0).to(torch.uint8)
    expected = F.binary_cross_entropy_with_logits(logits[:, 0], targets.float())
    torch.testing.assert_close(head().loss(logits, targets), {"loss_refine": expected})


def test_autocast_keeps_prototypes_and_loss_in_float32() -> None:
    layer, given = head().train(), inputs()
    expected = deepcopy(layer)(*given)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        refined = layer(given[0].bfloat16(), given[1].bfloat16(), given[2].bfloat16(), given[3].bfloat16())
        loss = layer.loss(refined, torch.ones(3, 2 * SIDE, 2 * SIDE))["loss_refine"]
    assert refined.dtype == torch.bfloat16 and loss.dtype == layer.pos_mu.dtype == torch.float32
    torch.testing.assert_close(refined.float(), expected, rtol=0.1, atol=0.05)


def test_fused_for_inference_it_answers_the_same() -> None:
    layer, given = head(), inputs()
    with torch.inference_mode():
        expected = layer(*given)
        fuse(layer)
        torch.testing.assert_close(layer(*given), expected, rtol=1e-4, atol=1e-5)
        assert layer(*inputs(0)).shape == (0, 1, 2 * SIDE, 2 * SIDE)


def test_an_impossible_momentum_is_refused() -> None:
    with pytest.raises(InputError, match=r"momentum in \[0, 1\], found 9.5"):
        head(momentum=9.5)


def test_it_is_built_from_a_config() -> None:
    layer = MODELS.build({"type": "PrototypeRefineHead", "in_channels": 16, "conv_channels": 8, "num_pos": 4})
    assert layer.pos_mu.shape == (1, 16, 4) and layer.neg_mu.shape == (1, 16, 10)
    assert layer.conv_logits.in_channels == 8
