"""Animated GIFs with a palette of their own for every frame. Takes pictures with times."""

from __future__ import annotations

import os
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

TIME_BASE = Fraction(1, 100)  # GIF delays are whole hundredths of a second


class GifSink:
    """Encodes RGB pictures as a GIF, through FFmpeg's `palettegen` and `paletteuse` filters.

    One palette per frame keeps the colours of tracks apart where a fixed one would merge them; ordered dithering keeps
    still regions still, which makes smaller files than error diffusion.

    Args:
        path: where to write; replaced if it exists.
        fps: nominal rate.
        width, height: of the pictures; odd ones are fine.
    """

    def __init__(self, path: Path, fps: Fraction, width: int, height: int) -> None:
        self._path = os.path.abspath(path)  # FFmpeg takes `12:30.gif` for a protocol
        self._whole_bytes = 0
        self._last_ticks = -1
        self._graph = _palette_graph(width, height)
        self._container = av.open(self._path, "w", format="gif", container_options={"flush_packets": "1"})
        self._stream = self._container.add_stream("gif", rate=fps)
        self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, "pal8"
        self._stream.codec_context.time_base = TIME_BASE
        self._container.start_encoding()

    def write(self, image: np.ndarray, seconds: float) -> None:
        """Adds one (H, W, 3) uint8 RGB picture; `seconds` since the first, larger than for the one before."""
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        self._last_ticks = max(self._last_ticks + 1, round(seconds / TIME_BASE))
        frame.pts, frame.time_base = self._last_ticks, TIME_BASE
        self._graph.push(frame)
        self._drain()

    def close(self) -> None:
        """Writes what the filters and the encoder still hold back.

        Raises:
            OSError: no room; `salvage` keeps what there is.
        """
        self._graph.push(None)
        self._drain()
        self._container.mux(self._stream.encode(None))
        self._container.close()

    def salvage(self) -> bool:
        """After an error: closes the file and cuts it behind its last whole picture. False if there is none."""
        with suppress(av.error.FFmpegError):
            self._container.close()
        if self._whole_bytes:
            os.truncate(self._path, self._whole_bytes)
        return self._whole_bytes > 0

    def _drain(self) -> None:
        while True:
            try:
                frame = self._graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            self._container.mux(self._stream.encode(frame))
            self._whole_bytes = os.path.getsize(self._path)


def _palette_graph(width: int, height: int) -> av.filter.Graph:
    graph = av.filter.Graph()
    source = graph.add_buffer(width=width, height=height, format="rgb24", time_base=TIME_BASE)
    split = graph.add("split")
    palette = graph.add("palettegen", "stats_mode=single:reserve_transparent=0")
    mapped = graph.add("paletteuse", "new=1:dither=bayer:bayer_scale=4")
    sink = graph.add("buffersink")
    source.link_to(split)
    split.link_to(palette, 0, 0)
    split.link_to(mapped, 1, 0)
    palette.link_to(mapped, 0, 1)
    mapped.link_to(sink)
    graph.configure()
    return graph
