"""Tools around occluders: pictures of the targets, occluder files, and the split COCO-OCC."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData

from eval.readers.coco import read_coco
from eval.readers.occluders import read_occluders
from vos_occ.datasets.amodal import amodal_samples
from vos_occ.datasets.amodal_export import write_amodal_images
from vos_occ.datasets.coco_occ import box_overlaps, image_overlap
from vos_occ.datasets.synthetic import SyntheticWorld, write_dataset
from vos_occ.models.bilayer.target_picture import CELL, OCCLUDEE, OCCLUDER, TITLE, target_picture
from vos_occ.models.bilayer.targets import BilayerTargetBuilder
from vos_occ.structures import rle

TOOLS = Path(__file__).parents[2] / "tools"


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"script_{name}", TOOLS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four pictures of the synthetic world as COCO, and four as KINS 2020."""
    root = tmp_path_factory.mktemp("data")
    write_dataset(root / "coco", "train", (0, 5), image_format="png", height=96, width=160, num_frames=2)
    world = SyntheticWorld("train", height=96, width=160, num_frames=2)
    write_amodal_images(root / "kins", "kins_2020", [world.video(0), world.video(1)])
    return root


# show_occluders


def rectangles() -> InstanceData:
    """Two rectangles: 0 behind 1, which covers its right half."""
    masks = np.zeros((2, 60, 80), np.uint8)
    masks[0, 10:50, 10:30] = 1
    masks[1, 5:55, 30:70] = 1
    return InstanceData(
        bboxes=torch.tensor([[10.0, 10, 50, 50], [30, 5, 70, 55]]),
        labels=torch.tensor([0, 1]),
        masks=BitmapMasks(masks, 60, 80),
        hidden=torch.tensor([0.5, torch.nan]),
        in_front=torch.tensor([[0, 0], [1, 0]], dtype=torch.int8),
    )


def layer_share(square: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """(CELL, CELL) bool: where a square has a layer's colour, on a black image."""
    return np.abs(square.astype(int) - (np.array(colour) * 0.55).round()).max(2) <= 1


def test_both_layers_are_drawn_where_the_head_learns_them() -> None:
    image = np.zeros((60, 80, 3), np.uint8)
    picture = target_picture(image, rectangles(), ("cup", "car"), BilayerTargetBuilder(occluder="in_front"), columns=1)
    top = round(60 * 3 * CELL / 80)
    assert picture.shape == (top + 2 * (TITLE + CELL), 3 * CELL, 3)
    first = picture[top + TITLE : top + TITLE + CELL]
    occludee, occluder = (first[:, i * CELL : (i + 1) * CELL] for i in (1, 2))
    half = CELL // 2
    inner = slice(12, half - 12)  # without the contours, two cells of six pixels wide
    assert layer_share(occludee, OCCLUDEE)[12:-12, inner].all() and not layer_share(occludee, OCCLUDEE)[:, half:].any()
    assert layer_share(occluder, OCCLUDER)[12:-12, half + 12 :].all()
    assert not layer_share(occluder, OCCLUDER)[:, :half].any()
    second = picture[-CELL:, 2 * CELL :]
    assert not layer_share(second, OCCLUDER).any(), "nobody lies in front of the second"
    titles = picture[top : top + TITLE], picture[top + TITLE + CELL : top + 2 * TITLE + CELL]
    assert all((title > 200).any() for title in titles)


def test_an_object_of_unknown_order_is_shown_as_such() -> None:
    instances = rectangles()
    instances.in_front = torch.full((2, 2), -1, dtype=torch.int8)
    image = np.full((60, 80, 3), 200, np.uint8)
    picture = target_picture(image, instances, ("cup", "car"), BilayerTargetBuilder(occluder="in_front"), columns=1)
    assert (picture[-CELL:, 2 * CELL :] == 50).all()


def test_pictures_of_a_file(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script, kins = tool("show_occluders"), data / "kins"
    arguments = [str(kins / "annotations.json"), "--images", str(kins / "images"), "--format", "kins"]
    arguments += ["--occluder", "in_front", "--out", str(tmp_path), "--image-id", "3", "1"]
    assert script.main(arguments) == 0
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["train_00000_00000_1.png", "train_00001_00000_3.png"]  # stem and id: folders may share a stem
    assert cv2.imread(str(tmp_path / names[0])).shape[1] == 9 * CELL
    assert script.main(arguments) == 2, "pictures are not replaced unasked"
    assert "already exists" in capsys.readouterr().err
    assert script.main([*arguments[:-2], "77"]) == 2
    assert "has no image 77" in capsys.readouterr().err


# make_occluders


def run_make(data: Path, tmp_path: Path, format_name: str, *options: str) -> Path:
    path = {"coco": data / "coco" / "annotations_coco.json", "kins": data / "kins" / "annotations.json"}[format_name]
    out = tmp_path / "occluders.json"
    assert tool("make_occluders").main([str(path), "--format", format_name, "--out", str(out), *options]) == 0
    return out


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_occluder_is_the_union_of_the_neighbours_in_the_box(data: Path, tmp_path: Path, workers: str) -> None:
    found = read_occluders(run_make(data, tmp_path, "coco", "--workers", workers))
    dataset = read_coco(data / "coco" / "annotations_coco.json")
    assert len(found) == len(dataset.annotations)
    occluded = 0
    for thing in dataset.annotations:
        x, y, w, h = thing.bbox
        union = np.zeros((96, 160), bool)
        for other in dataset.annotations:
            if other.image_id != thing.image_id or other.id == thing.id:
                continue
            u, v, ow, oh = other.bbox
            width, height = min(x + w, u + ow) - max(x, u) + 1, min(y + h, v + oh) - max(y, v) + 1  # VOC's +1
            shared = max(width, 0) * max(height, 0)
            if shared / ((w + 1) * (h + 1) + (ow + 1) * (oh + 1) - shared) > 0.05:
                union |= rle.decode(other.segmentation)
        inside = np.zeros_like(union)
        inside[int(y) : int(y + h), int(x) : int(x + w)] = union[int(y) : int(y + h), int(x) : int(x + w)]
        if inside.sum() > 20:
            np.testing.assert_array_equal(rle.decode(found[thing.id]), inside)
            occluded += 1
        else:
            assert found[thing.id] is None
    assert 0 < occluded < len(found)


def test_an_occluder_file_gives_the_targets_that_are_computed_online(data: Path, tmp_path: Path) -> None:
    kins = data / "kins"
    out = run_make(data, tmp_path, "kins", "--occluder", "in_front")
    builder = BilayerTargetBuilder(occluder="in_front", crop_to_gt_box=True)
    sides = [
        amodal_samples(kins / "annotations.json", kins / "images", format="kins", occluder_file=file)
        for file in (None, out)
    ]
    differences, occluded = [], 0
    for online, made in zip(*sides, strict=True):
        one, two = (sample["data_samples"].gt_instances for sample in (online, made))
        targets = []
        for gt in (one, two):
            gt.bboxes = gt.bboxes.tensor
            targets.append(builder([gt.bboxes], [torch.arange(len(gt.bboxes))], [gt], [(1.0, 1.0)]))
        known = targets[0].occluder_known
        differences.append((targets[0].occluder_mask != targets[1].occluder_mask)[known].float().mean())
        occluded += int(targets[1].occluded.sum())
    assert occluded > 3
    assert max(differences) < 0.01, "cells in which two occluders meet may differ"


def test_crowds_neither_occlude_nor_have_occluders(data: Path, tmp_path: Path) -> None:
    content = json.loads((data / "coco" / "annotations_coco.json").read_text())
    for record in content["annotations"]:
        record["iscrowd"] = 1
    (tmp_path / "crowds.json").write_text(json.dumps(content))
    script = tool("make_occluders")
    assert script.main([str(tmp_path / "crowds.json"), "--out", str(tmp_path / "out.json")]) == 0
    assert set(read_occluders(tmp_path / "out.json").values()) == {None}


# make_coco_occ


@pytest.mark.parametrize(
    ("metric", "expected"),
    [("iou", 0.25 / 1.75), ("smaller", 0.25), ("target", 0.25)],
)
def test_overlap_of_two_squares(metric: str, expected: float) -> None:
    boxes = [(0, 0, 10, 10), (5, 5, 10, 10)]
    assert image_overlap(boxes, metric) == pytest.approx(expected)
    ratios = box_overlaps(boxes, metric)
    assert (ratios.diagonal() == 0).all()


def test_overlap_counts_the_right_box_and_the_right_pairs() -> None:
    small_in_large = [(0, 0, 10, 10), (0, 0, 5, 4)]
    assert box_overlaps(small_in_large, "target").tolist() == [[0, 1], [0.2, 0]]
    assert image_overlap(small_in_large, "smaller") == 1
    three = [*small_in_large, (50, 50, 5, 5)]
    assert image_overlap(three, "iou", "mean") == pytest.approx(0.4 / 3)
    assert image_overlap(three, "iou", "max") == pytest.approx(0.2)
    assert image_overlap([(0, 0, 10, 10)]) == 0 and image_overlap([]) == 0
    assert image_overlap([(0, 0, 0, 0), (0, 0, 0, 0)]) == 0, "boxes of no size overlap nothing"


@pytest.fixture
def three_images(tmp_path: Path) -> Path:
    """Image 1 has two boxes of IoU 0.2, image 2 only with a crowd, image 3 one object."""

    def record(number: int, image_id: int, box: list[float], **fields: Any) -> dict[str, Any]:
        return {"id": number, "image_id": image_id, "category_id": 1, "bbox": box, "area": 7.5, "iscrowd": 0, **fields}

    annotations = [
        record(5, 1, [0, 0, 10, 10], area=60),
        record(6, 1, [0, 0, 5, 4], area=15),
        record(7, 2, [0, 0, 10, 10]),
        record(8, 2, [0, 0, 10, 10], iscrowd=1),
        record(9, 3, [0, 0, 10, 10]),
    ]
    images = [{"id": i, "file_name": f"00000000000{i}.jpg", "width": 20, "height": 20, "licence": i} for i in (1, 2, 3)]
    content = {"info": "x", "images": images, "categories": [{"id": 1, "name": "cup"}], "annotations": annotations}
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(content))
    return path


def coco_occ(path: Path, *options: str) -> dict[str, Any]:
    out = path.with_name("occ.json")
    assert tool("make_coco_occ").main([str(path), "--out", str(out), "--overwrite", *options]) == 0
    return json.loads(out.read_text())


def test_a_split_keeps_records_as_they_are(three_images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content, before = coco_occ(three_images), json.loads(three_images.read_text())
    assert content["images"] == before["images"][:1]
    assert content["annotations"] == before["annotations"][:2]
    assert (content["info"], content["categories"]) == (before["info"], before["categories"])
    assert "the paper's COCO-OCC has 1005 images" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["ids.txt", "names.txt", "ids.json", "other.json"])
def test_a_list_of_images_wins(three_images: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    content = {
        "ids.txt": "3\n000000000002\n",
        "names.txt": "val2017/000000000003.jpg\n000000000002.jpg\n",
        "ids.json": "[3, 2]",
        "other.json": json.dumps({"images": [{"id": 3}, {"id": 2}]}),
    }[name]
    listed = three_images.with_name(name)
    listed.write_text(content)
    assert [image["id"] for image in coco_occ(three_images, "--ids", str(listed))["images"]] == [2, 3]
    assert capsys.readouterr().err == "", "a list is the split, whatever its size"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--min-area", "20"], "has an overlap of 0.2. Lower --threshold"),
        (["--threshold", "0.21"], "has an overlap of 0.21"),
        (["--ids", "absent.txt"], "Image list absent.txt does not exist"),
    ],
)
def test_a_split_of_nothing_is_one_line(
    three_images: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tool("make_coco_occ")
    assert script.main([str(three_images), "--out", str(three_images.with_name("o.json")), *options]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_an_image_that_is_not_there_is_named(three_images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed = three_images.with_name("ids.txt")
    listed.write_text("3 99 98")
    script, out = tool("make_coco_occ"), str(three_images.with_name("o.json"))
    assert script.main([str(three_images), "--out", out, "--ids", str(listed)]) == 2
    assert "names image 99 and 1 more" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["show_occluders", "make_occluders", "make_coco_occ"])
def test_absent_files_are_one_line(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [str(tmp_path / "absent.json"), "--out", str(tmp_path / "out.json")]
    arguments += ["--images", str(tmp_path)] if name == "show_occluders" else []
    assert tool(name).main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"{name}: ") and error.count("\n") == 1 and "absent.json" in error
