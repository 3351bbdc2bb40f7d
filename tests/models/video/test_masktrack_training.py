"""One training step of `OccMaskTrackRCNN`: every loss finite, every parameter trained, whatever the images hold."""

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
    "hidden_output": True,
}
MODELS = {
    "bilayer": {},
    "bilayer, occluders by contact": {"detector.roi_head.mask_targets": {"_delete_": True, "occluder": "all"}},
    "plain": {"detector.roi_head.mask_head": PLAIN_HEAD},
    "cosine": {"track_head.embed_head.similarity": "cosine"},
}
OCCLUSION_LOSSES = {"loss_boundary", "loss_mask_occluder", "loss_boundary_occluder", "loss_hidden"}
EVERYWHERE = {"loss_rpn_cls", "loss_rpn_bbox", "loss_cls", "loss_bbox", "loss_mask", "loss_match"}


def step(model: OccMaskTrackRCNN, batch: tuple[Tensor, list]) -> dict[str, Tensor]:
    """Losses of one step, gradients in the parameters."""
    model.train()
    torch.manual_seed(0)  # the samplers' draws
    total, logged = model.parse_losses(model.loss(*batch))
    model.zero_grad()
    total.backward()
    return {name: value.detach() for name, value in logged.items()}


@pytest.mark.parametrize(
    "objects", ["all", "one", "none", "first"], ids=["occluders", "no occluders", "no objects", "none in one image"]
)
@pytest.mark.parametrize("changes", MODELS.values(), ids=MODELS.keys())
def test_every_trainable_parameter_gets_a_finite_gradient(
    build_tiny_model: Callable, training_batch: Callable, changes: dict[str, Any], objects: str
) -> None:
    """A parameter without one makes DistributedDataParallel stop at the second step."""
    model = build_tiny_model(changes)
    losses = step(model, training_batch(model, objects=objects))
    assert all(value.isfinite() for value in losses.values())
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert [name for name, parameter in trained.items() if parameter.grad is None] == []
    assert all(parameter.grad.isfinite().all() for parameter in trained.values())


def test_each_loss_has_its_name_and_something_to_learn(build_tiny_model: Callable, training_batch: Callable) -> None:
    model = build_tiny_model()
    losses = step(model, training_batch(model))
    assert {name for name in losses if name.startswith("loss_")} == EVERYWHERE | OCCLUSION_LOSSES
    assert all(losses[name] > 0 for name in EVERYWHERE | OCCLUSION_LOSSES)
    assert 0 <= losses["match_accuracy"] <= 100


def test_images_without_objects_train_the_background_only(build_tiny_model: Callable, training_batch: Callable) -> None:
    model = build_tiny_model()
    losses = step(model, training_batch(model, objects="none"))
    silent = {name for name in EVERYWHERE | OCCLUSION_LOSSES if losses[name] == 0}
    assert silent == EVERYWHERE - {"loss_rpn_cls", "loss_cls"} | OCCLUSION_LOSSES


def test_steps_bring_the_loss_down(build_tiny_model: Callable, training_batch: Callable) -> None:
    model = build_tiny_model()
    model.detector.roi_head.bbox_head.fc_cls.weight.data.div_(15)  # as initialised
    batch = training_batch(model)
    optimizer = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=3e-3)
    totals = []
    for _ in range(8):
        totals.append(float(step(model, batch)["loss"]))
        optimizer.step()
    assert totals[-1] < 0.8 * totals[0]


def test_reference_frame_may_come_first(build_tiny_model: Callable, training_batch: Callable) -> None:
    """The samples say which of the two frames is the key."""
    model = build_tiny_model()
    inputs, samples = training_batch(model)
    in_order = step(model, (inputs, samples))
    inputs, samples = training_batch(model)
    for sample in samples:
        sample.video_data_samples = sample.video_data_samples[::-1]
        sample.set_metainfo({"key_frames_inds": [1], "ref_frames_inds": [0]})
    swapped = step(model, (inputs.flip(1), samples))
    assert {name: float(value) for name, value in swapped.items()} == pytest.approx(
        {name: float(value) for name, value in in_order.items()}
    )


def test_frozen_layers_stay_frozen_in_training(build_tiny_model: Callable, training_batch: Callable) -> None:
    model = build_tiny_model()
    statistics = {name: value.clone() for name, value in model.named_buffers() if "running" in name}
    step(model, training_batch(model))
    assert all(torch.equal(statistics[name], dict(model.named_buffers())[name]) for name in statistics)
    assert not any(parameter.requires_grad for parameter in model.detector.backbone.layer1.parameters())
