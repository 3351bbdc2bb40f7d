"""Folders of numbered png files. Takes pictures; times have no place to go."""

from __future__ import annotations

import os
import re
from pathlib import Path

import cv2
import numpy as np

from vos_occ.structures.errors import UserError


class ImageSink:
    """Writes `000000.png`, `000001.png`, ... each whole and then renamed.

    Args:
        folder: made if it is not there. Numbered png files from an earlier run are removed, nothing else is touched.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            if re.fullmatch(r"\d{6,}\.png", path.name):
                path.unlink()

    def write(self, image: np.ndarray, seconds: float) -> None:
        """Adds one (H, W, 3) uint8 RGB picture."""
        path = self._folder / f"{self._count:06d}.png"
        encoded, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        if not encoded:
            raise UserError(f"{path} could not be encoded as png.")
        partial = path.with_name(f".{path.name}.partial")
        try:
            partial.write_bytes(data.tobytes())
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
        self._count += 1

    def close(self) -> None:
        """Nothing is held back."""

    def salvage(self) -> bool:
        """After an error: whether there are pictures. Each is whole."""
        return self._count > 0
