"""One pass over the first video stream of anything FFmpeg opens: frames out, damage noted, nothing raised half-way."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import av

from vos_occ.media.deinterlace import Deinterlacer
from vos_occ.media.place import Place
from vos_occ.structures.errors import InputError

_MIN_SHORT = 0.1  # seconds; containers round their durations


@dataclass
class Damage:
    """What went wrong in one pass.

    Attributes:
        packets: that could not be decoded, or came torn; their frames are missing.
        frames: that were decoded with visible faults, and kept.
        error: that ended the reading.
        missing: how much less there is than the container announces, in words.
    """

    packets: int = 0
    frames: int = 0
    error: str | None = None
    missing: str | None = None

    def describe(self, count: int) -> str | None:
        """One line for the user after a pass of `count` frames; None if all is well."""
        if self.error is not None:
            return f"reading stopped after {count} frames ({self.error})"
        faults = [f"{self.missing}; the file may be truncated"] if self.missing else []
        if self.packets:
            faults.append(f"{self.packets} damaged packets were skipped")
        if self.frames:
            faults.append(f"{self.frames} frames have faults")
        return f"{', '.join(faults)}; {count} frames read" if faults else None


class Decoder:
    """The frames of a place, once, from first to last. Closing it, also half-way, releases the source.

    Attributes:
        damage: of the frames so far.

    Raises:
        InputError: on opening, if there is no video that can be decoded.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._container = _open_container(place)
        try:
            self.stream = _video_stream(self._container, place)
        except InputError:
            self._container.close()
            raise
        self.damage = Damage()
        self._packets = 0
        self._end = 0.0
        self._deinterlacer = Deinterlacer()

    def close(self) -> None:
        """Ends the reading."""
        self._container.close()

    @property
    def seconds(self) -> float | None:
        """Duration as announced, for progress; of the stream, or else of the container."""
        stream, container = self.stream, self._container
        if stream.duration is not None and stream.time_base is not None:
            return float(stream.duration * stream.time_base)
        return None if container.duration is None else container.duration / 1_000_000  # AV_TIME_BASE

    def frames(self) -> Generator[av.VideoFrame, None, None]:
        """Every frame that can be decoded, in the order of presentation, without combs."""
        packets = self._container.demux(self.stream)
        while True:
            packet = self._next(packets)
            for frame in self._decode(packet):
                self.damage.frames += frame.is_corrupt
                if frame.time_base is None:  # it came without a packet
                    frame.time_base = self.stream.time_base
                yield from self._deinterlacer.push(frame)
            if packet is None:
                break
        yield from self._deinterlacer.flush()
        self._compare_with_announced()

    def _next(self, packets: Generator[av.Packet, None, None]) -> av.Packet | None:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError as error:
            self.damage.error = reason_of(error)
            return None
        if packet is not None and packet.size:
            self._packets += 1
            if packet.pts is not None and packet.time_base is not None:
                self._end = max(self._end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        return packet

    def _decode(self, packet: av.Packet | None) -> list[av.VideoFrame]:
        """The frames that are done with this packet. None: what is still held back for reordering and threads."""
        if packet is not None and packet.is_corrupt:
            # Cut off by the end of the file. A threaded decoder that fails on it loses its neighbours too.
            self.damage.packets += 1
            return []
        try:
            return self.stream.decode(None) if packet is None else packet.decode()
        except av.error.EOFError:
            return []  # flushed already, by the empty packet that ends every stream
        except av.error.FFmpegError:
            self.damage.packets += 1
            return []

    def _compare_with_announced(self) -> None:
        """Notes what is missing at the end, from the one number of each container that can be trusted."""
        stream = self.stream
        if "mp4" in self._container.format.name.split(","):
            announced = len(stream.index_entries)  # after edit lists; `stream.frames` is before
            if self._packets < announced:
                self.damage.missing = f"{announced} frames announced, {self._packets} found"
            return
        seconds = self._announced_seconds()
        if seconds is not None and self._end < seconds - max(_MIN_SHORT, 2 / float(stream.average_rate or 25)):
            self.damage.missing = f"{seconds:.2f} s announced, {self._end:.2f} s found"

    def _announced_seconds(self) -> float | None:
        """Length of the video stream itself, where the container says it."""
        stream = self.stream
        if self._container.format.name == "avi":
            return float(stream.frames / stream.average_rate) if stream.frames and stream.average_rate else None
        if tagged := stream.metadata.get("DURATION"):  # Matroska: 00:01:02.345000000
            hours, minutes, seconds = tagged.split(":")
            return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
        if self._place.live or len(self._container.streams) > 1 or self._container.duration is None:
            return None  # sound may last longer than the pictures
        return self._container.duration / 1_000_000


def reason_of(error: Exception) -> str:
    """What FFmpeg says, in a few words."""
    if isinstance(error, av.error.ExitError):
        return "no data for too long"
    return getattr(error, "strerror", None) or str(error)


def _open_container(place: Place) -> av.container.InputContainer:
    try:
        container = av.open(
            place.url,
            format=place.format,
            options=dict(place.options),
            timeout=place.timeout,
            metadata_errors="replace",
        )
    except (av.error.FFmpegError, ValueError) as error:
        if place.live:
            raise InputError(f"{place.shown} cannot be opened ({reason_of(error)}). Is it there, and free?") from error
        raise InputError(
            f"{place.shown} cannot be read as a video ({reason_of(error)}). "
            "Expected mp4, mkv, avi, webm, gif or another format of FFmpeg, an image, or a folder of images."
        ) from error
    if container.format.name == "tty":  # FFmpeg would render any .txt as an animated terminal
        container.close()
        raise InputError(f"{place.shown} is a text file. Expected a video, an image, or a folder of images.")
    return container


def _video_stream(container: av.container.InputContainer, place: Place) -> av.VideoStream:
    # The cover picture of a song is a video stream too.
    streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not streams:
        found = ", ".join(sorted({s.type for s in container.streams if s.type != "video"})) or "nothing"
        raise InputError(f"{place.shown} has no video stream (found: {found}). Give a file with pictures in it.")
    stream = streams[0]
    if stream.codec_context is None:
        raise InputError(
            f"{place.shown}: this build of FFmpeg has no decoder for its video stream. Convert it to H.264."
        )
    stream.thread_type = "AUTO"
    return stream
