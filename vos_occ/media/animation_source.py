"""Animated pictures that FFmpeg does not read: WebP, through Pillow. Knows the chunks that tell moving from still."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from vos_occ.media.clip import Clip
from vos_occ.media.source import Frame, VideoReader, scaled_size
from vos_occ.structures.errors import InputError

_HEAD = 1 << 16  # bytes; both marks stand before the first picture
_SHORTEST = 0.02  # seconds; browsers show shorter frames longer too


def is_animated_webp(path: Path) -> bool:
    """Whether a `.webp` file announces an animation."""
    return path.suffix.lower() == ".webp" and b"ANIM" in _head(path)


def is_animated_png(path: Path) -> bool:
    """Whether a `.png` file announces an animation, which FFmpeg reads."""
    return path.suffix.lower() == ".png" and b"acTL" in _head(path).partition(b"IDAT")[0]


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_HEAD)
    except OSError:
        return b""  # whoever reads it says what is wrong


class AnimationReader(VideoReader):
    """Frames of an animated WebP, composed as a browser shows them.

    Raises:
        InputError: it is no animation that Pillow can decode.
    """

    def __init__(self, path: Path, *, max_side: int | None = None, clip: Clip = Clip()) -> None:  # noqa: B008
        self._path = path
        try:
            with Image.open(path) as animation:
                size, num_frames = animation.size, animation.n_frames
                seconds = [_delay(animation, index) for index in range(min(2, num_frames))]
        except (OSError, EOFError, UnidentifiedImageError, Image.DecompressionBombError) as error:
            raise InputError(f"{path} is not an animation that Pillow can decode ({error}).") from error
        width, height = scaled_size(*size, max_side)
        fps = len(seconds) / sum(seconds)
        super().__init__(name=path.name, width=width, height=height, fps=fps, num_frames=num_frames, clip=clip)

    def _decode(self) -> Generator[Frame, None, None]:
        selection, time, problem, seen = self._selection(), 0.0, None, 0
        with Image.open(self._path) as animation:
            for index in range(animation.n_frames):
                try:
                    delay = _delay(animation, index)
                except (OSError, EOFError) as error:
                    problem = f"reading stopped after {index} frames ({error})"
                    break
                if selection.is_over(index, time):
                    break
                if selection.takes(index, time):
                    yield Frame(index, time, self._to_rgb(animation))
                time, seen = time + delay, index + 1
        self._end_pass(seen, selection.taken, problem)

    def _to_rgb(self, animation: Image.Image) -> np.ndarray:
        image = np.ascontiguousarray(np.asarray(animation.convert("RGBA"))[..., :3])
        if (self.width, self.height) == animation.size:
            return image
        return cv2.resize(image, (self.width, self.height), interpolation=cv2.INTER_AREA)


def _delay(animation: Image.Image, index: int) -> float:
    """Goes to a frame; how long it is shown, in seconds."""
    animation.seek(index)
    animation.load()  # WebP: the delay is known only now
    return max(_SHORTEST, animation.info.get("duration", 0) / 1000)
