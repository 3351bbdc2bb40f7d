"""BCNet: heads that see, in one RoI, the occluder and the occludee. Importing this room registers them with mmdet."""

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from vos_occ.models.bilayer.fcos import BilayerFCOS, ProposingFCOSHead
from vos_occ.models.bilayer.legacy_rois import OccLegacyRoIExtractor
from vos_occ.models.bilayer.losses import BilayerLosses
from vos_occ.models.bilayer.mask_head import BilayerMaskHead
from vos_occ.models.bilayer.mask_only_roi_head import MaskOnlyRoIHead
from vos_occ.models.bilayer.plain_head import PlainMaskHead
from vos_occ.models.bilayer.prediction import BilayerPrediction
from vos_occ.models.bilayer.roi_head import BilayerRoIHead
from vos_occ.models.bilayer.targets import BilayerTargetBuilder, BilayerTargets

__all__ = [
    "BilayerFCOS",
    "BilayerLosses",
    "BilayerMaskHead",
    "BilayerPrediction",
    "BilayerRoIHead",
    "BilayerTargetBuilder",
    "BilayerTargets",
    "MaskOnlyRoIHead",
    "OccLegacyRoIExtractor",
    "PlainMaskHead",
    "ProposingFCOSHead",
]
