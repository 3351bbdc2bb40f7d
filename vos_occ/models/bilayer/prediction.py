"""What a RoI mask head says about N RoIs. Plain, bilayer and amodal heads all answer with this."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import torch
from torch import Tensor

from vos_occ.structures.errors import InputError

OUTPUTS = ("occludee_mask", "occludee_boundary", "occluder_mask", "occluder_boundary", "hidden")


@dataclass(frozen=True, repr=False)
class BilayerPrediction:
    """Logits of a RoI mask head; all but the first may be None: not there, or not asked for.

    Attributes:
        occludee_mask: (N, 1 or classes, 2S, 2S) mask logits of the object that the RoI is about.
        occludee_boundary: (N, 1, 2S, 2S) contour logits of the same object.
        occluder_mask: (N, 1, 2S, 2S) mask logits of whatever else, in the RoI, occludes it.
        occluder_boundary: (N, 1, 2S, 2S) contour logits of the occluder.
        hidden: (N,) logits of the hidden fraction, 1 - |visible & amodal| / |amodal|; the fraction is their sigmoid.
    """

    occludee_mask: Tensor
    occludee_boundary: Tensor | None = None
    occluder_mask: Tensor | None = None
    occluder_boundary: Tensor | None = None
    hidden: Tensor | None = None

    def __post_init__(self) -> None:
        for name, value in self._present().items():
            dims = 1 if name == "hidden" else 4
            if value.dim() != dims or len(value) != len(self.occludee_mask):
                raise InputError(
                    f"BilayerPrediction.{name} must have {dims} dimensions and {len(self.occludee_mask)} RoIs, "
                    f"found shape {tuple(value.shape)}."
                )

    def __len__(self) -> int:
        return len(self.occludee_mask)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {tuple(value.shape)}" for name, value in self._present().items())
        return f"BilayerPrediction({shapes})"

    def select(self, index: Tensor | slice) -> BilayerPrediction:
        """The RoIs that `index` (int64, bool or a slice) picks, in its order."""
        return BilayerPrediction(**{name: value[index] for name, value in self._present().items()})

    def split(self, sizes: Sequence[int]) -> list[BilayerPrediction]:
        """Cut a batch into its images; `sizes` are their numbers of RoIs."""
        ends = accumulate(sizes)
        return [self.select(slice(end - size, end)) for end, size in zip(ends, sizes, strict=True)]

    def select_class(self, labels: Tensor) -> BilayerPrediction:
        """Keep, of a class-specific occludee mask, the channel of each RoI's label; class-agnostic ones stay.

        Args:
            labels: (N,) int64 class indices.
        """
        if self.occludee_mask.shape[1] == 1:
            return self
        rows = torch.arange(len(self), device=labels.device)
        return replace(self, occludee_mask=self.occludee_mask[rows, labels][:, None])

    @staticmethod
    def average(predictions: Sequence[BilayerPrediction]) -> BilayerPrediction:
        """Mean of the logits of several predictions of the same RoIs (CMTrack's test-time rule).

        An output is kept only where every prediction has it.
        """
        if not predictions:
            raise InputError("BilayerPrediction.average needs at least one prediction, found none.")
        common = set.intersection(*(set(prediction._present()) for prediction in predictions))
        return BilayerPrediction(
            **{
                name: torch.stack([getattr(prediction, name) for prediction in predictions]).mean(dim=0)
                for name in OUTPUTS
                if name in common
            }
        )

    def _present(self) -> dict[str, Tensor]:
        values = {name: getattr(self, name) for name in OUTPUTS}
        return {name: value for name, value in values.items() if value is not None}
