"""A mask as polygons along the edges of its pixels, from which every rasteriser draws exactly this mask."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vos_occ.results.amodal import outline
from vos_occ.structures import rle


def pixel_outlines(mask: rle.Rle) -> list[list[float]]:
    """Polygons that together cover a mask and do not overlap, none with a hole or a corner that it touches twice.

    Returns:
        Flat lists x, y, x, y, ... of whole numbers; a piece with a hole is cut until its parts have none.
    """
    crop, x0, y0 = rle.decode_box(mask)
    height, width = mask["size"]
    return _outlines(crop, x0, y0, height, width) if crop.size else []


def _outlines(crop: NDArray[np.bool_], x0: int, y0: int, height: int, width: int) -> list[list[float]]:
    count, pieces = cv2.connectedComponents(crop.astype(np.uint8), connectivity=4)
    found: list[list[float]] = []
    for number in range(1, count):
        piece, x1, y1 = rle.decode_box(rle.encode(pieces == number))
        whole = outline(rle.encode_box(piece, x0 + x1, y0 + y1, height, width))
        if isinstance(whole, list):
            found.append(whole)
            continue
        h, w = piece.shape
        halves = ((piece[:, : w // 2], 0, 0), (piece[:, w // 2 :], w // 2, 0))
        if h > w:
            halves = ((piece[: h // 2], 0, 0), (piece[h // 2 :], 0, h // 2))
        for half, dx, dy in halves:
            found += _outlines(half, x0 + x1 + dx, y0 + y1 + dy, height, width)
    return found
