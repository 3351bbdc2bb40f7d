"""Outlines of the synthetic world's classes as polygons, each class with disjoint parameter ranges per split.

| class   | train                            | heldout                          |
| ------- | -------------------------------- | -------------------------------- |
| ball    | aspect .86 to 1                  | aspect .68 to .80                |
| brick   | aspect .50 to .70                | aspect .36 to .46                |
| star    | 5 or 6 points, waist .42 to .52  | 4 or 7 points, waist .55 to .62  |
| leaf    | widest before the middle         | widest behind the middle, slimmer |
| bottle  | neck .22 to .30 of the height    | neck .36 to .44, wider neck      |
| blossom | 5 or 6 petals                    | 4 or 8 petals                    |
| cross   | arms .26 to .34 of its width     | arms .42 to .50                  |
| crescent | bitten .85 to 1.05 radii deep   | bitten .45 to .65 radii deep     |

The last two take part in street scenes only (`synthetic_street`).

Knows nothing of textures, depth or motion. No outline has a hole.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from vos_occ.datasets.patterns import Split

Polygon = NDArray[np.float64]
_STEPS = 180


def outline(name: str, split: Split, rng: np.random.Generator) -> Polygon:
    """(P, 2) closed polygon of a class, centred at 0, its farthest point at distance 1; y points down."""
    polygon = OUTLINES[name](split, rng)
    polygon = polygon - (polygon.max(0) + polygon.min(0)) / 2
    return polygon / np.hypot(*polygon.T).max()


def rasterise(polygon: Polygon, radius: float, side: int) -> NDArray[np.float32]:
    """Coverage of a polygon on a square canvas.

    Args:
        polygon: (P, 2) as `outline` gives it.
        radius: pixels per unit.
        side: canvas side in pixels; the polygon's origin falls on the canvas centre.

    Returns:
        (side, side) float32 in [0, 1], the covered share of each pixel.
    """
    oversampling = 8  # fillPoly also fills what the outline touches: here an eighth of a pixel
    canvas = np.zeros((side * oversampling, side * oversampling), np.uint8)
    points = np.round(((polygon * radius + side / 2) * oversampling - 0.5) * 16).astype(np.int32)
    cv2.fillPoly(canvas, [points], 255, shift=4)
    return cv2.resize(canvas, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def _polar(radius: NDArray[np.float64], angle: NDArray[np.float64]) -> Polygon:
    return np.stack([radius * np.sin(angle), -radius * np.cos(angle)], axis=1)


def _angles() -> NDArray[np.float64]:
    return np.linspace(0, 2 * np.pi, _STEPS, endpoint=False)


def _ball(split: Split, rng: np.random.Generator) -> Polygon:
    aspect = rng.uniform(0.86, 1.0) if split == "train" else rng.uniform(0.68, 0.80)
    return _polar(np.ones(_STEPS), _angles()) * (1, aspect)


def _brick(split: Split, rng: np.random.Generator) -> Polygon:
    aspect = rng.uniform(0.50, 0.70) if split == "train" else rng.uniform(0.36, 0.46)
    # A superellipse of high power is a box with rounded corners.
    cosine, sine, power = np.cos(_angles()), np.sin(_angles()), 2 / rng.uniform(7, 12)
    x, y = np.sign(cosine) * np.abs(cosine) ** power, np.sign(sine) * np.abs(sine) ** power
    return np.stack([x, aspect * y], axis=1)


def _star(split: Split, rng: np.random.Generator) -> Polygon:
    points = int(rng.choice((5, 6) if split == "train" else (4, 7)))
    waist = rng.uniform(0.42, 0.52) if split == "train" else rng.uniform(0.55, 0.62)
    radius = np.tile([1.0, waist], points)
    angle = np.arange(2 * points) * np.pi / points
    return _smooth(_resample(_polar(radius, angle)), 3)


def _leaf(split: Split, rng: np.random.Generator) -> Polygon:
    skew = rng.uniform(0.6, 0.8) if split == "train" else rng.uniform(1.25, 1.6)
    width = rng.uniform(0.46, 0.58) if split == "train" else rng.uniform(0.36, 0.43)
    t = np.linspace(0, 1, _STEPS // 2)
    bend = rng.uniform(-0.2, 0.2) * np.sin(np.pi * t)
    profile = width * np.sin(np.pi * t**skew)
    right, left = np.stack([profile + bend, 2 * t - 1], 1), np.stack([bend - profile, 2 * t - 1], 1)
    return np.concatenate([right, left[::-1]])


def _bottle(split: Split, rng: np.random.Generator) -> Polygon:
    neck = rng.uniform(0.22, 0.30) if split == "train" else rng.uniform(0.36, 0.44)
    body = rng.uniform(0.42, 0.5) if split == "train" else rng.uniform(0.32, 0.39)
    mouth = body * (rng.uniform(0.34, 0.44) if split == "train" else rng.uniform(0.50, 0.58))
    heights = 2 * np.array([0.0, 0.06, 0.06, neck, neck + 0.16, 0.94, 1.0]) - 1
    widths = np.array([mouth * 1.2, mouth * 1.2, mouth, mouth, body, body, body * 0.88])
    right = np.stack([widths, heights], 1)
    corners = np.concatenate([right, right[::-1] * (-1, 1)])
    return _smooth(_resample(corners), 2)


def _blossom(split: Split, rng: np.random.Generator) -> Polygon:
    petals = int(rng.choice((5, 6) if split == "train" else (4, 8)))
    depth = rng.uniform(0.3, 0.42) if split == "train" else rng.uniform(0.2, 0.28)
    return _polar(1 - depth + depth * np.abs(np.cos(_angles() * petals / 2)) ** 0.8, _angles())


def _cross(split: Split, rng: np.random.Generator) -> Polygon:
    arm = rng.uniform(0.26, 0.34) if split == "train" else rng.uniform(0.42, 0.50)
    quarter, turn = np.array([[arm, 1.0], [arm, arm], [1.0, arm]]), np.array([[0, -1], [1, 0]])
    corners = np.concatenate([quarter @ np.linalg.matrix_power(turn, k) for k in range(4)])
    return _smooth(_resample(corners), 2)


def _crescent(split: Split, rng: np.random.Generator) -> Polygon:
    bite = rng.uniform(0.85, 1.05) if split == "train" else rng.uniform(0.45, 0.65)
    horn = rng.uniform(0.85, 0.95)  # radians from the middle of the bite to where it meets the circle
    back = np.linspace(horn, 2 * np.pi - horn, _STEPS // 2)
    across = np.linspace(-1, 1, _STEPS // 2)
    front = np.stack([np.cos(horn) - bite * (1 - across**2), np.sin(horn) * across], 1)
    return np.concatenate([np.stack([np.cos(back), np.sin(back)], 1), front])


def _resample(corners: Polygon) -> Polygon:
    """Points at equal steps along a closed polygon."""
    closed = np.concatenate([corners, corners[:1]])
    length = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(closed, axis=0).T))])
    at = np.linspace(0, length[-1], _STEPS, endpoint=False)
    return np.stack([np.interp(at, length, closed[:, axis]) for axis in (0, 1)], axis=1)


def _smooth(polygon: Polygon, rounds: int) -> Polygon:
    """Rounds the corners: a few passes of a 1-2-1 filter along the closed curve."""
    for _ in range(rounds):
        polygon = (np.roll(polygon, 1, 0) + 2 * polygon + np.roll(polygon, -1, 0)) / 4
    return polygon


OUTLINES: dict[str, Callable[[Split, np.random.Generator], Polygon]] = {
    "ball": _ball,
    "brick": _brick,
    "star": _star,
    "leaf": _leaf,
    "bottle": _bottle,
    "blossom": _blossom,
    "cross": _cross,
    "crescent": _crescent,
}
