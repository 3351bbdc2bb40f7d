"""Which of the amodal formats a file is in."""

from __future__ import annotations

from collections.abc import Callable

from eval.errors import SchemaError
from eval.readers.amodal import AmodalDataset
from eval.readers.cocoa import cocoa_dataset
from eval.readers.kins import kins_dataset
from eval.readers.record import Record
from eval.readers.visible_mask import synthetic_dataset, visible_mask_dataset

_DECODERS: tuple[tuple[str, Callable[[Record], AmodalDataset]], ...] = (
    ("regions", cocoa_dataset),
    ("a_segm", kins_dataset),
    ("inmodal_seg", kins_dataset),
    ("amodal_segmentation", synthetic_dataset),
    ("visible_mask", visible_mask_dataset),
    ("occlude_rate", visible_mask_dataset),
)


def amodal_dataset(document: Record) -> AmodalDataset:
    """Decode an amodal annotation file of any format that we know, told apart by the fields of its annotations.

    Raises:
        SchemaError: It is of none, or a record does not fit.
    """
    annotations = document.values.get("annotations")
    annotations = annotations if isinstance(annotations, list) else []
    fields = {field for annotation in annotations if isinstance(annotation, dict) for field in annotation}
    for field, decode in _DECODERS:
        if field in fields:
            return decode(document)
    known = ", ".join(field for field, _ in _DECODERS)
    raise SchemaError(f"{document.file} has no amodal annotations: none has one of {known}. Give an amodal dataset.")
