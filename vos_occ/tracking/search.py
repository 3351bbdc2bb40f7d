"""Where the tracks that a frame misses are looked for: behind what, and how near to it.

Arithmetic on the boxes of tracks, by the `OcclusionRules` of a memory.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vos_occ.tracking.occlusion import OcclusionRules
from vos_occ.tracking.tracks import TrackRows, TrackState


def location_scores(rows: TrackRows, rules: OcclusionRules, boxes: Tensor, ious: Tensor, last_frame: int) -> Tensor:
    """How well (N, 4) detections of the next frame lie for each of K tracks, (N, K) in [0, 1].

    The (N, K) IoU; for lost tracks with a known occluder, nearness to its box if that is more.
    """
    if not rules.near or not len(rows):
        return ious
    index, alive = rows.find(rows.occluders)
    sizes, missed = areas(rows.boxes).sqrt(), last_frame - rows.last_seen
    near = rules.near * nearness(boxes, rows.boxes[index], sizes, missed, rules.near_radius, rules.near_growth)
    waits = (rows.states == TrackState.LOST) & alive
    return torch.where(waits, torch.maximum(ious, near), ious)


def follow(rows: TrackRows, rules: OcclusionRules, missed: Tensor, moved: Tensor) -> None:
    """Finds what the tracks are behind that a frame misses for the first time, and moves the boxes of all missed ones.

    Args:
        rows: K tracks, of which those that were seen have their new boxes, and all their states of the frame before.
        rules: of the memory.
        missed: (K,) bool.
        moved: (K, 2) how far the centres of those that were seen went.
    """
    if rules.needs_occluders:
        first = (missed & (rows.states != TrackState.LOST) & (rows.occluders == 0)).nonzero()[:, 0]
        seen = (~missed).nonzero()[:, 0]
        index = covering(rows.boxes[first], rows.boxes[seen], rules.cover)
        rows.occluders[first[index >= 0]] = rows.track_ids[seen[index[index >= 0]]]
    if rules.motion == "still":
        return
    shift = rows.velocities
    if rules.motion == "occluder":
        index, alive = rows.find(rows.occluders)
        shift = moved[index] * alive[:, None]
    rows.boxes[missed] += shift[missed].repeat(1, 2)


def note_occluders(rows: TrackRows, track_ids: Tensor, boxes: Tensor, in_front: Tensor) -> None:
    """Writes down, for each track seen in a frame, which track hides most of it.

    Args:
        rows: the tracks.
        track_ids: (N,) of the frame's detections, -1 for those without a track.
        boxes: (N, 4) of the detections.
        in_front: (N, N) bool; [i, j] says that detection i hides part of detection j.
    """
    given = track_ids > 0
    index = main_occluders(boxes, in_front & given[:, None])
    occluders = torch.where(index >= 0, track_ids[index], 0)
    rows.occluders[rows.find(track_ids[given])[0]] = occluders[given]


def centres(boxes: Tensor) -> Tensor:
    """(N, 2) x and y of (N, 4) boxes."""
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def areas(boxes: Tensor) -> Tensor:
    """(N,) areas of (N, 4) boxes; a box of negative size has none."""
    return (boxes[:, 2:] - boxes[:, :2]).clamp_min(0).prod(dim=1)


def intersections(first: Tensor, second: Tensor) -> Tensor:
    """(A, B) common areas of (A, 4) and (B, 4) boxes."""
    corner = torch.minimum(first[:, None, 2:], second[:, 2:]) - torch.maximum(first[:, None, :2], second[:, :2])
    return corner.clamp_min(0).prod(dim=2)


def main_occluders(boxes: Tensor, in_front: Tensor) -> Tensor:
    """Which object hides most of each.

    Args:
        boxes: (N, 4).
        in_front: (N, N) bool; [i, j] says that i hides part of j.

    Returns:
        (N,) int64: of those in front, the one whose box shares most with that of the object; -1 for none.
    """
    if not len(boxes):
        return torch.zeros(0, dtype=torch.int64, device=boxes.device)
    shared, index = (intersections(boxes, boxes) * in_front).max(dim=0)
    return torch.where(shared > 0, index, -1)


def covering(boxes: Tensor, others: Tensor, cover: float) -> Tensor:
    """(N,) index of the (M, 4) other box that covers most of each (N, 4) box; -1 where it is less than `cover`."""
    if not len(others):
        return torch.full((len(boxes),), -1, dtype=torch.int64, device=boxes.device)
    share, index = (intersections(boxes, others) / areas(boxes).clamp_min(1)[:, None]).max(dim=1)
    return torch.where(share >= cover, index, -1)


def nearness(boxes: Tensor, occluders: Tensor, sizes: Tensor, missed: Tensor, radius: float, growth: float) -> Tensor:
    """How near detections are to what a track vanished behind; the circle widens while the track is not seen.

    A Gaussian of the distance of the detection's centre from the occluder's box, with a deviation of
    `radius * size * (1 + growth * missed)`; 1 inside the box.

    Args:
        boxes: (N, 4) detections.
        occluders: (K, 4) box of each track's occluder.
        sizes: (K,) of the tracks, in pixels: the root of the area.
        missed: (K,) frames that missed them.
        radius: in units of the size.
        growth: a frame.

    Returns:
        (N, K) in [0, 1].
    """
    points = centres(boxes)[:, None]
    gaps = torch.maximum(occluders[:, :2] - points, points - occluders[:, 2:]).clamp_min(0).norm(dim=2)
    deviation = radius * sizes.clamp_min(1) * (1 + growth * missed)
    return torch.exp(-0.5 * (gaps / deviation) ** 2)
