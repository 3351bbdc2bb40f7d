"""configs/pcan: the stages are those of the release, at full size, and learn from pairs of BDD100K and KITTI MOTS."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from collections.abc import Callable
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import nn

from eval.protocols.bdd100k_rules import VOCABULARY
from vos_occ.models.bilayer import BilayerMaskHead
from vos_occ.models.bilayer.plain_head import PlainMaskHead
from vos_occ.models.video.pcan import OccPCAN
from vos_occ.tracking.quasi_dense import QuasiDenseRules
from vos_occ.training import read_config, require_trainable

FOLDER = Path(__file__).parents[3] / "configs/pcan"
DATA = FOLDER.parent / "masktrack"
HEADS = {"fcn": PlainMaskHead, "bilayer": BilayerMaskHead}
STAGES = ("mask", "refine", "e2e")
FIRST = "qdtrack_r50_bdd100k"
BDD = [f"pcan_{head}_r50_bdd100k_{stage}" for head in HEADS for stage in STAGES]
KITTI = [f"pcan_{head}_r50_kitti_mots" for head in HEADS]
RECIPES = [FIRST, *BDD, *KITTI]
PUBLISHED = {FIRST: "36.6 mMOTA", "pcan_fcn_r50_bdd100k_refine": "27.4 mMOTSA", "pcan_bilayer_r50_bdd100k_e2e": "28.5"}


@pytest.fixture(params=RECIPES, scope="module")
def config(request: pytest.FixtureRequest) -> Config:
    return read_config(FOLDER / f"{request.param}.py")


def name_of(config: Config) -> str:
    return Path(config.filename).stem


@cache
def on_meta(path: str) -> OccPCAN:
    model = read_config(path).model
    with DefaultScope.overwrite_default_scope("mmdet"), torch.device("meta"):
        return MODELS.build(model)


def size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_every_config_of_the_folder_is_tested() -> None:
    assert {path.stem for path in FOLDER.glob("*.py")} == {"base_r50", "data_bdd100k_boxes", *RECIPES}


def test_recipe_says_what_is_published_where_data_lies_and_that_it_was_not_trained(config: Config) -> None:
    text, published = Path(config.filename).read_text(), PUBLISHED.get(name_of(config))
    assert f"# Published: {published}" in text if published else "# No such result is published" in text
    assert "# NOT TRAINED HERE" in text and "layout in" in text and text.count("_base_") == 1
    for data in (FOLDER / "data_bdd100k_boxes.py", DATA / "data_bdd100k.py", DATA / "data_kitti_mots.py"):
        assert "# Layout" in data.read_text() and "_base_" not in data.read_text()


def test_model_is_that_of_its_head_and_stage(config: Config) -> None:
    require_trainable(config, config.filename)
    model, name = on_meta(config.filename), name_of(config)
    roi_head = model.detector.roi_head
    assert roi_head.bbox_head.num_classes == len(config.classes) == (2 if name in KITTI else 8)
    if name == FIRST:
        assert not roi_head.with_mask
    else:
        assert type(roi_head.mask_head) is HEADS[name.split("_")[1]]
    later = name in KITTI or model.stage in ("refine", "e2e")
    assert (model.refine_head is not None) == (model.frame_attention is not None) == later
    assert size(model.track_head) == 4 * (256 * 256 * 9 + 2 * 256) + (256 * 49 + 1) * 1024 + 1025 * 256
    if later:
        assert size(model.refine_head) == (259 * 9 + 256 + 3 * 256 * 9 + 256 * 4 + 6) * 256 + 257
        assert model.refine_head.pos_mu.shape == (1, 256, 10) and model.frame_attention.mu4.shape == (1, 256, 30)
        assert size(model.frame_attention) == 0


def test_what_learns_is_what_the_stage_says(config: Config) -> None:
    model = on_meta(config.filename)
    parameters = dict(model.named_parameters())
    learns = {name for name, parameter in parameters.items() if parameter.requires_grad}
    parts = {
        "box": ("detector.", "track_head."),
        "mask": ("detector.roi_head.mask_head.",),
        "refine": ("refine_head.",),
        "e2e": ("detector.", "track_head.", "refine_head."),
    }[model.stage]
    assert all(name.startswith(parts) for name in learns)
    assert all(any(name.startswith(part) for name in learns) for part in parts)
    assert not parameters["detector.backbone.layer1.0.conv1.weight"].requires_grad


def test_stages_follow_each_other_and_both_heads_share_the_first() -> None:
    def start(name: str) -> str:
        return read_config(FOLDER / f"{name}.py").load_from

    for head in HEADS:
        assert start(f"pcan_{head}_r50_bdd100k_mask") == f"work_dirs/{FIRST}/epoch_12.pth"
        for stage in ("refine", "e2e"):
            assert start(f"pcan_{head}_r50_bdd100k_{stage}") == f"work_dirs/pcan_{head}_r50_bdd100k_mask/epoch_12.pth"


def test_weights_are_fetched_only_by_configs_that_begin_without_a_checkpoint_of_ours(config: Config) -> None:
    detector, begins = config.model.detector, "load_from" not in config
    assert bool(detector.get("init_cfg") or detector.backbone.get("init_cfg")) == begins


def test_schedule_is_the_releases(config: Config) -> None:
    """docs/sources.md, trackers 3.4: learning rate, 2 pairs a GPU, warm-up from a thousandth, no gradient clipping."""
    warm_up, steps = config.param_scheduler
    assert config.train_cfg == {"type": "EpochBasedTrainLoop", "max_epochs": 12}
    assert (warm_up.start_factor, warm_up.end, warm_up.by_epoch) == (1 / 1000, 1000, False)
    assert (steps.milestones, steps.gamma, steps.by_epoch) == ([8, 11], 0.1, True)
    rate, batch = (0.04, 16) if name_of(config) == FIRST else (0.01, 8)
    assert config.optim_wrapper.optimizer == {"type": "SGD", "lr": rate, "momentum": 0.9, "weight_decay": 1e-4}
    assert "clip_grad" not in config.optim_wrapper
    assert config.auto_scale_lr == {"enable": True, "base_batch_size": batch}
    assert config.train_dataloader.batch_size == 2


def test_settings_are_the_releases(config: Config) -> None:
    """docs/sources.md, trackers 3.1 to 3.4."""
    model = config.model
    train, test = model.detector.train_cfg, model.detector.test_cfg
    assert (train.rpn.sampler.num, train.rpn_proposal.nms_pre, train.rpn_proposal.max_per_img) == (256, 2000, 1000)
    assert (train.rcnn.sampler.num, train.rcnn.sampler.pos_fraction, train.rcnn.mask_size) == (512, 0.25, 28)
    assert (test.rpn.max_per_img, test.rcnn.score_thr, test.rcnn.max_per_img) == (1000, 0.5, 100)
    assert model.detector.rpn_head.loss_bbox == {"type": "SmoothL1Loss", "beta": 1 / 9, "loss_weight": 1.0}
    assert model.detector.roi_head.bbox_head.loss_bbox == {"type": "SmoothL1Loss", "beta": 1.0, "loss_weight": 1.0}
    assert QuasiDenseRules(**model.tracker) == QuasiDenseRules(), "whose defaults are PCAN's"
    assigner, sampler = model.track_head.train_cfg.assigner, model.track_head.train_cfg.sampler
    assert (assigner.pos_iou_thr, assigner.neg_iou_thr, assigner.min_pos_iou) == (0.7, 0.3, 0.5)
    assert (sampler.num, sampler.pos_fraction, sampler.neg_pos_ub) == (256, 0.5, 3)
    dataset = config.train_dataloader.dataset
    assert dataset.frame_range == 3 and dataset.require_shared
    assert model.test_scale == ((1248, 384) if name_of(config) in KITTI else (1296, 720))


def test_the_bilayer_head_learns_contact_where_the_data_knows_no_order(config: Config) -> None:
    if "bilayer" in name_of(config):
        assert config.model.detector.roi_head.mask_targets.occluder == "all"
        assert config.model.occlusion.order_known is False
    else:
        assert "occlusion" not in config.model and "mask_targets" not in config.model.detector.roi_head


def test_classes_are_those_of_the_benchmarks() -> None:
    assert read_config(DATA / "data_bdd100k.py").classes == tuple(VOCABULARY.classes)
    assert read_config(FOLDER / "data_bdd100k_boxes.py").classes == tuple(VOCABULARY.classes)
    assert read_config(DATA / "data_kitti_mots.py").classes == ("car", "pedestrian")


def write_image(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), pixels)


def object_of(value: int | tuple[int, ...], shape: tuple[int, ...], kind: type) -> np.ndarray:
    pixels = np.zeros(shape, kind)
    pixels[20:60, 20:80] = value
    return pixels


def write_bdd100k(root: Path) -> None:
    """A video of two frames and an image, with a bicycle (8) of instance 1: red is the category, alpha the instance."""
    blue_green_red_alpha = object_of((0, 0, 8, 1), (90, 160, 4), np.uint8)
    for images, labels, name in (
        ("seg_track_20/train/a-b", "seg_track_20/bitmasks/train/a-b", "a-b-0000001"),
        ("seg_track_20/train/a-b", "seg_track_20/bitmasks/train/a-b", "a-b-0000002"),
        ("10k/train", "ins_seg/bitmasks/train", "c"),
    ):
        write_image(root / "images" / images / f"{name}.jpg", np.full((90, 160, 3), 80, np.uint8))
        write_image(root / "labels" / labels / f"{name}.png", blue_green_red_alpha)


def write_kitti_mots(root: Path) -> None:
    """Two frames of each training sequence, with pedestrian 2001."""
    for sequence in (0, 1, 3, 4, 5, 9, 11, 12, 15, 17, 19, 20):
        for name in (f"{sequence:04d}/000000.png", f"{sequence:04d}/000001.png"):
            write_image(root / "training/image_02" / name, np.full((90, 160, 3), 80, np.uint8))
            write_image(root / "instances" / name, object_of(2001, (90, 160), np.uint16))


@pytest.mark.parametrize(
    "write, data, height, width, count",
    [(write_bdd100k, "bdd100k", 720, 1280, 3), (write_kitti_mots, "kitti_mots", 384, 1248, 24)],
)
def test_training_pairs_have_the_recipes_size(
    write: Callable[[Path], None], data: str, height: int, width: int, count: int, tmp_path: Path
) -> None:
    write(tmp_path)
    config = read_config(DATA / f"data_{data}.py")
    dataset = config.train_dataloader.dataset.to_dict()
    for source in dataset["sources"]:
        source["root"] = str(tmp_path)
    pairs = DATASETS.build(dataset)
    item = pairs[0]
    assert len(pairs) == count
    assert item["inputs"].shape == (2, 3, height, width)
    for frame in item["data_samples"].video_data_samples:
        assert frame.gt_instances.labels.tolist() == [len(config.classes) - 1]
