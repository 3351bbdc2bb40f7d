"""The quasi-dense embedding of QDTrack and PCAN: every positive RoI of a frame against all RoIs of another one."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.models.task_modules import SamplingResult
from mmdet.models.tracking_heads import QuasiDenseEmbedHead, QuasiDenseTrackHead
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox2roi
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor, nn

ROI_EXTRACTOR = {
    "type": "SingleRoIExtractor",
    "roi_layer": {"type": "RoIAlign", "output_size": 7, "sampling_ratio": 0},
    "out_channels": 256,
    "featmap_strides": [4, 8, 16, 32],
}
AUXILIARY = {"type": "MarginL2Loss", "neg_pos_ub": 3, "pos_margin": 0, "neg_margin": 0.3, "hard_mining": True}
TRAINING = {
    "assigner": {
        "type": "MaxIoUAssigner",
        "pos_iou_thr": 0.7,
        "neg_iou_thr": 0.3,
        "min_pos_iou": 0.5,
        "match_low_quality": False,
        "ignore_iof_thr": -1,
    },
    "sampler": {
        "type": "CombinedSampler",
        "num": 256,
        "pos_fraction": 0.5,
        "neg_pos_ub": 3,
        "add_gt_as_proposals": True,
        "pos_sampler": {"type": "InstanceBalancedPosSampler"},
        "neg_sampler": {"type": "IoUBalancedNegSampler", "floor_thr": 0, "floor_fraction": 0, "num_bins": 3},
    },
}
"""What PCAN trains with (docs/sources.md, trackers 3.1). Its `floor_thr` is -1, which the sampler itself
turns into 0 the first time it draws; from then on the two are the same."""


@MODELS.register_module()
class MultiPositiveLoss(nn.Module):
    """`multi_positive_loss` under the interface of mmdet's `MultiPosCrossEntropyLoss`, averaged over the keys.

    Args:
        loss_weight: Factor of the result.
    """

    def __init__(self, loss_weight: float = 0.25) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, similarity: Tensor, targets: Tensor, weights: Tensor, avg_factor: Tensor) -> Tensor:
        """Loss of (N, M) similarities with (N, M) targets in {0, 1}: summed with (N,) weights, by `avg_factor`."""
        losses = multi_positive_loss(similarity, targets >= 1) * weights
        return self.loss_weight * losses.sum() / avg_factor.clamp_min(1)


def multi_positive_loss(similarity: Tensor, positive: Tensor) -> Tensor:
    """`log(1 + sum_p sum_n exp(s_n - s_p))`, over positives p and negatives n of each row.

    Computed as `softplus(logsumexp(-s_p) + logsumexp(s_n))`: M exponentials a row where mmdet's
    `MultiPosCrossEntropyLoss` expands to M^2 (docs/sources.md, trackers B11). Nothing overflows, so the negatives need
    not be clamped at 80 as in PCAN's release, which takes their gradient away.

    Args:
        similarity: (N, M) logits.
        positive: (N, M) bool; all others are negatives.

    Returns:
        (N,) at least 0; 0 for rows without positives or without negatives.

    Source: QDTrack (Pang et al., CVPR 2021), equation 3.
    """
    counts = positive.any(dim=1) & (~positive).any(dim=1)
    rows, chosen = similarity[counts], positive[counts]  # a logsumexp of nothing has no gradient
    toward = (-rows).masked_fill(~chosen, float("-inf")).logsumexp(dim=1)
    away = rows.masked_fill(chosen, float("-inf")).logsumexp(dim=1)
    losses = F.softplus(toward + away)
    return losses.new_zeros(len(similarity)).index_put((counts,), losses)


@MODELS.register_module()
class OccQuasiDenseEmbedHead(QuasiDenseEmbedHead):
    """mmdet's `QuasiDenseEmbedHead` with PCAN's layers and losses as defaults; mmdet's own defaults cannot be built.

    Two losses of the key's positive RoIs against all RoIs of the reference, means over images. `loss_track` is the mean
    over keys that have a positive, of dot products. `loss_track_aux` pulls cosines to 1, or to 0 with a margin, over
    the positives and the hardest negatives, at most three for each positive: without a positive it is 0.

    Args:
        num_convs, num_fcs, norm_cfg, loss_track, loss_track_aux: mmdet's.
        kwargs: mmdet's.

    Source: docs/sources.md, trackers 3.1.
    """

    def __init__(
        self,
        num_convs: int = 4,
        num_fcs: int = 1,
        norm_cfg: dict[str, Any] | None = None,
        loss_track: dict[str, Any] | None = None,
        loss_track_aux: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            num_convs,
            num_fcs,
            norm_cfg=norm_cfg or {"type": "GN", "num_groups": 32},
            loss_track=loss_track or {"type": "MultiPositiveLoss"},
            loss_track_aux=loss_track_aux or AUXILIARY,
            **kwargs,
        )

    def match(
        self, key_embeds: Tensor, ref_embeds: Tensor, *sampling_results: list[SamplingResult]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """mmdet's dot products and cosines, in float32 also under autocast: rounded, they are off by whole units."""
        with torch.autocast(key_embeds.device.type, enabled=False):
            return super().match(key_embeds.float(), ref_embeds.float(), *sampling_results)


@MODELS.register_module()
class OccQuasiDenseTrackHead(QuasiDenseTrackHead):
    """mmdet's `QuasiDenseTrackHead` for many classes, which answers with embeddings.

    Against mmdet's: nothing that is passed in changes (its detector's labels were zeroed, B2, and its proposals
    renamed, B10), and the reference's RoIs are assigned with the reference's own ignored regions (B10). With an
    `ignore_iof_thr` of -1 in the assigner, as released, ignored regions are not asked for.

    Args:
        roi_extractor, embed_head, train_cfg: mmdet's; PCAN's by default.
        kwargs: mmdet's.
    """

    def __init__(
        self,
        roi_extractor: dict[str, Any] | None = None,
        embed_head: dict[str, Any] | None = None,
        train_cfg: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            roi_extractor or ROI_EXTRACTOR,
            embed_head or {"type": "OccQuasiDenseEmbedHead"},
            train_cfg=ConfigDict(train_cfg or TRAINING),
            **kwargs,
        )

    @property
    def embed_dim(self) -> int:
        """D, the length of an embedding."""
        return self.embed_head.fc_embed.out_features

    def embed(self, feats: tuple[Tensor, ...], boxes: Tensor) -> Tensor:
        """(N, D) embeddings of (N, 4) boxes in network pixels, on the feature maps of one image."""
        rois = bbox2roi([boxes])
        return self.embed_head(self.roi_extractor(feats[: self.roi_extractor.num_inputs], rois))

    def loss(
        self,
        key_feats: tuple[Tensor, ...],
        ref_feats: tuple[Tensor, ...],
        key_proposals: list[InstanceData],
        ref_proposals: list[InstanceData],
        data_samples: list,
    ) -> dict[str, Tensor]:
        """`loss_track` and `loss_track_aux` of B pairs.

        Args:
            key_feats, ref_feats: feature levels (B, C, h, w).
            key_proposals, ref_proposals: of each image, in network pixels, as `bboxes` (the RPN's name) or `priors`
                (that of a RoI head, which renames them).
            data_samples: B track samples with one key and one reference frame each.
        """
        keys = [sample.get_key_frames()[0] for sample in data_samples]
        refs = [sample.get_ref_frames()[0] for sample in data_samples]
        key_results = self._sample(key_feats, key_proposals, keys)
        ref_results = self._sample(ref_feats, ref_proposals, refs)
        return self.embed_head.loss(
            self.extract_roi_feats(key_feats, [result.pos_priors for result in key_results]),
            self.extract_roi_feats(ref_feats, [result.priors for result in ref_results]),
            key_results,
            ref_results,
            [partner_indices(key, ref) for key, ref in zip(keys, refs, strict=True)],
        )

    def _sample(
        self, feats: tuple[Tensor, ...], proposals: list[InstanceData], samples: list[DetDataSample]
    ) -> list[SamplingResult]:
        """Each image's training RoIs."""
        results = []
        for index, (proposal, sample) in enumerate(zip(proposals, samples, strict=True)):
            priors = InstanceData(priors=proposal.priors if "priors" in proposal else proposal.bboxes)
            assigned = self.bbox_assigner.assign(priors, sample.gt_instances, sample.get("ignored_instances"))
            levels = [level[index][None] for level in feats]
            results.append(self.bbox_sampler.sample(assigned, priors, sample.gt_instances, feats=levels))
        return results


def partner_indices(key: DetDataSample, ref: DetDataSample) -> Tensor:
    """(G,) int64: for each object of the key frame its index in the reference frame, -1 where it is not there."""
    ids, ref_ids = key.gt_instances.instances_ids, ref.gt_instances.instances_ids
    same = ids[:, None] == ref_ids
    if not same.shape[1]:
        return torch.full_like(ids, -1)
    return torch.where(same.any(dim=1), same.int().argmax(dim=1), -1)
