"""Temporal feature calibration: what is warped, by what, and what is added."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vos_occ.models.video import calibration
from vos_occ.models.video.calibration import TemporalCalibration
from vos_occ.structures.errors import InputError

CHANNELS = 8


def levels(count: int, seed: int = 0) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(count, CHANNELS, *size, generator=generator) for size in ((12, 20), (6, 10), (3, 5)))


def module(**kwargs: object) -> TemporalCalibration:
    torch.manual_seed(0)
    return TemporalCalibration(CHANNELS, patch_size=5, **kwargs).eval()


def make_offsets(layer: TemporalCalibration, y: float, x: float) -> None:
    nn.init.zeros_(layer.conv_offset.weight)
    layer.conv_offset.bias.data = torch.tensor([float(y), float(x)] * 9)


def make_identity(layer: TemporalCalibration) -> None:
    nn.init.zeros_(layer.warp.weight)
    layer.warp.weight.data[:, :, 1, 1] = torch.eye(CHANNELS)


def test_no_offsets_and_identity_kernels_give_the_sum_of_both_frames() -> None:
    layer, x, reference = module(), levels(2), levels(2, seed=1)
    make_offsets(layer, 0, 0)
    make_identity(layer)
    for found, a, b in zip(layer(x, reference), x, reference, strict=True):
        torch.testing.assert_close(found, a + b)


def test_offsets_move_the_reference_and_not_the_current_frame() -> None:
    layer, x, reference = module(), levels(1), levels(1, seed=1)
    make_offsets(layer, 1, 0)
    make_identity(layer)
    for found, a, b in zip(layer(x, reference), x, reference, strict=True):
        torch.testing.assert_close(found, a + F.pad(b, (0, 0, 0, 1))[:, :, 1:])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_what_is_warped_is_computed_in_float32_or_better(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled operators know no bfloat16; under autocast the offsets come in it, and the weights are not cast."""
    seen = []
    monkeypatch.setattr(calibration, "deform_conv2d", lambda *given: seen.append(given[:3]) or given[0])
    layer, (x, *_), (offset, *_) = module(), levels(1), levels(1, seed=1)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        warped = layer.warp(x.to(dtype), offset.repeat(1, 3, 1, 1)[:, :18].to(dtype))
    assert warped.dtype == dtype
    assert [tensor.dtype for tensor in seen[0]] == [torch.promote_types(dtype, torch.float32)] * 3


def test_offsets_come_from_the_correlation_of_both() -> None:
    """Restated layer by layer: 3 convolutions with ReLU, one without, a deformable one without bias."""
    layer, (x, *_), (reference, *_) = module(), levels(2), levels(2, seed=1)
    motion = layer.correlation(x, reference)
    for conv in layer.convs:
        motion = F.relu(F.conv2d(motion, conv.conv.weight, conv.conv.bias, padding=1))
    offsets = F.conv2d(motion, layer.conv_offset.weight, layer.conv_offset.bias, padding=1)
    assert offsets.shape == (2, 18, 12, 20) and offsets.std() > 0
    torch.testing.assert_close(layer.offsets(x, reference), offsets)
    torch.testing.assert_close(layer([x], [reference])[0], layer.warp(reference, offsets) + x)


def test_the_operator_gets_contiguous_tensors_whatever_the_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    """mmcv's compiled one refuses others; fused layers and `channels_last` training make such."""
    layer, x, reference = module(), levels(2), levels(2, seed=1)
    expected = layer(x, reference)
    operators = sys.modules["mmcv.ops.deform_conv"].ext_module
    called, run = [], operators.deform_conv_forward

    def watched(*tensors: Tensor, **options: int) -> None:
        called.append(all(tensor.is_contiguous() for tensor in tensors))
        run(*tensors, **options)

    monkeypatch.setattr(operators, "deform_conv_forward", watched)
    layer = layer.to(memory_format=torch.channels_last)
    x, reference = ([level.to(memory_format=torch.channels_last) for level in maps] for maps in (x, reference))
    for found, wanted in zip(layer(x, reference), expected, strict=True):
        torch.testing.assert_close(found, wanted)
    assert len(called) == 3 and all(called)


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (5, 2)])
def test_levels_smaller_than_the_kernel_are_warped_too(size: tuple[int, int]) -> None:
    layer, (reference,) = module(), torch.randn(1, 1, CHANNELS, *size)
    offsets = torch.randn(1, 18, *size)
    grown, grown_offsets = (F.pad(maps, (0, 4, 0, 4)) for maps in (reference, offsets))
    expected = layer.warp(grown, grown_offsets)[:, :, : size[0], : size[1]]
    torch.testing.assert_close(layer.warp(reference, offsets), expected)


def test_an_identity_start_is_the_current_frame_alone_and_can_learn() -> None:
    layer, x, reference = module(start="identity"), levels(1), levels(3, seed=1)
    for found, a in zip(layer(x, reference), x, strict=True):
        torch.testing.assert_close(found, a.expand_as(found), rtol=0, atol=0)
    for _ in range(2):  # offsets have a gradient once the kernel is not zero
        layer.zero_grad()
        sum(
            (level * torch.linspace(-1, 1, level.numel()).view_as(level)).sum() for level in layer(x, reference)
        ).backward()
        layer.warp.weight.data -= layer.warp.weight.grad
    assert all(parameter.grad.abs().max() > 0 for name, parameter in layer.named_parameters() if "offset" in name)


def smooth(count: int) -> Tensor:
    """Noise that changes slowly, so that whole shifts are what fits best."""
    noise = torch.randn(count, CHANNELS, 26, 34, generator=torch.Generator().manual_seed(2))
    return F.avg_pool2d(noise, 3, stride=1)


def test_with_sharpness_the_reference_is_fetched_from_where_it_went() -> None:
    """Nothing is learnt yet: an untrained calibration is a match of features."""
    layer, x = module(start="identity", sharpness=100), smooth(1) + 5  # what all cells share does not count
    make_identity(layer)
    reference = 3 * torch.roll(x, (2, -4), dims=(2, 3)) - 10  # nor does the length
    offsets = layer.offsets(x, reference)[0, :, 6:-6, 6:-6].unflatten(0, (9, 2))
    torch.testing.assert_close(offsets.mean((0, 2, 3)), torch.tensor([2.0, -4.0]), atol=0.1, rtol=0)
    (warped,) = layer([x], [reference])
    torch.testing.assert_close(
        warped[..., 6:-6, 6:-6].median(), (4 * x - 10)[..., 6:-6, 6:-6].median(), atol=0.2, rtol=0
    )


def test_with_sharpness_what_is_learnt_moves_by_no_more_than_a_step() -> None:
    layer, x = module(sharpness=100), smooth(1)
    before = layer.offsets(x, x)
    layer.conv_offset.bias.data += 1e6  # without a bound, nothing would come back from there
    after = layer.offsets(x, x)
    assert (after - before).abs().max() <= 2 * layer.correlation.dilation
    assert after.abs().max() <= layer.correlation.shifts[-1] + layer.correlation.dilation


def test_with_sharpness_what_is_learnt_has_a_gradient() -> None:
    layer, x = module(sharpness=100), smooth(1)
    layer([x], [x.roll(2, 3)])[0].square().mean().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in layer.parameters())


@pytest.mark.parametrize("cells", [1, 100, 10**6], ids=["one by one", "some", "all"])
def test_references_together_give_what_each_gives_alone(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    layer, x, references = module(), levels(1), levels(5, seed=1)
    monkeypatch.setattr(calibration, "CELLS_AT_ONCE", cells)
    together = layer(x, references)
    for r in range(5):
        alone = layer(x, [level[r : r + 1] for level in references])
        for a, b in zip(alone, together, strict=True):
            torch.testing.assert_close(a[0], b[r], rtol=1e-5, atol=1e-5)


def test_full_size_has_the_parameters_of_the_released_model() -> None:
    with torch.device("meta"):
        layer = TemporalCalibration()
    conv = 256 * 256 * 9
    assert {name: parameter.numel() for name, parameter in layer.named_parameters()} == {
        **{f"convs.{i}.conv.weight": conv for i in range(3)},
        **{f"convs.{i}.conv.bias": 256 for i in range(3)},
        "conv_offset.weight": 256 * 9 * 18,
        "conv_offset.bias": 18,
        "warp.weight": conv,
    }
    assert layer.correlation.shifts == tuple(range(-15, 16, 2))


@pytest.mark.parametrize(
    ("option", "message"), [({"start": "zero"}, "found start='zero'"), ({"sharpness": 0}, "positive, found 0")]
)
def test_options_that_do_not_exist_are_refused(option: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        module(**option)
