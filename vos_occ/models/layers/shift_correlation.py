"""Products of one feature map with shifted copies of another: what moved where, as channels. Knows no video.

Source: the temporal feature calibration of CMaskTrack R-CNN (Qi et al., IJCV 2022); docs/sources.md, trackers 2.1.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vos_occ.structures.errors import InputError

NEGATIVE_SLOPE = 0.1


class ShiftCorrelation(nn.Module):
    """LeakyReLU(x(p) . r(p + d) / C) for every shift d of a square patch; r is zero outside its map.

    The shifts along an axis are `dilation * (i - (patch_size - 1) / 2)`. With dilation 2, the even patch 16 has the
    odd shifts -15, -13, ..., 15, zero not among them: those of the released CMaskTrack R-CNN. (Its gradient is taken at
    -14, ..., 16, by mistake; here it is that of the result.) An odd patch, say 17, has -16, ..., 0, ..., 16.

    Vertical shifts are taken one after the other. The horizontal ones of a row come out of one matrix product, as a
    band of the products of all its cells with all others: more multiplications than asked for, but several times
    faster than passing over both maps once per shift, and nothing larger than the result is ever in memory.
    `F.unfold` would first write C * patch_size^2 channels.

    Args:
        patch_size: shifts along each axis.
        dilation: cells between two of them.

    Raises:
        InputError: there are no such whole shifts.
    """

    def __init__(self, patch_size: int = 16, dilation: int = 2) -> None:
        super().__init__()
        if patch_size < 1 or dilation < 1 or dilation * (patch_size - 1) % 2:
            raise InputError(
                "ShiftCorrelation needs patch_size and dilation of at least 1, one of them so that dilation * "
                f"(patch_size - 1) is even, found {patch_size} and {dilation}. Use an odd patch_size."
            )
        self.patch_size = patch_size
        self.dilation = dilation

    @property
    def out_channels(self) -> int:
        """Channels of the result; dy * patch_size + dx is that of the shift (dy, dx), both counted from 0."""
        return self.patch_size**2

    @property
    def shifts(self) -> tuple[int, ...]:
        """In cells, along either axis."""
        first = -(self.dilation * (self.patch_size - 1) // 2)
        return tuple(first + self.dilation * i for i in range(self.patch_size))

    def forward(self, x: Tensor, reference: Tensor) -> Tensor:
        """Compare two maps.

        Args:
            x: (B, C, H, W) float.
            reference: likewise.

        Returns:
            (B, patch_size^2, H, W), in channels-last memory.
        """
        (batch, _, height, width), reach = x.shape, self.shifts[-1]
        columns = -width % self.dilation  # to make the width a multiple of the dilation
        rows = self._rows(F.pad(x / x.size(1), (0, columns)))
        others = self._rows(F.pad(reference, (reach, reach + columns, reach, reach)))
        volume = x.new_empty(batch, height, rows.size(3), self.dilation, self.patch_size, self.patch_size)
        for i, shift in enumerate(self.shifts):
            band = self._band(rows, others[reach + shift :][:height])  # (H, B, d, W / d, P)
            volume[..., i, :] = band.permute(1, 0, 3, 2, 4)
        volume = volume.flatten(4).flatten(2, 3)[:, :, :width]  # (B, H, W, P * P)
        return F.leaky_relu(volume, NEGATIVE_SLOPE, inplace=True).permute(0, 3, 1, 2)

    def expected_shift(self, products: Tensor, sharpness: float) -> Tensor:
        """(B, patch_size^2, H, W) -> (B, 2, H, W): mean of the shifts (dy, dx) by softmax(sharpness * products)."""
        size = (self.patch_size, self.patch_size)
        weights = (sharpness * products).softmax(dim=1).unflatten(1, size)
        shifts = torch.tensor(self.shifts, dtype=weights.dtype, device=weights.device)
        return torch.stack(
            [torch.einsum("bijhw,i->bhw", weights, shifts), torch.einsum("bijhw,j->bhw", weights, shifts)], 1
        )

    def _rows(self, maps: Tensor) -> Tensor:
        """(B, C, H, W) -> (H, B, d, W / d, C) contiguous: cells that are d apart are neighbours."""
        return maps.permute(2, 0, 3, 1).unflatten(2, (-1, self.dilation)).transpose(2, 3).contiguous()

    def _band(self, x: Tensor, reference: Tensor) -> Tensor:
        """(..., U, C), (..., U + P - 1, C) -> (..., U, P): product of cell u with cells u, ..., u + P - 1."""
        products = x @ reference.transpose(-1, -2)  # (..., U, V)
        cells, others = products.shape[-2:]
        # a row longer by one makes each diagonal a column
        skewed = F.pad(products.flatten(-2), (0, cells)).unflatten(-1, (cells, others + 1))
        return skewed[..., : self.patch_size]
