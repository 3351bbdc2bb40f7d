"""The RoI head that trains and runs our mask heads inside mmdet's two-stage detectors.

Boxes are mmdet's StandardRoIHead, unchanged. Masks go one way for every head: RoIs -> features -> `BilayerPrediction`
-> online targets -> losses, or -> logits for whoever pastes them.
"""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mmdet.models.roi_heads import StandardRoIHead
from mmdet.models.roi_heads.mask_heads.fcn_mask_head import _do_paste_mask
from mmdet.models.task_modules.samplers import SamplingResult
from mmdet.models.utils import unpack_gt_instances
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox2roi, get_box_tensor
from mmengine.structures import InstanceData
from torch import Tensor

from vos_occ.models.bilayer.losses import BilayerLosses
from vos_occ.models.bilayer.measures import training_measures
from vos_occ.models.bilayer.prediction import OUTPUTS, BilayerPrediction
from vos_occ.models.bilayer.targets import BilayerTargetBuilder, BilayerTargets

STEPS_BEFORE_WARNING = 200
INFERENCE_OUTPUTS = ("occludee_mask", "occluder_mask", "hidden")

MASK_ROIS_AT_ONCE = 25
"""At most so many go through the mask head together at test time: its maps of 100 fill 80 MB, those of 25 a cache."""


@dataclass(frozen=True)
class TrainingMasks:
    """The N RoIs that train the masks of a batch, image after image, and what was predicted for them.

    Attributes:
        boxes: per image (n, 4) xyxy in network pixels.
        gt_indices: per image (n,) int64, the object of each.
        features: (N, C, S, S) RoI features of the mask branch.
        prediction: logits, of each object's own class.
        targets: of the outputs that were asked for.
        labels: (N,) int64.
    """

    boxes: list[Tensor]
    gt_indices: list[Tensor]
    features: Tensor
    prediction: BilayerPrediction
    targets: BilayerTargets
    labels: Tensor


@MODELS.register_module()
class BilayerRoIHead(StandardRoIHead):
    """StandardRoIHead whose mask side speaks `BilayerPrediction`: takes BilayerMaskHead and PlainMaskHead.

    Args:
        mask_targets: Arguments of `BilayerTargetBuilder`. Its `mask_size` defaults to that of `train_cfg`.
        mask_losses: Arguments of `BilayerLosses`.
        max_mask_rois: At most so many positive RoIs of an image train the mask head, drawn at random. The released
            code keeps all of them, and its memory with them.
        train_on_gt_boxes_only: Train the mask head on ground-truth boxes, without the positive proposals: what the
            released BCNet does through a bug (docs/sources.md, BCNet 4, bug a). For parity experiments.
        kwargs: StandardRoIHead's.
    """

    def __init__(
        self,
        *,
        mask_targets: dict[str, Any] | None = None,
        mask_losses: dict[str, Any] | None = None,
        max_mask_rois: int = 128,
        train_on_gt_boxes_only: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        target_options = dict(mask_targets or {})
        if self.train_cfg and "mask_size" in self.train_cfg:
            target_options.setdefault("mask_size", self.train_cfg["mask_size"])
        self.target_builder = BilayerTargetBuilder(**target_options)
        self.mask_losses = BilayerLosses(**(mask_losses or {}))
        self.max_mask_rois = max_mask_rois
        self.train_on_gt_boxes_only = train_on_gt_boxes_only
        self._steps_without_occluder = 0

    # training

    def loss(
        self, x: tuple[Tensor, ...], rpn_results_list: list[InstanceData], batch_data_samples: list[DetDataSample]
    ) -> dict[str, Tensor]:
        """Box, mask, occluder and hidden losses of B images.

        Args:
            x: Feature levels, (B, C, h, w) each.
            rpn_results_list: Proposals by image; their `bboxes` are renamed to `priors` in place, as in mmdet.
            batch_data_samples: With gt_instances (bboxes, labels, masks; where known hidden and in_front).

        Returns:
            Scalars: mmdet's box losses, those of `BilayerLosses`, and, for the log, those of `training_measures`.
        """
        gt_instances, _, metas = unpack_gt_instances(batch_data_samples)
        sampling_results = self.assign_and_sample(x, rpn_results_list, batch_data_samples)
        bbox_results = self.bbox_loss(x, sampling_results)
        losses = dict(bbox_results["loss_bbox"])
        if self.with_mask:
            mask_results = self.mask_loss(x, sampling_results, bbox_results["bbox_feats"], gt_instances, metas)
            losses.update(mask_results["loss_mask"])
        return losses

    def assign_and_sample(
        self, x: tuple[Tensor, ...], rpn_results_list: list[InstanceData], batch_data_samples: list[DetDataSample]
    ) -> list[SamplingResult]:
        """Match each image's proposals with its objects and draw the training RoIs, as StandardRoIHead does."""
        gt_instances, ignored, _ = unpack_gt_instances(batch_data_samples)
        results = []
        for i, proposals in enumerate(rpn_results_list):
            proposals.priors = proposals.pop("bboxes")
            assigned = self.bbox_assigner.assign(proposals, gt_instances[i], ignored[i])
            feats = [level[i][None] for level in x]
            results.append(self.bbox_sampler.sample(assigned, proposals, gt_instances[i], feats=feats))
        return results

    def mask_loss(
        self,
        x: tuple[Tensor, ...],
        sampling_results: list[SamplingResult],
        bbox_feats: Tensor | None,
        batch_gt_instances: list[InstanceData],
        batch_img_metas: list[dict] | None = None,
    ) -> dict[str, dict[str, Tensor]]:
        """Losses of the mask head on the positive RoIs.

        Args:
            x: Feature levels.
            sampling_results: One per image.
            bbox_feats: Not used; in mmdet's signature.
            batch_gt_instances: All objects of each image, not only the sampled ones: the others may be occluders.
            batch_img_metas: For `scale_factor`; without them network pixels count as original ones.

        Returns:
            {"loss_mask": losses by name, and the numbers of `training_measures` for the log}.
        """
        masks = self.training_masks(x, sampling_results, batch_gt_instances, batch_img_metas)
        return {"loss_mask": self.losses_of(masks)}

    def training_masks(
        self,
        x: tuple[Tensor, ...],
        sampling_results: list[SamplingResult],
        batch_gt_instances: list[InstanceData],
        batch_img_metas: list[dict] | None = None,
        outputs: Collection[str] | None = None,
    ) -> TrainingMasks:
        """What the mask head says of the positive RoIs, and what it should say; arguments as of `mask_loss`.

        Args:
            outputs: Which outputs are predicted and have targets; None: all that the head has.
        """
        metas = batch_img_metas or [{}] * len(batch_gt_instances)
        boxes, gt_indices = self.training_rois(sampling_results, batch_gt_instances)
        features = self.mask_features(x, boxes)
        prediction = self.mask_head(features, outputs=outputs)
        targets = self.target_builder(
            boxes,
            gt_indices,
            batch_gt_instances,
            [meta.get("scale_factor", (1.0, 1.0)) for meta in metas],
            self.mask_head.outputs if outputs is None else outputs,
        )
        labels = torch.cat([gt.labels[i] for gt, i in zip(batch_gt_instances, gt_indices, strict=True)])
        return TrainingMasks(boxes, gt_indices, features, prediction.select_class(labels), targets, labels)

    def losses_of(self, masks: TrainingMasks) -> dict[str, Tensor]:
        """Losses by name, and the numbers of `training_measures` for the log."""
        self._watch_occluders(masks.targets)
        losses = self.mask_losses(masks.prediction, masks.targets, masks.labels)
        return losses | training_measures(masks.prediction, masks.targets)

    def training_rois(
        self, sampling_results: list[SamplingResult], gt_instances: list[InstanceData]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Boxes (n, 4) that train the mask head, image by image, and the index (n,) of each one's object."""
        boxes, gt_indices = [], []
        for result, gt in zip(sampling_results, gt_instances, strict=True):
            candidates, indices = get_box_tensor(result.pos_priors), result.pos_assigned_gt_inds
            if self.train_on_gt_boxes_only:
                candidates = get_box_tensor(gt.bboxes)
                indices = torch.arange(len(candidates), device=candidates.device)
            if "mask_known" in gt:  # of data that has boxes only, no mask is learned
                known = torch.as_tensor(gt.mask_known, device=candidates.device)[indices]
                candidates, indices = candidates[known], indices[known]
            if len(candidates) > self.max_mask_rois:
                chosen = torch.randperm(len(candidates), device=candidates.device)[: self.max_mask_rois].sort().values
                candidates, indices = candidates[chosen], indices[chosen]
            boxes.append(candidates)
            gt_indices.append(indices)
        return boxes, gt_indices

    def _watch_occluders(self, targets: BilayerTargets) -> None:
        """Say once that the occluder layer learns nothing: its losses of zero are easily taken for success."""
        if targets.occluder_mask is None or self._steps_without_occluder < 0:
            return
        if (targets.occluded & targets.occluder_known).any():
            self._steps_without_occluder = -1  # data has occluders; never look again
            return
        self._steps_without_occluder += 1
        if self._steps_without_occluder == STEPS_BEFORE_WARNING:
            warnings.warn(
                f"No object had a known occluder in the first {STEPS_BEFORE_WARNING} training steps (targets "
                f"'{self.target_builder.occluder}'), so the occluder layer is not trained. Do the images hold "
                "overlapping objects, and, for 'in_front', do the annotations say who lies in front?",
                stacklevel=2,
            )

    # inference

    def predict_masks(
        self,
        feats: tuple[Tensor, ...],
        boxes: Sequence[Tensor],
        labels: Sequence[Tensor] | None = None,
        outputs: Collection[str] = INFERENCE_OUTPUTS,
    ) -> BilayerPrediction:
        """Logits for given boxes, nothing pasted.

        Args:
            feats: Feature levels, (B, C, h, w) each.
            boxes: Per image (n, 4) xyxy in network pixels, already clipped to the image: a mask pooled from a box
                that reaches over the border and pasted into a clipped one would be stretched.
            labels: Per image (n,) int64; needed by class-specific heads only, whose occludee masks are then reduced
                to the label's channel.
            outputs: What to compute; the head leaves out what it does not have.

        Returns:
            Predictions of all N = sum(n) RoIs, image after image; `split` cuts them.
        """
        chosen = None if labels is None else torch.cat(list(labels))
        return self.predict_from(self.mask_features(feats, boxes), chosen, outputs)

    def predict_from(
        self, roi_feats: Tensor, labels: Tensor | None = None, outputs: Collection[str] = INFERENCE_OUTPUTS
    ) -> BilayerPrediction:
        """`predict_masks` of N RoIs by their features (N, C, S, S) from `mask_features`, and their labels (N,)."""
        predictions = [self.mask_head(part, outputs=outputs) for part in roi_feats.split(MASK_ROIS_AT_ONCE)]
        if labels is not None:
            parts = labels.split(MASK_ROIS_AT_ONCE)
            predictions = [p.select_class(part) for p, part in zip(predictions, parts, strict=True)]
        return _joined(predictions)

    def predict_mask(
        self,
        x: tuple[Tensor, ...],
        batch_img_metas: list[dict],
        results_list: list[InstanceData],
        rescale: bool = False,
    ) -> list[InstanceData]:
        """mmdet's test mode: dense masks for every detection, and boxes moved to the masks' frame.

        Args:
            x: Feature levels.
            batch_img_metas: With img_shape, ori_shape and scale_factor.
            results_list: Detections with bboxes in network pixels and labels.
            rescale: Answer in pixels of the original image; else of the network's.

        Returns:
            The same objects, with `bboxes` clipped and scaled and `masks` (N, height, width) bool.
        """
        for results, meta in zip(results_list, batch_img_metas, strict=True):
            results.bboxes = _clip(results.bboxes, meta["img_shape"])
        prediction = self.predict_masks(
            x, [r.bboxes for r in results_list], [r.labels for r in results_list], outputs=("occludee_mask",)
        )
        parts = prediction.split([len(results) for results in results_list])
        for results, meta, part in zip(results_list, batch_img_metas, parts, strict=True):
            height, width = meta["ori_shape"][:2]
            scale_w, scale_h = meta["scale_factor"]
            if rescale:
                results.bboxes = results.bboxes / results.bboxes.new_tensor([scale_w, scale_h, scale_w, scale_h])
            else:
                height, width = round(height * scale_h), round(width * scale_w)
            threshold = self.test_cfg.mask_thr_binary
            results.masks = paste_masks(part.occludee_mask, results.bboxes, height, width, threshold)
        return results_list

    def mask_features(self, feats: tuple[Tensor, ...], boxes: Sequence[Tensor]) -> Tensor:
        """RoI features (N, C, S, S) of the mask branch."""
        roi_feats = self.mask_roi_extractor(feats[: self.mask_roi_extractor.num_inputs], bbox2roi(list(boxes)))
        return self.shared_head(roi_feats) if self.with_shared_head else roi_feats


def paste_masks(logits: Tensor, boxes: Tensor, height: int, width: int, threshold: float) -> Tensor:
    """Dense masks from logit maps, one RoI at a time.

    Args:
        logits: (N, 1, S, S).
        boxes: (N, 4) xyxy in pixels of the output frame.
        height: Of the output frame.
        width: Of the output frame.
        threshold: On the probability, inclusive.

    Returns:
        (N, height, width) bool.
    """
    masks = torch.zeros((len(logits), height, width), dtype=torch.bool, device=logits.device)
    for mask, probability, box in zip(masks, logits.float().sigmoid(), boxes, strict=True):
        pasted, window = _do_paste_mask(probability[None], box[None], height, width, skip_empty=True)
        mask[window] = pasted[0] >= threshold
    return masks


def _joined(predictions: Sequence[BilayerPrediction]) -> BilayerPrediction:
    """One prediction of the RoIs of several, in their order."""
    if len(predictions) == 1:
        return predictions[0]
    outputs = [{name: getattr(p, name) for name in OUTPUTS} for p in predictions]
    present = [name for name, value in outputs[0].items() if value is not None]
    return BilayerPrediction(**{name: torch.cat([output[name] for output in outputs]) for name in present})


def _clip(boxes: Tensor, shape: tuple[int, int]) -> Tensor:
    """Boxes (N, 4) xyxy cut off at the borders of an image of `shape` (height, width)."""
    height, width = shape[:2]
    return torch.minimum(boxes.clamp(min=0), boxes.new_tensor([width, height, width, height]))
