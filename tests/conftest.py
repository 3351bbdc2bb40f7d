"""A video model small enough for any test, with random weights that find something, and frames to run it on."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import settings
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope

from vos_occ.checkpoints.files import save_checkpoint
from vos_occ.datasets.synthetic import CLASSES, SyntheticWorld
from vos_occ.inference.load import build_model
from vos_occ.models.video.masktrack import OccMaskTrackRCNN

settings.register_profile("shared_machine", deadline=None)  # a test that waits for a core is not wrong
settings.load_profile("shared_machine")

BuildTinyModel = Callable[..., OccMaskTrackRCNN]

CHANNELS = 16
STRIDES = [4, 8, 16, 32]


def roi_extractor(size: int) -> dict[str, Any]:
    return {
        "type": "SingleRoIExtractor",
        "roi_layer": {"type": "RoIAlign", "output_size": size, "sampling_ratio": 2},
        "out_channels": CHANNELS,
        "featmap_strides": STRIDES,
    }


def assigner(positive: float, negative: float) -> dict[str, Any]:
    return {
        "type": "MaxIoUAssigner",
        "pos_iou_thr": positive,
        "neg_iou_thr": negative,
        "min_pos_iou": negative,
        "match_low_quality": True,
    }


def sampler(num: int, fraction: float, add_gt: bool) -> dict[str, Any]:
    return {"type": "RandomSampler", "num": num, "pos_fraction": fraction, "add_gt_as_proposals": add_gt}


def proposals(count: int) -> dict[str, Any]:
    return {
        "nms_pre": 2 * count,
        "max_per_img": count,
        "nms": {"type": "nms", "iou_threshold": 0.7},
        "min_bbox_size": 0,
    }


def tiny_config() -> dict[str, Any]:
    """The layout of configs/demo/base_mobilenetv2.py with a ResNet-18 of 8 channels and heads of 16."""
    detector = {
        "type": "MaskRCNN",
        "backbone": {
            "type": "ResNet",
            "depth": 18,
            "base_channels": 8,
            "frozen_stages": 1,
            "norm_eval": True,
            "zero_init_residual": False,
        },
        "neck": {"type": "FPN", "in_channels": [8, 16, 32, 64], "out_channels": CHANNELS, "num_outs": 5},
        "rpn_head": {
            "type": "RPNHead",
            "in_channels": CHANNELS,
            "feat_channels": CHANNELS,
            "anchor_generator": {
                "type": "AnchorGenerator",
                "scales": [8],
                "ratios": [0.5, 1.0, 2.0],
                "strides": [*STRIDES, 64],
            },
            "bbox_coder": {"type": "DeltaXYWHBBoxCoder", "target_means": [0.0] * 4, "target_stds": [1.0] * 4},
            "loss_cls": {"type": "CrossEntropyLoss", "use_sigmoid": True},
            "loss_bbox": {"type": "L1Loss"},
        },
        "roi_head": {
            "type": "BilayerRoIHead",
            "bbox_roi_extractor": roi_extractor(7),
            "bbox_head": {
                "type": "Shared2FCBBoxHead",
                "in_channels": CHANNELS,
                "fc_out_channels": 32,
                "num_classes": len(CLASSES),
                "bbox_coder": {
                    "type": "DeltaXYWHBBoxCoder",
                    "target_means": [0.0] * 4,
                    "target_stds": [0.1, 0.1, 0.2, 0.2],
                },
                "loss_cls": {"type": "CrossEntropyLoss", "use_sigmoid": False},
                "loss_bbox": {"type": "L1Loss"},
            },
            "mask_roi_extractor": roi_extractor(14),
            "mask_head": {
                "type": "BilayerMaskHead",
                "in_channels": CHANNELS,
                "gcn_norm": "gn",
                "hidden_output": True,
            },
            "mask_targets": {"occluder": "in_front", "min_box_iou": 0.0},
            "mask_losses": {"neg_when_empty": True},
        },
        "train_cfg": {
            "rpn": {
                "assigner": assigner(0.7, 0.3),
                "sampler": sampler(64, 0.5, False),
                "allowed_border": -1,
                "pos_weight": -1,
            },
            "rpn_proposal": proposals(40),
            "rcnn": {
                "assigner": assigner(0.5, 0.5),
                "sampler": sampler(32, 0.25, True),
                "mask_size": 28,
                "pos_weight": -1,
            },
        },
        "test_cfg": {
            "rpn": proposals(40),
            "rcnn": {
                "score_thr": 0.3,
                "nms": {"type": "nms", "iou_threshold": 0.5},
                "max_per_img": 10,
                "mask_thr_binary": 0.5,
            },
        },
    }
    return {
        "type": "OccMaskTrackRCNN",
        "data_preprocessor": {
            "type": "TrackDataPreprocessor",
            "mean": [123.675, 116.28, 103.53],
            "std": [58.395, 57.12, 57.375],
            "bgr_to_rgb": False,
            "pad_mask": True,
            "pad_size_divisor": 32,
        },
        "detector": detector,
        "track_head": {
            "type": "OccRoITrackHead",
            "roi_extractor": roi_extractor(7),
            "embed_head": {
                "type": "OccRoIEmbedHead",
                "num_fcs": 2,
                "in_channels": CHANNELS,
                "fc_out_channels": 32,
                "roi_feat_size": 7,
            },
            "train_cfg": {"assigner": assigner(0.5, 0.5), "sampler": sampler(32, 0.25, True)},
        },
        "memory": {"max_tracks": 32},
        "association": {"method": "greedy"},
        "occlusion": {},
        "test_scale": [160, 96],
    }


def enliven(model: OccMaskTrackRCNN) -> None:
    """Random weights whose scores, boxes, masks and embeddings differ from place to place, unlike a fresh model's."""
    detector, embed_head = model.detector, model.track_head.embed_head
    detector.rpn_head.rpn_cls.weight.data.mul_(10)
    detector.rpn_head.rpn_reg.weight.data.mul_(10)
    detector.roi_head.bbox_head.fc_cls.weight.data.mul_(15)
    embed_head.fcs[-1].weight.data.mul_(0.05)


@pytest.fixture(scope="session", autouse=True)
def quiet_init_weights() -> None:
    """mmengine logs two lines per parameter of a model that it initialises, which bury the cause of a failure."""
    MMLogger.get_current_instance().setLevel("WARNING")


@pytest.fixture(scope="session", autouse=True)
def scopes_at_first() -> dict[str, Any]:
    """mmengine's default scopes before any test."""
    return dict(DefaultScope._instance_dict)


@pytest.fixture(autouse=True)
def no_scope_left_behind(scopes_at_first: dict[str, Any]) -> Iterator[None]:
    """A Runner's default scope stays when it is done, and later tests would look for mmdet's classes in it."""
    yield
    DefaultScope._instance_dict = type(DefaultScope._instance_dict)(scopes_at_first)


@pytest.fixture(scope="session")
def tiny_model_config() -> Callable[..., dict[str, Any]]:
    """`tiny_model_config({"memory.confirm_after": 2})`: a fresh copy of the tiny model's config, with changes."""

    def changed(changes: dict[str, Any] | None = None) -> dict[str, Any]:
        config = Config({"model": tiny_config()})
        config.merge_from_dict({f"model.{key}": value for key, value in (changes or {}).items()})
        return config.model.to_dict()

    return changed


@pytest.fixture(scope="session")
def build_tiny_model(tiny_model_config: Callable[..., dict[str, Any]]) -> BuildTinyModel:
    """`build_tiny_model({"memory.confirm_after": 2})`: an `OccMaskTrackRCNN` of that config, yours alone.

    It is in evaluation mode. The same changes give the same weights, however much randomness was used before.
    """

    def build(changes: dict[str, Any] | None = None) -> OccMaskTrackRCNN:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = build_model(tiny_model_config(changes), CLASSES)
            model.init_weights()
            enliven(model)
        return model

    return build


@pytest.fixture(scope="session")
def tiny_model(build_tiny_model: BuildTinyModel) -> OccMaskTrackRCNN:
    """One such model for all tests that only look: bilayer head with hidden output, classes of the synthetic world."""
    return build_tiny_model()


@pytest.fixture(scope="session")
def tiny_frames() -> list[np.ndarray]:
    """Six consecutive frames (120, 200, 3) uint8 RGB of the synthetic world; the tiny model sees them at 0.8."""
    return [frame.image for frame in SyntheticWorld("train", height=120, width=200, num_frames=6).video(0)]


@pytest.fixture(scope="session")
def tiny_config_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A config file of the tiny model: `model` and `classes`, nothing to train it with."""
    path = tmp_path_factory.mktemp("tiny_config") / "tiny.py"
    path.write_text(f"model = {tiny_config()!r}\nclasses = {CLASSES!r}\n")
    return path


@pytest.fixture(scope="session")
def tiny_checkpoint(build_tiny_model: BuildTinyModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model as one of our files, which carry config and classes."""
    path = tmp_path_factory.mktemp("tiny_checkpoint") / "tiny.safetensors"
    return save_checkpoint(path, build_tiny_model().state_dict(), json.dumps(tiny_config()), CLASSES)
