"""Image detectors of configs/bcnet at an eighth of their width, and pictures of rectangles for them."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmdet.models.detectors import BaseDetector
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

import vos_occ.models.bilayer  # noqa: F401  (registers)
from vos_occ.training.small_config import small_config

FOLDER = Path(__file__).parents[3] / "configs/bcnet"
HEIGHT, WIDTH, SCALE = 128, 160, 0.5

MakeDetector = Callable[..., BaseDetector]
MakePicture = Callable[..., tuple[torch.Tensor, DetDataSample]]


@pytest.fixture
def detector() -> MakeDetector:
    """`detector("base_fcos", num_classes=3, mask_head={...}, roi_head={...}, test={...})`, random weights."""

    def make(
        base: str,
        *,
        num_classes: int = 3,
        mask_head: dict[str, Any] | None = None,
        roi_head: dict[str, Any] | None = None,
    ) -> BaseDetector:
        config = small_config(Config.fromfile(FOLDER / f"{base}.py")).model.to_dict()
        config["roi_head"].update(roi_head or {})
        config["roi_head"]["mask_head"].update(mask_head or {})
        box_head = config["bbox_head"] if "bbox_head" in config else config["roi_head"]["bbox_head"]
        box_head["num_classes"] = num_classes
        torch.manual_seed(0)
        with DefaultScope.overwrite_default_scope("mmdet"):
            return MODELS.build(ConfigDict(config))

    return make


@pytest.fixture
def picture() -> MakePicture:
    """`picture(seed, count)`: an image (3, 128, 160) and its sample, overlapping rectangles of three classes."""

    def make(seed: int = 0, count: int = 4) -> tuple[torch.Tensor, DetDataSample]:
        rng = np.random.default_rng(seed)
        corners = rng.integers(0, (WIDTH - 70, HEIGHT - 70), (count, 2))
        boxes = np.concatenate([corners, corners + rng.integers(30, 70, (count, 2))], axis=1)
        masks = np.zeros((count, HEIGHT, WIDTH), np.uint8)
        image = rng.normal(0, 1, (3, HEIGHT, WIDTH)).astype(np.float32)
        for index, (mask, (x1, y1, x2, y2)) in enumerate(zip(masks, boxes, strict=True)):
            mask[y1:y2, x1:x2] = 1
            image[index % 3, y1:y2, x1:x2] += 30
        frame = {"img_shape": (HEIGHT, WIDTH), "pad_shape": (HEIGHT, WIDTH), "batch_input_shape": (HEIGHT, WIDTH)}
        sample = DetDataSample(
            metainfo={**frame, "ori_shape": (int(HEIGHT / SCALE), int(WIDTH / SCALE)), "scale_factor": (SCALE, SCALE)}
        )
        sample.gt_instances = InstanceData(
            bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
            labels=torch.arange(count) % 3,
            masks=BitmapMasks(masks, HEIGHT, WIDTH),
        )
        return torch.from_numpy(image), sample

    return make
