"""PCAN's released checkpoint, and QDTrack's (its own code, mmtrack, mmdet 3.x), under our names.

PCAN and the original QDTrack are written on mmdet 2.x: the heads for tracking and refinement are parts of the RoI head
there, and the frame's prototypes have no part of their own. mmtrack and mmdet 3.x have the layout that is ours. In both
the background is the last class, as here, so no row is moved.

Source: docs/sources.md, trackers 3.8.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from vos_occ.checkpoints.key_rules import Converted, Rule, rename
from vos_occ.structures.errors import CheckpointError

CLASSES = ("pedestrian", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle")
"""Of BDD100K by their ids in its json, by which mmdet 2.x counts labels. QDTrack's files list them in another order."""
MASK_HEAD = "detector.roi_head.mask_head"
WEIGHT = r"(weight|bias)"
DETECTOR = r"(?:detector\.)?((?:backbone|neck|rpn_head|roi_head\.bbox_head|roi_head\.mask_head)\..+)"
EMBEDDING = r"(?:roi_head\.track_head|track_head\.embed_head)\."
VIDEO_RULES: list[Rule] = [
    (rf"{EMBEDDING}(convs\.\d+\.(?:conv|gn)|fcs\.\d+|fc_embed)\.{WEIGHT}", r"track_head.embed_head.\1.\2"),
    (rf"roi_head\.refine_head\.(conv[12]\.conv|convs\.\d+\.conv|upsample|conv_logits)\.{WEIGHT}", r"refine_head.\1.\2"),
    (r"roi_head\.refine_head\.(pos_mu|neg_mu)", r"refine_head.\1"),
    (r"(mu\d)", r"frame_attention.\1"),
]
BGR_NOTE = (
    "mmdet's and mmtrack's own configs of QDTrack show BGR images that are not divided by a deviation. For weights of "
    "these, turn the channels of detector.backbone.conv1.weight (flip(1)) and set data_preprocessor.std=[1, 1, 1]; "
    "weights that were trained on RGB stay as they are."
)


def convert(state_dict: Mapping[str, Tensor], *, video: bool) -> Converted:
    """The names of PCAN or QDTrack to ours.

    Args:
        state_dict: Of one of them.
        video: For a video model; else its detector alone is taken.

    Raises:
        CheckpointError: It is of another model.
    """
    of_mmdet = any(name.startswith("track_head.embed_head.fc_embed.") for name in state_dict)
    if not of_mmdet and not any(name.startswith("roi_head.track_head.fc_embed.") for name in state_dict):
        raise CheckpointError(
            "This is no checkpoint of PCAN or QDTrack: it has neither roi_head.track_head.fc_embed (PCAN, the original "
            "QDTrack) nor track_head.embed_head.fc_embed (mmtrack, mmdet 3.x). Use --from mmtrack or mmdet."
        )
    rules = [(DETECTOR, r"detector.\1"), *VIDEO_RULES] if video else [(DETECTOR, r"\1")]
    converted = rename(state_dict, rules, leave_out=None if video else "|".join(pattern for pattern, _ in VIDEO_RULES))
    notes = (BGR_NOTE,) if of_mmdet else ()
    return Converted(converted.state_dict, converted.unknown, notes, class_order=CLASSES)


def replaced_parts(model: Mapping[str, Any]) -> tuple[str, ...]:
    """Parts of a video model that begin anew, as their weights are not PCAN's: its mask head, unless it is a plain one.

    Args:
        model: The model's config.
    """
    mask_head = model.get("detector", {}).get("roi_head", {}).get("mask_head")
    return (MASK_HEAD,) if mask_head and mask_head["type"] != "PlainMaskHead" else ()
