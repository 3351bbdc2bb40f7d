"""What being hidden changes in the memory of a track: how much a view of it counts, how long and where it is awaited.

Rules only; the tracks live in `vos_occ.tracking.memory`, and where they are looked for is in `vos_occ.tracking.search`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

LEAST_WEIGHT = 1e-3  # of a view of something hidden whole: 0 would leave nothing to average


@dataclass(frozen=True)
class OcclusionRules:
    """Options of a `TrackMemory` about hidden objects. With the defaults, being hidden changes nothing.

    h is the predicted hidden fraction of a detection, in [0, 1]. A track is *behind something* if h was at least
    `hidden_above` when it was last seen, or if an occluder of it is known: the track that then hid most of it, or
    whose box covers at least `cover` of its own in the first frame that misses it.

    Attributes:
        embedding_power: p >= 0; a view counts (1 - h)^p in the remembered embedding. 0 counts all alike.
        weigh_views: False: the new view's share is (1 - momentum)(1 - h)^p, whatever is remembered. True: what is
            remembered is the mean of all views by these weights, each fading by `momentum` with every later view, so
            that a good view replaces bad ones at once. Either keeps the length of embeddings.
        match_power: likewise, >= 0, for the similarity logits of a detection that asks for a track: of what is hidden
            more, the looks count less against where it is, and it loses a track to what is seen better.
        box_power: likewise for the box, whose new share is (1 - h)^p. 0 takes the new box.
        hidden_above: see above.
        cover: see above, in (0, 1].
        retain_frames: as that of the memory, for tracks that are behind something; None: no difference.
        motion: where the box of a lost track goes: nowhere, on at its last velocity, or along with its occluder.
        near: weight in [0, 1] of nearness to the occluder (`search.nearness`), as if it were IoU; 0 looks nowhere else.
        near_radius, near_growth: see `search.nearness`.
    """

    embedding_power: float = 0.0
    weigh_views: bool = False
    match_power: float = 0.0
    box_power: float = 0.0
    hidden_above: float = 0.3
    cover: float = 0.5
    retain_frames: int | None = None
    motion: Literal["still", "velocity", "occluder"] = "still"
    near: float = 0.0
    near_radius: float = 0.5
    near_growth: float = 0.1

    def __post_init__(self) -> None:
        powers = self.embedding_power, self.match_power, self.box_power
        if min(*powers, self.near_growth) < 0 or self.near_radius <= 0:
            raise ValueError(
                "embedding_power, match_power, box_power and near_growth are at least 0 and near_radius is positive, "
                f"got {', '.join(map(str, powers))}, {self.near_growth} and {self.near_radius}."
            )
        if not (0 <= self.hidden_above <= 1 and 0 < self.cover <= 1 and 0 <= self.near <= 1):
            raise ValueError(
                "hidden_above and near are in [0, 1] and cover is in (0, 1], got "
                f"{self.hidden_above}, {self.near} and {self.cover}."
            )
        if self.retain_frames is not None and self.retain_frames < 1:
            raise ValueError(f"retain_frames is at least 1 or None, got {self.retain_frames}.")
        if self.motion not in ("still", "velocity", "occluder"):
            raise ValueError(f"Unknown motion {self.motion!r}; expected 'still', 'velocity' or 'occluder'.")

    @property
    def weighs_embeddings(self) -> bool:
        """Whether views count differently from `momentum` alone."""
        return self.embedding_power > 0 or self.weigh_views

    @property
    def needs_occluders(self) -> bool:
        """Whether anything depends on who hides whom."""
        return self.near > 0 or self.motion == "occluder" or self.retain_frames is not None

    def view_weights(self, hidden: Tensor) -> Tensor:
        """(N,) weights in (0, 1] of views that are hidden by (N,) fractions."""
        return shown(hidden) ** self.embedding_power

    def match_weights(self, hidden: Tensor) -> Tensor:
        """(N,) weights in (0, 1] of the looks of detections that are hidden by (N,) fractions."""
        return shown(hidden) ** self.match_power


def shown(hidden: Tensor) -> Tensor:
    """(N,) what is left to see of detections, in (0, 1]."""
    return (1 - hidden).clamp(LEAST_WEIGHT, 1)


def mix(old: Tensor, new: Tensor, share: Tensor) -> Tensor:
    """(M, D) of two, the second with (M,) shares in [0, 1]; as long as they are on average, whatever the angle.

    A plain mean of two unit vectors is shorter than 1, and its cosine to anything would be too small.
    """
    share = share[:, None]
    mixed = (1 - share) * old + share * new
    length = (1 - share) * old.norm(dim=1, keepdim=True) + share * new.norm(dim=1, keepdim=True)
    return mixed * (length / mixed.norm(dim=1, keepdim=True).clamp_min(torch.finfo(mixed.dtype).tiny))
