"""One door for everything that can be watched: files, folders of images, single images, cameras, addresses."""

from __future__ import annotations

from pathlib import Path

from vos_occ.media.animation_source import AnimationReader, is_animated_png, is_animated_webp
from vos_occ.media.clip import Clip
from vos_occ.media.file_source import FileReader
from vos_occ.media.image_source import IMAGE_SUFFIXES, ImageReader, list_images
from vos_occ.media.place import address_place, camera_place, file_place, is_address, is_camera
from vos_occ.media.source import Frame, VideoReader
from vos_occ.structures.errors import InputError

__all__ = ["Frame", "VideoReader", "open_video"]


def open_video(
    source: str | Path,
    max_side: int | None = None,
    *,
    clip: Clip = Clip(),  # noqa: B008 (frozen)
    image_fps: float = 25.0,
) -> VideoReader:
    """Opens a video for reading, frame by frame, with bounded memory.

    Args:
        source: a video file, a folder of images (natural order), one image (a video of one frame), an address
            (`rtsp://`, `http://`, ...), or the number of a camera (`0` is the first).
        max_side: the longer side of the frames in pixels, at most. Larger ones are scaled down, smaller ones kept.
        clip: the part of the video that is wanted.
        image_fps: frames per second to give to image folders, which have none of their own.

    Returns:
        An iterable of `Frame`; also a context manager that releases the file. Cameras, addresses and pipes have one
        pass, all else as many as wanted.

    Raises:
        InputError: nothing there, not a video, no frames, no images.

    Example:
        >>> with open_video("street.mp4", max_side=640) as video:
        ...     for frame in video:
        ...         print(frame.index, frame.time, frame.image.shape)
    """
    if is_address(str(source)):
        return FileReader(address_place(str(source)), max_side=max_side, clip=clip)
    if is_camera(str(source)):
        return FileReader(camera_place(str(source)), max_side=max_side, clip=clip)
    path = Path(source)
    try:
        if not path.exists():
            raise InputError(
                f"Input {path} does not exist. Expected a video, an image, a folder of images, an address (rtsp://...) "
                "or the number of a camera."
            )
        if path.is_dir():
            images = list_images(path)
            return ImageReader(path.resolve().name, images, max_side=max_side, fps=image_fps, clip=clip)
    except OSError as error:  # a name that is too long, a folder that may not be read
        raise InputError(f"Input {path} cannot be read ({error.strerror}).") from error
    if is_animated_webp(path):
        return AnimationReader(path, max_side=max_side, clip=clip)
    if path.suffix.lower() in IMAGE_SUFFIXES and not is_animated_png(path):
        return ImageReader(path.name, [path], max_side=max_side, fps=image_fps, clip=clip)
    return FileReader(file_place(path), max_side=max_side, clip=clip)
