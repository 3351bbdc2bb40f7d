"""Frames of video files as pictures, for data sets that name pictures."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2

from eval.readers.annotated_video import AnnotatedVideo
from vos_occ.media import VideoReader, open_video
from vos_occ.results.output import reported, require_new, write_atomically
from vos_occ.results.png_folder import remove_numbered
from vos_occ.structures.errors import InputError

JPEG_QUALITY = 95
NUMBERED = re.compile(r"\d{6,}\.jpg")


@contextmanager
def extracted_frames(
    media: Sequence[Path],
    root: Path,
    videos: Sequence[AnnotatedVideo],
    overwrite: bool = False,
    shown: Callable[[Iterable[Any], str], Iterable[Any]] = lambda items, _: items,
) -> Iterator[list[AnnotatedVideo]]:
    """Pictures of the frames that were annotated, `root/NAME/000000.jpg`, ...: of all videos, or of none.

    They appear when the block ends without an error. Until then they lie in `root/.NAME.part`, which is removed on an
    error. Sizes are compared before the first is written; how long a file is, only decoding tells.

    Args:
        media: a video file for each video, or anything that `open_video` reads.
        root: gets a folder for each video.
        videos: what was annotated: names, sizes, and the numbers of frames in the file.
        overwrite: write into folders that are not empty; numbered pictures in them are replaced, nothing else.
        shown: wraps what is iterated over, to show progress.

    Yields:
        The videos, with the names of their pictures.

    Raises:
        InputError: a file cannot be read, is of another size, or has fewer frames.
        OutputExistsError: a folder is not empty and `overwrite` is off.
        UserError: the system does not let them be written.
    """
    for video in videos:
        require_new(root / video.name, overwrite, folder=True)
    with ExitStack() as stack:
        readers = [stack.enter_context(open_video(path)) for path in media]
        for path, reader, video in zip(media, readers, videos, strict=True):
            _require_size(path, reader, video)
        stack.enter_context(_made_folders(root))
        for path, reader, video in shown(zip(media, readers, videos, strict=True), "frames"):
            _write_frames(path, reader, stack.enter_context(_part_of(root / video.name)), video)
        yield [
            replace(video, frame_names=tuple(f"{video.name}/{_picture(t)}" for t in range(video.length)))
            for video in videos
        ]


def _picture(t: int) -> str:
    return f"{t:06d}.jpg"


def _require_size(path: Path, reader: VideoReader, video: AnnotatedVideo) -> None:
    if (reader.height, reader.width) != (video.height, video.width):
        raise InputError(
            f"'{path}' is {reader.width}x{reader.height}, but {video.source} is of {video.width}x{video.height}. "
            "Give the video that was annotated."
        )


def _write_frames(path: Path, reader: VideoReader, folder: Path, video: AnnotatedVideo) -> None:
    wanted = {number: t for t, number in enumerate(video.source_frames)}
    found = 0
    for frame in reader:
        if frame.index in wanted:
            picture = cv2.imencode(".jpg", frame.image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
            write_atomically(folder / _picture(wanted[frame.index]), picture.tobytes())
            found += 1
        if found == len(wanted):
            return
    raise InputError(
        f"'{path}' has {found} of the {len(wanted)} frames of {video.source}. Give the video of this file."
    )


@contextmanager
def _made_folders(root: Path) -> Iterator[None]:
    """Makes a folder; on an error, those of it and above it that were made go."""
    made = [folder for folder in (root, *root.parents) if not folder.exists()]
    with reported(root, *made):
        root.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        with suppress(OSError):  # somebody has put something there
            for folder in made:
                folder.rmdir()
        raise


@contextmanager
def _part_of(folder: Path) -> Iterator[Path]:
    """A hidden neighbour of a folder; what is in it is there when the block ends without an error."""
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        with reported(folder, part):
            part.mkdir()
        yield part
        remove_numbered(folder, NUMBERED)
        with reported(folder, part, *part.iterdir()):
            with suppress(OSError):  # other files are in it, or it is absent
                folder.rmdir()
            if folder.exists():
                for picture in part.iterdir():
                    os.replace(picture, folder / picture.name)
            else:
                os.replace(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
