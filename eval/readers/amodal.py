"""Amodal annotations of all datasets as one thing, and amodal results.

The annotation formats are decoded in `kins`, `cocoa` and `visible_mask` (COCOA-cls, D2SA and our synthetic world).
All of them leave the same: an amodal and a visible mask for every object, never one without the other.

Results are COCO's list of records. The mask that a record gives is found so:

| fields of the record | amodal mask | visible mask |
| --- | --- | --- |
| `amodal_segmentation`, `visible_segmentation` | the one | the other |
| `segmentation`, `visible_segmentation` | `segmentation` | the other |
| `segmentation`, `amodal_segmentation` | the other | `segmentation` |
| `segmentation` alone | `segmentation` (or, if asked for, none) | none (or, if asked for, `segmentation`) |

`amodal_mask` and `amodalMask` (amodalAPI) are read as `amodal_segmentation`, `visible_mask` as `visible_segmentation`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pycocotools import mask as mask_api

from eval.errors import SchemaError
from eval.readers.coco import Box, Image, read_images
from eval.readers.record import Category, Record, by_id, categories, load_json, records, refuse_strangers, table
from eval.readers.segmentation import WrittenMask, read_masks
from eval.rle import Rle

Extent = Literal["amodal", "visible"]
Presence = Literal["required", "optional", "unread"]
Masks = Mapping[str, Rle | None]  # by field

_EXTENTS: tuple[Extent, Extent] = ("amodal", "visible")
_NAMES: Mapping[Extent, tuple[str, ...]] = {
    "amodal": ("amodal_segmentation", "amodal_mask", "amodalMask"),
    "visible": ("visible_segmentation", "visible_mask"),
}


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


@dataclass(frozen=True)
class AmodalResult:
    """One predicted object; which of the masks it has is for the protocol to require.

    Attributes:
        where: Its place in the file, for errors.
        image_id: The image.
        category_id: The category; None where the record leaves it out.
        score: Confidence; None where the record leaves it out.
        amodal, visible: Its masks.
        segmentation: The mask under that name, whichever of them it is.
        area: As the record states it.
        annotation_id: The object of the ground truth whose box was given to the model.
        in_front_of: Annotation ids of the objects that it is said to hide part of.
    """

    where: str
    image_id: int
    category_id: int | None
    score: float | None
    amodal: Rle | None
    visible: Rle | None
    segmentation: Rle | None
    area: float | None
    annotation_id: int | None
    in_front_of: tuple[int, ...] | None


def read_amodal_results(
    path: str | Path,
    dataset: AmodalDataset,
    *,
    lone: Extent = "amodal",
    classes: Presence = "required",
    scores: Presence = "required",
) -> list[AmodalResult]:
    """Read a results file, in file order.

    Args:
        path: The file.
        dataset: What it answers.
        lone: Which mask `segmentation` is where a record has no other.
        classes: Whether every record must name a category of the dataset.
        scores: Whether every record must have a score.

    Raises:
        SchemaError: There is no such file, or a record does not fit the dataset.
    """
    images, names = by_id(dataset.images), by_id(dataset.categories)
    written = list(records(load_json(path), "", Path(path).name))
    fields = ("segmentation", *(field for extent in _EXTENTS for field in _NAMES[extent]))
    results = [
        _result(record, masks, names, lone, classes, scores)
        for record, masks in zip(written, masks_of(written, images, lambda record: fields), strict=True)
    ]
    image_of_object = {thing.id: thing.image_id for thing in dataset.objects}
    for record, result in zip(written, results, strict=True):
        behind, own = result.in_front_of, result.annotation_id
        refuse_strangers(record, "in_front_of", behind, image_of_object, own, result.image_id)
    return results


def _result(
    record: Record,
    masks: Masks,
    names: Mapping[int, Category],
    lone: Extent,
    classes: Presence,
    scores: Presence,
) -> AmodalResult:
    amodal, visible = _extents(record, masks, lone)
    return AmodalResult(
        where=record.where,
        image_id=record.integer("image_id"),
        category_id=record.known("category_id", names, "category") if _asked(record, "category_id", classes) else None,
        score=record.number("score") if _asked(record, "score", scores) else None,
        amodal=amodal,
        visible=visible,
        segmentation=masks["segmentation"],
        area=record.size("area") if record.values.get("area") is not None else None,
        annotation_id=_annotation_id(record),
        in_front_of=ids(record, "in_front_of"),
    )


def _asked(record: Record, field: str, presence: Presence) -> bool:
    return presence == "required" or (presence == "optional" and record.values.get(field) is not None)


def _extents(record: Record, masks: Masks, lone: Extent) -> tuple[Rle | None, Rle | None]:
    """The amodal and the visible mask; `segmentation` is the one that has no name of its own."""
    found = {extent: next(filter(None, (masks[field] for field in _NAMES[extent])), None) for extent in _EXTENTS}
    unnamed = [extent for extent in _EXTENTS if found[extent] is None]
    if unnamed:
        found[lone if len(unnamed) == 2 else unnamed[0]] = masks["segmentation"]
    if found["amodal"] is None and found["visible"] is None:
        raise record.error("", "has no mask", "Add segmentation or remove the record.")
    return found["amodal"], found["visible"]


def _annotation_id(record: Record) -> int | None:
    named = [field for field in ("annotation_id", "id") if record.values.get(field) is not None]
    return record.integer(named[0]) if named else None


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


def required(record: Record, masks: Masks, field: str, what: str) -> Rle:
    """A mask without which there is nothing to score.

    Raises:
        SchemaError: It is missing or null.
    """
    mask = masks[field]
    if mask is None:
        raise record.error(field, f"is missing, expected the {what} mask", "Is this a file of another format?")
    return mask


def empty_mask(image: Image) -> Rle:
    """A mask without a pixel."""
    encoded = mask_api.frPyObjects(
        {"size": [image.height, image.width], "counts": [image.height * image.width]}, image.height, image.width
    )
    return {"size": [image.height, image.width], "counts": encoded["counts"].decode()}


def box_of(record: Record, field: str, mask: Rle) -> Box:
    """The box that a record states, or that of its mask."""
    value: Any = record.values.get(field)
    if value is not None:
        return record.box(value, field)
    x, y, width, height = mask_api.toBbox(mask).tolist()
    return x, y, width, height


def area_of(record: Record, mask: Rle, *fields: str) -> float:
    """The area that a record states in the first of some fields, or that of its mask."""
    stated = [field for field in fields if record.values.get(field) is not None]
    return record.size(stated[0]) if stated else float(mask_api.area(mask))


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
