"""A file written in fragments, which survives any end, to one with its index in front. Copies packets, decodes none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import av


def rewrite(source: Path, target: Path, muxer: str, options: Mapping[str, str]) -> None:
    """Copies the video stream of `source` into a new file, with times from 0.

    Args:
        source: a finished file.
        target: replaced if it exists.
        muxer: FFmpeg's name of the format.
        options: of the muxer.

    Raises:
        OSError: no room, or no right.
    """
    with (
        av.open(str(source)) as reading,
        av.open(str(target), "w", format=muxer, container_options=dict(options)) as writing,
    ):
        stream = reading.streams.video[0]
        copy = writing.add_stream_from_template(stream)
        start: int | None = None
        for packet in reading.demux(stream):
            if packet.pts is None or packet.dts is None:
                continue  # the empty one at the end
            start = packet.pts if start is None else start  # fragments begin later by what is reordered
            packet.pts, packet.dts = packet.pts - start, packet.dts - start
            packet.stream = copy
            writing.mux(packet)
