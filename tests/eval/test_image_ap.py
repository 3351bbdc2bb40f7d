"""Image AP against pycocotools, and what pycocotools cannot do."""

from __future__ import annotations

import contextlib
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as mask_api
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from eval.image_ap import ImageObject, image_ap
from eval.readers.coco import read_coco, read_coco_results
from eval.rle import Rle

SHARED = Path(os.environ.get("VOS_OCC_DATA", Path(__file__).parents[2] / ".." / "shared"))
COCO_100 = SHARED / "fixtures" / "coco_val2014_100"
FIELDS = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar1", "ar10", "ar100")


def rectangle(top: int, left: int, bottom: int, right: int, height: int = 20, width: int = 20) -> Rle:
    mask = np.zeros((height, width), np.uint8, order="F")
    mask[top:bottom, left:right] = 1
    rle = mask_api.encode(mask)
    return {"size": [height, width], "counts": rle["counts"].decode()}


A = rectangle(0, 0, 10, 10)
B = rectangle(10, 10, 20, 20)


def official_coco(ground_truth: list[dict], detections: list[dict], iou_type: str) -> dict[str, float]:
    """pycocotools' own numbers, without its printing."""
    images = sorted({a["image_id"] for a in ground_truth + detections})
    categories = sorted({a["category_id"] for a in ground_truth})
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": i, "height": 100, "width": 100} for i in images],
            "categories": [{"id": i} for i in categories],
            "annotations": ground_truth,
            "info": {},
        }
        coco.createIndex()
        evaluator = COCOeval(coco, coco.loadRes(detections), iou_type)
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return dict(zip(FIELDS, (float(v) for v in evaluator.stats), strict=False))


def random_instances(rng: np.random.Generator, count: int, truths: bool) -> list[dict]:
    instances = []
    for i in range(count):
        top, left, height, width = (int(v) for v in (*rng.integers(0, 3, 2) * 10, *rng.integers(1, 5, 2) * 12))
        bottom, right = min(100, top + height), min(100, left + width)
        instances.append(
            {
                "id": i + 1,
                "image_id": int(rng.integers(1, 4)),
                "category_id": int(rng.integers(1, 3)),
                "segmentation": rectangle(top, left, bottom, right, 100, 100),
                "bbox": [left, top, right - left, bottom - top],
                "area": float((bottom - top) * (right - left)),
            }
            | ({"iscrowd": int(rng.random() < 0.1)} if truths else {"score": float(rng.choice([0.2, 0.5, 0.9]))})
        )
    return instances


def image_object(raw: dict) -> ImageObject:
    return ImageObject(
        image_id=raw["image_id"],
        category_id=raw["category_id"],
        mask=raw.get("segmentation"),
        bbox=tuple(raw["bbox"]) if "bbox" in raw else None,
        score=raw.get("score", 1.0),
        iscrowd=bool(raw.get("iscrowd", 0)),
    )


@pytest.mark.parametrize("iou_type", ["segm", "bbox"])
@pytest.mark.parametrize("seed", range(4))
def test_image_ap_equals_pycocotools_on_random_scenes(seed: int, iou_type: Any) -> None:
    rng = np.random.default_rng(seed)
    ground_truth, detections = random_instances(rng, 30, True), random_instances(rng, 90, False)
    ours = image_ap([image_object(g) for g in ground_truth], [image_object(d) for d in detections], iou_type)
    for name, expected in official_coco(ground_truth, detections, iou_type).items():
        value = getattr(ours, name)
        assert (-1 if value is None else value) == pytest.approx(expected, abs=1e-12), name


def test_ignored_objects_are_neither_to_be_found_nor_wrong_to_find() -> None:
    def at(mask: Rle, **kwargs: Any) -> ImageObject:
        return ImageObject(image_id=1, category_id=1, mask=mask, **kwargs)

    hidden, open_to_view = at(A), at(B, ignored=True)
    assert image_ap([hidden, open_to_view], [at(B), at(A, score=0.5)]).ap == pytest.approx(1)
    assert image_ap([hidden, open_to_view], []).ar100 == 0
    twice = image_ap([hidden, open_to_view], [at(B), at(B, score=0.8), at(A, score=0.5)])
    assert twice.ap == pytest.approx(0.5), "unlike a crowd, an ignored object excuses one detection only"


def test_an_object_without_the_thing_to_compare_is_refused() -> None:
    thing = ImageObject(image_id=7, category_id=2, mask=A)
    with pytest.raises(ValueError, match=r"image 7 \(category 2\) has no bbox"):
        image_ap([thing], [thing], "bbox")


# pycocotools 2.0.11 on these files (segm), and the three printed decimals of val2014_fake_eval_res.txt (bbox).
COCO_100_SEGM = (0.319545, 0.562288, 0.298927, 0.387374, 0.310183, 0.326934, 0.268230, 0.415449, 0.416839)
COCO_100_BBOX = (0.505, 0.697, 0.573, 0.586, 0.519, 0.501, 0.387, 0.594, 0.595)


@pytest.mark.skipif(not COCO_100.exists(), reason=f"no COCO sample at {COCO_100}")
@pytest.mark.parametrize(
    ("iou_type", "expected", "tolerance"), [("segm", COCO_100_SEGM, 5e-7), ("bbox", COCO_100_BBOX, 5e-4)]
)
def test_image_ap_on_a_hundred_coco_images(iou_type: Any, expected: tuple, tolerance: float) -> None:
    dataset = read_coco(COCO_100 / "instances_val2014_100.json")
    results = json.loads((COCO_100 / f"instances_val2014_fake{iou_type}100_results.json").read_text())
    assert len(results) == 734
    detections = read_coco_results(COCO_100 / f"instances_val2014_fake{iou_type}100_results.json", dataset)
    scores = image_ap(dataset.objects(), detections, iou_type)
    np.testing.assert_allclose([getattr(scores, name) for name in FIELDS], expected, atol=tolerance)
