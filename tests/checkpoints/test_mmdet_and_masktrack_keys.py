"""Weights of mmdet and of the original MaskTrack R-CNN: names, and the background class that moved."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from functools import cache
from pathlib import Path

import mmdet
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import Tensor

import vos_occ.models.video.masktrack  # noqa: F401  (registers)
from vos_occ.checkpoints import masktrack_keys, mmdet_keys
from vos_occ.checkpoints.key_diff import key_diff
from vos_occ.checkpoints.key_rules import rename
from vos_occ.structures.errors import CheckpointError

CONFIGS = Path(__file__).parents[2] / "configs"
MMDETS = Path(mmdet.__file__).parent / ".mim/configs"
PLAIN_IMAGE, PLAIN_VIDEO = "bcnet/faster_plain_r50_1x_coco.py", "masktrack/masktrack_fcn_r50_ytvis2019.py"


@cache
def names_and_shapes(path: Path) -> dict[str, Tensor]:
    model = Config.fromfile(path).model
    device = torch.device("cpu" if "detector" in model else "meta")  # a video model computes while it is built
    with DefaultScope.overwrite_default_scope("mmdet"), device:
        state = MODELS.build(model).state_dict()
    return {name: torch.empty_like(tensor, device="meta") for name, tensor in state.items()}


def classes_of_each(count: int, per_class: int = 1) -> Tensor:
    """(count * per_class, 2): each row holds the number of its class in the original, 0 is background."""
    return torch.arange(count).repeat_interleave(per_class)[:, None].expand(-1, 2).float()


def test_mask_rcnn_of_mmdet_fits_our_plain_detector() -> None:
    theirs = names_and_shapes(MMDETS / "mask_rcnn/mask-rcnn_r50-caffe_fpn_1x_coco.py")
    converted = mmdet_keys.convert(theirs, video=False)
    assert not converted.unknown
    assert not key_diff(names_and_shapes(CONFIGS / PLAIN_IMAGE), converted.state_dict)


def test_mask_rcnn_of_mmdet_fits_the_detector_of_a_video_model_but_for_the_classes() -> None:
    theirs = names_and_shapes(MMDETS / "mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py")
    converted = mmdet_keys.convert(theirs, video=True)
    diff = key_diff(names_and_shapes(CONFIGS / PLAIN_VIDEO), converted.state_dict)
    assert not diff.unexpected and all(name.startswith("track_head.") for name in diff.missing)
    assert {text.split(":")[0].rsplit(".", 2)[1] for text in diff.reshaped} == {"fc_cls", "fc_reg", "conv_logits"}


def test_video_model_of_mmdet_keeps_its_names() -> None:
    ours = names_and_shapes(CONFIGS / PLAIN_VIDEO)
    converted = mmdet_keys.convert(ours, video=True)
    assert not converted.unknown and not key_diff(ours, converted.state_dict)


def test_values_of_mmdet_stay_as_they_are() -> None:
    scores = classes_of_each(5)
    (found,) = mmdet_keys.convert({"roi_head.bbox_head.fc_cls.weight": scores}, video=False).state_dict.values()
    assert torch.equal(found, scores), "since 2.0 background is the last class: nothing to move"


def test_mmdet_of_before_2_0_is_told_apart() -> None:
    with pytest.raises(CheckpointError, match="Use --from masktrack"):
        mmdet_keys.convert({"bbox_head.fc_cls.weight": classes_of_each(5)}, video=False)


def original_masktrack() -> dict[str, Tensor]:
    """Names and shapes of the original, 40 classes and background, from its layout (docs/sources.md, trackers 1.6)."""
    state = {}
    for name, tensor in names_and_shapes(CONFIGS / PLAIN_VIDEO).items():
        name = name.removeprefix("detector.").replace("roi_head.", "").replace("track_head.embed_head.", "track_head.")
        shape = list(tensor.shape)
        if ".fc_reg." in name:
            shape[0] += 4
        if ".conv_logits." in name:
            shape[0] += 1
        state[name] = torch.empty(shape, device="meta")
    return state


def test_original_masktrack_fits_our_video_model() -> None:
    original = original_masktrack()
    assert original["bbox_head.fc_cls.weight"].shape == (41, 1024)
    assert original["bbox_head.fc_reg.bias"].shape == (164,)
    assert original["mask_head.conv_logits.weight"].shape == (41, 256, 1, 1)
    converted = masktrack_keys.convert(original, video=True)
    assert not converted.unknown and converted.notes
    assert not key_diff(names_and_shapes(CONFIGS / PLAIN_VIDEO), converted.state_dict)


@pytest.mark.parametrize("video", [True, False])
def test_background_moves_from_first_to_last_and_leaves_boxes_and_masks(video: bool) -> None:
    original = {
        "bbox_head.fc_cls.weight": classes_of_each(4),
        "bbox_head.fc_cls.bias": classes_of_each(4)[:, 0],
        "bbox_head.fc_reg.weight": classes_of_each(4, 4),
        "bbox_head.fc_reg.bias": classes_of_each(4, 4)[:, 0],
        "mask_head.conv_logits.weight": classes_of_each(4)[..., None, None],
        "mask_head.conv_logits.bias": classes_of_each(4)[:, 0],
    }
    converted = masktrack_keys.convert(original, video=video).state_dict
    prefix = "detector.roi_head." if video else "roi_head."
    rows = {name.removeprefix(prefix): tensor.flatten(1)[:, 0].tolist() if tensor.dim() > 1 else tensor.tolist() for name, tensor in converted.items()}  # fmt: skip  # noqa: E501
    for kind in ("weight", "bias"):
        assert rows[f"bbox_head.fc_cls.{kind}"] == [1, 2, 3, 0]
        assert rows[f"bbox_head.fc_reg.{kind}"] == [1] * 4 + [2] * 4 + [3] * 4
        assert rows[f"mask_head.conv_logits.{kind}"] == [1, 2, 3]


def test_heads_of_different_numbers_of_classes_are_refused() -> None:
    original = {"bbox_head.fc_cls.bias": torch.zeros(4), "mask_head.conv_logits.bias": torch.zeros(7)}
    with pytest.raises(CheckpointError, match="conv_logits.bias should have 1 rows for each of 4 classes"):
        masktrack_keys.convert(original, video=True)


def test_two_tensors_of_one_name_are_refused() -> None:
    both = {"backbone.conv1.weight": torch.zeros(1), "detector.backbone.conv1.weight": torch.zeros(1)}
    with pytest.raises(CheckpointError, match="names one tensor twice"):
        mmdet_keys.convert(both, video=False)
    assert rename({"a": torch.zeros(1)}, []).unknown == ("a",)
