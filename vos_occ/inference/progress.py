"""A progress line with frames per second and time left; nothing where nobody watches."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from vos_occ.media import Frame, VideoReader


class FramesPerSecond(ProgressColumn):
    """Speed of the recent past."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:.1f} fps")


@contextmanager
def frame_progress(video: VideoReader, quiet: bool = False) -> Iterator[Iterable[Frame]]:
    """The frames of `video`, counted on stderr while they are taken; silent with `quiet` and without a terminal."""
    if quiet or not sys.stderr.isatty():
        yield video
        return
    text = TextColumn("{task.description}")
    columns = (text, BarColumn(), MofNCompleteColumn(), FramesPerSecond(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield progress.track(video, total=video.expected_frames, description=video.name)
