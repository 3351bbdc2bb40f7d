"""What all video models on an mmdet two-stage detector share: a frame in, detections and masks out, losses of the RPN.

How detections become tracks, and what the frames before have to say, is the host's: `masktrack`, `cmtrack`, `pcan`.
Nothing here knows files, videos or result formats.
"""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import warnings
from collections.abc import Sequence
from copy import copy
from typing import Any

import numpy as np
import torch
from mmdet.models.mot import BaseMOTModel
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor

from vos_occ.models.bilayer.prediction import BilayerPrediction
from vos_occ.models.bilayer.roi_head import BilayerRoIHead
from vos_occ.models.video.contract import VideoMeta, VideoState
from vos_occ.models.video.fusion import fuse
from vos_occ.models.video.network_image import NetworkImage, network_image
from vos_occ.models.video.observation import Observation
from vos_occ.structures import FrameResult
from vos_occ.structures.boxes import box_area
from vos_occ.structures.errors import InputError
from vos_occ.structures.occlusion import predict_order
from vos_occ.structures.rle import Rle, area, paste_and_encode

ORDER_UNKNOWN = (
    "This model was trained on contact, not on depth order: it reports occluder masks, but neither hidden fractions "
    "nor who hides whom."
)


class RoIVideoModel(BaseMOTModel):
    """A detector with a bilayer (or plain) mask head, and a head that embeds what it found.

    A host adds `new_state`, `step`, `limit_tracks` and `loss`.

    Args:
        detector: config of an mmdet two-stage detector whose RoI head is a `BilayerRoIHead`.
        track_head: config of a head that answers to `embed(feats, boxes)` and has an `embed_dim`.
        occlusion: `enabled` False reports masks and ids only. `order_known` (default: whether the RoI head's occluder
            target is `in_front`) False reports occluder masks, but neither hidden fractions nor an order: a head that
            learned who touches does not know who is in front. `keep_embedding_above`: a track's embedding is not
            overwritten while more than this fraction of it is hidden. `min_order_score`: see `predict_order`.
            `min_occluder_share`: an object whose occluder mask covers less than this share of its box is reported as
            hidden by 0: what nothing hides is not hidden, whatever the hidden output says.
        test_scale: (long side, short side) in pixels that frames are resized to fit, ratio kept; as mmdet's `Resize`.
        data_preprocessor: `TrackDataPreprocessor` with RGB mean and std.

    Raises:
        InputError: the RoI head is another one, or an option of occlusion is not known.
    """

    classes: tuple[str, ...] = ()

    def __init__(
        self,
        detector: dict[str, Any],
        track_head: dict[str, Any],
        occlusion: dict[str, Any] | None = None,
        test_scale: tuple[int, int] = (640, 360),
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.detector = MODELS.build(detector)
        if not isinstance(self.detector.roi_head, BilayerRoIHead):
            found = type(self.detector.roi_head).__name__
            raise InputError(
                f"{type(self).__name__} needs a BilayerRoIHead (which takes plain mask heads too), found {found}."
            )
        self.track_head = MODELS.build(track_head)
        self.occlusion_options = {
            "enabled": True,
            "order_known": self.detector.roi_head.target_builder.occluder == "in_front",
            "keep_embedding_above": 1.0,
            "min_order_score": 0.25,
            "min_occluder_share": 0.0,
        }
        if unknown := set(occlusion or {}) - set(self.occlusion_options):
            known = ", ".join(self.occlusion_options)
            raise InputError(f"Occlusion has no option {min(unknown)!r}. It has: {known}.")
        self.occlusion_options.update(occlusion or {})
        self.test_scale = tuple(test_scale)

    # training

    def _rpn_loss(self, feats: tuple[Tensor, ...], samples: list[DetDataSample]) -> tuple[dict, list[InstanceData]]:
        """RPN losses and proposals. The RPN knows one class: it is given labels of zero.

        mmdet's `MaskTrackRCNN` hands it the class labels, by which every object of a class other than 0 is trained as
        background (docs/sources.md, trackers B1).
        """
        config = self.detector.train_cfg.get("rpn_proposal", self.detector.test_cfg.rpn)
        losses, proposals = self.detector.rpn_head.loss_and_predict(
            feats, [class_agnostic(sample) for sample in samples], proposal_cfg=config
        )
        return {name if "rpn" in name else f"rpn_{name}": loss for name, loss in losses.items()}, proposals

    def predict(self, inputs: Tensor, data_samples: list, **kwargs: Any) -> list:
        """Not offered: whole clips in memory are what this toolkit avoids. Use `VideoSession`."""
        raise NotImplementedError(f"{type(self).__name__} is run frame by frame: use vos_occ.VideoSession.")

    # inference

    def new_state(self, meta: VideoMeta) -> VideoState:
        """An empty memory for one video."""
        raise NotImplementedError

    def step(self, state: VideoState, image: np.ndarray, frame_index: int) -> list[FrameResult]:
        """Takes the next frame, (H, W, 3) uint8 RGB; answers with the frames that are finished by it."""
        raise NotImplementedError

    def limit_tracks(self, max_tracks: int) -> None:
        """At most so many tracks of a video are remembered at once, in videos that begin from now on."""
        raise NotImplementedError

    def finish(self, state: VideoState) -> list[FrameResult]:
        """Nothing: every frame was answered at once."""
        return []

    @torch.inference_mode()
    def observe(self, image: np.ndarray) -> Observation:
        """What the network sees in one frame, (H, W, 3) uint8 RGB, that has no others before it."""
        network_image = self.prepare(image)
        feats = self.features(network_image)
        return self._observation(feats, feats, network_image)

    def fuse(self, dtype: torch.dtype = torch.float32) -> None:
        """Rebuild the layers for inference, in place and for good; see `vos_occ.models.video.fusion`.

        Args:
            dtype: float32 or bfloat16, of all layers behind the backbone. In bfloat16 the backbone alone cost the
                synthetic model .007 tube AP, and all the others together nothing that stood out from chance.
        """
        fuse(self.detector.backbone)
        fuse(self, dtype=dtype)

    @property
    def score_threshold(self) -> float:
        """Least score of a detection, in [0, 1]."""
        return self.detector.roi_head.test_cfg.score_thr

    @score_threshold.setter
    def score_threshold(self, value: float) -> None:
        self.detector.roi_head.test_cfg.score_thr = value

    def prepare(self, image: np.ndarray) -> NetworkImage:
        """Resizes, normalises and pads an (H, W, 3) uint8 RGB frame as mmdet's test pipeline does."""
        preprocessor = self.data_preprocessor
        return network_image(image, self.test_scale, preprocessor.mean, preprocessor.std, preprocessor.pad_size_divisor)

    def features(self, image: NetworkImage) -> tuple[Tensor, ...]:
        """Feature levels (1, C, h, w) of a frame, in float32, in which RoIs are cut out, whatever the layers use."""
        return tuple(feat.float() for feat in self.detector.extract_feat(image.tensor))

    def _observation(
        self, feats: tuple[Tensor, ...], head_feats: tuple[Tensor, ...], image: NetworkImage
    ) -> Observation:
        """Proposals and embeddings from `feats`, boxes and masks from `head_feats`."""
        detections = self.detect(feats, image, head_feats)
        return Observation(
            boxes=detections.bboxes / image.scale,
            labels=detections.labels,
            scores=detections.scores,
            embeddings=self.track_head.embed(feats, detections.bboxes).float(),
            predict_masks=lambda rows: self.predict_masks(head_feats, detections[rows]),
        )

    def detect(
        self, feats: tuple[Tensor, ...], image: NetworkImage, head_feats: tuple[Tensor, ...] | None = None
    ) -> InstanceData:
        """Boxes (N, 4) in network pixels, labels and scores (N,), by falling score; no masks yet.

        Proposals come from `feats`, and what becomes of them from `head_feats` (default: the same).
        """
        padded = tuple(image.tensor.shape[-2:])
        meta = {
            "img_shape": image.shape,
            "ori_shape": image.shape,
            "batch_input_shape": padded,
            "pad_shape": padded,
            "scale_factor": (1.0, 1.0),
        }
        proposals = self.detector.rpn_head.predict(feats, [DetDataSample(metainfo=meta)], rescale=False)
        return self._classify(feats if head_feats is None else head_feats, meta, proposals)

    def _classify(self, feats: tuple[Tensor, ...], meta: dict[str, Any], proposals: list[InstanceData]) -> InstanceData:
        """Detections among the proposals of one image."""
        roi_head = self.detector.roi_head
        return roi_head.predict_bbox(feats, [meta], proposals, roi_head.test_cfg, rescale=False)[0]

    def predict_masks(self, feats: tuple[Tensor, ...], detections: InstanceData) -> BilayerPrediction:
        """Mask logits of detections with boxes in network pixels, class chosen."""
        return self.detector.roi_head.predict_masks(
            feats, [detections.bboxes], [detections.labels], outputs=self._mask_outputs
        )

    @property
    def options(self) -> dict[str, Any]:
        """What of the results can be changed after loading, besides `score_threshold`."""
        return {"occlusion": self.occlusion_options}

    @property
    def _mask_outputs(self) -> tuple[str, ...]:
        """What is asked of the mask head."""
        return ("occludee_mask", "hidden", *(["occluder_mask"] if self._needs_occluders else []))

    @property
    def _needs_occluders(self) -> bool:
        """Whether anybody reads occluder masks."""
        return self.occlusion_options["enabled"]

    def _hidden(self, prediction: BilayerPrediction) -> Tensor | None:
        """(N,) hidden fractions; None where the model knows none."""
        if prediction.hidden is None or not self.occlusion_options["order_known"]:
            return None
        return prediction.hidden.sigmoid()

    def _too_hidden(self, prediction: BilayerPrediction) -> Tensor | None:
        """(N,) bool: detections too occluded to say what the object looks like."""
        hidden = self._hidden(prediction)
        return None if hidden is None else hidden > self.occlusion_options["keep_embedding_above"]

    def _warn_order_unknown(self) -> None:
        options, outputs = self.occlusion_options, self.detector.roi_head.mask_head.outputs
        if options["enabled"] and not options["order_known"] and "occluder_mask" in outputs:
            warnings.warn(ORDER_UNKNOWN, stacklevel=3)  # Python shows it once

    def _result(
        self,
        state: VideoState,
        frame_index: int,
        track_ids: Tensor,
        seen: Observation,
        rows: Tensor,
        prediction: BilayerPrediction,
    ) -> FrameResult:
        """The result of the detections `rows` (M,), of which track ids and prediction are given."""
        height, width = state.meta.height, state.meta.width
        boxes = seen.boxes[rows]
        masks = paste(prediction.occludee_mask, boxes, height, width)
        occluders = hidden = order = None
        if self.occlusion_options["enabled"] and prediction.occluder_mask is not None:
            pasted = paste(prediction.occluder_mask, boxes, height, width)
            occluders = [rle if area(rle) else None for rle in pasted]
        options = self.occlusion_options
        if options["enabled"] and options["order_known"] and prediction.hidden is not None:
            hidden = prediction.hidden.sigmoid().cpu().numpy()
            if occluders is not None:
                hidden[occluder_shares(occluders, boxes.cpu().numpy()) < options["min_occluder_share"]] = 0
        if options["order_known"] and occluders is not None:
            order = predict_order(masks, occluders, boxes.cpu().numpy(), min_score=options["min_order_score"])
        return FrameResult(
            frame_index=frame_index,
            height=height,
            width=width,
            track_ids=track_ids.cpu().numpy(),
            labels=seen.labels[rows].cpu().numpy(),
            scores=seen.scores[rows].cpu().numpy(),
            boxes=boxes.cpu().numpy(),
            masks=masks,
            occluder_masks=occluders,
            hidden=hidden,
            order=order,
        )


def paste(logits: Tensor, boxes: Tensor, height: int, width: int) -> list[Rle]:
    """RLE masks of (N, 1, S, S) logits in (N, 4) boxes of source pixels."""
    return paste_and_encode(logits[:, 0].float().cpu(), boxes.float().cpu(), height, width)


def occluder_shares(occluders: Sequence[Rle | None], boxes: np.ndarray) -> np.ndarray:
    """(N,) share of each (N, 4) box that its occluder's mask covers; 0 without one."""
    areas = np.array([0 if occluder is None else area(occluder) for occluder in occluders], np.float64)
    return areas / np.maximum(box_area(boxes), 1)


def class_agnostic(sample: DetDataSample) -> DetDataSample:
    """A copy of `sample` whose ground truth labels are zero; the original keeps its own."""
    instances = copy(sample.gt_instances)
    instances.labels = torch.zeros_like(instances.labels)
    agnostic = copy(sample)
    agnostic.gt_instances = instances
    return agnostic


def pair_images(inputs: Tensor, data_samples: list) -> tuple[Tensor, list[DetDataSample], list[DetDataSample]]:
    """The frames of B key/reference pairs, for one pass through the backbone.

    Args:
        inputs: (B, 2, 3, H, W).
        data_samples: B track samples with one key and one reference frame each.

    Returns:
        (2B, 3, H, W) images, keys first; the samples of the keys; those of the references.
    """
    key_index = torch.tensor([sample.key_frames_inds[0] for sample in data_samples])
    ref_index = torch.tensor([sample.ref_frames_inds[0] for sample in data_samples])
    batch = torch.arange(len(inputs))
    images = torch.cat([inputs[batch, key_index], inputs[batch, ref_index]])
    keys = [sample.get_key_frames()[0] for sample in data_samples]
    refs = [sample.get_ref_frames()[0] for sample in data_samples]
    return images, keys, refs


def split_pairs(feats: tuple[Tensor, ...], pairs: int) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Feature levels (2B, C, h, w) of `pair_images`, as those of the keys and those of the references."""
    return tuple(feat[:pairs] for feat in feats), tuple(feat[pairs:] for feat in feats)
