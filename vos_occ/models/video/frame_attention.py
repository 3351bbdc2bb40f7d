"""Frame-level prototypical cross-attention: a frame's features, mixed with those of the frames before, summed up.

Source: PCAN (Ke et al., NeurIPS 2021), section 3.3, as released; docs/sources.md, trackers 3.2.
"""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor

from vos_occ.models.layers.prototypes import blend, em_prototypes, random_prototypes
from vos_occ.structures.errors import InputError


@dataclass(frozen=True)
class AttentionMemory:
    """What is kept of a video between two frames; its size is that of one frame's attended levels, always.

    Attributes:
        maps: per attended level, (B, C, h, w): the frames so far, the newer the heavier. No gradient.
        prototypes: per attended level, (B, C, K) float32: where the next EM starts. Not of length one.
    """

    maps: tuple[Tensor, ...]
    prototypes: tuple[Tensor, ...]


@MODELS.register_module()
class PrototypeAttention(BaseModule):
    """Each cell of a frame is drawn towards the prototypes of the frames before it. Nothing in it is trained.

    The starting prototypes are random, and belong to the checkpoint: the buffers `mu0`, `mu1`, ..., one per feature
    level, also for levels that are not attended. They are never written.

    For 1280x720 and 256 channels the memory holds 74 MB, and a frame costs 0.21 s on one CPU core; for 64 channels a
    quarter of both.

    Args:
        channels: C of the features.
        num_prototypes: K per level.
        iterations: EM iterations per frame and level.
        kappa: concentration in the EM. The attention itself has none (1), and features are not normalised for it.
        levels: indices of the feature levels that are attended. The released code attends P2 and P3.
        share: of the prototypes in a cell, and of what was before in the memory, in [0, 1].
        momentum: of what was before in the running prototypes, in [0, 1].
        num_levels: number of feature levels that have buffers.
        init_cfg: mmengine's.

    Raises:
        InputError: a level without a buffer, or a share or momentum outside [0, 1].
    """

    def __init__(
        self,
        channels: int = 256,
        num_prototypes: int = 30,
        iterations: int = 3,
        kappa: float = 20.0,
        levels: Sequence[int] = (0, 1),
        share: float = 0.25,
        momentum: float = 0.5,
        num_levels: int = 5,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if not set(levels) <= set(range(num_levels)):
            raise InputError(f"PrototypeAttention has levels 0 to {num_levels - 1}, found levels={tuple(levels)}.")
        if not (0 <= share <= 1 and 0 <= momentum <= 1):
            raise InputError(f"PrototypeAttention needs share and momentum in [0, 1], found {share} and {momentum}.")
        self.iterations = iterations
        self.kappa = kappa
        self.levels = tuple(levels)
        self.share = share
        self.momentum = momentum
        for level in range(num_levels):
            self.register_buffer(f"mu{level}", random_prototypes(channels, num_prototypes))

    def forward(
        self, feats: tuple[Tensor, ...], memory: AttentionMemory | None
    ) -> tuple[tuple[Tensor, ...], AttentionMemory]:
        """Attend to the memory as it was before this frame, then write the frame into it.

        Per attended level: prototypes P by EM on the memory's map M, from its running prototypes m; x becomes
        (1 - share) x + share P softmax(P^T x); then M becomes (1 - share) x + share M, of the x that was attended; and
        m becomes momentum m + (1 - momentum) P.

        Args:
            feats: (B, C, h, w) per level, of one frame of B videos.
            memory: what the previous frame returned; None before the first frame of a video, whose map and
                prototypes are then its own features and the buffers. It is not changed.

        Returns:
            The levels, of which those that are not attended are the very tensors given; and the new memory.

        Raises:
            InputError: the memory is of frames of another size, or there are fewer levels than are attended.
        """
        if len(feats) <= max(self.levels, default=-1):
            raise InputError(f"PrototypeAttention attends to levels {self.levels}, found {len(feats)} feature levels.")
        if memory is None:
            memory = self._first_memory(feats)
        attended, maps, running = list(feats), [], []
        for level, old, start in zip(self.levels, memory.maps, memory.prototypes, strict=True):
            x = feats[level]
            if x.shape != old.shape:
                raise InputError(
                    f"Level {level} of this frame is {tuple(x.shape)}, but the memory holds {tuple(old.shape)}. "
                    "Begin a new memory (None) with every video."
                )
            found = em_prototypes(old.flatten(2), start, iterations=self.iterations, kappa=self.kappa)
            attended[level] = blend(x.flatten(2), found, self.share).unflatten(2, x.shape[2:])
            maps.append(torch.lerp(old, attended[level].detach(), 1 - self.share))
            running.append(torch.lerp(found, start.to(found.dtype), self.momentum))
        return tuple(attended), AttentionMemory(tuple(maps), tuple(running))

    def _first_memory(self, feats: tuple[Tensor, ...]) -> AttentionMemory:
        maps = tuple(feats[level].detach() for level in self.levels)
        return AttentionMemory(maps, tuple(getattr(self, f"mu{level}") for level in self.levels))
