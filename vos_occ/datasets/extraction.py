"""Frames of a video file as pictures, for data sets that name pictures."""

from __future__ import annotations

from pathlib import Path

import cv2

from eval.readers.annotated_video import AnnotatedVideo
from vos_occ.media import open_video
from vos_occ.results.output import require_new, write_atomically
from vos_occ.structures.errors import InputError

JPEG_QUALITY = 95


def extract_frames(media: Path, folder: Path, video: AnnotatedVideo, overwrite: bool = False) -> None:
    """Write the frames of a video that were annotated as `folder/000000.jpg`, ...

    Args:
        media: a video file, or anything that `open_video` reads.
        folder: gets the pictures.
        video: what was annotated: size, and the numbers of frames in the file.
        overwrite: write into a folder that is not empty.

    Raises:
        InputError: the file cannot be read, is of another size, or has fewer frames.
        OutputExistsError: the folder is not empty and `overwrite` is off.
    """
    require_new(folder, overwrite, folder=True)
    wanted = {number: t for t, number in enumerate(video.source_frames)}
    found = 0
    with open_video(media) as frames:
        for frame in frames:
            if frame.index in wanted:
                _require_size(frame.image.shape[:2], media, video)
                picture = cv2.imencode(".jpg", frame.image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
                write_atomically(folder / f"{wanted[frame.index]:06d}.jpg", picture.tobytes())
                found += 1
            if found == len(wanted):
                return
    raise InputError(
        f"'{media}' has {found} of the {len(wanted)} frames of {video.source}. Give the video of this file."
    )


def _require_size(size: tuple[int, ...], media: Path, video: AnnotatedVideo) -> None:
    if size != (video.height, video.width):
        raise InputError(
            f"'{media}' is {size[1]}x{size[0]}, but {video.source} is of {video.width}x{video.height}. "
            "Give the video that was annotated."
        )
