"""CMaskTrack R-CNN (Qi et al., Occluded Video Instance Segmentation, IJCV 2022), called CMTrack R-CNN in BCNet's paper.

MaskTrack R-CNN whose box and mask heads see a frame through its neighbours: each neighbour's features are calibrated
to the frame (`TemporalCalibration`), the heads run once for each, and the means of their logits count. Neighbours lie
on both sides, so a frame is answered when the last of them has come. Nothing here knows files or result formats.
"""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmdet.registry import MODELS
from mmdet.structures.bbox import bbox2roi
from mmengine.structures import InstanceData
from torch import Tensor

from vos_occ.models.bilayer.prediction import BilayerPrediction
from vos_occ.models.video.calibration import TemporalCalibration
from vos_occ.models.video.contract import VideoMeta, VideoState
from vos_occ.models.video.feature_ring import FeatureRing, FrameFeatures
from vos_occ.models.video.masktrack import OccMaskTrackRCNN
from vos_occ.models.video.observation import Observation
from vos_occ.structures import FrameResult
from vos_occ.structures.errors import InputError

BOX_ROIS_AT_ONCE = 1000
"""At most so many RoIs, but all of one view, go through the box head together: of 10 views they would fill 500 MB."""


@dataclass(frozen=True)
class CMTrackState(VideoState):
    """Also the features of the frames around the one that is answered next."""

    ring: FeatureRing


@MODELS.register_module()
class OccCMTrackRCNN(OccMaskTrackRCNN):
    """CMTrack R-CNN with a bilayer (or plain) mask head.

    Answers come `reach` frames late, one for every frame after that, the rest at the end. Proposals and track
    embeddings are those of the frame itself. Training is that of MaskTrack R-CNN with box and mask losses on the key's
    features, calibrated with those of the reference: pairs should lie within `reach` annotated frames.

    Args:
        calibration: config of a `TemporalCalibration` for the detector's channels.
        reach: a frame is seen through its neighbours up to this many frames before and behind; 5 in the paper.
        detach_ref: no gradient flows through the reference's features into backbone and neck by the calibration (it
            does by the embedding).
        kwargs: those of `OccMaskTrackRCNN`.

    Raises:
        InputError: as of `OccMaskTrackRCNN`, or `reach` is below 1, or the calibration is another part.

    Source: docs/sources.md, trackers 2.
    """

    def __init__(
        self, *args: Any, calibration: dict[str, Any], reach: int = 5, detach_ref: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        if reach < 1:
            raise InputError(f"OccCMTrackRCNN.reach must be at least 1 frame, found {reach}.")
        self.calibration = MODELS.build(calibration)
        if not isinstance(self.calibration, TemporalCalibration):
            found = type(self.calibration).__name__
            raise InputError(f"OccCMTrackRCNN needs a TemporalCalibration, found {found}.")
        self.reach = reach
        self.detach_ref = detach_ref

    # training

    def _head_features(self, key: tuple[Tensor, ...], ref: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The key's features, calibrated with the reference's."""
        return self.calibration(self._head_levels(key), self._head_levels(ref, detach=self.detach_ref))

    def _head_levels(self, feats: tuple[Tensor, ...], detach: bool = False) -> tuple[Tensor, ...]:
        """The levels that box or mask head read; calibration of the others would serve nothing."""
        roi_head = self.detector.roi_head
        count = max(roi_head.bbox_roi_extractor.num_inputs, roi_head.mask_roi_extractor.num_inputs)
        return tuple(level.detach() if detach else level for level in feats[:count])

    # inference

    def new_state(self, meta: VideoMeta) -> CMTrackState:
        """An empty memory for one video."""
        return CMTrackState(meta, super().new_state(meta).memory, FeatureRing(self.reach))

    @torch.inference_mode()
    def step(self, state: CMTrackState, image: np.ndarray, frame_index: int) -> list[FrameResult]:
        """Takes the next frame, (H, W, 3) uint8 RGB; answers with that of `reach` frames ago, if there was one."""
        self._take(state.ring, image, frame_index)
        return [self.track(state, self._seen(*due), due[0].frame_index) for due in state.ring.due()]

    @torch.inference_mode()
    def finish(self, state: CMTrackState) -> list[FrameResult]:
        """The last frames, which have fewer neighbours."""
        return [self.track(state, self._seen(*due), due[0].frame_index) for due in state.ring.due(at_end=True)]

    def observe(self, image: np.ndarray) -> Observation:
        """What the network sees in the only frame of a video."""
        return next(self.observations([image]))

    @torch.inference_mode()
    def observations(self, images: Iterable[np.ndarray]) -> Iterator[Observation]:
        """What the network sees in each frame of a video, in order; `reach` frames behind what was taken."""
        ring = FeatureRing(self.reach)
        for frame_index, image in enumerate(images):
            self._take(ring, image, frame_index)
            for due in ring.due():
                yield self._seen(*due)
        for due in ring.due(at_end=True):
            yield self._seen(*due)

    def _take(self, ring: FeatureRing, image: np.ndarray, frame_index: int) -> None:
        network_image = self.prepare(image)
        ring.add(frame_index, self.features(network_image), network_image)

    def _seen(self, now: FrameFeatures, neighbours: list[FrameFeatures]) -> Observation:
        """A frame through its neighbours."""
        levels = zip(*(self._head_levels(neighbour.feats) for neighbour in neighbours), strict=True)
        references = (torch.cat(level) for level in levels)  # one level's copies at a time
        views = self.calibration(self._head_levels(now.feats), references)
        return self._observation(now.feats, views, now.image)

    def _classify(self, feats: tuple[Tensor, ...], meta: dict[str, Any], proposals: list[InstanceData]) -> InstanceData:
        """Detections among the proposals of one image, by the mean logits and deltas of its R views (R, C, h, w)."""
        boxes = proposals[0].bboxes
        if not len(boxes):
            return super()._classify(feats, meta, proposals)
        roi_head, logits, deltas = self.detector.roi_head, 0.0, 0.0
        step = max(1, BOX_ROIS_AT_ONCE // len(boxes))
        for views in zip(*(level.split(step) for level in feats), strict=True):
            answers = roi_head._bbox_forward(views, bbox2roi([boxes] * len(views[0])))
            logits = logits + answers["cls_score"].unflatten(0, (-1, len(boxes))).sum(0) / len(feats[0])
            deltas = deltas + answers["bbox_pred"].unflatten(0, (-1, len(boxes))).sum(0) / len(feats[0])
        rois = bbox2roi([boxes])
        return roi_head.bbox_head.predict_by_feat((rois,), (logits,), (deltas,), [meta], roi_head.test_cfg)[0]

    def predict_masks(self, feats: tuple[Tensor, ...], detections: InstanceData) -> BilayerPrediction:
        """Mask logits of detections with boxes in network pixels, class chosen: means over the R views (R, C, h, w)."""
        views = len(feats[0])
        seen = self.detector.roi_head.predict_masks(
            feats, [detections.bboxes] * views, [detections.labels] * views, outputs=self._mask_outputs
        )
        return BilayerPrediction.average(seen.split([len(detections)] * views))
