"""Fused models give what they gave before: every layer kind that our configs have, in float32 and bfloat16."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from mmcv.cnn import ConvModule
from mmdet.models.backbones import MobileNetV2, ResNet, ResNetV1d
from torch import nn

from vos_occ.inference.load import load
from vos_occ.inference.session import VideoSession
from vos_occ.models.layers.fused import FusedConv, FusedLinear
from vos_occ.models.video.fusion import fuse
from vos_occ.structures import FrameResult, rle

BACKBONES: dict[str, tuple[type[nn.Module], dict[str, Any]]] = {
    "R18": (ResNet, {"depth": 18}),
    "R50, pytorch style": (ResNet, {"depth": 50}),
    "R50, caffe style": (ResNet, {"depth": 50, "style": "caffe"}),
    "R50 v1d, deep stem": (ResNetV1d, {"depth": 50}),
    "MobileNetV2": (MobileNetV2, {}),
}


def shaken(module: nn.Module) -> nn.Module:
    """In evaluation, with norms that do something."""
    generator = torch.Generator().manual_seed(0)
    for norm in (m for m in module.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.running_mean.uniform_(-0.1, 0.1, generator=generator)
        norm.running_var.uniform_(0.8, 1.2, generator=generator)
        norm.weight.data.uniform_(0.4, 0.8, generator=generator)
    module.eval()  # mmdet's answer with None
    return module


@pytest.mark.parametrize(("kind", "options"), BACKBONES.values(), ids=BACKBONES)
@pytest.mark.parametrize("onednn", [None, False], ids=["engine of this machine", "torch"])
def test_backbones(kind: type[nn.Module], options: dict[str, Any], onednn: bool | None) -> None:
    torch.manual_seed(0)
    trained = shaken(kind(**options))
    fused = deepcopy(trained)
    fuse(fused, onednn=onednn)
    assert not list(fused.parameters()), "every layer was recognised"
    image = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        for found, expected in zip(fused(image), trained(image), strict=True):
            assert (found - expected).abs().max() <= 2e-5 * expected.abs().max()


def test_layers_of_other_kinds_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    layers = nn.Sequential(
        ConvModule(4, 4, 3, norm_cfg={"type": "GN", "num_groups": 2}),
        nn.Conv2d(4, 4, 3, padding="same"),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
        nn.ConvTranspose2d(4, 4, 3, stride=2),
    ).eval()
    fused = deepcopy(layers)
    fuse(fused)
    assert [type(layer) for layer in fused] == [type(layer) for layer in layers]
    assert type(fused[0].conv) is FusedConv, "the convolution before a norm that cannot be folded"
    x = torch.randn(1, 4, 9, 9)
    with torch.inference_mode():
        torch.testing.assert_close(fused(x), layers(x), rtol=1e-4, atol=1e-5)


def run(model: Any, frames: list[np.ndarray]) -> list[FrameResult]:
    session = VideoSession(model)
    return [result for frame in frames for result in session.step(frame)]


@pytest.mark.parametrize("mask_head", ["bilayer", "plain"])
def test_frames_equal_those_of_the_trained_layers(
    build_tiny_model: Callable, tiny_frames: list[np.ndarray], mask_head: str
) -> None:
    plain = {"_delete_": True, "type": "PlainMaskHead", "in_channels": 16, "conv_out_channels": 16, "num_classes": 6}
    changes = {"detector.roi_head.mask_head": plain} if mask_head == "plain" else {}
    trained, fused = build_tiny_model(changes), build_tiny_model(changes)
    fused.fuse()
    found, expected = run(fused, tiny_frames), run(trained, tiny_frames)
    assert sum(map(len, expected)) > 10
    pairs = [pair for a, b in zip(found, expected, strict=True) for pair in zip(a.masks, b.masks, strict=True)]
    differing = sum(np.sum(rle.decode(a) != rle.decode(b)) for a, b in pairs)
    assert differing <= 1e-3 * sum(rle.area(mask) for _, mask in pairs)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.track_ids.tolist() == theirs.track_ids.tolist()
        assert ours.labels.tolist() == theirs.labels.tolist()
        np.testing.assert_allclose(ours.boxes, theirs.boxes, rtol=0, atol=1e-3)
        np.testing.assert_allclose(ours.scores, theirs.scores, rtol=0, atol=1e-5)
        if mask_head == "bilayer":
            np.testing.assert_allclose(ours.hidden, theirs.hidden, rtol=0, atol=1e-4)


@pytest.mark.parametrize("onednn", [None, False], ids=["engine of this machine", "torch"])
def test_bfloat16_finds_the_same_objects(onednn: bool | None) -> None:
    from vos_occ.datasets.synthetic import SyntheticWorld

    frames = [frame.image for frame in SyntheticWorld("heldout", num_frames=4).video(1)]
    trained, fused = load("synthetic", device="cpu", fuse=False), load("synthetic", device="cpu", fuse=False)
    fuse(fused, dtype=torch.bfloat16, onednn=onednn)
    found, expected = run(fused, frames), run(trained, frames)
    ious = [
        rle.iou([a], result.masks).max(initial=0)
        for result, other in zip(found, expected, strict=True)
        for a in other.masks
    ]
    assert len(ious) > 8
    assert np.median(ious) > 0.95
    assert found[0].scores.dtype == np.float32


def test_backbone_scores_and_offsets_are_kept_in_float32(build_tiny_model: Callable) -> None:
    model = build_tiny_model()
    model.fuse(torch.bfloat16)
    layers = {name: m for name, m in model.named_modules() if isinstance(m, FusedConv | FusedLinear)}
    exact = {name for name, layer in layers.items() if layer.dtype == torch.float32}
    backbone = {name for name in layers if "backbone" in name}
    assert backbone and backbone < exact
    assert {name.rsplit(".", 1)[-1] for name in exact - backbone} == {
        "rpn_cls",
        "rpn_reg",
        "fc_cls",
        "fc_reg",
        "fraction",
    }
    assert layers["detector.rpn_head.rpn_conv"].dtype == torch.bfloat16


def test_two_sessions_of_frames_of_different_sizes_do_not_disturb_each_other(
    build_tiny_model: Callable, tiny_frames: list[np.ndarray]
) -> None:
    model = build_tiny_model()
    model.fuse()
    upright = [np.ascontiguousarray(frame.transpose(1, 0, 2)) for frame in tiny_frames]
    apart = run(model, tiny_frames), run(model, upright)
    first, second = VideoSession(model), VideoSession(model)
    for t, (a, b) in enumerate(zip(tiny_frames, upright, strict=True)):
        assert first.step(a)[0].masks == apart[0][t].masks
        assert second.step(b)[0].masks == apart[1][t].masks
