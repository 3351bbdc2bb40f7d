"""mmdet's FCNMaskHead behind the contract of our RoI head, so that plain and bilayer models differ in the head only."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from collections.abc import Collection
from typing import Any

from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.registry import MODELS
from torch import Tensor

from vos_occ.models.bilayer.hidden_output import HiddenOutput
from vos_occ.models.bilayer.prediction import BilayerPrediction


@MODELS.register_module()
class PlainMaskHead(FCNMaskHead):
    """The mask head of Mask R-CNN; parameters keep FCNMaskHead's names, so its checkpoints load unchanged.

    Args:
        hidden_output: Also predict the hidden fraction, from the features before the upsampling: what the bilayer
            head's own hidden output is compared with.
        kwargs: FCNMaskHead's.
    """

    def __init__(self, *, hidden_output: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        width = self.conv_out_channels if self.num_convs > 0 else self.in_channels
        self.hidden_output = HiddenOutput(width) if hidden_output else None

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs that this head has."""
        return ("occludee_mask",) if self.hidden_output is None else ("occludee_mask", "hidden")

    def forward(self, roi_feats: Tensor, outputs: Collection[str] | None = None) -> BilayerPrediction:
        """Predict for N RoIs.

        Args:
            roi_feats: (N, C, S, S).
            outputs: None: everything the head has; else the names to compute besides the occludee mask.

        Returns:
            Logits: (N, 1 or classes, 2S, 2S), and (N,) for `hidden`.
        """
        features = roi_feats
        for conv in self.convs:
            features = conv(features)
        hidden = None
        if self.hidden_output is not None and (outputs is None or "hidden" in outputs):
            hidden = self.hidden_output(features)
        if self.upsample is not None:
            features = self.upsample(features)
            if self.upsample_method == "deconv":
                features = self.relu(features)
        return BilayerPrediction(self.conv_logits(features), hidden=hidden)
