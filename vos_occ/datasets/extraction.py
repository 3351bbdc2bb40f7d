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

from eval.readers.annotated_video import AnnotatedVideo, prolonged, video_stem
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
    error. Names and sizes are compared before the first is written; how long a file is, only decoding tells.

    Args:
        media: a video file for each video, or anything that `open_video` reads.
        root: gets a folder for each video.
        videos: what was annotated: names, sizes, and the numbers of frames in the file.
        overwrite: write into folders that are not empty; numbered pictures in them are replaced, nothing else.
        shown: wraps what is iterated over, to show progress.

    Yields:
        The videos, with the names of their pictures; remarks say where another file was annotated or a file goes on.

    Raises:
        InputError: a file cannot be read, is that of another video, of another size, or has fewer frames.
        OutputExistsError: a folder is not empty and `overwrite` is off.
        UserError: the system does not let them be written.
    """
    _refuse_swapped(media, videos)
    for video in videos:
        require_new(root / video.name, overwrite, folder=True)
    with ExitStack() as stack:
        readers = [stack.enter_context(open_video(path)) for path in media]
        for path, reader, video in zip(media, readers, videos, strict=True):
            _require_size(path, reader, video)
        stack.enter_context(_made_folders(root))
        yield [
            _write_frames(path, reader, stack.enter_context(_part_of(root / video.name)), video)
            for path, reader, video in shown(zip(media, readers, videos, strict=True), "frames")
        ]


def _picture(t: int) -> str:
    return f"{t:06d}.jpg"


def _refuse_swapped(media: Sequence[Path], videos: Sequence[AnnotatedVideo]) -> None:
    for path, video in zip(media, videos, strict=True):
        others = [other for other in videos if _is_file_of(path, other)]
        if others and not _is_file_of(path, video):
            raise InputError(
                f"'{path}' is given for {video.source}, but is called as the video of {others[0].source}. "
                "Give the videos in the order of their annotations."
            )


def _is_file_of(path: Path, video: AnnotatedVideo) -> bool:
    """Whether a file is called as the one that was annotated, or as the video where that is not known."""
    return path.name == video.media if video.media else video_stem(path.name) == video.name


def _require_size(path: Path, reader: VideoReader, video: AnnotatedVideo) -> None:
    if (reader.height, reader.width) != (video.height, video.width):
        raise InputError(
            f"'{path}' is {reader.width}x{reader.height}, but {video.source} is of {video.width}x{video.height}. "
            "Give the video that was annotated."
        )


def _write_frames(path: Path, reader: VideoReader, folder: Path, video: AnnotatedVideo) -> AnnotatedVideo:
    """Writes the frames that were annotated; one step beyond the last tells whether the file goes on.

    Of a video that is open-ended all frames are written, and it is as long as its file.
    """
    wanted = {number: t for t, number in enumerate(video.source_frames)}
    found, last = 0, video.source_frames[-1]
    following = last + (last - video.source_frames[-2] if len(wanted) > 1 else 1)
    remarks = list(_other_name(path, video))
    for frame in reader:
        t = frame.index if video.open_ended else wanted.get(frame.index)
        if t is not None:
            picture = cv2.imencode(".jpg", frame.image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
            write_atomically(folder / _picture(t), picture.tobytes())
            found += 1
        if frame.index >= following and not video.open_ended:
            remarks.append(f"'{path}' goes on after frame {last}, the last of {video.source}. Is it the right video?")
            break
    if found < len(wanted):
        raise InputError(
            f"'{path}' has {found} of the {len(wanted)} frames of {video.source}. Give the video of this file."
        )
    if found > video.length:
        remarks.append(
            f"'{path}' has {found} frames; those after frame {last}, the last of {video.source}, are without objects."
        )
        video = prolonged(video, found)
    names = tuple(f"{video.name}/{_picture(t)}" for t in range(video.length))
    return replace(video, frame_names=names, remarks=(*video.remarks, *remarks))


def _other_name(path: Path, video: AnnotatedVideo) -> Iterator[str]:
    if video.media and video.media != path.name and not path.is_dir():
        yield f"'{path}' is given for {video.source}, which is of a file '{video.media}'. Is it the same video?"


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
