"""Who moves where in a synthetic scene: smooth paths of small groups that keep crossing, and a smooth camera.

Depth plays no part here, so the vertical position of an object says nothing about who is in front.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Path:
    """Pose of one object over T frames, in the scene's coordinates (= image pixels for a camera at rest).

    Attributes:
        centres: (T, 2) x and y.
        scales: (T,) factors around 1.
        angles: (T,) radians.
    """

    centres: Floats
    scales: Floats
    angles: Floats

    def __post_init__(self) -> None:
        frames = len(self.centres)
        if self.centres.shape != (frames, 2) or self.scales.shape != (frames,) or self.angles.shape != (frames,):
            raise ValueError("A Path needs centres (T, 2), scales (T,) and angles (T,).")


def swing(frames: int, amplitude: float, rng: np.random.Generator, period: tuple[float, float] = (28, 60)) -> Floats:
    """(T,) sine of random phase; `period` in frames."""
    return amplitude * np.sin(2 * np.pi * np.arange(frames) / rng.uniform(*period) + rng.uniform(0, 2 * np.pi))


def plan_groups(count: int, rng: np.random.Generator) -> list[int]:
    """Splits `count` objects into groups that meet; a group of one wanders through the picture and out of it."""
    choices = {1: [[1]], 2: [[2]], 3: [[3]], 4: [[4], [2, 2], [3, 1]], 5: [[3, 2], [4, 1]]}
    choices[6] = [[3, 3], [4, 2], [5, 1], [3, 2, 1]]
    if count not in choices:
        raise ValueError(f"A scene has 1 to {max(choices)} objects, got {count}.")
    return choices[count][int(rng.integers(len(choices[count])))]


def group_centres(groups: int, frames: int, height: int, width: int, rng: np.random.Generator) -> list[Floats]:
    """(T, 2) paths of the groups' centres, side by side across the picture, each drifting a little."""
    order = rng.permutation(groups)
    paths = []
    for slot in order:
        x = width * (slot + rng.uniform(0.35, 0.65)) / groups + swing(frames, 0.06 * width, rng, (50, 110))
        y = height * rng.uniform(0.36, 0.64) + swing(frames, 0.08 * height, rng, (50, 110))
        paths.append(np.stack([x, y], axis=1))
    return paths


def member_path(centre: Floats, place: float, reach: float, rng: np.random.Generator) -> Path:
    """Path of a group's member: to and fro through the group's centre, a little off it.

    Args:
        centre: (T, 2) path of the group.
        place: direction of the line that it swings along, radians.
        reach: size in pixels that sets how far it swings.
    """
    frames = len(centre)
    along = np.array([np.cos(place), np.sin(place)])
    across = np.array([-along[1], along[0]])
    offset = swing(frames, reach * rng.uniform(0.12, 0.55), rng, (26, 56))
    drift = reach * rng.uniform(-0.25, 0.25) + swing(frames, 0.08 * reach, rng)
    return _posed(centre + offset[:, None] * along + drift[:, None] * across, rng)


def wanderer_path(height: int, width: int, frames: int, reach: float, rng: np.random.Generator) -> Path:
    """Path that leaves the picture on one side around the middle of the video and comes back."""
    side = float(rng.choice((-1.0, 1.0)))
    amplitude = width * rng.uniform(0.25, 0.5)
    turn, period = frames * rng.uniform(0.3, 0.7), rng.uniform(50, 80)
    outermost = width / 2 + 0.7 * reach
    from_middle = outermost - amplitude * (1 - np.cos(2 * np.pi * (np.arange(frames) - turn) / period))
    y = height * rng.uniform(0.3, 0.7) + swing(frames, 0.1 * height, rng)
    return _posed(np.stack([width / 2 + side * from_middle, y], axis=1), rng)


def camera_path(frames: int, height: int, width: int, rng: np.random.Generator) -> list[NDArray[np.float64]]:
    """T affine matrices (2, 3), scene -> image: a slow pan, a small zoom and a slight roll about the centre."""
    pan_x, pan_y = swing(frames, 0.04 * width, rng, (50, 120)), swing(frames, 0.04 * height, rng, (50, 120))
    zoom, roll = 1 + swing(frames, 0.05, rng, (50, 120)), swing(frames, 0.03, rng, (60, 120))
    middle = np.array([width / 2, height / 2])
    return [rigid(middle, middle + (pan_x[t], pan_y[t]), zoom[t], roll[t]) for t in range(frames)]


def rigid(source: Floats, target: Floats, scale: float, angle: float) -> Floats:
    """(2, 3) similarity that turns and scales about `source` and carries it to `target`."""
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.column_stack([linear, np.asarray(target) - linear @ np.asarray(source)])


def compose(outer: Floats, inner: Floats) -> Floats:
    """(2, 3) affine `outer` after `inner`."""
    return np.column_stack([outer[:, :2] @ inner[:, :2], outer[:, :2] @ inner[:, 2] + outer[:, 2]])


def _posed(centres: Floats, rng: np.random.Generator) -> Path:
    frames = len(centres)
    scales = 1 + swing(frames, rng.uniform(0.02, 0.12), rng)
    return Path(centres, scales, rng.uniform(-0.35, 0.35) + swing(frames, rng.uniform(0.05, 0.4), rng))
