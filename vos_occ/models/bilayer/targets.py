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

import numpy as np
import torch
from mmcv.ops import roi_align
from mmdet.structures.bbox import get_box_tensor
from mmdet.structures.mask import BitmapMasks
from mmdet.structures.mask.structures import BaseInstanceMasks
from mmengine.structures import InstanceData
from torch import Tensor

from vos_occ.models.bilayer.prediction import OUTPUTS
from vos_occ.models.layers.boundary import mask_boundary
from vos_occ.structures.errors import InputError

OccluderMode = Literal["all", "in_front"]


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


def neighbours(boxes: Tensor, min_iou: float) -> Tensor:
    """Which boxes overlap enough to occlude each other at all.

    Args:
        boxes: (G, 4) xyxy in pixels of the original image.
        min_iou: Two boxes are neighbours when their IoU exceeds this, strictly.

    Returns:
        (G, G) bool, symmetric, False on the diagonal.

    Source: the released process_dataset.py, rule 1; box sides are x2 - x1 + 1 (VOC's convention).
    """
    sides = (boxes[:, 2:] - boxes[:, :2] + 1).clamp(min=0)
    areas = sides.prod(dim=1)
    low = torch.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = torch.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    intersections = (high - low + 1).clamp(min=0).prod(dim=2)
    ious = intersections / (areas[:, None] + areas[None, :] - intersections)
    return (ious > min_iou) & ~torch.eye(len(boxes), dtype=torch.bool, device=boxes.device)


def crop_masks(masks: BaseInstanceMasks, boxes: Tensor, indices: Tensor, size: int) -> Tensor:
    """Masks seen through boxes: mask `indices[p]` inside box `boxes[p]`, resampled to size x size and binarised.

    Args:
        masks: G instance masks. Bitmaps are never copied per box; other containers crop themselves.
        boxes: (P, 4) xyxy in pixels of the masks' image.
        indices: (P,) int64 in [0, G).
        size: Side of the raster.

    Returns:
        (P, size, size) float in {0, 1}.
    """
    if len(boxes) == 0:
        return boxes.new_zeros((0, size, size))
    if isinstance(masks, BitmapMasks):
        bitmaps = torch.from_numpy(masks.masks).to(boxes)[:, None]  # (G, 1, H, W)
        rois = torch.cat([indices[:, None].to(boxes), boxes], dim=1)
        with torch.autocast(boxes.device.type, enabled=False):  # halves round coverages across the threshold
            coverage = roi_align(bitmaps, rois, (size, size), 1.0, 0, "avg", True)[:, 0]
        return (coverage >= 0.5).to(boxes.dtype)
    crops = masks.crop_and_resize(
        boxes.cpu().numpy(), (size, size), indices.cpu().numpy(), device=str(boxes.device), binarize=True
    )
    return torch.from_numpy(crops.to_ndarray()).to(boxes)


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

    In `in_front` mode an RoI is unknown when its image has no `in_front`, or when the order between its object and
    any neighbour is; unknown RoIs train no occluder output.

    Attributes:
        mask_size: Side of the square targets, twice that of the RoI features.
        occluder: `all` or `in_front`.
        min_box_iou: Strict lower bound of the box IoU of neighbours, measured in original pixels with the +1
            convention.
        min_occluder_area: In pixels of the original image, known from `scale_factor`; of the network's image when
            the sample does not carry one.
        crop_to_gt_box: Keep the occluder inside its object's ground-truth box, as the released annotations do,
            instead of filling the whole RoI.

    Source: specs/bcnet.md section 3; `in_front` and unknown handling are ours.
    """

    mask_size: int = 28
    occluder: OccluderMode = "all"
    min_box_iou: float = 0.05
    min_occluder_area: float = 20.0
    crop_to_gt_box: bool = False

    def __post_init__(self) -> None:
        if self.occluder not in ("all", "in_front"):
            raise InputError(f"Occluder targets must be all or in_front, found {self.occluder!r}.")

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
        occludee = torch.cat([crop_masks(gt.masks, b, i, self.mask_size) for b, i, gt, _ in images])
        occluder = known = hidden = None
        if not {"occluder_mask", "occluder_boundary"}.isdisjoint(outputs):
            parts = [self._occluders(*image) for image in images]
            occluder, known = (torch.cat(part) for part in zip(*parts, strict=True))
        if "hidden" in outputs:
            hidden = torch.cat([_hidden(b, i, gt) for b, i, gt, _ in images])
        layers = occludee if occluder is None else torch.cat([occludee, occluder])
        contours = mask_boundary(layers)  # both layers at once
        return BilayerTargets(
            occludee_mask=occludee,
            occludee_boundary=contours[: len(occludee)],
            occluder_mask=occluder,
            occluder_boundary=None if occluder is None else contours[len(occludee) :],
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
        boxes = get_box_tensor(gt.bboxes)
        adjacent = neighbours(boxes / boxes.new_tensor(scale_factor).repeat(2), self.min_box_iou)
        known = torch.ones(len(boxes), dtype=torch.bool, device=boxes.device)
        if self.occluder == "in_front":
            if "in_front" not in gt:
                return torch.zeros_like(adjacent), torch.zeros_like(known)
            order = torch.as_tensor(gt.in_front, device=boxes.device)
            known = ~(adjacent & (order < 0)).any(dim=0)
            adjacent = adjacent & (order == 1)
        too_small = _union_areas(gt.masks, boxes, adjacent, scale_factor) <= self.min_occluder_area
        return adjacent & ~too_small, known

    def _occluders(
        self, boxes: Tensor, gt_indices: Tensor, gt: InstanceData, scale_factor: tuple[float, float]
    ) -> tuple[Tensor, Tensor]:
        """Occluder masks (n, S, S) of the RoIs of one image, and whether they are known, (n,) bool."""
        union = boxes.new_zeros((len(boxes), self.mask_size**2))
        if len(boxes) == 0:
            return union.unflatten(1, (self.mask_size, self.mask_size)), gt_indices.new_zeros(0, dtype=torch.bool)
        if "occluders" in gt:
            union = crop_masks(gt.occluders, boxes, gt_indices, self.mask_size)
            return self._inside_gt_boxes(union, boxes, gt_indices, gt), torch.ones_like(gt_indices, dtype=torch.bool)
        occludes, known = self.occluder_pairs(gt, scale_factor)
        rois, occluders = occludes[:, gt_indices].T.nonzero(as_tuple=True)  # P pairs of (RoI, one of its occluders)
        crops = crop_masks(gt.masks, boxes[rois], occluders, self.mask_size).flatten(1)  # (P, S * S)
        union.scatter_reduce_(0, rois[:, None].expand_as(crops), crops, "amax")
        union = union.unflatten(1, (self.mask_size, self.mask_size))
        return self._inside_gt_boxes(union, boxes, gt_indices, gt), known[gt_indices]

    def _inside_gt_boxes(self, union: Tensor, boxes: Tensor, gt_indices: Tensor, gt: InstanceData) -> Tensor:
        """Occluders (n, S, S), without what lies outside of the objects' boxes where that is asked for."""
        if not self.crop_to_gt_box:
            return union
        return union * inside_boxes(get_box_tensor(gt.bboxes)[gt_indices], boxes, self.mask_size)


def _hidden(boxes: Tensor, gt_indices: Tensor, gt: InstanceData) -> Tensor:
    """Hidden fractions (n,) of the RoIs of one image, NaN where unknown."""
    if "hidden" not in gt:
        return boxes.new_full((len(boxes),), torch.nan)
    return torch.as_tensor(gt.hidden, dtype=boxes.dtype, device=boxes.device)[gt_indices]


def _union_areas(
    masks: BaseInstanceMasks, boxes: Tensor, occludes: Tensor, scale_factor: tuple[float, float]
) -> Tensor:
    """Area in original pixels of the union of each object's occluders inside its box (truncated corners): (G,)."""
    areas = np.zeros(len(boxes), dtype=np.float32)
    occludes = occludes.cpu()
    members = occludes.any(dim=1).nonzero().flatten().numpy()
    bitmaps = dict(zip(members, masks[members].to_ndarray(), strict=True)) if len(members) else {}
    for target, (x1, y1, x2, y2) in enumerate(boxes.clamp(min=0).long().tolist()):
        crops = [bitmaps[k][y1:y2, x1:x2] != 0 for k in occludes[:, target].nonzero().flatten().tolist()]
        areas[target] = np.logical_or.reduce(crops).sum() if crops else 0
    return torch.from_numpy(areas).to(boxes) / (scale_factor[0] * scale_factor[1])
