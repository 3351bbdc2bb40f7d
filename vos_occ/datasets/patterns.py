"""Procedural grey patterns for the synthetic world: two disjoint variants of every kind, one per split.

A pattern knows nothing of colours, photographs or objects; `textures` paints with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Split = Literal["train", "heldout"]
PatternKind = Literal["stripes", "checker", "dots", "noise", "grain", "bands"]

Plane = NDArray[np.float32]
PatternFunction = Callable[[Plane, Plane, float, np.random.Generator], Plane]


def pattern(kind: PatternKind, split: Split, height: int, width: int, period: float, rng: np.random.Generator) -> Plane:
    """One pattern, turned by a random angle.

    Args:
        kind: what the pattern looks like in both splits.
        split: which of the kind's two constructions draws it (they share no image: see `PATTERNS`).
        period: size of the repeating unit in pixels.

    Returns:
        (height, width) float32 in [0, 1].
    """
    angle, phase = rng.uniform(0, np.pi), rng.uniform(0, period, 2)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    u = (np.cos(angle) * x + np.sin(angle) * y + phase[0]).astype(np.float32)
    v = (np.cos(angle) * y - np.sin(angle) * x + phase[1]).astype(np.float32)
    return np.clip(PATTERNS[kind][split](u, v, period, rng), 0, 1).astype(np.float32)


def value_noise(height: int, width: int, period: float, rng: np.random.Generator, octaves: int = 3) -> Plane:
    """Smooth noise: random grids of halving period, interpolated and added up. (height, width) float32 in [0, 1]."""
    total, weight = np.zeros((height, width), np.float32), 1.0
    for _ in range(octaves):
        grid = rng.random((int(height / period) + 3, int(width / period) + 3), dtype=np.float32)
        total += weight * cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
        period, weight = max(period / 2, 2.0), weight / 2
    low, high = np.percentile(total, (1, 99))
    return np.clip((total - low) / max(high - low, 1e-6), 0, 1)


def _soft_step(wave: Plane, sharpness: float = 4.0) -> Plane:
    """Turns a wave in [-1, 1] into two tones with soft edges, which survive scaling without shimmer."""
    return 0.5 + 0.5 * np.tanh(sharpness * wave)


def _straight_stripes(u: Plane, v: Plane, period: float, rng: np.random.Generator) -> Plane:
    return _soft_step(np.sin(2 * np.pi * u / period) + rng.uniform(-0.4, 0.4))


def _wavy_stripes(u: Plane, v: Plane, period: float, rng: np.random.Generator) -> Plane:
    bend = rng.uniform(0.25, 0.5) * period * np.sin(2 * np.pi * v / (period * rng.uniform(2.0, 3.5)))
    return _soft_step(np.sin(2 * np.pi * (u + bend) / period))


def _square_checker(u: Plane, v: Plane, period: float, rng: np.random.Generator) -> Plane:
    return _soft_step(3 * np.sin(np.pi * u / period) * np.sin(np.pi * v / period))


def _brick_checker(u: Plane, v: Plane, period: float, rng: np.random.Generator) -> Plane:
    row = np.floor(v / period)
    along = np.mod(u / (2 * period) + 0.5 * np.mod(row, 2), 1.0)
    up = np.mod(v / period, 1.0)
    joint = np.minimum(np.minimum(along, 1 - along) * 2, np.minimum(up, 1 - up))
    return np.clip(joint * rng.uniform(6, 9), 0, 1)


def _square_dots(u: Plane, v: Plane, period: float, rng: np.random.Generator) -> Plane:
    return _soft_step(np.cos(2 * np.pi * u / period) + np.cos(2 * np.pi * v / period) - rng.uniform(0.5, 0.9), 2.5)


def _hexagonal_rings(u: Plane, v: Plane, period: float, rng: np.random.Generator) -> Plane:
    waves = [np.cos(2 * np.pi * (np.cos(a) * u + np.sin(a) * v) / period) for a in (0, np.pi / 3, 2 * np.pi / 3)]
    return np.exp(-((sum(waves) - rng.uniform(0.4, 1.0)) ** 2) / 0.4)


def _cloud_noise(u: Plane, v: Plane, period: float, rng: np.random.Generator) -> Plane:
    return value_noise(*u.shape, period, rng)


def _ridged_noise(u: Plane, v: Plane, period: float, rng: np.random.Generator) -> Plane:
    return 1 - np.abs(2 * value_noise(*u.shape, period, rng, octaves=2) - 1) ** 0.7


def _ring_grain(u: Plane, v: Plane, period: float, rng: np.random.Generator) -> Plane:
    centre = rng.uniform(-2, 2, 2) * period * 4
    radius = np.hypot(u - centre[0], 0.35 * (v - centre[1]))
    wobble = period * value_noise(*u.shape, 4 * period, rng, octaves=2)
    return 0.5 + 0.5 * np.sin(2 * np.pi * (radius + wobble) / period)


def _fibre_grain(u: Plane, v: Plane, period: float, rng: np.random.Generator) -> Plane:
    lines = value_noise(int(np.ptp(u)) + 2, 1, period / 2, rng, octaves=3)[:, 0]
    wobble = period * value_noise(*u.shape, 5 * period, rng, octaves=1)
    return lines[np.mod((u - u.min() + wobble).astype(int), len(lines))]


def _soft_bands(u: Plane, v: Plane, period: float, rng: np.random.Generator) -> Plane:
    return 0.5 + 0.5 * np.sin(2 * np.pi * u / (rng.uniform(2.5, 4.0) * period))


def _stepped_arcs(u: Plane, v: Plane, period: float, rng: np.random.Generator) -> Plane:
    radius = np.hypot(u - u.mean() - rng.uniform(2, 5) * period, v - v.mean())
    return np.mod(np.floor(radius / (rng.uniform(0.8, 1.3) * period)), 4) / 3


PATTERNS: dict[PatternKind, dict[Split, PatternFunction]] = {
    "stripes": {"train": _straight_stripes, "heldout": _wavy_stripes},
    "checker": {"train": _square_checker, "heldout": _brick_checker},
    "dots": {"train": _square_dots, "heldout": _hexagonal_rings},
    "noise": {"train": _cloud_noise, "heldout": _ridged_noise},
    "grain": {"train": _ring_grain, "heldout": _fibre_grain},
    "bands": {"train": _soft_bands, "heldout": _stepped_arcs},
}
