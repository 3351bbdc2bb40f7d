"""The appearance embedding of MaskTrack R-CNN: RoI features through fully connected layers."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)
from mmdet.models.tracking_heads import RoIEmbedHead, RoITrackHead  # isort: skip
from mmdet.registry import MODELS  # isort: skip
from mmdet.structures.bbox import bbox2roi  # isort: skip
from torch import Tensor


@MODELS.register_module()
class OccRoIEmbedHead(RoIEmbedHead):
    """mmdet's `RoIEmbedHead` with a choice for the last layer.

    Args:
        relu_last: ReLU after the last layer too, as mmdet does. The original has none there, and needs none: with
            non-negative embeddings no similarity is below the zero of "new object", so newness cannot be learned from
            appearance. False is the default; True loads mmdet's checkpoints with their meaning.
    """

    def __init__(self, *args, relu_last: bool = False, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.relu_last = relu_last

    def extract_feat(self, x: Tensor, num_x_per_img: list[int]) -> tuple[Tensor, ...]:
        """Embeddings (n_i, D) per image of RoI features (sum n_i, C, S, S)."""
        for conv in self.convs:
            x = conv(x)
        if self.num_fcs and self.with_avg_pool:
            x = self.avg_pool(x)
        x = x.flatten(1)
        for index, fc in enumerate(self.fcs):
            x = fc(x)
            if index + 1 < len(self.fcs) or self.relu_last:
                x = self.relu(x)
        return x.split(num_x_per_img)


@MODELS.register_module()
class OccRoITrackHead(RoITrackHead):
    """mmdet's `RoITrackHead` that answers with embeddings, which is what a memory needs to keep."""

    @property
    def embed_dim(self) -> int:
        """D, the length of an embedding."""
        return self.embed_head.last_layer_dim

    def embed(self, feats: tuple[Tensor, ...], boxes: Tensor) -> Tensor:
        """(N, D) embeddings of (N, 4) boxes in network pixels, on the feature maps of one image."""
        rois = bbox2roi([boxes])
        roi_feats = self.roi_extractor(feats[: self.roi_extractor.num_inputs], rois)
        return self.embed_head.extract_feat(roi_feats, [len(boxes)])[0]
