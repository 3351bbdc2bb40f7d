"""Image detectors with our mask heads: FCOS and Faster R-CNN train from their own proposals and answer with masks."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import copy

import pytest
import torch
from mmdet.models.detectors import BaseDetector
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_overlaps
from mmengine.structures import InstanceData
from torch import Tensor

from vos_occ.models.bilayer import BilayerFCOS, MaskOnlyRoIHead, ProposingFCOSHead
from vos_occ.structures.errors import InputError

BASES = ("base_fcos", "base_faster_rcnn")
HEADS = {
    "bilayer": {"type": "BilayerMaskHead"},
    "bilayer per class": {"type": "BilayerMaskHead", "class_agnostic": False, "num_classes": 3},
    "plain": {"type": "PlainMaskHead", "num_classes": 3, "conv_out_channels": 32},
}


def batch(picture, counts: tuple[int, ...]) -> tuple[Tensor, list[DetDataSample]]:
    pairs = [picture(seed, count) for seed, count in enumerate(counts)]
    return torch.stack([image for image, _ in pairs]), [sample for _, sample in pairs]


def total(losses: dict[str, Tensor | list[Tensor]]) -> Tensor:
    terms = [value if isinstance(value, list) else [value] for name, value in losses.items() if "loss" in name]
    return sum(value.sum() for group in terms for value in group)


def enliven(model: BaseDetector) -> None:
    """Random weights that find boxes of use: fresh ones score everything at the prior of 0.01."""
    if isinstance(model, BilayerFCOS):
        torch.nn.init.normal_(model.bbox_head.conv_cls.weight, std=0.3)
        torch.nn.init.constant_(model.bbox_head.conv_cls.bias, -1.0)
        torch.nn.init.constant_(model.bbox_head.conv_reg.bias, 2.0)
    else:
        torch.nn.init.normal_(model.roi_head.bbox_head.fc_cls.weight, std=0.3)
    for name, module in model.roi_head.mask_head.named_modules():
        if name.endswith(("conv_logits", "predictor.occludee_mask")):
            torch.nn.init.normal_(module.weight, std=0.5)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("head", sorted(HEADS))
def test_two_steps_are_finite_and_train_every_parameter_that_is_not_frozen(base, head, detector, picture) -> None:
    model = detector(base, mask_head=HEADS[head]).train()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    for _ in range(2):
        losses = model.loss(*batch(picture, (4, 3)))
        loss = total(losses)
        assert loss.isfinite()
        optimizer.zero_grad()
        loss.backward()
        without = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
        assert not without
        optimizer.step()
    wanted = {"loss_mask"} if head == "plain" else {"loss_mask", "loss_boundary", "loss_mask_occluder"}
    assert wanted <= set(losses)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("counts", [(0, 0), (0, 3)], ids=["no objects", "objects in one image"])
def test_images_without_objects_give_finite_losses_and_keep_the_graph(base, counts, detector, picture) -> None:
    model = detector(base).train()
    loss = total(model.loss(*batch(picture, counts)))
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize(("head", "rescale"), [("bilayer", True), ("bilayer per class", False), ("plain", True)])
def test_prediction_has_masks_of_the_images_size_inside_their_boxes(base, head, rescale, detector, picture) -> None:
    model = detector(base, mask_head=HEADS[head]).eval()
    enliven(model)
    with torch.no_grad():
        answers = model.predict(*batch(picture, (4, 3)), rescale=rescale)
    height, width = (256, 320) if rescale else (128, 160)
    for answer in answers:
        found = answer.pred_instances
        assert 0 < len(found) <= 100 and found.masks.any()
        assert found.masks.shape == (len(found), height, width) and found.masks.dtype == torch.bool
        assert ((found.bboxes >= 0) & (found.bboxes <= torch.tensor([width, height] * 2))).all()
        assert found.labels.max() < 3 and (found.scores.diff() <= 0).all()
        for mask, box in zip(found.masks, found.bboxes, strict=True):
            y, x = mask.nonzero(as_tuple=True)
            if len(y):
                assert x.min() >= box[0] - 1 and x.max() <= box[2] and y.min() >= box[1] - 1 and y.max() <= box[3]


@pytest.mark.parametrize("base", BASES)
def test_image_without_detections_answers_with_no_masks(base, detector, picture) -> None:
    model = detector(base).eval()
    cfg = model.bbox_head.test_cfg if base == "base_fcos" else model.roi_head.test_cfg
    cfg.score_thr = 1.1
    with torch.no_grad():
        (answer,) = model.predict(*batch(picture, (2,)))
    assert answer.pred_instances.masks.shape == (0, 256, 320)


def test_amodal_masks_are_learned_as_they_are_given(detector, picture) -> None:
    """The head knows no extent: a sample with whole masks gives other targets than one with visible ones."""
    model = detector("base_fcos", roi_head={"train_on_gt_boxes_only": True}).train()
    seen = []
    builder = model.roi_head.target_builder
    model.roi_head.target_builder = lambda *arguments: seen.append(builder(*arguments)) or seen[-1]
    images, samples = batch(picture, (4,))
    amodal = copy.deepcopy(samples)
    visible = samples[0].gt_instances.masks.masks
    for behind in range(3):
        visible[behind] &= ~visible[behind + 1 :].any(axis=0)
    model.loss(images, amodal)
    model.loss(images, samples)
    assert seen[0].occludee_mask.mean() == 1.0, "a rectangle fills its own box"
    assert seen[1].occludee_mask.mean() < 1.0
    assert seen[0].occluder_mask.sum() > seen[1].occluder_mask.sum()


# FCOS


def perfect_outputs(head: ProposingFCOSHead, samples: list[DetDataSample], sizes: list[tuple[int, int]]):
    """What a head says, in training mode, that has learned these samples by heart."""
    points = head.prior_generator.grid_priors(sizes, dtype=torch.float32, device="cpu")
    labels, distances = head.get_targets(points, [sample.gt_instances for sample in samples])
    scores, regressions, centernesses = [], [], []
    for (height, width), label, distance in zip(sizes, labels, distances, strict=True):
        shape = (len(samples), height, width)
        hit = torch.nn.functional.one_hot(label, head.num_classes + 1)[:, :-1] * 20.0 - 10.0
        scores.append(hit.reshape(*shape, -1).permute(0, 3, 1, 2).requires_grad_())
        regressions.append(distance.clamp(min=0).reshape(*shape, 4).permute(0, 3, 1, 2).requires_grad_())
        centernesses.append(torch.zeros(shape)[:, None].requires_grad_())
    return scores, regressions, centernesses


@pytest.mark.parametrize("norm_on_bbox", [True, False])
def test_perfect_regressions_propose_the_true_boxes_while_training(norm_on_bbox, detector, picture) -> None:
    """Stride-normalised distances that were not decoded would give boxes of 1/8 to 1/128 of the size."""
    model = detector("base_fcos").train()
    head = model.bbox_head
    head.norm_on_bbox = norm_on_bbox
    _, samples = batch(picture, (4, 3))
    sizes = [(-(-128 // stride), -(-160 // stride)) for stride in head.strides]
    outputs = perfect_outputs(head, samples, sizes)
    head.forward = lambda x: outputs
    losses, proposals = head.loss_and_predict((), samples, model.train_cfg.proposals)
    total(losses).backward()
    for sample, found in zip(samples, proposals, strict=True):
        ious = bbox_overlaps(sample.gt_instances.bboxes, found.bboxes)
        best = ious.max(dim=1).values
        visited = best > 0.5  # an object that smaller ones cover everywhere has no point of its own
        assert visited.sum() >= len(best) - 1
        torch.testing.assert_close(best[visited], torch.ones(int(visited.sum())))
        assert not found.bboxes.requires_grad and not found.scores.requires_grad
    assert outputs[1][0].grad is not None


def test_training_and_testing_propose_the_same_boxes(detector, picture) -> None:
    model = detector("base_fcos")
    enliven(model)
    images, samples = batch(picture, (3,))
    head = model.bbox_head
    with torch.no_grad():
        x = model.eval().extract_feat(images)
        head.train()
        _, training = head.loss_and_predict(x, samples, head.test_cfg)
        head.eval()
        testing = head.predict(x, samples)
    assert len(training[0]) > 0
    for name in ("bboxes", "scores", "labels"):
        torch.testing.assert_close(training[0][name], testing[0][name])


LEVEL = ((3, -10.0), (4, 40.0), (1, -0.5))  # channels and value of class scores, distances, centerness


def test_scores_are_the_root_of_class_times_centerness(detector, picture) -> None:
    model = detector("base_fcos").eval()
    _, samples = batch(picture, (1,))
    scores, distances, centernesses = ([torch.full((1, n, 1, 1), v) for _ in range(5)] for n, v in LEVEL)
    scores[1][0, 1] = 1.0
    outputs = (scores, distances, centernesses)
    (found,) = model.bbox_head.predict_by_feat(*outputs, batch_img_metas=[samples[0].metainfo])
    expected = (torch.tensor(1.0).sigmoid() * torch.tensor(-0.5).sigmoid()).sqrt()
    torch.testing.assert_close(found.scores, expected[None])
    assert found.labels.tolist() == [1]


def test_masks_are_trained_on_proposals_and_true_boxes_and_no_more_than_the_cap(detector, picture) -> None:
    _, samples = batch(picture, (4,))
    gt = samples[0].gt_instances.bboxes
    shifted = torch.cat([gt + 2, gt - 3, gt + 40]).clamp(min=0)

    def boxes_of(**options) -> Tensor:
        roi_head = detector("base_fcos", roi_head=options).roi_head.train()
        asked = []
        features = roi_head.mask_features
        roi_head.mask_features = lambda x, boxes: asked.extend(boxes) or features(x, boxes)
        x = tuple(torch.randn(1, 32, -(-128 // s), -(-160 // s)) for s in (8, 16, 32, 64, 128))
        roi_head.loss(x, [InstanceData(bboxes=shifted.clone(), scores=torch.ones(12))], samples)
        return asked[0]

    found = boxes_of()
    assert len(found) >= 12 and bbox_overlaps(found, gt).max(dim=1).values.min() >= 0.5
    assert all((found == box).all(dim=1).any() for box in torch.cat([gt, gt + 2]))
    assert len(boxes_of(max_mask_rois=5)) == 5
    assert torch.equal(boxes_of(train_on_gt_boxes_only=True), gt)


def test_levels_of_rois_follow_the_usual_rule_from_p3_on(detector) -> None:
    extractor = detector("base_fcos").roi_head.mask_roi_extractor
    sides = torch.tensor([20.0, 111.0, 113.0, 223.0, 225.0, 447.0, 449.0, 897.0, 1800.0, 4000.0])
    rois = torch.stack([torch.zeros(10), torch.zeros(10), torch.zeros(10), sides, sides], dim=1)
    rule = (4 + (sides / 224).log2()).floor().clamp(3, 7)
    assert (extractor.map_roi_levels(rois, 5) + 3).tolist() == rule.tolist()


def test_other_heads_are_refused_by_name(detector) -> None:
    with pytest.raises(InputError, match="needs a MaskOnlyRoIHead, found BilayerRoIHead"):
        detector("base_fcos", roi_head={"type": "BilayerRoIHead"})
    with pytest.raises(InputError, match="takes no bbox_head"):
        MaskOnlyRoIHead(bbox_head={"type": "Shared2FCBBoxHead"})
