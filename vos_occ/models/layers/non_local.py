"""The non-local block that BCNet uses as its graph convolution. Knows nothing about RoIs, occluders or losses.

Every position of the map is a node; edge weights are the softmax of query-key products; one block is one round of
message passing, added to its input (TPAMI BCNet, eq. 4 to 6; Wang et al., Non-local Neural Networks, CVPR 2018).
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vos_occ.structures.errors import InputError

NonLocalNorm = Literal["bn", "sync_bn", "gn", "ln_relu", "none"]

BATCH_NORM_EPS = 1e-4  # the released BCNet's value, not torch's default


class ChannelLayerNormReLU(nn.LayerNorm):
    """The sigma of the paper's equations: LayerNorm over the channels of each position, then ReLU."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        return F.relu(super().forward(x.movedim(1, -1)).movedim(-1, 1))


def _build_norm(norm: str, channels: int) -> nn.Module:
    if norm == "bn":
        return nn.BatchNorm2d(channels, eps=BATCH_NORM_EPS)
    if norm == "sync_bn":
        return nn.SyncBatchNorm(channels, eps=BATCH_NORM_EPS)
    if norm == "gn":
        return nn.GroupNorm(math.gcd(32, channels), channels)
    if norm == "ln_relu":
        return ChannelLayerNormReLU(channels)
    if norm == "none":
        return nn.Identity()
    raise InputError(f"Non-local norm must be bn, sync_bn, gn, ln_relu or none, found {norm!r}.")


class NonLocalBlock(nn.Module):
    """x + norm(output(softmax(q k^T) v)), with 1x1 projections and no channel reduction.

    Queries, keys and values come from one fused convolution (their weights are stacked in that order), and the
    affinity matrix is never kept: attention runs in float32 also under AMP, where unscaled products overflow half.

    Args:
        channels: C, of the input and the output.
        norm: What follows the output projection. `bn` is the released code, `ln_relu` the paper's sigma. A batch
            norm sees one batch of RoIs: with few RoIs per GPU its statistics are noisy, and `gn` is the safe choice.
        scale: Divide the affinities by sqrt(C) (released code) or not (paper).
        output_projection: Project the gathered values once more (released code) or not (the paper's single W_g).
        zero_init: Start as the identity, by a zero norm weight, or a zero output projection where there is no norm.

    Source: docs/sources.md, BCNet 1; 262,656 parameters for C = 256 with `bn`.
    """

    def __init__(
        self,
        channels: int,
        *,
        norm: NonLocalNorm = "bn",
        scale: bool = True,
        output_projection: bool = True,
        zero_init: bool = False,
    ) -> None:
        super().__init__()
        self.attention_scale = 1 / math.sqrt(channels) if scale else 1.0
        self.query_key_value = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.output = nn.Conv2d(channels, channels, 1, bias=False) if output_projection else nn.Identity()
        self.norm = _build_norm(norm, channels)
        self._init_parameters(norm, zero_init)

    def _init_parameters(self, norm: str, zero_init: bool) -> None:
        projections = list(self.query_key_value.weight.chunk(3))  # the fan-out is that of one projection, not of three
        if isinstance(self.output, nn.Conv2d):
            projections.append(self.output.weight)
        with torch.no_grad():
            for weight in projections:
                nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu")
            if not zero_init:
                return
            last = self.output if norm == "none" else self.norm
            if norm == "ln_relu" or isinstance(last, nn.Identity):
                raise InputError(
                    "zero_init needs norm bn, sync_bn or gn, or norm none with output_projection: "
                    f"a zero before the ReLU of {norm!r}, or no last map at all, could never be learned away."
                )
            nn.init.zeros_(last.weight)

    def forward(self, x: Tensor) -> Tensor:
        """One round of message passing.

        Args:
            x: (N, C, H, W) float. N = 0 is returned as it came, tied to every parameter (DDP), and leaves the
                statistics of a batch norm alone.

        Returns:
            (N, C, H, W).
        """
        if len(x) == 0:
            return x + sum(parameter.sum() for parameter in self.parameters()) * 0
        return x + self.norm(self.output(self._gather(x)))

    def _gather(self, x: Tensor) -> Tensor:
        """softmax(q k^T) v, (N, C, H, W) -> (N, C, H, W)."""
        tokens = self.query_key_value(x).flatten(2).transpose(1, 2)  # (N, HW, 3C)
        tokens = tokens.to(torch.promote_types(tokens.dtype, torch.float32))
        query, key, value = (part[:, None] for part in tokens.chunk(3, dim=-1))  # one head each: (N, 1, HW, C)
        with torch.autocast(x.device.type, enabled=False):
            gathered = F.scaled_dot_product_attention(query, key, value, scale=self.attention_scale)
        return gathered[:, 0].transpose(1, 2).unflatten(2, x.shape[2:]).to(x.dtype)
