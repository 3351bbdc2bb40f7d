"""Pictures as videos: folders of images in natural order, or one image as a video of one frame."""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from pathlib import Path

import cv2
import numpy as np

from vos_occ.media.source import Frame, VideoReader, scaled_size
from vos_occ.structures.errors import InputError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")


class ImageReader(VideoReader):
    """Images read one at a time, all of the size of the first. They have no clock, so `Frame.time` is None.

    Args:
        name: how the video is called.
        paths: the images, in order; at least one.
        max_side: the longer side of the frames in pixels, at most.
        fps: frames per second that the pictures are taken to have, for whoever writes a video from them.

    Raises:
        InputError: on opening, if the first image cannot be decoded; while reading, if a later one cannot, or has
            another size than the first (sizes are not checked up front: that would read a whole dataset twice).
    """

    def __init__(self, name: str, paths: Sequence[Path], *, max_side: int | None = None, fps: float = 25.0) -> None:
        self._paths = list(paths)
        height, width = read_image(self._paths[0]).shape[:2]
        self._source_size = (width, height)
        width, height = scaled_size(width, height, max_side)
        super().__init__(name=name, width=width, height=height, fps=fps, num_frames=len(self._paths))

    def _decode(self) -> Generator[Frame, None, None]:
        for index, path in enumerate(self._paths):
            yield Frame(index, None, self._read(path))

    def _read(self, path: Path) -> np.ndarray:
        image = read_image(path)
        height, width = image.shape[:2]
        if (width, height) != self._source_size:
            expected = "x".join(map(str, self._source_size))
            raise InputError(
                f"{path} is {width}x{height}, but {self._paths[0].name} in the same folder is {expected}. "
                "All images of a video must have one size: resize them, or keep each size in a folder of its own."
            )
        if (self.width, self.height) == (width, height):
            return image
        return cv2.resize(image, (self.width, self.height), interpolation=cv2.INTER_AREA)


def read_image(path: Path) -> np.ndarray:
    """(H, W, 3) uint8 RGB, turned upright by its EXIF tag; grey is repeated, alpha dropped, 16 bit cut to 8.

    Raises:
        InputError: the file cannot be read or decoded.
    """
    try:
        data = np.fromfile(path, dtype=np.uint8)  # not cv2.imread, which fails on non-ASCII paths under Windows
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from error
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if image is None:
        raise InputError(f"{path} is not an image that OpenCV can decode ({data.size} bytes). Remove or replace it.")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def list_images(folder: Path) -> list[Path]:
    """Images directly in `folder`, in natural order (img2 before img10), hidden files left out.

    Raises:
        InputError: there is none; the message says what was found instead.
    """
    entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    images = [entry for entry in entries if entry.suffix.lower() in IMAGE_SUFFIXES and entry.is_file()]
    if images:
        return sorted(images, key=lambda path: natural_key(path.name))
    if not entries:
        raise InputError(f"Folder {folder} is empty. Expected images ({', '.join(IMAGE_SUFFIXES)}).")
    some = ", ".join(sorted(entry.name + "/" * entry.is_dir() for entry in entries)[:3])
    raise InputError(
        f"Folder {folder} holds no images ({', '.join(IMAGE_SUFFIXES)}), but {len(entries)} other entries, as {some}. "
        "Give one video file or one folder of images."
    )


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Sorts runs of digits by value: img2 < img10. Names that differ in zeros only (1, 01) fall back to the text."""
    parts = re.split(r"(\d+)", name.lower())
    return [int(part) if position % 2 else part for position, part in enumerate(parts)], name
