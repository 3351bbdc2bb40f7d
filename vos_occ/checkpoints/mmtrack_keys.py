"""MaskTrack R-CNN of mmtrack 0.x and 1.x: the layout that mmdet 3.x took over, on a detector of mmdet 2.x.

Background is the last class, boxes and RoIs are today's, and the embedding ends with a ReLU.

Source: docs/sources.md, trackers 1.1, 1.6.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from vos_occ.checkpoints import mmdet_keys
from vos_occ.checkpoints.key_rules import Converted
from vos_occ.structures.errors import CheckpointError

QDTRACK = ("track_head.embed_head.fc_embed.", "track_head.embed_head.convs.", "roi_head.track_head.fc_embed.")


def convert(state_dict: Mapping[str, Tensor], *, video: bool) -> Converted:
    """The names of mmtrack to ours.

    Args:
        state_dict: Of mmtrack's MaskTrackRCNN.
        video: For a video model; else its detector alone is taken.

    Raises:
        CheckpointError: It is QDTrack, or no model of mmtrack.
    """
    if any(name.startswith(QDTRACK) for name in state_dict):
        raise CheckpointError("This is a checkpoint of QDTrack, not of MaskTrack R-CNN. Use --from qdtrack.")
    if not any(name.startswith("detector.") for name in state_dict):
        raise CheckpointError("This is no checkpoint of mmtrack: no name begins with detector. Use --from mmdet.")
    if not video:
        state_dict = {name: tensor for name, tensor in state_dict.items() if name.startswith("detector.")}
    return replace(mmdet_keys.convert(state_dict, video=video), notes=())
