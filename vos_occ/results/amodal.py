"""Amodal datasets in the formats in which they are published: KINS of both years, COCOA, COCOA-cls, D2SA.

What a format cannot say is left out: KINS 2019, COCOA-cls and D2SA have no order, COCOA has no classes and no crowds.
Decoded by `eval.readers.kins`, `cocoa` and `visible_mask`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from eval.parts import hidden_fractions, hidden_parts
from eval.readers.amodal import AmodalObject
from eval.rle import Rle
from vos_occ.results.output import require_new, write_atomically
from vos_occ.results.records import dataset_json, index_by_id, require_fields, require_known
from vos_occ.structures import rle
from vos_occ.structures.errors import SchemaError

Records = list[dict[str, Any]]


def write_amodal_dataset(
    path: str | Path,
    format_name: str,
    images: Sequence[Mapping[str, Any]],
    objects: Sequence[AmodalObject],
    categories: Sequence[Mapping[str, Any]],
    overwrite: bool = False,
) -> None:
    """Write the objects of some images.

    Args:
        path: the json file.
        format_name: one of `FORMATS`.
        images: id, file_name, width, height.
        objects: in any order; `in_front_of` is written where the format has an order.
        categories: id, name; COCOA has none.
        overwrite: replace an existing file.

    Raises:
        OutputExistsError: the file exists and `overwrite` is off.
        SchemaError: ids clash or point nowhere, or a field of an image is missing.
        ValueError: there is no such format.
    """
    if format_name not in FORMATS:
        raise ValueError(f"Format must be one of {', '.join(FORMATS)}, got {format_name!r}.")
    require_new(path, overwrite, folder=False)
    known_images, known_categories = index_by_id(path, "images", images), index_by_id(path, "categories", categories)
    for i, image in enumerate(images):
        require_fields(path, f"images[{i}]", image, ("file_name", "width", "height"))
    index_by_id(path, "annotations", [{"id": thing.id} for thing in objects])
    for i, thing in enumerate(objects):
        require_known(path, f"annotations[{i}].image_id", thing.image_id, known_images, "image")
        require_known(path, f"annotations[{i}].category_id", thing.category_id, known_categories, "category")
    content: dict[str, object] = {"images": list(images), "annotations": FORMATS[format_name](objects)}
    if format_name != "cocoa":
        content["categories"] = list(categories)
    write_atomically(path, dataset_json(path, content))


def _kins_2019(objects: Sequence[AmodalObject]) -> Records:
    return [
        _common(thing)
        | {
            "segmentation": thing.amodal,
            "bbox": thing.amodal_box,
            "area": thing.area,
            "iscrowd": int(thing.iscrowd),
            "inmodal_seg": thing.visible,
            "inmodal_bbox": thing.visible_box,
        }
        for thing in objects
    ]


def _kins_2020(objects: Sequence[AmodalObject]) -> Records:
    clusters = _clusters(objects)
    return [
        _common(thing)
        | {
            "a_segm": thing.amodal,
            "a_bbox": thing.amodal_box,
            "a_area": thing.area,
            "iscrowd": int(thing.iscrowd),
            "i_segm": thing.visible,
            "i_bbox": thing.visible_box,
            "i_area": rle.area(thing.visible),
            "oco_id": clusters[thing.id][0],
            "ico_id": clusters[thing.id][1],
        }
        for thing in objects
    ]


def _visible_mask(objects: Sequence[AmodalObject]) -> Records:
    """COCOA-cls and D2SA: objects of which nothing is hidden have no visible mask of their own."""
    written = []
    for thing, rate in zip(objects, _rates(objects), strict=True):
        record = _common(thing) | {"segmentation": thing.amodal, "bbox": thing.amodal_box, "area": thing.area}
        record |= {"iscrowd": int(thing.iscrowd), "occlude_rate": rate}
        written.append(record | ({} if thing.visible == thing.amodal else {"visible_mask": thing.visible}))
    return written


def _cocoa(objects: Sequence[AmodalObject]) -> Records:
    """One annotation per image, its regions from front to back."""
    by_image: dict[int, list[AmodalObject]] = defaultdict(list)
    for thing in objects:
        by_image[thing.image_id].append(thing)
    return [_cocoa_annotation(number, image_id, by_image[image_id]) for number, image_id in enumerate(by_image, 1)]


def _cocoa_annotation(number: int, image_id: int, objects: Sequence[AmodalObject]) -> dict[str, Any]:
    depths = _depths(objects)
    ordered = sorted(objects, key=lambda thing: depths[thing.id])
    place = {thing.id: i for i, thing in enumerate(ordered, 1)}
    pairs = [f"{place[thing.id]}-{place[j]}" for thing in ordered for j in thing.in_front_of or ()]
    amodal, visible = [thing.amodal for thing in ordered], [thing.visible for thing in ordered]
    regions = []
    for thing, rate, hidden in zip(ordered, _rates(ordered), hidden_parts(amodal, visible), strict=True):
        region = {
            "segmentation": outline(thing.amodal),
            "name": str(thing.category_id),
            "area": thing.area,
            "isStuff": int(thing.is_stuff),
            "occlude_rate": rate,
            "order": place[thing.id],
        }
        parts = {} if thing.visible == thing.amodal else {"visible_mask": thing.visible, "invisible_mask": hidden}
        regions.append(region | parts)
    return {
        "id": number,
        "image_id": image_id,
        "regions": regions,
        "size": len(regions),
        "depth_constraint": ",".join(pairs),
    }


FORMATS: Mapping[str, Callable[[Sequence[AmodalObject]], Records]] = {
    "kins_2019": _kins_2019,
    "kins_2020": _kins_2020,
    "cocoa": _cocoa,
    "cocoa_cls": _visible_mask,
    "d2sa": _visible_mask,
}


def outline(mask: Rle) -> list[float] | Rle:
    """One flat polygon along the edges of the pixels, from which COCO draws exactly this mask.

    A mask in several pieces or with holes is no polygon; it stays an RLE.
    """
    crop, x0, y0 = rle.decode_box(mask)
    nexts = _edges(np.pad(crop, 1))
    if not nexts or any(len(ends) > 1 for ends in nexts.values()):  # pieces that touch at a corner
        return mask
    start = point = min(nexts)
    corners = []
    while True:
        following = nexts.pop(point)[0]
        corners.append(point)
        point = following
        if point == start:
            break
    if nexts:
        return mask
    around = zip(corners[-1:] + corners[:-1], corners, corners[1:] + corners[:1], strict=True)
    turns = [corner for before, corner, after in around if not _on_one_line(before, corner, after)]
    return [float(value) for y, x in turns for value in (x + x0 - 1, y + y0 - 1)]


def _edges(padded: np.ndarray) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """Directed pixel edges around a mask, clockwise, from corner (row, column) to corner."""
    nexts: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    vertical, horizontal = np.diff(padded.astype(np.int8), axis=1), np.diff(padded.astype(np.int8), axis=0)
    for y, x in np.argwhere(horizontal).tolist():  # between rows y and y + 1
        ends = (y + 1, x), (y + 1, x + 1)
        a, b = ends if horizontal[y, x] > 0 else ends[::-1]
        nexts[a].append(b)
    for y, x in np.argwhere(vertical).tolist():
        ends = (y + 1, x + 1), (y, x + 1)
        a, b = ends if vertical[y, x] > 0 else ends[::-1]
        nexts[a].append(b)
    return nexts


def _on_one_line(a: tuple[int, int], b: tuple[int, int], c: tuple[int, int]) -> bool:
    return a[0] == b[0] == c[0] or a[1] == b[1] == c[1]


def _common(thing: AmodalObject) -> dict[str, Any]:
    return {"id": thing.id, "image_id": thing.image_id, "category_id": thing.category_id}


def _rates(objects: Sequence[AmodalObject]) -> list[float]:
    """Hidden fractions; 0 for an object that has no pixel."""
    rates = hidden_fractions([thing.amodal for thing in objects], [thing.visible for thing in objects])
    return np.nan_to_num(rates).tolist()


def _depths(objects: Sequence[AmodalObject]) -> dict[int, int]:
    """Number of steps from the front, by id: an object lies deeper than all that hide it.

    Raises:
        SchemaError: objects hide each other in a circle.
    """
    depths = {thing.id: 0 for thing in objects}
    for _ in range(len(objects) + 1):
        changed = False
        for thing in objects:
            for j in thing.in_front_of or ():
                if j in depths and depths[j] <= depths[thing.id]:
                    depths[j], changed = depths[thing.id] + 1, True
        if not changed:
            return depths
    raise SchemaError(f"Objects of image {objects[0].image_id} hide each other in a circle, which no order can say.")


def _clusters(objects: Sequence[AmodalObject]) -> dict[int, tuple[int, int]]:
    """`oco_id` and `ico_id` by id: connected objects, and the place of each from the front; (0, 0) for one alone."""
    group = {thing.id: thing.id for thing in objects}

    def root(number: int) -> int:
        while group[number] != number:
            number = group[number]
        return number

    for thing in objects:
        for j in thing.in_front_of or ():
            group[root(j)] = root(thing.id)
    members: dict[int, list[AmodalObject]] = defaultdict(list)
    for thing in objects:
        members[root(thing.id)].append(thing)
    clusters: dict[int, tuple[int, int]] = {}
    for number, (_, connected) in enumerate(sorted(members.items()), start=1):
        depths = _depths(connected)
        ranked = sorted(connected, key=lambda thing: depths[thing.id])
        for place, thing in enumerate(ranked, start=1):
            clusters[thing.id] = (number, place) if len(connected) > 1 else (0, 0)
    return clusters
