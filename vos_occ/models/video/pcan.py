"""PCAN (Ke et al., Prototypical Cross-Attention Networks, NeurIPS 2021) with any RoI mask head of ours.

QDTrack with masks, and two uses of prototypes: a frame's features are drawn towards those of the frames before it, and
an object's mask is drawn again with what the object looked like when it was last seen. Nothing here knows files,
videos or result formats.
"""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from mmdet.models.task_modules import SamplingResult
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor

from vos_occ.models.bilayer.roi_head import TrainingMasks
from vos_occ.models.video.contract import VideoMeta, VideoState
from vos_occ.models.video.frame_attention import AttentionMemory
from vos_occ.models.video.network_image import NetworkImage
from vos_occ.models.video.observation import Observation
from vos_occ.models.video.quasi_dense import OccQuasiDenseTrackHead
from vos_occ.models.video.reference_pairs import TrainingFrames, find_references
from vos_occ.models.video.refine import PrototypeRefineHead  # noqa: F401  (registers)
from vos_occ.models.video.roi_model import RoIVideoModel, pair_images, split_pairs
from vos_occ.structures import FrameResult
from vos_occ.structures.errors import InputError
from vos_occ.tracking.quasi_dense import Association, QuasiDenseMemory, QuasiDenseRules

Stage = Literal["box", "mask", "refine", "e2e"]
STAGES = ("box", "mask", "refine", "e2e")
MASK_HEAD, REFINE_HEAD = "detector.roi_head.mask_head", "refine_head"
COARSE = ("occludee_mask",)

Levels = tuple[Tensor, ...]


@dataclass
class FrameMemory:
    """What frame attention remembers of a video; None before the first frame. The only field that a step replaces."""

    attention: AttentionMemory | None = None


@dataclass(frozen=True)
class PCANState(VideoState):
    """Also the prototypes of the frames before. A track's payload are its last RoI features and coarse logits."""

    memory: QuasiDenseMemory
    frames: FrameMemory = field(default_factory=FrameMemory)


@dataclass(frozen=True)
class PCANObservation(Observation):
    """Also says what the mask head reads.

    Attributes:
        mask_features: answers with the RoI features (M, C, S, S) of the detections with the given indices.
    """

    mask_features: Callable[[Tensor], Tensor]


@MODELS.register_module()
class OccPCAN(RoIVideoModel):
    """PCAN with a bilayer (or plain) mask head, whose occludee is the coarse mask that prototypes refine.

    Args:
        detector: config of an mmdet two-stage detector whose RoI head is a `BilayerRoIHead`.
        track_head: config of an `OccQuasiDenseTrackHead`.
        refine_head: config of a `PrototypeRefineHead`; None reports the coarse masks.
        frame_attention: config of a `PrototypeAttention`; None leaves the features as they are.
        stage: what is trained, and nothing else changes: `box` RPN, boxes and embeddings; `mask` the mask head;
            `refine` the refine head, which is the released model; `e2e` everything at once, which is the paper's.
        tracker: arguments of `QuasiDenseRules`.
        attend_in_training: frame attention also in training, the reference as the frame before. The released model is
            trained without.
        refine_reads: what the refine head reads of an object: its RoI features as they are cut out (PCAN), or with the
            occluder's added, as the bilayer head's second layer reads them.
        kwargs: those of `RoIVideoModel`: `occlusion`, `test_scale`, `data_preprocessor`, `init_cfg`.

    Raises:
        InputError: a part is another one or is needed and absent, or an option is not known.

    Source: docs/sources.md, trackers 3; of the released code's faults (3.6) none is here.
    """

    def __init__(
        self,
        detector: dict[str, Any],
        track_head: dict[str, Any],
        refine_head: dict[str, Any] | None = None,
        frame_attention: dict[str, Any] | None = None,
        stage: Stage = "e2e",
        tracker: dict[str, Any] | None = None,
        attend_in_training: bool = False,
        refine_reads: Literal["roi", "occlusion_aware"] = "roi",
        **kwargs: Any,
    ) -> None:
        super().__init__(detector, track_head, **kwargs)
        self.refine_head = None if refine_head is None else MODELS.build(refine_head)
        self.frame_attention = None if frame_attention is None else MODELS.build(frame_attention)
        self.use_refine = self.refine_head is not None
        self.use_frame_attention = self.frame_attention is not None
        self.stage = stage
        self.tracker_options = dict(tracker or {})
        self.attend_in_training = attend_in_training
        self.refine_reads = refine_reads
        self._check()
        for name, parameter in self.named_parameters():
            if not self._learns(name):
                parameter.requires_grad_(False)

    def _check(self) -> None:
        if not isinstance(self.track_head, OccQuasiDenseTrackHead):
            found = type(self.track_head).__name__
            raise InputError(f"OccPCAN needs an OccQuasiDenseTrackHead, found {found}.")
        if self.stage not in STAGES:
            raise InputError(f"OccPCAN.stage is one of {', '.join(STAGES)}, found {self.stage!r}.")
        if self.stage == "refine" and self.refine_head is None:
            raise InputError("OccPCAN's stage `refine` trains a refine_head, and the config has none.")
        if self.attend_in_training and self.frame_attention is None:
            raise InputError("OccPCAN's attend_in_training needs a frame_attention, and the config has none.")
        if not self.detector.roi_head.with_mask and self.stage != "box":
            raise InputError(f"OccPCAN's stage `{self.stage}` needs a mask head, and the detector has none.")
        head = getattr(self.detector.roi_head, "mask_head", None)  # QDTrack, the first stage, needs none
        if self.refine_reads not in ("roi", "occlusion_aware"):
            raise InputError(f"refine_reads is roi or occlusion_aware, found {self.refine_reads!r}.")
        if self.refine_reads == "occlusion_aware" and not getattr(head, "guidance", False):
            raise InputError(
                f"refine_reads='occlusion_aware' needs a BilayerMaskHead with guidance, found {type(head).__name__}. "
                "Use refine_reads='roi'."
            )
        try:
            QuasiDenseRules(**self.tracker_options)
        except (TypeError, ValueError) as error:
            raise InputError(f"The options of tracker cannot be used: {error}") from error

    @property
    def options(self) -> dict[str, Any]:
        """What of the results can be changed after loading, besides `score_threshold`."""
        parts = {"use_refine": self.use_refine, "use_frame_attention": self.use_frame_attention}
        return {**super().options, "tracker": self.tracker_options, **parts}

    # training

    def _learns(self, name: str) -> bool:
        """Whether the stage trains the module or parameter of this name."""
        is_mask, is_refine = name.startswith(MASK_HEAD), name.startswith(REFINE_HEAD)
        return {"box": not (is_mask or is_refine), "mask": is_mask, "refine": is_refine, "e2e": True}[self.stage]

    def train(self, mode: bool = True) -> OccPCAN:
        """Training mode of what the stage trains; all else stays in evaluation (mmdet's `freeze_module` forgets, B10).

        Kept at every call: mmengine calls this at the start of each epoch and after each validation.
        """
        super().train(mode)
        for name, module in self.named_modules():
            if name and not self._learns(name):
                module.training = False
        return self

    def loss(self, inputs: Tensor, data_samples: list, **kwargs: Any) -> dict[str, Tensor]:
        """Losses of key/reference pairs, those of the stage.

        Args:
            inputs: (B, 2, 3, H, W) float, normalised.
            data_samples: B track samples with one key and one reference frame each.

        Returns:
            RPN, box and track losses (`box`, `e2e`); those of the mask head (`mask`, `e2e`); `loss_refine` (`refine`,
            `e2e`), by name.
        """
        images, keys, refs = pair_images(inputs, data_samples)
        losses: dict[str, Tensor] = {}
        learns_boxes = self.stage in ("box", "e2e")
        with torch.set_grad_enabled(learns_boxes):  # of what is frozen no graph is kept
            key_feats, ref_feats = self._training_features(images, len(keys))
            if learns_boxes:
                losses, proposals = self._rpn_loss(key_feats, keys)
            else:
                proposals = self._proposals(key_feats, keys)
            key = TrainingFrames(key_feats, keys, proposals)
            ref = TrainingFrames(ref_feats, refs, self._proposals(ref_feats, refs) if ref_feats else [])
            sampled = self.detector.roi_head.assign_and_sample(key.feats, key.proposals, key.samples)
            if learns_boxes:
                losses.update(self.detector.roi_head.bbox_loss(key.feats, sampled)["loss_bbox"])
                losses.update(self.track_head.loss(key.feats, ref.feats, key.proposals, ref.proposals, data_samples))
        if self.stage != "box":
            losses.update(self._mask_losses(sampled, key, ref))
        return losses

    def _training_features(self, images: Tensor, pairs: int) -> tuple[Levels, Levels]:
        """Feature levels (B, C, h, w) of the keys and of the references; no references where nobody reads them."""
        if self.stage == "mask" and not self.attend_in_training:
            return self.detector.extract_feat(images[:pairs]), ()
        key, ref = split_pairs(self.detector.extract_feat(images), pairs)
        if self.attend_in_training:
            ref, memory = self.frame_attention(ref, None)
            key, _ = self.frame_attention(key, memory)
        return key, ref if self.stage != "mask" else ()

    @torch.no_grad()
    def _proposals(self, feats: Levels, samples: list[DetDataSample]) -> list[InstanceData]:
        """As in inference: of references, and where the RPN is not trained."""
        return self.detector.rpn_head.predict(feats, samples, rescale=False)

    def _mask_losses(
        self, sampled: list[SamplingResult], key: TrainingFrames, ref: TrainingFrames
    ) -> dict[str, Tensor]:
        """Losses of the mask head and of the refine head, of the same forward pass."""
        roi_head, losses = self.detector.roi_head, {}
        instances, metas = zip(*((sample.gt_instances, sample.metainfo) for sample in key.samples), strict=True)
        with torch.set_grad_enabled(self.stage != "refine"):
            outputs = COARSE if self.stage == "refine" else None
            masks = roi_head.training_masks(key.feats, sampled, list(instances), list(metas), outputs)
        if self.stage != "refine":
            losses.update(roi_head.losses_of(masks))
        if self.stage != "mask" and self.refine_head is not None:
            losses.update(self._refine_loss(masks, key, ref))
        return losses

    def _refine_loss(self, masks: TrainingMasks, key: TrainingFrames, ref: TrainingFrames) -> dict[str, Tensor]:
        """`loss_refine` of the key's RoIs that have a reference; of all, each its own, in images where none has."""
        features, logits = self._refine_features(masks.features), masks.prediction.occludee_mask
        ref_features, ref_logits = features.detach().clone(), logits.detach().clone()
        references = find_references(self.detector.roi_head, self.track_head, masks, key, ref)
        with torch.no_grad():
            seen = self.detector.roi_head.mask_features(ref.feats, references.boxes)
            coarse = self.detector.roi_head.predict_from(seen, references.labels, COARSE).occludee_mask
            found = torch.cat(references.found)
            ref_features[found], ref_logits[found] = self._refine_features(seen), coarse
        used = torch.cat([rows if rows.any() else ~rows for rows in references.found])
        refined = self.refine_head(features[used], logits[used], ref_features[used], ref_logits[used])
        return self.refine_head.loss(refined, masks.targets.occludee_mask[used])

    # inference

    @property
    def use_refine(self) -> bool:
        """Whether masks are refined; may be switched between videos, where there is a refine head."""
        return self._use_refine

    @use_refine.setter
    def use_refine(self, value: bool) -> None:
        self._use_refine = self._switched("refine_head", value)

    @property
    def use_frame_attention(self) -> bool:
        """Whether frames attend to those before; may be switched between videos, where there is a frame attention."""
        return self._use_frame_attention

    @use_frame_attention.setter
    def use_frame_attention(self, value: bool) -> None:
        self._use_frame_attention = self._switched("frame_attention", value)

    def _switched(self, part: str, value: bool) -> bool:
        if value and getattr(self, part) is None:
            raise InputError(f"This model has no {part} to be switched on.")
        return bool(value)

    def new_state(self, meta: VideoMeta) -> PCANState:
        """An empty memory for one video.

        Raises:
            InputError: the model has no mask head (QDTrack, PCAN's first stage), so that it has no masks to answer.
        """
        if not self.detector.roi_head.with_mask:
            raise InputError("This model has no mask head: it is PCAN's first stage (QDTrack). Train the next.")
        self._warn_order_unknown()
        return PCANState(meta, QuasiDenseMemory(self.track_head.embed_dim, QuasiDenseRules(**self.tracker_options)))

    def limit_tracks(self, max_tracks: int) -> None:
        """At most so many tracks of a video are remembered at once, in videos that begin from now on."""
        self.tracker_options["max_tracks"] = max_tracks

    @torch.inference_mode()
    def step(self, state: PCANState, image: np.ndarray, frame_index: int) -> list[FrameResult]:
        """Segments and tracks one frame, (H, W, 3) uint8 RGB. Answers with that frame's result."""
        network_image = self.prepare(image)
        feats, attention = self._attend(self.features(network_image), state.frames.attention)
        result = self.track(state, self._observation(feats, feats, network_image), frame_index)
        state.frames.attention = attention
        return [result]

    @torch.inference_mode()
    def observe(self, image: np.ndarray) -> PCANObservation:
        """What the network sees in one frame, (H, W, 3) uint8 RGB, that has no others before it."""
        network_image = self.prepare(image)
        feats, _ = self._attend(self.features(network_image), None)
        return self._observation(feats, feats, network_image)

    def _attend(self, feats: Levels, memory: AttentionMemory | None) -> tuple[Levels, AttentionMemory | None]:
        """The features that everything reads, and what the next frame attends to."""
        return self.frame_attention(feats, memory) if self.use_frame_attention else (feats, None)

    def _observation(self, feats: Levels, head_feats: Levels, image: NetworkImage) -> PCANObservation:
        """Proposals and embeddings from `feats`, boxes and masks from `head_feats`."""
        seen = super()._observation(feats, head_feats, image)
        boxes = seen.boxes * image.scale
        return PCANObservation(
            **vars(seen), mask_features=lambda rows: self.detector.roi_head.mask_features(head_feats, [boxes[rows]])
        )

    @torch.inference_mode()
    def track(self, state: PCANState, seen: PCANObservation, frame_index: int) -> FrameResult:
        """Gives what was seen in a frame to the tracks of the video: associates, and refines what continues or starts.

        The memory keeps the coarse logits, not the refined: that is what the released code compares with.
        """
        association = self.associate(state.memory, seen)
        rows = association.tracked
        features = seen.mask_features(rows)
        coarse = self.detector.roi_head.predict_from(features, seen.labels[rows], self._mask_outputs)
        payload, prediction = {}, coarse
        if self.use_refine:
            payload = {"features": self._refine_features(features), "logits": coarse.occludee_mask}
            before = {name: state.memory.recall(name, association, own) for name, own in payload.items()}
            prediction = replace(coarse, occludee_mask=self._refine(**payload, before=before))
        keep_embedding = self._kept_embeddings(coarse, rows, len(seen))
        found = (seen.boxes, seen.labels, seen.scores, seen.embeddings)
        update = state.memory.update(association, *found, frame_index, keep_embedding=keep_embedding, **payload)
        track_ids = update.track_ids[rows]
        shown = (track_ids > 0).nonzero()[:, 0]
        return self._result(state, frame_index, track_ids[shown], seen, rows[shown], prediction.select(shown))

    def associate(self, memory: QuasiDenseMemory, seen: Observation) -> Association:
        """Which detections are duplicates, which continue a track, and which start one."""
        return memory.associate(seen.boxes, seen.labels, seen.scores, seen.embeddings)

    def _refine(self, features: Tensor, logits: Tensor, before: dict[str, Tensor]) -> Tensor:
        """(T, 1, 2S, 2S) refined logits of T objects, by what they were like before."""
        return self.refine_head(features, logits, before["features"], before["logits"])

    def _refine_features(self, roi_feats: Tensor) -> Tensor:
        """What the refine head reads of (N, C, S, S) RoI features."""
        if self.refine_reads == "roi":
            return roi_feats
        return self.detector.roi_head.mask_head.occlusion_aware(roi_feats)

    def _kept_embeddings(self, prediction: Any, rows: Tensor, count: int) -> Tensor | None:
        """(N,) bool of all detections: those too occluded for their embedding to be remembered."""
        too_hidden = self._too_hidden(prediction)
        if too_hidden is None:
            return None
        return torch.zeros(count, dtype=torch.bool, device=rows.device).index_fill(0, rows[too_hidden], True)
