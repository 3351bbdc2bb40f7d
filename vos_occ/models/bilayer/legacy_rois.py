"""RoIs of mmdet's first version, for weights that were trained with them. Knows no heads."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from typing import Any

from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from mmdet.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class OccLegacyRoIExtractor(SingleRoIExtractor):
    """mmdet's `SingleRoIExtractor` for boxes whose last pixel belongs to them: a RoI ends at x2 + 1, y2 + 1.

    With RoIAlign's `aligned=False` this is what mmdet 0.6 computed, but for boxes that cover less than one cell,
    which are widened to one here.

    Source: `ROIAlignForwardV1` and `map_roi_levels` of mmdet 0.6 (docs/sources.md, trackers 1.6).
    """

    def forward(self, feats: tuple[Tensor, ...], rois: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """(N, C, S, S) of (N, 5) image index and box in pixels."""
        return super().forward(feats, rois + rois.new_tensor([0, 0, 0, 1, 1]), *args, **kwargs)
