"""Fused layers against the layers that they were made of, by oneDNN and by torch's functions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from vos_occ.models.layers import fused
from vos_occ.models.layers.fused import FusedConv, FusedLinear, FusedUpsampling, onednn_problem

has_onednn = pytest.param(True, marks=pytest.mark.skipif(bool(onednn_problem()), reason=str(onednn_problem())))
both_engines = pytest.mark.parametrize("onednn", [has_onednn, False], ids=["oneDNN", "torch"])

CASES = {
    "1x1": {"kernel_size": 1},
    "1x1, strided": {"kernel_size": 1, "stride": 2},
    "3x3": {"kernel_size": 3, "padding": 1},
    "3x3, strided": {"kernel_size": 3, "padding": 1, "stride": 2},
    "3x3, dilated": {"kernel_size": 3, "padding": 2, "dilation": 2},
    "7x7 stem": {"kernel_size": 7, "padding": 3, "stride": 2},
    "oblong": {"kernel_size": (1, 3), "padding": (0, 1), "stride": (2, 1)},
    "grouped": {"kernel_size": 3, "padding": 1, "groups": 4},
    "depthwise": {"kernel_size": 3, "padding": 1, "groups": 16},
    "without bias": {"kernel_size": 3, "bias": False},
}


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


def features(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape)))


def norm_of(channels: int, affine: bool = True) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(channels, affine=affine).eval()
    norm.running_mean.copy_(features(channels))
    norm.running_var.copy_(features(channels).abs() + 0.1)
    if affine:
        norm.weight.copy_(features(channels) + 1)
        norm.bias.copy_(features(channels))
    return norm


@both_engines
@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
@pytest.mark.parametrize(
    ("activation", "module"), [("none", nn.Identity()), ("relu", nn.ReLU()), ("relu6", nn.ReLU6())]
)
def test_equals_convolution_norm_and_activation(
    options: dict, activation: str, module: nn.Module, onednn: bool
) -> None:
    conv, norm = nn.Conv2d(16, 32, **options), norm_of(32)
    layer = FusedConv.of(conv, norm, activation=activation, onednn=onednn)
    for size in ((9, 13), (14, 14), (9, 13)):  # weights are packed anew for another size, and kept for the first
        x = 3 * features(2, 16, *size)
        torch.testing.assert_close(layer(x), module(norm(conv(x))), rtol=1e-4, atol=1e-4)


@both_engines
@pytest.mark.parametrize("activation", ["none", "relu"])
def test_adds_before_the_activation(onednn: bool, activation: str) -> None:
    conv, x, shortcut = nn.Conv2d(8, 16, 3, padding=1), features(2, 8, 6, 7), features(2, 16, 6, 7)
    expected = conv(x) + shortcut
    found = FusedConv.of(conv, activation=activation, onednn=onednn)(x, add=shortcut.clone())
    torch.testing.assert_close(found, expected.relu() if activation == "relu" else expected, rtol=1e-4, atol=1e-4)


@both_engines
def test_norms_without_weights_are_folded_too(onednn: bool) -> None:
    conv, norm, x = nn.Conv2d(4, 8, 3), norm_of(8, affine=False), features(1, 4, 6, 6)
    torch.testing.assert_close(FusedConv.of(conv, norm, onednn=onednn)(x), norm(conv(x)), rtol=1e-4, atol=1e-4)


@both_engines
def test_no_rois_give_no_rois(onednn: bool) -> None:
    conv, deconv, linear = nn.Conv2d(4, 8, 3, stride=2), nn.ConvTranspose2d(4, 8, 2, stride=2), nn.Linear(4, 8)
    nothing = features(0, 4, 14, 14)
    assert FusedConv.of(conv, onednn=onednn)(nothing).shape == conv(nothing).shape
    assert FusedUpsampling(deconv, onednn=onednn)(nothing).shape == (0, 8, 28, 28)
    assert FusedLinear(linear, onednn=onednn)(features(0, 4)).shape == (0, 8)


@both_engines
@pytest.mark.parametrize("bias", [True, False])
def test_linear_layers(onednn: bool, bias: bool) -> None:
    linear = nn.Linear(20, 6, bias=bias)
    for rows in (1, 7, 300):
        torch.testing.assert_close(FusedLinear(linear, onednn=onednn)(features(rows, 20)), linear(features(rows, 20)))


@both_engines
@pytest.mark.parametrize(("factor", "bias"), [(2, True), (2, False), (3, True)])
def test_transposed_convolutions(onednn: bool, factor: int, bias: bool) -> None:
    deconv, x = nn.ConvTranspose2d(6, 5, factor, stride=factor, bias=bias), features(3, 6, 4, 7)
    torch.testing.assert_close(FusedUpsampling(deconv, onednn=onednn)(x), deconv(x), rtol=1e-4, atol=1e-4)


@both_engines
def test_bfloat16_is_answered_in_bfloat16(onednn: bool) -> None:
    conv, linear, x = nn.Conv2d(16, 16, 3, padding=1), nn.Linear(16, 8), features(1, 16, 8, 8)
    found = FusedConv.of(conv, dtype=torch.bfloat16, onednn=onednn)(x)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), conv(x), rtol=0.02, atol=0.02)
    rows = x.flatten(2)[0].T
    assert FusedLinear(linear, dtype=torch.bfloat16, onednn=onednn)(rows).dtype == torch.bfloat16


@pytest.mark.parametrize("onednn", [has_onednn])
def test_packed_weights_of_many_sizes_do_not_pile_up(onednn: bool) -> None:
    conv = nn.Conv2d(8, 8, 3)
    layer = FusedConv.of(conv, onednn=onednn)
    for side in range(4, 30):
        x = features(1, 8, side, side + 1)
        torch.testing.assert_close(layer(x), conv(x), rtol=1e-4, atol=1e-4)
    assert len(layer._weights) == fused.MAX_SIZES


def test_without_onednn_torch_stands_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "onednn_problem", lambda: "not built in")
    conv, x = nn.Conv2d(3, 4, 3), features(1, 3, 5, 5)
    layer = FusedConv.of(conv)
    assert not layer.onednn
    torch.testing.assert_close(layer(x), conv(x))


def test_operators_that_answer_wrongly_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FusedLinear, "forward", lambda self, x: x.new_zeros(len(x), self.out_features) - 9)
    assert onednn_problem.__wrapped__().startswith("AssertionError")


def test_nothing_can_be_trained() -> None:
    assert not list(FusedConv.of(nn.Conv2d(3, 4, 3)).parameters())
