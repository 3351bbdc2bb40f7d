"""Temporal feature calibration: a neighbouring frame's features, warped to where things are now, and added.

Source: CMaskTrack R-CNN (Qi et al., Occluded Video Instance Segmentation, IJCV 2022); docs/sources.md, trackers 2.1.
"""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from collections.abc import Iterable
from typing import Literal

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmcv.ops import DeformConv2d, deform_conv2d
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from vos_occ.models.layers.shift_correlation import ShiftCorrelation
from vos_occ.structures.errors import InputError

KERNEL = 3
NUM_CONVS = 3

CELLS_AT_ONCE = 2**15
"""At most so many cells of references (or one reference) are compared together: the volumes stay small."""


class Warp(DeformConv2d):
    """mmcv's 3x3 deformable convolution for maps of any memory layout and size, computed in float32.

    Its compiled operator takes contiguous tensors only, no map smaller than the kernel, and no bfloat16; in float16 it
    would add up coordinates too, whose steps from 128 on are an eighth of a cell.
    """

    def __init__(self, channels: int) -> None:
        # one image at a time: what is read of it is 9 times its size
        super().__init__(channels, channels, KERNEL, padding=1, im2col_step=1)

    def forward(self, x: Tensor, offset: Tensor) -> Tensor:
        """(B, C, h, w) of (B, C, h, w) and the offsets (B, 18, h, w), in the type of x."""
        height, width = x.shape[2:]
        if height < KERNEL or width < KERNEL:
            grown = (0, max(KERNEL - width, 0), 0, max(KERNEL - height, 0))
            x, offset = F.pad(x, grown), F.pad(offset, grown)
        dtype = torch.promote_types(x.dtype, torch.float32)
        given = (tensor.to(dtype).contiguous() for tensor in (x, offset, self.weight))
        with torch.autocast(x.device.type, enabled=False):
            warped = deform_conv2d(*given, self.stride, self.padding, self.dilation, 1, 1, False, self.im2col_step)
        return warped[:, :, :height, :width].to(x.dtype)


@MODELS.register_module()
class TemporalCalibration(BaseModule):
    """Warps reference features onto the current ones, by offsets read off their correlation, and adds them.

    One set of weights serves all feature levels, which are calibrated each for itself.

    Args:
        channels: C of the features.
        patch_size: shifts that are compared along each axis; see `ShiftCorrelation`. 16 is the released model's.
        dilation: cells between two of them.
        start: `random`, as released; or `identity`: with kernels and offsets of zero the calibrated features are the
            current ones at first, so that training goes on where a MaskTrack R-CNN stopped.
        sharpness: None, as released: offsets are what is learnt. A number s: what is compared are the directions of the
            features less their mean, in [-1, 1], and the offsets are the mean of the shifts by softmax(s * cosine),
            corrected by what is learnt, at most by the step between two shifts. They fit from the first step on.
        init_cfg: mmengine's.

    Parameters for C = 256: 2,401,554 (patch 16).

    Raises:
        InputError: `start` is another word, or there are no such whole shifts.
    """

    def __init__(
        self,
        channels: int = 256,
        *,
        patch_size: int = 16,
        dilation: int = 2,
        start: Literal["random", "identity"] = "random",
        sharpness: float | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if start not in ("random", "identity"):
            raise InputError(f"TemporalCalibration starts random or as identity, found start={start!r}.")
        if sharpness is not None and sharpness <= 0:
            raise InputError(f"TemporalCalibration.sharpness must be positive, found {sharpness}.")
        self.correlation = ShiftCorrelation(patch_size, dilation)
        self.sharpness = sharpness
        widths = [self.correlation.out_channels, *[channels] * NUM_CONVS]
        self.convs = nn.ModuleList(
            ConvModule(before, after, KERNEL, padding=1) for before, after in zip(widths, widths[1:], strict=False)
        )
        self.conv_offset = nn.Conv2d(channels, 2 * KERNEL**2, KERNEL, padding=1)
        self.warp = Warp(channels)
        if start == "identity":
            for parameter in (*self.conv_offset.parameters(), self.warp.weight):
                nn.init.zeros_(parameter)

    def forward(self, feats: Iterable[Tensor], references: Iterable[Tensor]) -> tuple[Tensor, ...]:
        """Calibrate feature levels.

        Args:
            feats: (1 or R, C, h, w) each, of the current frames; one stands for R.
            references: (R, C, h, w) each, of other frames.

        Returns:
            (R, C, h, w) each: warped reference + current.
        """
        return tuple(self._calibrated(x, refs) for x, refs in zip(feats, references, strict=True))

    def _calibrated(self, x: Tensor, references: Tensor) -> Tensor:
        """One level, a few references at a time."""
        step = max(1, CELLS_AT_ONCE // references[0, 0].numel())
        current = x.expand_as(references)
        parts = zip(current.split(step), references.split(step), strict=True)
        return torch.cat([self.warp(part, self.offsets(now, part)) + now for now, part in parts])

    def offsets(self, x: Tensor, references: Tensor) -> Tensor:
        """(R, 18, h, w) y, x in cells that the kernel's points are moved by; (R, C, h, w) both."""
        if self.sharpness is None:
            return self._learnt(self.correlation(x, references))
        mean = x.mean(dim=(2, 3), keepdim=True)
        x, references = (F.normalize(feats - mean) * x.size(1) ** 0.5 for feats in (x, references))
        cosines = self.correlation(x, references)
        with torch.no_grad():
            shift = self.correlation.expected_shift(cosines, self.sharpness).repeat(1, KERNEL**2, 1, 1)
        return shift + self.correlation.dilation * self._learnt(cosines).tanh()

    def _learnt(self, volume: Tensor) -> Tensor:
        """(R, 18, h, w) of a correlation volume."""
        for conv in self.convs:
            volume = conv(volume)
        return self.conv_offset(volume)
