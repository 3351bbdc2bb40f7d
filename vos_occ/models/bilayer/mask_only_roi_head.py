"""The mask side of a RoI head behind a detector that finds its boxes without RoIs (FCOS)."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from typing import Any

from mmdet.models.utils import unpack_gt_instances
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor

from vos_occ.models.bilayer.roi_head import BilayerRoIHead
from vos_occ.structures.errors import InputError


@MODELS.register_module()
class MaskOnlyRoIHead(BilayerRoIHead):
    """`BilayerRoIHead` without a box head: boxes come in as detections, and leave with masks.

    Trains on the detector's own boxes that overlap an object (by `train_cfg.assigner`) and on the true ones, at most
    `max_mask_rois` of an image.

    Args:
        kwargs: Those of `BilayerRoIHead`, without box head and box extractor.
    """

    def __init__(self, **kwargs: Any) -> None:
        if kwargs.get("bbox_head") is not None:
            raise InputError("MaskOnlyRoIHead takes no bbox_head: the detector in front of it has found the boxes.")
        super().__init__(**kwargs)

    def loss(
        self, x: tuple[Tensor, ...], rpn_results_list: list[InstanceData], batch_data_samples: list[DetDataSample]
    ) -> dict[str, Tensor]:
        """Mask, boundary, occluder and hidden losses of B images.

        Args:
            x: Feature levels, (B, C, h, w) each.
            rpn_results_list: Boxes found, by image, in network pixels and inside the image.
            batch_data_samples: With gt_instances (bboxes, labels, masks; where known hidden and in_front).

        Returns:
            Scalars, those of `BilayerLosses` and, for the log, of `training_measures`.
        """
        gt_instances, _, metas = unpack_gt_instances(batch_data_samples)
        sampling_results = self.assign_and_sample(x, rpn_results_list, batch_data_samples)
        return self.mask_loss(x, sampling_results, None, gt_instances, metas)["loss_mask"]
