"""The non-local block against a literal re-statement, and its behaviour at the edges."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vos_occ.models.layers.non_local import NonLocalBlock
from vos_occ.structures.errors import InputError

NORMS = ["bn", "gn", "ln_relu", "none"]


def features(n: int, channels: int = 8, side: int = 5, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(n, channels, side, side, generator=torch.Generator().manual_seed(n), dtype=dtype)


def gathered_by_loops(block: NonLocalBlock, x: Tensor, scale: float) -> Tensor:
    """softmax over keys of (q . k) times scale, one position at a time."""
    query_weight, key_weight, value_weight = block.query_key_value.weight[:, :, 0, 0].chunk(3)
    out = torch.empty_like(x)
    for n in range(len(x)):
        tokens = x[n].flatten(1).T  # (HW, C)
        queries, keys, values = tokens @ query_weight.T, tokens @ key_weight.T, tokens @ value_weight.T
        rows = [torch.softmax((keys @ query) * scale, dim=0) @ values for query in queries]
        out[n] = torch.stack(rows).T.reshape(x[n].shape)
    return out


def test_parameters_equal_the_released_block() -> None:
    assert sum(p.numel() for p in NonLocalBlock(256).parameters()) == 262_656


def test_released_block_equals_its_formula() -> None:
    block = NonLocalBlock(8).double().eval()
    block.norm.running_mean.normal_()
    block.norm.running_var.uniform_(0.5, 2)
    x = features(3, dtype=torch.float64)
    projected = torch.einsum("oc,nchw->nohw", block.output.weight[:, :, 0, 0], gathered_by_loops(block, x, 8**-0.5))
    mean, var = block.norm.running_mean[:, None, None], block.norm.running_var[:, None, None]
    expected = x + (projected - mean) / torch.sqrt(var + 1e-4)
    torch.testing.assert_close(block(x), expected)


def test_paper_block_equals_its_formula() -> None:
    block = NonLocalBlock(8, norm="ln_relu", scale=False, output_projection=False).double()
    x = features(2, dtype=torch.float64)
    y = gathered_by_loops(block, x, 1.0)
    mean, var = y.mean(1, keepdim=True), y.var(1, keepdim=True, unbiased=False)
    torch.testing.assert_close(block(x), x + torch.relu((y - mean) / torch.sqrt(var + 1e-5)))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("n", [0, 1, 7])
def test_any_number_of_maps_trains_every_parameter(norm: str, n: int) -> None:
    block = NonLocalBlock(8, norm=norm)
    y = block(features(n))
    assert y.shape == (n, 8, 5, 5)
    y.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in block.parameters())


def test_no_maps_leave_running_statistics_alone() -> None:
    block = NonLocalBlock(8)
    before = {name: value.clone() for name, value in block.norm.named_buffers()}
    block(features(0))
    assert all(torch.equal(value, before[name]) for name, value in block.norm.named_buffers())


@pytest.mark.parametrize("norm", ["gn", "ln_relu", "none"])
def test_batch_free_norms_treat_each_map_alone(norm: str) -> None:
    block, x = NonLocalBlock(8, norm=norm), features(4)
    torch.testing.assert_close(block(x)[2:3], block(x[2:3]))


@pytest.mark.parametrize("norm", ["bn", "gn", "none"])
def test_zero_init_starts_as_the_identity_and_can_leave_it(norm: str) -> None:
    block, x = NonLocalBlock(8, norm=norm, zero_init=True), features(3)
    y = block(x)
    assert torch.equal(y, x)
    y.square().sum().backward()
    last = block.output if norm == "none" else block.norm
    assert last.weight.grad.abs().max() > 0


@pytest.mark.parametrize("options", [{"norm": "ln_relu"}, {"norm": "none", "output_projection": False}])
def test_zero_init_that_could_never_be_left_is_refused(options: dict) -> None:
    with pytest.raises(InputError, match="zero_init"):
        NonLocalBlock(8, zero_init=True, **options)


def test_unknown_norm_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="'batch'"):
        NonLocalBlock(8, norm="batch")


def test_attention_is_float32_under_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    dtypes, attention = [], F.scaled_dot_product_attention
    monkeypatch.setattr(
        F, "scaled_dot_product_attention", lambda *a, **k: dtypes.append(a[0].dtype) or attention(*a, **k)
    )
    block = NonLocalBlock(8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert block.query_key_value(features(2)).dtype == torch.bfloat16
        block(features(2))
    assert dtypes == [torch.float32]


def test_attention_of_huge_unscaled_products_stays_finite_in_half() -> None:
    """Products of 300 x 300 x 8 exceed half's 65504; the softmax never sees them in half."""
    block = NonLocalBlock(8, norm="none", scale=False, output_projection=False)
    with torch.no_grad():
        block.query_key_value.weight.copy_(torch.eye(8).repeat(3, 1)[:, :, None, None])
    y = block.half()(torch.full((1, 8, 3, 3), 300.0).half())
    assert y.isfinite().all()


@pytest.mark.parametrize("channels", [8, 48, 64, 100])
def test_group_norm_fits_any_width(channels: int) -> None:
    block = NonLocalBlock(channels, norm="gn")
    assert channels % block.norm.num_groups == 0
    assert block.norm.num_groups == math.gcd(32, channels)
