"""Annotations of still images in every format that `eval.readers` decodes, as one kind of object for training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from eval.readers.amodal import AmodalDataset as AmodalFile
from eval.readers.amodal import AmodalObject
from eval.readers.amodal_formats import amodal_dataset
from eval.readers.coco import Annotation, Box, Image, read_coco
from eval.readers.cocoa import cocoa_dataset
from eval.readers.kins import kins_dataset
from eval.readers.record import Category, Record, load_object
from eval.readers.visible_mask import synthetic_dataset, visible_mask_dataset
from eval.rle import Rle
from vos_occ.datasets.amodal_masks import Extent
from vos_occ.structures.errors import InputError

DECODERS: Mapping[str, Callable[[Record], AmodalFile]] = {
    "kins": kins_dataset,
    "cocoa": cocoa_dataset,
    "cocoa_cls": visible_mask_dataset,
    "d2sa": visible_mask_dataset,
    "synthetic": synthetic_dataset,
    "amodal": amodal_dataset,
}
FORMATS = ("coco", *DECODERS)
"""`coco` has visible masks alone; `amodal` is whichever of the others the fields of the file tell."""


@dataclass(frozen=True)
class TrainingObject:
    """One annotated object of an image.

    Attributes:
        id: of the annotation.
        category_id: of the file.
        crowd: whether it stands for many objects.
        visible, amodal: masks; None where the file has none.
        visible_box, amodal_box: (x, y, width, height) in pixels.
        hidden: covered fraction as the file states it.
        in_front_of: ids of what it hides part of; None where the file does not say.
        cluster: KINS-2020's `oco_id` and `ico_id`.
    """

    id: int
    category_id: int
    crowd: bool
    visible: Rle | None
    amodal: Rle | None
    visible_box: Box
    amodal_box: Box
    hidden: float | None = None
    in_front_of: tuple[int, ...] | None = None
    cluster: tuple[int, int] | None = None

    def extent(self, extent: Extent) -> tuple[Rle | None, Box]:
        """Its mask and box of one extent."""
        return (self.amodal, self.amodal_box) if extent == "amodal" else (self.visible, self.visible_box)


@dataclass(frozen=True)
class AnnotationFile:
    """The images of an annotation file, their objects by image id, and the categories."""

    images: Sequence[Image]
    objects: Mapping[int, Sequence[TrainingObject]]
    categories: Sequence[Category]


def read_annotation_file(path: str | Path, format_name: str, stuff: bool = True) -> AnnotationFile:
    """Read a file of any format.

    Args:
        path: the json.
        format_name: one of `FORMATS`.
        stuff: keep COCOA's regions of background.

    Raises:
        InputError: there is no such format, or the file has no annotations.
        SchemaError: the file is not of the format; names the record and the field that is missing.
    """
    if format_name == "coco":
        return _read_coco(path)
    if format_name not in DECODERS:
        raise InputError(f"Annotation format {format_name!r} is not known. Use one of {', '.join(FORMATS)}.")
    decoded = DECODERS[format_name](load_object(path))
    objects: dict[int, list[TrainingObject]] = {image.id: [] for image in decoded.images}
    for thing in decoded.objects:
        if stuff or not thing.is_stuff:
            objects[thing.image_id].append(_from_amodal(thing))
    return AnnotationFile(decoded.images, objects, decoded.categories)


def require_extent(extent: str, format_name: str) -> None:
    """Raises InputError unless files of the format have masks of this extent."""
    if extent not in get_args(Extent):
        raise InputError(f"Masks to learn must be amodal or visible, found {extent!r}.")
    if format_name == "coco" and extent == "amodal":
        raise InputError(
            "COCO files have no amodal masks to learn. Use extent='visible', or the format of an amodal dataset: "
            f"{', '.join(DECODERS)}."
        )


def _read_coco(path: str | Path) -> AnnotationFile:
    dataset = read_coco(path)
    if not dataset.has_annotations:
        raise InputError(f"{path} has no annotations, so it cannot be trained on. Use the train split.")
    if dataset.annotations and not any(annotation.segmentation for annotation in dataset.annotations):
        raise InputError(f"{path} has boxes but no masks: every segmentation is missing or empty. Add the masks.")
    objects: dict[int, list[TrainingObject]] = {image.id: [] for image in dataset.images}
    for annotation in dataset.annotations:
        objects[annotation.image_id].append(_from_coco(annotation))
    return AnnotationFile(dataset.images, objects, dataset.categories)


def _from_coco(annotation: Annotation) -> TrainingObject:
    behind = annotation.extra.get("in_front_of")
    return TrainingObject(
        id=annotation.id,
        category_id=annotation.category_id,
        crowd=bool(annotation.iscrowd),
        visible=annotation.segmentation,
        amodal=None,
        visible_box=annotation.bbox,
        amodal_box=annotation.bbox,
        hidden=annotation.extra.get("hidden"),
        in_front_of=None if behind is None else tuple(behind),
    )


def _from_amodal(thing: AmodalObject) -> TrainingObject:
    return TrainingObject(
        id=thing.id,
        category_id=thing.category_id,
        crowd=thing.iscrowd,
        visible=thing.visible,
        amodal=thing.amodal,
        visible_box=thing.visible_box,
        amodal_box=thing.amodal_box,
        hidden=thing.occlude_rate,
        in_front_of=thing.in_front_of,
        cluster=thing.cluster,
    )
