"""Where a COCO file has the records of each image, so that a worker reads those of its images and no others."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.errors import RequestError, SchemaError
from eval.readers.coco import Image, read_images
from eval.readers.record import Category, Record, as_record, by_id, categories
from eval.readers.stream import stream_json

_Place = tuple[str, int, int]  # such as "annotations[12]", offset and length in the file


@dataclass(frozen=True)
class ImageRecords:
    """The records of a file by the image that they belong to, in file order.

    Attributes:
        path: The file.
        places: Of the records of each image that has any.
        first: What the first of the detections holds, by which COCO's loader judges all; None without any.
    """

    path: Path
    places: Mapping[int, list[_Place]]
    first: Mapping[str, Any] | None = None

    def __repr__(self) -> str:
        return f"ImageRecords({self.path.name}: {sum(map(len, self.places.values()))} of {len(self.places)} images)"

    def read(self, images: Iterable[int]) -> Iterator[Record]:
        """The records of some images, in their order."""
        with self.path.open("rb") as file:
            for image in images:
                for where, offset, length in self.places.get(image, ()):
                    file.seek(offset)
                    yield Record(json.loads(file.read(length)), where, self.path.name)


@dataclass(frozen=True)
class CocoIndex:
    """An annotation file without its annotations.

    Attributes:
        images, categories: By id.
        annotations: Where they are.
    """

    images: Mapping[int, Image]
    categories: Mapping[int, Category]
    annotations: ImageRecords


def index_coco(path: Path, *, official: bool = False) -> CocoIndex:
    """Find the annotations of each image in an annotation file.

    Args:
        path: The file.
        official: Do what COCO's loader does with annotations that share an id: each counts as the last of them.

    Raises:
        SchemaError: There is no such file, it has no annotations, two have one id, or one has no known image.
    """
    heads: dict[str, Any] = defaultdict(list)
    rows: list[tuple[int, int, _Place]] = []  # id, image and place of every annotation
    for item in stream_json(path):
        if item.member == "annotations" and item.index is not None:
            record = as_record(item.value, item.where, path.name)
            rows.append((record.integer("id"), record.integer("image_id"), (item.where, item.offset, item.length)))
        elif item.index is None:
            heads[item.member] = item.value
        else:
            heads[item.member].append(item.value)  # a member is there once, so this is its list
    document = Record(heads, "", path.name)
    images = by_id(read_images(document))
    names = by_id(categories(document))
    if not rows:
        raise SchemaError(f"{path.name} has no annotations to score against. Give the file that has them.")
    last = {number: (image, place) for number, image, place in rows}
    if len(last) < len(rows) and not official:
        raise _same_id(rows, path)
    owners = [last[number] for number, _, _ in rows]
    return CocoIndex(images, names, ImageRecords(path, _by_image(owners, images, path, official)))


def index_coco_results(path: Path, images: Mapping[int, Image], *, official: bool = False) -> ImageRecords:
    """Find the detections of each image in a results file.

    Args:
        path: The file.
        images: Those of the annotation file by id.
        official: Complain as COCO's loader does.

    Raises:
        SchemaError: There is no such file, it is no list, or a detection has no known image.
        RequestError: COCO's loader would end here.
    """
    rows: list[tuple[int, _Place]] = []
    first: Mapping[str, Any] | None = None
    for item in stream_json(path):
        if item.member or item.index is None:
            raise SchemaError(f"{path.name} holds an object, expected a list of detections. Is it an annotation file?")
        record = as_record(item.value, item.where, path.name)
        rows.append((record.integer("image_id"), (item.where, item.offset, item.length)))
        first = first or item.value
    if official and not rows:
        raise RequestError(f"{path.name} holds no detections: pycocotools ends with an IndexError. Leave compat out.")
    if official and any(image not in images for image, _ in rows):
        raise RequestError(
            f"{path.name} has images that are not annotated: pycocotools ends with AssertionError: Results do not "
            "correspond to current coco set. Remove them."
        )
    return ImageRecords(path, _by_image(rows, images, path), first)


def _by_image(
    rows: Iterable[tuple[int, _Place]], images: Mapping[int, Image], path: Path, lenient: bool = False
) -> dict[int, list[_Place]]:
    places: dict[int, list[_Place]] = defaultdict(list)
    for image, place in rows:
        if image in images:
            places[image].append(place)
        elif not lenient:
            Record({"image_id": image}, place[0], path.name).known("image_id", images, "image")
    return dict(places)


def _same_id(rows: Iterable[tuple[int, int, _Place]], path: Path) -> SchemaError:
    seen: dict[int, str] = {}
    for number, _, (where, _, _) in rows:
        first = seen.setdefault(number, where)
        if first != where:
            record = Record({}, where, path.name)
            return record.error("id", f"is {number}, as that of {first}", "Give every record its own id.")
    raise AssertionError("no two records share an id")
