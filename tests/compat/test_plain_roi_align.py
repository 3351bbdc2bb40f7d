"""Plain-torch RoIAlign against a literal reading of mmcv's rules, against autograd, and against compiled operators."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

import vos_occ.compat
from vos_occ.compat import plain_ops
from vos_occ.compat.errors import MissingOperatorError
from vos_occ.compat.plain_roi_align import SMALL_SIDE
from vos_occ.compat.plain_roi_sampling import sample_rois

HEIGHT, WIDTH = 11, 17

# image, x1, y1, x2, y2 in units of 4 per cell
ROIS = {
    "inside": [0, 8.3, 9.1, 40.7, 33.9],
    "second image": [1, 8.3, 9.1, 40.7, 33.9],
    "over the top left corner": [0, -30, -20, 21, 13],
    "over the bottom right corner": [1, 50, 30, 90, 80],
    "around everything": [0, -90, -90, 190, 190],
    "far outside": [0, 400, 400, 440, 430],
    "ends on the last cell": [1, 40, 20, 4 * WIDTH, 4 * HEIGHT],
    "smaller than a cell": [0, 20.2, 20.3, 20.9, 20.8],
    "without area": [0, 20, 20, 20, 20],
    "a line": [1, 10, 10, 50, 10],
}


def reference(features: np.ndarray, roi: list[float], bins: tuple[int, int], ratio: int, aligned: bool) -> np.ndarray:
    """One RoI, one sample after another, in float64: (C, H, W) -> (C, *bins), at 4 units a cell."""
    offset = 0.5 if aligned else 0.0
    x1, y1, x2, y2 = (coordinate / 4 - offset for coordinate in roi[1:])
    extent = [y2 - y1, x2 - x1] if aligned else [max(y2 - y1, 1.0), max(x2 - x1, 1.0)]
    bin_size = [extent[axis] / bins[axis] for axis in (0, 1)]
    samples = [ratio or math.ceil(np.float32(size)) for size in bin_size]
    out = np.zeros((features.shape[0], *bins))
    for i, j in np.ndindex(*bins):
        for a, b in np.ndindex(*samples):
            y = y1 + i * bin_size[0] + (a + 0.5) * bin_size[0] / samples[0]
            x = x1 + j * bin_size[1] + (b + 0.5) * bin_size[1] / samples[1]
            out[:, i, j] += interpolate(features, y, x) / (samples[0] * samples[1])
    return out


def interpolate(features: np.ndarray, y: float, x: float) -> np.ndarray:
    _, height, width = features.shape
    if y < -1 or y > height or x < -1 or x > width:
        return np.zeros(features.shape[0])
    y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    dy, dx = y - top, x - left
    upper = features[:, top, left] * (1 - dx) + features[:, top, right] * dx
    lower = features[:, bottom, left] * (1 - dx) + features[:, bottom, right] * dx
    return upper * (1 - dy) + lower * dy


def features_of(dtype: torch.dtype = torch.float64, channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, channels, HEIGHT, WIDTH, generator=generator, dtype=torch.float64).to(dtype)


def align(features: Tensor, rois: Tensor, bins: tuple[int, int], ratio: int, aligned: bool) -> Tensor:
    """The public way in, which ends in the operators of this machine's backend."""
    from mmcv.ops import roi_align

    return roi_align(features, rois, bins, 0.25, ratio, "avg", aligned)


class PlainRoIAlign(torch.autograd.Function):
    """The plain operators, whatever this machine's backend is."""

    @staticmethod
    def forward(ctx, features, rois, options):
        ctx.save_for_backward(rois)
        ctx.shape, ctx.options = features.shape, options
        bins = (options["aligned_height"], options["aligned_width"])
        output = features.new_zeros(len(rois), features.size(1), *bins)
        empty = features.new_zeros(0)
        plain_ops.roi_align_forward(features, rois, output, empty, empty, **options)
        return output

    @staticmethod
    def backward(ctx, grad):
        (rois,) = ctx.saved_tensors
        grad_features = grad.new_zeros(ctx.shape)
        empty = grad.new_zeros(0)
        plain_ops.roi_align_backward(grad.contiguous(), rois, empty, empty, grad_features, **ctx.options)
        return grad_features, None, None


def plain(features: Tensor, rois: Tensor, bins: tuple[int, int], ratio: int, aligned: bool, pool_mode=1) -> Tensor:
    options = dict(
        aligned_height=bins[0],
        aligned_width=bins[1],
        spatial_scale=0.25,
        sampling_ratio=ratio,
        pool_mode=pool_mode,
        aligned=aligned,
    )
    return PlainRoIAlign.apply(features, rois, options)


@pytest.mark.parametrize("aligned", [True, False], ids=["aligned", "legacy"])
@pytest.mark.parametrize("ratio", [0, 1, 2, 3])
@pytest.mark.parametrize("roi", ROIS.values(), ids=ROIS.keys())
def test_equals_the_literal_rules_in_float64(roi, ratio, aligned):
    features = features_of()
    pooled = plain(features, torch.tensor([roi], dtype=torch.float64), (3, 5), ratio, aligned)[0]
    expected = reference(features[int(roi[0])].numpy(), roi, (3, 5), ratio, aligned)
    np.testing.assert_allclose(pooled.numpy(), expected, rtol=0, atol=1e-9)


def test_rois_do_not_depend_on_the_rois_beside_them():
    features, rois = features_of(), torch.tensor(list(ROIS.values()), dtype=torch.float64)
    together = plain(features, rois, (4, 4), 0, True)
    alone = torch.cat([plain(features, roi[None], (4, 4), 0, True) for roi in rois])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize("aligned", [True, False], ids=["aligned", "legacy"])
@pytest.mark.parametrize("ratio", [0, 2])
@pytest.mark.parametrize("copies", [1, 5], ids=["few rois", "rois that cover the map"])
def test_gradient_is_that_of_the_pooling(copies, ratio, aligned):
    """With crops that are computed together and crops that are not."""
    features = features_of(channels=1)[:, :, :6, :10].contiguous().requires_grad_()
    rois = torch.tensor([[0, -3.0, 2, 40, 17], [1, 4, 4, 30, 12.5]], dtype=torch.float64).repeat(copies, 1)
    assert sample_rois(rois, (6, 10), (2, 3), 0.25, ratio, aligned).split(SMALL_SIDE)[1].numel() == copies
    assert torch.autograd.gradcheck(lambda f: plain(f, rois, (2, 3), ratio, aligned), features)


def test_backward_adds_to_the_gradient_that_is_there():
    options = dict(spatial_scale=1.0, sampling_ratio=0, pool_mode=1, aligned=True, aligned_height=1, aligned_width=1)
    grad_features, empty = torch.ones(1, 1, 4, 4), torch.zeros(0)
    rois = torch.tensor([[0.0, 0, 0, 4, 4]])
    plain_ops.roi_align_backward(torch.full((1, 1, 1, 1), 16.0), rois, empty, empty, grad_features, **options)
    assert torch.equal(grad_features, torch.full((1, 1, 4, 4), 2.0))


def test_channels_last_features_give_the_same():
    features, rois = features_of(torch.float32), torch.tensor(list(ROIS.values()))
    pooled = plain(features.to(memory_format=torch.channels_last), rois, (7, 7), 0, True)
    torch.testing.assert_close(pooled, plain(features, rois, (7, 7), 0, True))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_single(dtype):
    features, rois = features_of(dtype), torch.tensor(list(ROIS.values())).to(dtype)
    pooled = plain(features, rois, (4, 4), 0, True)
    assert pooled.dtype == dtype
    torch.testing.assert_close(pooled, plain(features.float(), rois.float(), (4, 4), 0, True).to(dtype))


def test_no_rois_give_no_output_and_no_gradient():
    features = features_of().requires_grad_()
    pooled = plain(features, torch.zeros(0, 5, dtype=torch.float64), (7, 7), 0, True)
    pooled.sum().backward()
    assert pooled.shape == (0, 3, 7, 7)
    assert not features.grad.any()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("ratio", [0, 2])
def test_a_box_that_is_not_finite_gives_zeros(bad, ratio):
    rois = torch.tensor([[0, 3, 4, bad, bad], [0, 8, 8, 30, 30]], dtype=torch.float64)
    pooled = plain(features_of(), rois, (2, 2), ratio, True)
    assert not pooled[0].any()
    assert pooled[1].isfinite().all() and pooled[1].any()


def test_maximum_pooling_is_refused_with_the_cure():
    with pytest.raises(MissingOperatorError, match=r"pool_mode='max'.*pip install --no-build-isolation"):
        plain(features_of(), torch.tensor([ROIS["inside"]], dtype=torch.float64), (2, 2), 0, True, pool_mode=0)


def test_this_machines_operators_give_the_same_values_and_gradients():
    """On a machine with compiled mmcv or torchvision this compares with them; elsewhere it tests the way in."""
    rois = torch.tensor([roi for name, roi in ROIS.items() if name not in ("without area", "a line")])
    for aligned, ratio in ((True, 0), (True, 2), (False, 0), (False, 2)):
        ours, theirs = features_of(torch.float32).requires_grad_(), features_of(torch.float32).requires_grad_()
        pooled, expected = plain(ours, rois, (7, 7), ratio, aligned), align(theirs, rois, (7, 7), ratio, aligned)
        torch.testing.assert_close(pooled, expected, rtol=0, atol=1e-4)
        weights = torch.linspace(-1, 1, pooled.numel()).view_as(pooled)
        (pooled * weights).sum().backward()
        (expected * weights).sum().backward()
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=0, atol=1e-4)


@pytest.mark.parametrize("aligned", [True, False], ids=["aligned", "legacy"])
@pytest.mark.parametrize("ratio", [0, 2])
def test_fp32_equals_torchvision_forward_and_backward(ratio, aligned):
    if problem := vos_occ.compat.backend.torchvision_problem():
        pytest.skip(f"no torchvision to compare with: {problem}")
    from vos_occ.compat import torchvision_ops

    features, rois, empty = features_of(torch.float32), torch.tensor(list(ROIS.values())), torch.zeros(0)
    options = dict(spatial_scale=0.25, sampling_ratio=ratio, pool_mode=1, aligned=aligned)
    options.update(aligned_height=7, aligned_width=7)
    results = []
    for ops in (plain_ops, torchvision_ops):
        pooled, grad_features = torch.empty(len(rois), 3, 7, 7), torch.zeros_like(features)
        ops.roi_align_forward(features, rois, pooled, empty, empty, **options)
        grad = torch.linspace(-1, 1, pooled.numel()).view_as(pooled)
        ops.roi_align_backward(grad, rois, empty, empty, grad_features, **options)
        results.append((pooled, grad_features))
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=1e-4)
