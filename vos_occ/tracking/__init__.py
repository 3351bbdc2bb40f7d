"""Tracks over time: which detection continues which track, and what is remembered of each.

Tensors in, indices out. This room knows no network, no mask and no image, and imports no mm* package.
"""

from __future__ import annotations

from vos_occ.tracking.association import assign, match_scores
from vos_occ.tracking.memory import TrackMemory
from vos_occ.tracking.occlusion import OcclusionRules
from vos_occ.tracking.quasi_dense import Association, QuasiDenseMemory, QuasiDenseRules
from vos_occ.tracking.tracks import TrackState, Update

__all__ = [
    "Association",
    "OcclusionRules",
    "QuasiDenseMemory",
    "QuasiDenseRules",
    "TrackMemory",
    "TrackState",
    "Update",
    "assign",
    "match_scores",
]
