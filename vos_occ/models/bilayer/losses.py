"""The losses of a bilayer mask head, and which RoIs the occluder layer learns from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from vos_occ.models.bilayer.prediction import BilayerPrediction
from vos_occ.models.bilayer.targets import BilayerTargets
from vos_occ.structures.errors import InputError

OccluderSampling = Literal["balanced", "all", "legacy_first_k"]


def sample_occluder_rois(
    occluded: Tensor,
    known: Tensor,
    *,
    sampling: OccluderSampling = "balanced",
    neg_when_empty: bool = False,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Indices of the RoIs that train the occluder layer.

    With K occluded RoIs among the known ones:

    * `balanced`: those K and min(K, rest) random others: half of them are occluded (the paper's rule).
    * `all`: every known RoI.
    * `legacy_first_k`: those K and then the first K known RoIs in list order, occluded or not; what the released
      code does, so that an occluded RoI may count twice and unoccluded ones may be absent.

    Args:
        occluded: (N,) bool, the RoI's occluder target is not empty.
        known: (N,) bool, the RoI's occluder target is known; the others are never returned.
        sampling: See above.
        neg_when_empty: With K = 0, `balanced` and `legacy_first_k` return all known RoIs, not none: data that shows
            nothing but lone objects then teaches the occluder layer to stay silent.
        generator: Source of randomness of `balanced`; torch's global one when None.

    Returns:
        (M,) int64, occluded RoIs first except for `all`.

    Source: docs/sources.md, BCNet 4.
    """
    every = known.nonzero().flatten()
    positive = (known & occluded).nonzero().flatten()
    if sampling == "all" or (neg_when_empty and len(positive) == 0):
        return every
    if sampling == "legacy_first_k":
        return torch.cat([positive, every[: len(positive)]])
    negative = (known & ~occluded).nonzero().flatten()
    device = generator.device if generator is not None else negative.device
    order = torch.randperm(len(negative), generator=generator, device=device).to(negative.device)
    return torch.cat([positive, negative[order[: len(positive)]]])


def map_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Mean binary cross-entropy over N x S x S, in float32; an empty set gives a zero that keeps the graph.

    Args:
        logits: (N, 1, S, S).
        target: (N, S, S) float in {0, 1}.
    """
    return batch_mean(F.binary_cross_entropy_with_logits(logits[:, 0].float(), target, reduction="none"))


def batch_mean(losses: Tensor) -> Tensor:
    """Mean over the elements of all processes, as a share whose average over the processes it is.

    DistributedDataParallel averages gradients over processes. If each took the mean over its own RoIs, those of a
    process with few would weigh more than the others; this way two processes learn as one with both their images.
    Every process must call it equally often, also with nothing. Without processes it is the mean, 0 for nothing.

    Args:
        losses: of any shape.
    """
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return losses.mean() if losses.numel() else losses.sum()
    count = losses.new_tensor(losses.numel())
    dist.all_reduce(count)
    return losses.sum() / (count / dist.get_world_size()).clamp(min=1)


@dataclass(frozen=True, kw_only=True)
class BilayerLosses:
    """Weights and rules; calling it turns predictions and targets into named losses.

    The released code applies its boundary loss as a sum of two equal cross-entropies, so its stated weight of 0.5
    acts as 1.0: `boundary_loss_scale` 2.0 is that, 1.0 is the paper.

    Attributes:
        occludee_mask: Weight of `loss_mask`.
        occludee_boundary: Weight of `loss_boundary`, before the scale.
        occluder_mask: Weight of `loss_mask_occluder`.
        occluder_boundary: Weight of `loss_boundary_occluder`, before the scale.
        hidden: Weight of `loss_hidden`.
        boundary_loss_scale: Multiplies both boundary losses.
        sampling: RoIs of the two occluder losses, see `sample_occluder_rois`.
        neg_when_empty: See `sample_occluder_rois`.
        hidden_loss: `bce` between the logit and the fraction: never saturates, aims at the mean; or `smooth_l1`
            (beta 0.1) on the sigmoid: aims at the median, so that doubtful objects are called unoccluded.

    Source: docs/sources.md, BCNet 4.
    """

    occludee_mask: float = 1.0
    occludee_boundary: float = 0.5
    occluder_mask: float = 0.25
    occluder_boundary: float = 0.5
    hidden: float = 1.0
    boundary_loss_scale: float = 2.0
    sampling: OccluderSampling = "balanced"
    neg_when_empty: bool = False
    hidden_loss: Literal["bce", "smooth_l1"] = "bce"

    def __post_init__(self) -> None:
        if self.sampling not in ("balanced", "all", "legacy_first_k"):
            raise InputError(f"Occluder sampling must be balanced, all or legacy_first_k, found {self.sampling!r}.")
        if self.hidden_loss not in ("bce", "smooth_l1"):
            raise InputError(f"hidden_loss must be bce or smooth_l1, found {self.hidden_loss!r}.")

    def __call__(
        self,
        prediction: BilayerPrediction,
        targets: BilayerTargets,
        labels: Tensor,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Losses of one batch of RoIs; outputs that the prediction lacks have none.

        Args:
            prediction: Of N RoIs.
            targets: Of the same RoIs, with at least the maps that the prediction has.
            labels: (N,) int64 classes, for class-specific occludee masks.
            generator: For the sampling; torch's global randomness when None.

        Returns:
            Scalars by name: loss_mask, loss_boundary, loss_mask_occluder, loss_boundary_occluder, loss_hidden.
        """
        prediction = prediction.select_class(labels)
        losses = {"loss_mask": self.occludee_mask * map_loss(prediction.occludee_mask, targets.occludee_mask)}
        if prediction.occludee_boundary is not None:
            loss = map_loss(prediction.occludee_boundary, targets.occludee_boundary)
            losses["loss_boundary"] = self.occludee_boundary * self.boundary_loss_scale * loss
        if prediction.occluder_mask is not None or prediction.occluder_boundary is not None:
            losses |= self._occluder_losses(prediction, targets, generator)
        if prediction.hidden is not None:
            losses["loss_hidden"] = self.hidden * self._hidden_loss(prediction.hidden, targets.hidden)
        return losses

    def _occluder_losses(
        self, prediction: BilayerPrediction, targets: BilayerTargets, generator: torch.Generator | None
    ) -> dict[str, Tensor]:
        """Losses of the occluder's mask and contour, on the sampled RoIs."""
        rois = sample_occluder_rois(
            targets.occluded,
            targets.occluder_known,
            sampling=self.sampling,
            neg_when_empty=self.neg_when_empty,
            generator=generator,
        )
        losses = {}
        if prediction.occluder_mask is not None:
            loss = map_loss(prediction.occluder_mask[rois], targets.occluder_mask[rois])
            losses["loss_mask_occluder"] = self.occluder_mask * loss
        if prediction.occluder_boundary is not None:
            loss = map_loss(prediction.occluder_boundary[rois], targets.occluder_boundary[rois])
            losses["loss_boundary_occluder"] = self.occluder_boundary * self.boundary_loss_scale * loss
        return losses

    def _hidden_loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Mean over the RoIs whose hidden fraction is known (not NaN)."""
        known = ~target.isnan()
        logits, target = logits[known].float(), target[known]
        if self.hidden_loss == "smooth_l1":
            return batch_mean(F.smooth_l1_loss(logits.sigmoid(), target, beta=0.1, reduction="none"))
        return batch_mean(F.binary_cross_entropy_with_logits(logits, target, reduction="none"))
