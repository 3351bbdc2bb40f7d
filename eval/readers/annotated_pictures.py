"""Pictures of annotated videos: which lie in a folder, and of what size they are; of the pixels nothing is read."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from PIL import ExifTags, Image

from eval.errors import SchemaError
from eval.readers.annotated_video import PICTURES, natural_key
from eval.readers.record import LARGEST_IMAGE


def pictures_in(folder: Path) -> list[str]:
    """Names of the pictures directly in a folder, in natural order.

    Raises:
        SchemaError: There are none.
    """
    paths = folder.iterdir() if folder.is_dir() else ()
    found = [path.name for path in paths if path.suffix.lower() in PICTURES and not path.name.startswith(".")]
    if not found:
        raise SchemaError(
            f"There are no pictures in '{folder}'. Put the frames of the video there, name its file by --media "
            "(cvat-video and mots-png), or leave out --frames."
        )
    return sorted(found, key=natural_key)


def picture_size(folder: Path) -> tuple[int, int]:
    """Height and width of the pictures directly in a folder, as they stand upright.

    Raises:
        SchemaError: There are none, one cannot be read, or they are of two sizes.
    """
    sizes: dict[tuple[int, int], str] = {}
    for name in pictures_in(folder):
        sizes.setdefault(_upright_size(folder / name), name)
        if len(sizes) > 1:
            both = " and ".join(f"'{other}' {height} x {width}" for (height, width), other in sizes.items())
            raise SchemaError(f"Pictures in '{folder}' are {both} (height x width). Frames of a video have one size.")
    return next(iter(sizes))


def refuse_other_sizes(names: Sequence[str], root: Path, height: int, width: int, source: str) -> None:
    """Annotations of pictures of another size would lie beside their objects.

    Args:
        names: Paths of the pictures of a video, below their root.
        root: Where they are.
        height, width: Of the frames, in pixels, as the annotations say.
        source: Where these were read, for the error.

    Raises:
        SchemaError: A picture, as it stands upright, is of another size, or cannot be read.
    """
    for name in names:
        found = _upright_size(root / name)
        if found != (height, width):
            sizes = f"{found[0]} x {found[1]}, but {source} is of {height} x {width} (height x width)"
            raise SchemaError(f"'{root / name}' is {sizes}. Give the pictures that were annotated.")


def _upright_size(path: Path) -> tuple[int, int]:
    """Height and width; its header is all that is read of a picture."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                width, height = image.size
                turned = image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
    except Exception as error:  # Pillow lets through whatever it met: OSError, SyntaxError, struct.error, ...
        raise SchemaError(f"'{path}' is no picture that can be read ({error}). Remove or replace it.") from None
    if height * width > LARGEST_IMAGE:
        raise SchemaError(f"'{path}' is {height} x {width}, expected at most {LARGEST_IMAGE} pixels. Make it smaller.")
    return (width, height) if turned else (height, width)
