"""Reading still images of a dataset."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from vos_occ.structures.errors import InputError


def read_image(path: str | Path) -> np.ndarray:
    """(H, W, 3) uint8 RGB of an image file.

    Raises:
        InputError: the file is absent or no image.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        what = "is not an image that can be read" if Path(path).exists() else "does not exist"
        raise InputError(f"{path} {what}. Check the image root that the config names.")
    return np.ascontiguousarray(image[..., ::-1])
