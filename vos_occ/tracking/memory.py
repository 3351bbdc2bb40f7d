"""What is remembered of the tracks of one video, and how tracks are born, confirmed, lost and forgotten.

Every live track is one row of a few fixed-size tensors; no mask, no feature map, no history. The rows are bounded by
`max_tracks` and nothing is kept of a forgotten track, so the size does not grow with the length of the video.
"""

from __future__ import annotations

import logging
from typing import Literal

import torch
from torch import Tensor

from vos_occ.tracking.association import NEW
from vos_occ.tracking.occlusion import OcclusionRules, mix
from vos_occ.tracking.search import centres, follow, location_scores, note_occluders
from vos_occ.tracking.tracks import TrackRows, TrackState, Update

logger = logging.getLogger(__name__)


class TrackMemory:
    """The tracks of one video.

    Per frame: compare the detections with `embeddings`, `boxes` and `labels`, `assign`, then `update`. The rows of
    these tensors are the columns 1..K of the match scores. They live on the device of the detections.

    Args:
        embed_dim: D, the length of an embedding.
        max_tracks: Most tracks alive at once. When more are needed the longest lost are forgotten first; when none
            is lost, new detections are refused, least confident first. Either is logged once.
        retain_frames: A track unseen for this many frames is forgotten; it can still be continued in the last of
            them. None never forgets, as the original MaskTrack R-CNN.
        label_memory: Which label a track is compared by: that of its first detection (original MaskTrack R-CNN) or
            of its last (mmdet).
        confirm_after: Detections needed until a track is confirmed. With more than one, a tentative track dies in
            the first frame that misses it.
        momentum: Share of the old embedding in the new one; 0 replaces it.
        occlusion: What being hidden changes; nothing, unless said.

    Source: MaskTrack R-CNN section 4; retention as mmdet's `BaseTracker.pop_invalid_tracks`, except that frames
    without detections count too.
    """

    def __init__(
        self,
        embed_dim: int,
        max_tracks: int = 512,
        *,
        retain_frames: int | None = 20,
        label_memory: Literal["first", "last"] = "last",
        confirm_after: int = 1,
        momentum: float = 0.0,
        occlusion: OcclusionRules = OcclusionRules(),  # noqa: B008 (frozen)
    ) -> None:
        if embed_dim < 1 or max_tracks < 1 or confirm_after < 1 or (retain_frames is not None and retain_frames < 1):
            raise ValueError(
                "embed_dim, max_tracks, confirm_after and retain_frames are at least 1, got "
                f"{embed_dim}, {max_tracks}, {confirm_after} and {retain_frames}."
            )
        if label_memory not in ("first", "last"):
            raise ValueError(f"Unknown label_memory {label_memory!r}; expected 'first' or 'last'.")
        if not 0.0 <= momentum < 1.0:
            raise ValueError(f"momentum is in [0, 1), got {momentum}.")
        self.embed_dim = embed_dim
        self.max_tracks = max_tracks
        self.retain_frames = retain_frames
        self.label_memory = label_memory
        self.confirm_after = confirm_after
        self.momentum = momentum
        self.occlusion = occlusion
        self._num_created = 0
        self._last_frame: int | None = None
        self._warned_full = False
        self._rows = self._no_rows(torch.device("cpu"))

    def __len__(self) -> int:
        """Live tracks K, the tentative and the lost included."""
        return len(self._rows)

    def __repr__(self) -> str:
        return f"TrackMemory({len(self)}/{self.max_tracks} tracks, {self._num_created} so far, D {self.embed_dim})"

    @property
    def embeddings(self) -> Tensor:
        """(K, D) float32."""
        return self._rows.embeddings

    @property
    def boxes(self) -> Tensor:
        """(K, 4) float32, xyxy in source pixels, where each track was last seen, or has moved since (`motion`)."""
        return self._rows.boxes

    @property
    def labels(self) -> Tensor:
        """(K,) int64."""
        return self._rows.labels

    @property
    def track_ids(self) -> Tensor:
        """(K,) int64, >= 1, ascending."""
        return self._rows.track_ids

    @property
    def last_seen(self) -> Tensor:
        """(K,) int64, index of the frame in which each track was last seen."""
        return self._rows.last_seen

    @property
    def hits(self) -> Tensor:
        """(K,) int64, number of frames in which each track was seen."""
        return self._rows.hits

    @property
    def states(self) -> Tensor:
        """(K,) int64, values of `TrackState`."""
        return self._rows.states

    @property
    def occluders(self) -> Tensor:
        """(K,) int64, id of the track that hid each when it was last seen; 0 for none, or where nobody asks."""
        return self._rows.occluders

    @property
    def num_created(self) -> int:
        """Tracks so far, the forgotten included; also the highest id given."""
        return self._num_created

    @property
    def nbytes(self) -> int:
        """Bytes held by the tensors."""
        return self._rows.nbytes

    def location_scores(self, boxes: Tensor, ious: Tensor) -> Tensor:
        """How well (N, 4) detections of the next frame lie for each track, (N, K) in [0, 1].

        The (N, K) IoU with `boxes`; for lost tracks with a known occluder, nearness to that if it is more.
        """
        if self._last_frame is None:
            return ious
        return location_scores(self._rows, self.occlusion, boxes, ious, self._last_frame)

    def update(
        self,
        assignment: Tensor | None,
        embeddings: Tensor,
        boxes: Tensor,
        labels: Tensor,
        scores: Tensor,
        frame_index: int,
        *,
        keep_embedding: Tensor | None = None,
        hidden: Tensor | None = None,
        in_front: Tensor | None = None,
    ) -> Update:
        """Take in the detections of one frame. Call it for frames without detections too.

        Args:
            assignment: (N,) int64 from `assign`, against the rows as they are now. None while there is no track, as
                in the first frame: every detection is then new.
            embeddings: (N, D).
            boxes: (N, 4) xyxy in source pixels.
            labels: (N,).
            scores: (N,) in [0, 1].
            frame_index: Higher than that of the last call.
            keep_embedding: (N,) bool. True leaves the embedding of the continued track as it is: for detections too
                occluded to say what the object looks like.
            hidden: (N,) predicted hidden fractions in [0, 1]; None: unknown, as if nothing were hidden.
            in_front: (N, N) bool; [i, j] says that detection i hides part of detection j. None: unknown.

        Returns:
            The track id of each detection. New ids are given in the order of the detections.
        """
        assignment = self._validated(assignment, embeddings, boxes, labels, scores, frame_index)
        self._check_occlusion(len(boxes), hidden, in_front)
        self._last_frame = frame_index
        if not len(self):
            self._rows = self._no_rows(embeddings.device)
        detections = self._as_new_rows(embeddings, boxes, labels, frame_index, hidden)
        continues = assignment > NEW
        track_ids = torch.full_like(assignment, -1)
        track_ids[continues] = self._rows.track_ids[assignment[continues] - 1]
        self._continue(detections.select(continues), assignment[continues] - 1, keep_embedding, continues)
        self._forget(frame_index)

        started = self._admit(assignment == NEW, scores)
        track_ids[started] = self._num_created + 1 + torch.arange(len(started), device=track_ids.device)
        self._num_created += len(started)
        detections.track_ids[started] = track_ids[started]
        self._rows = self._rows.append(detections.select(started))
        if in_front is not None and self.occlusion.needs_occluders:
            note_occluders(self._rows, track_ids, detections.boxes, in_front)

        is_confirmed = self._rows.track_ids[self._rows.states == TrackState.CONFIRMED]
        return Update(track_ids, torch.isin(track_ids, is_confirmed))

    def _continue(self, seen: TrackRows, rows: Tensor, keep_embedding: Tensor | None, continues: Tensor) -> None:
        """Write the M detections `seen` into the tracks `rows` (M,), and mark all other tracks as missed."""
        old = self._rows
        taken = torch.ones_like(rows, dtype=torch.bool) if keep_embedding is None else ~keep_embedding[continues]
        self._remember(seen.select(taken), rows[taken])
        moved = torch.zeros_like(old.velocities)
        moved[rows] = self._move(seen, rows)
        old.hidden[rows] = seen.hidden
        old.occluders[rows] = 0  # of the frame before; `note_occluders` writes those of this one, where it can be asked
        old.last_seen[rows] = seen.last_seen
        old.hits[rows] += 1
        if self.label_memory == "last":
            old.labels[rows] = seen.labels
        missed = torch.ones_like(old.states, dtype=torch.bool)
        missed[rows] = False
        follow(old, self.occlusion, missed, moved)
        old.states[missed & (old.states == TrackState.CONFIRMED)] = TrackState.LOST
        old.states[~missed & (old.hits >= self.confirm_after)] = TrackState.CONFIRMED

    def _remember(self, seen: TrackRows, rows: Tensor) -> None:
        """Take the M views `seen` into the embeddings of the tracks `rows` (M,)."""
        old, weights = self._rows, seen.view_weights
        if not self.occlusion.weighs_embeddings:
            old.embeddings[rows] = self.momentum * old.embeddings[rows] + (1 - self.momentum) * seen.embeddings
            return
        share = (1 - self.momentum) * weights
        if self.occlusion.weigh_views:
            total = self.momentum * old.view_weights[rows] + weights
            share, old.view_weights[rows] = weights / total, total
        old.embeddings[rows] = mix(old.embeddings[rows], seen.embeddings, share)

    def _move(self, seen: TrackRows, rows: Tensor) -> Tensor:
        """Write boxes and velocities of the tracks `rows` (M,); answers with (M, 2) how far their boxes went."""
        old, boxes = self._rows, seen.boxes
        before = old.boxes[rows]
        if self.occlusion.box_power:
            share = ((1 - seen.hidden) ** self.occlusion.box_power)[:, None]
            boxes = (1 - share) * before + share * boxes
        now = centres(boxes)
        velocity = (now - old.seen_at[rows]) / (seen.last_seen - old.last_seen[rows])[:, None]
        steady = (old.velocities[rows] + velocity) / 2  # one frame's boxes are too uncertain
        old.velocities[rows] = torch.where((old.hits[rows] > 1)[:, None], steady, velocity)
        old.boxes[rows], old.seen_at[rows] = boxes, now
        return now - centres(before)

    def _forget(self, frame_index: int) -> None:
        """Drop the tracks whose time is over, and the tentative ones that this frame missed."""
        unseen = frame_index - self._rows.last_seen
        over = torch.zeros_like(unseen, dtype=torch.bool)
        if self.retain_frames is not None:
            over = unseen >= self.retain_frames
        if self.occlusion.retain_frames is not None:
            behind = (self._rows.hidden >= self.occlusion.hidden_above) | (self._rows.occluders > 0)
            over = torch.where(behind, unseen >= self.occlusion.retain_frames, over)
        over |= (self._rows.states == TrackState.TENTATIVE) & (unseen > 0)
        self._rows = self._rows.select(~over)

    def _admit(self, wanted: Tensor, scores: Tensor) -> Tensor:
        """Make room for new tracks; indices (M,) of those detections, of the (N,) bool `wanted`, that found some."""
        indices = wanted.nonzero()[:, 0]
        excess = len(self) + len(indices) - self.max_tracks
        if excess <= 0:
            return indices
        self._warn_full()
        lost = (self._rows.states == TrackState.LOST).nonzero()[:, 0]
        longest = lost[self._rows.last_seen[lost].argsort(stable=True)][:excess]
        keep = torch.ones(len(self), dtype=torch.bool, device=longest.device)
        keep[longest] = False
        self._rows = self._rows.select(keep)
        best = scores[indices].argsort(descending=True, stable=True)[: self.max_tracks - len(self)]
        return indices[best.sort().values]

    def _warn_full(self) -> None:
        if not self._warned_full:
            logger.warning(
                "All %d tracks are in use: the longest lost are forgotten, then new detections are refused. "
                "Raise max_tracks or the score threshold. This is said once per video.",
                self.max_tracks,
            )
        self._warned_full = True

    def _as_new_rows(
        self, embeddings: Tensor, boxes: Tensor, labels: Tensor, frame_index: int, hidden: Tensor | None = None
    ) -> TrackRows:
        """The N detections as if each started a track, ids still to be given. Copies: rows are written in place."""
        ones = torch.ones(len(boxes), dtype=torch.int64, device=embeddings.device)
        state = TrackState.CONFIRMED if self.confirm_after == 1 else TrackState.TENTATIVE
        hidden = torch.zeros_like(ones, dtype=torch.float32) if hidden is None else hidden.detach().float().clone()
        return TrackRows(
            embeddings=embeddings.detach().float().clone(),
            boxes=boxes.detach().float().clone(),
            labels=labels.detach().long().clone(),
            track_ids=-ones,
            last_seen=frame_index * ones,
            hits=ones,
            states=int(state) * ones,
            hidden=hidden,
            view_weights=self.occlusion.view_weights(hidden),
            occluders=0 * ones,
            velocities=torch.zeros(len(boxes), 2, device=embeddings.device),
            seen_at=centres(boxes.detach().float()),
        )

    def _no_rows(self, device: torch.device) -> TrackRows:
        nothing = torch.zeros(0, device=device)
        return self._as_new_rows(nothing.view(0, self.embed_dim), nothing.view(0, 4), nothing, 0)

    def _validated(
        self,
        assignment: Tensor | None,
        embeddings: Tensor,
        boxes: Tensor,
        labels: Tensor,
        scores: Tensor,
        frame_index: int,
    ) -> Tensor:
        """The assignment, or all new when there is none; ValueError when anything does not fit."""
        num = len(boxes)
        shapes = [tuple(tensor.shape) for tensor in (embeddings, boxes, labels, scores)]
        if shapes != [(num, self.embed_dim), (num, 4), (num,), (num,)]:
            raise ValueError(
                f"Expected embeddings (N, {self.embed_dim}), boxes (N, 4), labels (N,) and scores (N,), got {shapes}."
            )
        if self._last_frame is not None and frame_index <= self._last_frame:
            raise ValueError(f"Frames come in order: got frame {frame_index} after frame {self._last_frame}.")
        if assignment is None:
            if len(self):
                raise ValueError(f"An assignment is needed: the memory holds {len(self)} tracks.")
            return torch.zeros(num, dtype=torch.int64, device=embeddings.device)
        if assignment.shape != (num,):
            raise ValueError(f"Expected an assignment ({num},), got {tuple(assignment.shape)}.")
        continued = assignment[assignment > NEW]
        if len(continued) != len(continued.unique()) or (continued > len(self)).any():
            raise ValueError(f"The assignment {assignment.tolist()} is not one-to-one onto {len(self)} tracks.")
        return assignment.to(embeddings.device)

    @staticmethod
    def _check_occlusion(num: int, hidden: Tensor | None, in_front: Tensor | None) -> None:
        if hidden is not None and (hidden.shape != (num,) or not ((hidden >= 0) & (hidden <= 1)).all()):
            raise ValueError(f"Expected hidden fractions ({num},) in [0, 1], got {tuple(hidden.shape)}: {hidden}.")
        if in_front is not None and (in_front.shape != (num, num) or in_front.dtype != torch.bool):
            raise ValueError(f"Expected in_front ({num}, {num}) bool, got {tuple(in_front.shape)} {in_front.dtype}.")
