"""The released CMaskTrack R-CNN under our names: the original MaskTrack R-CNN, and a calibration inside its track head.

Source: docs/sources.md, trackers 2.1 and 2.6.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from vos_occ.checkpoints import masktrack_keys
from vos_occ.checkpoints.key_rules import Converted, Rule, rename
from vos_occ.structures.errors import CheckpointError

RULES: list[Rule] = [
    (r"track_head\.offset_convs\.(\d)\.conv\.(weight|bias)", r"calibration.convs.\1.conv.\2"),
    (r"track_head\.conv_offset\.(weight|bias)", r"calibration.conv_offset.\1"),
    (r"track_head\.dconv_featureflow\.weight", r"calibration.warp.weight"),
]
SETTINGS: Mapping[str, Any] = {"calibration.patch_size": 16, "calibration.dilation": 2}
"""The shifts of its forward pass: -15, -13, ..., 15."""


def convert(state_dict: Mapping[str, Tensor], *, video: bool) -> Converted:
    """The released names to ours, and the background class to its place here.

    Args:
        state_dict: Of a CMaskTrack R-CNN.
        video: For a video model; there is no other with a calibration.

    Raises:
        CheckpointError: It has no calibration, is wanted for an image detector, or its heads are of different numbers
            of classes.
    """
    calibration = rename(state_dict, RULES)
    if not calibration.state_dict or not video:
        found = "no calibration (track_head.offset_convs)" if video else "an image detector to convert for"
        raise CheckpointError(f"--from cmtrack is for CMaskTrack R-CNN, found {found}. Use --from masktrack.")
    rest = masktrack_keys.convert({name: state_dict[name] for name in calibration.unknown}, video=True)
    return Converted(calibration.state_dict | rest.state_dict, rest.unknown, rest.notes, {**rest.settings, **SETTINGS})
