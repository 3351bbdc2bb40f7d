"""Prototypes: the cells of a feature map summed up by a few directions, found by expectation maximisation.

A mixture on the unit sphere: every cell belongs to each prototype by a share (expectation), and every prototype turns
to the mean of its cells (maximisation). Knows no frames, instances or memories.

Source: Ke et al., Prototypical Cross-Attention Networks for Multiple Object Tracking and Segmentation, NeurIPS 2021
(PCAN), section 3.2; Li et al., Expectation-Maximization Attention Networks, ICCV 2019; docs/sources.md, trackers 3.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

SHORTEST = 1e-12
"""A mean of cells no longer than this points nowhere."""


def random_prototypes(channels: int, count: int) -> Tensor:
    """Start of an EM, (1, channels, count): drawn from N(0, sqrt(2 / count)), then brought to length one."""
    return F.normalize(torch.randn(1, channels, count) * math.sqrt(2 / count), dim=1)


def expectation(feats: Tensor, prototypes: Tensor, kappa: float = 1.0) -> Tensor:
    """Share of each prototype in each cell: softmax over the prototypes of kappa times their products with the cell.

    In float32 at least, also under autocast: feature maps are not normalised, and their products overflow half.

    Args:
        feats: (B, C, n) float; any strides, so that a channels-last map flattened needs no copy.
        prototypes: (B or 1, C, K) float.
        kappa: concentration; the larger, the harder the assignment.

    Returns:
        (B, n, K) in [0, 1], rows summing to one; a transposed view, in whose memory the n cells lie side by side.
    """
    feats = at_least_float32(feats)
    with torch.autocast(feats.device.type, enabled=False):
        logits = (kappa * prototypes.to(feats.dtype)).transpose(1, 2) @ feats  # (B, K, n): faster than (B, n, K)
    return logits.softmax(1).transpose(1, 2)


@torch.no_grad()
def em_prototypes(
    feats: Tensor, prototypes: Tensor, *, iterations: int, kappa: float, weights: Tensor | None = None
) -> Tensor:
    """Moves prototypes to where the cells are. Carries no gradient, as the paper's code.

    One iteration: z = expectation(feats, prototypes, kappa), times the weights, divided by its sum over the cells;
    prototypes = feats z, brought to length one. A prototype to which no cell answers (all weights zero, all features
    zero, or every share too small for float32) keeps its direction; the released code makes it the zero vector.

    Args:
        feats: (B, C, n) float.
        prototypes: (B or 1, C, K) float, the start; it need not be of length one.
        iterations: how often; 0 returns the start.
        kappa: as of `expectation`.
        weights: (B, n) in [0, 1]; a cell of weight zero is left out. None: all are one.

    Returns:
        (B, C, K), float32 or wider, columns of length one.
    """
    feats = at_least_float32(feats)
    prototypes = prototypes.to(feats.dtype).expand(len(feats), -1, -1)
    with torch.autocast(feats.device.type, enabled=False):
        for _ in range(iterations):
            prototypes = _em_iteration(feats, prototypes, kappa, weights)
    return prototypes


def _em_iteration(feats: Tensor, prototypes: Tensor, kappa: float, weights: Tensor | None) -> Tensor:
    shares = expectation(feats, prototypes, kappa).transpose(1, 2)  # (B, K, n)
    if weights is not None:
        shares = shares * weights[:, None].to(shares.dtype)
    # dividing the product instead of the shares touches C K numbers, not n K; it keeps tiny sums from underflowing
    totals = shares.sum(2, keepdim=True).clamp(min=torch.finfo(shares.dtype).tiny)
    means = (shares @ feats.transpose(1, 2) / totals).transpose(1, 2)  # (B, C, K)
    answered = means.norm(dim=1, keepdim=True) > SHORTEST
    return F.normalize(torch.where(answered, means, prototypes), dim=1)


def blend(feats: Tensor, prototypes: Tensor, share: float) -> Tensor:
    """(1 - share) feats + share r, where r = prototypes expectation(feats, prototypes) is each cell in their words.

    Gradients go to the features and the prototypes alike.

    Args:
        feats: (B, C, n) float.
        prototypes: (B, C, K) float.
        share: in [0, 1].

    Returns:
        (B, C, n) of the type of `feats`, and in its order of memory where it is dense in cells or channels.
    """
    dtype, feats = feats.dtype, at_least_float32(feats)
    with torch.autocast(feats.device.type, enabled=False):
        shares, prototypes = expectation(feats, prototypes), prototypes.to(feats.dtype)
        if feats.stride(1) == 1:  # channels last
            tokens = torch.baddbmm(
                feats.transpose(1, 2), shares, prototypes.transpose(1, 2), beta=1 - share, alpha=share
            )
            return tokens.transpose(1, 2).to(dtype)
        return torch.baddbmm(feats, prototypes, shares.transpose(1, 2), beta=1 - share, alpha=share).to(dtype)


def at_least_float32(x: Tensor) -> Tensor:
    """`x` itself, or in float32 where it is narrower."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
