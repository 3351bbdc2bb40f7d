"""BCNet's bilayer mask head: in one RoI, find the occluder first, then, guided by it, the occludee.

Ke, Tai and Tang, "Occlusion-Aware Instance Segmentation via BiLayer Network Architectures" (TPAMI; CVPR 2021 as
"Deep Occlusion-Aware Instance Segmentation with Overlapping BiLayers"). The head knows RoI features only: no boxes,
no targets, no losses.
"""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal

import torch
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor

from vos_occ.models.bilayer.branch import BilayerBranch, MapPredictors
from vos_occ.models.bilayer.hidden_output import HiddenOutput
from vos_occ.models.bilayer.prediction import OUTPUTS, BilayerPrediction
from vos_occ.models.layers.non_local import NonLocalBlock, NonLocalNorm
from vos_occ.structures.errors import InputError


@dataclass(frozen=True)
class BilayerLayout:
    """Where the paper and the released code differ (docs/sources.md, BCNet 1).

    Attributes:
        num_convs: 3x3 convolutions in each layer.
        gcn_position: The non-local block follows this many of them; 0 puts it on the layer's input.
        gcn_norm: Normalisation of the non-local block, see `NonLocalBlock`.
        gcn_scale: Affinities divided by sqrt(C).
        gcn_output_projection: A second 1x1 convolution after the gathered values.
        share_upsample: One deconvolution for a layer's mask and boundary.
    """

    num_convs: int
    gcn_position: int
    gcn_norm: NonLocalNorm
    gcn_scale: bool
    gcn_output_projection: bool
    share_upsample: bool

    def __post_init__(self) -> None:
        if not 0 <= self.gcn_position <= self.num_convs:
            raise InputError(
                f"gcn_position must lie in [0, num_convs = {self.num_convs}], found {self.gcn_position} (mask head)."
            )


LAYOUTS = {
    "released": BilayerLayout(4, 2, "bn", gcn_scale=True, gcn_output_projection=True, share_upsample=False),
    "paper": BilayerLayout(3, 1, "ln_relu", gcn_scale=False, gcn_output_projection=False, share_upsample=True),
}


@MODELS.register_module()
class BilayerMaskHead(BaseModule):
    """Two layers of convolutions over one RoI; the features of the first (occluder) are added to the second's input.

    Gradients of the occludee's losses flow into the occluder layer through that sum. The outputs named by a toggle
    that is off are not built at all, so no parameter is ever without a loss.

    Args:
        in_channels: C of the RoI features and of everything inside. 256 in the paper; any width works.
        variant: `gcn` has a non-local block in each layer, `fcn` has none.
        layout: `released` (default; the official checkpoint's) or `paper`. The next six override parts of it.
        num_convs: See `BilayerLayout`.
        gcn_position: See `BilayerLayout`.
        gcn_norm: See `BilayerLayout`. `gn` where few RoIs are seen at a time.
        gcn_scale: See `BilayerLayout`.
        gcn_output_projection: See `BilayerLayout`.
        share_upsample: See `BilayerLayout`.
        gcn_zero_init: The non-local blocks start as identities.
        bilayer: False is the single-layer baseline: the occludee's layer alone.
        guidance: Add the occluder's features to the occludee's input.
        occluder_mask: Predict the occluder's mask.
        occluder_boundary: Predict the occluder's contour.
        occludee_boundary: Predict the occludee's contour.
        hidden_output: Predict the hidden fraction from the features of both layers side by side: what covers the
            object is in the occluder's, what is left of it in the occludee's.
        class_agnostic: One occludee mask, or one for each of `num_classes`. Everything else has one channel always.
        num_classes: Number of classes; only used when not `class_agnostic`.
        init_cfg: mmengine's; for loading a pretrained head.

    Parameters for C = 256: 6,296,580 (gcn) and 5,771,268 (fcn) without the hidden output.
    """

    def __init__(
        self,
        in_channels: int = 256,
        *,
        variant: Literal["gcn", "fcn"] = "gcn",
        layout: Literal["released", "paper"] = "released",
        num_convs: int | None = None,
        gcn_position: int | None = None,
        gcn_norm: NonLocalNorm | None = None,
        gcn_scale: bool | None = None,
        gcn_output_projection: bool | None = None,
        share_upsample: bool | None = None,
        gcn_zero_init: bool = False,
        bilayer: bool = True,
        guidance: bool = True,
        occluder_mask: bool = True,
        occluder_boundary: bool = True,
        occludee_boundary: bool = True,
        hidden_output: bool = False,
        class_agnostic: bool = True,
        num_classes: int = 80,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        if variant not in ("gcn", "fcn") or layout not in LAYOUTS:
            raise InputError(
                f"BilayerMaskHead needs variant gcn or fcn and layout released or paper, found {variant!r}, {layout!r}."
            )
        overrides = {
            "num_convs": num_convs,
            "gcn_position": gcn_position,
            "gcn_norm": gcn_norm,
            "gcn_scale": gcn_scale,
            "gcn_output_projection": gcn_output_projection,
            "share_upsample": share_upsample,
        }
        self.layout = replace(LAYOUTS[layout], **{k: v for k, v in overrides.items() if v is not None})
        self.in_channels = in_channels
        self.class_agnostic = class_agnostic
        self.num_classes = num_classes
        self.guidance = bilayer and guidance

        self.occluder_layer = self._build_layer(variant, gcn_zero_init) if bilayer else None
        self.occludee_layer = self._build_layer(variant, gcn_zero_init)
        self.occluder_outputs = self._build_outputs(
            {"occluder_mask": int(bilayer and occluder_mask), "occluder_boundary": int(bilayer and occluder_boundary)}
        )
        self.occludee_outputs = self._build_outputs(
            {"occludee_mask": 1 if class_agnostic else num_classes, "occludee_boundary": int(occludee_boundary)}
        )
        self.hidden_output = HiddenOutput(in_channels * (2 if bilayer else 1)) if hidden_output else None
        if bilayer and not guidance and not hidden_output and not self.occluder_outputs.predictor:
            raise InputError("BilayerMaskHead: the occluder layer serves nothing; set bilayer=False, or guidance=True.")

    def _build_layer(self, variant: str, zero_init: bool) -> BilayerBranch:
        layout = self.layout
        non_local = None
        if variant == "gcn":
            non_local = NonLocalBlock(
                self.in_channels,
                norm=layout.gcn_norm,
                scale=layout.gcn_scale,
                output_projection=layout.gcn_output_projection,
                zero_init=zero_init,
            )
        return BilayerBranch(
            self.in_channels, num_convs=layout.num_convs, non_local=non_local, non_local_after=layout.gcn_position
        )

    def _build_outputs(self, maps: dict[str, int]) -> MapPredictors:
        present = {name: width for name, width in maps.items() if width}
        return MapPredictors(self.in_channels, present, share_upsample=self.layout.share_upsample)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs that this head has, in the order of `BilayerPrediction`."""
        present = {*self.occludee_outputs.predictor, *self.occluder_outputs.predictor}
        if self.hidden_output is not None:
            present.add("hidden")
        return tuple(name for name in OUTPUTS if name in present)

    def occlusion_aware(self, roi_feats: Tensor) -> Tensor:
        """What the occludee's layer reads of (N, C, S, S) RoI features: they and the occluder's, where these guide."""
        return roi_feats + self.occluder_layer(roi_feats) if self.guidance else roi_feats

    def forward(self, roi_feats: Tensor, outputs: Collection[str] | None = None) -> BilayerPrediction:
        """Predict for N RoIs; N = 0 keeps every parameter in the graph.

        Args:
            roi_feats: (N, C, S, S), S = 14 in the paper.
            outputs: What to compute, besides the occludee mask. None: everything the head has (training). Names
                that the head does not have come back as None.

        Returns:
            Logits at twice the resolution, (N, 1 or classes, 2S, 2S), and (N,) for `hidden`.
        """
        wanted = set(self.outputs if outputs is None else outputs) & set(self.outputs) | {"occludee_mask"}
        # on a CPU deconvolutions take half the time in this order of memory; gradients of it round more coarsely
        if roi_feats.device.type == "cpu" and not torch.is_grad_enabled():
            roi_feats = roi_feats.contiguous(memory_format=torch.channels_last)
        occluder_wanted = not wanted.isdisjoint(("occluder_mask", "occluder_boundary", "hidden"))
        occluder_features = None
        if self.occluder_layer is not None and (self.guidance or occluder_wanted):
            occluder_features = self.occluder_layer(roi_feats)  # Z_occ

        fused = roi_feats + occluder_features if self.guidance else roi_feats
        occludee_features = self.occludee_layer(fused)  # Z_tgt

        maps = self.occludee_outputs(occludee_features, wanted)
        hidden = None
        if occluder_features is not None:
            maps |= self.occluder_outputs(occluder_features, wanted)
        if self.hidden_output is not None and "hidden" in wanted:
            features = [f for f in (occluder_features, occludee_features) if f is not None]
            hidden = self.hidden_output(torch.cat(features, dim=1))
        return BilayerPrediction(**maps, hidden=hidden)
