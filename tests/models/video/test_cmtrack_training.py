"""Training steps of `OccCMTrackRCNN`: what sees calibrated features, and what the reference's features learn from."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from vos_occ.models.video.masktrack import OccMaskTrackRCNN

pytestmark = pytest.mark.filterwarnings("ignore:DeprecationWarning:UserWarning")  # mmdet of itself

PLAIN_HEAD = {
    "_delete_": True,
    "type": "PlainMaskHead",
    "num_convs": 1,
    "in_channels": 16,
    "conv_out_channels": 16,
    "num_classes": 6,
}
MODELS = {
    "bilayer": {},
    "plain": {"detector.roi_head.mask_head": PLAIN_HEAD},
    "identity start": {"calibration.start": "identity"},
    "detached reference": {"detach_ref": True},
}


def step(model: OccMaskTrackRCNN, batch: tuple[Tensor, list]) -> dict[str, Tensor]:
    """Losses of one step, gradients in the parameters."""
    model.train()
    torch.manual_seed(0)  # the samplers' draws
    total, logged = model.parse_losses(model.loss(*batch))
    model.zero_grad()
    total.backward()
    return {name: value.detach() for name, value in logged.items()}


@pytest.mark.parametrize("objects", ["all", "none"])
@pytest.mark.parametrize("changes", MODELS.values(), ids=MODELS.keys())
def test_every_trainable_parameter_gets_a_finite_gradient(
    build_tiny_cmtrack: Callable, training_batch: Callable, changes: dict[str, Any], objects: str
) -> None:
    model = build_tiny_cmtrack(changes)
    losses = step(model, training_batch(model, objects=objects))
    assert all(value.isfinite() for value in losses.values())
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert [name for name, parameter in trained.items() if parameter.grad is None] == []
    assert all(parameter.grad.isfinite().all() for parameter in trained.values())
    calibration = [parameter.grad.abs().max() for parameter in model.calibration.parameters()]
    if objects == "all" and changes.get("calibration.start") != "identity":
        assert min(calibration) > 0


def test_an_identity_start_has_the_losses_of_masktrack(
    build_tiny_model: Callable, build_tiny_cmtrack: Callable, training_batch: Callable
) -> None:
    masktrack, cmtrack = build_tiny_model(), build_tiny_cmtrack({"calibration.start": "identity"})
    cmtrack.load_state_dict(masktrack.state_dict(), strict=False)
    expected, found = (step(model, training_batch(model)) for model in (masktrack, cmtrack))
    assert {k: float(v) for k, v in found.items()} == pytest.approx({k: float(v) for k, v in expected.items()})


def test_proposals_and_embedding_see_the_frames_as_they_are(
    build_tiny_cmtrack: Callable, training_batch: Callable
) -> None:
    model = build_tiny_cmtrack()
    before = step(model, training_batch(model))
    model.calibration.warp.weight.data.mul_(-3)
    after = step(model, training_batch(model))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert {"loss_cls", "loss_bbox", "loss_mask", "loss_mask_occluder"} <= changed
    assert changed.isdisjoint({"loss_rpn_cls", "loss_rpn_bbox", "loss_match"})


@pytest.mark.parametrize("detach", [False, True])
def test_a_detached_reference_learns_from_the_embedding_only(
    build_tiny_cmtrack: Callable, training_batch: Callable, detach: bool
) -> None:
    model = build_tiny_cmtrack({"detach_ref": detach})
    inputs, samples = training_batch(model)
    inputs = inputs.requires_grad_()
    torch.manual_seed(0)
    model.train()
    losses = model.loss(inputs, samples)
    losses["loss_cls"].backward()
    key, reference = inputs.grad[:, 0].abs().max(), inputs.grad[:, 1].abs().max()
    assert key > 0 and (reference == 0) == detach
