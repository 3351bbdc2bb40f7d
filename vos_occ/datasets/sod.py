"""Synthetic occlusion data (SOD): a whole object pasted in front of another, so that part of it is hidden and known.

The object bank (COB) holds objects that are whole as far as a modal dataset can tell. A picture is the original image
of an occludee, with an occluder of the bank pasted where it covers a given share of it. Knows nothing of files.

Source: BCNet and its supplement; docs/sources.md, BCNet 6. Scale, denominator of the overlap, search and blending are
not in the paper: here objects keep their size, the overlap is |occluder & occludee| / |occludee| on masks, places are
those of a grid that fit, and edges are hard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from eval.readers.coco import Annotation, CocoDataset
from eval.rle import Rle
from vos_occ.datasets.coco_occ import box_overlaps
from vos_occ.structures import rle
from vos_occ.structures.errors import InputError

MIN_AREA = 32 * 32
MAX_BOX_OVERLAP = 0.05
ATTEMPTS = 20


@dataclass(frozen=True)
class ObjectBank:
    """Objects that are taken to be whole.

    Attributes:
        by_class: per category id, in ascending order, its annotations.
    """

    by_class: dict[int, tuple[Annotation, ...]]

    @classmethod
    def collect(
        cls, dataset: CocoDataset, min_area: float = MIN_AREA, max_overlap: float = MAX_BOX_OVERLAP
    ) -> ObjectBank:
        """Objects whose box no other box overlaps by IoU > `max_overlap`, in one piece, off the image's border, large.

        Raises:
            InputError: fewer than two objects are left.
        """
        by_image: dict[int, list[Annotation]] = {image.id: [] for image in dataset.images}
        for annotation in dataset.annotations:
            by_image[annotation.image_id].append(annotation)
        found: dict[int, list[Annotation]] = {}
        for members in by_image.values():
            overlap = box_overlaps([member.bbox for member in members], "iou").max(1, initial=0)
            for member, largest in zip(members, overlap.tolist(), strict=True):
                if largest <= max_overlap and _is_whole(member, min_area):
                    found.setdefault(member.category_id, []).append(member)
        if sum(map(len, found.values())) < 2:
            raise InputError(
                f"{dataset.path} has fewer than two whole objects of at least {min_area:g} pixels that stand apart. "
                "Use more images or a smaller min area."
            )
        return cls({number: tuple(found[number]) for number in sorted(found)})

    def __len__(self) -> int:
        return sum(map(len, self.by_class.values()))

    def draw(self, number: int, rng: np.random.Generator) -> Annotation:
        """An object of the `number`-th class, counted around, so that consecutive numbers meet all classes alike."""
        members = list(self.by_class.values())[number % len(self.by_class)]
        return members[int(rng.integers(len(members)))]


def _is_whole(annotation: Annotation, min_area: float) -> bool:
    if annotation.iscrowd or annotation.segmentation is None or rle.area(annotation.segmentation) < min_area:
        return False
    crop, x0, y0 = rle.decode_box(annotation.segmentation)
    height, width = annotation.segmentation["size"]
    if x0 == 0 or y0 == 0 or x0 + crop.shape[1] == width or y0 + crop.shape[0] == height:
        return False
    return cv2.connectedComponents(crop.astype(np.uint8), connectivity=8)[0] == 2  # background and one piece


def place(
    occluder: NDArray[np.bool_],
    occludee: Rle,
    overlap: tuple[float, float],
    rng: np.random.Generator,
) -> tuple[int, int] | None:
    """A top-left corner (y, x) at which a crop covers a share of a mask within `overlap`, one of a grid at random.

    The crop must lie inside the image. None where no place of the grid will do.

    Args:
        occluder: (h, w), tight.
        occludee: of the image.
        overlap: smallest and largest |occluder & occludee| / |occludee|.
    """
    (h, w), (height, width) = occluder.shape, occludee["size"]
    target, x0, y0 = rle.decode_box(occludee)
    if h > height or w > width:
        return None
    stride = max(8, width // 32)
    rows = _grid(y0 - h + 1, y0 + target.shape[0] - 1, height - h, stride)
    columns = _grid(x0 - w + 1, x0 + target.shape[1] - 1, width - w, stride)
    area = target.sum()
    places = []
    for y in rows:
        for x in columns:
            covered = _shared(occluder, y, x, target, y0, x0) / area
            if overlap[0] <= covered <= overlap[1]:
                places.append((y, x))
    return places[int(rng.integers(len(places)))] if places else None


def _grid(first: int, last: int, most: int, stride: int) -> range:
    """Places from the first to the last, inside 0 to `most`."""
    return range(max(first, 0), min(last, most) + 1, stride)


def _shared(one: NDArray[np.bool_], y: int, x: int, other: NDArray[np.bool_], v: int, u: int) -> int:
    """Pixels that two crops share, the one at (y, x), the other at (v, u)."""
    top, left = max(y, v), max(x, u)
    bottom, right = min(y + one.shape[0], v + other.shape[0]), min(x + one.shape[1], u + other.shape[1])
    if bottom <= top or right <= left:
        return 0
    mine, theirs = one[top - y : bottom - y, left - x : right - x], other[top - v : bottom - v, left - u : right - u]
    return int((mine & theirs).sum())


@dataclass(frozen=True)
class Composition:
    """A picture of SOD.

    Attributes:
        occludee: annotation whose image is the base.
        occluder: annotation that is pasted.
        corner: (y, x) of its crop in the base image.
        overlap: share of the occludee that it covers.
    """

    occludee: Annotation
    occluder: Annotation
    corner: tuple[int, int]
    overlap: float

    def pasted(self) -> Rle:
        """The occluder's mask in the base image."""
        crop, _, _ = rle.decode_box(self.occluder.segmentation)
        height, width = self.occludee.segmentation["size"]
        return rle.encode_box(crop, self.corner[1], self.corner[0], height, width)

    def paint(self, base: NDArray[np.uint8], source: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The base image with the occluder cut out of its own image and pasted, hard-edged."""
        crop, x0, y0 = rle.decode_box(self.occluder.segmentation)
        (h, w), (y, x) = crop.shape, self.corner
        picture = base.copy()
        picture[y : y + h, x : x + w][crop] = source[y0 : y0 + h, x0 : x0 + w][crop]
        return picture


def compose(bank: ObjectBank, number: int, seed: int, overlap: tuple[float, float] = (0.2, 0.5)) -> Composition | None:
    """The `number`-th picture of a seed, the same whoever makes it and in whatever order.

    Occludees go through the classes in turn; the class of the occluder is drawn uniformly, up to 20 times, until one
    fits. None where none does.
    """
    rng = np.random.default_rng((seed, number))
    occludee = bank.draw(number, rng)
    for _ in range(ATTEMPTS):
        occluder = bank.draw(int(rng.integers(len(bank.by_class))), rng)
        if occluder.id == occludee.id:
            continue
        crop, _, _ = rle.decode_box(occluder.segmentation)
        corner = place(crop, occludee.segmentation, overlap, rng)
        if corner is not None:
            target, x0, y0 = rle.decode_box(occludee.segmentation)
            covered = _shared(crop, *corner, target, y0, x0) / int(target.sum())
            return Composition(occludee, occluder, corner, covered)
    return None


def annotations_of(composition: Composition, others: Sequence[Annotation], image_id: int, first_id: int) -> list[dict]:
    """COCO records of the picture: the base image's objects, less what is covered, and then the occluder.

    `segmentation` is what is seen now, `amodal_segmentation` the mask before pasting. Only of the two objects of the
    bank is that surely the whole, so only they have `hidden`; the occluder is in front of all that it covers, the order
    of others among themselves is not known.

    Args:
        composition: the picture.
        others: all annotations of the base image, the occludee among them.
        image_id: of the picture.
        first_id: of its annotations.
    """
    pasted = composition.pasted()
    inside = rle.decode(pasted)
    records: list[dict] = []
    covered: list[int] = []
    for annotation in others:
        whole = annotation.segmentation
        seen = None if whole is None else rle.encode(rle.decode(whole) & ~inside)
        if whole is None or seen is None or rle.area(seen) == 0:
            continue  # boxes without a mask, and what is covered wholly
        record = _record(first_id + len(records), image_id, annotation, seen, whole)
        if annotation.id == composition.occludee.id:
            record |= {"hidden": composition.overlap, "in_front_of": []}
        if rle.area(seen) < rle.area(whole) and not annotation.iscrowd:
            covered.append(record["id"])
        records.append(record)
    front = _record(first_id + len(records), image_id, composition.occluder, pasted, pasted)
    return [*records, front | {"hidden": 0.0, "in_front_of": covered}]


def _record(number: int, image_id: int, annotation: Annotation, mask: Rle, whole: Rle) -> dict:
    x0, y0, x1, y1 = rle.bounding_box(mask).tolist()
    return {
        "id": number,
        "image_id": image_id,
        "category_id": annotation.category_id,
        "iscrowd": int(annotation.iscrowd),
        "segmentation": mask,
        "amodal_segmentation": whole,
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": rle.area(mask),
        "source_id": annotation.id,
    }
