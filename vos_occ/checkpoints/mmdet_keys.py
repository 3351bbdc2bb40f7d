"""Mask R-CNN and MaskTrack R-CNN of mmdet 2.x and 3.x: their names are ours, but for the `detector.` of video models.

Since 2.0 mmdet's background is the last class, as here, so no row is moved. Checkpoints of 1.x have it first and other
names; they are of the layout that `masktrack_keys` reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from vos_occ.checkpoints.key_rules import Converted, rename
from vos_occ.structures.errors import CheckpointError

DETECTOR_PARTS = r"(?:backbone|neck|rpn_head|roi_head)\..+"
RELU_LAST = {"track_head.embed_head.relu_last": True}
"""mmdet and mmtrack end the embedding with a ReLU; the original does not (docs/sources.md, trackers 1.1)."""
RPN_NOTE = (
    "If mmdet trained them and not mmtrack, whose weights its model zoo links, its region proposals took objects of "
    "all classes but the first for background (docs/sources.md, trackers B1): train on."
)


def convert(state_dict: Mapping[str, Tensor], *, video: bool) -> Converted:
    """The names of mmdet to ours.

    Args:
        state_dict: Of a detector, or of mmdet 3.x's MaskTrackRCNN.
        video: For a video model, whose detector is one of its parts.

    Raises:
        CheckpointError: It is a checkpoint of mmdet 1.x.
    """
    if any(name.startswith(("bbox_head.fc_", "mask_head.conv")) for name in state_dict):
        raise CheckpointError(
            "This is a checkpoint of mmdet 1.x or MaskTrack R-CNN: no roi_head, background comes "
            "first. Use --from masktrack."
        )
    prefix = "detector." if video else ""
    rules = [(rf"(?:detector\.)?({DETECTOR_PARTS})", rf"{prefix}\1")]
    if not (video and any(name.startswith("track_head.") for name in state_dict)):
        return rename(state_dict, rules)
    rules.append((r"(track_head\.embed_head\.fcs\.\d+\.(?:weight|bias))", r"\1"))
    return replace(rename(state_dict, rules), notes=(RPN_NOTE,), settings=RELU_LAST)
