"""Video out: the name decides the format; nothing is overwritten unasked, nothing half-written gets the final name."""

from __future__ import annotations

import math
import os
from contextlib import nullcontext, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Protocol

import numpy as np

from vos_occ.media.gif_sink import GifSink
from vos_occ.media.image_sink import ImageSink
from vos_occ.media.video_sink import VIDEO_FORMATS, VideoSink
from vos_occ.structures.errors import OutputExistsError, UserError


class Sink(Protocol):
    """Where the pictures go."""

    def write(self, image: np.ndarray, seconds: float) -> None: ...

    def close(self) -> None: ...

    def salvage(self) -> bool: ...


class VideoWriter:
    """Writes RGB pictures as a video that plays everywhere.

    `.mp4 .m4v .mov .mkv` hold H.264 (yuv420p, index in front), `.webm` VP9, `.gif` one palette per frame; a name with
    no suffix, or with a slash at its end, is a folder of png files. A file grows under a hidden name beside the final
    one and is renamed by `close`. Leaving the `with` block by an exception closes the file too: what was drawn until
    then is kept and playable. So is what fitted on a disk that is full, less the few frames that the encoder held. A
    killed process leaves the hidden file, which the next run replaces.

    Args:
        path: the file or folder. Missing parent folders are made.
        fps: nominal frames per second. Pictures without a time follow each other at this rate.
        width, height: of every picture, in pixels.
        overwrite: replace an existing file, or the numbered pictures in an existing folder.

    Raises:
        OutputExistsError: the file exists, or the folder is not empty, and `overwrite` is false.
        UserError: the suffix names no format that we write, or the place cannot be written to.
        ValueError: `fps` is not positive and finite.
    """

    def __init__(self, path: str | Path, fps: float, width: int, height: int, overwrite: bool = False) -> None:
        if not (math.isfinite(fps) and fps > 0):
            raise ValueError(f"fps must be positive and finite, got {fps}.")
        self.path = Path(path)
        self.num_frames = 0
        self._shape = (height, width, 3)
        # 29.97... is 30000/1001; nothing in use has a larger denominator
        self._fps = Fraction(fps).limit_denominator(1001) or Fraction(fps)
        self._origin = 0.0
        self._seconds: float | None = None
        is_folder = str(path).endswith(("/", os.sep)) or self.path.suffix == ""
        _check_suffix(self.path, is_folder)
        _require_new(self.path, is_folder, overwrite)
        self._partial = None if is_folder else self.path.with_name(f".{self.path.stem}.partial{self.path.suffix}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._sink: Sink | None = self._open_sink()
        except OSError as error:
            raise UserError(f"Output '{path}' cannot be created ({error.strerror}). Choose another place.") from error

    def _open_sink(self) -> Sink:
        if self._partial is None:
            return ImageSink(self.path)
        height, width, _ = self._shape
        suffix = self.path.suffix.lower()
        if suffix == ".gif":
            return GifSink(self._partial, self._fps, width, height)
        return VideoSink(self._partial, VIDEO_FORMATS[suffix], self._fps, width, height)

    def write(self, image: np.ndarray, time: float | None = None) -> None:
        """Adds one picture.

        Args:
            image: (height, width, 3) uint8 RGB.
            time: seconds on the clock of the source, kept in the file relative to the first picture's, so that variable
                frame rates survive; None: 1 / fps after the picture before.

        Raises:
            UserError: the disk is full. The writer is closed; what was written before is kept.
            ValueError: another size or type than announced, or the writer is closed.
        """
        if self._sink is None:
            raise ValueError(f"{self.path} is closed already.")
        if image.shape != self._shape or image.dtype != np.uint8:
            raise ValueError(f"Expected a {self._shape} uint8 picture, got {image.shape} {image.dtype} ({self.path}).")
        try:
            self._sink.write(image, self._place(time))
        except OSError as error:
            raise self._failed(error) from error
        self.num_frames += 1

    def _place(self, time: float | None) -> float:
        """Seconds since the first picture."""
        if self._seconds is None:
            self._origin = 0.0 if time is None else time
            self._seconds = 0.0
        else:
            self._seconds = self._seconds + float(1 / self._fps) if time is None else time - self._origin
        return self._seconds

    def close(self) -> None:
        """Finishes the file and gives it its name. Without a picture there is no file. Closing twice is fine.

        Raises:
            UserError: the disk is full. What was written before is kept.
        """
        if self._sink is None:
            return
        if not self.num_frames:  # a muxer cannot end what never began
            self._sink.salvage()
            self._sink = None
            self._discard()
            return
        try:
            self._sink.close()
        except OSError as error:
            raise self._failed(error) from error
        self._sink = None
        self._publish()

    def _failed(self, error: OSError) -> UserError:
        """Keeps what can be kept after an error of the system; says so."""
        assert self._sink is not None
        sink, self._sink = self._sink, None
        kept = sink.salvage()
        if kept:
            self._publish()
        else:
            self._discard()
        what = "What was written of it before is kept" if kept else "Nothing of it was written"
        return UserError(f"Cannot write '{self.path}': {error.strerror or error}. {what}.")

    def _publish(self) -> None:
        if self._partial is not None:
            os.replace(self._partial, self.path)

    def _discard(self) -> None:
        if self._partial is not None:
            self._partial.unlink(missing_ok=True)

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(UserError) if kind else nullcontext():  # the first error is the one to tell
            self.close()


def _check_suffix(path: Path, is_folder: bool) -> None:
    known = (*VIDEO_FORMATS, ".gif")
    if not is_folder and path.suffix.lower() not in known:
        raise UserError(
            f"Cannot write {path}: no video format is known for '{path.suffix}'. "
            f"Use {', '.join(known)}, or end the name with '/' for a folder of png files."
        )


def _require_new(path: Path, is_folder: bool, overwrite: bool) -> None:
    if path.exists() and path.is_dir() != is_folder:
        kind, wanted = ("folder", "a file") if path.is_dir() else ("file", "a folder")
        raise OutputExistsError(f"Output '{path}' should be {wanted}, but is a {kind} already. Choose another name.")
    if overwrite or not path.exists() or (is_folder and not any(path.iterdir())):
        return
    kind = "folder" if is_folder else "file"
    raise OutputExistsError(f"Output {kind} '{path}' already exists. Use --overwrite to replace.")
