"""KINS: amodal and inmodal (visible) masks of traffic on KITTI's images, in both forms in which they were published.

| | 2019 (`instances_{train,val}.json`) | 2020 (`update_{train,test}_2020.json`) |
| --- | --- | --- |
| amodal | `segmentation`, `bbox`, `area` | `a_segm`, `a_bbox`, `a_area` or `area` |
| visible | `inmodal_seg`, `inmodal_bbox` | `i_segm`, `i_bbox` |
| order | none | `oco_id`, `ico_id` |

Source: the README of the dataset's repository (update of 16.02.2020) and public code that reads the files of 2019.
"""

from __future__ import annotations

from dataclasses import replace

from eval.readers.amodal import AmodalDataset, AmodalObject, WrittenObject, coco_like
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
    amodal, visible = _fields(record)
    thing = written.instance(
        written.required(amodal),
        written.or_empty(visible),
        boxes=("a_bbox", "i_bbox") if is_2020 else ("bbox", "inmodal_bbox"),
        area=("a_area", "area") if is_2020 else ("area",),
    )
    if "oco_id" not in record.values:
        return thing
    return replace(thing, cluster=(record.integer("oco_id"), record.integer("ico_id")))
