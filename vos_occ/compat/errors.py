"""What compat raises."""

from __future__ import annotations

from vos_occ.compat.backend import CURE


class MissingOperatorError(NotImplementedError):
    """An operator of mmcv that exists only in its compiled extension, which is not installed."""

    def __init__(self, operator: str) -> None:
        super().__init__(
            f"mmcv.ops needs the compiled operator {operator}, but this mmcv was installed without compiled "
            f"operators, and vos_occ stands in only for nms, average roi_align and deform_conv. Compile: {CURE}"
        )
