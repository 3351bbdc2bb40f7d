"""Plain deformable convolution against the definition, against autograd, and against compiled operators."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

import vos_occ.compat
from vos_occ.compat import plain_deform_conv

# input (C, H, W), outputs, kernel, stride, padding, dilation, groups, deformable groups
CASES = {
    "as in CMTrack": ((4, 6, 9), 5, (3, 3), 1, 1, 1, 1, 1),
    "stride, dilation, no padding": ((4, 9, 8), 2, (3, 2), 2, 0, 2, 1, 1),
    "groups of channels": ((4, 5, 6), 6, (3, 3), 1, 1, 1, 2, 1),
    "groups of offsets": ((4, 5, 6), 2, (3, 3), 1, 1, 1, 1, 2),
    "one cell": ((2, 1, 1), 2, (3, 3), 1, 1, 1, 1, 1),
    "offsets far outside": ((2, 4, 4), 2, (3, 3), 1, 1, 1, 1, 1),
}


def case_of(name: str, dtype: torch.dtype = torch.float64, batch: int = 2) -> tuple[list[Tensor], tuple]:
    """Input, offset and weight, and the options of `mmcv.ops.deform_conv2d` that follow them."""
    (channels, height, width), outputs, kernel, stride, padding, dilation, groups, offset_groups = CASES[name]
    generator = torch.Generator().manual_seed(0)
    reach = [dilation * (size - 1) + 1 for size in kernel]
    out = [(size + 2 * padding - r) // stride + 1 for size, r in zip((height, width), reach, strict=True)]
    spread = 40.0 if name == "offsets far outside" else 1.5
    draw = {"generator": generator, "dtype": torch.float64}
    tensors = [
        torch.randn(batch, channels, height, width, **draw),
        spread * torch.randn(batch, offset_groups * kernel[0] * kernel[1] * 2, *out, **draw),
        torch.randn(outputs, channels // groups, *kernel, **draw),
    ]
    return [tensor.to(dtype) for tensor in tensors], (stride, padding, dilation, groups, offset_groups)


def definition(tensors: list[Tensor], options: tuple) -> np.ndarray:
    """One output cell, one channel, one place of the kernel after another."""
    features, offset, weight = (tensor.double().numpy() for tensor in tensors)
    stride, padding, dilation, groups, offset_groups = options
    (batch, channels, _, _), (outputs, per_group, kernel_h, kernel_w) = features.shape, weight.shape
    moves = offset.reshape(batch, offset_groups, kernel_h, kernel_w, 2, *offset.shape[2:])
    result = np.zeros((batch, outputs, *offset.shape[2:]))
    for b, o, i, j in np.ndindex(*result.shape):
        for c, ki, kj in np.ndindex(per_group, kernel_h, kernel_w):
            channel = o // (outputs // groups) * per_group + c
            dy, dx = moves[b, channel // (channels // offset_groups), ki, kj, :, i, j]
            y, x = i * stride - padding + ki * dilation + dy, j * stride - padding + kj * dilation + dx
            result[b, o, i, j] += weight[o, c, ki, kj] * interpolate(features[b, channel], y, x)
    return result


def interpolate(feature: np.ndarray, y: float, x: float) -> float:
    """Zero outside, cell by cell."""
    total, (top, left) = 0.0, (int(np.floor(y)), int(np.floor(x)))
    for row, column in itertools.product((top, top + 1), (left, left + 1)):
        if 0 <= row < feature.shape[0] and 0 <= column < feature.shape[1]:
            total += feature[row, column] * (1 - abs(y - row)) * (1 - abs(x - column))
    return total


class PlainDeformConv(torch.autograd.Function):
    """The plain operators, whatever this machine's backend is; called as mmcv calls them."""

    ops = plain_deform_conv

    @classmethod
    def arguments(cls, weight: Tensor, options: tuple, step: int) -> dict[str, int]:
        stride, padding, dilation, groups, offset_groups = options
        pairs = {"d": stride, "pad": padding, "dilation": dilation}
        named = {f"{name}{side}": value for name, value in pairs.items() for side in "WH"}
        kernel = {"kH": weight.size(2), "kW": weight.size(3)}
        return named | kernel | {"group": groups, "deformable_group": offset_groups, "im2col_step": step}

    @classmethod
    def forward(cls, ctx, features, offset, weight, options, step):
        ctx.save_for_backward(features, offset, weight)
        ctx.named = PlainDeformConv.arguments(weight, options, step)
        output = features.new_empty(len(features), len(weight), *offset.shape[2:])
        cls.ops.deform_conv_forward(features, weight, offset, output, None, None, **ctx.named)
        return output

    @classmethod
    def backward(cls, ctx, grad):
        features, offset, weight = ctx.saved_tensors
        grads = [torch.zeros_like(tensor) for tensor in (features, offset, weight)]
        cls.ops.deform_conv_backward_input(features, offset, grad, grads[0], grads[1], weight, None, **ctx.named)
        cls.ops.deform_conv_backward_parameters(features, offset, grad, grads[2], None, None, scale=1, **ctx.named)
        return *grads, None, None


def plain(tensors: list[Tensor], options: tuple, step: int = 1) -> Tensor:
    return PlainDeformConv.apply(*tensors, options, step)


@pytest.mark.parametrize("name", CASES)
def test_equals_the_definition(name: str) -> None:
    tensors, options = case_of(name)
    np.testing.assert_allclose(plain(tensors, options).numpy(), definition(tensors, options), rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", [name for name in CASES if name != "one cell"])
def test_gradients_are_those_of_the_result(name: str) -> None:
    tensors, options = case_of(name, batch=1)
    for tensor in tensors:
        tensor.requires_grad_()
    assert torch.autograd.gradcheck(lambda *given: plain(list(given), options), tensors, fast_mode=True)


def test_no_offsets_make_an_ordinary_convolution() -> None:
    tensors, options = case_of("as in CMTrack")
    features, offset, weight = tensors
    found = plain([features, torch.zeros_like(offset), weight], options)
    torch.testing.assert_close(found, torch.nn.functional.conv2d(features, weight, padding=1))


@pytest.mark.parametrize("step", [1, 2, 3, 7])
def test_images_at_a_time_change_nothing(step: int) -> None:
    tensors, options = case_of("as in CMTrack", batch=6)
    torch.testing.assert_close(plain(tensors, options, step), plain(tensors, options, 6), rtol=0, atol=1e-12)


def test_an_offset_moves_y_before_x() -> None:
    features = torch.arange(12.0).view(1, 1, 3, 4)
    offset = torch.zeros(1, 2, 3, 4)
    offset[:, 0] = 1  # one row down
    found = plain([features, offset, torch.ones(1, 1, 1, 1)], (1, 0, 1, 1, 1))
    assert torch.equal(found[0, 0, :2], features[0, 0, 1:]) and not found[0, 0, 2].any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_single(dtype: torch.dtype) -> None:
    tensors, options = case_of("as in CMTrack", dtype)
    found = plain(tensors, options)
    assert found.dtype == dtype
    torch.testing.assert_close(found, plain([tensor.float() for tensor in tensors], options).to(dtype))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_an_offset_that_is_no_number_spoils_what_reads_there_and_ends_no_process(value: float) -> None:
    """So that a training that diverges is ended by its loss, with its name."""
    (features, offset, weight), options = case_of("as in CMTrack")
    offset[0, 0, 2, 3] = value
    offset.requires_grad_()
    found = plain([features, offset, weight], options)
    assert found[0, :, 2, 3].isnan().all() and found.isnan().sum() == found.size(1)
    found.sum().backward()
    assert offset.grad.shape == offset.shape


def test_mmcvs_layer_ends_in_this_machines_operators() -> None:
    """On a machine with compiled mmcv or torchvision this compares with them; elsewhere it tests the way in."""
    from mmcv.ops import DeformConv2d

    tensors, options = case_of("as in CMTrack", torch.float32, batch=3)
    layer = DeformConv2d(4, 5, 3, padding=1, im2col_step=1)
    layer.weight.data.copy_(tensors[2])
    results = []
    for run in (lambda f, o: layer(f, o), lambda f, o: plain([f, o, layer.weight], options)):
        features, offset = (tensor.clone().requires_grad_() for tensor in tensors[:2])
        layer.zero_grad()
        output = run(features, offset)
        (output * torch.linspace(-1, 1, output.numel()).view_as(output)).sum().backward()
        results.append((output.detach(), features.grad, offset.grad, layer.weight.grad.clone()))
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_equals_torchvision_forward_and_backward(name: str) -> None:
    if problem := vos_occ.compat.backend.torchvision_problem():
        pytest.skip(f"no torchvision to compare with: {problem}")
    from vos_occ.compat import torchvision_ops

    class Theirs(PlainDeformConv):
        ops = torchvision_ops

    results = []
    for function in (PlainDeformConv, Theirs):
        tensors, options = case_of(name)
        for tensor in tensors:
            tensor.requires_grad_()
        output = function.apply(*tensors, options, 1)
        (output * torch.linspace(-1, 1, output.numel()).view_as(output)).sum().backward()
        results.append([output.detach(), *(tensor.grad for tensor in tensors)])
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
