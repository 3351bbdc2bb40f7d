"""configs/own: one entry says where the data lies; classes, heads and scoring follow from it."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from mmdet.registry import DATASETS, MODELS
from mmengine.registry import DefaultScope

import vos_occ.datasets.amodal
import vos_occ.models.bilayer  # noqa: F401  (register)
from eval.errors import SchemaError
from vos_occ.datasets.amodal_export import write_amodal_images
from vos_occ.datasets.synthetic import CLASSES, SyntheticWorld, write_dataset
from vos_occ.structures.errors import InputError
from vos_occ.training import read_config, require_trainable

COCO128 = Path(os.environ.get("VOS_OCC_DATA", Path(__file__).parents[2] / ".." / "shared")) / "data" / "coco128"
CONFIGS = Path(__file__).parents[2] / "configs/own"
RECIPES = sorted(path.stem for path in CONFIGS.glob("*.py") if not path.stem.startswith(("base_", "data", "runtime")))
FAST = {"serialize_data": False}  # which collects garbage, and takes longer than all else here


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pictures with six classes, by the layout of configs/own/data.py; val.json has other category ids."""
    folder = tmp_path_factory.mktemp("mine")
    write_dataset(folder, "train", (0,), image_format="png", height=96, width=160, num_frames=2)
    (folder / "frames").rename(folder / "images")
    content = json.loads((folder / "annotations_coco.json").read_text())
    (folder / "train.json").write_text(json.dumps(content))
    for record in content["annotations"]:
        record["category_id"] = 100 - record["category_id"]
    for category in content["categories"]:
        category["id"] = 100 - category["id"]
    (folder / "val.json").write_text(json.dumps(content))
    return folder


def options(folder: Path, **changes: str) -> list[str]:
    own = {"root": folder, "train": "train.json", "train_images": "images", "val": "val.json", "val_images": "images"}
    return [f"own_data.{key}={value}" for key, value in {**own, "format": "coco", **changes}.items()]


def heads(model: dict[str, Any]) -> list[dict[str, Any]]:
    roi_head = model["roi_head"]
    return [head for head in (model.get("bbox_head"), roi_head.get("bbox_head"), roi_head["mask_head"]) if head]


def test_the_recipes_are_there() -> None:
    assert {"faster_r50", "fcos_r50", "faster_small", "fcos_small", "coco128", "pennfudan", "cocoa_demo"} < set(RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_classes_are_those_of_the_training_file_everywhere(name: str, mine: Path) -> None:
    config = read_config(CONFIGS / f"{name}.py", options(mine))
    require_trainable(config, name)
    counts = [head["num_classes"] for head in heads(config.model)]
    loaders = (config.train_dataloader, config.val_dataloader)
    assert {len(CLASSES), *counts, *(loader.dataset.num_classes for loader in loaders)} == {len(CLASSES)}
    assert config.val_evaluator.protocol == "coco"
    with DefaultScope.overwrite_default_scope("mmdet"):
        train, val = (DATASETS.build({**loader.dataset, **FAST}) for loader in loaders)
        with torch.device("meta"):
            model = MODELS.build(config.model)
    assert train.metainfo["classes"] == val.metainfo["classes"] == CLASSES
    labels = [[i["bbox_label"] for i in dataset.get_data_info(0)["instances"]] for dataset in (train, val)]
    assert labels[0] == labels[1], "the same object has one label, whatever its category's id"
    assert model.roi_head.mask_head.num_classes == len(CLASSES)


def test_amodal_data_are_learned_and_scored_as_such(tmp_path: Path) -> None:
    world = SyntheticWorld("train", height=96, width=160, num_frames=2)
    for format_name, written, count in (("kins", "kins_2020", len(CLASSES)), ("cocoa", "cocoa", 1)):
        write_amodal_images(tmp_path / written, written, [world.video(0)])
        place = dict.fromkeys(("train", "val"), "annotations.json")
        config = read_config(CONFIGS / "faster_small.py", options(tmp_path / written, **place, format=format_name))
        assert (config.val_evaluator.protocol, config.model.roi_head.bbox_head.num_classes) == (format_name, count)
        with DefaultScope.overwrite_default_scope("mmdet"):
            assert DATASETS.build({**config.train_dataloader.dataset, **FAST}).extent == "amodal"


@pytest.mark.skipif(not COCO128.is_dir(), reason="needs the shared folder coco128")
def test_the_paths_of_a_real_set_are_right() -> None:
    config = read_config(CONFIGS / "coco128.py", [f"own_data.root={COCO128}"])
    with DefaultScope.overwrite_default_scope("mmdet"):
        dataset = DATASETS.build({**config.val_dataloader.dataset, **FAST})
    assert (len(dataset), config.model.roi_head.bbox_head.num_classes) == (128, 80)


def test_where_a_model_is_only_tested_the_training_file_may_be_absent(mine: Path) -> None:
    config = read_config(CONFIGS / "faster_small.py", options(mine, train="elsewhere.json"))
    assert set(config.val_dataloader.dataset.metainfo.classes) == set(CLASSES)


def test_files_with_different_classes_are_refused(mine: Path, tmp_path: Path) -> None:
    content = json.loads((mine / "val.json").read_text())
    content["categories"][0]["name"] = "cat"
    (tmp_path / "val.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="should have the same categories: only the first has ball, only the second"):
        read_config(CONFIGS / "faster_small.py", options(mine, val=str(tmp_path / "val.json")))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"trian": "x.json"}, InputError, "own_data should have root, train, train_images.*trian='x.json'"),
        ({"format": "voc"}, InputError, "its format one of coco, kins, cocoa.*format='voc'"),
        ({"train": "a.json", "val": "b.json"}, SchemaError, "a.json"),
    ],
)
def test_what_own_data_cannot_be(change: dict[str, str], error: type, message: str, mine: Path) -> None:
    with pytest.raises(error, match=message):
        read_config(CONFIGS / "faster_small.py", options(mine, **change))
