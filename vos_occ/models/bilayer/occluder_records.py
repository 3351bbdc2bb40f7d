"""Occluder masks of the objects of an image, for a file: the rule of the targets, at full resolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.structures import InstanceData
from numpy.typing import NDArray

from eval.readers.coco import Image
from eval.readers.occluders import FIELD
from vos_occ.datasets.amodal import instances_of
from vos_occ.datasets.amodal_formats import TrainingObject
from vos_occ.datasets.amodal_masks import Extent
from vos_occ.models.bilayer.mask_windows import dense
from vos_occ.models.bilayer.targets import BilayerTargetBuilder
from vos_occ.structures import rle
from vos_occ.structures.rle import Rle


def occluder_records(
    task: tuple[Image, Sequence[TrainingObject]], extent: Extent, builder: BilayerTargetBuilder
) -> list[dict[str, Any]]:
    """A record for every object of one image."""
    image, objects = task
    targets = [thing for thing in objects if not thing.crowd and thing.extent(extent)[0] is not None]
    instances = instances_of(targets, extent, image)
    members = _members(instances, builder)
    bitmaps = dense(builder.occluder_masks(instances)) if members else np.zeros((0, 0, 0), np.uint8)
    masks = [_union_inside(instances, bitmaps, each) for each in members]
    found = dict(zip((thing.id for thing in targets), masks, strict=True))
    return [{"id": thing.id, "image_id": image.id, FIELD: found.get(thing.id)} for thing in objects]


def _members(instances: InstanceData, builder: BilayerTargetBuilder) -> list[tuple[int, list[int]]]:
    """Per object its place and those of its occluders, none where they are not known."""
    if len(instances) == 0:
        return []
    occludes, known = builder.occluder_pairs(instances, (1.0, 1.0))
    return [(j, occludes[:, j].nonzero().flatten().tolist() if known[j] else []) for j in range(len(known))]


def _union_inside(instances: InstanceData, bitmaps: NDArray[np.uint8], members: tuple[int, list[int]]) -> Rle | None:
    """Union of the occluders' masks inside the object's box, its corners truncated to pixels."""
    target, behind = members
    if not behind:
        return None
    x0, y0, x1, y1 = instances.bboxes[target].clamp(min=0).long().tolist()
    union = np.zeros(bitmaps.shape[1:], bool)
    union[y0:y1, x0:x1] = bitmaps[behind, y0:y1, x0:x1].any(0)
    return rle.encode(union)
