"""Amodal annotations of all datasets as one thing.

The annotation formats are decoded in `kins`, `cocoa` and `visible_mask` (COCOA-cls, D2SA and our synthetic world).
All of them leave the same: an amodal and a visible mask for every object, never one without the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pycocotools import mask as mask_api

from eval.errors import SchemaError
from eval.readers.coco import Box, Image, read_images
from eval.readers.record import Category, Record, by_id, categories, refuse_strangers, table
from eval.readers.segmentation import WrittenMask, read_masks
from eval.rle import Rle, areas, empty_mask

Masks = Mapping[str, Rle | None]  # by field


@dataclass(frozen=True)
class AmodalObject:
    """One annotated object.

    Attributes:
        id: Its own in the file; for a region of COCOA, 1000 * its annotation's id + its place from 1.
        image_id: The image.
        category_id: The category.
        amodal: All of it inside the image.
        visible: What is seen of it; may be empty.
        amodal_box, visible_box: (x, y, width, height) in pixels.
        area: Pixels of the amodal mask, as the file states them where it does.
        iscrowd: Whether it stands for many objects.
        occlude_rate: The hidden fraction that the file states; masks may say another. None where it states none.
        is_stuff: COCOA: whether it is background such as sky.
        in_front_of: Ids of the objects that it hides part of; None where the file does not say.
        cluster: KINS-2020: `oco_id` and `ico_id`, a group of touching objects and the place in it from the front (1),
            0 for objects that touch none.
    """

    id: int
    image_id: int
    category_id: int
    amodal: Rle
    visible: Rle
    amodal_box: Box
    visible_box: Box
    area: float
    iscrowd: bool = False
    occlude_rate: float | None = None
    is_stuff: bool = False
    in_front_of: tuple[int, ...] | None = None
    cluster: tuple[int, int] | None = None


@dataclass(frozen=True)
class AmodalDataset:
    """An amodal annotation file.

    Attributes:
        file: Its name.
        images, objects, categories: What is in it, in the order of the file.
        notes: What was left out of it, one line each.
    """

    file: str
    images: tuple[Image, ...]
    objects: tuple[AmodalObject, ...]
    categories: tuple[Category, ...]
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"AmodalDataset({self.file}: {len(self.images)} images, {len(self.objects)} objects)"


def ids(record: Record, field: str) -> tuple[int, ...] | None:
    """A list of ids, or None where it is null or missing."""
    value = record.ids(record.values.get(field), field)
    return None if value is None else tuple(value)


def masks_of(
    written: Sequence[Record], images: Mapping[int, Image], fields_of: Callable[[Record], Sequence[str]]
) -> list[Masks]:
    """Some masks of every record by field, None where null or missing; all of a file at once, which is much faster.

    A polygon that is not wrapped in a list, as COCOA writes them, is one all the same.
    """
    asked = [
        WrittenMask(_wrapped(record.values.get(field)), image.height, image.width, record, field)
        for record in written
        for image in (images[record.known("image_id", images, "image")],)
        for field in fields_of(record)
    ]
    read = iter(read_masks(asked))
    return [{field: next(read) for field in fields_of(record)} for record in written]


def _wrapped(value: Any) -> Any:
    return [value] if isinstance(value, list) and value and not isinstance(value[0], list) else value


def require_mask(record: Record, masks: Masks, field: str) -> Rle:
    """The amodal mask of a record.

    Raises:
        SchemaError: It is missing or null.
    """
    mask = masks[field]
    if mask is None:
        raise record.error(field, "is missing, expected the amodal mask", "Is this a file of another format?")
    return mask


def box_of(record: Record, field: str | None, mask: Rle) -> Box:
    """The box that a record states in a field, or that of its mask."""
    value: Any = None if field is None else record.values.get(field)
    if field is not None and value is not None:
        return record.box(value, field)
    x, y, width, height = mask_api.toBbox(mask).tolist()
    return x, y, width, height


def require_annotations(document: Record) -> None:
    """Refuse a file without annotations, such as that of a test set.

    Raises:
        SchemaError: There are none, against which everything would score nothing.
    """
    if not document.values.get("annotations"):
        raise SchemaError(f"{document.file} has no annotations to score against. Give the file that has them.")


@dataclass(frozen=True)
class WrittenObject:
    """An annotation whose masks are read."""

    record: Record
    image: Image
    category_id: int
    masks: Masks

    def required(self, field: str) -> Rle:
        """The amodal mask, without which there is nothing to score.

        Raises:
            SchemaError: It is missing or null.
        """
        return require_mask(self.record, self.masks, field)

    def or_empty(self, field: str) -> Rle:
        """A mask, without a pixel where it is null or missing."""
        return self.masks[field] or empty_mask(self.image.height, self.image.width)

    def instance(
        self, amodal: Rle, visible: Rle, *, boxes: tuple[str, str | None], area: Sequence[str] = ()
    ) -> AmodalObject:
        """The object, as far as all formats have the same of it.

        Args:
            amodal, visible: Its masks.
            boxes: Fields that state the amodal and the visible box; those of the masks where they do not.
            area: Fields of which the first that is there states the amodal area; that of the mask where none does.
        """
        record = self.record
        stated = [field for field in area if record.values.get(field) is not None]
        return AmodalObject(
            id=record.integer("id"),
            image_id=self.image.id,
            category_id=self.category_id,
            amodal=amodal,
            visible=visible,
            amodal_box=box_of(record, boxes[0], amodal),
            visible_box=box_of(record, boxes[1], visible),
            area=record.size(stated[0]) if stated else float(areas([amodal])[0]),
            iscrowd=record.flag("iscrowd"),
        )


def coco_like(
    document: Record, fields_of: Callable[[Record], Sequence[str]], decode: Callable[[WrittenObject], AmodalObject]
) -> AmodalDataset:
    """Decode a file with COCO's lists.

    Args:
        document: The file.
        fields_of: Which fields of an annotation are masks.
        decode: An annotation to an object.
    """
    require_annotations(document)
    images, names = read_images(document), categories(document)
    image_of, name_of = by_id(images), by_id(names)
    written = table(document, "annotations", lambda record: record)
    objects = [
        decode(WrittenObject(record, image_of[record.integer("image_id")], category_id, masks))
        for record, masks in zip(written, masks_of(written, image_of, fields_of), strict=True)
        for category_id in (record.known("category_id", name_of, "category"),)
    ]
    image_of_object = {thing.id: thing.image_id for thing in objects}
    for record, thing in zip(written, objects, strict=True):
        refuse_strangers(record, "in_front_of", thing.in_front_of, image_of_object, thing.id, thing.image_id)
    return AmodalDataset(document.file, images, tuple(objects), names)
