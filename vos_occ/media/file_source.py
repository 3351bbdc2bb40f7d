"""Video files through PyAV: mp4, mkv, avi, webm, gif and whatever else FFmpeg can demux and decode."""

from __future__ import annotations

import logging
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from vos_occ.media.orientation import Orientation
from vos_occ.media.source import Frame, VideoReader, scaled_size
from vos_occ.structures.errors import InputError

logger = logging.getLogger(__name__)

FALLBACK_FPS = 25.0


class FileReader(VideoReader):
    """Frames of the first video stream of a file.

    Pixel formats of any depth, grey and alpha included, become 8-bit RGB (alpha is dropped, not composed); a stream
    that changes its resolution half-way is scaled to that of its first frame. Damage does not stop the reading:
    what can be decoded is yielded, and one warning at the end says what was lost.

    Args:
        path: an existing file.
        max_side: the longer side of the frames in pixels, at most; larger ones are scaled down by the decoder's
            own converter, which costs less than converting first and scaling later.

    Raises:
        InputError: the file is no video, has sound only, or has no frame that can be decoded.
    """

    def __init__(self, path: Path, *, max_side: int | None = None) -> None:
        self._path = path
        with _open_container(path) as container:
            stream = _video_stream(container, path)
            first = next(_frames(container, stream, _Damage()), None)
            if first is None:
                raise InputError(f"{path} has a video stream, but no frame that can be decoded: is the file empty?")
            fps = float(stream.average_rate or stream.guessed_rate or FALLBACK_FPS)
            num_frames = stream.frames or None
            seconds = _duration(container, stream)
        self._orientation = _orientation(first)
        self._stored_size = scaled_size(first.width, first.height, max_side)
        width, height = self._orientation.size(*self._stored_size)
        super().__init__(
            name=path.name,
            width=width,
            height=height,
            fps=fps,
            num_frames=num_frames,
            expected_frames=None if seconds is None else max(1, round(seconds * fps)),
        )

    def _decode(self) -> Generator[Frame, None, None]:
        damage = _Damage()
        count = 0
        with _open_container(self._path) as container:
            stream = _video_stream(container, self._path)
            clock = _Clock(self.fps)
            converter = VideoReformatter()  # keeps its scaling tables from frame to frame
            for frame in _frames(container, stream, damage):
                yield Frame(count, clock.seconds(frame), self._to_rgb(frame, converter))
                count += 1
        self._report(count, damage)

    def _to_rgb(self, frame: av.VideoFrame, converter: VideoReformatter) -> np.ndarray:
        width, height = self._stored_size
        interpolation = "BILINEAR" if (width, height) == (frame.width, frame.height) else "AREA"
        rgb = converter.reformat(frame, width, height, format="rgb24", interpolation=interpolation)
        return self._orientation.apply(rgb.to_ndarray())

    def _report(self, count: int, damage: _Damage) -> None:
        if damage.error is not None:
            logger.warning("%s: reading stopped after %d frames (%s).", self._path, count, damage.error)
        elif damage.packets:
            logger.warning("%s: %d damaged packets were skipped; %d frames read.", self._path, damage.packets, count)
        elif self.num_frames is not None and count < self.num_frames:
            logger.warning(
                "%s: %d frames announced, %d found; the file may be truncated.", self._path, self.num_frames, count
            )


@dataclass
class _Damage:
    """What went wrong in one pass: packets that could not be decoded, and the error that ended the reading."""

    packets: int = 0
    error: str | None = None


class _Clock:
    """Time of each frame in seconds since the first, strictly increasing.

    Time stamps of files may be missing (raw streams, B-frames in avi) or repeat; such a frame is placed one nominal
    interval after the one before, so that whoever writes the times down again gets a valid file.
    """

    def __init__(self, fps: float) -> None:
        self._interval = 1.0 / fps
        self._start: float | None = None
        self._last: float | None = None

    def seconds(self, frame: av.VideoFrame) -> float:
        stamp = frame.pts if frame.pts is not None else frame.dts
        measured = None if stamp is None else float(stamp * frame.time_base)
        if self._last is None:
            self._start = measured
            self._last = 0.0
            return 0.0
        if self._start is None and measured is not None:
            self._start = measured - (self._last + self._interval)
        time = self._last if measured is None or self._start is None else measured - self._start
        self._last = time if time > self._last else self._last + self._interval
        return self._last


def _open_container(path: Path) -> av.container.InputContainer:
    try:
        container = av.open(str(path), metadata_errors="replace")
    except (av.error.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"{path} cannot be read as a video ({reason}). "
            "Expected mp4, mkv, avi, webm, gif or another format of FFmpeg, an image, or a folder of images."
        ) from error
    if container.format.name == "tty":  # FFmpeg would render any .txt as an animated terminal
        container.close()
        raise InputError(f"{path} is a text file. Expected a video, an image, or a folder of images.")
    return container


def _video_stream(container: av.container.InputContainer, path: Path) -> av.VideoStream:
    # The cover picture of a song is a video stream too.
    streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not streams:
        found = ", ".join(sorted({s.type for s in container.streams if s.type != "video"})) or "nothing"
        raise InputError(f"{path} has no video stream (found: {found}). Give a file with pictures in it.")
    stream = streams[0]
    if stream.codec_context is None:
        raise InputError(f"{path}: this build of FFmpeg has no decoder for its video stream. Convert it to H.264.")
    stream.thread_type = "AUTO"
    return stream


def _frames(
    container: av.container.InputContainer, stream: av.VideoStream, damage: _Damage
) -> Generator[av.VideoFrame, None, None]:
    """Every frame that can be decoded; `damage` learns of those that cannot."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError as error:
            damage.error = error.strerror or str(error)
            packet = None
        try:
            # No packet: take what the decoder still holds back for reordering and threads.
            decoded = stream.decode(None) if packet is None else packet.decode()
        except av.error.EOFError:
            decoded = []  # flushed already, by the empty packet that ends every stream
        except av.error.FFmpegError:
            damage.packets += 1
            decoded = []
        yield from decoded
        if packet is None:
            return


def _orientation(frame: av.VideoFrame) -> Orientation:
    matrix = frame.side_data.get("DISPLAYMATRIX")
    return Orientation.from_display_matrix(None if matrix is None else bytes(matrix))


def _duration(container: av.container.InputContainer, stream: av.VideoStream) -> float | None:
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return None if container.duration is None else container.duration / 1_000_000  # AV_TIME_BASE
