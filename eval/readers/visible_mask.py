"""Amodal datasets that are COCO files with one mask more: COCOA-cls, D2SA, and our synthetic world.

COCOA-cls and D2SA: `segmentation` is amodal, `visible_mask` what is seen, `occlude_rate` the hidden fraction (0 where
missing). An object with nothing hidden may leave `visible_mask` out. Polygons may be flat lists, `iscrowd` missing.

Synthetic: `segmentation` is what is seen, `amodal_segmentation` the whole, `hidden` the fraction, `in_front_of` the
order.
"""

from __future__ import annotations

from pycocotools import mask as mask_api

from eval.readers.amodal import (
    AmodalDataset,
    AmodalObject,
    WrittenObject,
    area_of,
    box_of,
    coco_like,
    empty_mask,
    ids,
    required,
)
from eval.readers.record import Record
from eval.rle import Rle


def visible_mask_dataset(document: Record) -> AmodalDataset:
    """Decode a COCOA-cls or D2SA file.

    Raises:
        SchemaError: A record does not fit.
    """
    return coco_like(document, lambda record: ("segmentation", "visible_mask"), _object)


def synthetic_dataset(document: Record) -> AmodalDataset:
    """Decode a COCO file of the synthetic world.

    Raises:
        SchemaError: A record does not fit.
    """
    return coco_like(document, lambda record: ("segmentation", "amodal_segmentation"), _synthetic)


def _object(written: WrittenObject) -> AmodalObject:
    record = written.record
    amodal = required(record, written.masks, "segmentation", "amodal")
    rate = record.fraction(record.values.get("occlude_rate"), "occlude_rate")
    visible = _visible(written, amodal, rate)
    x, y, width, height = mask_api.toBbox(visible).tolist()
    return AmodalObject(
        id=record.integer("id"),
        image_id=written.image.id,
        category_id=written.category_id,
        amodal=amodal,
        visible=visible,
        amodal_box=box_of(record, "bbox", amodal),
        visible_box=(x, y, width, height),
        area=area_of(record, amodal, "area"),
        iscrowd=record.flag("iscrowd"),
        occlude_rate=rate,
    )


def _visible(written: WrittenObject, amodal: Rle, rate: float | None) -> Rle:
    if written.record.values.get("visible_mask") is None:
        if rate == 0:
            return amodal
        raise written.record.error(
            "visible_mask",
            f"is missing, but occlude_rate is {'missing too' if rate is None else rate}",
            "Add the visible mask, or occlude_rate 0 if nothing is hidden.",
        )
    return written.masks["visible_mask"] or empty_mask(written.image)


def _synthetic(written: WrittenObject) -> AmodalObject:
    record = written.record
    amodal = required(record, written.masks, "amodal_segmentation", "amodal")
    visible = written.masks["segmentation"] or empty_mask(written.image)
    return AmodalObject(
        id=record.integer("id"),
        image_id=written.image.id,
        category_id=written.category_id,
        amodal=amodal,
        visible=visible,
        amodal_box=box_of(record, "amodal_bbox", amodal),
        visible_box=box_of(record, "bbox", visible),
        area=area_of(record, amodal),
        iscrowd=record.flag("iscrowd"),
        occlude_rate=record.fraction(record.values.get("hidden"), "hidden"),
        in_front_of=ids(record, "in_front_of"),
    )
