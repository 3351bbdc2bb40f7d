"""mmdet's Mask R-CNN with the bilayer RoI head trains and tests on data of every format."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData

from vos_occ.datasets.amodal_export import write_amodal_images
from vos_occ.datasets.synthetic import CLASSES, SyntheticWorld, write_dataset
from vos_occ.models.bilayer.targets import BilayerTargetBuilder
from vos_occ.structures.errors import InputError
from vos_occ.training import train

PREPROCESSOR = {
    "type": "DetDataPreprocessor",
    "mean": [103.53, 116.28, 123.675],
    "std": [57.375, 57.12, 58.395],
    "pad_mask": True,
    "pad_size_divisor": 32,
}
TRAIN_PIPELINE = [
    {"type": "LoadImageFromFile"},
    {"type": "LoadAmodalAnnotations"},
    {"type": "RandomFlip", "prob": 0.5},
    {"type": "RandomCrop", "crop_size": (90, 120), "recompute_bbox": True},
    {"type": "FilterAnnotations", "min_gt_bbox_wh": (2, 2), "by_mask": True},
    {"type": "PackAmodalInputs"},
]
TEST_PIPELINE = [
    {"type": "LoadImageFromFile"},
    {"type": "Resize", "scale": (160, 96), "keep_ratio": True},
    {"type": "PackDetInputs", "meta_keys": ("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")},
]
FAMILIES = {  # what is written: what it is read as, what it is scored by
    "kins_2019": ("kins", "kins"),
    "kins_2020": ("kins", "kins"),
    "cocoa": ("cocoa", "cocoa"),
    "cocoa_cls": ("cocoa_cls", "cocoa_cls"),
    "d2sa": ("d2sa", "d2sa"),
    "synthetic": ("synthetic", None),
    "coco": ("coco", "coco"),
}


def write(root: Path, family: str) -> dict[str, Any]:
    """Two pictures in the format, and where they are."""
    if family in ("synthetic", "coco"):
        write_dataset(root, "train", (0,), image_format="png", height=96, width=160, num_frames=2)
        return {"ann_file": "annotations_coco.json", "data_prefix": {"img": "frames"}}
    world = SyntheticWorld("train", height=96, width=160, num_frames=2)
    write_amodal_images(root, family, [world.video(0)])
    return {"ann_file": "annotations.json", "data_prefix": {"img": "images"}}


def config_text(model: dict[str, Any], dataset: dict[str, Any], protocol: str | None) -> str:
    loader = {"batch_size": 2, "num_workers": 0, "sampler": {"type": "InfiniteSampler"}}
    parts = {
        "default_scope": "mmdet",
        "custom_imports": {"imports": ["vos_occ.models.bilayer", "vos_occ.datasets.amodal", "vos_occ.validation"]},
        "model": model,
        "train_dataloader": loader | {"dataset": dataset | {"pipeline": TRAIN_PIPELINE}},
        "optim_wrapper": {"type": "OptimWrapper", "optimizer": {"type": "SGD", "lr": 0.001}},
        "train_cfg": {"type": "IterBasedTrainLoop", "max_iters": 2, "val_interval": 2},
        "default_hooks": {
            "logger": {"type": "LoggerHook", "interval": 1},
            "checkpoint": {"type": "CheckpointHook", "by_epoch": False, "interval": 10},
        },
        "log_processor": {"by_epoch": False},
        "randomness": {"seed": 0},
    }
    if protocol:
        testing = dataset | {"pipeline": TEST_PIPELINE, "test_mode": True}
        sampler = {"type": "DefaultSampler", "shuffle": False}
        parts |= {
            "val_dataloader": {"batch_size": 1, "num_workers": 0, "sampler": sampler, "dataset": testing},
            "val_evaluator": {"type": "OccImageMetric", "protocol": protocol},
        }
    return "\n".join(f"{name} = {value!r}" for name, value in parts.items())


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_trains_two_steps_and_tests(
    family: str, tmp_path: Path, tiny_model_config: Callable[..., dict[str, Any]]
) -> None:
    format_name, protocol = FAMILIES[family]
    num_classes = 1 if family == "cocoa" else len(CLASSES)
    changes = {"detector.roi_head.bbox_head.num_classes": num_classes, "detector.data_preprocessor": PREPROCESSOR}
    model = tiny_model_config(changes)["detector"]
    if family == "coco":
        model["roi_head"]["mask_targets"] = {"occluder": "all"}
    paths = write(tmp_path / "data", family)
    dataset = {"type": "AmodalDataset", "format": format_name, "num_classes": num_classes, **paths}
    dataset |= {"data_root": str(tmp_path / "data"), "filter_cfg": {"filter_empty_gt": True}}
    path = tmp_path / "config.py"
    path.write_text(config_text(model, dataset, protocol))
    train(path, work_dir=tmp_path / family, options=[f"experiment_name={family}"])
    (log,) = (tmp_path / family).glob("*/vis_data/scalars.json")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    steps = [line for line in lines if "loss" in line]
    assert len(steps) == 2
    for step in steps:
        assert all(math.isfinite(value) for name, value in step.items() if "loss" in name), step
        assert step["loss_mask_occluder"] > 0, "the occluder layer is trained"
        assert step["loss_hidden"] > 0, "hidden fractions are known"
    if protocol:
        assert any(name.startswith(f"{protocol}/") for name in lines[-1]), lines[-1]


@pytest.mark.parametrize("head", ["roi_head.bbox_head", "bbox_head"])
def test_heads_must_tell_as_many_classes_apart_as_the_dataset_has(
    head: str, tmp_path: Path, tiny_model_config: Callable[..., dict[str, Any]]
) -> None:
    model = tiny_model_config()["detector"]
    if head == "bbox_head":
        model["bbox_head"] = model.pop("roi_head")["bbox_head"]
    dataset = {"type": "AmodalDataset", "format": "kins", "num_classes": 7, "ann_file": "a.json"}
    (tmp_path / "config.py").write_text(config_text(model, dataset, None))
    with pytest.raises(
        InputError, match="The dataset of the config has 7 classes, but num_classes of its model's bbox_head is 6"
    ):
        train(tmp_path / "config.py", work_dir=tmp_path / "work")


def test_occluders_made_beforehand_are_the_targets() -> None:
    generator = np.random.default_rng(0)
    own, made = (generator.random((3, 40, 50)) < 0.5 for _ in range(2))
    boxes = torch.tensor([[0.0, 0, 30, 30], [10, 10, 40, 38], [5, 5, 45, 35]])
    gt = InstanceData(
        bboxes=boxes,
        masks=BitmapMasks(own.astype(np.uint8), 40, 50),
        occluders=BitmapMasks(made.astype(np.uint8), 40, 50),
    )
    indices = torch.tensor([2, 0])
    for mode in ("all", "in_front"):  # without an order, `in_front` would know nothing
        targets = BilayerTargetBuilder(occluder=mode)([boxes[indices]], [indices], [gt], [(1.0, 1.0)])
        expected = gt.occluders.crop_and_resize(boxes[indices].numpy(), (28, 28), indices.numpy()).masks
        assert np.array_equal(targets.occluder_mask, expected) and expected.any()
        assert targets.occluder_known.all()
    cropped = BilayerTargetBuilder(crop_to_gt_box=True)([boxes[[2]]], [torch.tensor([0])], [gt], [(1.0, 1.0)])
    assert not cropped.occluder_mask[0, :, 18:].any(), "nothing beyond x = 30"
    assert cropped.occluder_mask[0, :20, :17].any()
