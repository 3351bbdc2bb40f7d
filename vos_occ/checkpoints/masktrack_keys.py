"""The original MaskTrack R-CNN (mmdet of 2019) under our names; Mask R-CNN of mmdet 1.x has the same layout.

There the background is the first class of the box head and of the mask head; here it is the last, and the mask head has
none.

Source: docs/sources.md, trackers 1.6.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from vos_occ.checkpoints.key_rules import Converted, Rule, rename
from vos_occ.structures.errors import CheckpointError

BOX_VALUES = 4
NOTES = (
    "These weights were trained with boxes and RoIs one pixel longer, and RoIs half a cell off (legacy conventions), "
    "which the written config keeps. In a model without them expect slightly lower AP, or train on. Overlaps in NMS "
    "and the pasting of masks are today's.",
)
LEGACY: Mapping[str, Any] = {
    "detector.rpn_head.anchor_generator.type": "LegacyAnchorGenerator",
    "detector.rpn_head.anchor_generator.center_offset": 0.5,
    "detector.rpn_head.bbox_coder.type": "LegacyDeltaXYWHBBoxCoder",
    "detector.roi_head.bbox_head.bbox_coder.type": "LegacyDeltaXYWHBBoxCoder",
    **{
        f"{extractor}.{name}": value
        for extractor in (
            "detector.roi_head.bbox_roi_extractor",
            "detector.roi_head.mask_roi_extractor",
            "track_head.roi_extractor",
        )
        for name, value in (
            ("type", "OccLegacyRoIExtractor"),
            ("roi_layer.sampling_ratio", 2),
            ("roi_layer.aligned", False),
        )
    },
    "track_head.embed_head.relu_last": False,
}
"""What mmdet calls its conventions of 2019, and the embedding's end (docs/sources.md, trackers 1.1, 1.6)."""


def convert(state_dict: Mapping[str, Tensor], *, video: bool) -> Converted:
    """The original's names to ours, and its background class to its place here.

    Args:
        state_dict: Of a MaskTrack R-CNN, or of a Mask R-CNN of mmdet 1.x.
        video: For a video model, whose detector is one of its parts.

    Raises:
        CheckpointError: The heads are of different numbers of classes.
    """
    prefix = "detector." if video else ""
    rules: list[Rule] = [
        (r"((?:backbone|neck|rpn_head)\..+)", rf"{prefix}\1"),
        (r"(bbox_head\.(?:shared_fcs\.\d+|fc_cls|fc_reg)\.(?:weight|bias))", rf"{prefix}roi_head.\1"),
        (r"(mask_head\.(?:convs\.\d+\.conv|upsample|conv_logits)\.(?:weight|bias))", rf"{prefix}roi_head.\1"),
    ]
    if video:
        rules.append((r"track_head\.(fcs\.\d+\.(?:weight|bias))", r"track_head.embed_head.\1"))
    converted = rename(state_dict, rules)
    _move_background(converted.state_dict, f"{prefix}roi_head.")
    settings = LEGACY if video else {name.removeprefix("detector."): value for name, value in LEGACY.items()}
    return Converted(converted.state_dict, converted.unknown, NOTES, settings)


def _move_background(tensors: dict[str, Tensor], roi_head: str) -> None:
    """Background from first to last of the scores; its rows of the regression and its mask channel are dropped."""
    for kind in ("weight", "bias"):
        scores = tensors.get(f"{roi_head}bbox_head.fc_cls.{kind}")
        if scores is None:
            continue
        tensors[f"{roi_head}bbox_head.fc_cls.{kind}"] = torch.roll(scores, -1, dims=0)
        for part, per_class in (("bbox_head.fc_reg", BOX_VALUES), ("mask_head.conv_logits", 1)):
            name = f"{roi_head}{part}.{kind}"
            if name not in tensors or len(tensors[name]) == per_class:  # class-agnostic: no background to drop
                continue
            if len(tensors[name]) != per_class * len(scores):
                raise CheckpointError(
                    f"{part}.{kind} should have {per_class} rows for each of {len(scores)} classes (background "
                    f"included), found {len(tensors[name])}."
                )
            tensors[name] = tensors[name][per_class:]
