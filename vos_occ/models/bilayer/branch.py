"""The parts that both layers of BCNet are made of: a branch of convolutions, and the maps read off its features."""

from __future__ import annotations

from collections.abc import Collection

import torch.nn.functional as F
from torch import Tensor, nn

from vos_occ.models.layers.non_local import NonLocalBlock

PREDICTOR_STD = 0.001  # 1x1 predictors of the released code


class BilayerBranch(nn.Module):
    """A chain of 3x3 convolutions with ReLU, with a non-local block after the first `non_local_after` of them.

    Without `non_local` this is the FCN variant of a layer.

    Source: docs/sources.md, BCNet 1, rows 1 to 5 and 7 to 11.
    """

    def __init__(
        self, channels: int, *, num_convs: int = 4, non_local: NonLocalBlock | None = None, non_local_after: int = 2
    ) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(num_convs))
        self.non_local = non_local
        self.non_local_after = non_local_after
        for conv in self.convs:
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(conv.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, S, S) -> (N, C, S, S)."""
        for index in range(len(self.convs) + 1):
            if self.non_local is not None and index == self.non_local_after:
                x = self.non_local(x)
            if index < len(self.convs):
                x = F.relu(self.convs[index](x))
        return x


class MapPredictors(nn.Module):
    """Maps at twice the resolution of a layer's features: deconvolution, ReLU, 1x1 convolution.

    Args:
        channels: C of the features.
        maps: Number of output channels by map name.
        share_upsample: One deconvolution for all maps (paper) instead of one each (released code).

    Source: docs/sources.md, BCNet 1, rows 12 to 15.
    """

    def __init__(self, channels: int, maps: dict[str, int], *, share_upsample: bool = False) -> None:
        super().__init__()
        self.share_upsample = share_upsample
        names = ["shared"] if share_upsample and maps else list(maps)
        self.upsample = nn.ModuleDict({name: nn.ConvTranspose2d(channels, channels, 2, stride=2) for name in names})
        self.predictor = nn.ModuleDict({name: nn.Conv2d(channels, width, 1) for name, width in maps.items()})
        for deconv in self.upsample.values():
            nn.init.kaiming_normal_(deconv.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(deconv.bias)
        for conv in self.predictor.values():
            nn.init.normal_(conv.weight, std=PREDICTOR_STD)
            nn.init.zeros_(conv.bias)

    def forward(self, features: Tensor, names: Collection[str]) -> dict[str, Tensor]:
        """The maps in `names`, and no others.

        Args:
            features: (N, C, S, S).

        Returns:
            Logits (N, channels of the map, 2S, 2S) by name.
        """
        wanted = [name for name in self.predictor if name in names]
        if self.share_upsample and wanted:
            upsampled = F.relu(self.upsample["shared"](features))
            return {name: self.predictor[name](upsampled) for name in wanted}
        return {name: self.predictor[name](F.relu(self.upsample[name](features))) for name in wanted}
