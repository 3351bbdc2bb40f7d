"""PCAN's refine head: an object's mask, drawn again with what its last frame says about object and background.

Source: PCAN (Ke et al., NeurIPS 2021), section 3.4, as released (EMMatchHeadPlus); docs/sources.md, trackers 3.3.
"""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from vos_occ.models.bilayer.losses import map_loss
from vos_occ.models.layers.prototypes import at_least_float32, em_prototypes, expectation, random_prototypes
from vos_occ.structures.errors import InputError

NUM_CONVS = 3


@MODELS.register_module()
class PrototypeRefineHead(BaseModule):
    """Refines mask logits of RoIs by prototypes of the object and of its background, one RoI from the next.

    "Reference" is the same object in an earlier frame, "key" the object now. Prototypes start from the buffers
    `pos_mu` and `neg_mu`, and move by EM to the reference's cells and from there to the key's; `pos` sees only cells
    inside the coarse mask, `neg` only those outside.

    In training, each call moves the buffers towards the mean of the prototypes found. In evaluation they stay as they
    are; the released code goes on moving them, so that its results depend on the order of the videos (P-e). Under
    DistributedDataParallel every process moves its own by its own RoIs, and the checkpoint holds those of the first
    process: means over a share of the data.

    Args:
        in_channels: C of the RoI features.
        conv_channels: of the convolutions.
        num_pos: prototypes of the object.
        num_neg: prototypes of the background.
        iterations: EM iterations on each of the two frames.
        kappa: concentration in the EM. Where prototypes are compared with the key's cells it is 1.
        momentum: of the buffers, in [0, 1]: the share that stays.
        init_cfg: mmengine's.

    Parameters for 256 channels: 2,695,681. On one CPU core an object costs 7 ms, of which the EM takes 1.2.

    Raises:
        InputError: the momentum is outside [0, 1].
    """

    def __init__(
        self,
        in_channels: int = 256,
        conv_channels: int = 256,
        num_pos: int = 10,
        num_neg: int = 10,
        iterations: int = 6,
        kappa: float = 20.0,
        momentum: float = 0.95,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if not 0 <= momentum <= 1:
            raise InputError(f"PrototypeRefineHead needs momentum in [0, 1], found {momentum}.")
        self.iterations = iterations
        self.kappa = kappa
        self.momentum = momentum
        # the features, the shares of object and background, and the coarse logit
        self.conv1 = ConvModule(in_channels + 3, conv_channels, 3, padding=1, act_cfg=None)
        self.conv2 = ConvModule(in_channels, conv_channels, 1, act_cfg=None)
        self.convs = nn.ModuleList(ConvModule(conv_channels, conv_channels, 3, padding=1) for _ in range(NUM_CONVS))
        self.upsample = nn.ConvTranspose2d(conv_channels, conv_channels, 2, stride=2)
        self.conv_logits = nn.Conv2d(conv_channels, 1, 1)
        for layer in (self.upsample, self.conv_logits):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(layer.bias)
        self.register_buffer("pos_mu", random_prototypes(in_channels, num_pos))
        self.register_buffer("neg_mu", random_prototypes(in_channels, num_neg))

    def forward(self, feats: Tensor, logits: Tensor, ref_feats: Tensor, ref_logits: Tensor) -> Tensor:
        """Refine the masks of N objects; N = 0 keeps every parameter in the graph.

        The coarse logits are resized to the features' S x S by bilinear interpolation without antialiasing (the mean
        of 2 x 2 cells at 2S), and are masks where their sigmoid is at least 0.5. An empty or full mask leaves the
        prototypes of the missing side where they were.

        Args:
            feats: (N, C, S, S) RoI features of the key frame, before any convolution of the mask head.
            logits: (N, 1, 2S, 2S) coarse mask logits of the key frame, of the object's class. The gradient goes
                through them: detach those that must not learn from refined masks.
            ref_feats: (N, C, S, S) of the reference frame.
            ref_logits: (N, 1, 2S, 2S) likewise; no gradient.

        Returns:
            (N, 1, 2S, 2S) logits, the same for every class.
        """
        logits, ref_logits = (_resized(maps, feats.shape[2:]) for maps in (logits, ref_logits))
        mask, ref_mask = logits >= 0, ref_logits >= 0
        prototypes = self._prototypes(feats, mask, ref_feats, ref_mask)
        x = torch.cat([feats, self._shares(feats, prototypes), logits.to(feats.dtype)], dim=1)
        x = self.conv1(x) + self.conv2(masked_mean(ref_feats, ref_mask))
        for conv in self.convs:
            x = conv(x)
        return self.conv_logits(F.relu(self.upsample(x)))

    def _prototypes(self, feats: Tensor, mask: Tensor, ref_feats: Tensor, ref_mask: Tensor) -> Tensor:
        """(N, C, num_pos + num_neg) prototypes of the key's object and background; in training, moves the buffers."""
        found = []
        for buffer, inside, ref_inside in ((self.pos_mu, mask, ref_mask), (self.neg_mu, ~mask, ~ref_mask)):
            prototypes = self._em(ref_feats, buffer, ref_inside)
            prototypes = self._em(feats, prototypes, inside)
            if self.training and len(feats):
                buffer.lerp_(prototypes.mean(0, keepdim=True).to(buffer.dtype), 1 - self.momentum)
            found.append(prototypes)
        return torch.cat(found, dim=2)

    def _em(self, feats: Tensor, start: Tensor, inside: Tensor) -> Tensor:
        return em_prototypes(
            feats.flatten(2), start, iterations=self.iterations, kappa=self.kappa, weights=inside.flatten(1)
        )

    def _shares(self, feats: Tensor, prototypes: Tensor) -> Tensor:
        """(N, 2, S, S): how much of each cell is the object's prototypes', and how much the background's."""
        num_pos = self.pos_mu.size(2)
        each = expectation(feats.flatten(2), prototypes)  # (N, S * S, num_pos + num_neg)
        sides = (each[..., :num_pos].sum(2), each[..., num_pos:].sum(2))
        return torch.stack(sides, dim=1).unflatten(2, feats.shape[2:]).to(feats.dtype)

    def loss(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Mean binary cross-entropy, weight 1, over all processes' RoIs; every process must call it equally often.

        Args:
            logits: (N, 1, 2S, 2S) refined logits.
            targets: (N, 2S, 2S) in {0, 1}.

        Returns:
            `loss_refine`, a scalar; for N = 0 a zero that keeps the graph.
        """
        return {"loss_refine": map_loss(logits, targets.float())}


def masked_mean(feats: Tensor, masks: Tensor) -> Tensor:
    """(N, C, 1, 1) mean of (N, C, S, S) features over the cells of (N, 1, S, S) bool masks; zero for an empty one."""
    weights = masks.to(feats.dtype)
    return (feats * weights).sum((2, 3), keepdim=True) / weights.sum((2, 3), keepdim=True).clamp(min=1)


def _resized(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """(N, 1, h, w) -> (N, 1, *size)."""
    return F.interpolate(at_least_float32(logits), size=size, mode="bilinear", align_corners=False)
