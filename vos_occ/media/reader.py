"""One door for everything that can be watched: video files, folders of images, single images."""

from __future__ import annotations

from pathlib import Path

from vos_occ.media.file_source import FileReader
from vos_occ.media.image_source import IMAGE_SUFFIXES, ImageReader, list_images
from vos_occ.media.source import Frame, VideoReader
from vos_occ.structures.errors import InputError

__all__ = ["Frame", "VideoReader", "open_video"]


def open_video(path: str | Path, max_side: int | None = None, *, image_fps: float = 25.0) -> VideoReader:
    """Opens a video for reading, frame by frame, with bounded memory.

    The first frame is decoded here, so that what cannot be read fails now and not after the model was loaded.

    Args:
        path: a video file (mp4, mkv, avi, webm, gif, ...), an image, or a folder of images, read in natural order.
        max_side: longer side of the frames in pixels, at most, the ratio kept; None for the source's own size.
        image_fps: frames per second that images, which have no clock, are taken to have.

    Returns:
        An iterable of `Frame`; also a context manager that releases the file.

    Raises:
        InputError: nothing there, not a video, no frames, no images.

    Example:
        >>> with open_video("street.mp4", max_side=640) as video:
        ...     for frame in video:
        ...         print(frame.index, frame.time, frame.image.shape)
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"Input {path} does not exist. Expected a video, an image, or a folder of images.")
    if path.is_dir():
        return ImageReader(path.resolve().name, list_images(path), max_side=max_side, fps=image_fps)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return ImageReader(path.name, [path], max_side=max_side, fps=image_fps)
    return FileReader(path, max_side=max_side)
