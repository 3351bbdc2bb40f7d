"""Which detection of a frame continues which track.

Scores are MaskTrack R-CNN's, comparing N detections with K tracks and with "none of them"; the assignment is
one-to-one by construction, so two detections of a frame never share a track. Nothing here remembers anything: the
tracks live in `vos_occ.tracking.memory`.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

NEW = 0
DROPPED = -1


def match_scores(
    similarity_logits: Tensor,
    det_scores: Tensor,
    ious: Tensor,
    same_label: Tensor,
    *,
    det_score_weight: float = 1.0,
    iou_weight: float = 2.0,
    label_weight: float = 10.0,
) -> Tensor:
    """How well each detection fits each track, and how well it fits none.

    `v[i, k] = log p[i, k] + a log s[i] + b IoU[i, k] + c [same label]`. Column 0 is "a new object": its IoU is 0 and
    its label term 1, so a track of another class loses `label_weight` to it.

    Args:
        similarity_logits: (N, K + 1), column 0 for "new", column k for track k - 1.
        det_scores: (N,) in [0, 1]. They shift whole rows: they settle which of two detections keeps a track, never
            which track a detection prefers.
        ious: (N, K) box IoU in [0, 1].
        same_label: (N, K) bool.

    Returns:
        (N, K + 1) float, finite for finite logits.

    Source: MaskTrack R-CNN (Yang et al., ICCV 2019), equation 4, with the weights of its released code. log_softmax
    where the released codes take the log of a softmax, which is -inf as soon as a probability underflows.
    """
    num_detections, num_tracks = ious.shape
    if similarity_logits.shape != (num_detections, num_tracks + 1) or same_label.shape != ious.shape:
        raise ValueError(
            f"Expected logits (N, K + 1), IoUs (N, K) and labels (N, K), got {tuple(similarity_logits.shape)}, "
            f"{tuple(ious.shape)} and {tuple(same_label.shape)}."
        )
    scores = similarity_logits.log_softmax(dim=1)
    confidence = det_scores.to(scores.dtype).clamp_min(torch.finfo(scores.dtype).tiny).log()
    scores = scores + det_score_weight * confidence[:, None]
    scores[:, NEW] += label_weight
    scores[:, 1:] += iou_weight * ious + label_weight * same_label.to(scores.dtype)
    return scores


def assign(
    scores: Tensor,
    method: Literal["greedy", "hungarian"] = "greedy",
    *,
    reassign_losers: bool = False,
) -> Tensor:
    """Give each detection a track, a new track, or none; no track twice.

    `greedy` lets every detection ask for its best column. Where several ask for the same track, the highest score
    keeps it (the first of equals) and the others are dropped, which suppresses the second detection of an object.
    `hungarian` maximises the summed score instead; it drops nothing, so a duplicate becomes a new track.

    Args:
        scores: (N, K + 1) from `match_scores`; column 0 is "new".
        method: See above.
        reassign_losers: Greedy only. Losers then ask again, among the tracks still free and "new".

    Returns:
        (N,) int64 on the device of `scores`: k >= 1 continues track k - 1, 0 starts a track, -1 is dropped.

    Source: equals mmdet's `MaskTrackRCNNTracker.assign_ids` wherever that gives no id twice; there, a detection that
    took a track keeps its id after a later and better one has taken it too.
    """
    if scores.ndim != 2 or scores.shape[1] < 1:
        raise ValueError(f"Expected scores (N, K + 1), got {tuple(scores.shape)}.")
    table = scores.detach().cpu().double().numpy()
    if np.isnan(table).any():
        raise ValueError("Match scores contain NaN; expected finite logits, IoUs and detection scores.")
    if method == "greedy":
        assignment = _greedy(table, reassign_losers)
    elif method == "hungarian":
        assignment = _hungarian(table)
    else:
        raise ValueError(f"Unknown assignment method {method!r}; expected 'greedy' or 'hungarian'.")
    return torch.from_numpy(assignment).to(scores.device)


def _greedy(scores: np.ndarray, reassign_losers: bool) -> np.ndarray:
    """(N, K + 1) -> (N,); each round settles at least one track, so K + 1 rounds are the most."""
    scores = scores.copy()
    assignment = np.full(len(scores), DROPPED, dtype=np.int64)
    asking = np.arange(len(scores))
    while len(asking):
        columns = scores[asking].argmax(axis=1)
        best = scores[asking, columns]
        by_score = np.argsort(-best, kind="stable")
        _, first = np.unique(columns[by_score], return_index=True)
        wins = columns == NEW
        wins[by_score[first]] = True
        assignment[asking[wins]] = columns[wins]
        if not reassign_losers:
            break
        taken = columns[wins & (columns != NEW)]
        scores[:, taken] = -np.inf
        asking = asking[~wins]
    return assignment


def _hungarian(scores: np.ndarray) -> np.ndarray:
    """(N, K + 1) -> (N,); every detection brings a "new" column of its own, so it never competes for that one."""
    num_detections, num_columns = scores.shape
    own_new = np.full((num_detections, num_detections), -np.inf)  # forbidden
    np.fill_diagonal(own_new, np.maximum(scores[:, NEW], -1e6))  # always allowed
    rows, columns = linear_sum_assignment(np.hstack([scores[:, 1:], own_new]), maximize=True)
    assignment = np.full(num_detections, NEW, dtype=np.int64)
    continues = columns < num_columns - 1
    assignment[rows[continues]] = columns[continues] + 1
    return assignment
