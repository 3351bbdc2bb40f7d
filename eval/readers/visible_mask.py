"""Amodal datasets that are COCO files with one mask more: COCOA-cls, D2SA, and our synthetic world.

COCOA-cls and D2SA: `segmentation` is amodal, `visible_mask` what is seen, `occlude_rate` the hidden fraction (0 where
missing). An object with nothing hidden may leave `visible_mask` out. Polygons may be flat lists, `iscrowd` missing.

Synthetic: `segmentation` is what is seen, `amodal_segmentation` the whole, `hidden` the fraction, `in_front_of` the
order.
"""

from __future__ import annotations

from dataclasses import replace

from eval.readers.amodal import AmodalDataset, AmodalObject, WrittenObject, coco_like, ids
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
    amodal = written.required("segmentation")
    rate = written.record.fraction(written.record.values.get("occlude_rate"), "occlude_rate")
    visible = _visible(written, amodal, rate)
    return replace(written.instance(amodal, visible, boxes=("bbox", None), area=("area",)), occlude_rate=rate)


def _visible(written: WrittenObject, amodal: Rle, rate: float | None) -> Rle:
    if written.record.values.get("visible_mask") is None:
        if rate == 0:
            return amodal
        raise written.record.error(
            "visible_mask",
            f"is missing, but occlude_rate is {'missing too' if rate is None else rate}",
            "Add the visible mask, or occlude_rate 0 if nothing is hidden.",
        )
    return written.or_empty("visible_mask")


def _synthetic(written: WrittenObject) -> AmodalObject:
    record = written.record
    amodal, visible = written.required("amodal_segmentation"), written.or_empty("segmentation")
    return replace(
        written.instance(amodal, visible, boxes=("amodal_bbox", "bbox")),
        occlude_rate=record.fraction(record.values.get("hidden"), "hidden"),
        in_front_of=ids(record, "in_front_of"),
    )
