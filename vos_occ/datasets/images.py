"""Reading still images of a dataset."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vos_occ.media import image_source
from vos_occ.structures.errors import InputError


def read_image(path: str | Path) -> np.ndarray:
    """(H, W, 3) uint8 RGB of an image file.

    Raises:
        InputError: the file is absent or no image.
    """
    try:
        exists = Path(path).is_file()
    except (OSError, ValueError):  # a name that no file can have
        exists = False
    if not exists:
        raise InputError(f"Image {path} does not exist. Check the image root that goes with the annotation file.")
    return image_source.read_image(Path(path))


def read_frame(path: str | Path, height: int, width: int) -> np.ndarray:
    """(height, width, 3) uint8 RGB of an image whose size its annotation states.

    Raises:
        InputError: the file is absent, no image, or of another size: masks would lie beside the objects.
    """
    image = read_image(path)
    if image.shape[:2] != (height, width):
        raise InputError(
            f"{path} is {image.shape[1]}x{image.shape[0]}, but its annotation says {width}x{height}. "
            "Use the images that the annotation file was made for."
        )
    return image
