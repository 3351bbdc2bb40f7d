"""Display matrices: how a phone says which way is up. Numbers in, array views out; knows no decoder.

A display matrix is nine int32, row by row `[a b u; c d v; x y w]`; a stored point (x, y) is shown at
`x' = a x + c y`, `y' = b x + d y`, both axes as in images (FFmpeg, libavutil/display.h; ISO/IEC 14496-12, 8.3.2).
Reading the four numbers themselves, rather than an angle, keeps mirrored recordings (selfie cameras) right too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Orientation:
    """A multiple of a quarter turn, possibly mirrored: transpose first, then flip the axes of the result."""

    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False

    @classmethod
    def from_display_matrix(cls, matrix: bytes | None) -> Orientation:
        """The nearest quarter turn; the identity where there is no matrix.

        Args:
            matrix: 36 bytes, nine native-endian int32.
        """
        if matrix is None or len(matrix) != 36:
            return cls()
        a, b, _, c, d = (int(value) for value in np.frombuffer(matrix, dtype=np.int32)[:5])
        if abs(a) + abs(d) >= abs(b) + abs(c):
            return cls(transpose=False, flip_x=a < 0, flip_y=d < 0)
        return cls(transpose=True, flip_x=c < 0, flip_y=b < 0)

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Shown width and height of a picture stored with `width` and `height`."""
        return (height, width) if self.transpose else (width, height)

    def apply(self, image: np.ndarray) -> np.ndarray:
        """(H, W, C) as stored -> as shown, C-contiguous; the same array where nothing is to be done."""
        if self.transpose:
            image = image.swapaxes(0, 1)
        if self.flip_x:
            image = image[:, ::-1]
        if self.flip_y:
            image = image[::-1]
        return np.ascontiguousarray(image)
