"""Strokes and fills on an RGB picture, each touching only the pixels of its own window. Knows no tracks."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from vos_occ.media.colours import Colour


class Region:
    """A binary mask at its place in the picture, optionally enlarged with smooth edges.

    Args:
        crop: (h, w) bool.
        x0, y0: where its pixel [0, 0] lies in the source.
        scale: whole factor by which the picture is larger than the source.
    """

    def __init__(self, crop: np.ndarray, x0: int, y0: int, scale: int = 1) -> None:
        # One empty pixel all round: contours close inside the array, and enlarged edges can bend outwards.
        mask = cv2.copyMakeBorder(crop.astype(np.uint8) * 255, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
        if scale > 1:
            mask = cv2.resize(mask, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
            mask = np.where(mask > 127, np.uint8(255), np.uint8(0))
        self.mask = mask
        self.x0, self.y0 = (x0 - 1) * scale, (y0 - 1) * scale

    def window(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The part of the picture under the mask (a view), and the part of the mask inside the picture."""
        height, width = image.shape[:2]
        left, top = max(self.x0, 0), max(self.y0, 0)
        right = max(min(self.x0 + self.mask.shape[1], width), left)
        bottom = max(min(self.y0 + self.mask.shape[0], height), top)
        mask = self.mask[top - self.y0 : bottom - self.y0, left - self.x0 : right - self.x0]
        return image[top:bottom, left:right], mask


def blend(window: np.ndarray, colour: Colour, coverage: np.ndarray) -> None:
    """Mixes a colour into a (h, w, 3) uint8 window in place; coverage (h, w) uint8, 255 = colour only."""
    if window.size == 0:
        return
    paint = np.empty_like(window)
    paint[:] = colour
    weight = coverage.astype(np.float32) * np.float32(1 / 255)
    window[:] = cv2.blendLinear(paint, window, weight, 1 - weight)


def fill(image: np.ndarray, region: Region, colour: Colour, alpha: float) -> None:
    """Translucent fill."""
    window, mask = region.window(image)
    blend(window, colour, cv2.convertScaleAbs(mask, alpha=alpha))


def hatch(image: np.ndarray, region: Region, colour: Colour, period: float, rising: bool, alpha: float = 0.9) -> None:
    """Diagonal stripes, anti-aliased, a quarter of a period thick; their phase is fixed to the picture.

    Args:
        period: distance from stripe to stripe in pixels, across them.
        rising: `/` instead of `\\`, so that two hatchings on one spot stay distinct.
    """
    window, mask = region.window(image)
    rows = np.arange(max(region.y0, 0), max(region.y0, 0) + mask.shape[0], dtype=np.float32)[:, None]
    columns = np.arange(max(region.x0, 0), max(region.x0, 0) + mask.shape[1], dtype=np.float32)[None]
    across = (columns + rows if rising else columns - rows) * np.float32(np.sqrt(0.5))
    from_centre = np.abs(across % period - period / 2)
    stripes = np.clip(period / 8 + 0.5 - from_centre, 0, 1) * np.float32(alpha)
    blend(window, colour, (stripes * mask).astype(np.uint8))


def contour(image: np.ndarray, region: Region, colour: Colour, thickness: int) -> None:
    """Anti-aliased outline, holes included."""
    lines, _ = cv2.findContours(region.mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE, offset=(region.x0, region.y0))
    cv2.drawContours(image, lines, -1, colour, thickness, cv2.LINE_AA)


def trail(image: np.ndarray, points: Sequence[tuple[float, float] | None], colour: Colour, thickness: int) -> None:
    """Polyline from old to new points that fades towards the old end; None marks a gap."""
    seen = [point for point in points if point is not None]
    if len(seen) < 2:
        return
    height, width = image.shape[:2]
    margin = thickness + 1
    low, high = np.min(seen, axis=0), np.max(seen, axis=0)
    left, top = max(int(low[0]) - margin, 0), max(int(low[1]) - margin, 0)
    right, bottom = min(int(high[0]) + margin + 1, width), min(int(high[1]) + margin + 1, height)
    if right <= left or bottom <= top:
        return
    coverage = np.zeros((bottom - top, right - left), np.uint8)
    for step, (old, new) in enumerate(zip(points, list(points)[1:], strict=False), start=1):
        if old is not None and new is not None:
            ends = [(round((x - left) * 8), round((y - top) * 8)) for x, y in (old, new)]
            strength = round(230 * step / (len(points) - 1))
            cv2.line(coverage, ends[0], ends[1], strength, thickness, cv2.LINE_AA, shift=3)
    blend(image[top:bottom, left:right], colour, coverage)
