"""What flows between the rooms: run-length masks, occlusion order, frame results, errors. No mm*."""

from __future__ import annotations

from vos_occ.structures.errors import CheckpointError, InputError, OutputExistsError, SchemaError, UserError
from vos_occ.structures.frame_result import FrameResult
from vos_occ.structures.occlusion import (
    OCCLUSION_LEVELS,
    OcclusionOrder,
    hidden_fraction,
    occlusion_level,
    predict_order,
)
from vos_occ.structures.rle import Rle, paste_and_encode

__all__ = [
    "OCCLUSION_LEVELS",
    "CheckpointError",
    "FrameResult",
    "InputError",
    "OcclusionOrder",
    "OutputExistsError",
    "Rle",
    "SchemaError",
    "UserError",
    "hidden_fraction",
    "occlusion_level",
    "paste_and_encode",
    "predict_order",
]
