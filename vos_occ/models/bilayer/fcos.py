"""BCNet on FCOS: a detector without anchors or RoIs finds the boxes, the mask head works inside them.

The released BCNet is this one; its mask head sits where CenterMask has its own, so that a plain head here is a
CenterMask-style baseline (without that paper's level rule and spatial attention).
"""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from typing import Any

import torch
from mmdet.models.dense_heads import FCOSHead
from mmdet.models.detectors import SingleStageDetector
from mmdet.models.utils import unpack_gt_instances
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor

from vos_occ.models.bilayer.mask_only_roi_head import MaskOnlyRoIHead
from vos_occ.structures.errors import InputError


@MODELS.register_module()
class ProposingFCOSHead(FCOSHead):
    """mmdet's FCOS head, made fit to propose boxes while it trains.

    With `norm_on_bbox` the head regresses distances in units of the level's stride, and turns them into pixels at
    test time only. mmdet, like the released BCNet, hands the training-time distances to the box decoder, so that
    proposals are 1/stride of their size, none overlaps an object, and the mask head sees nothing but true boxes.
    Here they are decoded in pixels.

    Scores are the square root of class score times centerness, as in FCOS; mmdet leaves the root out. Ranks, and so
    suppression and AP, are the same.

    Source: docs/sources.md, BCNet 4 (bug a) and 5.
    """

    def loss_and_predict(
        self, x: tuple[Tensor, ...], batch_data_samples: list[DetDataSample], proposal_cfg: ConfigDict | None = None
    ) -> tuple[dict[str, Tensor], list[InstanceData]]:
        """Losses of B images, and the boxes found in them, without gradients.

        Args:
            x: Feature levels, (B, C, h, w) each.
            batch_data_samples: With gt_instances (bboxes, labels).
            proposal_cfg: Which boxes to keep: score_thr, nms_pre, nms, max_per_img. None: the test settings.

        Returns:
            losses: loss_cls, loss_bbox, loss_centerness.
            proposals: per image bboxes (n, 4) xyxy in network pixels inside the image, labels and scores.
        """
        gt_instances, ignored, metas = unpack_gt_instances(batch_data_samples)
        class_scores, distances, centernesses = self(x)
        losses = self.loss_by_feat(class_scores, distances, centernesses, gt_instances, metas, ignored)
        with torch.no_grad():
            if self.norm_on_bbox and self.training:
                distances = [level * stride for level, stride in zip(distances, self.strides, strict=True)]
            proposals = self.predict_by_feat(
                class_scores, distances, centernesses, batch_img_metas=metas, cfg=proposal_cfg
            )
        return losses, proposals

    def _bbox_post_process(self, results: InstanceData, *args: Any, **kwargs: Any) -> InstanceData:
        """As mmdet's, with the root of the product as score."""
        results = super()._bbox_post_process(results, *args, **kwargs)
        results.scores = results.scores.sqrt()
        return results


@MODELS.register_module()
class BilayerFCOS(SingleStageDetector):
    """FCOS with a mask head in its boxes.

    Args:
        backbone: Config; ResNet in caffe style with frozen batch norms in the paper.
        neck: Config; an FPN with levels P3 to P7 in the paper.
        bbox_head: Config of a `ProposingFCOSHead`.
        roi_head: Config of a `MaskOnlyRoIHead`, with any of our mask heads. Its RoI extractor pools from all levels;
            starting at P3, the usual rule floor(4 + log2(sqrt(area) / 224)) is mmdet's with `finest_scale` 112.
        train_cfg: `proposals`: which boxes train the mask head (see `loss_and_predict`); `rcnn`: assigner, sampler
            and mask_size of the RoI head.
        test_cfg: `fcos`: score_thr, nms_pre, nms, max_per_img; `rcnn`: mask_thr_binary.
        data_preprocessor: `DetDataPreprocessor` with `pad_mask`.
        init_cfg: mmengine's.

    Raises:
        InputError: one of the heads is of another kind.
    """

    def __init__(
        self,
        *,
        backbone: dict[str, Any],
        neck: dict[str, Any],
        bbox_head: dict[str, Any],
        roi_head: dict[str, Any],
        train_cfg: dict[str, Any] | None = None,
        test_cfg: dict[str, Any] | None = None,
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        train_cfg, test_cfg = ConfigDict(train_cfg or {}), ConfigDict(test_cfg or {})
        super().__init__(
            backbone=backbone,
            neck=neck,
            bbox_head=ConfigDict(bbox_head),
            train_cfg=train_cfg.get("fcos"),
            test_cfg=test_cfg.get("fcos"),
            data_preprocessor=data_preprocessor,
            init_cfg=init_cfg,
        )
        self.train_cfg, self.test_cfg = train_cfg, test_cfg
        self.roi_head = MODELS.build(
            ConfigDict(roi_head, train_cfg=train_cfg.get("rcnn"), test_cfg=test_cfg.get("rcnn"))
        )
        wanted = ((self.bbox_head, ProposingFCOSHead), (self.roi_head, MaskOnlyRoIHead))
        for head, kind in wanted:
            if not isinstance(head, kind):
                raise InputError(f"BilayerFCOS needs a {kind.__name__}, found {type(head).__name__}.")

    def loss(self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample]) -> dict[str, Tensor]:
        """Losses of FCOS and of the mask head.

        Args:
            batch_inputs: (B, 3, H, W) float, normalised.
            batch_data_samples: With gt_instances (bboxes, labels, masks; where known hidden and in_front).
        """
        x = self.extract_feat(batch_inputs)
        losses, proposals = self.bbox_head.loss_and_predict(x, batch_data_samples, self.train_cfg.get("proposals"))
        return losses | self.roi_head.loss(x, proposals, batch_data_samples)

    def predict(
        self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample], rescale: bool = True
    ) -> list[DetDataSample]:
        """Boxes, scores, labels and pasted masks of B images, in `pred_instances`.

        Args:
            batch_inputs: (B, 3, H, W) float, normalised.
            batch_data_samples: With img_shape, ori_shape and scale_factor.
            rescale: Answer in pixels of the original images.
        """
        x = self.extract_feat(batch_inputs)
        found = self.bbox_head.predict(x, batch_data_samples, rescale=False)
        metas = [sample.metainfo for sample in batch_data_samples]
        return self.add_pred_to_datasample(batch_data_samples, self.roi_head.predict_mask(x, metas, found, rescale))
