"""COCO instance annotations and results, and what the synthetic world adds to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pycocotools import mask as mask_api

from eval.errors import SchemaError
from eval.image_ap import ImageObject
from eval.readers.record import Category, Record, by_id, categories, load_json, load_object, records, table
from eval.readers.segmentation import read_mask
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
        return [
            ImageObject(
                image_id=annotation.image_id,
                category_id=annotation.category_id,
                mask=annotation.segmentation,
                bbox=annotation.bbox,
                iscrowd=annotation.iscrowd,
                ignored=not counts(annotation),
                area=annotation.area,
            )
            for annotation in self.annotations
        ]


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
        by_image, by_category = by_id(images), by_id(names)
        annotations = table(document, "annotations", lambda record: _annotation(record, by_image, by_category))
    return CocoDataset(Path(path), images, annotations, names, has_annotations)


def read_images(document: Record) -> tuple[Image, ...]:
    """The field `images` of a COCO-like file."""
    return table(document, "images", _image)


def read_coco_results(path: str | Path, dataset: CocoDataset) -> list[ImageObject]:
    """Read COCO results: a list of {image_id, category_id, score, segmentation or bbox or both}, in file order.

    Raises:
        SchemaError: There is no such file, or a record does not fit the dataset.
    """
    file = Path(path).name
    images, names = by_id(dataset.images), by_id(dataset.categories)
    return [_result(record, images, names) for record in records(load_json(path), "", file)]


def _image(record: Record) -> Image:
    return Image(
        id=record.integer("id"),
        width=record.positive("width"),
        height=record.positive("height"),
        file_name=record.text("file_name", default=""),
    )


def _annotation(record: Record, images: Mapping[int, Image], names: Mapping[int, Category]) -> Annotation:
    image = images[record.known("image_id", images, "image")]
    mask, box = _extent(record, image)
    extra = record.extra("id", "image_id", "category_id", "iscrowd", "segmentation", "bbox", "area")
    if "hidden" in extra:
        extra["hidden"] = record.fraction(extra["hidden"], "hidden")
    if "in_front_of" in extra:
        extra["in_front_of"] = record.ids(extra["in_front_of"], "in_front_of")
    if "amodal_segmentation" in extra:
        extra["amodal_segmentation"] = read_mask(
            extra["amodal_segmentation"], image.height, image.width, record, "amodal_segmentation"
        )
    area = float(areas([mask])[0]) if mask else box[2] * box[3]
    return Annotation(
        id=record.integer("id"),
        image_id=image.id,
        category_id=record.known("category_id", names, "category"),
        iscrowd=record.flag("iscrowd"),
        segmentation=mask,
        bbox=box,
        area=record.number("area") if record.values.get("area") is not None else area,
        extra=extra,
    )


def _result(record: Record, images: Mapping[int, Image], names: Mapping[int, Category]) -> ImageObject:
    image = images[record.known("image_id", images, "image")]
    mask, box = _extent(record, image)
    return ImageObject(
        image_id=image.id,
        category_id=record.known("category_id", names, "category"),
        mask=mask,
        bbox=box,
        score=record.number("score"),
    )


def _extent(record: Record, image: Image) -> tuple[Rle | None, Box]:
    """Mask and box; the box from the mask where only that is there."""
    mask = read_mask(record.values.get("segmentation"), image.height, image.width, record, "segmentation")
    if record.values.get("bbox"):
        return mask, record.box(record.values["bbox"], "bbox")
    if mask is None:
        raise record.error("", "has neither segmentation nor bbox", "Add one or remove the record.")
    x, y, width, height = mask_api.toBbox(mask).tolist()
    return mask, (x, y, width, height)
