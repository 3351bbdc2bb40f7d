"""Pictures of numbers as png files: one, or a folder with one per frame. Knows nothing of what the numbers mean."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vos_occ.results.output import reported, write_atomically

NUMBERED = re.compile(r"\d{6,}\.png")
_ANY = re.compile(r".*\.png")


def write_png(path: str | Path, image: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
    """Write a grey (H, W) picture of 8 or 16 bit, or a uint8 (H, W, 3) RGB or (H, W, 4) RGBA one, whole or not at all.

    Raises:
        UserError: if the place cannot be written to.
    """
    write_atomically(path, encode_png(image))


def encode_png(image: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    """What `write_png` writes."""
    if image.ndim == 3:
        image = image[:, :, [2, 1, 0, 3][: image.shape[2]]]
    encoded, data = cv2.imencode(".png", image)
    if not encoded:
        raise RuntimeError(f"OpenCV could not encode a picture, {image.shape} {image.dtype}.")
    return data.tobytes()


def frame_name(frame_index: int) -> str:
    """`000012.png`."""
    return f"{frame_index:06d}.png"


@contextmanager
def whole_folder(path: str | Path) -> Iterator[Path]:
    """A folder of png files that appears under its name only when the block ends without an error.

    Until then it is a neighbour, `.<name>.part`, which is removed on an error, as is one that a killed run left behind.
    It takes the place of a folder of png files, and of no other.

    Raises:
        UserError: the system does not let it be made, or there are other files where it should be.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        with reported(path, part):
            part.mkdir(parents=True)
            yield part
            remove_numbered(path, _ANY)
            os.replace(part, path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


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
