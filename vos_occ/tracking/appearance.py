"""Matching by appearance alone, as the quasi-dense tracker does it: how well detections fit, and who gets what.

Nothing here remembers anything; the tracks live in `vos_occ.tracking.quasi_dense`.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vos_occ.tracking.search import areas, intersections

UNMATCHED = -1
REJECTED = -2


def box_ious(boxes: Tensor) -> Tensor:
    """(N, N) IoU of (N, 4) boxes with each other; a box without area has none with anything."""
    common, sizes = intersections(boxes, boxes), areas(boxes)
    return common / (sizes[:, None] + sizes - common).clamp_min(1e-6)


def bisoftmax(embeddings: Tensor, remembered: Tensor) -> Tensor:
    """How well (N, D) detections and (K, D) remembered embeddings fit, among all others: (N, K) float32 in [0, 1].

    The mean of two softmaxes over dot products: of a detection over all that is remembered, and the reverse. What is
    the only one on its side fits everything on the other by .5 or more, however different it looks; in float64 it
    would by more than .5 for many more, which is why this is not float64.

    Source: QDTrack (Pang et al., CVPR 2021), equation 5.
    """
    logits = embeddings.float() @ remembered.float().T
    return (logits.softmax(dim=1) + logits.softmax(dim=0)) / 2


def claim(fits: Tensor, is_object: Tensor, num_tracks: int, match_score: float) -> Tensor:
    """Lets each detection in turn claim what it fits best, no track twice.

    Turn by turn, because who comes later must not claim what someone earlier has lost to nobody; on the CPU, because
    a turn is too small to wait for a device.

    Args:
        fits: (N, K + B) in [0, 1], by falling detection score; the first K columns are tracks, the rest backdrops.
        is_object: (N,) bool, whether the detection's own score is enough to continue a track.
        num_tracks: K.
        match_score: in [0, 1]; a fit must be above it.

    Returns:
        (N,) int64 on the device of `fits`: in [0, K); or UNMATCHED, also for backdrops; or REJECTED: it fits a track,
        which stays free, but is not object enough.
    """
    table, enough = fits.detach().cpu().numpy().copy(), is_object.cpu().numpy()
    if np.isnan(table).any():
        raise ValueError("Match scores contain NaN; expected finite embeddings.")
    columns = np.full(len(table), UNMATCHED, dtype=np.int64)
    for row in range(len(table) if table.shape[1] else 0):
        best = table[row].argmax()
        if table[row, best] > match_score and best < num_tracks:
            columns[row] = best if enough[row] else REJECTED
            if enough[row]:
                table[:, best] = 0
    return torch.from_numpy(columns).to(fits.device)
