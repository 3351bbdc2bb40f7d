"""Amodal results: COCO's list of records, of which each gives an amodal mask, a visible one or both.

| fields of the record | amodal mask | visible mask |
| --- | --- | --- |
| `amodal_segmentation`, `visible_segmentation` | the one | the other |
| `segmentation`, `visible_segmentation` | `segmentation` | the other |
| `segmentation`, `amodal_segmentation` | the other | `segmentation` |
| `segmentation` alone | `segmentation` (or, if asked for, none) | none (or, if asked for, `segmentation`) |

`amodal_mask` and `amodalMask` (amodalAPI) are read as `amodal_segmentation`, `visible_mask` as `visible_segmentation`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from eval.readers.amodal import AmodalDataset, Masks, ids, masks_of
from eval.readers.record import Category, Record, by_id, load_json, records, refuse_strangers
from eval.rle import Rle

Extent = Literal["amodal", "visible"]
Presence = Literal["required", "optional", "unread"]

_EXTENTS: tuple[Extent, Extent] = ("amodal", "visible")
_NAMES: Mapping[Extent, tuple[str, ...]] = {
    "amodal": ("amodal_segmentation", "amodal_mask", "amodalMask"),
    "visible": ("visible_segmentation", "visible_mask"),
}


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
