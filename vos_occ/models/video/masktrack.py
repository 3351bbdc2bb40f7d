"""MaskTrack R-CNN (Yang et al., ICCV 2019) on an mmdet two-stage detector, with any RoI mask head of ours.

Training is mmdet's, with the RPN bug of its port fixed; inference is ours: detections are associated first, and the
mask head runs only on those that continue or start a track. Nothing here knows files, videos or result formats.
"""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from mmdet.registry import MODELS
from mmdet.structures.bbox import bbox_overlaps
from mmengine.structures import InstanceData
from torch import Tensor

from vos_occ.models.bilayer.prediction import BilayerPrediction
from vos_occ.models.video import embedding  # noqa: F401  (registers the track head)
from vos_occ.models.video.contract import VideoMeta, VideoState
from vos_occ.models.video.observation import Observation
from vos_occ.models.video.roi_model import RoIVideoModel, pair_images, paste, split_pairs
from vos_occ.structures import FrameResult
from vos_occ.structures.errors import InputError
from vos_occ.structures.occlusion import predict_order
from vos_occ.tracking.association import assign, match_scores
from vos_occ.tracking.memory import TrackMemory
from vos_occ.tracking.occlusion import OcclusionRules


@MODELS.register_module()
class OccMaskTrackRCNN(RoIVideoModel):
    """MaskTrack R-CNN with a bilayer (or plain) mask head.

    Args:
        detector: config of an mmdet two-stage detector whose RoI head is a `BilayerRoIHead`.
        track_head: config of an `OccRoITrackHead`.
        memory: arguments of `TrackMemory` besides the embedding's length; `occlusion` with those of `OcclusionRules`.
            Where the order is not known, nothing counts as hidden, and only boxes say what a track is behind.
        association: arguments of `match_scores` and `assign` (`method`, weights, `reassign_losers`).
        kwargs: those of `RoIVideoModel`: `occlusion`, `test_scale`, `data_preprocessor`, `init_cfg`.

    Raises:
        InputError: the RoI head is another one, or an option of memory, association or occlusion is not known.
    """

    def __init__(
        self,
        detector: dict[str, Any],
        track_head: dict[str, Any],
        memory: dict[str, Any] | None = None,
        association: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(detector, track_head, **kwargs)
        self.memory_options = dict(memory or {})
        self.association_options = dict(association or {})
        self.check_options()

    def check_options(self) -> None:
        """Raises InputError for options that the first frames of a video would stumble over."""
        try:
            self._new_memory()
            self._assign(torch.zeros(0, 1), torch.zeros(0), torch.zeros(0, 0), torch.zeros(0, 0, dtype=torch.bool))
        except (TypeError, ValueError) as error:
            raise InputError(f"The options of memory or association cannot be used: {error}") from error

    @property
    def options(self) -> dict[str, Any]:
        """What of the results can be changed after loading, besides `score_threshold`."""
        return {**super().options, "memory": self.memory_options, "association": self.association_options}

    # training

    def loss(self, inputs: Tensor, data_samples: list, **kwargs: Any) -> dict[str, Tensor]:
        """Losses of key/reference pairs.

        Args:
            inputs: (B, 2, 3, H, W) float, normalised.
            data_samples: B track samples with one key and one reference frame each.

        Returns:
            RPN, box, mask, occluder, hidden and match losses by name.
        """
        images, keys, _ = pair_images(inputs, data_samples)
        key_feats, ref_feats = split_pairs(self.detector.extract_feat(images), len(inputs))

        losses, proposals = self._rpn_loss(key_feats, keys)
        track_proposals = [InstanceData(priors=proposal.bboxes) for proposal in proposals]
        losses.update(self.detector.roi_head.loss(self._head_features(key_feats, ref_feats), proposals, keys))
        losses.update(self.track_head.loss(key_feats, ref_feats, track_proposals, data_samples))
        return losses

    def _head_features(self, key: tuple[Tensor, ...], ref: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """What box and mask heads are trained on, of the features of key and reference frames: the key's."""
        return key

    # inference

    def new_state(self, meta: VideoMeta) -> VideoState:
        """An empty memory for one video."""
        self._warn_order_unknown()
        return VideoState(meta, self._new_memory(**({"confirm_after": 1} if meta.num_frames == 1 else {})))

    def _new_memory(self, **changes: Any) -> TrackMemory:
        options = self.memory_options | changes
        return TrackMemory(self.track_head.embed_dim, **(options | {"occlusion": self._occlusion_rules}))

    @property
    def _occlusion_rules(self) -> OcclusionRules:
        return OcclusionRules(**self.memory_options.get("occlusion", {}))

    @property
    def _needs_occluders(self) -> bool:
        """What the memory reads is computed even when occlusion is not reported: ids are the same."""
        return super()._needs_occluders or self._occlusion_rules.needs_occluders

    def limit_tracks(self, max_tracks: int) -> None:
        """At most so many tracks of a video are remembered at once, in videos that begin from now on."""
        self.memory_options["max_tracks"] = max_tracks

    @torch.inference_mode()
    def step(self, state: VideoState, image: np.ndarray, frame_index: int) -> list[FrameResult]:
        """Segments and tracks one frame, (H, W, 3) uint8 RGB. Answers with that frame's result."""
        return [self.track(state, self.observe(image), frame_index)]

    def observations(self, images: Iterable[np.ndarray]) -> Iterator[Observation]:
        """What the network sees in each frame of a video, in order."""
        return map(self.observe, images)

    @torch.inference_mode()
    def track(self, state: VideoState, seen: Observation, frame_index: int) -> FrameResult:
        """Gives what was seen in a frame to the tracks of the video: all of a step that needs no image."""
        every, hidden = None, None
        if state.memory.occlusion.match_power:  # association asks what is hidden, so all masks come first
            every = seen.predict_masks(torch.arange(len(seen), device=seen.boxes.device))
            hidden = self._hidden(every)
        assignment = self.associate(state.memory, seen.embeddings, seen.boxes, seen.labels, seen.scores, hidden)
        keep = (assignment >= 0).nonzero()[:, 0]
        prediction = seen.predict_masks(keep) if every is None else every.select(keep)
        update = state.memory.update(
            assignment[keep],
            seen.embeddings[keep],
            seen.boxes[keep],
            seen.labels[keep],
            seen.scores[keep],
            frame_index,
            keep_embedding=self._too_hidden(prediction),
            hidden=self._hidden(prediction),
            in_front=self._in_front(state, prediction, seen.boxes[keep]),
        )
        shown = (update.confirmed & (update.track_ids > 0)).nonzero()[:, 0]
        return self._result(state, frame_index, update.track_ids[shown], seen, keep[shown], prediction.select(shown))

    def associate(
        self,
        memory: TrackMemory,
        embeddings: Tensor,
        boxes: Tensor,
        labels: Tensor,
        scores: Tensor,
        hidden: Tensor | None = None,
    ) -> Tensor:
        """(N,) column of the memory that each detection continues: k + 1 for track k, 0 for a new one, -1 for none.

        `hidden`, (N,) predicted hidden fractions, counts as the memory's `match_power` says; None: as nothing hidden.
        """
        if not len(memory) or not len(boxes):
            return labels.new_zeros(len(boxes))
        logits = self.track_head.similarity_logits(embeddings, memory.embeddings)
        if hidden is not None:
            logits = logits * memory.occlusion.match_weights(hidden)[:, None]
        where = memory.location_scores(boxes, bbox_overlaps(boxes, memory.boxes))
        return self._assign(logits, scores, where, labels[:, None] == memory.labels)

    def _assign(self, logits: Tensor, scores: Tensor, ious: Tensor, same_label: Tensor) -> Tensor:
        """`match_scores`, then `assign`, each with its share of the options."""
        options = dict(self.association_options)
        assign_options = {key: options.pop(key) for key in ("method", "reassign_losers") if key in options}
        return assign(match_scores(logits, scores, ious, same_label, **options), **assign_options)

    def _in_front(self, state: VideoState, prediction: BilayerPrediction, boxes: Tensor) -> Tensor | None:
        """(N, N) bool who hides whom, if the memory asks for it and the model knows."""
        known = self.occlusion_options["order_known"] and prediction.occluder_mask is not None
        if not known or not state.memory.occlusion.needs_occluders:
            return None
        size = state.meta.height, state.meta.width
        masks, occluders = (paste(maps, boxes, *size) for maps in (prediction.occludee_mask, prediction.occluder_mask))
        order = predict_order(masks, occluders, boxes.cpu().numpy(), self.occlusion_options["min_order_score"])
        return torch.from_numpy(order.matrix).to(boxes.device)
