"""Weights of mmtrack: the layout of mmdet 3.x, told apart from its other models; settings that go with weights."""

from __future__ import annotations

import pytest
import torch

from vos_occ.checkpoints import masktrack_keys, mmdet_keys, mmtrack_keys
from vos_occ.checkpoints.key_rules import Converted
from vos_occ.structures.errors import CheckpointError

STATE = {
    "detector.backbone.conv1.weight": torch.zeros(1),
    "detector.roi_head.bbox_head.fc_cls.bias": torch.arange(3.0),
    "track_head.embed_head.fcs.0.weight": torch.ones(1),
}


def test_names_stay_and_the_background_too() -> None:
    converted = mmtrack_keys.convert(STATE, video=True)
    assert converted.state_dict.keys() == STATE.keys() and not converted.unknown
    assert torch.equal(converted.state_dict["detector.roi_head.bbox_head.fc_cls.bias"], torch.arange(3.0))
    assert converted.settings == {"track_head.embed_head.relu_last": True}


def test_an_image_detector_takes_the_detector_alone() -> None:
    converted = mmtrack_keys.convert(STATE, video=False)
    assert set(converted.state_dict) == {"backbone.conv1.weight", "roi_head.bbox_head.fc_cls.bias"}
    assert not converted.unknown and not converted.settings


@pytest.mark.parametrize(
    "name",
    [
        "track_head.embed_head.fc_embed.weight",
        "track_head.embed_head.convs.0.gn.bias",
        "roi_head.track_head.fc_embed.weight",  # the original QDTrack
    ],
)
def test_qdtrack_is_told(name: str) -> None:
    with pytest.raises(CheckpointError, match="checkpoint of QDTrack"):
        mmtrack_keys.convert(STATE | {name: torch.zeros(1)}, video=True)


def test_a_plain_detector_is_told() -> None:
    with pytest.raises(CheckpointError, match="Use --from mmdet"):
        mmtrack_keys.convert({"backbone.conv1.weight": torch.zeros(1)}, video=True)


def test_a_detector_of_mmdet_sets_nothing() -> None:
    converted = mmdet_keys.convert({"backbone.conv1.weight": torch.zeros(1)}, video=True)
    assert not converted.settings and not converted.notes


def test_settings_change_what_the_model_has_and_add_no_part() -> None:
    converted = Converted({}, settings={"head.relu": True, "head.size": 7, "absent.size": 1})
    model = {"type": "M", "head": {"size": 7}}
    assert converted.apply_settings(model) == ({"type": "M", "head": {"size": 7, "relu": True}}, ("head.relu = True",))
    assert model == {"type": "M", "head": {"size": 7}}, "the given one is left alone"


def test_legacy_settings_of_an_image_detector_lack_the_prefix() -> None:
    settings = masktrack_keys.convert({"backbone.conv1.weight": torch.zeros(1)}, video=False).settings
    assert settings["rpn_head.bbox_coder.type"] == "LegacyDeltaXYWHBBoxCoder"
    assert not any(name.startswith("detector.") for name in settings)
