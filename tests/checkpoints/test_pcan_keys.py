"""PCAN's and QDTrack's weights: every name of their layouts (docs/sources.md, trackers 3.1, 3.8) has one place here.

The detector's names are mmdet's own; those of the other heads are written out from the layers.
"""

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

import vos_occ.models.video.pcan  # noqa: F401  (registers)
from vos_occ.checkpoints import mmtrack_keys, pcan_keys
from vos_occ.checkpoints.key_diff import key_diff
from vos_occ.structures.errors import CheckpointError
from vos_occ.training import read_config

CONFIGS = Path(__file__).parents[2] / "configs/pcan"
MASK_RCNN = Path(mmdet.__file__).parent / ".mim/configs/mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py"
MASK_HEAD = "roi_head.mask_head."


def on_meta(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}


def weight_and_bias(name: str, *shape: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


@cache
def detector() -> dict[str, Tensor]:
    """Mask R-CNN of mmdet with BDD100K's 8 classes."""
    model = Config.fromfile(MASK_RCNN).model
    model.roi_head.bbox_head.num_classes = model.roi_head.mask_head.num_classes = 8
    with DefaultScope.overwrite_default_scope("mmdet"), torch.device("meta"):
        return MODELS.build(model).state_dict()


def embedding(prefix: str) -> dict[str, Tensor]:
    """4 convolutions with group norm, which have no bias, and two fully connected layers."""
    shapes: dict[str, tuple[int, ...]] = {}
    for i in range(4):
        shapes[f"{prefix}.convs.{i}.conv.weight"] = (256, 256, 3, 3)
        shapes |= weight_and_bias(f"{prefix}.convs.{i}.gn", 256)
    shapes |= weight_and_bias(f"{prefix}.fcs.0", 1024, 256 * 7 * 7)
    return on_meta(shapes | weight_and_bias(f"{prefix}.fc_embed", 256, 1024))


def refine_head() -> dict[str, Tensor]:
    """259 channels into the first convolution: features, likeness to both kinds of prototypes, coarse mask."""
    prefix = "roi_head.refine_head"
    shapes = weight_and_bias(f"{prefix}.conv1.conv", 256, 259, 3, 3) | weight_and_bias(
        f"{prefix}.conv2.conv", 256, 256, 1, 1
    )
    for i in range(3):
        shapes |= weight_and_bias(f"{prefix}.convs.{i}.conv", 256, 256, 3, 3)
    shapes |= {f"{prefix}.upsample.weight": (256, 256, 2, 2), f"{prefix}.upsample.bias": (256,)}
    shapes |= weight_and_bias(f"{prefix}.conv_logits", 1, 256, 1, 1)
    return on_meta(shapes | {f"{prefix}.pos_mu": (1, 256, 10), f"{prefix}.neg_mu": (1, 256, 10)})


def pcan() -> dict[str, Tensor]:
    frames = on_meta({f"mu{level}": (1, 256, 30) for level in range(5)})
    return detector() | embedding("roi_head.track_head") | refine_head() | frames


def without_masks(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in state.items() if MASK_HEAD not in name}


def qdtrack() -> dict[str, Tensor]:
    return without_masks(detector()) | embedding("roi_head.track_head")


def qdtrack_of_mmdet() -> dict[str, Tensor]:
    parts = {f"detector.{name}": tensor for name, tensor in without_masks(detector()).items()}
    return parts | embedding("track_head.embed_head")


@cache
def ours(name: str) -> dict[str, Tensor]:
    """Names and shapes of a config's model, part by part on the meta device."""
    model = read_config(CONFIGS / f"{name}.py").model
    parts = [part for part in ("detector", "track_head", "refine_head", "frame_attention") if model.get(part)]
    with DefaultScope.overwrite_default_scope("mmdet"), torch.device("meta"):
        states = {part: MODELS.build(model[part]).state_dict() for part in parts}
    return {f"{part}.{name}": tensor for part, state in states.items() for name, tensor in state.items()}


LAYOUTS = {
    "pcan": (pcan, "pcan_fcn_r50_bdd100k_refine"),
    "qdtrack": (qdtrack, "qdtrack_r50_bdd100k"),
    "qdtrack of mmdet": (qdtrack_of_mmdet, "qdtrack_r50_bdd100k"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_name_has_its_place_and_every_place_its_name(layout: str) -> None:
    state, config = LAYOUTS[layout]
    theirs = state()
    converted = pcan_keys.convert(theirs, video=True)
    assert not converted.unknown and len(converted.state_dict) == len(theirs)
    assert not key_diff(ours(config), converted.state_dict)
    assert bool(converted.notes) == (layout == "qdtrack of mmdet"), "whose images are BGR"


def test_values_stay_as_they_are() -> None:
    """Background is the last class there and here."""
    theirs = {name: torch.rand(2) for name in pcan()}
    converted = pcan_keys.convert(theirs, video=True).state_dict
    assert sorted(float(t[0]) for t in converted.values()) == sorted(float(t[0]) for t in theirs.values())
    assert converted["detector.roi_head.bbox_head.fc_cls.bias"] is theirs["roi_head.bbox_head.fc_cls.bias"]
    assert converted["track_head.embed_head.fc_embed.bias"] is theirs["roi_head.track_head.fc_embed.bias"]
    assert converted["frame_attention.mu3"] is theirs["mu3"]
    assert converted["refine_head.neg_mu"] is theirs["roi_head.refine_head.neg_mu"]


def test_with_the_bilayer_head_the_mask_head_alone_has_no_place() -> None:
    config = read_config(CONFIGS / "pcan_bilayer_r50_bdd100k_refine.py")
    assert pcan_keys.replaced_parts(config.model) == (pcan_keys.MASK_HEAD,)
    assert not pcan_keys.replaced_parts(read_config(CONFIGS / "pcan_fcn_r50_bdd100k_refine.py").model)
    diff = key_diff(ours("pcan_bilayer_r50_bdd100k_refine"), pcan_keys.convert(pcan(), video=True).state_dict)
    assert diff.missing and not diff.reshaped
    assert all(MASK_HEAD in name for name in (*diff.missing, *diff.unexpected))


def test_an_image_detector_takes_the_detector_alone() -> None:
    for theirs in (pcan(), qdtrack_of_mmdet()):
        converted = pcan_keys.convert(theirs, video=False)
        assert not converted.unknown
        assert {name.split(".")[0] for name in converted.state_dict} == {"backbone", "neck", "rpn_head", "roi_head"}


def test_a_name_of_another_model_is_told() -> None:
    theirs = qdtrack() | on_meta({"roi_head.track_head.extra.weight": (1,), "roi_head.boundary_head.bias": (1,)})
    unknown = pcan_keys.convert(theirs, video=True).unknown
    assert unknown == ("roi_head.track_head.extra.weight", "roi_head.boundary_head.bias")


@pytest.mark.parametrize("layout", ["Mask R-CNN", "MaskTrack R-CNN"])
def test_checkpoints_of_other_models_are_refused(layout: str) -> None:
    theirs = detector()
    if layout == "MaskTrack R-CNN":
        theirs = {f"detector.{name}": tensor for name, tensor in theirs.items()}
        theirs |= on_meta(weight_and_bias("track_head.embed_head.fcs.0", 1024, 12544))
    with pytest.raises(CheckpointError, match=r"^This is no checkpoint of PCAN or QDTrack: .+\.$"):
        pcan_keys.convert(theirs, video=True)


def test_qdtrack_is_no_masktrack() -> None:
    with pytest.raises(CheckpointError, match="Use --from qdtrack"):
        mmtrack_keys.convert(qdtrack_of_mmdet(), video=True)
