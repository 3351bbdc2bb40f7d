"""What our own fields of COCO and YTVIS files may hold: fractions and lists of ids, or null for unknown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from eval.errors import SchemaError
from eval.readers.coco import read_coco
from eval.readers.ytvis import read_ytvis

SQUARE = [[1, 1, 3, 1, 3, 3, 1, 3]]

WRONG = [
    ("hidden", 43, "is 43, expected a fraction in [0, 1] or null"),
    ("hidden", -0.1, "expected a fraction in [0, 1] or null"),
    ("hidden", "much", "expected a finite number"),
    ("hidden", True, "expected a finite number"),
    ("in_front_of", 2, "is 2, expected a list of ids or null"),
    ("in_front_of", ["2"], "expected a list of ids or null"),
]


def coco_file(folder: Path, **fields: Any) -> Path:
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": SQUARE, **fields}
    path = folder / "coco.json"
    content = {"images": [{"id": 1, "width": 6, "height": 4}], "categories": [{"id": 1, "name": "person"}]}
    path.write_text(json.dumps(content | {"annotations": [annotation]}))
    return path


def ytvis_file(folder: Path, **fields: Any) -> Path:
    annotation = {"id": 1, "video_id": 1, "category_id": 1, "segmentations": [None, SQUARE], **fields}
    path = folder / "ytvis.json"
    videos = [{"id": 1, "width": 6, "height": 4, "length": 2}]
    content = {"videos": videos, "categories": [{"id": 1, "name": "person"}], "annotations": [annotation]}
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(("field", "value", "message"), WRONG)
def test_a_wrong_occlusion_field_of_an_image_is_named(tmp_path: Path, field: str, value: object, message: str) -> None:
    with pytest.raises(SchemaError) as error:
        read_coco(coco_file(tmp_path, **{field: value}))
    assert str(error.value).startswith(f"annotations[0].{field} is ")
    assert message in str(error.value)


@pytest.mark.parametrize(("field", "value", "message"), WRONG)
def test_a_wrong_occlusion_field_of_a_video_is_named(tmp_path: Path, field: str, value: object, message: str) -> None:
    with pytest.raises(SchemaError) as error:
        read_ytvis(ytvis_file(tmp_path, **{field: [None, value]}))
    assert str(error.value).startswith(f"annotations[0].{field}[1] is ")
    assert message in str(error.value)


def test_null_is_unknown(tmp_path: Path) -> None:
    (image,) = read_coco(coco_file(tmp_path, hidden=None, in_front_of=None)).annotations
    (track,) = read_ytvis(ytvis_file(tmp_path, hidden=[None, 1], in_front_of=[[], None])).tracks
    assert image.extra == {"hidden": None, "in_front_of": None}
    assert track.extra == {"hidden": (None, 1.0), "in_front_of": ([], None)}
