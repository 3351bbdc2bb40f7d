"""Rendering of a synthetic scene: backdrop, then layers from far to near, each with its shadow, then the lens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vos_occ.datasets.motion import Floats, Path, compose, rigid, swing
from vos_occ.datasets.sprites import Sprite
from vos_occ.datasets.synthetic_truth import SyntheticFrame, layer_truth


@dataclass(frozen=True)
class Layer:
    """One object: its picture, where it goes, its class index, its depth (larger is nearer), and whether it is many."""

    sprite: Sprite
    path: Path
    label: int
    depth: int
    crowd: bool = False


@dataclass(frozen=True)
class Backdrop:
    """What lies behind everything, and the lens before everything.

    Attributes:
        image: (H + 2 border, W + 2 border, 3) uint8 RGB.
        border: pixels that the picture reaches beyond the frame on each side.
        gains: (T,) brightness of the frames, around 1.
        noise: (H + 64, W + 64, 1) float32 sensor noise; every frame shows another window of it.
        noise_corners: (T, 2) rows and columns of those windows.
        blur: sigma of the lens in pixels; 0 is sharp.
        shadow_offset: (2,) x and y, where shadows fall, in units of an object's radius.
        shadow_strength: in [0, 1].
    """

    image: NDArray[np.uint8]
    border: int
    gains: Floats
    noise: NDArray[np.float32]
    noise_corners: NDArray[np.int64]
    blur: float
    shadow_offset: Floats
    shadow_strength: float

    @classmethod
    def draw(
        cls, image: NDArray[np.uint8], border: int, frames: int, light: Floats, rng: np.random.Generator
    ) -> Backdrop:
        """Draws the lens at random; shadows fall away from `light`, a (2,) unit vector."""
        height, width = image.shape[0] - 2 * border, image.shape[1] - 2 * border
        noise = rng.standard_normal((height + 64, width + 64, 1), dtype=np.float32) * rng.uniform(1.5, 5)
        return cls(
            image=image,
            border=border,
            gains=rng.uniform(0.88, 1.08) + swing(frames, rng.uniform(0.0, 0.08), rng),
            noise=noise,
            noise_corners=rng.integers(0, 65, (frames, 2)),
            blur=float(rng.choice((0.0, rng.uniform(0.35, 0.7)))),
            shadow_offset=-light * rng.uniform(0.05, 0.12),
            shadow_strength=float(rng.uniform(0.4, 0.7)),
        )


@dataclass(frozen=True)
class Scene:
    """A video before it is rendered.

    Attributes:
        layers: in the order of the track ids; their depths are a permutation of 0 to N-1.
        camera: T affine (2, 3) matrices from the scene to the image.
    """

    layers: Sequence[Layer]
    backdrop: Backdrop
    camera: Sequence[Floats]
    height: int
    width: int

    @property
    def num_frames(self) -> int:
        return len(self.camera)

    def render(self, frame_index: int) -> SyntheticFrame:
        """The picture and its truth; depends on nothing that was rendered before."""
        canvas = self._backdrop_view(frame_index)
        amodal = np.zeros((len(self.layers), self.height, self.width), bool)
        depth_order = np.array([layer.depth for layer in self.layers], np.int64)
        for index in np.argsort(depth_order):
            self._paint(canvas, amodal[index], self.layers[index], frame_index)
        return SyntheticFrame(
            frame_index=frame_index,
            image=self._develop(canvas, frame_index),
            track_ids=np.arange(1, len(self.layers) + 1),
            labels=np.array([layer.label for layer in self.layers], np.int64),
            amodal=amodal,
            depth_order=depth_order,
            **layer_truth(amodal, depth_order),
        )

    def _backdrop_view(self, frame_index: int) -> NDArray[np.float32]:
        shift = np.array([[1.0, 0, -self.backdrop.border], [0, 1, -self.backdrop.border]])
        view = compose(self.camera[frame_index], shift)
        size = (self.width, self.height)
        return cv2.warpAffine(self.backdrop.image, view, size, borderMode=cv2.BORDER_REFLECT).astype(np.float32)

    def _paint(self, canvas: NDArray[np.float32], mask: NDArray[np.bool_], layer: Layer, frame_index: int) -> None:
        """Darkens the canvas by the layer's shadow, lays the layer on it, and marks its extent in `mask`."""
        sprite, path = layer.sprite, layer.path
        centre = np.full(2, (sprite.side - 1) / 2)
        pose = rigid(centre, path.centres[frame_index], path.scales[frame_index], path.angles[frame_index])
        pose = compose(self.camera[frame_index], pose)
        window = self._window(pose, sprite.side, self.backdrop.shadow_offset * sprite.radius)
        if window is None:
            return
        left, top, right, bottom = window
        size = (right - left, bottom - top)
        pose = pose - np.array([[0, 0, left], [0, 0, top]])
        part = canvas[top:bottom, left:right]
        shade = cv2.warpAffine(sprite.shadow, _moved(pose, self.backdrop.shadow_offset * sprite.radius), size)
        part *= 1 - shade[..., None] * np.float32(self.backdrop.shadow_strength / 255)
        rgba = cv2.warpAffine(sprite.rgba, pose, size)
        alpha = rgba[..., 3:].astype(np.float32) / 255
        part += alpha * (rgba[..., :3] - part)
        mask[top:bottom, left:right] = rgba[..., 3] >= 128

    def _window(self, pose: Floats, side: int, offset: Floats) -> tuple[int, int, int, int] | None:
        """Image rectangle (left, top, right, bottom) that the sprite or its shadow may touch; None when outside."""
        corners = np.array([[0, 0], [side, 0], [0, side], [side, side]]) @ pose[:, :2].T + pose[:, 2]
        low, high = np.floor(corners.min(0) - np.abs(offset)), np.ceil(corners.max(0) + np.abs(offset)) + 1
        left, top = np.maximum(low, 0).astype(int)
        right, bottom = np.minimum(high, (self.width, self.height)).astype(int)
        return (left, top, right, bottom) if right > left and bottom > top else None

    def _develop(self, canvas: NDArray[np.float32], frame_index: int) -> NDArray[np.uint8]:
        """Lens blur, brightness and sensor noise."""
        backdrop = self.backdrop
        if backdrop.blur:
            canvas = cv2.GaussianBlur(canvas, (0, 0), backdrop.blur)
        row, column = backdrop.noise_corners[frame_index]
        noise = backdrop.noise[row : row + self.height, column : column + self.width]
        return np.clip(canvas * np.float32(backdrop.gains[frame_index]) + noise + 0.5, 0, 255).astype(np.uint8)


def _moved(pose: Floats, offset: Floats) -> Floats:
    return pose + np.array([[0, 0, offset[0]], [0, 0, offset[1]]])
