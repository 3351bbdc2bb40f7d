"""configs/masktrack: the models are what the papers say, at full size, and learn from pairs of their data format."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import json
from functools import cache
from pathlib import Path

import cv2
import mmdet
import numpy as np
import pytest
import torch
from mmdet.datasets import YouTubeVISDataset
from mmdet.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import nn

from vos_occ.inference.load import build_model
from vos_occ.models.bilayer import BilayerMaskHead
from vos_occ.models.bilayer.plain_head import PlainMaskHead
from vos_occ.training import read_config, require_trainable

FOLDER = Path(__file__).parents[3] / "configs/masktrack"
DATA = {"ytvis2019": 40, "ytvis2021": 40, "ytvis2022": 40, "ovis": 25, "bdd100k": 8, "kitti_mots": 2}
MOTS = ("bdd100k", "kitti_mots")
HEADS = {"fcn": PlainMaskHead, "bilayer": BilayerMaskHead}
RECIPES = [f"masktrack_{head}_r50_{data}" for head in HEADS for data in DATA]


@pytest.fixture(params=RECIPES)
def config(request: pytest.FixtureRequest) -> Config:
    return read_config(FOLDER / f"{request.param}.py")


def head_and_data(config: Config) -> tuple[str, str]:
    _, head, _, data = Path(config.filename).stem.split("_", maxsplit=3)
    return head, data


@cache
def on_meta(path: str) -> nn.ModuleDict:
    """The parts of the model without memory; as a whole, a video model tries its tracking on real numbers."""
    model = read_config(path).model
    with DefaultScope.overwrite_default_scope("mmdet"), torch.device("meta"):
        return nn.ModuleDict({part: MODELS.build(model[part]) for part in ("detector", "track_head")})


def size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


# Parameter counts, from the layers and not from the code


def conv(into: int, out: int, kernel: int) -> int:
    return into * out * kernel**2 + out


RESNET_50 = 25_557_032 - 2_049_000  # torchvision's, without its classifier
FPN = sum(conv(c, 256, 1) for c in (256, 512, 1024, 2048)) + 4 * conv(256, 256, 3)
RPN = conv(256, 256, 3) + conv(256, 3, 1) + conv(256, 12, 1)
FULLY_CONNECTED = conv(256 * 49, 1024, 1) + conv(1024, 1024, 1)  # of the box head, and again of the embedding


def mask_head_size(head: str, classes: int) -> int:
    """4 convolutions and a deconvolution; or 8, four deconvolutions with outputs, two non-local blocks."""
    if head == "fcn":
        return 4 * conv(256, 256, 3) + conv(256, 256, 2) + conv(256, classes, 1)
    return 8 * conv(256, 256, 3) + 4 * (conv(256, 256, 2) + conv(256, 1, 1)) + 2 * 262_656


def test_every_config_of_the_folder_is_tested() -> None:
    files = {path.stem for path in FOLDER.glob("*.py")}
    assert files == {"base_r50", *(f"data_{data}" for data in DATA), *RECIPES}


def test_recipe_says_what_is_published_where_data_lies_and_that_it_was_not_trained(config: Config) -> None:
    text = Path(config.filename).read_text()
    head, data = head_and_data(config)
    assert "# Published: " in text or "# No such result is published" in text
    assert "# NOT TRAINED HERE" in text and f"layout in data_{data}.py" in text
    assert "# Layout" in (FOLDER / f"data_{data}.py").read_text()
    assert text.count("_base_") == 1 and "_base_" not in (FOLDER / f"data_{data}.py").read_text()


def test_model_has_the_parameters_of_its_layers(config: Config) -> None:
    require_trainable(config, config.filename)
    model, (head, data) = on_meta(config.filename), head_and_data(config)
    classes, detector = DATA[data], model["detector"]
    assert type(detector.roi_head.mask_head) is HEADS[head]
    assert size(detector.roi_head.mask_head) == mask_head_size(head, classes)
    assert size(detector.backbone) == RESNET_50
    box_outputs = conv(1024, classes + 1, 1) + conv(1024, 4 * classes, 1)
    assert size(detector) == RESNET_50 + FPN + RPN + FULLY_CONNECTED + box_outputs + mask_head_size(head, classes)
    assert size(model["track_head"]) == FULLY_CONNECTED
    assert {name.split(".")[0] for name, _ in detector.named_parameters()} == {
        "backbone", "neck", "rpn_head", "roi_head",
    }  # fmt: skip
    assert [name for name, _ in model["track_head"].named_parameters()] == [
        f"embed_head.fcs.{i}.{kind}" for i in (0, 1) for kind in ("weight", "bias")
    ]
    frozen = {name for name, parameter in detector.named_parameters() if not parameter.requires_grad}
    assert "backbone.layer1.0.conv1.weight" in frozen and "backbone.layer2.0.conv1.weight" not in frozen


def test_the_parts_are_those_of_the_whole_model() -> None:
    config = read_config(FOLDER / "masktrack_bilayer_r50_ytvis2019.py")
    model = build_model(config.model.to_dict(), config.classes)
    parts = on_meta(config.filename)
    assert [name for name, _ in model.named_parameters()] == [name for name, _ in parts.named_parameters()]
    assert model.test_scale == (640, 360)


def test_the_bilayer_head_learns_contact_where_the_data_knows_no_order(config: Config) -> None:
    if head_and_data(config)[0] == "bilayer":
        assert config.model.detector.roi_head.mask_targets.occluder == "all"
        assert config.model.occlusion.order_known is False
    else:
        assert "occlusion" not in config.model and "mask_targets" not in config.model.detector.roi_head


def test_ovis_has_the_detector_of_the_released_cmasktrack_and_mots_that_of_pcan(config: Config) -> None:
    """docs/sources.md, trackers 2.4 and 3.1, against MaskTrack R-CNN's own of 1.2 and 1.4."""
    _, data = head_and_data(config)
    train, test = config.model.detector.train_cfg, config.model.detector.test_cfg
    found = (train.rpn.sampler.num, train.rpn_proposal.max_per_img, train.rcnn.sampler.num, test.rpn.max_per_img)
    is_large = data in ("ovis", *MOTS)
    assert found == ((256, 1000, 512, 1000) if is_large else (64, 200, 128, 200))
    assert (test.rcnn.score_thr, test.rcnn.max_per_img) == (0.5 if data in MOTS else 0.05, 100 if is_large else 10)
    assert train.rcnn.sampler.pos_fraction == 0.25
    released = data == "ovis"
    assert (config.model.track_head.train_cfg.sampler.num == 512) == released
    losses = config.model.detector.rpn_head.loss_bbox, config.model.detector.roi_head.bbox_head.loss_bbox
    if released:
        assert train.rpn.allowed_border == 0
        assert [(loss.type, loss.beta, loss.loss_weight) for loss in losses] == [
            ("SmoothL1Loss", 1 / 9, 1.0),
            ("SmoothL1Loss", 1.0, 1.0),
        ]


def test_embeddings_of_the_released_cmasktrack_begin_small() -> None:
    config = read_config(FOLDER / "masktrack_bilayer_r50_ovis.py")
    with DefaultScope.overwrite_default_scope("mmdet"):
        head = MODELS.build(config.model.track_head)
    head.init_weights()
    for fc in head.embed_head.fcs:
        assert float(fc.weight.detach().std()) == pytest.approx(0.01, rel=0.02) and not fc.bias.any()


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


@pytest.mark.parametrize("recipe", [recipe for recipe in RECIPES if not recipe.endswith(MOTS)])
def test_training_pairs_have_the_recipes_size(recipe: str, tmp_path: Path) -> None:
    config = read_config(FOLDER / f"{recipe}.py")
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
    batch = 16 if head_and_data(config)[1] in ("ovis", *MOTS) else 32
    assert config.auto_scale_lr == {"enable": True, "base_batch_size": batch}
    assert 8 * config.train_dataloader.batch_size == batch, "8 GPUs have the published batch"


@pytest.mark.parametrize("year, data", [("2019", "ytvis2019"), ("2021", "ytvis2021"), ("2021", "ytvis2022")])
def test_classes_of_youtube_vis_are_mmdets(year: str, data: str) -> None:
    class Classes(YouTubeVISDataset):  # which writes them into the class that it is asked through
        pass

    Classes.set_dataset_classes(year)
    assert read_config(FOLDER / f"data_{data}.py").classes == Classes.METAINFO["classes"]


def test_ovis_has_its_25_classes_with_their_spelling() -> None:
    classes = read_config(FOLDER / "data_ovis.py").classes
    assert len(set(classes)) == 25 and classes[0] == "Person" and classes[-1] == "Vehical"


def test_coco_start_is_mmdets() -> None:
    """By `init_cfg` of the detector: `load_from` would look for names with the prefix `detector.`, and find none."""
    shipped = Path(mmdet.__file__).parent / ".mim/configs/masktrack_rcnn"
    theirs = Config.fromfile(shipped / "masktrack-rcnn_mask-rcnn_r50_fpn_8xb1-12e_youtubevis2019.py")
    ours = read_config(FOLDER / "masktrack_bilayer_r50_ytvis2019.py")
    assert ours.model.detector.init_cfg == theirs.model.detector.init_cfg
    assert ours.get("load_from") is None
