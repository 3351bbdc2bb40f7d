"""Pictures as videos: folders of images in natural order, or one image as a video of one frame."""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from pathlib import Path

import cv2
import numpy as np

from vos_occ.media.clip import Clip
from vos_occ.media.source import Frame, VideoReader, scaled_size
from vos_occ.structures.errors import InputError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")


class ImageReader(VideoReader):
    """Images read one at a time, all of the size of the first. They have no clock, so `Frame.time` is None.

    An image that cannot be decoded is left out, and `problem` says so; the others keep their indices.

    Args:
        name: how the video is called.
        paths: the images, in order; at least one.
        max_side: the longer side of the frames in pixels, at most.
        fps: frames per second that the pictures are taken to have, for whoever writes a video from them, and for
            clips that are given in seconds.
        clip: the part that is wanted.

    Raises:
        InputError: on opening, if the first image cannot be decoded; while reading, if a later one has another size
            than the first (sizes are not checked up front: that would read a whole dataset twice).
    """

    def __init__(
        self,
        name: str,
        paths: Sequence[Path],
        *,
        max_side: int | None = None,
        fps: float = 25.0,
        clip: Clip = Clip(),  # noqa: B008 (frozen)
    ) -> None:
        self._paths = list(paths)
        height, width = read_image(self._paths[0]).shape[:2]
        self._source_size = (width, height)
        width, height = scaled_size(width, height, max_side)
        super().__init__(name=name, width=width, height=height, fps=fps, num_frames=len(self._paths), clip=clip)

    def _decode(self) -> Generator[Frame, None, None]:
        selection = self._selection()
        broken: list[str] = []
        for index, path in enumerate(self._paths):
            if selection.is_over(index, index / self.source_fps):
                break
            if not selection.takes(index, index / self.source_fps):
                continue
            try:
                image = read_image(path)
            except InputError as error:
                broken.append(str(error))
            else:
                yield Frame(index, None, self._fitted(image, path))
        self._end_pass(len(self._paths), selection.taken, _all_broken(broken))

    def _fitted(self, image: np.ndarray, path: Path) -> np.ndarray:
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


def _all_broken(errors: Sequence[str]) -> str | None:
    if not errors:
        return None
    return f"{len(errors)} images were left out, the first because {errors[0].rstrip('.')}"


def read_image(path: Path) -> np.ndarray:
    """(H, W, 3) uint8 RGB, turned upright by its EXIF tag; grey is repeated, alpha dropped, 16 bit cut to 8.

    Floating-point images are taken to span 0..1; NaN becomes black.

    Raises:
        InputError: the file cannot be read or decoded.
    """
    try:
        data = np.fromfile(path, dtype=np.uint8)  # not cv2.imread, which fails on non-ASCII paths under Windows
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from error
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH) if data.size else None
    except cv2.error:  # larger than OpenCV's limit on pixels
        image = None
    if image is None:
        raise InputError(f"{path} is not an image that OpenCV can decode ({data.size} bytes). Remove or replace it.")
    return cv2.cvtColor(_in_8_bit(image), cv2.COLOR_BGR2RGB)


def _in_8_bit(image: np.ndarray) -> np.ndarray:
    if image.dtype == np.uint8:
        return image
    if image.dtype == np.uint16:
        return (image >> 8).astype(np.uint8)
    finite = np.nan_to_num(image.astype(np.float32), nan=0.0, posinf=1.0, neginf=0.0)
    return np.round(finite.clip(0, 1) * 255).astype(np.uint8)


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
