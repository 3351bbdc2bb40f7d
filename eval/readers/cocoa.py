"""COCOA, the original: per image a list of regions from front to back, of things and stuff, without classes.

A region has `segmentation` (one flat polygon, amodal), `visible_mask` and `invisible_mask` (RLE, both missing where
nothing is hidden), `occlude_rate`, `isStuff`, `order` (1 is the front). The annotation has `depth_constraint`, such as
"1-2,1-4": in each pair the first region hides part of the second.

An image may have been annotated by several people; as in amodalAPI, its first annotation counts.
Source: the code of amodalAPI (543c72c) and files of the dataset.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from eval.readers.amodal import (
    AmodalDataset,
    AmodalObject,
    Masks,
    box_of,
    masks_of,
    require_annotations,
    require_mask,
)
from eval.readers.coco import Image, read_images
from eval.readers.record import Category, Record, by_id, records, shown, table
from eval.rle import Rle, areas, empty_mask, ious

REGION_STEP = 1000  # regions have no ids; ours are 1000 * id of the annotation + place in it, from 1
REGION = Category(1, "region")


def cocoa_dataset(document: Record) -> AmodalDataset:
    """Decode a COCOA file. Every region is of the one category REGION.

    Raises:
        SchemaError: A record does not fit.
    """
    require_annotations(document)
    images = read_images(document)
    image_of = by_id(images)
    annotations = table(document, "annotations", lambda record: (record.known("image_id", image_of, "image"), record))
    first: dict[int, Record] = {}
    for image_id, record in annotations:
        first.setdefault(image_id, record)
    regions = {image_id: _regions(record) for image_id, record in first.items()}
    written = [region for members in regions.values() for region in members]
    masks = iter(masks_of(written, image_of, lambda record: ("segmentation", "visible_mask")))
    objects = [
        thing
        for image_id, members in regions.items()
        for thing in _objects(first[image_id], members, [next(masks) for _ in members], image_of[image_id])
    ]
    more = len(annotations) - len(first)
    notes = (f"{document.file}: {more} annotations of images that have one already are left out.",) if more else ()
    return AmodalDataset(document.file, images, tuple(objects), (REGION,), notes)


def _regions(annotation: Record) -> list[Record]:
    """The regions of an annotation, which are told its image."""
    found = records(annotation.values.get("regions"), f"{annotation.where}.regions", annotation.file)
    image_id = {"image_id": annotation.integer("image_id")}
    regions = [Record({**region.values, **image_id}, region.where, region.file) for region in found]
    if len(regions) >= REGION_STEP:
        problem = f"has {len(regions)} entries, at most {REGION_STEP - 1} can be numbered"
        raise annotation.error("regions", problem, "Split the annotation.")
    return regions


def _objects(
    annotation: Record, regions: Sequence[Record], masks: Sequence[Masks], image: Image
) -> Iterator[AmodalObject]:
    first_id = annotation.integer("id") * REGION_STEP + 1
    amodal = [require_mask(r, m, "segmentation") for r, m in zip(regions, masks, strict=True)]
    behind = _constraints(annotation, len(regions))
    if behind is None:
        behind = _behind(regions, amodal)
    for i, region in enumerate(regions):
        numbers = tuple(first_id + j for j in behind[i])
        yield _object(region, image, amodal[i], masks[i]["visible_mask"], first_id + i, numbers)


def _object(
    record: Record, image: Image, amodal: Rle, visible: Rle | None, number: int, behind: tuple[int, ...]
) -> AmodalObject:
    rate = record.fraction(record.number("occlude_rate"), "occlude_rate")
    visible = visible or (empty_mask(image.height, image.width) if rate == 1 else amodal)
    return AmodalObject(
        id=number,
        image_id=image.id,
        category_id=REGION.id,
        amodal=amodal,
        visible=visible,
        amodal_box=box_of(record, "bbox", amodal),
        visible_box=box_of(record, None, visible),
        area=record.size("area") if record.values.get("area") is not None else float(areas([amodal])[0]),
        occlude_rate=rate,
        is_stuff=record.flag("isStuff"),
        in_front_of=behind,
    )


def _constraints(annotation: Record, count: int) -> Mapping[int, Sequence[int]] | None:
    """Places of the regions behind each region, as `depth_constraint` says; None where it is missing."""
    if annotation.values.get("depth_constraint") is None:
        return None
    behind: dict[int, list[int]] = defaultdict(list)
    text = annotation.text("depth_constraint")
    for pair in text.split(",") if text else ():
        ends = pair.split("-")
        if len(set(ends)) != 2 or len(ends) != 2 or not all(_place(end, count) for end in ends):
            raise annotation.error(
                "depth_constraint",
                f"holds {shown(pair)}, expected front-back, two of the {count} regions, from 1",
                "Correct the record.",
            )
        behind[int(ends[0]) - 1].append(int(ends[1]) - 1)
    return behind


def _place(text: str, count: int) -> bool:
    """Whether a text is one of the numbers 1 to `count`."""
    text = text.strip()
    return text.isascii() and text.isdecimal() and len(text) <= 9 and 1 <= int(text) <= count


def _behind(regions: Sequence[Record], masks: Sequence[Rle]) -> Mapping[int, Sequence[int]]:
    """The same from `order`: of two regions that share pixels, the one of lower order is in front."""
    ranks = [region.integer("order") for region in regions]
    touch = ious(masks, masks) > 0
    places = range(len(regions))
    return {i: [j for j in places if touch[i, j] and ranks[i] < ranks[j]] for i in places}
