"""Which object of a reference frame stands for which RoI of the key frame, when a refine head is trained."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor

from vos_occ.models.bilayer.roi_head import BilayerRoIHead, TrainingMasks
from vos_occ.models.video.quasi_dense import OccQuasiDenseTrackHead

NO_REFERENCE = -1
MIN_COSINE = 0.5


@dataclass(frozen=True)
class TrainingFrames:
    """One frame of each of B training pairs.

    Attributes:
        feats: levels (B, C, h, w); none where nobody reads them.
        samples: with the ground truth.
        proposals: of each.
    """

    feats: tuple[Tensor, ...]
    samples: list[DetDataSample]
    proposals: list[InstanceData]

    def levels_of(self, index: int) -> tuple[Tensor, ...]:
        """Feature levels (1, C, h, w) of one of the frames."""
        return tuple(level[index : index + 1] for level in self.feats)

    def instance_ids(self, index: int, gt_indices: Tensor) -> Tensor:
        """(n,) instances of RoIs of one of the frames, by the objects (n,) that they belong to."""
        return self.samples[index].gt_instances.instances_ids[gt_indices]


@dataclass(frozen=True)
class References:
    """The RoIs of the reference frames that stand for RoIs of the keys.

    Attributes:
        found: per image (n,) bool, which of the key's RoIs have one.
        boxes: per image (m,) xyxy in network pixels, of those that have.
        labels: (M,) int64, of all images.
    """

    found: list[Tensor]
    boxes: list[Tensor]
    labels: Tensor


@torch.no_grad()
def find_references(
    roi_head: BilayerRoIHead,
    track_head: OccQuasiDenseTrackHead,
    masks: TrainingMasks,
    key: TrainingFrames,
    ref: TrainingFrames,
) -> References:
    """For the key's RoIs that train masks, positive RoIs of the reference that show the same object, and look it."""
    sampled = roi_head.assign_and_sample(ref.feats, ref.proposals, ref.samples)
    boxes, gt_indices = roi_head.training_rois(sampled, [sample.gt_instances for sample in ref.samples])
    found, chosen, labels = [], [], []
    for i, sample in enumerate(ref.samples):
        rows = reference_rows(
            track_head.embed(key.levels_of(i), masks.boxes[i]),
            key.instance_ids(i, masks.gt_indices[i]),
            track_head.embed(ref.levels_of(i), boxes[i]),
            ref.instance_ids(i, gt_indices[i]),
        )
        found.append(rows != NO_REFERENCE)
        rows = rows[found[-1]]
        chosen.append(boxes[i][rows])
        labels.append(sample.gt_instances.labels[gt_indices[i][rows]])
    return References(found, chosen, torch.cat(labels))


def reference_rows(embeddings: Tensor, ids: Tensor, ref_embeddings: Tensor, ref_ids: Tensor) -> Tensor:
    """For each positive RoI of the key frame, the RoI of the reference frame that looks most like it.

    Args:
        embeddings: (N, D) of the key's positives.
        ids: (N,) instance of each.
        ref_embeddings: (R, D) of the reference's positives.
        ref_ids: (R,) instance of each.

    Returns:
        (N,) int64 in [0, R), of the same instance; NO_REFERENCE where no cosine is above .5.

    Source: PCAN's released training; docs/sources.md, trackers 3.4.
    """
    if not len(ref_ids):
        return torch.full_like(ids, NO_REFERENCE)
    cosines = F.normalize(embeddings.float(), dim=1) @ F.normalize(ref_embeddings.float(), dim=1).T
    best = cosines.masked_fill(ids[:, None] != ref_ids, -1.0).max(dim=1)
    return torch.where(best.values > MIN_COSINE, best.indices, NO_REFERENCE)
