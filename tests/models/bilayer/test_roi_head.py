"""The RoI head: training from proposals, plain inference, and equality with mmdet's StandardRoIHead."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from typing import Any

import numpy as np
import pytest
import torch
from mmdet.models.roi_heads import StandardRoIHead
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor

from vos_occ.models.bilayer import roi_head
from vos_occ.models.bilayer.roi_head import BilayerRoIHead, paste_masks

C, HEIGHT, WIDTH, SCALE, CLASSES = 8, 64, 96, 0.5, 3


def extractor(size: int) -> dict[str, Any]:
    return {
        "type": "SingleRoIExtractor",
        "roi_layer": {"type": "RoIAlign", "output_size": size, "sampling_ratio": 0},
        "out_channels": C,
        "featmap_strides": [4, 8],
        "finest_scale": 16,
    }


def options(mask_head: dict[str, Any]) -> dict[str, Any]:
    assigner = {"type": "MaxIoUAssigner", "pos_iou_thr": 0.5, "neg_iou_thr": 0.5, "min_pos_iou": 0.5}
    sampler = {"type": "RandomSampler", "num": 32, "pos_fraction": 0.5, "add_gt_as_proposals": True}
    return {
        "bbox_roi_extractor": extractor(7),
        "bbox_head": {
            "type": "Shared2FCBBoxHead",
            "in_channels": C,
            "fc_out_channels": 16,
            "roi_feat_size": 7,
            "num_classes": CLASSES,
        },
        "mask_roi_extractor": extractor(14),
        "mask_head": mask_head,
        "train_cfg": ConfigDict(assigner=assigner, sampler=sampler, mask_size=28, pos_weight=-1),
        "test_cfg": ConfigDict(
            score_thr=0.0, nms={"type": "nms", "iou_threshold": 0.5}, max_per_img=8, mask_thr_binary=0.5
        ),
    }


BILAYER = {"type": "BilayerMaskHead", "in_channels": C, "gcn_norm": "gn", "hidden_output": True}
FCN = {"in_channels": C, "conv_out_channels": C, "num_classes": CLASSES}


def build(mask_head: dict[str, Any] = BILAYER, **changes: Any) -> BilayerRoIHead:
    torch.manual_seed(0)
    return BilayerRoIHead(**options(dict(mask_head)), **changes)


def feature_levels(batch: int = 2) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    return tuple(torch.randn(batch, C, HEIGHT // s, WIDTH // s, generator=generator) for s in (4, 8))


def image(seed: int, count: int = 4) -> DetDataSample:
    """Overlapping rectangles, later ones in front."""
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, (WIDTH - 40, HEIGHT - 40), (count, 2))
    boxes = np.concatenate([corners, corners + rng.integers(20, 40, (count, 2))], axis=1)
    masks = np.zeros((count, HEIGHT, WIDTH), dtype=np.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
        mask[y1:y2, x1:x2] = 1
    sample = DetDataSample(
        metainfo={
            "img_shape": (HEIGHT, WIDTH),
            "ori_shape": (int(HEIGHT / SCALE), int(WIDTH / SCALE)),
            "scale_factor": (SCALE, SCALE),
        }
    )
    sample.gt_instances = InstanceData(
        bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.from_numpy(rng.integers(0, CLASSES, count)),
        masks=BitmapMasks(masks, HEIGHT, WIDTH),
        in_front=torch.ones(count, count, dtype=torch.int8).tril(-1),
        hidden=torch.from_numpy(rng.random(count, dtype=np.float32)),
    )
    return sample


def proposals(samples: list[DetDataSample], count: int = 20) -> list[InstanceData]:
    generator, result = torch.Generator().manual_seed(2), []
    for sample in samples:
        gt = sample.gt_instances.bboxes
        corners = torch.rand(count, 2, generator=generator) * torch.tensor([WIDTH - 30.0, HEIGHT - 30.0])
        boxes = torch.cat([corners, corners + 25], dim=1)
        if len(gt):
            near = gt[torch.randint(len(gt), (count // 2,), generator=generator)]
            boxes[: count // 2] = near + torch.randn(near.shape, generator=generator)
        boxes = boxes.clamp(min=0).minimum(torch.tensor([WIDTH, HEIGHT, WIDTH, HEIGHT]))
        result.append(
            InstanceData(bboxes=boxes, scores=torch.rand(count, generator=generator), labels=torch.zeros(count).long())
        )
    return result


def losses_of(head: StandardRoIHead, samples: list[DetDataSample]) -> dict[str, Tensor]:
    torch.manual_seed(3)  # the sampler's draw
    return head.loss(feature_levels(len(samples)), proposals(samples), samples)


def test_every_loss_of_the_bilayer_head_is_there_and_trains_every_parameter() -> None:
    head = build(mask_targets={"occluder": "in_front"})
    losses = losses_of(head, [image(0), image(1)])
    occlusion = {"loss_mask", "loss_boundary", "loss_mask_occluder", "loss_boundary_occluder", "loss_hidden"}
    assert {name for name in losses if "loss" in name} == {"loss_cls", "loss_bbox"} | occlusion
    assert all(losses[name] > 0 for name in occlusion)
    sum(value for name, value in losses.items() if "loss" in name).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in head.parameters())


@pytest.mark.parametrize("mask_head", [BILAYER, {"type": "PlainMaskHead", **FCN}], ids=["bilayer", "plain"])
def test_batch_without_objects_keeps_every_parameter_in_the_graph(mask_head: dict) -> None:
    head = build(mask_head)
    losses = losses_of(head, [image(0, count=0), image(1, count=0)])
    sum(value for name, value in losses.items() if "loss" in name).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in head.mask_head.parameters())
    assert losses["loss_mask"] == 0


def standard_and_ours(**fcn: Any) -> tuple[StandardRoIHead, BilayerRoIHead]:
    """mmdet's RoI head, and ours with its weights."""
    torch.manual_seed(0)
    theirs = StandardRoIHead(**options({"type": "FCNMaskHead", **FCN, **fcn}))
    theirs.mask_head.init_weights()
    ours = build({"type": "PlainMaskHead", **FCN, **fcn})
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return theirs.eval(), ours.eval()


@pytest.mark.parametrize("class_agnostic", [False, True])
def test_plain_head_has_mmdets_losses(class_agnostic: bool) -> None:
    theirs, ours = standard_and_ours(class_agnostic=class_agnostic)
    expected, found = (losses_of(head, [image(0), image(1)]) for head in (theirs, ours))
    assert set(found) - set(expected) == {"occludee_accuracy", "occludee_iou"}, "for the log"
    for name, value in expected.items():
        torch.testing.assert_close(found[name].squeeze(), value.squeeze())  # mmdet's loss_mask has shape (1,)


@pytest.mark.parametrize("rescale", [True, False])
@pytest.mark.parametrize("class_agnostic", [False, True])
def test_plain_head_predicts_mmdets_boxes_and_masks(class_agnostic: bool, rescale: bool) -> None:
    theirs, ours = standard_and_ours(class_agnostic=class_agnostic)
    samples = [image(0), image(1)]
    with torch.no_grad():
        expected, found = (
            head.predict(feature_levels(), proposals(samples), samples, rescale=rescale) for head in (theirs, ours)
        )
    for theirs_of_image, ours_of_image in zip(expected, found, strict=True):
        assert len(ours_of_image) > 0
        for name in ("bboxes", "scores", "labels", "masks"):
            assert torch.equal(ours_of_image[name], theirs_of_image[name])
        frame = (HEIGHT, WIDTH) if not rescale else (int(HEIGHT / SCALE), int(WIDTH / SCALE))
        assert ours_of_image.masks.shape[1:] == frame


@pytest.mark.parametrize("mask_head", [BILAYER, {"type": "PlainMaskHead", **FCN}], ids=["bilayer", "plain"])
def test_frame_without_detections_gives_empty_masks_of_the_frames_size(mask_head: dict) -> None:
    head, metas = build(mask_head).eval(), [image(0).metainfo]
    nothing = InstanceData(bboxes=torch.zeros(0, 4), scores=torch.zeros(0), labels=torch.zeros(0).long())
    (result,) = head.predict_mask(feature_levels(1), metas, [nothing], rescale=True)
    assert result.masks.shape == (0, int(HEIGHT / SCALE), int(WIDTH / SCALE))
    assert result.masks.dtype == torch.bool
    assert len(head.predict_masks(feature_levels(1), [nothing.bboxes], [nothing.labels])) == 0


def test_boxes_are_clipped_before_pooling_so_masks_are_not_stretched() -> None:
    head, metas = build().eval(), [image(0).metainfo]
    outside = torch.tensor([[-20.0, 10.0, 40.0, 90.0]])
    inside = torch.tensor([[0.0, 10.0, 40.0, 64.0]])
    results = []
    for boxes in (outside, inside):
        detections = InstanceData(bboxes=boxes, scores=torch.ones(1), labels=torch.zeros(1).long())
        results += head.predict_mask(feature_levels(1), metas, [detections], rescale=False)
    assert torch.equal(results[0].bboxes, inside)
    assert torch.equal(results[0].masks, results[1].masks)


def test_predict_masks_answers_for_all_images_in_order() -> None:
    head = build().eval()
    boxes = [image(0).gt_instances.bboxes, image(1).gt_instances.bboxes[:2]]
    feats = feature_levels()
    both = head.predict_masks(feats, boxes)
    assert both.occludee_boundary is both.occluder_boundary is None
    assert both.occluder_mask.shape == (6, 1, 28, 28)
    assert both.hidden.shape == (6,)
    for index, part in enumerate(both.split([4, 2])):
        alone = head.predict_masks(tuple(f[index : index + 1] for f in feats), boxes[index : index + 1])
        torch.testing.assert_close(part.occludee_mask, alone.occludee_mask)
        torch.testing.assert_close(part.hidden, alone.hidden)


def test_labels_choose_the_channel_of_class_specific_masks() -> None:
    head = build({"type": "PlainMaskHead", **FCN}).eval()
    boxes = image(0).gt_instances.bboxes
    labels = torch.tensor([2, 0, 1, 2])
    whole = head.predict_masks(feature_levels(1), [boxes])
    chosen = head.predict_masks(feature_levels(1), [boxes], [labels])
    assert whole.occludee_mask.shape[1] == CLASSES
    assert torch.equal(chosen.occludee_mask[:, 0], whole.occludee_mask[torch.arange(4), labels])


def rois_seen_by_mask_head(head: BilayerRoIHead, samples: list[DetDataSample]) -> int:
    seen = []
    head.mask_head.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    losses_of(head, samples)
    return seen[0]


def test_mask_rois_are_capped_per_image() -> None:
    samples = [image(0), image(1)]
    assert rois_seen_by_mask_head(build(), samples) > 10
    assert rois_seen_by_mask_head(build(max_mask_rois=5), samples) == 10


def test_training_on_ground_truth_boxes_only_uses_each_object_once() -> None:
    assert rois_seen_by_mask_head(build(train_on_gt_boxes_only=True), [image(0), image(1, count=3)]) == 7


def test_no_mask_is_learned_of_objects_with_a_box_only() -> None:
    boxed, partly = image(0), image(1, count=3)
    boxed.gt_instances.mask_known = torch.zeros(4, dtype=torch.bool)
    partly.gt_instances.mask_known = torch.tensor([True, False, True])
    assert rois_seen_by_mask_head(build(train_on_gt_boxes_only=True), [boxed, partly]) == 2
    head = build()
    losses = losses_of(head, [boxed, boxed])
    assert losses["loss_bbox"] > 0
    sum(value for name, value in losses.items() if "loss" in name).backward()
    assert all(p.grad is not None and not p.grad.any() for p in head.mask_head.parameters())


def test_proposals_keep_their_boxes_as_priors_for_the_track_head() -> None:
    samples = [image(0)]
    given = proposals(samples)
    build().loss(feature_levels(1), given, samples)
    assert "bboxes" not in given[0]
    assert torch.equal(given[0].priors, proposals(samples)[0].bboxes)


def test_mask_size_comes_from_train_cfg_unless_given() -> None:
    assert build().target_builder.mask_size == 28
    assert build(mask_targets={"mask_size": 14}).target_builder.mask_size == 14


def test_occluders_of_a_sampled_object_may_be_unsampled() -> None:
    """All of an image's objects are looked at, so one RoI alone still sees its occluder."""
    sample = image(0)
    gt = sample.gt_instances
    head = build(max_mask_rois=1, train_on_gt_boxes_only=True, mask_losses={"sampling": "all"})
    occludes, _ = head.target_builder.occluder_pairs(gt, (SCALE, SCALE))
    assert occludes.any()
    targets = head.target_builder(
        [gt.bboxes[j : j + 1] for j in range(4)], [torch.tensor([j]) for j in range(4)], [gt] * 4, [(SCALE, SCALE)] * 4
    )
    assert torch.equal(targets.occluded, occludes.any(dim=0))


def test_paste_is_inverse_to_cropping_a_box() -> None:
    logits = torch.full((1, 1, 4, 4), 10.0)
    logits[:, :, :, 2:] = -10.0
    pasted = paste_masks(logits, torch.tensor([[4.0, 2.0, 12.0, 10.0]]), 16, 20, 0.5)
    expected = torch.zeros(1, 16, 20, dtype=torch.bool)
    expected[0, 2:10, 4:8] = True
    assert torch.equal(pasted, expected)


def test_same_seed_gives_the_same_losses() -> None:
    head = build(max_mask_rois=5)
    first, second = (losses_of(head, [image(0), image(1)]) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_targets_are_told_the_scale_of_each_image() -> None:
    head, told = build(), []
    builder = head.target_builder
    head.target_builder = lambda *arguments: told.append(arguments[3]) or builder(*arguments)
    losses_of(head, [image(0), image(1)])
    assert told == [[(SCALE, SCALE), (SCALE, SCALE)]]


@pytest.mark.parametrize(("order_known", "warned"), [(False, True), (True, False)])
def test_occluder_layer_that_learns_nothing_is_reported_once(
    order_known: bool, warned: bool, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setattr(roi_head, "STEPS_BEFORE_WARNING", 2)
    head, samples = build(mask_targets={"occluder": "in_front"}), [image(0), image(1)]
    if not order_known:
        for sample in samples:
            del sample.gt_instances.in_front
    for _ in range(5):
        losses_of(head, samples)
    assert sum("No object had a known occluder" in str(w.message) for w in recwarn) == int(warned)


@pytest.mark.parametrize("mask_head", [BILAYER, {"type": "PlainMaskHead", **FCN}], ids=["bilayer", "plain"])
def test_many_rois_go_through_the_mask_head_in_parts(mask_head: dict[str, Any]) -> None:
    head = build(mask_head).eval()
    count, sizes = 2 * roi_head.MASK_ROIS_AT_ONCE + 7, []
    corners = torch.rand(count, 2, generator=torch.Generator().manual_seed(3)) * 40
    boxes, labels = torch.cat([corners, corners + 20], dim=1), torch.arange(count) % CLASSES
    head.mask_head.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    with torch.no_grad():
        together = head.predict_masks(feature_levels(1), [boxes], [labels])
        assert sizes == [roi_head.MASK_ROIS_AT_ONCE] * 2 + [7]
        for i in (0, roi_head.MASK_ROIS_AT_ONCE, count - 1):
            alone = head.predict_masks(feature_levels(1), [boxes[i : i + 1]], [labels[i : i + 1]])
            torch.testing.assert_close(together.select(slice(i, i + 1)).occludee_mask, alone.occludee_mask)
            assert (together.hidden is None) == (mask_head["type"] == "PlainMaskHead")
