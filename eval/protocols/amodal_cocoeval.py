"""pycocotools' COCOeval on one part of amodal objects, to verify our numbers."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from eval.amodal_ap import RATIO_RANGES, AmodalInstance, AreaMode, Part, image_objects
from eval.image_ap import ImageObject
from eval.rle import areas


def cocoeval_numbers(
    truth: Sequence[AmodalInstance], found: Sequence[AmodalInstance], part: Part, area: AreaMode
) -> list[float]:
    """AP, AP50, AP75, AP of three ranges, AR1, AR10, AR100; -1 where nothing defines a number."""
    sides = image_objects(truth, part, area), image_objects(found, part, area)
    if not any(sides):
        return [-1.0] * 9
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(*(_index(side) for side in sides), "segm")
        evaluation.params.imgIds = sorted({thing.image_id for side in sides for thing in side})
        evaluation.params.catIds = sorted({thing.category_id for side in sides for thing in side})
        if area == "vrsp":
            evaluation.params.areaRng = [list(span) for span in RATIO_RANGES]
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(value) for value in evaluation.stats[:9]]


def _index(objects: Sequence[ImageObject]) -> Any:
    own = areas([thing.mask for thing in objects])
    coco = COCO()
    coco.dataset = {
        "images": [
            {"id": thing.image_id, "height": thing.mask["size"][0], "width": thing.mask["size"][1]}
            for thing in objects
            if thing.mask is not None
        ],
        "categories": [],
        "annotations": [
            {
                "id": number,
                "image_id": thing.image_id,
                "category_id": thing.category_id,
                "segmentation": thing.mask,
                "area": float(pixels) if thing.area is None else thing.area,
                "iscrowd": int(thing.iscrowd),
                "score": thing.score,
            }
            for number, (thing, pixels) in enumerate(zip(objects, own, strict=True), start=1)
        ],
    }
    coco.createIndex()
    return coco
