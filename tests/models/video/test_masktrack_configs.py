"""configs/masktrack: the models build, learn from pairs of their data format, and hold what the papers say."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import json
from pathlib import Path

import cv2
import mmdet
import numpy as np
import pytest
import torch
from mmdet.datasets import YouTubeVISDataset
from mmdet.registry import DATASETS
from mmengine.config import Config

from vos_occ.inference.load import build_model
from vos_occ.models.bilayer import BilayerMaskHead
from vos_occ.models.bilayer.plain_head import PlainMaskHead
from vos_occ.training import read_config, require_trainable

FOLDER = Path(__file__).parents[3] / "configs/masktrack"
HEADS = {
    "masktrack_bilayer_r50_ytvis2019": BilayerMaskHead,
    "masktrack_fcn_r50_ytvis2019": PlainMaskHead,
    "masktrack_bilayer_r50_ovis": BilayerMaskHead,
}


@pytest.fixture(params=sorted(HEADS))
def config(request: pytest.FixtureRequest) -> Config:
    return read_config(FOLDER / f"{request.param}.py")


def head_of(config: Config) -> type:
    return HEADS[Path(config.filename).stem]


def test_every_config_of_the_folder_is_tested() -> None:
    assert {path.stem for path in FOLDER.glob("masktrack_*.py")} == set(HEADS)


def test_every_config_says_that_it_was_not_trained_here() -> None:
    assert all("# NOT TRAINED HERE" in path.read_text() for path in FOLDER.glob("*.py"))


def test_model_builds_without_a_download(config: Config) -> None:
    require_trainable(config, config.filename)
    model = build_model(config.model.to_dict(), config.classes)
    assert type(model.detector.roi_head.mask_head) is head_of(config)
    assert model.detector.roi_head.bbox_head.fc_cls.out_features == len(config.classes) + 1
    assert model.test_scale == (640, 360)
    if head_of(config) is BilayerMaskHead:
        assert model.detector.roi_head.target_builder.occluder == "all"
        assert model.occlusion_options["order_known"] is False
        assert sum(p.numel() for p in model.detector.roi_head.mask_head.parameters()) == 6_296_580


def write_fake_dataset(folder: Path, classes: tuple[str, ...]) -> tuple[Path, Path]:
    """One video of two frames with one object of the last class, in a file with all categories."""
    names = [f"{t}.jpg" for t in range(2)]
    for name in names:
        cv2.imwrite(str(folder / name), np.full((90, 120, 3), 80, np.uint8))
    outline = [[20, 20, 80, 20, 80, 60, 20, 60]]
    document = {
        "videos": [{"id": 1, "width": 120, "height": 90, "length": 2, "file_names": names}],
        "annotations": [
            {"id": 1, "video_id": 1, "category_id": len(classes), "iscrowd": 0, "segmentations": [outline] * 2}
        ],
        "categories": [{"id": label + 1, "name": name} for label, name in enumerate(classes)],
    }
    (folder / "train.json").write_text(json.dumps(document))
    return folder / "train.json", folder


def test_training_pairs_have_the_recipes_size(config: Config, tmp_path: Path) -> None:
    dataset = config.train_dataloader.dataset.to_dict()
    (source,) = dataset["sources"]
    source["ann_file"], source["image_root"] = write_fake_dataset(tmp_path, config.classes)
    pairs = DATASETS.build(dataset)
    item = pairs[0]
    assert len(pairs) == 2
    assert item["inputs"].shape == (2, 3, 360, 640) and item["inputs"].dtype == torch.uint8
    for frame in item["data_samples"].video_data_samples:
        assert frame.gt_instances.labels.tolist() == [len(config.classes) - 1]
        width, height = (frame.gt_instances.bboxes[0, 2:] - frame.gt_instances.bboxes[0, :2]).tolist()
        assert (width, height) == pytest.approx((240, 160), abs=6), "4 times the size, ratio kept"


def test_schedule_is_the_papers(config: Config) -> None:
    warm_up, steps = config.param_scheduler
    assert config.train_cfg == {"type": "EpochBasedTrainLoop", "max_epochs": 12}
    assert (warm_up.start_factor, warm_up.end, warm_up.by_epoch) == (1 / 3, 500, False)
    assert (steps.milestones, steps.gamma, steps.by_epoch) == ([8, 11], 0.1, True)
    assert config.optim_wrapper.clip_grad.max_norm == 35
    optimizer = config.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.momentum, optimizer.weight_decay) == ("SGD", 0.005, 0.9, 1e-4)
    assert config.auto_scale_lr == {"enable": True, "base_batch_size": 16 if len(config.classes) == 25 else 32}


def test_classes_of_ytvis_2019_are_mmdets() -> None:
    YouTubeVISDataset.set_dataset_classes("2019")
    for name in HEADS:
        if name.endswith("ytvis2019"):
            assert read_config(FOLDER / f"{name}.py").classes == YouTubeVISDataset.METAINFO["classes"]


def test_ovis_has_its_25_classes_with_their_spelling() -> None:
    classes = read_config(FOLDER / "masktrack_bilayer_r50_ovis.py").classes
    assert len(set(classes)) == 25 and classes[0] == "Person" and classes[-1] == "Vehical"


def test_coco_start_is_mmdets() -> None:
    """By `init_cfg` of the detector: `load_from` would look for names with the prefix `detector.`, and find none."""
    shipped = Path(mmdet.__file__).parent / ".mim/configs/masktrack_rcnn"
    theirs = Config.fromfile(shipped / "masktrack-rcnn_mask-rcnn_r50_fpn_8xb1-12e_youtubevis2019.py")
    ours = read_config(FOLDER / "masktrack_bilayer_r50_ytvis2019.py")
    assert ours.model.detector.init_cfg == theirs.model.detector.init_cfg
    assert ours.get("load_from") is None
