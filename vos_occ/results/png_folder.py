"""Pictures of numbers as png files: one, or a folder with one per frame. Knows nothing of what the numbers mean."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vos_occ.results.output import reported, write_atomically

NUMBERED = re.compile(r"\d{6,}\.png")


def write_png(path: str | Path, image: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
    """Write a grey (H, W) picture of 8 or 16 bit, or a uint8 (H, W, 3) RGB or (H, W, 4) RGBA one, whole or not at all.

    Raises:
        UserError: if the place cannot be written to.
    """
    if image.ndim == 3:
        image = image[:, :, [2, 1, 0, 3][: image.shape[2]]]
    encoded, data = cv2.imencode(".png", image)
    if not encoded:
        raise RuntimeError(f"OpenCV could not encode '{path}', {image.shape} {image.dtype}.")
    write_atomically(path, data.tobytes())


def frame_name(frame_index: int) -> str:
    """`000012.png`."""
    return f"{frame_index:06d}.png"


def remove_numbered(folder: Path, names: re.Pattern[str] = NUMBERED) -> None:
    """Remove the pictures of an earlier, perhaps longer run, which would mix with new ones; nothing else.

    Args:
        folder: where they are, if it exists.
        names: of the pictures of a run.

    Raises:
        UserError: if the system does not let them go.
    """
    if folder.is_dir():
        for old in folder.iterdir():
            if names.fullmatch(old.name):
                with reported(old):
                    old.unlink()
