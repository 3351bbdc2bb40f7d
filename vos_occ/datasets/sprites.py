"""Objects of the synthetic world as sprites: outline + texture + light, drawn once per video, warped into each frame.

Light from one side and a contact shadow let an eye tell which of two like objects is in front.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from vos_occ.datasets.patterns import Split
from vos_occ.datasets.shapes import OUTLINES, outline, rasterise
from vos_occ.datasets.textures import Look, object_texture

# A shape alone or a hue alone does not settle the class when most of an object is hidden; both together do.
LOOKS: dict[str, Look] = {
    "ball": Look(hue=0.01, hue_spread=0.05, patterns=("dots", "stripes")),
    "brick": Look(hue=0.08, hue_spread=0.03, patterns=("checker", "grain")),
    "star": Look(hue=0.15, hue_spread=0.04, patterns=("noise", "dots")),
    "leaf": Look(hue=0.32, hue_spread=0.07, patterns=("grain", "stripes")),
    "bottle": Look(hue=0.56, hue_spread=0.07, patterns=("bands", "checker")),
    "blossom": Look(hue=0.83, hue_spread=0.07, patterns=("bands", "noise")),
    "cross": Look(hue=0.44, hue_spread=0.04, patterns=("dots", "checker")),
    "crescent": Look(hue=0.69, hue_spread=0.05, patterns=("stripes", "grain")),
}
CLASSES: tuple[str, ...] = tuple(LOOKS)[:6]
"""Those of the plain world; the other two are drawn in street scenes, which have eight classes."""
assert set(LOOKS) == set(OUTLINES), "every class has a look and an outline"

MARGIN = 1.35  # canvas half side per outline radius: room for the shadow


@dataclass(frozen=True)
class Sprite:
    """One object's picture on a square canvas.

    Attributes:
        rgba: (S, S, 4) uint8; colours go on past the outline, so that warping bleeds no foreign colour in.
        shadow: (S, S) uint8, darkness of the soft shadow.
        radius: pixels from the canvas centre to the outline's farthest point.
    """

    rgba: NDArray[np.uint8]
    shadow: NDArray[np.uint8]
    radius: float

    @property
    def side(self) -> int:
        return self.rgba.shape[0]


def draw_sprite(
    name: str, split: Split, radius: float, photograph: str, light: NDArray[np.float64], rng: np.random.Generator
) -> Sprite:
    """Draws an instance of a class.

    Args:
        name: one of `LOOKS`.
        radius: pixels from centre to the farthest point of the outline.
        light: (2,) unit vector in the image plane, towards the light.
    """
    side = 2 * int(np.ceil(radius * MARGIN)) + 2
    alpha = rasterise(outline(name, split, rng), radius, side)
    texture = object_texture(LOOKS[name], split, side, photograph, rng).astype(np.float32)
    shaded = texture * _relief_light(alpha, light, rng)[..., None]
    rgba = np.dstack([np.clip(shaded, 0, 255), alpha * 255]).astype(np.uint8)
    shadow = cv2.GaussianBlur(alpha, (0, 0), 1.5 + 0.07 * radius)
    return Sprite(rgba, (255 * shadow).astype(np.uint8), radius)


def draw_crowd(
    name: str,
    split: Split,
    radius: float,
    photographs: Sequence[str],
    light: NDArray[np.float64],
    rng: np.random.Generator,
) -> Sprite:
    """Draws many small instances of a class, one over the other, as one object.

    Args:
        name: one of `LOOKS`.
        radius: pixels from the centre to the farthest point of any of them.
        photographs: entries of `PHOTOGRAPHS[split]`.
        light: as in `draw_sprite`.
    """
    side = 2 * int(np.ceil(radius * MARGIN)) + 2
    colours, alpha = np.zeros((side, side, 3), np.float32), np.zeros((side, side, 1), np.float32)
    for _ in range(int(rng.integers(6, 10))):
        part = draw_sprite(name, split, radius * rng.uniform(0.3, 0.4), str(rng.choice(photographs)), light, rng)
        turn, reach = rng.uniform(0, 2 * np.pi), np.sqrt(rng.random()) * (radius - part.radius)
        corner = np.round((side - part.side) / 2 + reach * np.array([np.sin(turn), np.cos(turn)])).astype(int)
        window = np.s_[corner[0] : corner[0] + part.side, corner[1] : corner[1] + part.side]
        over = part.rgba[..., 3:].astype(np.float32) / 255
        bare = alpha[window] == 0  # colours go on past the outline here too
        colours[window] += np.where(bare, 1, over) * (part.rgba[..., :3] - colours[window])
        alpha[window] = np.maximum(alpha[window], over)
    rgba = np.dstack([colours, alpha * 255]).astype(np.uint8)
    shadow = cv2.GaussianBlur(alpha[..., 0], (0, 0), 1.5 + 0.07 * radius)
    return Sprite(rgba, (255 * shadow).astype(np.uint8), radius)


def drained(sprite: Sprite, rng: np.random.Generator) -> Sprite:
    """The sprite without most of its colour: its outline says what it could be, its surface does not."""
    grey = sprite.rgba[..., :3].mean(2, keepdims=True)
    kept = rng.uniform(0.0, 0.12)
    colours = (grey + kept * (sprite.rgba[..., :3] - grey)).astype(np.uint8)
    return replace(sprite, rgba=np.dstack([colours, sprite.rgba[..., 3]]))


def _relief_light(alpha: NDArray[np.float32], light: NDArray[np.float64], rng: np.random.Generator) -> NDArray:
    """(S, S) float32 factors: Lambert light on a puffed-up outline, and a darker rim two pixels wide."""
    inside = (alpha >= 0.5).astype(np.uint8)
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, 5)
    bevel = max(4.0, rng.uniform(0.35, 0.8) * distance.max())
    rise = 1 - np.clip(distance / bevel, 0, 1)
    height = cv2.GaussianBlur(bevel * np.sqrt(1 - rise**2), (0, 0), 1.2)
    slope_x = cv2.Sobel(height, cv2.CV_32F, 1, 0, scale=1 / 8)
    slope_y = cv2.Sobel(height, cv2.CV_32F, 0, 1, scale=1 / 8)
    facing = (1.3 - slope_x * light[0] - slope_y * light[1]) / np.sqrt(1 + slope_x**2 + slope_y**2)
    rim = 1 - rng.uniform(0.35, 0.55) * np.exp(-np.maximum(distance - 0.5, 0) / 1.1)
    return np.clip(0.35 + 0.5 * facing, 0.3, 1.35).astype(np.float32) * rim
