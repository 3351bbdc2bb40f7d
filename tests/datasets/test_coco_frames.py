from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from vos_occ.datasets.coco import CocoFrames
from vos_occ.results.coco import write_coco_dataset
from vos_occ.structures.errors import InputError
from vos_occ.structures.rle import encode

LEFT = "##..\n##..\n...."
RIGHT = "..##\n....\n...."


@pytest.fixture
def write(tmp_path: Path, draw):
    """Writes two images of 4 x 3 and a dataset; an annotation is (image id, picture, further fields)."""

    def write(*objects: tuple[int, str, dict[str, Any]]) -> Path:
        images = [{"id": i, "file_name": f"{i}.png", "width": 4, "height": 3} for i in (1, 2)]
        for image in images:
            cv2.imwrite(str(tmp_path / image["file_name"]), np.full((3, 4, 3), (0, 0, 90), np.uint8))
        annotations = [
            {
                "id": number,
                "image_id": image_id,
                "category_id": 3,
                "iscrowd": 0,
                "segmentation": encode(draw(picture).astype(bool)),
                "area": int(draw(picture).sum()),
                "bbox": [0, 0, 1, 1],
                **fields,
            }
            for number, (image_id, picture, fields) in enumerate(objects, start=7)
        ]
        categories = [{"id": 1, "name": "tree"}, {"id": 3, "name": "person"}]
        write_coco_dataset(tmp_path / "annotations.json", images, annotations, categories)
        return tmp_path / "annotations.json"

    return write


def test_an_image_is_a_video_of_one_frame(write, draw, tmp_path: Path) -> None:
    frames = CocoFrames(write((1, LEFT, {}), (1, RIGHT, {}), (2, RIGHT, {})), tmp_path, ["person"])
    assert frames.frames() == [[0], [0]]
    sample = frames.load(0)
    np.testing.assert_array_equal(sample.masks, [draw(LEFT), draw(RIGHT)])
    assert sample.instance_ids.tolist() == [7, 8]
    assert sample.labels.tolist() == [0, 0]
    assert sample.image[0, 0].tolist() == [90, 0, 0]
    assert np.isnan(sample.hidden).all()
    assert (sample.in_front == -1).all()


def test_polygons_are_drawn(write, draw, tmp_path: Path) -> None:
    sample = CocoFrames(write((1, LEFT, {"segmentation": [[0, 0, 2, 0, 2, 2, 0, 2]]})), tmp_path).load(0)
    np.testing.assert_array_equal(sample.masks, [draw(LEFT)])


def test_hidden_and_order_are_read(write, tmp_path: Path) -> None:
    front = {"hidden": 0, "in_front_of": [8]}
    sample = CocoFrames(write((1, LEFT, front), (1, RIGHT, {"hidden": 0.5, "in_front_of": []})), tmp_path).load(0)
    assert sample.hidden.tolist() == [0, 0.5]
    assert sample.in_front.tolist() == [[0, 1], [0, 0]]


def test_images_with_crowds_or_other_classes_only_are_not_used(write, tmp_path: Path) -> None:
    path = write((1, LEFT, {"iscrowd": 1}), (2, LEFT, {"category_id": 1}))
    assert CocoFrames(path, tmp_path, ["person"]).frames() == [[], []]
    assert CocoFrames(path, tmp_path).frames() == [[], [0]]


def test_images_without_objects_are_kept_when_told(write, tmp_path: Path) -> None:
    frames = CocoFrames(write((1, LEFT, {})), tmp_path, ["person"], keep_empty=True)
    assert frames.frames() == [[0], [0]]
    empty = frames.load(1)
    assert (len(empty), empty.masks.shape, empty.in_front.shape) == (0, (0, 3, 4), (0, 0))


def test_an_object_without_a_mask_is_refused(write, tmp_path: Path) -> None:
    path = write((1, LEFT, {}))
    content = json.loads(path.read_text())
    content["annotations"][0]["segmentation"] = None
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="annotation 7 has a box but no mask"):
        CocoFrames(path, tmp_path)


def test_a_file_without_annotations_is_refused(write, tmp_path: Path) -> None:
    path = write()
    path.write_text(json.dumps(json.loads(path.read_text()) | {"annotations": None}))
    with pytest.raises(InputError, match="has no annotations"):
        CocoFrames(path, tmp_path)
