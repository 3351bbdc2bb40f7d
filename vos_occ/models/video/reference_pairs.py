"""Which object of a reference frame stands for which RoI of the key frame, when a refine head is trained."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

NO_REFERENCE = -1


def reference_rows(
    embeddings: Tensor, ids: Tensor, ref_embeddings: Tensor, ref_ids: Tensor, min_cosine: float = 0.5
) -> Tensor:
    """For each positive RoI of the key frame, the RoI of the reference frame that looks most like it.

    Args:
        embeddings: (N, D) of the key's positives.
        ids: (N,) instance of each.
        ref_embeddings: (R, D) of the reference's positives.
        ref_ids: (R,) instance of each.
        min_cosine: embeddings must agree by more than this.

    Returns:
        (N,) int64 in [0, R), of the same instance; NO_REFERENCE where none agrees.

    Source: PCAN's released training; specs/trackers.md section 3.4.
    """
    if not len(ref_ids):
        return torch.full_like(ids, NO_REFERENCE)
    cosines = F.normalize(embeddings.float(), dim=1) @ F.normalize(ref_embeddings.float(), dim=1).T
    best = cosines.masked_fill(ids[:, None] != ref_ids, -1.0).max(dim=1)
    return torch.where(best.values > min_cosine, best.indices, NO_REFERENCE)
