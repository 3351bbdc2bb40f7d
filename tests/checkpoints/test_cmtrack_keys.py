"""Weights of the released CMaskTrack R-CNN: every name has its place, and the converted model computes the same."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmcv.ops import deform_conv2d
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from torch import Tensor

import vos_occ.models.video.cmtrack  # noqa: F401  (registers)
from vos_occ.checkpoints import cmtrack_keys
from vos_occ.checkpoints.key_diff import key_diff
from vos_occ.models.layers.shift_correlation import ShiftCorrelation
from vos_occ.models.video.cmtrack import OccCMTrackRCNN
from vos_occ.structures.errors import CheckpointError
from vos_occ.training import read_config

RELEASED = Path(__file__).parents[2] / "configs/cmtrack/cmtrack_fcn_r50_ovis.py"
PARTS = ("detector", "track_head", "calibration")
CALIBRATION = {
    "calibration.convs.": "track_head.offset_convs.",
    "calibration.conv_offset.": "track_head.conv_offset.",
    "calibration.warp.": "track_head.dconv_featureflow.",
    "track_head.embed_head.": "track_head.",
}


def released(ours: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names and shapes of docs/sources.md, trackers 1.6 and 2.6: our values, background first and random."""
    state = {}
    for name, tensor in ours.items():
        if ".fc_cls." in name:
            tensor = torch.roll(tensor, 1, dims=0)
        if (rows := 4 * (".fc_reg." in name) + (".conv_logits." in name)) > 0:
            tensor = torch.cat([torch.randn(rows, *tensor.shape[1:], device=tensor.device), tensor])
        for new, old in CALIBRATION.items():
            name = old + name.removeprefix(new) if name.startswith(new) else name
        state[name.removeprefix("detector.").replace("roi_head.", "")] = tensor
    return state


def test_every_name_of_the_full_model_has_its_place() -> None:
    model = read_config(RELEASED).model
    converted = cmtrack_keys.convert({"track_head.dconv_featureflow.weight": torch.zeros(1)}, video=True)
    model, changes = converted.apply_settings(model.to_dict())
    assert "calibration.patch_size = 16" in changes
    assert "detector.roi_head.mask_roi_extractor.roi_layer.aligned = False" in changes
    assert "track_head.roi_extractor.type = 'OccLegacyRoIExtractor'" in changes
    with DefaultScope.overwrite_default_scope("mmdet"), torch.device("meta"):
        parts = torch.nn.ModuleDict({part: MODELS.build(ConfigDict(model[part])) for part in PARTS})
    theirs = released(parts.state_dict())
    assert theirs["bbox_head.fc_cls.weight"].shape == (26, 1024)
    assert theirs["bbox_head.fc_reg.bias"].shape == (104,)
    assert theirs["mask_head.conv_logits.weight"].shape == (26, 256, 1, 1)
    assert {name: tuple(t.shape) for name, t in theirs.items() if "offset" in name or "dconv" in name} == {
        **{f"track_head.offset_convs.{i}.conv.weight": (256, 256, 3, 3) for i in range(3)},
        **{f"track_head.offset_convs.{i}.conv.bias": (256,) for i in range(3)},
        "track_head.conv_offset.weight": (18, 256, 3, 3),
        "track_head.conv_offset.bias": (18,),
        "track_head.dconv_featureflow.weight": (256, 256, 3, 3),
    }
    converted = cmtrack_keys.convert(theirs, video=True)
    assert not converted.unknown and converted.notes
    assert not key_diff(parts.state_dict(), converted.state_dict)


@pytest.fixture(scope="module")
def both(build_tiny_model: Callable) -> tuple[dict[str, Tensor], OccCMTrackRCNN]:
    """Weights under the released names, and a model of ours with them converted."""
    changes = {
        "type": "OccCMTrackRCNN",
        "calibration": {"type": "TemporalCalibration", "channels": 16, "patch_size": 16},
        "detector.roi_head.mask_head": {
            "_delete_": True,
            "type": "PlainMaskHead",
            "num_convs": 1,
            "in_channels": 16,
            "conv_out_channels": 16,
            "num_classes": 6,
        },
    }
    model = build_tiny_model(changes)
    theirs = released({name: torch.randn_like(tensor) * 0.1 for name, tensor in model.state_dict().items()
                       if "num_batches" not in name})  # fmt: skip
    model.load_state_dict(cmtrack_keys.convert(theirs, video=True).state_dict, strict=False)
    return theirs, model


def conv(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=state[f"{name}.weight"].size(2) // 2)


def test_calibration_computes_what_the_released_one_does(both: tuple) -> None:
    theirs, model = both
    x, reference = torch.randn(2, 1, 16, 9, 14)
    motion = ShiftCorrelation(16, 2)(x, reference)
    for i in range(3):
        motion = F.relu(conv(theirs, f"track_head.offset_convs.{i}.conv", motion))
    offsets = conv(theirs, "track_head.conv_offset", motion)
    warped = deform_conv2d(reference, offsets, theirs["track_head.dconv_featureflow.weight"], 1, 1, 1, 1, 1)
    with torch.no_grad():
        torch.testing.assert_close(model.calibration([x], [reference])[0], warped + x)


@torch.no_grad()
def test_heads_compute_what_the_released_ones_do_with_background_last(both: tuple) -> None:
    theirs, model = both
    rois, head = torch.randn(5, 16, 7, 7), model.detector.roi_head.bbox_head
    hidden = rois.flatten(1)
    for i in range(2):
        hidden = F.relu(F.linear(hidden, *(theirs[f"bbox_head.shared_fcs.{i}.{kind}"] for kind in ("weight", "bias"))))
    scores, boxes = (
        F.linear(hidden, *(theirs[f"bbox_head.{part}.{kind}"] for kind in ("weight", "bias")))
        for part in ("fc_cls", "fc_reg")
    )
    found_scores, found_boxes = head(rois)
    torch.testing.assert_close(found_scores, torch.cat([scores[:, 1:], scores[:, :1]], dim=1))
    torch.testing.assert_close(found_boxes, boxes[:, 4:])

    rois = torch.randn(3, 16, 14, 14)
    features = F.relu(conv(theirs, "mask_head.convs.0.conv", rois))
    features = F.conv_transpose2d(features, *(theirs[f"mask_head.upsample.{k}"] for k in ("weight", "bias")), stride=2)
    masks = conv(theirs, "mask_head.conv_logits", F.relu(features))
    torch.testing.assert_close(model.detector.roi_head.mask_head(rois).occludee_mask, masks[:, 1:])


def test_a_masktrack_and_an_image_detector_are_told() -> None:
    with pytest.raises(CheckpointError, match="found no calibration"):
        cmtrack_keys.convert({"backbone.conv1.weight": torch.zeros(1)}, video=True)
    with pytest.raises(CheckpointError, match="found an image detector"):
        cmtrack_keys.convert({"track_head.conv_offset.bias": torch.zeros(18)}, video=False)
