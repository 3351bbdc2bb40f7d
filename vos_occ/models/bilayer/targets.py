"""What the bilayer head is trained towards: masks, contours, occluders and hidden fractions of training RoIs.

The occluder of an object is not annotated anywhere; it is put together here, and nowhere else, from the masks of the
object's neighbours in the image. Where the reference did this offline and stored polygons, this is online: it works
for every mask format, follows every augmentation, and needs no second annotation file.
"""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import torch
from mmdet.structures.bbox import get_box_tensor
from mmdet.structures.mask.structures import BaseInstanceMasks
from mmengine.structures import InstanceData
from numpy.typing import NDArray
from torch import Tensor

from vos_occ.datasets.amodal_masks import AmodalMasks
from vos_occ.models.bilayer.mask_windows import MaskWindows, dense
from vos_occ.models.bilayer.prediction import OUTPUTS
from vos_occ.models.layers.boundary import mask_boundary
from vos_occ.structures.errors import InputError

OccluderMode = Literal["all", "in_front"]
OccluderMask = Literal["same", "visible"]


@dataclass(frozen=True)
class BilayerTargets:
    """Targets of N training RoIs; a map that nothing was asked to predict is None.

    Attributes:
        occludee_mask: (N, S, S) float in {0, 1}, the RoI's own object.
        occludee_boundary: (N, S, S) float in {0, 1}, its contour.
        occluder_mask: (N, S, S) float in {0, 1}, the union of its occluders inside the RoI.
        occluder_boundary: (N, S, S) float in {0, 1}, the contour of that union.
        occluder_known: (N,) bool, False where the data does not say who lies in front.
        hidden: (N,) float in [0, 1], NaN where unknown.
    """

    occludee_mask: Tensor
    occludee_boundary: Tensor | None = None
    occluder_mask: Tensor | None = None
    occluder_boundary: Tensor | None = None
    occluder_known: Tensor | None = None
    hidden: Tensor | None = None

    @property
    def occluded(self) -> Tensor:
        """(N,) bool: some cell of the RoI's raster is occluder."""
        return self.occluder_mask.flatten(1).any(dim=1)


def neighbours(boxes: Tensor, min_iou: float, others: Tensor | None = None) -> Tensor:
    """Which boxes overlap enough to occlude each other at all.

    Args:
        boxes: (G, 4) xyxy in pixels of the original image.
        min_iou: Two boxes are neighbours when their IoU exceeds this, strictly.
        others: (G, 4), the boxes of the same objects in the role of the neighbour, where they are not the same.

    Returns:
        (G, G) bool, `[k, j]`: k, by its box among the others, is a neighbour of j. False on the diagonal.

    Source: the released process_dataset.py, rule 1; box sides are x2 - x1 + 1 (VOC's convention).
    """
    others = boxes if others is None else others
    areas, other_areas = ((b[:, 2:] - b[:, :2] + 1).clamp(min=0).prod(dim=1) for b in (boxes, others))
    low = torch.maximum(others[:, None, :2], boxes[None, :, :2])
    high = torch.minimum(others[:, None, 2:], boxes[None, :, 2:])
    intersections = (high - low + 1).clamp(min=0).prod(dim=2)
    ious = intersections / (other_areas[:, None] + areas[None, :] - intersections)
    return (ious > min_iou) & ~torch.eye(len(boxes), dtype=torch.bool, device=boxes.device)


def inside_boxes(boxes: Tensor, windows: Tensor, size: int) -> Tensor:
    """Cells of a size x size raster over `windows` whose centres lie in `boxes`, both (N, 4): (N, size, size) bool."""
    steps = (torch.arange(size, device=boxes.device) + 0.5) / size  # (size,)
    x = windows[:, None, 0] + steps * (windows[:, 2] - windows[:, 0])[:, None]  # (N, size)
    y = windows[:, None, 1] + steps * (windows[:, 3] - windows[:, 1])[:, None]
    columns = (x >= boxes[:, 0, None]) & (x < boxes[:, 2, None])
    rows = (y >= boxes[:, 1, None]) & (y < boxes[:, 3, None])
    return rows[:, :, None] & columns[:, None, :]


@dataclass(frozen=True, kw_only=True)
class BilayerTargetBuilder:
    """Computes `BilayerTargets` online, from whatever instance masks the training sample carries.

    The occluder of object j is the union of the masks of the other objects k, of any class, whose boxes overlap j's
    (IoU > `min_box_iou`): all of them (`all`: the paper, which knows contact but not order), or only those that the
    data says lie in front of j (`in_front`: reads `gt_instances.in_front`, int8, 1 yes, 0 no, -1 unknown). Crowds
    are not among `gt_instances` and never occlude. An object whose occluder covers at most `min_occluder_area`
    pixels of its box counts as unoccluded.

    Where the data brings occluders computed beforehand (`gt_instances.occluders`, one mask per object), these are the
    occluders of either mode, and all are known.

    Masks and boxes of either layer have the extent that the detector learns. With `occluder_mask="visible"` what is
    visible of a neighbour occludes, and its visible box has to overlap the object's: for amodal data, where an
    occluder's hidden part covers nothing. Needs `AmodalMasks`.

    In `in_front` mode an RoI is unknown when its image has no `in_front`, or when the order between its object and
    any neighbour is. In either mode it is when a neighbour has a box and no mask (`gt_instances.mask_known`). Unknown
    RoIs train no occluder output.

    Attributes:
        mask_size: Side of the square targets, twice that of the RoI features.
        occluder: `all` or `in_front`.
        occluder_mask: `same` or `visible`.
        min_box_iou: Strict lower bound of the box IoU of neighbours, measured in original pixels with the +1
            convention.
        min_occluder_area: In pixels of the original image, known from `scale_factor`; of the network's image when
            the sample does not carry one.
        crop_to_gt_box: Keep the occluder inside its object's ground-truth box, as the released annotations do,
            instead of filling the whole RoI.

    Source: docs/sources.md, BCNet 3; `visible` is the rule of AISFormer's port of BCNet (section 6), `in_front` and
    unknown handling are ours.
    """

    mask_size: int = 28
    occluder: OccluderMode = "all"
    occluder_mask: OccluderMask = "same"
    min_box_iou: float = 0.05
    min_occluder_area: float = 20.0
    crop_to_gt_box: bool = False

    def __post_init__(self) -> None:
        if self.occluder not in ("all", "in_front"):
            raise InputError(f"Occluder targets must be all or in_front, found {self.occluder!r}.")
        if self.occluder_mask not in ("same", "visible"):
            raise InputError(f"occluder_mask must be same or visible, found {self.occluder_mask!r}.")

    @torch.no_grad()
    def __call__(
        self,
        boxes: Sequence[Tensor],
        gt_indices: Sequence[Tensor],
        gt_instances: Sequence[InstanceData],
        scale_factors: Sequence[tuple[float, float]],
        outputs: Collection[str] = OUTPUTS,
    ) -> BilayerTargets:
        """Targets of the RoIs of a batch, image after image.

        Args:
            boxes: Per image (n, 4) xyxy RoIs in network pixels.
            gt_indices: Per image (n,) int64, the object of each RoI.
            gt_instances: Per image, with bboxes, masks, and where known `in_front`, `hidden` and `occluders`.
            scale_factors: Per image (width, height) scale, network pixels per original pixel.
            outputs: Names of the outputs to be trained; nothing is computed for the others.

        Returns:
            Targets of all N RoIs.
        """
        images = list(zip(boxes, gt_indices, gt_instances, scale_factors, strict=True))
        windows = [MaskWindows(b, i, (gt.masks.height, gt.masks.width), self.mask_size) for b, i, gt, _ in images]
        occludee = torch.cat([w.union(gt.masks, _own(gt)) for w, gt in zip(windows, gt_instances, strict=True)])
        occluder = known = hidden = None
        if not {"occluder_mask", "occluder_boundary"}.isdisjoint(outputs):
            parts = [self._occluders(w, *image) for w, image in zip(windows, images, strict=True)]
            occluder, known = (torch.cat(part) for part in zip(*parts, strict=True))
        if "hidden" in outputs:
            hidden = torch.cat([_hidden(b, i, gt) for b, i, gt, _ in images])
        layers = occludee if occluder is None else torch.cat([occludee, occluder])
        maps = torch.stack([layers, mask_boundary(layers)]).float()  # both layers at once
        count = len(occludee)
        return BilayerTargets(
            occludee_mask=maps[0, :count],
            occludee_boundary=maps[1, :count],
            occluder_mask=None if occluder is None else maps[0, count:],
            occluder_boundary=None if occluder is None else maps[1, count:],
            occluder_known=known,
            hidden=hidden,
        )

    def occluder_pairs(self, gt: InstanceData, scale_factor: tuple[float, float]) -> tuple[Tensor, Tensor]:
        """Who occludes whom among the objects of one image, by this builder's rule.

        Args:
            gt: The image's objects.
            scale_factor: (width, height) scale, network pixels per original pixel.

        Returns:
            occludes: (G, G) bool, occludes[k, j]: k belongs to the occluder of j.
            known: (G,) bool, the occluder of j is known.
        """
        boxes, masks = get_box_tensor(gt.bboxes), self.occluder_masks(gt)
        others = boxes if self.occluder_mask == "same" else _boxes_of(dense(masks)).to(boxes)
        scale = boxes.new_tensor(scale_factor).repeat(2)
        adjacent = neighbours(boxes / scale, self.min_box_iou, others / scale)
        known = torch.ones(len(boxes), dtype=torch.bool, device=boxes.device)
        if "mask_known" in gt:  # a neighbour of which only the box is known may cover anything in it
            boxed = ~torch.as_tensor(gt.mask_known, device=boxes.device)
            known &= ~(adjacent & boxed[:, None]).any(dim=0)
            adjacent &= ~boxed[:, None]
        if self.occluder == "in_front":
            if "in_front" not in gt:
                return torch.zeros_like(adjacent), torch.zeros_like(known)
            order = torch.as_tensor(gt.in_front, device=boxes.device)
            known &= ~(adjacent & (order < 0)).any(dim=0)
            adjacent = adjacent & (order == 1)
        large = _large_enough(masks, boxes, adjacent, self.min_occluder_area * scale_factor[0] * scale_factor[1])
        return adjacent & large, known

    def occluder_masks(self, gt: InstanceData) -> BaseInstanceMasks:
        """What the objects of an image occlude with.

        Raises:
            InputError: visible masks are wanted and the sample does not tell them.
        """
        if self.occluder_mask == "same":
            return gt.masks
        if not isinstance(gt.masks, AmodalMasks):
            raise InputError(
                f"occluder_mask='visible' needs masks that know what is visible (AmodalDataset, LoadAmodalAnnotations, "
                f"PackAmodalInputs), found {type(gt.masks).__name__}."
            )
        return gt.masks.bitmaps("visible")

    def _occluders(
        self,
        windows: MaskWindows,
        boxes: Tensor,
        gt_indices: Tensor,
        gt: InstanceData,
        scale_factor: tuple[float, float],
    ) -> tuple[Tensor, Tensor]:
        """Occluder masks (n, S, S) of the RoIs of one image, and whether they are known, (n,) bool."""
        if "occluders" in gt:
            union, known = windows.union(gt.occluders, _own(gt)), torch.ones_like(gt_indices, dtype=torch.bool)
        else:
            occludes, known_of = self.occluder_pairs(gt, scale_factor)
            union, known = windows.union(self.occluder_masks(gt), occludes.cpu().numpy()), known_of[gt_indices]
        if self.crop_to_gt_box:
            union &= inside_boxes(get_box_tensor(gt.bboxes)[gt_indices], boxes, self.mask_size)
        return union, known


def _own(gt: InstanceData) -> NDArray[np.bool_]:
    """(G, G), every object sees its own mask."""
    return np.eye(len(gt), dtype=bool)


def _boxes_of(bitmaps: NDArray[np.uint8]) -> Tensor:
    """(G, 4) xyxy of what is in each bitmap, end-exclusive; zeros where nothing is."""
    boxes = [(x, y, x + width, y + height) for x, y, width, height in map(cv2.boundingRect, bitmaps)]
    return torch.tensor(boxes).reshape(-1, 4)


def _hidden(boxes: Tensor, gt_indices: Tensor, gt: InstanceData) -> Tensor:
    """Hidden fractions (n,) of the RoIs of one image, NaN where unknown."""
    if "hidden" not in gt:
        return boxes.new_full((len(boxes),), torch.nan)
    return torch.as_tensor(gt.hidden, dtype=boxes.dtype, device=boxes.device)[gt_indices]


def _large_enough(masks: BaseInstanceMasks, boxes: Tensor, occludes: Tensor, min_area: float) -> Tensor:
    """Of each object: its occluders cover more pixels of its box (corners truncated) than `min_area`: (G,) bool."""
    large = np.zeros(len(boxes), bool)
    occludes = occludes.cpu().numpy()
    bitmaps = dense(masks) if occludes.any() else None
    for target, (x1, y1, x2, y2) in enumerate(boxes.clamp(min=0).long().tolist()):
        crops = [bitmaps[k][y1:y2, x1:x2] for k in np.flatnonzero(occludes[:, target])]
        # one occluder that is large settles it, which spares most unions
        large[target] = any(np.count_nonzero(crop) > min_area for crop in crops) or (
            len(crops) > 1 and np.count_nonzero(np.bitwise_or.reduce(crops)) > min_area
        )
    return torch.from_numpy(large).to(boxes.device)
