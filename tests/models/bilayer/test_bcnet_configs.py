"""configs/bcnet: the models are what the papers say, at full size; made small, they train and are scored."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import json
import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.models.detectors import BaseDetector
from mmdet.registry import DATASETS, MODELS
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope
from torch import nn

from vos_occ.datasets.amodal_export import write_amodal_images
from vos_occ.datasets.amodal_masks import AmodalMasks, Scene
from vos_occ.datasets.sample import unknown_order
from vos_occ.datasets.synthetic import CLASSES, SyntheticWorld, write_dataset
from vos_occ.training import read_config, require_trainable, train
from vos_occ.training.small_config import SMALL_SCALE, small_config

FOLDER = Path(__file__).parents[3] / "configs/bcnet"
RECIPES = sorted(path.stem for path in FOLDER.glob("f*_*.py"))
CLASS_COUNT = {"coco": 80, "kins": 7, "kins2020": 8, "cocoa": 1}


@pytest.fixture(params=RECIPES)
def recipe(request: pytest.FixtureRequest) -> Config:
    return read_config(FOLDER / f"{request.param}.py")


def name_of(recipe: Config) -> str:
    return Path(recipe.filename).stem


def dataset_of(recipe: Config) -> str:
    return next(name for name in ("cocoa", "coco", "kins2020", "kins") if name in name_of(recipe).split("_"))


def on_meta(recipe: Config) -> BaseDetector:
    with DefaultScope.overwrite_default_scope("mmdet"), torch.device("meta"):
        return MODELS.build(recipe.model)


@cache
def full_size(path: str) -> BaseDetector:
    return on_meta(read_config(path))


def size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


# Parameter counts, from the layers and not from the code


def conv(into: int, out: int, kernel: int, bias: bool = True) -> int:
    return into * out * kernel**2 + out * bias


def resnet_size(depth: int) -> int:
    """Convolutions without bias, two numbers a channel of each norm."""
    total, before = conv(3, 64, 7, bias=False) + 2 * 64, 64
    for stage, blocks in enumerate({50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}[depth]):
        width = 64 * 2**stage
        for block in range(blocks):
            layers = [(before, width, 1), (width, width, 3), (width, 4 * width, 1)]
            layers += [(before, 4 * width, 1)] if block == 0 else []
            total += sum(conv(*layer, bias=False) + 2 * layer[1] for layer in layers)
            before = 4 * width
    return total


def box_side_size(recipe: Config, classes: int) -> int:
    """Neck, and whatever finds boxes."""
    if "fcos" in name_of(recipe):
        neck = sum(conv(c, 256, 1) for c in (512, 1024, 2048)) + 5 * conv(256, 256, 3)
        towers = 8 * (conv(256, 256, 3) + 2 * 256)
        return neck + towers + conv(256, classes, 3) + conv(256, 4, 3) + conv(256, 1, 3) + 5
    neck = sum(conv(c, 256, 1) for c in (256, 512, 1024, 2048)) + 4 * conv(256, 256, 3)
    rpn = conv(256, 256, 3) + conv(256, 3, 1) + conv(256, 12, 1)
    fully_connected = conv(256 * 49, 1024, 1) + conv(1024, 1024, 1)
    return neck + rpn + fully_connected + conv(1024, classes + 1, 1) + conv(1024, 4 * classes, 1)


def mask_head_size(recipe: Config, classes: int) -> int:
    """From the pieces of docs/sources.md, BCNet 9: conv3x3 590,080, deconvolution 262,400, non-local block 262,656."""
    name = name_of(recipe)
    if "plain" in name or "_ms_" in name:
        return 4 * 590_080 + 262_400 + conv(256, 1 if "fcos" in name else classes, 1)
    output = 262_400 + conv(256, 1, 1)
    layers, outputs, blocks = 2, 4, 2
    if name.endswith("single_gcn"):
        layers, outputs, blocks = 1, 2, 1
    if name.endswith("coco_fcn"):
        blocks = 0
    missing = {
        "no_occluder": 3,
        "occluder_mask": 2,
        "occluder_boundary": 2,
        "no_occludee_boundary": 1,
        "no_guidance": 1,
    }
    outputs -= next((count for end, count in missing.items() if name.endswith(f"coco_{end}")), 0)
    return layers * 4 * 590_080 + outputs * output + blocks * 262_656


def mask_iou_head_size(recipe: Config, classes: int) -> int:
    """Mask Scoring R-CNN: reads features and mask, 14 x 14; the last of four convolutions halves that."""
    if "_ms_" not in name_of(recipe):
        return 0
    convolutions = conv(257, 256, 3) + 3 * conv(256, 256, 3)
    return convolutions + conv(256 * 49, 1024, 1) + conv(1024, 1024, 1) + conv(1024, classes, 1)


def train_datasets(recipe: Config) -> list[ConfigDict]:
    """The data set of a recipe, or those that it joins."""
    dataset = recipe.train_dataloader.dataset
    return dataset.datasets if dataset.type == "ConcatDataset" else [dataset]


def test_every_recipe_is_tested() -> None:
    files = {path.stem for path in FOLDER.glob("*.py")}
    bases = {name for name in files if name.startswith(("base_", "data_", "schedule_")) or name == "runtime"}
    assert files - bases == set(RECIPES)
    for detector in ("fcos", "faster"):
        for depth in ("r50", "r101"):
            assert {f"{detector}_{depth}_{schedule}_coco" for schedule in ("1x", "2x", "3x")} <= set(RECIPES)
    assert all("_base_" not in (FOLDER / f"{name}.py").read_text() for name in bases), "one level of bases"


def test_the_pieces_add_up_to_the_heads_of_the_spec() -> None:
    assert mask_head_size(read_config(FOLDER / "fcos_r50_1x_coco.py"), 80) == 6_296_580
    assert mask_head_size(read_config(FOLDER / "fcos_r50_1x_coco_fcn.py"), 80) == 5_771_268
    assert mask_head_size(read_config(FOLDER / "fcos_plain_r50_1x_coco.py"), 80) == 2_622_977


def test_model_has_the_parameters_of_its_layers(recipe: Config) -> None:
    require_trainable(recipe, recipe.filename)
    model, classes = full_size(recipe.filename), CLASS_COUNT[dataset_of(recipe)]
    assert size(model.roi_head.mask_head) == mask_head_size(recipe, classes)
    assert size(model.backbone) == resnet_size(101 if "r101" in name_of(recipe) else 50)
    assert size(model) == size(model.backbone) + box_side_size(recipe, classes) + size(
        model.roi_head.mask_head
    ) + mask_iou_head_size(recipe, classes)
    assert {name.split(".")[0] for name, _ in model.named_parameters()} == (
        {"backbone", "neck", "bbox_head", "roi_head"} if "fcos" in name_of(recipe) else
        {"backbone", "neck", "rpn_head", "roi_head"}
    )  # fmt: skip
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert "backbone.conv1.weight" in frozen and "backbone.layer1.0.conv1.weight" in frozen
    assert "backbone.layer2.0.conv1.weight" not in frozen and "backbone.layer2.0.bn1.weight" in frozen


def test_recipe_says_where_data_lies_what_the_paper_reports_and_that_it_was_not_trained(recipe: Config) -> None:
    text = Path(recipe.filename).read_text()
    (data,) = [part for part in text.split('"') if part.startswith("data_")]
    assert "The paper" in text or "Ablation, table" in text
    assert "# NOT TRAINED HERE." in text and data in text.split("_base_")[0]
    assert "# Layout:" in (FOLDER / data).read_text()


def test_classes_of_data_and_model_agree(recipe: Config) -> None:
    classes = CLASS_COUNT[dataset_of(recipe)]
    model = recipe.model
    box_head = model.bbox_head if model.type == "BilayerFCOS" else model.roi_head.bbox_head
    datasets = [*train_datasets(recipe), recipe.val_dataloader.dataset]
    assert {box_head.num_classes, *(dataset.num_classes for dataset in datasets)} == {classes}
    assert model.roi_head.mask_head.get("num_classes", 80) == classes or classes == 80


SCHEDULES = {
    "1x": (90_000, [60_000, 80_000], 16),
    "2x": (180_000, [140_000, 170_000], 16),
    "3x": (270_000, [210_000, 250_000], 16),
    "kins": (24_000, [20_000, 22_000], 8),
    "kins2020": (24_000, [20_000, 22_000], 8),
    "cocoa": (10_000, [5_000, 8_000], 2),
}


def test_schedule_is_the_papers(recipe: Config) -> None:
    name = name_of(recipe)
    steps, milestones, batch = SCHEDULES[next(part for part in name.split("_") if part in SCHEDULES)]
    warm_up, decay = recipe.param_scheduler
    assert recipe.train_cfg.max_iters == decay.end == steps and decay.milestones == milestones
    assert (warm_up.type, warm_up.start_factor, warm_up.end) == ("LinearLR", 1e-3, 1000)
    assert recipe.auto_scale_lr == {"enable": True, "base_batch_size": batch}
    assert batch in (2, 8 * recipe.train_dataloader.batch_size), "8 GPUs, or the one of the recipe for COCOA"
    optimizer = recipe.optim_wrapper.optimizer
    assert (optimizer.momentum, optimizer.weight_decay) == (0.9, 1e-4)
    rate = {"coco": 0.01 if "fcos" in name else 0.02, "kins": 0.005 if "fcos" in name else 0.02, "cocoa": 5e-4}
    assert optimizer.lr == rate[dataset_of(recipe).removesuffix("2020")]


@pytest.mark.parametrize("name", [name for name in RECIPES if "_2x_" not in name and "_3x_" not in name])
def test_small_recipe_keeps_every_layer_at_an_eighth_of_its_width(name: str) -> None:
    recipe = read_config(FOLDER / f"{name}.py")
    full, small = full_size(recipe.filename), on_meta(small_config(recipe))
    assert [name for name, _ in full.named_parameters()] == [name for name, _ in small.named_parameters()]
    widths = [(f.shape[0], s.shape[0]) for f, s in zip(full.parameters(), small.parameters(), strict=True) if f.dim()]
    assert {f / s for f, s in widths} == {8, 1}, "1: as many rows as classes, boxes or maps"
    convolutions = [m for m in small.modules() if isinstance(m, nn.Conv2d)]
    assert max(c.out_channels for c in convolutions) == 256 and recipe.model.backbone.base_channels == 64


SMOKE = {
    "fcos_r50_1x_coco": ("coco", "coco/AP"),
    "faster_r101_kins": ("kins_2019", "kins/amodal_AP"),
    "fcos_r50_cocoa": ("cocoa", "cocoa/AP"),
}


@pytest.mark.parametrize("name", sorted(SMOKE))
def test_small_recipe_trains_two_steps_and_is_scored_on_data_of_its_format(name: str, tmp_path: Path) -> None:
    family, metric = SMOKE[name]
    small = small_config(read_config(FOLDER / f"{name}.py"))
    if family == "coco":
        write_dataset(tmp_path, "train", (0,), image_format="png", height=96, width=160, num_frames=2)
        place = {"ann_file": "annotations_coco.json", "data_prefix": {"img": "frames"}}
    else:
        world = SyntheticWorld("train", height=96, width=160, num_frames=2)
        write_amodal_images(tmp_path, family, [world.video(0)])
        place = {"ann_file": "annotations.json", "data_prefix": {"img": "images"}}
    classes = 1 if family == "cocoa" else len(CLASSES)
    for loader in (small.train_dataloader, small.val_dataloader):
        loader.dataset.update(place | {"data_root": str(tmp_path), "num_classes": classes})
        resizes = [step for step in loader.dataset.pipeline if "Resize" in step["type"]]
        assert [step.get("scales", [step.get("scale")]) for step in resizes] == [[SMALL_SCALE]]
    box_head = small.model.bbox_head if small.model.type == "BilayerFCOS" else small.model.roi_head.bbox_head
    box_head.num_classes = classes
    finds_boxes = small.model.test_cfg.fcos if small.model.type == "BilayerFCOS" else small.model.test_cfg.rcnn
    finds_boxes.score_thr = 0.0  # after two steps nothing is sure
    small.val_evaluator.out_dir = str(tmp_path / "scored")
    small.train_cfg.update(max_iters=2, val_interval=2)
    small.default_hooks.logger.interval = 1
    small.dump(tmp_path / "small.py")

    work = train(tmp_path / "small.py", work_dir=tmp_path / "work")
    (scalars,) = work.glob("*/vis_data/scalars.json")
    *steps, scores = [json.loads(line) for line in scalars.read_text().splitlines()]
    assert [step["step"] for step in steps] == [1, 2]
    for step in steps:
        terms = {key: value for key, value in step.items() if "loss" in key}
        assert {"loss", "loss_mask", "loss_boundary", "loss_mask_occluder", "loss_boundary_occluder"} <= set(terms)
        assert all(math.isfinite(value) for value in terms.values())
        measures = [step[name] for name in ("occluder_rate", "occluder_known", "occludee_accuracy", "occludee_iou")]
        assert all(0 <= value <= 1 for value in measures) and step["occluder_known"] == 1
    assert sum(step["loss_mask_occluder"] for step in steps) > 0
    assert 0 <= scores[metric] <= 1
    (results,) = (tmp_path / "scored").rglob("results.json")
    assert {result["image_id"] for result in json.loads(results.read_text())} == {1, 2}


def test_mask_scoring_baseline_trains_two_steps_on_our_masks(picture) -> None:
    """mmdet's head asks our container for crops and areas of single masks."""
    small = small_config(read_config(FOLDER / "faster_ms_r50_1x_coco.py"))
    with DefaultScope.overwrite_default_scope("mmdet"):
        model = MODELS.build(small.model).train()
    image, sample = picture(0, 4)
    gt = sample.gt_instances
    scene = Scene(np.arange(4), unknown_order(4), np.zeros(4, np.float32))
    gt.masks = AmodalMasks({"visible": gt.masks.masks}, "visible", scene)
    for _ in range(2):
        losses = model.loss(image[None], [sample])
        loss, _ = model.parse_losses(losses)
        loss.backward()
        assert loss.isfinite() and losses["loss_mask_iou"] > 0


def test_coco_and_sod_are_met_as_one_dataset(tmp_path: Path) -> None:
    """Two files of one format with other fields, joined as the recipe joins them."""
    small = small_config(read_config(FOLDER / "faster_r50_1x_coco_sod.py"))
    dataset = small.train_dataloader.dataset
    write_dataset(tmp_path, "train", (0,), image_format="png", height=96, width=160, num_frames=2)
    for part in dataset.datasets:
        part.update(ann_file="annotations_coco.json", data_prefix={"img": "frames"}, data_root=str(tmp_path))
        part.num_classes = len(CLASSES)
    with DefaultScope.overwrite_default_scope("mmdet"):
        joined = DATASETS.build(dataset)
    assert len(joined) == 4 and len(joined.metainfo["classes"]) == len(CLASSES)
    plain, synthetic = (joined[i]["data_samples"].gt_instances.masks for i in (0, 2))
    assert (plain.extent, synthetic.extent) == ("visible", "visible")
    assert np.array_equal(plain.masks.sum((1, 2)), synthetic.masks.sum((1, 2)))
