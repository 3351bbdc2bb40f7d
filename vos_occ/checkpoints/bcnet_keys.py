"""BCNet in detectron2's names under ours: the released one on FCOS, and ports to its Faster R-CNN.

The names of the mask head mislead: `boundary_fcn` is the layer of the *occluder* and `mask_fcn` that of the *occludee*;
`_bo` marks the occluder's parts. Each layer predicts a mask and a contour.

detectron2's Faster R-CNN has mmdet's conventions where shapes cannot tell: background is the last class, anchors go
from wide to tall, boxes are four numbers a class, and what enters the first fully connected layer is flattened channel
by channel.

Source: docs/sources.md, BCNet 2; the weights that were released are of ResNet-101, FCOS, 2x. Names of the Faster R-CNN
as in detectron2's `GeneralizedRCNN` with `StandardROIHeads`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from vos_occ.checkpoints.key_rules import Converted, Rule, rename
from vos_occ.structures.errors import CheckpointError

NORM = r"(weight|bias|running_mean|running_var|num_batches_tracked)"
WEIGHT = r"(weight|bias)"
HEAD = r"(?:roi_heads\.)?mask_head\."  # ports to Faster R-CNN have the prefix
OURS = "roi_head.mask_head."
PROJECTIONS = ("query", "key", "value")

BACKBONE_RULES: list[Rule] = [
    (r"backbone\.bottom_up\.stem\.conv1\.weight", "backbone.conv1.weight"),
    (rf"backbone\.bottom_up\.stem\.conv1\.norm\.{NORM}", r"backbone.bn1.\1"),
    *(
        rule
        for stage in range(2, 6)
        for rule in (
            (
                rf"backbone\.bottom_up\.res{stage}\.(\d+)\.conv([123])\.weight",
                rf"backbone.layer{stage - 1}.\1.conv\2.weight",
            ),
            (
                rf"backbone\.bottom_up\.res{stage}\.(\d+)\.conv([123])\.norm\.{NORM}",
                rf"backbone.layer{stage - 1}.\1.bn\2.\3",
            ),
            (
                rf"backbone\.bottom_up\.res{stage}\.(\d+)\.shortcut\.weight",
                rf"backbone.layer{stage - 1}.\1.downsample.0.weight",
            ),
            (
                rf"backbone\.bottom_up\.res{stage}\.(\d+)\.shortcut\.norm\.{NORM}",
                rf"backbone.layer{stage - 1}.\1.downsample.1.\2",
            ),
        )
    ),
]
FCOS_NECK_RULES: list[Rule] = [
    *((rf"backbone\.fpn_lateral{i + 3}\.{WEIGHT}", rf"neck.lateral_convs.{i}.conv.\1") for i in range(3)),
    *((rf"backbone\.fpn_output{i + 3}\.{WEIGHT}", rf"neck.fpn_convs.{i}.conv.\1") for i in range(3)),
    *((rf"backbone\.top_block\.p{i + 3}\.{WEIGHT}", rf"neck.fpn_convs.{i}.conv.\1") for i in (3, 4)),
]
FCOS_HEAD_RULES: list[Rule] = [
    *(
        rule
        for theirs, ours in (("cls", "cls"), ("bbox", "reg"))
        for i in range(4)
        for rule in (
            (rf"head\.{theirs}_tower\.{3 * i}\.{WEIGHT}", rf"bbox_head.{ours}_convs.{i}.conv.\1"),
            (rf"head\.{theirs}_tower\.{3 * i + 1}\.{WEIGHT}", rf"bbox_head.{ours}_convs.{i}.gn.\1"),
        )
    ),
    (rf"head\.cls_logits\.{WEIGHT}", r"bbox_head.conv_cls.\1"),
    (rf"head\.bbox_pred\.{WEIGHT}", r"bbox_head.conv_reg.\1"),
    (rf"head\.centerness\.{WEIGHT}", r"bbox_head.conv_centerness.\1"),
    (r"head\.scales\.(\d)\.scale", r"bbox_head.scales.\1.scale"),
]
MASK_HEAD_RULES: list[Rule] = [
    *(
        rule
        for layer, convs, suffix in (("occluder", "boundary_fcn", "bound_bo"), ("occludee", "mask_fcn", "bound"))
        for rule in (
            *((rf"{HEAD}{convs}{i + 1}\.{WEIGHT}", rf"{OURS}{layer}_layer.convs.{i}.\1") for i in range(4)),
            (
                rf"{HEAD}(query|key|value|output)_transform_{suffix}\.weight",
                rf"{OURS}{layer}_layer.non_local.\1.weight",
            ),
            (rf"{HEAD}blocker_{suffix}\.{NORM}", rf"{OURS}{layer}_layer.non_local.norm.\1"),
        )
    ),
    *(
        rule
        for output, deconv, predictor in (
            ("occluder_mask", "bo_deconv", "predictor_bo"),
            ("occluder_boundary", "boundary_deconv_bo", "boundary_predictor_bo"),
            ("occludee_mask", "deconv", "predictor"),
            ("occludee_boundary", "boundary_deconv", "boundary_predictor"),
        )
        for rule in (
            (rf"{HEAD}{deconv}\.{WEIGHT}", rf"{OURS}{output.split('_')[0]}_outputs.upsample.{output}.\1"),
            (rf"{HEAD}{predictor}\.{WEIGHT}", rf"{OURS}{output.split('_')[0]}_outputs.predictor.{output}.\1"),
        )
    ),
]
RCNN_RULES: list[Rule] = [
    *((rf"backbone\.fpn_lateral{i + 2}\.{WEIGHT}", rf"neck.lateral_convs.{i}.conv.\1") for i in range(4)),
    *((rf"backbone\.fpn_output{i + 2}\.{WEIGHT}", rf"neck.fpn_convs.{i}.conv.\1") for i in range(4)),
    (rf"proposal_generator\.rpn_head\.conv\.{WEIGHT}", r"rpn_head.rpn_conv.\1"),
    (rf"proposal_generator\.rpn_head\.objectness_logits\.{WEIGHT}", r"rpn_head.rpn_cls.\1"),
    (rf"proposal_generator\.rpn_head\.anchor_deltas\.{WEIGHT}", r"rpn_head.rpn_reg.\1"),
    (rf"roi_heads\.box_head\.fc1\.{WEIGHT}", r"roi_head.bbox_head.shared_fcs.0.\1"),
    (rf"roi_heads\.box_head\.fc2\.{WEIGHT}", r"roi_head.bbox_head.shared_fcs.1.\1"),
    (rf"roi_heads\.box_predictor\.cls_score\.{WEIGHT}", r"roi_head.bbox_head.fc_cls.\1"),
    (rf"roi_heads\.box_predictor\.bbox_pred\.{WEIGHT}", r"roi_head.bbox_head.fc_reg.\1"),
]
RULES = {
    "fcos": BACKBONE_RULES + FCOS_NECK_RULES + FCOS_HEAD_RULES + MASK_HEAD_RULES,
    "rcnn": BACKBONE_RULES + RCNN_RULES + MASK_HEAD_RULES,
}
FROM_CONFIG = r"pixel_(mean|std)|proposal_generator\.anchor_generator\.cell_anchors\.\d"
"""What some versions of detectron2 write beside the weights; here it is in the config."""


def convert(state_dict: Mapping[str, Tensor]) -> Converted:
    """Their names to ours; query, key and value become one tensor, scales become numbers.

    Raises:
        CheckpointError: query, key and value of a layer differ in shape.
    """
    detector = "rcnn" if any(name.startswith("proposal_generator.") for name in state_dict) else "fcos"
    converted = rename(state_dict, RULES[detector], leave_out=FROM_CONFIG)
    tensors = converted.state_dict
    for layer in ("occluder", "occludee"):
        prefix = f"{OURS}{layer}_layer.non_local."
        names = [f"{prefix}{projection}.weight" for projection in PROJECTIONS]
        if all(name in tensors for name in names):
            tensors[f"{prefix}query_key_value.weight"] = _stacked([tensors.pop(name) for name in names], prefix)
    for name in [name for name in tensors if name.startswith("bbox_head.scales.") and tensors[name].numel() == 1]:
        tensors[name] = tensors[name].reshape(())
    notes = ("Images for these weights are BGR, minus 103.53, 116.28, 123.675, not divided.",)
    return Converted(tensors, converted.unknown, notes)


def _stacked(weights: list[Tensor], prefix: str) -> Tensor:
    if len({weight.shape for weight in weights}) != 1:
        found = ", ".join(str(tuple(weight.shape)) for weight in weights)
        raise CheckpointError(f"{prefix}: query, key and value should have one shape, found {found}.")
    return torch.cat(weights)
