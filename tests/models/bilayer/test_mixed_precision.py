"""Detectors in mixed precision: losses are those of float32 but for rounding, and what must not be rounded is not."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import pytest
import torch
from mmcv.ops import nms, roi_align
from mmdet.models.detectors import BaseDetector
from mmengine.config import Config
from torch import Tensor, nn

from vos_occ.models.layers.non_local import NonLocalBlock
from vos_occ.structures.errors import InputError
from vos_occ.training.mixed_precision import Bfloat16OptimWrapper, is_mixed, keep_float32, use_mixed_precision


def two_steps(model: BaseDetector, picture, mixed: bool) -> list[dict[str, Tensor]]:
    image, sample = picture(0, 4)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    wrapper = Bfloat16OptimWrapper(optimizer=optimizer)
    logged = []
    for step in range(2):
        torch.manual_seed(step)
        with wrapper.optim_context(model) if mixed else torch.enable_grad():
            losses = model.loss(image[None], [sample])
        total, log = model.parse_losses(losses)
        assert total.dtype == torch.float32
        wrapper.update_params(total)
        logged.append({name: value.detach() for name, value in log.items() if "loss" in name})
    return logged


@pytest.mark.parametrize("base", ["base_fcos", "base_faster_rcnn"])
def test_two_steps_in_bfloat16_are_those_of_float32_but_for_rounding(base: str, detector, picture) -> None:
    plain, mixed = detector(base).train(), detector(base).train()
    keep_float32(mixed)
    seen: dict[str, set[torch.dtype]] = {}
    _watch(mixed, seen)
    expected, found = two_steps(plain, picture, mixed=False), two_steps(mixed, picture, mixed=True)
    assert {"loss_mask", "loss_boundary", "loss_mask_occluder", "loss_boundary_occluder"} <= set(found[0])
    for theirs, ours in zip(expected, found, strict=True):
        assert set(ours) == set(theirs)
        for name, value in ours.items():
            assert value.dtype == torch.float32, name
            torch.testing.assert_close(value, theirs[name], rtol=0.1, atol=0.02, msg=lambda m, n=name: f"{n}: {m}")
    assert seen["convolutions"] == {torch.bfloat16} and seen["mask features"] == {torch.float32}


def _watch(model: BaseDetector, seen: dict[str, set[torch.dtype]]) -> None:
    """Notes what convolutions of the mask head answer in, and what the RoIs are cut from."""

    def note(name: str, value: Tensor) -> None:
        seen.setdefault(name, set()).add(value.dtype)

    for module in model.roi_head.mask_head.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda m, inputs, output: note("convolutions", output))
    model.roi_head.mask_head.register_forward_pre_hook(lambda m, inputs: note("mask features", inputs[0]))


def test_roi_align_is_not_rounded_under_autocast() -> None:
    features = torch.randn(1, 8, 40, 50, generator=torch.Generator().manual_seed(0)).requires_grad_()
    rois = torch.tensor([[0, 3.3, 4.1, 31.7, 28.2], [0, 10.2, 2.2, 14.9, 6.6]])
    answers = []
    for enabled in (False, True):
        features.grad = None
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            pooled = roi_align(features, rois, (7, 7), 1.0, 0, "avg", True)
            pooled.square().sum().backward()
        answers.append((pooled.detach(), features.grad))
    assert torch.equal(answers[0][0], answers[1][0]) and torch.equal(answers[0][1], answers[1][1])


def test_rois_of_half_precision_features_keep_their_place() -> None:
    """In bfloat16 a coordinate of 1001 is 1000."""
    features = torch.arange(1024.0).expand(1, 1, 8, 1024)
    rois = torch.tensor([[0, 1001.0, 0, 1005.0, 8.0]])
    found = roi_align(features.bfloat16(), rois, (1, 1), 1.0, 0, "avg", True)
    exact = roi_align(features.bfloat16().float(), rois, (1, 1), 1.0, 0, "avg", True)
    assert found.dtype == torch.bfloat16 and found == exact.bfloat16()


def test_nms_is_not_rounded_under_autocast() -> None:
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(60, 2, generator=generator) * 40 + 900
    boxes, scores = torch.cat([corners, corners + 25], dim=1), torch.rand(60, generator=generator)
    _, kept = nms(boxes, scores, 0.5)
    with torch.autocast("cpu", torch.bfloat16):
        _, kept_mixed = nms(boxes, scores, 0.5)
    assert torch.equal(kept, kept_mixed)


def test_softmax_of_the_non_local_block_is_computed_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    attend, seen = nn.functional.scaled_dot_product_attention, []

    def noted(query: Tensor, *arguments, **options) -> Tensor:
        seen.append((query.dtype, torch.is_autocast_enabled("cpu")))
        return attend(query, *arguments, **options)

    monkeypatch.setattr(nn.functional, "scaled_dot_product_attention", noted)
    with torch.autocast("cpu", torch.bfloat16):
        NonLocalBlock(16)(torch.randn(2, 16, 14, 14))
    assert seen == [(torch.float32, False)]


def config(**wrapper: object) -> Config:
    return Config({"optim_wrapper": {"optimizer": {"type": "SGD", "lr": 0.1}, **wrapper}})


@pytest.mark.parametrize(
    ("gpu", "kind", "expected"),
    [
        (False, "auto", {"type": "Bfloat16OptimWrapper"}),
        (True, "auto", {"type": "AmpOptimWrapper", "dtype": "float16"}),
        (True, "bfloat16", {"type": "Bfloat16OptimWrapper"}),
    ],
)
def test_kind_follows_the_device(gpu: bool, kind: str, expected: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    found = config(type="AmpOptimWrapper", dtype="float16", clip_grad={"max_norm": 1})
    use_mixed_precision(found, kind)
    wrapper = found.optim_wrapper.to_dict()
    assert is_mixed(found) and wrapper.pop("clip_grad") and wrapper.pop("optimizer")
    assert wrapper == expected


def test_float16_on_a_cpu_and_wrappers_of_ones_own_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="On a CPU use bfloat16"):
        use_mixed_precision(config(), "float16")
    with pytest.raises(InputError, match="would replace the config's own optim_wrapper, MyWrapper"):
        use_mixed_precision(config(type="MyWrapper"), "auto")
    assert not is_mixed(config())
