"""Instance masks in several extents (visible, amodal, occluder) that go through mmdet's transforms as one thing.

mmdet's transforms know boxes, labels, ignore flags and `gt_masks`, and drop instances without telling anybody else:
ids, hidden fractions and an order matrix that lie beside them go out of step unseen. Here they lie inside `gt_masks`.
Knows nothing of files.
"""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from mmdet.structures.mask import BitmapMasks
from numpy.typing import NDArray

from vos_occ.datasets.sample import unknown_order

Extent = Literal["amodal", "visible"]


@dataclass(frozen=True, eq=False)
class Scene:
    """What is known of all objects of an image, apart from their masks. Never cut; containers point into it.

    Attributes:
        ids: (M,) int64, ids of the annotations.
        in_front: (M, M) int8; `in_front[i, j]` is 1 when i lies in front of j, 0 when it does not, -1 when unknown.
        hidden: (M,) float32 in [0, 1], as stated, for objects without an amodal mask; nan where unknown.
    """

    ids: NDArray[np.int64]
    in_front: NDArray[np.int8]
    hidden: NDArray[np.float32]

    def __post_init__(self) -> None:
        count = len(self.ids)
        if self.in_front.shape != (count, count) or self.hidden.shape != (count,):
            shapes = f"in_front {self.in_front.shape} and hidden {self.hidden.shape}"
            raise ValueError(f"A scene of {count} objects cannot have {shapes}.")


def _in_every_extent(name: str) -> Callable[..., AmodalMasks]:
    """The method of `BitmapMasks` of that name, done to every extent alike."""
    move = getattr(BitmapMasks, name)

    def method(self: AmodalMasks, *arguments: Any, **options: Any) -> AmodalMasks:
        moved = {
            extent: move(BitmapMasks(plane, self.height, self.width), *arguments, **options).masks
            for extent, plane in self.planes.items()
        }
        return AmodalMasks(moved, self.extent, self.scene, self.rows)

    method.__name__, method.__doc__ = name, move.__doc__
    return method


class AmodalMasks(BitmapMasks):
    """`BitmapMasks` of one extent, which carries the other extents, ids, hidden fractions and order along.

    To mmdet it is the `BitmapMasks` of its extent. Costs one bitmap per object and extent.

    Args:
        planes: (N, H, W) uint8 in {0, 1} by name: `visible`, and where known `amodal` and `occluder`.
        extent: which of them the model learns.
        scene: the image's objects.
        rows: (N,) int64, place of each mask in the scene; None: all in order.

    Raises:
        ValueError: planes of different shapes, no plane of the extent, or rows that do not fit.
    """

    def __init__(
        self,
        planes: dict[str, NDArray[np.uint8]],
        extent: Extent,
        scene: Scene,
        rows: NDArray[np.int64] | None = None,
    ) -> None:
        rows = np.arange(len(scene.ids)) if rows is None else rows
        shapes = {plane.shape for plane in planes.values()}
        if extent not in planes or len(shapes) != 1 or len(rows) != len(planes[extent]):
            found = {name: plane.shape for name, plane in planes.items()}
            raise ValueError(f"Expected {extent} and other masks of one shape for {len(rows)} objects, got {found}.")
        super().__init__(planes[extent], *planes[extent].shape[1:])
        self.planes = {**planes, extent: self.masks}
        self.extent: Extent = extent
        self.scene = scene
        self.rows = rows

    rescale = _in_every_extent("rescale")
    resize = _in_every_extent("resize")
    flip = _in_every_extent("flip")
    pad = _in_every_extent("pad")
    crop = _in_every_extent("crop")
    expand = _in_every_extent("expand")
    translate = _in_every_extent("translate")
    shear = _in_every_extent("shear")
    rotate = _in_every_extent("rotate")

    @property
    def ids(self) -> NDArray[np.int64]:
        """(N,) ids of the annotations."""
        return self.scene.ids[self.rows]

    @property
    def in_front(self) -> NDArray[np.int8]:
        """(N, N) order of these objects, see `Scene`."""
        return self.scene.in_front[np.ix_(self.rows, self.rows)]

    @property
    def hidden(self) -> NDArray[np.float32]:
        """(N,) 1 - |visible & amodal| / |amodal| of the masks as they are now; as stated where no amodal mask is known.

        Nan where that is unknown, or where nothing of an object lies in the image.
        """
        if "amodal" not in self.planes:
            return self.scene.hidden[self.rows]
        amodal, visible = self.planes["amodal"] != 0, self.planes["visible"] != 0
        whole, seen = amodal.sum((1, 2), np.float64), (amodal & visible).sum((1, 2), np.float64)
        return (1 - np.divide(seen, whole, out=np.full(len(self), np.nan), where=whole > 0)).astype(np.float32)

    def bitmaps(self, name: str) -> BitmapMasks | None:
        """The masks of one extent alone; None where they are not known."""
        return BitmapMasks(self.planes[name], self.height, self.width) if name in self.planes else None

    def __getitem__(self, index: Any) -> AmodalMasks:
        """Some of the objects, in the order of an index, slice, index array or bool array."""
        rows = np.atleast_1d(self.rows[index])
        size = (-1, self.height, self.width)
        chosen = {name: plane[index].reshape(size) for name, plane in self.planes.items()}
        return AmodalMasks(chosen, self.extent, self.scene, rows)

    @classmethod
    def cat(cls, masks: Sequence[AmodalMasks]) -> AmodalMasks:
        """Masks of one size one after the other; between objects of two images the order is unknown.

        Raises:
            ValueError: none are given, or they differ in extents.
        """
        if len({(part.extent, frozenset(part.planes)) for part in masks}) != 1:
            kinds = [f"{part.extent} of {', '.join(part.planes)}" for part in masks]
            raise ValueError(f"Only masks of the same extents can be joined, got {kinds}.")
        scenes: list[Scene] = []
        for part in masks:
            if not any(part.scene is scene for scene in scenes):
                scenes.append(part.scene)
        starts = dict(zip(map(id, scenes), np.cumsum([0, *(len(scene.ids) for scene in scenes)]), strict=False))
        planes = {name: np.concatenate([part.planes[name] for part in masks]) for name in masks[0].planes}
        rows = np.concatenate([part.rows + starts[id(part.scene)] for part in masks])
        return cls(planes, masks[0].extent, _side_by_side(scenes), rows)

    @classmethod
    def random(cls, *arguments: Any, **options: Any) -> AmodalMasks:
        """Random masks without anything hidden, see `BitmapMasks.random`."""
        planes = {"visible": BitmapMasks.random(*arguments, **options).masks}
        count = len(planes["visible"])
        return cls(planes, "visible", Scene(np.arange(count), unknown_order(count), np.zeros(count, np.float32)))

    def __repr__(self) -> str:
        return f"AmodalMasks({len(self)} {self.extent} of {', '.join(self.planes)}, {self.height}x{self.width})"


def _side_by_side(scenes: Sequence[Scene]) -> Scene:
    if len(scenes) == 1:
        return scenes[0]
    counts = [len(scene.ids) for scene in scenes]
    order, start = unknown_order(sum(counts)), 0
    for scene, count in zip(scenes, counts, strict=True):
        order[start : start + count, start : start + count] = scene.in_front
        start += count
    ids, hidden = (np.concatenate([getattr(scene, name) for scene in scenes]) for name in ("ids", "hidden"))
    return Scene(ids, order, hidden)
