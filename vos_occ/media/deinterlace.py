"""Interlaced video, two half pictures taken one after the other, to whole pictures."""

from __future__ import annotations

import av

_FILTER = ("bwdif", "mode=send_frame:deint=interlaced")


class Deinterlacer:
    """One picture per frame, with its time; frames that are not flagged as interlaced pass as they are.

    The combs that moving edges have in interlaced frames look like texture to a network, and tear masks into stripes.
    The filter (FFmpeg's bwdif) is set up at the first interlaced frame, so progressive video costs nothing. It looks
    one frame ahead, hence `flush`.
    """

    def __init__(self) -> None:
        self._graph: av.filter.Graph | None = None
        self._layout: tuple[int, int, str] | None = None

    def push(self, frame: av.VideoFrame) -> list[av.VideoFrame]:
        """Takes one frame; answers with those that are done, 0 to 2."""
        if self._graph is None and not frame.interlaced_frame:
            return [frame]
        layout = (frame.width, frame.height, frame.format.name)
        done = []
        if self._graph is not None and layout != self._layout:
            done = self.flush()
        if self._graph is None:
            self._graph, self._layout = _graph(frame), layout
        self._graph.push(frame)
        return done + self._pull()

    def flush(self) -> list[av.VideoFrame]:
        """The frames still owed."""
        if self._graph is None:
            return []
        self._graph.push(None)
        done = self._pull()
        self._graph = None
        return done

    def _pull(self) -> list[av.VideoFrame]:
        assert self._graph is not None
        done = []
        while True:
            try:
                done.append(self._graph.pull())
            except (av.error.BlockingIOError, av.error.EOFError):
                return done


def _graph(frame: av.VideoFrame) -> av.filter.Graph:
    graph = av.filter.Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base)
    filter_, sink = graph.add(*_FILTER), graph.add("buffersink")
    source.link_to(filter_)
    filter_.link_to(sink)
    graph.configure()
    return graph
