"""COCO instance annotations and results, and what the synthetic world adds to them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pycocotools import mask as mask_api

from eval.errors import SchemaError
from eval.image_ap import ImageObject
from eval.readers.record import (
    Category,
    Record,
    by_id,
    categories,
    load_json,
    load_object,
    records,
    refuse_strangers,
    table,
)
from eval.readers.segmentation import WrittenMask, read_masks
from eval.rle import Rle, areas

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Image:
    """An image."""

    id: int
    width: int
    height: int
    file_name: str


@dataclass(frozen=True)
class Annotation:
    """One annotated object.

    Attributes:
        id: Its own in the file.
        image_id: The image.
        category_id: The category.
        iscrowd: Whether it stands for many objects.
        segmentation: Its mask; None where only a box is annotated.
        bbox: (x, y, width, height) in pixels, from the mask where the file states none.
        area: Pixels as stated, from mask or box where the file states none.
        extra: The record's other fields. Of those `hidden` is a fraction or None, `in_front_of` a list of ids or None,
            and `amodal_segmentation` is decoded.
    """

    id: int
    image_id: int
    category_id: int
    iscrowd: bool
    segmentation: Rle | None
    bbox: Box
    area: float
    extra: Mapping[str, Any]

    def image_object(self, ignored: bool = False, lost: bool = False) -> ImageObject:
        """The object as `image_ap` takes it; for the arguments see there."""
        return ImageObject(
            image_id=self.image_id,
            category_id=self.category_id,
            mask=self.segmentation,
            bbox=self.bbox,
            iscrowd=self.iscrowd,
            ignored=ignored,
            area=self.area,
            lost=lost,
        )


@dataclass(frozen=True)
class CocoDataset:
    """An annotation file; without annotations (a published test set) `annotations` is empty."""

    path: Path
    images: tuple[Image, ...]
    annotations: tuple[Annotation, ...]
    categories: tuple[Category, ...]
    has_annotations: bool

    def __repr__(self) -> str:
        return (
            f"CocoDataset({self.path.name}: {len(self.images)} images, {len(self.annotations)} annotations, "
            f"{len(self.categories)} categories)"
        )

    def objects(self, counts: Callable[[Annotation], bool] = lambda annotation: True) -> list[ImageObject]:
        """The ground truth for `image_ap`.

        Args:
            counts: Which annotations are to be found, such as
                `lambda annotation: annotation.extra["hidden"] > .3`; the others are ignored.

        Raises:
            SchemaError: The file has no annotations, against which everything would score nothing.
        """
        if not self.has_annotations:
            raise SchemaError(f"{self.path.name} has no annotations to score against. Give the file that has them.")
        return [annotation.image_object(ignored=not counts(annotation)) for annotation in self.annotations]


def read_coco(path: str | Path) -> CocoDataset:
    """Read a COCO instance annotation file.

    Raises:
        SchemaError: There is no such file, or a record does not fit.
    """
    document = load_object(path)
    images = read_images(document)
    names = categories(document)
    annotations: tuple[Annotation, ...] = ()
    has_annotations = document.values.get("annotations") is not None
    if has_annotations:
        written = table(document, "annotations", lambda record: record)
        annotations = decode_annotations(written, by_id(images), by_id(names))
        image_of = {annotation.id: annotation.image_id for annotation in annotations}
        for record in written:
            behind = record.values.get("in_front_of")
            refuse_strangers(record, "in_front_of", behind, image_of, record.integer("id"), record.integer("image_id"))
    return CocoDataset(Path(path), images, annotations, names, has_annotations)


def read_images(document: Record) -> tuple[Image, ...]:
    """The field `images` of a COCO-like file."""
    return table(document, "images", _image)


def read_coco_results(path: str | Path, dataset: CocoDataset) -> list[ImageObject]:
    """Read COCO results: a list of {image_id, category_id, score, segmentation or bbox or both}, in file order.

    Raises:
        SchemaError: There is no such file, or a record does not fit the dataset.
    """
    written = list(records(load_json(path), "", Path(path).name))
    return decode_results(written, by_id(dataset.images), by_id(dataset.categories))


def decode_annotations(
    written: Sequence[Record],
    images: Mapping[int, Image],
    names: Mapping[int, Category],
    *,
    masks: bool = True,
    official: bool = False,
) -> tuple[Annotation, ...]:
    """The annotations that some records hold, all their masks at once.

    Args:
        written: The records.
        images: Those of the file by id.
        names: Its categories by id.
        masks: False leaves out the masks of records that have a box.
        official: Let pass areas that are negative.

    Raises:
        SchemaError: A record does not fit.
    """
    extents = _extents(written, images, masks)
    amodal = {i: record.values["amodal_segmentation"] for i, record in enumerate(written) if _has_amodal(record)}
    read = read_masks([_written(written[i], images, value, "amodal_segmentation") for i, value in amodal.items()])
    amodal = dict(zip(amodal, read, strict=True))
    return tuple(
        _annotation(record, extent, names, amodal.get(i), official)
        for i, (record, extent) in enumerate(zip(written, extents, strict=True))
    )


def decode_results(
    written: Sequence[Record],
    images: Mapping[int, Image],
    names: Mapping[int, Category],
    *,
    masks: bool = True,
    official: bool = False,
) -> list[ImageObject]:
    """The detections that some records hold, all their masks at once.

    Args:
        written: The records.
        images: Those of the annotations by id.
        names: Their categories by id.
        masks: False leaves out the masks of records that have a box.
        official: Let pass scores that are no number and masks of another size than the image.

    Raises:
        SchemaError: A record does not fit.
    """
    return [
        ImageObject(
            image_id=record.integer("image_id"),
            category_id=record.known("category_id", names, "category"),
            mask=mask,
            bbox=box,
            score=record.any_number("score", missing=math.nan) if official else record.number("score"),
        )
        for record, (mask, box) in zip(written, _extents(written, images, masks, official), strict=True)
    ]


def _image(record: Record) -> Image:
    height, width = record.extent()
    return Image(
        id=record.integer("id"),
        width=width,
        height=height,
        file_name=record.text("file_name", default=""),
    )


def _annotation(
    record: Record, extent: tuple[Rle | None, Box], names: Mapping[int, Category], amodal: Rle | None, official: bool
) -> Annotation:
    mask, box = extent
    extra = record.extra("id", "image_id", "category_id", "iscrowd", "segmentation", "bbox", "area")
    if "hidden" in extra:
        extra["hidden"] = record.fraction(extra["hidden"], "hidden")
    if "in_front_of" in extra:
        extra["in_front_of"] = record.ids(extra["in_front_of"], "in_front_of")
    if _has_amodal(record):
        extra["amodal_segmentation"] = amodal
    if record.values.get("area") is not None:
        area = record.number("area") if official else record.size("area")
    else:
        area = float(areas([mask])[0]) if mask else box[2] * box[3]
    return Annotation(
        id=record.integer("id"),
        image_id=record.integer("image_id"),
        category_id=record.known("category_id", names, "category"),
        iscrowd=record.flag("iscrowd"),
        segmentation=mask,
        bbox=box,
        area=area,
        extra=extra,
    )


def _has_amodal(record: Record) -> bool:
    return "amodal_segmentation" in record.values


def _written(record: Record, images: Mapping[int, Image], value: Any, field: str) -> WrittenMask:
    image = images[record.known("image_id", images, "image")]
    return WrittenMask(value, image.height, image.width, record, field)


def _extents(
    written: Sequence[Record], images: Mapping[int, Image], masks: bool, own_size: bool = False
) -> list[tuple[Rle | None, Box]]:
    """Mask and box of each record; the box from the mask where only that is there."""
    values = [
        record.values.get("segmentation") if masks or not record.values.get("bbox") else None for record in written
    ]
    wanted = [_written(record, images, value, "segmentation") for record, value in zip(written, values, strict=True)]
    read = read_masks([mask.of_own_size() for mask in wanted] if own_size else wanted)
    return [(mask, _box(record, mask)) for record, mask in zip(written, read, strict=True)]


def _box(record: Record, mask: Rle | None) -> Box:
    if record.values.get("bbox"):
        return record.box(record.values["bbox"], "bbox")
    if mask is None:
        raise record.error("", "has neither segmentation nor bbox", "Add one or remove the record.")
    x, y, width, height = mask_api.toBbox(mask).tolist()
    return x, y, width, height
