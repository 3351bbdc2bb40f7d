"""The quasi-dense tracker with many classes (QDTrack, and PCAN on it): arrays in, indices out.

Detections are compared by appearance alone, with tracks and with *backdrops*: detections of the last frame that became
no track. What looks most like a backdrop continues no track, which is all that backdrops are for: if its score is high
enough it starts a track, or a backdrop could never become one. The tracks themselves, their birth and end, are those
of a `TrackMemory`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vos_occ.tracking.appearance import UNMATCHED, bisoftmax, box_ious, claim
from vos_occ.tracking.association import DROPPED, NEW
from vos_occ.tracking.memory import TrackMemory
from vos_occ.tracking.tracks import Update


@dataclass(frozen=True)
class QuasiDenseRules:
    """Thresholds of the tracker; scores, IoUs and match scores are in [0, 1].

    The defaults are those of PCAN's BDD100K configs, and they contradict each other: its detector keeps nothing below
    .5, so that no detection is below `obj_score` .3, and both rules that speak of such detections are dead. They live
    with QDTrack's own detector threshold, .05. What is left of backdrops are detections between .5 and `init_score`.
    The released `nms_conf_thr` is `match_score`: they are equal in every released config.

    Attributes:
        init_score: a detection that matches no track starts one above this score.
        obj_score: at or below this score a detection that matches a track does not continue it; it is dropped and
            is no backdrop either (the released id -2).
        match_score: a detection matches what it fits best if that is above this.
        nms_backdrop_iou: a detection below `obj_score` is a duplicate if its IoU with a higher one of any class is
            above this; and so is one that would become a backdrop.
        nms_class_iou: as above, for detections of at least `obj_score`.
        with_cats: detections only match tracks and backdrops of their own class. They compete with all classes: of
            two objects that look the same, each of a class of its own, neither fits its track by more than .5.
        retain_frames: a track unseen for so many frames is forgotten.
        retain_backdrops: frames for which backdrops are remembered; 0 for none.
        momentum: share of the new embedding in the remembered one, in (0, 1]; that of `TrackMemory` is the old one's.
        max_tracks: most tracks, and most backdrops, remembered at once.

    Source: QDTrack (Pang et al., CVPR 2021) section 3.3, PCAN's released configs; docs/sources.md, trackers 3.1.
    """

    init_score: float = 0.7
    obj_score: float = 0.3
    match_score: float = 0.5
    nms_backdrop_iou: float = 0.3
    nms_class_iou: float = 0.7
    with_cats: bool = True
    retain_frames: int = 10
    retain_backdrops: int = 1
    momentum: float = 0.8
    max_tracks: int = 256

    def __post_init__(self) -> None:
        for name in ("init_score", "obj_score", "match_score", "nms_backdrop_iou", "nms_class_iou"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is in [0, 1], got {getattr(self, name)}.")
        if not 0 < self.momentum <= 1:
            raise ValueError(f"momentum is the new embedding's share, in (0, 1], got {self.momentum}.")
        if self.retain_frames < 1 or self.max_tracks < 1 or self.retain_backdrops < 0:
            raise ValueError(
                "retain_frames and max_tracks are at least 1 and retain_backdrops at least 0, got "
                f"{self.retain_frames}, {self.max_tracks} and {self.retain_backdrops}."
            )


@dataclass(frozen=True)
class Association:
    """What becomes of the N detections of a frame.

    Attributes:
        assignment: (N,) int64 as from `association.assign`: k >= 1 continues the track in row k - 1 of the memory, 0
            starts a track, -1 does neither.
        backdrops: (M,) int64, the detections to be remembered as backdrops, by falling score.
    """

    assignment: Tensor
    backdrops: Tensor

    @property
    def tracked(self) -> Tensor:
        """(T,) int64, the detections that continue or start a track, in their order."""
        return (self.assignment >= NEW).nonzero()[:, 0]

    @property
    def rows(self) -> Tensor:
        """(T,) int64, the row of the memory that each tracked detection continues; -1 for those that start a track."""
        return self.assignment[self.tracked] - 1


@dataclass(frozen=True)
class Backdrops:
    """B detections that became no track, newest first. All tensors share their first dimension and device."""

    embeddings: Tensor  # (B, D) float32
    labels: Tensor  # (B,) int64
    seen: Tensor  # (B,) int64, frame index

    def select(self, keep: Tensor) -> Backdrops:
        return Backdrops(self.embeddings[keep], self.labels[keep], self.seen[keep])

    @property
    def nbytes(self) -> int:
        return self.embeddings.nbytes + self.labels.nbytes + self.seen.nbytes


class QuasiDenseMemory:
    """The tracks and backdrops of one video.

    Per frame, also for frames without detections: `associate`, then `update`. Everything is on the device of the
    detections. A track may carry a payload: named tensors of a fixed size that each sight of it replaces.

    Args:
        embed_dim: D, the length of an embedding.
        rules: see there.

    Source: docs/sources.md, trackers 3.1, except that frames without detections age tracks and backdrops too (P-j),
    and that no more than `max_tracks` of either are kept.
    """

    def __init__(self, embed_dim: int, rules: QuasiDenseRules = QuasiDenseRules()) -> None:  # noqa: B008 (frozen)
        self.rules = rules
        self.tracks = TrackMemory(
            embed_dim, rules.max_tracks, retain_frames=rules.retain_frames, momentum=1 - rules.momentum
        )
        self.backdrops = Backdrops(torch.zeros(0, embed_dim), torch.zeros(0).long(), torch.zeros(0).long())
        self._payload: dict[str, Tensor] = {}

    def __len__(self) -> int:
        """Live tracks K, the lost included."""
        return len(self.tracks)

    def __repr__(self) -> str:
        return f"QuasiDenseMemory({self.tracks!r}, {len(self.backdrops.seen)} backdrops, {sorted(self._payload)})"

    @property
    def nbytes(self) -> int:
        """Bytes held by the tensors."""
        return self.tracks.nbytes + self.backdrops.nbytes + sum(tensor.nbytes for tensor in self._payload.values())

    def payload(self, name: str) -> Tensor:
        """(K, ...) what each track carries, aligned with the rows of `tracks`; valid until the next `update`.

        KeyError before the first track.
        """
        return self._payload[name]

    def recall(self, name: str, association: Association, own: Tensor) -> Tensor:
        """What the tracked detections of a frame can be compared with, before `update`.

        Args:
            name: of a payload.
            association: of the frame.
            own: (T, ...) the payload of the tracked detections themselves.

        Returns:
            (T, ...) the payload of the track that each continues; its own where it starts one, as in PCAN.
        """
        continues = association.rows >= 0
        recalled = own.clone()
        if continues.any():
            recalled[continues] = self._payload[name][association.rows[continues]]
        return recalled

    def associate(self, boxes: Tensor, labels: Tensor, scores: Tensor, embeddings: Tensor) -> Association:
        """Which track each detection continues, if any; nothing is written.

        Args:
            boxes: (N, 4) xyxy in source pixels.
            labels: (N,).
            scores: (N,) in [0, 1].
            embeddings: (N, D).
        """
        rules, order = self.rules, scores.argsort(descending=True, stable=True)
        higher = box_ious(boxes[order]).tril(-1)  # row i: IoU with those of a higher score
        limits = torch.where(scores[order] < rules.obj_score, rules.nms_backdrop_iou, rules.nms_class_iou)
        kept = ~(higher > limits[:, None]).any(dim=1)
        rows, higher = order[kept], higher[kept][:, kept]

        columns = self._match(labels[rows], scores[rows], embeddings[rows])
        starts = (columns == UNMATCHED) & (scores[rows] > rules.init_score)
        assignment = torch.full_like(order, DROPPED)
        assignment[rows] = torch.where(starts, NEW, torch.where(columns >= 0, columns + 1, DROPPED))
        is_backdrop = (columns == UNMATCHED) & ~starts & ~(higher > rules.nms_backdrop_iou).any(dim=1)
        return Association(assignment, rows[is_backdrop])

    def _match(self, labels: Tensor, scores: Tensor, embeddings: Tensor) -> Tensor:
        """(N,) row of the track that each detection continues, by falling score; UNMATCHED or REJECTED."""
        remembered = torch.cat([self.tracks.embeddings, self.backdrops.embeddings]).to(embeddings.device)
        remembered_labels = torch.cat([self.tracks.labels, self.backdrops.labels]).to(labels.device)
        fits = bisoftmax(embeddings, remembered)
        if self.rules.with_cats:
            fits = fits * (labels[:, None] == remembered_labels)
        return claim(fits, scores > self.rules.obj_score, len(self), self.rules.match_score)

    def update(
        self,
        association: Association,
        boxes: Tensor,
        labels: Tensor,
        scores: Tensor,
        embeddings: Tensor,
        frame_index: int,
        *,
        keep_embedding: Tensor | None = None,
        **payload: Tensor,
    ) -> Update:
        """Take in the detections of one frame; all N of them, as they were given to `associate`.

        Args:
            association: of this frame.
            boxes, labels, scores, embeddings: as in `associate`.
            frame_index: higher than that of the last call.
            keep_embedding: (N,) bool, as in `TrackMemory.update`.
            payload: (T, ...) each, of the tracked detections; the same names at every call with T > 0.

        Returns:
            Track ids (N,), >= 1 and never reused; -1 for detections that are no track, or found no room.
        """
        self._check_payload(payload, len(association.tracked))
        before = self.tracks.track_ids.clone()
        update = self.tracks.update(
            association.assignment, embeddings, boxes, labels, scores, frame_index, keep_embedding=keep_embedding
        )
        self._store(before, update.track_ids[association.tracked], payload)
        chosen = association.backdrops
        self._remember(embeddings[chosen], labels[chosen], frame_index)
        return update

    def _check_payload(self, payload: dict[str, Tensor], num_tracked: int) -> None:
        if num_tracked and self.tracks.num_created and set(payload) != set(self._payload):
            raise ValueError(f"Tracks carry {sorted(self._payload)}, got {sorted(payload)}.")
        if wrong := [name for name, values in payload.items() if len(values) != num_tracked]:
            raise ValueError(f"Expected payloads of {num_tracked} tracked detections, got {len(payload[wrong[0]])}.")

    def _store(self, before: Tensor, track_ids: Tensor, payload: dict[str, Tensor]) -> None:
        """Writes the payload of (T,) detections, -1 for those that were refused, after the rows have changed."""
        now, given = self.tracks.track_ids, track_ids > 0
        before = before.to(now.device)  # of a new memory it is not that of the detections
        if not torch.equal(before, now):
            self._realign(before, now)
        rows = torch.searchsorted(now, track_ids[given])
        for name, values in payload.items():
            carried = self._payload.setdefault(name, values.new_zeros(len(now), *values.shape[1:]))
            carried[rows] = values[given].detach()

    def _realign(self, before: Tensor, now: Tensor) -> None:
        """Moves the payload of the tracks with ids `before` to where the rows of those with ids `now` are."""
        survivors = torch.searchsorted(before, now[torch.isin(now, before)])
        for name, carried in self._payload.items():
            fresh = carried.new_zeros(len(now) - len(survivors), *carried.shape[1:])  # new ids are higher than old ones
            self._payload[name] = torch.cat([carried[survivors], fresh])

    def _remember(self, embeddings: Tensor, labels: Tensor, frame_index: int) -> None:
        """Adds backdrops, and drops those that are too old or too many."""
        old = self.backdrops
        every = Backdrops(
            torch.cat([embeddings.detach().float(), old.embeddings.to(embeddings.device)]),
            torch.cat([labels.long(), old.labels.to(labels.device)]),
            torch.cat([torch.full_like(labels, frame_index, dtype=torch.int64), old.seen.to(labels.device)]),
        )
        young = (frame_index - every.seen < self.rules.retain_backdrops).nonzero()[:, 0]
        self.backdrops = every.select(young[: self.rules.max_tracks])
