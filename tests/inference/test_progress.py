"""The progress line: there for a terminal, with frames per second, and silent elsewhere."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from vos_occ.inference import progress
from vos_occ.inference.progress import FramesPerSecond, frame_progress
from vos_occ.media import VideoWriter, open_video


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    with VideoWriter(tmp_path / "clip.mp4", 10, 32, 32) as writer:
        for _ in range(3):
            writer.write(np.zeros((32, 32, 3), np.uint8))
    return tmp_path / "clip.mp4"


@pytest.fixture
def stderr(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], io.StringIO]:
    """`stderr(True)`: what the module then takes for a terminal on stderr."""

    def replaced(terminal: bool) -> io.StringIO:
        stream = io.StringIO()
        stream.isatty = lambda: terminal
        monkeypatch.setattr(progress.sys, "stderr", stream)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", "120")
        return stream

    return replaced


def test_a_terminal_sees_name_and_count(clip: Path, stderr: Callable) -> None:
    stream = stderr(True)
    with open_video(clip) as video, frame_progress(video) as frames:
        assert [frame.index for frame in frames] == [0, 1, 2]
    shown = stream.getvalue()
    assert "clip.mp4" in shown and "3/3" in shown


@pytest.mark.parametrize(("speed", "text"), [(None, ""), (7.26, "7.3 fps")])
def test_the_rate_is_shown_once_it_is_known(speed: float | None, text: str) -> None:
    assert FramesPerSecond().render(SimpleNamespace(speed=speed)).plain == text


@pytest.mark.parametrize(("terminal", "quiet"), [(True, True), (False, False)])
def test_nobody_else_sees_anything(clip: Path, stderr: Callable, terminal: bool, quiet: bool) -> None:
    stream = stderr(terminal)
    with open_video(clip) as video, frame_progress(video, quiet=quiet) as frames:
        assert len(list(frames)) == 3
    assert stream.getvalue() == ""
