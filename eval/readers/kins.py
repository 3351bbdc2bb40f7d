"""KINS: amodal and inmodal (visible) masks of traffic on KITTI's images, in both forms in which they were published.

| | 2019 (`instances_{train,val}.json`) | 2020 (`update_{train,test}_2020.json`) |
| --- | --- | --- |
| amodal | `segmentation`, `bbox`, `area` | `a_segm`, `a_bbox`, `a_area` or `area` |
| visible | `inmodal_seg`, `inmodal_bbox` | `i_segm`, `i_bbox` |
| order | none | `oco_id`, `ico_id` |

Source: the README of the dataset's repository (update of 16.02.2020) and public code that reads the files of 2019.
"""

from __future__ import annotations

from eval.readers.amodal import (
    AmodalDataset,
    AmodalObject,
    WrittenObject,
    area_of,
    box_of,
    coco_like,
    empty_mask,
    required,
)
from eval.readers.record import Record


def kins_dataset(document: Record) -> AmodalDataset:
    """Decode a KINS file of either year.

    Raises:
        SchemaError: A record does not fit.
    """
    return coco_like(document, _fields, _object)


def _fields(record: Record) -> tuple[str, str]:
    """Names of the amodal and the visible mask."""
    names = ("a_segm", "i_segm") if "a_segm" in record.values else ("segmentation", "inmodal_seg")
    if names[1] not in record.values:
        raise record.error(names[1], "is missing, expected the inmodal mask", "Is this a file of another format?")
    return names


def _object(written: WrittenObject) -> AmodalObject:
    record = written.record
    is_2020 = "a_segm" in record.values
    amodal_name, visible_name = _fields(record)
    amodal = required(record, written.masks, amodal_name, "amodal")
    visible = written.masks[visible_name] or empty_mask(written.image)
    return AmodalObject(
        id=record.integer("id"),
        image_id=written.image.id,
        category_id=written.category_id,
        amodal=amodal,
        visible=visible,
        amodal_box=box_of(record, "a_bbox" if is_2020 else "bbox", amodal),
        visible_box=box_of(record, "i_bbox" if is_2020 else "inmodal_bbox", visible),
        area=area_of(record, amodal, *(("a_area", "area") if is_2020 else ("area",))),
        iscrowd=record.flag("iscrowd"),
        cluster=(record.integer("oco_id"), record.integer("ico_id")) if "oco_id" in record.values else None,
    )
