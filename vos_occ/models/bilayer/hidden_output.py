"""How much of an object is hidden, read off its RoI features. Knows nothing about how the features were made."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

PRIOR = 0.1  # the fraction said before any training; most objects are not occluded
GRID = 2


class HiddenOutput(nn.Module):
    """A small regressor: two strided convolutions, a 2x2 pool, one linear unit. Its sigmoid is the hidden fraction.

    The 2x2 grid is kept because where the rest of an object is missing (its legs, its left half) tells how much is.

    Args:
        in_channels: C of the features.
        width: Channels inside; 64 is enough and adds about 0.2 M parameters to the bilayer head at C = 128.

    Source: OAFormer's occlusion rate, moved from its queries to RoI features.
    """

    def __init__(self, in_channels: int, width: int = 64) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(channels, width, 3, stride=2, padding=1) for channels in (in_channels, width)
        )
        self.fraction = nn.Linear(width * GRID * GRID, 1)
        for conv in self.convs:
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(conv.bias)
        nn.init.normal_(self.fraction.weight, std=0.01)
        nn.init.constant_(self.fraction.bias, math.log(PRIOR / (1 - PRIOR)))

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, S, S) -> (N,) logits."""
        for conv in self.convs:
            features = F.relu(conv(features))
        # (N, width, S/4, S/4) -> (N, width * 4)
        pooled = F.adaptive_avg_pool2d(features, GRID).reshape(len(features), self.fraction.in_features)
        return self.fraction(pooled).squeeze(1)
