"""What a track is: its states, its row in the memory, and what an update says of it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum

import torch
from torch import Tensor


class TrackState(IntEnum):
    """Tentative: seen fewer than `confirm_after` times. Confirmed: seen in the last frame. Lost: not seen in it."""

    TENTATIVE = 0
    CONFIRMED = 1
    LOST = 2


@dataclass(frozen=True)
class Update:
    """What became of the N detections of a frame.

    Attributes:
        track_ids: (N,) int64, >= 1; -1 for detections that were dropped or refused.
        confirmed: (N,) bool, False where `track_ids` is -1.
    """

    track_ids: Tensor
    confirmed: Tensor


@dataclass(frozen=True)
class TrackRows:
    """K tracks, oldest first. All tensors share their first dimension and their device."""

    embeddings: Tensor  # (K, D) float32
    boxes: Tensor  # (K, 4) float32, xyxy source pixels
    labels: Tensor  # (K,) int64
    track_ids: Tensor  # (K,) int64, ascending
    last_seen: Tensor  # (K,) int64, frame index
    hits: Tensor  # (K,) int64, frames in which the track was seen
    states: Tensor  # (K,) int64, TrackState
    hidden: Tensor  # (K,) float32, hidden fraction when last seen; 0 if unknown
    view_weights: Tensor  # (K,) float32, of the views in the embedding together, see `OcclusionRules.weigh_views`
    occluders: Tensor  # (K,) int64, id of the track that hid it when last seen, 0 for none
    velocities: Tensor  # (K, 2) float32, source pixels a frame
    seen_at: Tensor  # (K, 2) float32, centre of the box when last seen, source pixels

    def __len__(self) -> int:
        return len(self.track_ids)

    def select(self, keep: Tensor) -> TrackRows:
        return TrackRows(*(getattr(self, field.name)[keep] for field in fields(self)))

    def append(self, other: TrackRows) -> TrackRows:
        return TrackRows(
            *(torch.cat([getattr(self, field.name), getattr(other, field.name)]) for field in fields(self))
        )

    def find(self, track_ids: Tensor) -> tuple[Tensor, Tensor]:
        """(M,) rows of tracks by their ids, and (M,) bool whether there are such; the rows of others are any."""
        if not len(self):
            return torch.zeros_like(track_ids), torch.zeros_like(track_ids, dtype=torch.bool)
        rows = torch.searchsorted(self.track_ids, track_ids).clamp_max(len(self) - 1)
        return rows, self.track_ids[rows] == track_ids

    @property
    def nbytes(self) -> int:
        return sum(getattr(self, field.name).nbytes for field in fields(self))
