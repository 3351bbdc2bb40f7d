"""Reading still images of a dataset."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from eval.errors import listed
from eval.readers.annotated_video import PICTURES
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
        raise InputError(
            f"Image {path} does not exist. Is it missing, or is the image root another than the annotation file's?"
        )
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


def require_pictures(folder: Path, names: Sequence[str], source: str | Path) -> None:
    """Complain before the first of them is read.

    Args:
        folder: that the pictures are in.
        names: of their files.
        source: of the labels that ask for them, for the message.

    Raises:
        InputError: some are not there.
    """
    try:
        there = set(os.listdir(folder))
    except (OSError, ValueError):  # no folder, or a name that none can have
        there = set()
    missing = [name for name in names if name not in there]
    if missing:
        raise InputError(
            f"'{folder}' lacks {len(missing)} of the {len(names)} pictures that '{source}' has labels of: "
            f"{listed(missing)}. Unpack all frames there, or name the folder that holds them."
        )


def picture_suffix(folder: Path, stems: Sequence[str], source: str | Path) -> str:
    """How the files of pictures end whose labels are named alike: ".jpg".

    Args:
        folder: that the pictures are in.
        stems: names of their files without the ending.
        source: as above.

    Raises:
        InputError: some are not there.
    """
    suffix = next((suffix for suffix in PICTURES if (folder / f"{stems[0]}{suffix}").is_file()), PICTURES[0])
    require_pictures(folder, [stem + suffix for stem in stems], source)
    return suffix
