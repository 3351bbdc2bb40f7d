"""Trained layers as inference runs them: normalisation folded in, activation fused, channels last, weights packed once.

On the CPU they call oneDNN's convolutions and products directly. torch's own layers bring the weights into oneDNN's
order at every call, and hand 1x1 convolutions and linear layers to MKL, which on processors other than Intel's does not
use their widest vectors: measured 50 against 120 multiply-adds per nanosecond on one core of an AMD EPYC. Elsewhere,
and where torch was built without oneDNN, the same layers run by torch's functions.

No gradients, no parameters: what was packed cannot be trained, saved or moved to another device. Knows no model.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Activation = Literal["none", "relu", "relu6"]

_POINTWISE: dict[str, tuple[str, list[float]]] = {
    "none": ("none", []),
    "relu": ("relu", []),
    "relu6": ("hardtanh", [0.0, 6.0]),
}
"""oneDNN's name and arguments of each activation."""

PACKED_FOR = (56, 56)
"""Height and width that weights are packed for; at any other size they give the same and were as fast."""

MAX_SIZES = 8
"""Input sizes that a layer's weights are kept packed for; the RPN's convolution sees five in every frame."""


@cache
def onednn_problem() -> str | None:
    """Run oneDNN's fused operators once; None where they work, else why not, in one line.

    They are not part of torch's documented interface (torch.compile uses them), so nothing short of a call tells.
    """
    try:
        conv = nn.Conv2d(16, 16, 3, padding=1)
        x = torch.randn(1, 16, 6, 6, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            found = FusedConv.of(conv, activation="relu", onednn=True)(x, add=x.clone())
            expected = F.relu(F.conv2d(x, conv.weight, conv.bias, padding=1) + x)
            linear = nn.Linear(6, 5)
            found_linear, expected_linear = FusedLinear(linear, onednn=True)(x), linear(x)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(found_linear, expected_linear, rtol=1e-4, atol=1e-4)
    except Exception as error:
        return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    return None


class FusedConv(nn.Module):
    """A 2D convolution, what was added to it, and its activation, in one call.

    Args:
        weight: (O, C / groups, h, w), normalisation already folded in.
        bias: (O,).
        options: stride, padding, dilation (pairs) and groups of the convolution.
        activation: applied last.
        dtype: of the computation and the result; inputs of another are converted.
        onednn: call oneDNN's operators; None: where they work.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor,
        options: dict[str, Any],
        *,
        activation: Activation = "none",
        dtype: torch.dtype = torch.float32,
        onednn: bool | None = None,
    ) -> None:
        super().__init__()
        self.options = options
        self.activation = activation
        self.dtype = dtype
        self.kernel_size = tuple(weight.shape[2:])
        self.out_channels = len(weight)
        self.onednn = _use_onednn(weight, onednn)
        weight = weight.detach().to(dtype)
        self.bias = bias.detach().to(dtype)
        self._weights: dict[tuple[int, ...], Tensor] = {
            (): weight.to_mkldnn() if self.onednn else weight.contiguous(memory_format=torch.channels_last)
        }

    @classmethod
    def of(cls, conv: nn.Conv2d, norm: nn.Module | None = None, **kwargs: Any) -> FusedConv:
        """A convolution and the batch norm after it (in evaluation), folded in float64."""
        weight = conv.weight.detach().double()
        bias = weight.new_zeros(len(weight)) if conv.bias is None else conv.bias.detach().double()
        if norm is not None:
            factor = (norm.running_var.double() + norm.eps).rsqrt()
            factor = factor if norm.weight is None else factor * norm.weight.detach().double()
            weight = weight * factor[:, None, None, None]
            bias = (bias - norm.running_mean.double()) * factor
            bias = bias if norm.bias is None else bias + norm.bias.detach().double()
        options = {name: list(getattr(conv, name)) for name in ("stride", "padding", "dilation")}
        return cls(weight.float(), bias.float(), options | {"groups": conv.groups}, **kwargs)

    def forward(self, x: Tensor, add: Tensor | None = None) -> Tensor:
        """activation(conv(x) + add), channels last in memory.

        Args:
            x: (N, C, H, W).
            add: of the result's shape; written over.
        """
        x = x.to(self.dtype)
        if not len(x):
            return x.new_zeros(0, self.out_channels, *self._size(x))
        x = x.contiguous(memory_format=torch.channels_last)
        if not self.onednn:
            out = F.conv2d(x, self._weights[()], self.bias, **self.options)
            return _activate(out if add is None else out.add_(add), self.activation)
        name, arguments = _POINTWISE[self.activation]
        layer = (self._packed(x.shape[1:]), self.bias, *self._order())
        if add is None:
            return torch.ops.mkldnn._convolution_pointwise(x, *layer, name, arguments, "")
        add = add.to(self.dtype).contiguous(memory_format=torch.channels_last)
        unary = None if name == "none" else name
        return torch.ops.mkldnn._convolution_pointwise_.binary(add, x, *layer, "add", None, unary, arguments, "")

    def _packed(self, size: tuple[int, ...]) -> Tensor:
        """The weights in oneDNN's order for inputs (C, H, W).

        Any order gives the same result, but that of another size made a layer up to 17 times slower.
        """
        if size not in self._weights:
            newest = next(reversed(self._weights.values()))
            packed = torch._C._nn.mkldnn_reorder_conv2d_weight(newest, *self._order(), [1, *size])
            if len(self._weights) == MAX_SIZES or () in self._weights:
                self._weights.pop(next(iter(self._weights)))
            self._weights[size] = packed
        return self._weights[size]

    def _order(self) -> tuple[Any, ...]:
        return tuple(self.options[key] for key in ("padding", "stride", "dilation", "groups"))

    def _size(self, x: Tensor) -> list[int]:
        """Height and width of the result."""
        strides, paddings, dilations = (self.options[key] for key in ("stride", "padding", "dilation"))
        return [
            (side + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
            for side, kernel, stride, padding, dilation in zip(
                x.shape[2:], self.kernel_size, strides, paddings, dilations, strict=True
            )
        ]


class FusedLinear(nn.Module):
    """A linear layer; arguments as of `FusedConv`."""

    def __init__(self, linear: nn.Linear, *, dtype: torch.dtype = torch.float32, onednn: bool | None = None) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.dtype = dtype
        self.onednn = _use_onednn(linear.weight, onednn)
        self.bias = None if linear.bias is None else linear.bias.detach().to(dtype)
        weight = linear.weight.detach().to(dtype)
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight, 100) if self.onednn else weight

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., O)."""
        x = x.to(self.dtype)
        if self.onednn and x.numel():
            return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        if self.onednn:
            return x.new_zeros(*x.shape[:-1], self.out_features)
        return F.linear(x, self.weight, self.bias)


class FusedUpsampling(nn.Module):
    """A transposed convolution whose kernel is its stride: every cell becomes a block, by one product for all of them.

    Args:
        deconv: kernel size equals stride; no padding, no groups.
        kwargs: as of `FusedConv`.
    """

    def __init__(self, deconv: nn.ConvTranspose2d, **kwargs: Any) -> None:
        super().__init__()
        self.factor = deconv.stride[0]
        # (C, O, f, f) -> (f * f * O, C, 1, 1): the blocks' cells are its channels
        weight = deconv.weight.detach().permute(2, 3, 1, 0).flatten(0, 2)[:, :, None, None]
        bias = weight.new_zeros(deconv.out_channels) if deconv.bias is None else deconv.bias.detach()
        options = {"stride": [1, 1], "padding": [0, 0], "dilation": [1, 1], "groups": 1}
        self.product = FusedConv(weight.contiguous(), bias.repeat(self.factor**2), options, **kwargs)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, O, f * H, f * W)."""
        f = self.factor
        blocks = self.product(x).permute(0, 2, 3, 1).unflatten(3, (f, f, -1))  # (N, H, W, f, f, O)
        return blocks.transpose(2, 3).flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)


def _activate(x: Tensor, activation: Activation) -> Tensor:
    if activation == "relu":
        return x.relu_()
    return x.clamp_(0, 6) if activation == "relu6" else x


def _use_onednn(weight: Tensor, wanted: bool | None) -> bool:
    if wanted is not None:
        return wanted
    return weight.device.type == "cpu" and onednn_problem() is None
