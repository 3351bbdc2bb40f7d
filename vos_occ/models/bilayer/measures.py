"""How well the mask head does on its own training RoIs: numbers for the log, which no loss contains. Knows no model."""

from __future__ import annotations

import torch
from torch import Tensor

from vos_occ.models.bilayer.prediction import BilayerPrediction
from vos_occ.models.bilayer.targets import BilayerTargets

MAPS = ("occludee_mask", "occludee_boundary", "occluder_mask", "occluder_boundary")


@torch.no_grad()
def training_measures(prediction: BilayerPrediction, targets: BilayerTargets) -> dict[str, Tensor]:
    """Accuracy and IoU of every predicted map, and how many RoIs have an occluder, of one batch of RoIs.

    The cells of all RoIs are counted together; those of the occluder layer only where the occluder is known. What is
    undefined is left out: everything where there are no RoIs, an IoU where truth and prediction are both empty. No
    name contains "loss", so that mmengine logs the numbers and does not add them to the loss. Costs one transfer from
    the device, whatever the number of RoIs; processes do not wait for each other.

    Args:
        prediction: Of N RoIs, the class of each RoI's mask selected.
        targets: Of the same RoIs.

    Returns:
        Scalars on the CPU: `occluder_rate` and `occluder_known`, shares of the RoIs that have a known occluder, and of
        those of which it is known whether they have one; `occludee_accuracy` (share of cells that are right),
        `occludee_iou`, `occludee_boundary_iou`, and the same of the occluder.
    """
    count = len(prediction)
    if not count:
        return {}
    known = targets.occluder_known
    everything = torch.ones(count, dtype=torch.bool, device=targets.occludee_mask.device)
    rows = [] if known is None else [torch.stack([known.sum(), (known & targets.occluded).sum()])]
    names = [name for name in MAPS if getattr(prediction, name) is not None]
    for name in names:
        rois = everything if name.startswith("occludee") or known is None else known
        rows.append(_agreement(getattr(prediction, name)[:, 0] > 0, getattr(targets, name) != 0, rois))
    numbers = torch.cat(rows).tolist()
    measures = {}
    if known is not None:
        measures = {"occluder_known": numbers[0] / count, "occluder_rate": numbers[1] / count}
        numbers = numbers[2:]
    for i, name in enumerate(names):
        cells, right, both, either = numbers[4 * i : 4 * i + 4]
        layer, kind = name.split("_")
        if cells and kind == "mask":
            measures[f"{layer}_accuracy"] = right / cells
        if either:
            measures[f"{layer}_iou" if kind == "mask" else f"{name}_iou"] = both / either
    return {name: torch.tensor(value) for name, value in measures.items()}


def _agreement(found: Tensor, expected: Tensor, rois: Tensor) -> Tensor:
    """(4,) int64: cells of the given RoIs; cells that are alike, in both, in either. Maps are (N, S, S) bool."""
    cells = rois[:, None, None].expand_as(found)
    parts = (cells, (found == expected) & cells, found & expected & cells, (found | expected) & cells)
    return torch.stack([part.sum() for part in parts])
