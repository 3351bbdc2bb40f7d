"""The demo command on several inputs, clips, damaged and endless ones: what is written, what is said, how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from vos_occ.inference import demo
from vos_occ.inference.demo import main
from vos_occ.media import VideoWriter, open_video, reader
from vos_occ.media.place import Place
from vos_occ.results.jsonl import read_jsonl

Run = Callable[..., int]


def write(path: Path, frames: list[np.ndarray]) -> Path:
    height, width = frames[0].shape[:2]
    with VideoWriter(path, 10, width, height) as writer:
        for frame in frames:
            writer.write(frame)
    return path


@pytest.fixture
def videos(tmp_path: Path, tiny_frames: list[np.ndarray]) -> list[Path]:
    """The same objects forwards and backwards, and smaller."""
    smaller = [cv2.resize(frame, (160, 96)) for frame in tiny_frames[:4]]
    return [
        write(tmp_path / "a.mp4", tiny_frames[:4]),
        write(tmp_path / "b.mp4", tiny_frames[3::-1]),
        write(tmp_path / "c.mp4", smaller),
    ]


@pytest.fixture
def run(tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command in an empty folder; answers with its exit code."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def run(*arguments: str | Path) -> int:
        return main([*map(str, arguments), "--checkpoint", str(tiny_checkpoint), "--quiet"])

    return run


def lines(captured: str) -> list[str]:
    return [line for line in captured.splitlines() if "max_tracks" not in line]


def test_several_videos_leave_nothing_behind_for_each_other(run: Run, videos: list[Path]) -> None:
    outputs = ["--json", "{name}.jsonl", "--mot", "mot/{name}.txt", "--masks", "masks_{name}", "--out", "{name}.mkv"]
    written = []
    for order in (videos, videos[::-1], [videos[1], videos[0], videos[2]]):
        assert run(*order, *outputs, "--overwrite") == 0
        files = sorted(path for path in Path().rglob("*") if path.is_file())
        # mkv files carry a random number of their own, so their pictures are compared
        written.append({str(p): p.read_bytes() for p in files if p.suffix != ".mkv"})
        written[-1] |= {str(p): b"".join(f.image.tobytes() for f in open_video(p)) for p in Path().glob("*.mkv")}
    assert len(written[0]) == 3 * (1 + 1 + 4 + 1)
    assert written[0] == written[1] == written[2]
    assert run(videos[1], "--json", "alone.jsonl", "--out", "alone.mkv") == 0
    assert Path("alone.jsonl").read_bytes() == written[0]["b.jsonl"]


def test_a_bad_input_does_not_keep_back_the_others(run: Run, videos: list[Path], capsys) -> None:
    bad = videos[0].with_name("bad.mp4")
    bad.write_text("no video")
    assert run(videos[0], bad, videos[2]) == 2
    captured = capsys.readouterr()
    assert [line.split(". Wrote ")[1] for line in captured.out.splitlines()] == ["a_vos_occ.mp4.", "c_vos_occ.mp4."]
    assert len(captured.err.splitlines()) == 1 and "bad.mp4 cannot be read as a video" in captured.err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--json", "r.jsonl"], "--json needs {name} in it, as in --json '{name}.jsonl'"),
        (["--start", "3", "--end", "3"], "must come after the start"),
        (["--start", "two"], "Expected a frame's number"),
        (["--stride", "0"], "stride must be at least 1"),
        (["--max-objects", "0"], "--max-objects must be at least 1"),
    ],
)
def test_options_that_cannot_be_are_one_line_before_any_work(
    run: Run, videos: list[Path], options: list[str], says: str, capsys
) -> None:
    assert run(*videos, *options) == 2
    error = capsys.readouterr().err
    assert says in error and len(error.splitlines()) == 1
    assert not list(Path().iterdir())


def test_two_inputs_of_one_name_are_told_apart_by_nobody(run: Run, videos: list[Path], tmp_path: Path, capsys) -> None:
    assert run(videos[0], tmp_path / "elsewhere" / "a.mkv") == 2
    assert "have one name" in capsys.readouterr().err


@pytest.mark.parametrize("options, indices", [([], [0, 1, 2, 3]), (["--start", "1", "--stride", "2"], [1, 3])])
def test_results_of_a_clip_keep_the_frames_of_the_video(run: Run, videos: list[Path], options, indices) -> None:
    assert run(videos[0], "--json", "r.jsonl", *options) == 0
    results = read_jsonl("r.jsonl")
    assert [frame.frame_index for frame in results.frames] == indices
    assert results.times == pytest.approx([0.1 * i for i in indices], abs=1e-3)
    assert results.header.frames in (None, len(indices))
    assert len(list(open_video("a_vos_occ.mp4"))) == len(indices)


def test_a_time_may_be_given_for_a_frame(run: Run, videos: list[Path]) -> None:
    assert run(videos[0], "--json", "r.jsonl", "--start", "0.1s", "--end", "0:00.3") == 0
    assert [frame.frame_index for frame in read_jsonl("r.jsonl").frames] == [1, 2]


def test_no_more_objects_than_asked_for_and_the_surest_first(run: Run, videos: list[Path]) -> None:
    assert run(videos[0], "--json", "all.jsonl") == 0
    assert run(videos[0], "--json", "two.jsonl", "--out", "two.mp4", "--max-objects", "2") == 0
    everything, two = read_jsonl("all.jsonl").frames, read_jsonl("two.jsonl").frames
    assert max(map(len, everything)) > 2 and max(map(len, two)) == 2
    surest = np.sort(everything[0].scores)[::-1][:2]
    np.testing.assert_array_equal(np.sort(two[0].scores)[::-1], surest)


def test_a_truncated_video_is_tracked_up_to_the_break_and_exits_with_3(run: Run, tmp_path, tiny_frames, capsys) -> None:
    noisy = [
        np.random.default_rng(t).integers(0, 256, frame.shape, np.uint8) for t, frame in enumerate(tiny_frames * 2)
    ]
    whole = write(tmp_path / "whole.mp4", noisy[:12])
    torn = tmp_path / "torn.mp4"
    torn.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    assert run(torn, "--json", "r.jsonl") == 3
    captured = capsys.readouterr()
    count = len(read_jsonl("r.jsonl").frames)
    assert 0 < count < 12 and len(list(open_video("torn_vos_occ.mp4"))) == count
    assert captured.out.startswith(f"{count} frames, ")
    (line,) = lines(captured.err)
    assert line.startswith("vos-occ-demo: torn.mp4: ") and line.endswith(f"; {count} frames read.")


def test_an_endless_camera_is_tracked_for_as_long_as_asked(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    source = "testsrc=size=96x64:rate=10"
    monkeypatch.setattr(reader, "camera_place", lambda n: Place("camera0", "camera 0", source, "lavfi", live=True))
    assert run("0", "--json", "r.jsonl", "--end", "5") == 0
    assert len(read_jsonl("r.jsonl").frames) == 5
    assert Path("camera0_vos_occ.mp4").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_with_one_line_and_whole_files(run: Run, videos, monkeypatch, capsys, number) -> None:
    """The signal comes while the second of four frames is drawn, and nothing of what was read is lost."""
    drawn = [0]
    open_sinks = demo.open_sinks

    def with_a_signal(*arguments: object) -> list:
        def interrupt(frame: object, result: object) -> None:
            drawn[0] += 1
            if drawn[0] == 2:
                os.kill(os.getpid(), number)

        return [interrupt, *open_sinks(*arguments)]

    monkeypatch.setattr(demo, "open_sinks", with_a_signal)
    endless = Place("camera0", "camera 0", "testsrc=size=96x64:rate=10", "lavfi", live=True)
    monkeypatch.setattr(reader, "camera_place", lambda n: endless)
    before = signal.getsignal(number)
    assert run("0", videos[0], "--json", "{name}.jsonl") == 128 + number
    assert signal.getsignal(number) is before
    captured = capsys.readouterr()
    frames = read_jsonl("camera0.jsonl")
    assert 2 <= len(frames) == drawn[0] < 12 and not frames.torn
    expected = f"vos-occ-demo: Stopped by {number.name}. The first {len(frames)} frames of camera0 are written."
    assert lines(captured.err) == [expected] and captured.out == ""
    assert len(list(open_video("camera0_vos_occ.mp4"))) == len(frames)
    assert sorted(path.name for path in Path().iterdir()) == ["camera0.jsonl", "camera0_vos_occ.mp4"]


@pytest.mark.slow
def test_ctrl_c_in_a_shell_ends_the_command_as_shells_expect(tiny_checkpoint, tiny_frames, tmp_path: Path) -> None:
    video = write(tmp_path / "long.mp4", tiny_frames * 200)
    code = "import sys; from vos_occ.inference.demo import main; sys.exit(main())"
    command = [sys.executable, "-c", code, str(video), "--checkpoint", str(tiny_checkpoint), "--json", "r.jsonl"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 120
    while not (tmp_path / "r.jsonl").exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    count = len(read_jsonl(tmp_path / "r.jsonl"))
    assert f"Stopped by SIGINT. The first {count} frames of long.mp4 are written." in error
    assert len(list(open_video(tmp_path / "long_vos_occ.mp4"))) == count < len(tiny_frames) * 200


@pytest.mark.parametrize("full", ["jsonl", "video"])
def test_a_full_disk_ends_with_one_line_and_keeps_what_fitted(run: Run, tmp_path, tiny_frames, capsys, full) -> None:
    resource = pytest.importorskip("resource", reason="limits on file sizes are POSIX's")
    rng = np.random.default_rng(0)
    source = write(tmp_path / "noise.mp4", list(rng.integers(0, 256, (40, 120, 200, 3), np.uint8)))
    options = ["--json", "r.jsonl", "--score-thr", "0" if full == "jsonl" else "1", "--out", "o.mp4"]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000 if full == "jsonl" else 900_000, before[1]))
    try:
        assert run(source, *options) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    captured = capsys.readouterr()
    (line,) = lines(captured.err)
    name = "r.jsonl" if full == "jsonl" else "o.mp4"
    assert line.startswith(f"vos-occ-demo: Cannot write '{name}': File too large.") and captured.out == ""
    frames = read_jsonl("r.jsonl").frames
    assert 0 < len(frames) < 40
    if full == "video":
        assert 0 < len(list(open_video("o.mp4"))) <= len(frames)
    assert {path.name for path in Path().iterdir()} <= {"o.mp4", "r.jsonl"}


def test_nan_pixels_are_refused_by_a_session() -> None:
    from vos_occ.inference.session import VideoSession
    from vos_occ.structures.errors import InputError

    image = np.full((8, 8, 3), np.nan, np.float32)
    with pytest.raises(InputError, match=r"uint8 RGB image, found \(8, 8, 3\) float32 with NaN or infinite pixels"):
        VideoSession(object()).step(image)  # type: ignore[arg-type]
