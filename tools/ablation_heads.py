"""The mask heads that an ablation compares, how one is trained on cached RoIs, and what it answers."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import time
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from ablation_rois import TestRois, TrainingRois
from image_scores import xywh
from torch import Tensor

from vos_occ.models.bilayer import BilayerMaskHead
from vos_occ.models.bilayer.losses import BilayerLosses
from vos_occ.models.bilayer.targets import BilayerTargets
from vos_occ.structures.rle import paste_and_encode

SINGLE = {"bilayer": False, "occludee_boundary": False}
VARIANTS: dict[str, dict[str, Any]] = {
    "single FCN": {"variant": "fcn", **SINGLE},
    "single FCN, 8 convolutions": {"variant": "fcn", "num_convs": 8, **SINGLE},
    "single GCN": {"variant": "gcn", **SINGLE},
    "bilayer FCN": {"variant": "fcn"},
    "bilayer GCN": {"variant": "gcn"},
    "bilayer GCN without occluder losses": {"occluder_mask": False, "occluder_boundary": False},
    "bilayer GCN without guidance": {"guidance": False},
    "bilayer GCN without boundaries": {"occluder_boundary": False, "occludee_boundary": False},
}
"""Arguments of `BilayerMaskHead`. The first is Mask R-CNN's head, with which the others are compared; the second has
the 3x3 convolutions of both layers in one."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How a head is trained: AdamW, a linear warm-up over a tenth of the steps, then a half cosine to 0."""

    steps: int = 800
    batch: int = 32
    lr: float = 1e-3
    weight_decay: float = 0.01


def build_head(variant: str, channels: int, seed: int) -> BilayerMaskHead:
    """A fresh head; its weights depend on the seed alone."""
    torch.manual_seed(seed)
    head = BilayerMaskHead(channels, gcn_norm="gn", **VARIANTS[variant])
    return head.to(memory_format=torch.channels_last)


def train_head(head: BilayerMaskHead, rois: TrainingRois, schedule: Schedule, seed: int) -> float:
    """Trains a head in place; answers with seconds per step.

    The order of the RoIs and the draws of the occluder losses depend on the seed alone: heads of one seed see
    identical batches.
    """
    losses = BilayerLosses(occluder_mask=0.5, boundary_loss_scale=1.0, neg_when_empty=True)
    optimizer = torch.optim.AdamW(head.parameters(), schedule.lr, weight_decay=schedule.weight_decay)
    warm_up = max(1, schedule.steps // 10)
    scheduler = torch.optim.lr_scheduler.SequentialLR(
        optimizer,
        [
            torch.optim.lr_scheduler.LinearLR(optimizer, 0.05, total_iters=warm_up),
            torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, schedule.steps - warm_up)),
        ],
        milestones=[warm_up],
    )
    draws = torch.Generator().manual_seed(seed)
    order = torch.cat([torch.randperm(len(rois), generator=draws) for _ in range(_epochs(rois, schedule))])
    started = time.process_time()
    for step in range(schedule.steps):
        index = order[step * schedule.batch : (step + 1) * schedule.batch]
        feats = rois.feats[index].float().contiguous(memory_format=torch.channels_last)
        terms = losses(head(feats), _select(rois.targets, index), torch.zeros_like(index), generator=draws)
        optimizer.zero_grad()
        sum(terms.values()).backward()
        torch.nn.utils.clip_grad_norm_(head.parameters(), 10.0)
        optimizer.step()
        scheduler.step()
    return (time.process_time() - started) / schedule.steps


@torch.inference_mode()
def segment(head: BilayerMaskHead, rois: TestRois) -> list[dict[str, Any]]:
    """A head's masks as COCO results, one per RoI and in their order; `bbox` is the RoI.

    Where a box was given, its score is the mean foreground probability of the mask (Mask2Former's rule): how sure the
    head is, since no detector said it.
    """
    head.eval()
    logits = torch.cat([head(part.float(), outputs=()).occludee_mask[:, 0] for part in rois.feats.split(64)])
    scores = torch.where(rois.scores.isnan(), _certainty(logits), rois.scores)
    records = []
    for image_id in rois.image_ids.unique():
        index = (rois.image_ids == image_id).nonzero()[:, 0]
        masks = paste_and_encode(logits[index], rois.boxes[index], *rois.size)
        for i, mask in zip(index.tolist(), masks, strict=True):
            records.append(
                {
                    "image_id": int(image_id),
                    "category_id": int(rois.category_ids[i]),
                    "segmentation": mask,
                    "bbox": xywh(rois.boxes[i].numpy()),
                    "score": float(scores[i]),
                }
            )
    return records


def _certainty(logits: Tensor) -> Tensor:
    """Mean probability of the cells that are foreground, (N,) in [.5, 1]; 0 without one."""
    probability = logits.sigmoid()
    foreground = (probability >= 0.5).float()
    return (probability * foreground).sum((1, 2)) / foreground.sum((1, 2)).clamp(min=1)


def _epochs(rois: TrainingRois, schedule: Schedule) -> int:
    return -(-schedule.steps * schedule.batch // len(rois))


def _select(targets: BilayerTargets, index: Tensor) -> BilayerTargets:
    return replace(targets, **{field.name: getattr(targets, field.name)[index] for field in fields(targets)})
