"""Deformable convolution (DCNv1) in plain torch, with the in-place signatures of mmcv's extension. Knows torch only.

Every output cell reads k x k points of the input, each moved by its offset. What is read there is laid out as k x k
blocks side by side, so that an ordinary convolution of stride k does the rest:

    input (C, H, W) --bilinear--> blocks (C, k * H', k * W') --conv2d, stride k--> output (O, H', W')

Reading is one weighted sum of four rows for each point (`embedding_bag` on features with channels last, measured at
half the time of `grid_sample`); its gradient is that of torch's `grid_sample`. Points outside the input are zero.

Source: Dai et al., Deformable Convolutional Networks, ICCV 2017; mmcv/ops/csrc/pytorch/cpu/deform_conv.cpp.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.grad import conv2d_input, conv2d_weight

Pair = tuple[int, int]
"""Height, then width."""

BILINEAR = ZEROS = 0  # interpolation and padding of torch's grid sampler, as numbers


@dataclass(frozen=True)
class Points:
    """Where the output cells of a convolution read its input.

    Attributes:
        kernel, stride, padding, dilation: as of any convolution.
        groups: deformable groups G; channels of one group are read at the same points.
    """

    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int

    def moved(self, offset: Tensor) -> Tensor:
        """(B * G, k * H', k * W', 2) points as y, x in cells; offset (B, G * k * k * 2, H', W') of y, x pairs."""
        height, width = offset.shape[2:]
        spread = offset.reshape(-1, *self.kernel, 2, height, width).permute(0, 4, 1, 5, 2, 3)  # (B*G, H', k, W', k, 2)
        rows, columns = (self._unmoved(axis, size, offset) for axis, size in enumerate((height, width)))
        y = spread[..., 0] + rows[:, :, None, None]
        x = spread[..., 1] + columns
        return torch.stack([y, x], dim=-1).flatten(3, 4).flatten(1, 2)

    def offset_gradient(self, gradient: Tensor, offset: Tensor) -> Tensor:
        """The gradient of `moved(offset)`, (B * G, k * H', k * W', 2), in the order of `offset`."""
        height, width = offset.shape[2:]
        parts = gradient.unflatten(2, (width, self.kernel[1])).unflatten(1, (height, self.kernel[0]))
        return parts.permute(0, 2, 4, 5, 1, 3).reshape(offset.shape)

    def _unmoved(self, axis: int, size: int, like: Tensor) -> Tensor:
        """(size, k) coordinate along one axis that each output cell reads at each place of the kernel."""
        cells = torch.arange(size, device=like.device)[:, None] * self.stride[axis] - self.padding[axis]
        return (cells + torch.arange(self.kernel[axis], device=like.device) * self.dilation[axis]).to(like.dtype)


def deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Convolve what is read at the moved points.

    Args:
        input: (B, C, H, W) float; half precision is computed in float32.
        weight: (O, C / group, kH, kW).
        offset: (B, deformable_group * kH * kW * 2, H', W'), in cells, y before x.
        output: (B, O, H', W'), overwritten.
        columns, ones: unused; buffers of mmcv's.
        dW, dH: strides.
        im2col_step: images at a time; the memory beside the output is kH * kW times that many inputs.
    """
    points = Points((kH, kW), (dH, dW), (padH, padW), (dilationH, dilationW), deformable_group)
    # in the blocks' memory layout: with the weights in another the convolution took 6 times as long on a CPU
    weight = _working(weight).contiguous(memory_format=torch.channels_last)
    for images in _batches(len(input), im2col_step):
        blocks = sample(_working(input[images]), points.moved(_working(offset[images])))
        output[images] = F.conv2d(blocks, weight, stride=(kH, kW), groups=group)


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    gradOutput: Tensor,
    gradInput: Tensor,
    gradOffset: Tensor,
    weight: Tensor,
    columns: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Gradients with respect to input and offset; arguments as of `deform_conv_forward`.

    Args:
        gradOutput: (B, O, H', W').
        gradInput: (B, C, H, W), added to in place.
        gradOffset: of the offset's shape, added to in place.
    """
    points = Points((kH, kW), (dH, dW), (padH, padW), (dilationH, dilationW), deformable_group)
    for images in _batches(len(input), im2col_step):
        part, moved = _working(input[images]), points.moved(_working(offset[images]))
        shape = (len(part), part.size(1), *moved.shape[1:3])
        grad_blocks = conv2d_input(shape, _working(weight), _working(gradOutput[images]), (kH, kW), groups=group)
        grad_input, grad_points = sample_backward(grad_blocks, part, moved)
        gradInput[images] += grad_input
        gradOffset[images] += points.offset_gradient(grad_points, offset[images])


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    gradOutput: Tensor,
    gradWeight: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    scale: float,
    im2col_step: int,
) -> None:
    """Gradient with respect to the weights; arguments as of `deform_conv_forward`.

    Args:
        gradOutput: (B, O, H', W').
        gradWeight: (O, C / group, kH, kW), added to in place.
        scale: of what is added.
    """
    points = Points((kH, kW), (dH, dW), (padH, padW), (dilationH, dilationW), deformable_group)
    for images in _batches(len(input), im2col_step):
        blocks = sample(_working(input[images]), points.moved(_working(offset[images])))
        grad = conv2d_weight(blocks, gradWeight.shape, _working(gradOutput[images]), (kH, kW), groups=group)
        gradWeight += scale * grad


def sample(features: Tensor, points: Tensor) -> Tensor:
    """Bilinear values at points; zero outside, NaN at points that are NaN or infinite.

    Args:
        features: (B, C, H, W).
        points: (B * G, h, w, 2) y, x in cells; group g reads channels g * C / G to (g + 1) * C / G.

    Returns:
        (B, C, h, w), with one group in channels-last memory.
    """
    batch, _, height, width = features.shape
    grouped = _grouped(features, points)  # (B * G, C / G, H, W)
    low = points.floor()
    high_part = points - low
    cells, weights = 0, 1
    for axis, size in enumerate((height, width)):
        near = low[..., axis, None] + low.new_tensor([0, 1])  # (B * G, h, w, 2): the cells before and behind
        share = torch.stack([1 - high_part[..., axis], high_part[..., axis]], dim=-1)
        share = share * ((near >= 0) & (near < size))
        near = near.clamp(0, size - 1).nan_to_num(0).long()  # of NaN any cell: its share is NaN
        if axis == 0:
            cells, weights = near[..., :, None] * width, share[..., :, None]
        else:
            cells, weights = cells + near[..., None, :], weights * share[..., None, :]
    cells = cells + height * width * torch.arange(len(points), device=points.device).view(-1, 1, 1, 1, 1)
    rows = grouped.permute(0, 2, 3, 1).reshape(-1, grouped.size(1))  # (B * G * H * W, C / G)
    values = F.embedding_bag(cells.view(-1, 4), rows, per_sample_weights=weights.reshape(-1, 4), mode="sum")
    values = values.view(batch, -1, *points.shape[1:3], rows.size(1))  # (B, G, h, w, C / G)
    return values.permute(0, 1, 4, 2, 3).flatten(1, 2)


def sample_backward(grad: Tensor, features: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of `sample` with respect to features (B, C, H, W) and points (B * G, h, w, 2), by torch's sampler."""
    size = points.new_tensor(features.shape[2:])
    grid = ((2 * points + 1) / size - 1).flip(-1)  # x, y; -1 and 1 are the outer edges of the outermost cells
    grad_features, grad_grid = torch.ops.aten.grid_sampler_2d_backward(
        _grouped(grad, points), _grouped(features, points), grid, BILINEAR, ZEROS, False, [True, True]
    )
    return grad_features.reshape(features.shape), grad_grid.flip(-1) * 2 / size


def _grouped(features: Tensor, points: Tensor) -> Tensor:
    """(B, C, h, w) -> (B * G, C / G, h, w)."""
    groups = len(points) // len(features)
    return features.unflatten(1, (groups, -1)).flatten(0, 1)


def _batches(count: int, step: int) -> Iterator[slice]:
    return (slice(begin, begin + step) for begin in range(0, count, step))


def _working(tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.float()
