"""Image data that cannot be used, through train.py and test_image.py: one line, exit code 2, and nothing is lost."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import importlib.util
import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope

import vos_occ.models.bilayer  # noqa: F401  (registers)
from vos_occ.datasets.amodal_export import write_amodal_images
from vos_occ.datasets.synthetic import CLASSES, SyntheticWorld, write_dataset
from vos_occ.structures import rle

ROOT = Path(__file__).parents[2]
TRAINING = """
_base_ = ["CONFIGS/data_small.py", "CONFIGS/runtime_small.py"]
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.0))
train_cfg = dict(max_epochs=1, val_begin=9)
"""


def load_tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"{name}_of_images", ROOT / f"tools/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory, tiny_model_config: Callable[..., dict[str, Any]]) -> Path:
    """Two pictures as COCO, KINS and COCOA, a config, and a checkpoint of its model. No test may change it."""
    folder = tmp_path_factory.mktemp("shelf")
    write_dataset(folder / "coco", "train", (0,), image_format="png", height=96, width=160, num_frames=2)
    (folder / "coco/frames").rename(folder / "coco/images")
    (folder / "coco/annotations_coco.json").rename(folder / "coco/annotations.json")
    world = SyntheticWorld("train", height=96, width=160, num_frames=2)
    for written, name in (("kins_2020", "kins"), ("cocoa", "cocoa")):
        write_amodal_images(folder / name, written, [world.video(0)])
    model = tiny_model_config()["detector"]
    model["data_preprocessor"] = {"type": "DetDataPreprocessor", "pad_mask": True, "pad_size_divisor": 32}
    text = TRAINING.replace("CONFIGS", str(ROOT / "configs/own"))
    (folder / "config.py").write_text(f"{text}\nmodel = {model!r}\n")
    with DefaultScope.overwrite_default_scope("mmdet"):
        state = MODELS.build(ConfigDict(model)).state_dict()
    torch.save({"state_dict": state, "meta": {"dataset_meta": {"classes": CLASSES}}}, folder / "model.pth")
    return folder


Call = Callable[..., tuple[int, str]]


@pytest.fixture
def call(shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture) -> Call:
    """`call("train", "coco", change)`: exit code and stderr for a file of that format after `change(content)`.

    The train and the test file are the same. What is written lies over work and results of yesterday.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logging, "raiseExceptions", False)  # mmengine's loggers keep the stderr of the test before
    (tmp_path / "work").mkdir()
    (tmp_path / "work/epoch_9.pth").write_bytes(b"weeks of work")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/results.json").write_text("[]")
    places = {
        "train": [str(shelf / "config.py"), "--work-dir", "work"],
        "test_image": [str(shelf / "config.py"), str(shelf / "model.pth"), "--out", "out"],
    }

    def call(name: str, family: str, change: Callable[[dict], Any], **own: str) -> tuple[int, str]:
        content = json.loads((shelf / family / "annotations.json").read_text())
        change(content)
        (tmp_path / "mine.json").write_text(json.dumps(content))
        own_data = {"root": str(shelf / family), "format": family, "train_images": "images", "val_images": "images"}
        own_data |= dict.fromkeys(("train", "val"), str(tmp_path / "mine.json")) | own
        options = [f"own_data.{key}={value}" for key, value in own_data.items()]
        capfd.readouterr()
        code = load_tool(name).main([*places[name], "--overwrite", "--cfg-options", *options])
        return code, capfd.readouterr().err

    return call


def each(**fields: Any) -> Callable[[dict], None]:
    """Sets fields of all annotations; None removes them."""

    def change(content: dict) -> None:
        for record in content["annotations"]:
            for name, value in fields.items():
                record.pop(name, None)
                if value is not None:
                    record[name] = value

    return change


def one_class_less(content: dict) -> None:
    last = content["categories"].pop()["id"]
    content["annotations"] = [record for record in content["annotations"] if record["category_id"] != last]


def other_order(content: dict) -> None:
    for record in content["annotations"]:
        record["category_id"] = 100 - record["category_id"]
    for category in content["categories"]:
        category["id"] = 100 - category["id"]


BOTH, TRAIN, TEST = ("train", "test_image"), ("train",), ("test_image",)
REFUSED = {
    "boxes without masks": (TEST, "coco", each(segmentation=None), "has boxes but no masks"),
    "one mask is missing": (TEST, "coco", lambda c: c["annotations"][0].pop("segmentation"), "1 has no visible mask"),
    "empty polygons": (TRAIN, "coco", each(segmentation=[[]]), "annotations[0].segmentation[0] "),
    "an RLE in a list": (TRAIN, "coco", each(segmentation=[{"size": [96, 160], "counts": "0"}]), "segmentation[0] "),
    "boxes without a size": (TRAIN, "coco", each(bbox=[5, 5, 0, 0]), "has no object of the classes"),
    "crowds alone": (TRAIN, "coco", each(iscrowd=1), "that is no crowd"),
    "no annotations at all": (TEST, "coco", lambda c: c.pop("annotations"), "has no annotations"),
    "no categories": (TRAIN, "coco", lambda c: c.update(categories=[], annotations=[]), "has no categories"),
    "an image that is not there": (BOTH, "coco", lambda c: c["images"][0].update(file_name="x.png"), "1 of 2 images"),
    "KINS without visible masks": (TEST, "kins", each(a_segm=None, i_segm=None), "expected the inmodal mask"),
    "COCO's fields for KINS": (TRAIN, "kins", each(i_segm=None, i_bbox=None), "i_segm"),
    "COCOA without regions": (TRAIN, "cocoa", each(regions=None), "regions"),
    "COCOA without amodal masks": (TEST, "cocoa", lambda c: drop_regions_masks(c), "segmentation is missing"),
    "fewer classes than the model": (TEST, "coco", one_class_less, "bottle, blossom, but "),
    "classes in another order": (TEST, "coco", other_order, "bottle, blossom, but "),
}


def drop_regions_masks(content: dict) -> None:
    for record in content["annotations"]:
        for region in record["regions"]:
            del region["segmentation"]


CASES = [(tool, *rest) for tools, *rest in REFUSED.values() for tool in tools]
NAMES = [f"{name}, {tool}" for name, (tools, *_) in REFUSED.items() for tool in tools]


@pytest.mark.parametrize(("name", "family", "change", "message"), CASES, ids=NAMES)
def test_bad_data_is_one_line_and_code_two_and_nothing_is_lost(
    call: Call, tmp_path: Path, name: str, family: str, change: Callable[[dict], Any], message: str
) -> None:
    code, err = call(name, family, change)
    last = err.splitlines()[-1]
    assert code == 2
    assert last.startswith(f"{name}: ") and message in last, err
    assert "mine.json" in last or "images" in last, "the file at fault is named"
    assert "Traceback" not in err
    assert (tmp_path / "work/epoch_9.pth").read_bytes() == b"weeks of work"
    assert (tmp_path / "out/results.json").read_text() == "[]"
    assert not [path for path in tmp_path.rglob("*") if path.name in ("scores.json", "epoch_1.pth")]


def test_odd_data_are_trained_on_and_what_is_left_out_is_counted(call: Call, shelf: Path, tmp_path: Path) -> None:
    """Run lengths as lists, an object without a mask, a box without a size, a crowd: what files of users have."""

    def change(content: dict) -> None:
        for record in content["annotations"]:
            record["segmentation"]["counts"] = rle.run_lengths(record["segmentation"]).tolist()
        first, second, third = content["annotations"][:3]
        first["segmentation"] = []
        second["bbox"] = [5, 5, 0, 20]
        third["iscrowd"] = 1

    with pytest.warns(UserWarning, match="2 objects are left out: 1 without a pixel in their mask, 1 with a box thin"):
        code, err = call("train", "coco", change, val=str(shelf / "coco/annotations.json"))
    assert code == 0, err
    assert (tmp_path / "work/epoch_1.pth").is_file()
    (log,) = (tmp_path / "work").glob("*/*.log")
    assert re.search(r"loss_mask: 0\.\d*[1-9]", log.read_text())
