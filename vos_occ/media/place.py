"""Where a video comes from: a file, a camera, an address. Names and options for FFmpeg; opens nothing."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from vos_occ.structures.errors import InputError

SCHEMES = ("http", "https", "rtsp", "rtsps", "rtmp", "rtmps", "srt", "udp", "rtp", "tcp")
LONGEST_WAIT = 10.0  # seconds without data after which a camera or an address counts as gone

_URL = re.compile(rf"({'|'.join(SCHEMES)})://\S+", re.IGNORECASE)


@dataclass(frozen=True)
class Place:
    """What FFmpeg is told to open.

    Attributes:
        name: short, for outputs: `street.mp4`, `camera0`.
        shown: as the user knows it, for messages.
        url: for FFmpeg.
        format: demuxer; None lets FFmpeg look.
        options: of demuxer and protocol.
        live: the source can be read once, as it comes: a camera, an address, a pipe.
    """

    name: str
    shown: str
    url: str
    format: str | None = None
    options: dict[str, str] = field(default_factory=dict)
    live: bool = False

    @property
    def timeout(self) -> float | None:
        """Seconds to wait for data; for files there is no limit."""
        return LONGEST_WAIT if self.live and "://" in self.url else None


def is_address(source: str) -> bool:
    """Whether a source is a URL of a kind that is read over a network."""
    return _URL.fullmatch(source) is not None


def is_camera(source: str) -> bool:
    """Whether a source is the number of a camera: `0` is the first. A file of that name comes first."""
    return source.isascii() and source.isdigit() and not os.path.exists(source)


def file_place(path: Path) -> Place:
    """A file, or a pipe that looks like one. Its absolute name, since FFmpeg takes `12:30.mp4` for a protocol."""
    if path.is_char_device():
        return camera_place(path.name, str(path))
    return Place(path.name, str(path), os.path.abspath(path), live=not path.is_file())


def address_place(url: str) -> Place:
    """A URL. Its password is shown to nobody."""
    parts = urlsplit(url)
    host = parts.hostname or "stream"
    name = unquote(parts.path.rstrip("/").rpartition("/")[2]) or host
    shown = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()
    # Cameras send over UDP unless asked, and lose packets on the way.
    options = {"rtsp_transport": "tcp"} if parts.scheme.lower() in ("rtsp", "rtsps") else {}
    return Place(name, shown, url, options=options, live=True)


def camera_place(number: str, device: str | None = None) -> Place:
    """A camera by its number, as this system names it.

    Raises:
        InputError: cameras have no numbers on this system.
    """
    if sys.platform == "darwin":
        url, demuxer = device or number, "avfoundation"
    elif sys.platform.startswith("linux"):
        url, demuxer = device or f"/dev/video{number}", "video4linux2,v4l2"
    else:
        raise InputError(f"Cameras are read on Linux and macOS only, not on {sys.platform}. Give a file or an address.")
    name = f"camera{number}" if number.isdigit() else number
    return Place(name, f"camera {number}", url, format=demuxer, live=True)


def source_stem(source: str) -> str:
    """What outputs are named after: the file's name without its suffix, `camera0`, or the end of an address."""
    if is_address(source):
        return Path(address_place(source).name).stem
    if is_camera(source):
        return camera_place(source).name
    return Path(os.path.abspath(source)).stem
