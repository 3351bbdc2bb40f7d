"""What a network sees in one frame, before any of it is given to a track. Knows no memory and no earlier frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from vos_occ.models.bilayer.prediction import BilayerPrediction


@dataclass(frozen=True)
class Observation:
    """N detections of one frame, by falling score.

    Attributes:
        boxes: (N, 4) float32 xyxy in source pixels.
        labels: (N,) int64.
        scores: (N,) float32 in [0, 1].
        embeddings: (N, D) float32.
        predict_masks: answers with the mask logits of the detections with the given indices (M,). Not all are asked
            for: those that are dropped need none.
    """

    boxes: Tensor
    labels: Tensor
    scores: Tensor
    embeddings: Tensor
    predict_masks: Callable[[Tensor], BilayerPrediction]

    def __len__(self) -> int:
        return len(self.boxes)
