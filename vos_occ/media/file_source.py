"""Video files, cameras and addresses: what a `Decoder` yields, as upright 8-bit RGB with times."""

from __future__ import annotations

from collections.abc import Generator

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from vos_occ.media.clip import Clip
from vos_occ.media.decoding import Decoder
from vos_occ.media.orientation import Orientation
from vos_occ.media.place import Place
from vos_occ.media.source import Frame, VideoReader, scaled_size
from vos_occ.structures.errors import InputError

FALLBACK_FPS = 25.0


class FileReader(VideoReader):
    """Frames of the first video stream of a file, a camera or an address.

    Pixel formats of any depth, grey and alpha included, become 8-bit RGB (alpha is dropped, not composed); interlaced
    frames are made whole; a stream that changes its resolution half-way is scaled to that of its first frame. Damage
    does not stop the reading: what can be decoded is yielded, and `problem` says at the end what was lost.

    Args:
        place: what to open. What is live is opened once, and has one pass.
        max_side: the longer side of the frames in pixels, at most; larger ones are scaled down by the decoder's
            own converter, which costs less than converting first and scaling later.
        clip: the part that is wanted.

    Raises:
        InputError: this is no video, has sound only, or has no frame that can be decoded.
    """

    def __init__(self, place: Place, *, max_side: int | None = None, clip: Clip = Clip()) -> None:  # noqa: B008
        self._place = place
        decoder = Decoder(place)
        try:
            frames = decoder.frames()
            first = next(frames, None)
            if first is None:
                raise InputError(f"{place.shown} has a video stream, but no frame that can be decoded: is it empty?")
            stream = decoder.stream
            fps = float(stream.average_rate or stream.guessed_rate or FALLBACK_FPS)
            self._orientation = _orientation(first)
            self._stored_size = scaled_size(first.width, first.height, max_side)
            width, height = self._orientation.size(*self._stored_size)
            super().__init__(
                name=place.name,
                width=width,
                height=height,
                fps=fps,
                num_frames=None if place.live else stream.frames or None,
                expected_frames=_expected(decoder, fps),
                clip=clip,
            )
        except BaseException:
            decoder.close()
            raise
        self._opened: tuple[Decoder, Generator[av.VideoFrame, None, None], av.VideoFrame] | None = None
        if place.live:
            self._opened = decoder, frames, first
        else:
            frames.close()
            decoder.close()

    def close(self) -> None:
        """Ends the current pass and releases the source."""
        super().close()
        if self._opened is not None:
            self._opened[0].close()

    def _decode(self) -> Generator[Frame, None, None]:
        decoder, frames, first = self._begin()
        selection, clock, converter = self._selection(), _Clock(self.source_fps), VideoReformatter()
        resized = 0
        frame, index = first, 0
        try:
            while frame is not None:
                time = clock.seconds(frame)
                if selection.is_over(index, time):
                    break
                if selection.takes(index, time):
                    resized += (frame.width, frame.height) != (first.width, first.height)
                    yield Frame(index, time, self._to_rgb(frame, converter))
                frame, index = next(frames, None), index + 1
            self._end_pass(index, selection.taken, decoder.damage.describe(index), resized)
        finally:
            frames.close()
            decoder.close()

    def _begin(self) -> tuple[Decoder, Generator[av.VideoFrame, None, None], av.VideoFrame | None]:
        """The decoder of a new pass, its frames, and the first of them."""
        if self._place.live:
            opened, self._opened = self._opened, None
            if opened is None:
                raise InputError(f"{self._place.shown} is live and was read already. Open it again.")
            return opened
        decoder = Decoder(self._place)
        frames = decoder.frames()
        return decoder, frames, next(frames, None)

    def _to_rgb(self, frame: av.VideoFrame, converter: VideoReformatter) -> np.ndarray:
        width, height = self._stored_size
        interpolation = "BILINEAR" if (width, height) == (frame.width, frame.height) else "AREA"
        rgb = converter.reformat(frame, width, height, format="rgb24", interpolation=interpolation)
        return self._orientation.apply(rgb.to_ndarray())


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


def _orientation(frame: av.VideoFrame) -> Orientation:
    matrix = frame.side_data.get("DISPLAYMATRIX")
    return Orientation.from_display_matrix(None if matrix is None else bytes(matrix))


def _expected(decoder: Decoder, fps: float) -> int | None:
    return None if decoder.seconds is None else max(1, round(decoder.seconds * fps))
