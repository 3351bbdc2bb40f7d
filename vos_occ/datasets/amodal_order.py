"""Who lies in front of whom in one image, from whatever an annotation file says about it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from eval.rle import intersections
from vos_occ.datasets.amodal_formats import TrainingObject
from vos_occ.datasets.annotations import order_from_lists
from vos_occ.datasets.sample import UNKNOWN_ORDER, unknown_order


def order_of(objects: Sequence[TrainingObject]) -> NDArray[np.int8]:
    """(N, N) order of the objects of one image: 1 where i lies in front of j, 0 where it does not, -1 where unknown.

    Stated lists win, then KINS-2020's clusters, then what visible and amodal masks show; visible masks alone tell none.
    """
    if any(thing.in_front_of is not None for thing in objects):
        return order_from_lists([thing.id for thing in objects], [thing.in_front_of for thing in objects])
    if any(thing.cluster is not None for thing in objects):
        return _order_from_clusters(objects)
    if any(thing.amodal is None for thing in objects):
        return unknown_order(len(objects))
    return _order_from_masks(objects)


def _order_from_masks(objects: Sequence[TrainingObject]) -> NDArray[np.int8]:
    """Of two objects, that one is in front which shows more pixels inside the amodal mask of the other.

    Source: docs/sources.md, occlusion models D, "GT order from masks" (deocclusion); a tie is no order.
    """
    shown = intersections([thing.visible for thing in objects], [thing.amodal for thing in objects])
    return (shown > shown.T).astype(np.int8)


def _order_from_clusters(objects: Sequence[TrainingObject]) -> NDArray[np.int8]:
    """KINS-2020: in a cluster of touching objects (`oco_id`), the smaller place (`ico_id`) lies in front; 0 has none.

    Only pairs whose amodal masks share pixels are in any order. That of pairs which should not touch, since they are of
    two clusters, of equal place or of none, is unknown.
    """
    cluster, place = np.array([thing.cluster or (0, 0) for thing in objects], np.int64).T
    amodal = [thing.amodal for thing in objects]
    touch = intersections(amodal, amodal) > 0
    np.fill_diagonal(touch, False)
    told = (cluster[:, None] == cluster) & (place[:, None] != place) & (np.minimum(place[:, None], place) > 0)
    order = (touch & (place[:, None] < place)).astype(np.int8)
    order[touch & ~told] = UNKNOWN_ORDER
    return order
