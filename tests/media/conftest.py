"""Tiny videos of any container, codec, pixel format, orientation and timing, made on the spot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

TICKS = 90_000


def corner_picture(height: int = 32, width: int = 48) -> np.ndarray:
    """Black with a white quarter at the top left and a red one at the top right: every orientation looks different."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2] = 255
    image[: height // 2, width // 2 :, 0] = 255
    return image


def grey_ramp(count: int, height: int = 32, width: int = 48) -> list[np.ndarray]:
    """Flat pictures that get brighter by 20 a frame: the order can be read off the pixels."""
    return [np.full((height, width, 3), 20 + 20 * i, np.uint8) for i in range(count)]


def write_test_video(
    path: Path,
    pictures: Sequence[np.ndarray],
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    fps: int = 10,
    times: Sequence[float] | None = None,
    rotation: tuple[int, bool, bool] | None = None,
) -> Path:
    """Writes with PyAV alone, so that the reader is not tested against our own writer."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        stream.height, stream.width = pictures[0].shape[:2] if len(pictures) else (32, 48)
        stream.pix_fmt = pix_fmt
        base = Fraction(1, fps) if times is None else Fraction(1, TICKS)
        stream.codec_context.time_base = base
        if rotation is not None:
            stream.set_display_rotation(*rotation)
        container.start_encoding()
        for i, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = (i if times is None else round(times[i] * TICKS)), base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def make_video(tmp_path: Path) -> Callable[..., Path]:
    def make(name: str, pictures: Sequence[np.ndarray], **options: object) -> Path:
        return write_test_video(tmp_path / name, pictures, **options)

    return make


@pytest.fixture
def corner() -> np.ndarray:
    return corner_picture()


@pytest.fixture
def ramp() -> Callable[..., list[np.ndarray]]:
    return grey_ramp
