"""COCO's average precision of instances in single images, by mask, by box or by the boundary of masks.

Equals pycocotools 2.0.11 `COCOeval`, and takes what that overwrites: ground truth that is to be ignored without
being a crowd, with which AP is measured on a subset such as the instances that are hidden by more than 30 %. By
boundary it equals boundary-iou-api.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as mask_api

from eval.average_precision import MAX_DETECTIONS, AveragePrecision, Group, average_precision, rank
from eval.boundary import boundary_ious
from eval.rle import Rle, areas, ious

AREA_RANGES = ((0.0, 1e10), (0.0, 32.0**2), (32.0**2, 96.0**2), (96.0**2, 1e10))

IouType = Literal["segm", "bbox", "boundary"]


@dataclass(frozen=True)
class ImageObject:
    """One object in one image, true or detected.

    Attributes:
        image_id: The image.
        category_id: The category.
        mask: Needed for "segm" and "boundary".
        bbox: (x, y, width, height) in pixels. Needed for "bbox".
        score: Confidence; of no meaning for ground truth.
        iscrowd: Ground truth that stands for many objects: not to be found, and any number of detections may lie in it.
        ignored: Ground truth that is not to be found; the one detection that matches it is not wrong.
        area: Pixels as the annotation states them; None takes them from mask or box.
        hidden: Fraction of a true object that is hidden, where AP is asked for by ranges of it.
        lost: Ground truth whose match counts as none, see `Group`.
    """

    image_id: int
    category_id: int
    mask: Rle | None = None
    bbox: tuple[float, float, float, float] | None = None
    score: float = 1.0
    iscrowd: bool = False
    ignored: bool = False
    area: float | None = None
    hidden: float | None = None
    lost: bool = False


def image_ap(
    ground_truth: Sequence[ImageObject], detections: Sequence[ImageObject], iou_type: IouType = "segm"
) -> AveragePrecision:
    """Average precision and recall over the objects of images.

    Args:
        ground_truth: Every annotated object; ties fall by this order.
        detections: At most the 100 best of each image and category count; equal scores keep this order.
        iou_type: What is compared: masks ("segm"), boxes ("bbox"), or masks and their boundaries, of which the lower
            IoU counts ("boundary"). A detection's area is that of its box ("bbox") or of its mask.

    Returns:
        Areas: small to 32^2 pixels, medium to 96^2, large above.

    Raises:
        ValueError: An object lacks the mask or box to compare, masks of one image differ in size, or a score is not
            finite.

    Source: COCOeval.evaluateImg, accumulate and summarize.
    """
    return average_precision(image_groups(ground_truth, detections, iou_type), AREA_RANGES)


def image_groups(
    ground_truth: Sequence[ImageObject],
    detections: Sequence[ImageObject],
    iou_type: IouType = "segm",
    limit: int = MAX_DETECTIONS[-1],
    *,
    official: bool = False,
) -> Iterator[Group]:
    """One group per (image, category), images in the order of their ids.

    Args:
        ground_truth: Of whole images.
        detections: Of the same images.
        iou_type: What is compared.
        limit: Of each group no more than so many detections count.
        official: Sort scores that are no number last and let masks of another size match nothing, as COCOeval does.

    Raises:
        ValueError: As `image_ap`; but for the official way with scores and sizes.
    """
    members: dict[tuple[int, int], tuple[list[ImageObject], list[ImageObject]]] = defaultdict(lambda: ([], []))
    for side, objects in enumerate((ground_truth, detections)):
        for thing in objects:
            members[thing.image_id, thing.category_id][side].append(thing)
    for (_, category_id), (truth, found) in sorted(members.items(), key=lambda item: item[0]):
        scores = np.array([thing.score for thing in found], np.float64)
        order = np.argsort(-scores, kind="stable")[:limit] if official else rank(scores.tolist(), limit)
        found = [found[i] for i in order]
        yield Group(
            category_id=category_id,
            scores=scores[order],
            ious=_ious(found, truth, iou_type, official),
            detection_areas=_areas(found, iou_type),
            truth_areas=_areas(truth, iou_type),
            crowd=np.array([thing.iscrowd for thing in truth], bool),
            ignored=np.array([thing.ignored for thing in truth], bool),
            occlusion=np.array([np.nan if thing.hidden is None else thing.hidden for thing in truth], np.float64),
            lost=np.array([thing.lost for thing in truth], bool) if any(thing.lost for thing in truth) else None,
        )


def _ious(
    found: Sequence[ImageObject], truth: Sequence[ImageObject], iou_type: IouType, official: bool
) -> NDArray[np.float64]:
    if not found or not truth:
        return np.zeros((len(found), len(truth)))
    crowd = [thing.iscrowd for thing in truth]
    if iou_type == "bbox":
        return np.asarray(mask_api.iou(_boxes(found), _boxes(truth), [int(flag) for flag in crowd]), np.float64)
    masks = _masks(found), _masks(truth)
    compare = boundary_ious if iou_type == "boundary" else ious
    sizes = {tuple(mask["size"]) for mask in masks[1]}
    fitting = [i for i, mask in enumerate(masks[0]) if tuple(mask["size"]) in sizes]
    if not official or len(fitting) == len(found):
        return compare(*masks, crowd)
    result = np.zeros((len(found), len(truth)))
    result[fitting] = compare([masks[0][i] for i in fitting], masks[1], crowd)
    return result


def _areas(objects: Sequence[ImageObject], iou_type: IouType) -> NDArray[np.float64]:
    own = _boxes(objects)[:, 2:].prod(1) if iou_type == "bbox" else areas(_masks(objects))
    stated = [float(value) if thing.area is None else thing.area for thing, value in zip(objects, own, strict=True)]
    return np.array(stated, np.float64)


def _masks(objects: Sequence[ImageObject]) -> list[Rle]:
    masks = [thing.mask for thing in objects if thing.mask is not None]
    if len(masks) < len(objects):
        raise ValueError(_lacking(objects, "mask"))
    return masks


def _boxes(objects: Sequence[ImageObject]) -> NDArray[np.float64]:
    boxes = [thing.bbox for thing in objects if thing.bbox is not None]
    if len(boxes) < len(objects):
        raise ValueError(_lacking(objects, "bbox"))
    return np.array(boxes, np.float64).reshape(-1, 4)


def _lacking(objects: Sequence[ImageObject], what: str) -> str:
    first = next(thing for thing in objects if getattr(thing, what) is None)
    return f"An object of image {first.image_id} (category {first.category_id}) has no {what} to compare."
