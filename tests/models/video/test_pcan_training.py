"""Training steps of `OccPCAN`: what each stage trains, and what it leaves as it was."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from vos_occ.models.video.pcan import OccPCAN
from vos_occ.models.video.reference_pairs import NO_REFERENCE, reference_rows
from vos_occ.structures.errors import InputError
from vos_occ.training.mixed_precision import keep_float32

pytestmark = pytest.mark.filterwarnings("ignore:DeprecationWarning:UserWarning")  # mmdet of itself

PLAIN_HEAD = {
    "_delete_": True,
    "type": "PlainMaskHead",
    "num_convs": 1,
    "in_channels": 16,
    "conv_out_channels": 16,
    "num_classes": 6,
}
HEADS = {"bilayer": {}, "plain": {"detector.roi_head.mask_head": PLAIN_HEAD}}
BOXES = {"loss_rpn_cls", "loss_rpn_bbox", "loss_cls", "loss_bbox", "loss_track", "loss_track_aux"}
MASKS = {"loss_mask", "loss_boundary", "loss_mask_occluder", "loss_boundary_occluder", "loss_hidden"}
LOSSES = {"box": BOXES, "mask": MASKS, "refine": {"loss_refine"}, "e2e": BOXES | MASKS | {"loss_refine"}}
TRAINED = {"mask": "detector.roi_head.mask_head.", "refine": "refine_head."}


def step(model: OccPCAN, batch: tuple[Tensor, list]) -> dict[str, Tensor]:
    """Losses of one step, gradients in the parameters."""
    model.train()
    torch.manual_seed(0)  # the samplers' draws
    total, logged = model.parse_losses(model.loss(*batch))
    model.zero_grad()
    total.backward()
    return {name: value.detach() for name, value in logged.items()}


def of_losses(logged: dict[str, Tensor]) -> set[str]:
    return {name for name in logged if "loss" in name} - {"loss"}


@pytest.mark.parametrize("objects", ["all", "first", "none"])
@pytest.mark.parametrize("stage", LOSSES)
def test_every_trainable_parameter_gets_a_finite_gradient(
    build_tiny_pcan: Callable, training_batch: Callable, stage: str, objects: str
) -> None:
    model = build_tiny_pcan({"stage": stage})
    losses = step(model, training_batch(model, objects=objects))
    assert of_losses(losses) == LOSSES[stage]
    assert all(value.isfinite() for value in losses.values())
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert [name for name, parameter in trained.items() if parameter.grad is None] == []
    assert all(parameter.grad.isfinite().all() for parameter in trained.values())
    assert [name for name, p in model.named_parameters() if p.grad is not None and not p.requires_grad] == []


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("stage", ["mask", "refine"])
def test_a_stage_changes_its_own_part_only(  # P-a: the released code cannot run stage `mask` at all
    build_tiny_pcan: Callable, training_batch: Callable, stage: str, head: str
) -> None:
    model = build_tiny_pcan({"stage": stage, **HEADS[head]})
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    first = step(model, training_batch(model))
    optimizer.step()
    for _ in range(3):
        last = step(model, training_batch(model))
        optimizer.step()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(before[name], value)}
    assert changed and all(name.startswith(TRAINED[stage]) for name in changed)
    assert last[f"loss_{stage}"] < first[f"loss_{stage}"]


@pytest.mark.parametrize("stage", ["box", "mask", "refine"])
def test_what_is_frozen_stays_in_evaluation(build_tiny_pcan: Callable, stage: str) -> None:  # B10
    model = build_tiny_pcan({"stage": stage})
    for _ in range(2):
        model.train()
        in_training = {name for name, module in model.named_modules() if name and module.training}
        assert stage == "box" or all(name.startswith(TRAINED[stage].rstrip(".")) for name in in_training)
        assert any(name.startswith("refine_head") for name in in_training) == (stage == "refine")
        assert any(name.startswith("detector.roi_head.mask_head") for name in in_training) == (stage == "mask")
        model.eval()
        assert not any(module.training for module in model.modules())


def test_box_stage_runs_no_mask_head(build_tiny_pcan: Callable, training_batch: Callable) -> None:
    model, ran = build_tiny_pcan({"stage": "box"}), []
    model.detector.roi_head.mask_head.register_forward_hook(lambda *_: ran.append(1))
    model.refine_head.register_forward_hook(lambda *_: ran.append(1))
    step(model, training_batch(model))
    assert ran == []


def test_frames_are_attended_in_training_only_if_asked(build_tiny_pcan: Callable, training_batch: Callable) -> None:
    losses = {}
    for asked in (False, True):
        model, ran = build_tiny_pcan({"attend_in_training": asked}), []
        model.frame_attention.register_forward_hook(lambda *_, ran=ran: ran.append(1))
        losses[asked] = step(model, training_batch(model))
        assert len(ran) == 2 * asked
    assert losses[True]["loss_rpn_cls"] != losses[False]["loss_rpn_cls"]


def test_mixed_precision_trains_end_to_end(build_tiny_pcan: Callable, training_batch: Callable) -> None:
    model = build_tiny_pcan({"attend_in_training": True, "refine_reads": "occlusion_aware"})
    keep_float32(model)
    with torch.autocast("cpu", torch.bfloat16):
        losses = step(model, training_batch(model))
    assert of_losses(losses) == LOSSES["e2e"]
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_refine_loss_reaches_the_features_end_to_end(build_tiny_pcan: Callable, training_batch: Callable) -> None:
    model = build_tiny_pcan()
    model.train()
    model.loss(*training_batch(model))["loss_refine"].backward()
    reached = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert reached == {"detector", "refine_head"}
    assert model.detector.roi_head.mask_head.occludee_layer.convs[0].weight.grad.any()


def test_a_key_without_a_reference_is_its_own(build_tiny_pcan: Callable, training_batch: Callable) -> None:
    model, seen = build_tiny_pcan({"stage": "refine"}), []
    model.refine_head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs))
    inputs, samples = training_batch(model)
    for sample in samples:
        sample.get_ref_frames()[0].gt_instances.instances_ids += 1000  # nothing of the key is there
    step(model, (inputs, samples))
    ((features, logits, ref_features, ref_logits),) = seen
    assert len(features) > 0
    assert torch.equal(features, ref_features) and torch.equal(logits, ref_logits)
    step(model, training_batch(model))
    assert not torch.equal(seen[1][0], seen[1][2])


def test_a_reference_is_the_likest_of_the_same_instance() -> None:
    key = torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0], [1.0, 0.0]])
    ref = torch.tensor([[1.0, 0.9], [3.0, 0.1], [0.0, 1.0]])
    rows = reference_rows(key, torch.tensor([7, 7, 8, 9]), ref, torch.tensor([7, 7, 8]))
    assert rows.tolist() == [1, 0, 2, NO_REFERENCE]
    assert reference_rows(key, torch.tensor([7] * 4), -ref, torch.tensor([7] * 3)).tolist() == [NO_REFERENCE] * 4
    assert reference_rows(key, torch.tensor([7] * 4), ref[:0], torch.zeros(0).long()).tolist() == [NO_REFERENCE] * 4


def test_labels_and_proposals_of_the_caller_stay(build_tiny_pcan: Callable, training_batch: Callable) -> None:  # B2
    model = build_tiny_pcan()
    inputs, samples = training_batch(model)
    frames = [frame for sample in samples for frame in sample.video_data_samples]
    before = [frame.gt_instances.labels.clone() for frame in frames]
    step(model, (inputs, samples))
    assert all(torch.equal(frame.gt_instances.labels, was) for frame, was in zip(frames, before, strict=True))
    assert any(labels.any() for labels in before)


def test_occlusion_aware_features_need_an_occluder_layer(build_tiny_pcan: Callable, training_batch: Callable) -> None:
    model = build_tiny_pcan({"refine_reads": "occlusion_aware"})
    assert step(model, training_batch(model))["loss_refine"].isfinite()
    with pytest.raises(InputError, match="needs a BilayerMaskHead"):
        build_tiny_pcan({"refine_reads": "occlusion_aware", **HEADS["plain"]})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"stage": "boxes"}, "one of box, mask, refine, e2e, found 'boxes'"),
        ({"stage": "refine", "refine_head": None}, "the config has none"),
        ({"attend_in_training": True, "frame_attention": None}, "the config has none"),
        ({"refine_reads": "masks"}, "found 'masks'"),
        ({"tracker": {"init": 0.5}}, "tracker cannot be used"),
        ({"tracker.init_score": 7}, "tracker cannot be used"),
    ],
)
def test_unusable_options_are_one_line(build_tiny_pcan: Callable, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said) as error:
        build_tiny_pcan(changes)
    assert "\n" not in str(error.value)
