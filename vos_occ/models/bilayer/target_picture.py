"""Pictures of what the bilayer head learns: both target layers of every object of an image. Knows nothing of files."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from mmdet.structures.bbox import get_box_tensor
from mmengine.structures import InstanceData
from numpy.typing import NDArray
from torch import Tensor

from vos_occ.models.bilayer.targets import BilayerTargetBuilder, BilayerTargets

CELL = 168  # pixels of one RoI's side, six of a 28-cell target
TITLE = 16
OCCLUDEE, OCCLUDER, CONTOUR, PAPER = (70, 200, 90), (235, 80, 60), (255, 255, 255), (32, 32, 32)

Picture = NDArray[np.uint8]


def target_picture(
    image: Picture,
    instances: InstanceData,
    classes: Sequence[str],
    builder: BilayerTargetBuilder,
    columns: int = 3,
    margin: float = 0.0,
) -> Picture:
    """The image with its boxes, and below it three squares per object: RoI, occludee target, occluder target.

    The squares are the head's own targets, cell by cell: fill and contour of each layer.

    Args:
        image: (H, W, 3) uint8 RGB.
        instances: bboxes, labels, masks, `instances_ids`, and what the builder reads.
        classes: names by label.
        builder: what makes the targets.
        columns: objects side by side.
        margin: how much larger than its object's box an RoI is on each side, in box sides; training RoIs are proposals.

    Returns:
        (h, w, 3) uint8 RGB.
    """
    boxes = get_box_tensor(instances.bboxes)
    rois = _grown(boxes, margin, image.shape[:2])
    indices = torch.arange(len(boxes))
    targets = builder([rois], [indices], [instances], [(1.0, 1.0)])
    rows = [_overview(image, boxes, columns * 3 * CELL)]
    panels = [_panel(image, rois, instances, targets, i, classes) for i in indices.tolist()]
    for start in range(0, len(panels), columns):
        row = panels[start : start + columns]
        row += [np.full_like(row[0], PAPER)] * (columns - len(row))
        rows.append(np.concatenate(row, axis=1))
    return np.concatenate(rows)


def _grown(boxes: Tensor, margin: float, size: tuple[int, int]) -> Tensor:
    sides = (boxes[:, 2:] - boxes[:, :2]) * margin
    grown = torch.cat([boxes[:, :2] - sides, boxes[:, 2:] + sides], dim=1).clamp(min=0)
    return grown.minimum(grown.new_tensor([size[1], size[0], size[1], size[0]]))


def _overview(image: Picture, boxes: Tensor, width: int) -> Picture:
    """The image at a width, its boxes numbered."""
    scale = width / image.shape[1]
    shown = cv2.resize(image, (width, round(image.shape[0] * scale)), interpolation=cv2.INTER_AREA)
    for number, box in enumerate((boxes * scale).round().int().tolist()):
        cv2.rectangle(shown, tuple(box[:2]), tuple(box[2:]), CONTOUR, 1)
        for colour, thickness in ((PAPER, 4), (CONTOUR, 1)):
            place = (box[0] + 3, box[1] + 16)
            cv2.putText(shown, str(number), place, cv2.FONT_HERSHEY_SIMPLEX, 0.55, colour, thickness, cv2.LINE_AA)
    return shown


def _panel(
    image: Picture, rois: Tensor, instances: InstanceData, targets: BilayerTargets, i: int, classes: Sequence[str]
) -> Picture:
    x0, y0, x1, y1 = rois[i].round().int().tolist()
    crop = cv2.resize(image[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)], (CELL, CELL), interpolation=cv2.INTER_LINEAR)
    squares = [crop, _layer(crop, targets.occludee_mask[i], targets.occludee_boundary[i], OCCLUDEE)]
    known = bool(targets.occluder_known[i])
    squares.append(
        _layer(crop, targets.occluder_mask[i], targets.occluder_boundary[i], OCCLUDER) if known else crop // 4
    )
    hidden = float(targets.hidden[i])
    words = [f"{i} {classes[int(instances.labels[i])]}", "" if np.isnan(hidden) else f"hidden {hidden:.0%}"]
    if not known:
        words.append("order unknown: not trained")
    elif not targets.occluded[i]:
        words.append("no occluder")
    title = np.full((TITLE, 3 * CELL, 3), PAPER, np.uint8)
    text = "  ".join(filter(None, words)).encode("ascii", "replace").decode()
    cv2.putText(title, text, (4, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, CONTOUR, 1, cv2.LINE_AA)
    return np.concatenate([title, np.concatenate(squares, axis=1)])


def _layer(crop: Picture, mask: Tensor, contour: Tensor, colour: tuple[int, int, int]) -> Picture:
    """A dimmed RoI with a layer's fill and contour over it, each cell of the target as it is."""
    fill, line = (
        cv2.resize(layer.numpy(), (CELL, CELL), interpolation=cv2.INTER_NEAREST)[..., None] for layer in (mask, contour)
    )
    shown = crop * np.where(fill > 0, 0.45, 0.5) + fill * 0.55 * np.array(colour)
    shown = np.where(line > 0, shown * 0.45 + 0.55 * np.array(CONTOUR), shown)
    return shown.round().astype(np.uint8)
