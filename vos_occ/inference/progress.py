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


def frames_bar(quiet: bool = False) -> Progress:
    """Counts frames on stderr, with their rate and the time left; disabled by `quiet` and without a terminal."""
    text = TextColumn("{task.description}")
    columns = (text, BarColumn(), MofNCompleteColumn(), FramesPerSecond(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), disable=quiet or not sys.stderr.isatty())


@contextmanager
def frame_progress(video: VideoReader, quiet: bool = False) -> Iterator[Iterable[Frame]]:
    """The frames of `video`, counted by a `frames_bar` while they are taken."""
    with frames_bar(quiet) as progress:
        yield progress.track(video, total=video.expected_frames, description=video.name)
