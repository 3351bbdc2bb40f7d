"""Encoded video files: H.264 in mp4, mov or mkv, VP9 in webm. Takes pictures with times; knows no file names' rules."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from vos_occ.media.rewrite import rewrite
from vos_occ.structures.errors import UserError

logger = logging.getLogger(__name__)

TIME_BASE = Fraction(1, 90_000)  # the clock of MPEG: every usual frame rate is a whole number of ticks


@dataclass(frozen=True)
class VideoFormat:
    """How files with one suffix are written.

    Attributes:
        muxer, codec: FFmpeg's names.
        codec_options: quality and speed.
        muxer_options: with which the file grows, so that it is playable up to its last whole part at any time.
        final_options: with which it is written anew when it is complete; None leaves it as it grew.
    """

    muxer: str
    codec: str
    codec_options: dict[str, str]
    muxer_options: dict[str, str]
    final_options: dict[str, str] | None = None


# No B-frames: mp4 takes a frame's duration from the one that is stored next, not shown next, and where the rate varies,
# browsers seek by it to the wrong frame. Files grow by about a third.
# No macroblock tree: with AVX-512, libx264 reads memory there that nobody wrote, and one video drawn twice gives two
# files. At one crf, files are a quarter smaller to an eighth larger without it, .1 to .4 dB below in PSNR.
_H264 = {"crf": "18", "preset": "veryfast", "bf": "0", "mbtree": "0"}
_HELD_BACK_UP_TO = 4096 * 2304  # pixels; of 8K, the frames that x264 holds back take 180 MB (1 GB with the tree)
_HOLD_NOTHING = {"tune": "zerolatency"}
_VP9 = {"crf": "32", "b": "0", "deadline": "realtime", "cpu-used": "8", "row-mt": "1"}
# A fragment per frame costs about 100 bytes; without fragments a file without its end is no file.
_FRAGMENTS = {"movflags": "frag_every_frame+empty_moov+default_base_moof", "flush_packets": "1"}
_FASTSTART = {"movflags": "+faststart"}  # the index in front, so that browsers play before they have it all
_CLUSTERS = {"cluster_time_limit": "200", "flush_packets": "1"}  # ms

VIDEO_FORMATS = {
    ".mp4": VideoFormat("mp4", "libx264", _H264, _FRAGMENTS, _FASTSTART),
    ".m4v": VideoFormat("mp4", "libx264", _H264, _FRAGMENTS, _FASTSTART),
    ".mov": VideoFormat("mov", "libx264", _H264, _FRAGMENTS, _FASTSTART),
    ".mkv": VideoFormat("matroska", "libx264", _H264, _CLUSTERS),
    ".webm": VideoFormat("webm", "libvpx-vp9", _VP9, _CLUSTERS),
}


class VideoSink:
    """Encodes RGB pictures as yuv420p, the one pixel format that every browser and phone plays.

    Odd widths and heights are padded to even ones by repeating the last column and row. Colours are converted to
    BT.709 with limited range and tagged so; untagged video is guessed differently by different players.

    Args:
        path: where to write; replaced if it exists.
        video_format: an entry of `VIDEO_FORMATS`.
        fps: nominal rate, which the file announces; the pictures keep their own times.
        width, height: of the pictures.

    Raises:
        UserError: this build of PyAV lacks the encoder.
    """

    def __init__(self, path: Path, video_format: VideoFormat, fps: Fraction, width: int, height: int) -> None:
        self._path = Path(os.path.abspath(path))  # FFmpeg takes `12:30.mp4` for a protocol
        self._format = video_format
        self._whole_bytes = self._header_bytes = 0
        self._padding = ((0, height % 2), (0, width % 2), (0, 0))
        self._frame_ticks = max(1, round(1 / (fps * TIME_BASE)))
        self._last_ticks = -1
        self._converter = VideoReformatter()
        self._container = av.open(
            str(self._path), "w", format=video_format.muxer, container_options=dict(video_format.muxer_options)
        )
        options = dict(video_format.codec_options)
        if video_format.codec == "libx264" and width * height > _HELD_BACK_UP_TO:
            options |= _HOLD_NOTHING
        try:
            self._stream = self._container.add_stream(video_format.codec, rate=fps, options=options)
        except (av.error.FFmpegError, ValueError) as error:
            self._container.close()
            raise UserError(
                f"This build of PyAV has no {video_format.codec} encoder. Get one: `pip install --force-reinstall av`."
            ) from error
        self._stream.width = width + width % 2
        self._stream.height = height + height % 2
        self._stream.pix_fmt = "yuv420p"
        codec = self._stream.codec_context
        codec.time_base = TIME_BASE
        codec.thread_type = "AUTO"
        codec.color_range, codec.colorspace, codec.color_primaries, codec.color_trc = 1, 1, 1, 1  # limited, BT.709
        self._container.start_encoding()  # opens the file now, so that a place we may not write to fails early
        self._header_bytes = self._whole_bytes = os.path.getsize(self._path)

    def write(self, image: np.ndarray, seconds: float) -> None:
        """Adds one (H, W, 3) uint8 RGB picture; `seconds` since the first, larger than for the one before."""
        padded = np.pad(image, self._padding, mode="edge") if any(after for _, after in self._padding) else image
        rgb = av.VideoFrame.from_ndarray(np.ascontiguousarray(padded), format="rgb24")
        frame = self._converter.reformat(rgb, format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
        self._last_ticks = max(self._last_ticks + 1, round(seconds / TIME_BASE))
        frame.pts, frame.time_base, frame.duration = self._last_ticks, TIME_BASE, self._frame_ticks
        self._container.mux(self._stream.encode(frame))
        self._whole_bytes = os.path.getsize(self._path)

    def close(self) -> None:
        """Writes what the encoder still holds back, and the index.

        Raises:
            OSError: no room; `salvage` keeps what there is.
        """
        self._container.mux(self._stream.encode(None))
        self._container.close()
        if self._format.final_options is not None:
            self._put_index_in_front(self._format.final_options)

    def _put_index_in_front(self, options: dict[str, str]) -> None:
        final = self._path.with_name(f"{self._path.name}.final")
        try:
            rewrite(self._path, final, self._format.muxer, options)
            os.replace(final, self._path)
        except OSError as error:
            # Twice the file has no room. In fragments it is whole and plays, only the index is not in one place.
            logger.warning("%s stays in fragments (%s).", self._path.name, error.strerror)
        finally:
            final.unlink(missing_ok=True)

    def salvage(self) -> bool:
        """After an error: closes the file and cuts it behind its last whole part. False if there is none."""
        with suppress(av.error.FFmpegError):
            self._container.close()
        if self._whole_bytes > self._header_bytes:
            os.truncate(self._path, self._whole_bytes)
        return self._whole_bytes > self._header_bytes
