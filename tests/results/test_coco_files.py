"""Datasets in COCO format."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO

from vos_occ.results import write_coco_dataset
from vos_occ.structures import OutputExistsError, SchemaError, rle


def dataset() -> dict[str, Any]:
    mask = rle.from_box((1, 1, 3, 3), 4, 5)
    box = {"id": 8, "image_id": 3, "category_id": 2, "iscrowd": 0, "area": 4, "bbox": [1, 1, 2, 2]}
    return {
        "images": [{"id": 3, "file_name": "0.jpg", "width": 5, "height": 4}],
        "annotations": [{**box, "segmentation": dict(mask), "hidden": 0.25}],
        "categories": [{"id": 2, "name": "star"}],
    }


def test_a_dataset_reads_back_as_it_was_given(tmp_path):
    write_coco_dataset(tmp_path / "c.json", **dataset())
    assert json.loads((tmp_path / "c.json").read_text()) == dataset()


def test_pycocotools_reads_the_masks(tmp_path):
    write_coco_dataset(tmp_path / "c.json", **dataset())
    coco = COCO(str(tmp_path / "c.json"))
    assert coco.annToMask(coco.anns[8]).sum() == 4


def test_numpy_values_are_written_as_numbers(tmp_path):
    content = dataset()
    content["annotations"][0] |= {"area": np.int64(4), "bbox": np.array([1, 1, 2, 2])}
    write_coco_dataset(tmp_path / "c.json", **content)
    assert json.loads((tmp_path / "c.json").read_text()) == dataset()


@pytest.mark.parametrize(
    ("part", "field", "value", "message"),
    [
        ("images", "file_name", None, r"images\[0\].file_name is missing"),
        ("annotations", "image_id", 5, r"annotations\[0\].image_id is 5, but no image"),
        ("annotations", "category_id", 5, r"annotations\[0\].category_id is 5, but no category"),
        ("annotations", "bbox", [1, 2], r"annotations\[0\].bbox is \[1, 2\], expected x, y, width, height"),
        ("annotations", "segmentation", None, r"annotations\[0\].segmentation is missing"),
        ("annotations", "segmentation", {"size": [5, 4], "counts": ""}, r"has size \[5, 4\], but image 3 is \[4, 5\]"),
        ("annotations", "area", float("inf"), "holds nan or infinity"),
        ("annotations", "id", True, "expected an integer"),
    ],
)
def test_a_wrong_dataset_is_refused_and_not_written(tmp_path, part, field, value, message):
    content = dataset()
    content[part][0][field] = value
    with pytest.raises(SchemaError, match=message):
        write_coco_dataset(tmp_path / "c.json", **content)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_not_overwritten_unless_asked(tmp_path):
    (tmp_path / "c.json").write_text("mine")
    with pytest.raises(OutputExistsError, match="Use --overwrite"):
        write_coco_dataset(tmp_path / "c.json", **dataset())
    assert (tmp_path / "c.json").read_text() == "mine"
    write_coco_dataset(tmp_path / "c.json", **dataset(), overwrite=True)
    assert json.loads((tmp_path / "c.json").read_text()) == dataset()
