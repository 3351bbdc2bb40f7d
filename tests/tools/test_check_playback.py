"""Videos play in a browser: what the files say always, and in Chromium where there is one."""

from __future__ import annotations

import importlib.util
import shutil
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import av
import numpy as np
import pytest

from vos_occ.media import VideoWriter


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    path = Path(__file__).parents[2] / "tools" / "check_playback.py"
    spec = importlib.util.spec_from_file_location("tool_check_playback", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def samples(tool: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return tool.write_samples(tmp_path_factory.mktemp("samples"))


def encode(path: Path, codec: str, pixels: str, start: int = 0, options: dict[str, str] | None = None) -> Path:
    """A video as others might write it."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10, options=options or {})
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        for t in range(5):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 40 * t, np.uint8)).reformat(format=pixels)
            frame.pts, frame.time_base = start + t, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_all_kinds_of_samples_are_well_by_what_they_say(tool, samples) -> None:
    assert len({path.suffix for path in samples}) == 4
    assert {path.name: tool.file_faults(path)[0] for path in samples} == {path.name: [] for path in samples}


@pytest.mark.parametrize(
    ("codec", "pixels", "name", "fault"),
    [
        ("mpeg4", "yuv420p", "a.mp4", "codec mpeg4, expected h264 or vp9"),
        ("libx264", "yuv444p", "a.mp4", "pixel format yuv444p, expected yuv420p"),
        ("libx264", "yuv444p", "a.mp4", "profile High 4:4:4 Predictive of h264"),
        ("libx264", "yuv420p", "a.mp4", "its index is at the end"),
    ],
    ids=["what OpenCV writes", "full chroma", "profile", "no faststart"],
)
def test_what_browsers_do_not_play_or_play_late_is_named(tool, tmp_path, codec, pixels, name, fault) -> None:
    assert fault in tool.file_faults(encode(tmp_path / name, codec, pixels))[0]


def test_the_command_says_what_is_wrong_and_exits_with_1(tool, tmp_path, capsys) -> None:
    bad = encode(tmp_path / "bad.mp4", "mpeg4", "yuv420p")
    assert tool.main(["--no-browser", str(bad)]) == 1
    assert "bad.mp4: mpeg4" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--browser", "no-such-browser"], "'no-such-browser' is not on PATH. Install one"),
        (["--no-browser", "no-such-file.mp4"], "'no-such-file.mp4' cannot be read as a video"),
    ],
)
def test_what_cannot_be_checked_is_one_line_and_exit_code_2(tool, capsys, arguments, error) -> None:
    assert tool.main(arguments) == 2
    said = capsys.readouterr().err
    assert error in said and said.count("\n") == 1


def test_a_frame_of_variable_rate_lasts_until_the_next_one(tmp_path) -> None:
    times = [0.0, 0.1, 0.4, 0.45, 0.5, 1.2, 1.3]
    with VideoWriter(tmp_path / "a.mp4", 10, 64, 48) as writer:
        for i, time in enumerate(times):
            writer.write(np.full((48, 64, 3), 30 * i, np.uint8), time)
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.pts is not None]
        ends = [float((packet.pts + packet.duration) * packet.time_base) for packet in packets]
        assert ends == pytest.approx([*times[1:], 1.4], abs=1e-3)
        assert container.duration / 1e6 == pytest.approx(1.4, abs=1e-3)


@pytest.fixture(scope="module")
def browser(tool: ModuleType) -> str:
    found = next((path for path in map(shutil.which, tool.BROWSERS) if path), None)
    if found is None:
        pytest.skip("no Chromium on PATH (apt install chromium)")
    return found


@pytest.mark.slow
def test_chromium_plays_all_kinds_of_samples_as_they_are_read_here(tool, samples, browser, capsys) -> None:
    assert all([tool.report(path, browser) for path in samples]), capsys.readouterr().out


@pytest.mark.slow
def test_chromium_is_asked_and_not_believed_blindly(tool, samples, browser, tmp_path) -> None:
    found = tool.play(samples[0], browser)
    assert tool.browser_faults(samples[0], found) == []
    assert tool.browser_faults(samples[0], found | {"colours": found["colours"][::-1]}) != []
    text = tmp_path / "no_video.mp4"
    shutil.copy(encode(tmp_path / "a.avi", "mpeg4", "yuv420p"), text)
    assert "the browser says" in tool.browser_faults(text, tool.play(text, browser))[0]
