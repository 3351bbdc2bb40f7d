"""tools/show_results.py draws results; tools/make_cocoa_data.py joins annotations."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import importlib.util
import json
import os
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

from vos_occ.datasets.amodal_export import write_amodal_images
from vos_occ.datasets.amodal_formats import read_annotation_file
from vos_occ.datasets.synthetic import SyntheticWorld, write_dataset

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("VOS_OCC_DATA", ROOT / ".." / "shared"))
COCOA_DEMO = SHARED / "data" / "cocoa_demo"


def load_tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / f"tools/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def drawing(tmp_path: Path) -> list[str]:
    """Arguments that draw the true masks of two pictures as results; those of the second are unsure."""
    write_dataset(tmp_path / "data", "train", (0,), image_format="png", height=96, width=160, num_frames=2)
    content = json.loads((tmp_path / "data/annotations_coco.json").read_text())
    fields = ("image_id", "category_id", "segmentation")
    results = [
        {**{field: record[field] for field in fields}, "score": 0.9 if record["image_id"] == 1 else 0.4}
        for record in content["annotations"]
    ]
    (tmp_path / "results.json").write_text(json.dumps(results))
    places = [str(tmp_path / "data/annotations_coco.json"), str(tmp_path / "results.json")]
    return [*places, "--images", str(tmp_path / "data/frames"), "--out", str(tmp_path / "out")]


def test_what_is_sure_enough_is_drawn_where_it_is(drawing: list[str], tmp_path: Path, capsys) -> None:
    tool = load_tool("show_results")
    assert tool.main(drawing) == 0
    assert capsys.readouterr().out.startswith("2 pictures in ")
    content = json.loads((tmp_path / "data/annotations_coco.json").read_text())
    for image in content["images"]:
        before = cv2.imread(str(tmp_path / "data/frames" / image["file_name"]))
        after = cv2.imread(str(tmp_path / "out" / image["file_name"].replace("/", "_")))
        assert (not np.array_equal(before, after)) == (image["id"] == 1)
    assert tool.main(drawing) == 2, "pictures are not replaced unasked"
    assert tool.main([*drawing, "--overwrite", "--limit", "1"]) == 0


def test_pictures_of_one_name_in_two_folders_are_two() -> None:
    name = load_tool("show_results").picture_name
    assert [name("a/1.jpg"), name("b/1.jpg"), name("../1.x.png"), name("/data/1.jpg")] == [
        "a_1.png",
        "b_1.png",
        "1.x.png",
        "data_1.png",
    ]


def test_results_of_other_images_are_one_line(drawing: list[str], tmp_path: Path, capsys) -> None:
    (tmp_path / "results.json").write_text(json.dumps([{"image_id": 99, "category_id": 1, "score": 1.0}]))
    assert load_tool("show_results").main(drawing) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_annotations_of_single_images_become_one_file(tmp_path: Path, capsys) -> None:
    world = SyntheticWorld("train", height=96, width=160, num_frames=2)
    write_amodal_images(tmp_path / "whole", "cocoa", [world.video(0)])
    whole = json.loads((tmp_path / "whole/annotations.json").read_text())
    (tmp_path / "single").mkdir()
    for number, (image, annotation) in enumerate(zip(whole["images"], whole["annotations"], strict=True)):
        pixels = cv2.imread(str(tmp_path / "whole/images" / image["file_name"]))
        cv2.imwrite(str(tmp_path / f"single/{number}.jpg"), pixels)
        (tmp_path / f"single/{number}.json").write_text(json.dumps(annotation))
    tool, out = load_tool("make_cocoa_data"), tmp_path / "single/annotations.json"
    assert tool.main([str(tmp_path / "single"), "--out", str(out)]) == 0
    assert capsys.readouterr().out.endswith(": 2 images.\n")
    found, expected = (read_annotation_file(p, "cocoa").objects for p in (out, tmp_path / "whole/annotations.json"))
    assert {i: len(things) for i, things in found.items()} == {i: len(things) for i, things in expected.items()}
    assert tool.main([str(tmp_path / "single"), "--out", str(out)]) == 2, "an existing file is not replaced unasked"
    assert tool.main([str(tmp_path / "whole"), "--out", str(tmp_path / "x.json")]) == 2
    assert "has no NAME.json beside a NAME.jpg" in capsys.readouterr().err


@pytest.mark.skipif(not COCOA_DEMO.is_dir(), reason="needs the shared folder cocoa_demo")
def test_the_demo_of_cocoa_becomes_one_file(tmp_path: Path) -> None:
    assert load_tool("make_cocoa_data").main([str(COCOA_DEMO), "--out", str(tmp_path / "a.json")]) == 0
    objects = read_annotation_file(tmp_path / "a.json", "cocoa").objects
    assert (len(objects), sum(map(len, objects.values()))) == (5, 48)
