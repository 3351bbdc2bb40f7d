"""The appearance embedding of MaskTrack R-CNN: RoI features through fully connected layers, and their similarity."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from mmdet.models.task_modules import SamplingResult
from mmdet.models.tracking_heads import RoIEmbedHead, RoITrackHead
from mmdet.registry import MODELS
from mmdet.structures.bbox import bbox2roi
from torch import Tensor, nn


@MODELS.register_module()
class OccRoIEmbedHead(RoIEmbedHead):
    """mmdet's `RoIEmbedHead` with a choice for the last layer and for the similarity.

    Args:
        relu_last: ReLU after the last layer too, as mmdet does. The original has none there, and needs none: with
            non-negative embeddings no similarity is below the zero of "new object", so newness cannot be learned from
            appearance. False is the default; True loads mmdet's checkpoints with their meaning.
        similarity: `dot_product`, as MaskTrack R-CNN; or `cosine`, with a learned scale and a learned offset against
            "new object". Dot products of raw features first grow along one direction that all objects share: after
            300 steps of a short training they still matched at chance, which is why the small models use cosine.
        kwargs: mmdet's.
    """

    def __init__(
        self,
        *args: Any,
        relu_last: bool = False,
        similarity: Literal["dot_product", "cosine"] = "dot_product",
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.relu_last = relu_last
        self.cosine = similarity == "cosine"
        if self.cosine:
            self.log_scale = nn.Parameter(torch.tensor(math.log(10.0)))
            self.offset = nn.Parameter(torch.tensor(3.0))

    def extract_feat(self, x: Tensor, num_x_per_img: Sequence[int]) -> tuple[Tensor, ...]:
        """Embeddings (n_i, D) per image of RoI features (sum n_i, C, S, S); of length one for `cosine`."""
        for conv in self.convs:
            x = conv(x)
        if self.num_fcs and self.with_avg_pool:
            x = self.avg_pool(x)
        x = x.flatten(1)
        for index, fc in enumerate(self.fcs):
            x = fc(x)
            if index + 1 < len(self.fcs) or self.relu_last:
                x = self.relu(x)
        if self.cosine:
            x = F.normalize(x, dim=1)
        return x.split(list(num_x_per_img))

    def similarity_logits(self, embeddings: Tensor, references: Tensor) -> Tensor:
        """(N, R + 1) logits of (N, D) against (R, D) embeddings; column 0 is "a new object", always 0."""
        logits = embeddings @ references.T
        if self.cosine:
            logits = self.log_scale.exp() * logits - self.offset
        return F.pad(logits, (1, 0))

    def predict_by_feat(self, x_split: Sequence[Tensor], ref_x_split: Sequence[Tensor]) -> list[Tensor]:
        """`similarity_logits` image by image: what mmdet's `predict` answers with, of whichever similarity."""
        return [self.similarity_logits(x, ref_x) for x, ref_x in zip(x_split, ref_x_split, strict=True)]

    def loss_by_feat(
        self,
        x_split: Sequence[Tensor],
        ref_x_split: Sequence[Tensor],
        sampling_results: list[SamplingResult],
        gt_instance_ids: list[Tensor],
        ref_gt_instance_ids: list[Tensor],
        reduction_override: str | None = None,
    ) -> dict[str, Tensor]:
        """Cross-entropy of each positive key RoI over the reference's objects and "new".

        Per image the sum over positives, divided by the number of those that do have a match, then the mean over
        images, as mmdet (docs/sources.md, trackers 1.2).
        """
        targets, weights = self.get_targets(sampling_results, gt_instance_ids, ref_gt_instance_ids)
        losses, hits, positives = [], 0.0, 0
        for x, ref_x, target, weight in zip(x_split, ref_x_split, targets, weights, strict=True):
            logits = self.similarity_logits(x, ref_x)
            matched = max(int((target > 0).sum()), 1)
            loss = self.loss_match(logits, target, weight, avg_factor=matched, reduction_override=reduction_override)
            losses.append(loss)
            positive = weight > 0
            hits += float((logits[positive].argmax(1) == target[positive]).sum())
            positives += int(positive.sum())
        accuracy = logits.new_tensor(100 * hits / max(positives, 1))
        return {"loss_match": sum(losses) / len(losses), "match_accuracy": accuracy}


@MODELS.register_module()
class OccRoITrackHead(RoITrackHead):
    """mmdet's `RoITrackHead` that answers with embeddings, which is what a memory needs to keep."""

    @property
    def embed_dim(self) -> int:
        """D, the length of an embedding."""
        return self.embed_head.last_layer_dim

    def embed(self, feats: tuple[Tensor, ...], boxes: Tensor) -> Tensor:
        """(N, D) embeddings of (N, 4) boxes in network pixels, on the feature maps of one image."""
        rois = bbox2roi([boxes])
        roi_feats = self.roi_extractor(feats[: self.roi_extractor.num_inputs], rois)
        return self.embed_head.extract_feat(roi_feats, [len(boxes)])[0]

    def similarity_logits(self, embeddings: Tensor, references: Tensor) -> Tensor:
        """(N, R + 1) match logits of (N, D) against (R, D) embeddings; column 0 is "a new object"."""
        return self.embed_head.similarity_logits(embeddings, references)
