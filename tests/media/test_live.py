"""Sources that are read as they come: addresses, pipes, cameras (a made-up one: there is none where tests run)."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from vos_occ.media import Clip, Moment, decoding, open_video, place, reader, source_stem
from vos_occ.media.place import Place, address_place, is_address, is_camera
from vos_occ.structures import InputError


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        """Says nothing."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Serves the test's folder at this address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(tmp_path))) as http:
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{http.server_address[1]}"
        http.shutdown()
        thread.join()


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "with blanks.mp4"])
def test_an_address_is_read_once_from_its_first_frame(make_video, ramp, server: str, name: str) -> None:
    make_video(name, ramp(6))
    video = open_video(f"{server}/{name.replace(' ', '%20')}")
    assert (video.name, video.width, video.height) == (name, 48, 32)
    frames = list(video)
    assert [frame.index for frame in frames] == list(range(6))
    assert [frame.image.mean() for frame in frames] == pytest.approx([20, 40, 60, 80, 100, 120], abs=2)
    with pytest.raises(InputError, match="is live and was read already"):
        list(video)


def test_a_file_that_is_not_there_is_one_line(server: str) -> None:
    with pytest.raises(InputError, match=r"^http://127.*/none.mp4 cannot be opened \(.*404.*\)\. Is it there"):
        open_video(f"{server}/none.mp4")


def test_a_server_that_is_not_there_is_one_line() -> None:
    with pytest.raises(InputError, match="cannot be opened .Connection refused"):
        open_video("rtsp://127.0.0.1:9/street")


def test_a_sender_that_falls_silent_ends_the_video_and_says_so(make_video, ramp, monkeypatch) -> None:
    monkeypatch.setattr(place, "LONGEST_WAIT", 1.0)
    data = make_video("clip.mkv", ramp(10) * 6, codec="mpeg4").read_bytes()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sent: list[socket.socket] = []

        def send() -> None:
            sent.append(listener.accept()[0])  # and keep it open
            sent[0].sendall(data[: len(data) * 2 // 3])

        sender = threading.Thread(target=send)
        sender.start()
        video = open_video(f"tcp://127.0.0.1:{listener.getsockname()[1]}")
        count = len(list(video))
        sender.join()
        sent[0].close()
    assert 20 < count < 60
    assert video.problem == f"127.0.0.1: reading stopped after {count} frames (no data for too long)."


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_is_opened_once(make_video, ramp, tmp_path: Path) -> None:
    data = make_video("clip.mkv", ramp(6)).read_bytes()
    os.mkfifo(tmp_path / "pipe")
    sender = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(data,))
    sender.start()
    assert [frame.index for frame in open_video(tmp_path / "pipe")] == list(range(6))
    sender.join()


@pytest.fixture
def made_up_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    """FFmpeg's test picture without an end, in place of the first camera."""

    def camera_place(number: str) -> Place:
        return Place(f"camera{number}", f"camera {number}", "testsrc=size=96x64:rate=10", format="lavfi", live=True)

    monkeypatch.setattr(reader, "camera_place", camera_place)


def test_a_number_is_a_camera(made_up_camera, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    video = open_video("0", clip=Clip(end=Moment(frame=25)))
    assert (video.name, video.width, video.height, video.num_frames) == ("camera0", 96, 64, None)
    assert [frame.index for frame in video] == list(range(25))


def test_closing_a_camera_before_its_end_lets_it_go(made_up_camera, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with open_video("0") as video:
        frames = iter(video)
        assert [next(frames).index for _ in range(3)] == [0, 1, 2]
    assert list(frames) == []


def test_a_camera_that_is_absent_is_one_line(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"camera 97 cannot be opened|Cameras are read on Linux and macOS only"):
        open_video("97")


def test_a_file_called_0_comes_before_the_camera(make_video, ramp, tmp_path: Path, monkeypatch) -> None:
    make_video("clip.mp4", ramp(2)).rename(tmp_path / "0")
    monkeypatch.chdir(tmp_path)
    assert not is_camera("0") and is_camera("1")
    assert len(list(open_video("0"))) == 2


@pytest.mark.parametrize(
    ("source", "address"),
    [
        ("rtsp://cam.local/live", True),
        ("HTTPS://x.org/a.mp4", True),
        ("file:///etc/passwd", False),
        ("concat:a|b", False),
        ("street.mp4", False),
        ("http://", False),
    ],
)
def test_only_networks_are_addresses(source: str, address: bool) -> None:
    assert is_address(source) == address


def test_passwords_are_not_shown() -> None:
    where = address_place("rtsp://user:secret@cam.local:554/live?token=secret")
    assert "secret" not in where.shown and "secret" not in where.name
    assert where.shown == "rtsp://cam.local:554/live"
    assert where.options == {"rtsp_transport": "tcp"}


@pytest.mark.parametrize(
    ("source", "stem"),
    [
        ("a/b/street.v2.mp4", "street.v2"),
        ("http://x.org/v/clip.mp4?t=1", "clip"),
        ("rtsp://cam", "cam"),
        ("7", "camera7"),
    ],
)
def test_outputs_are_named_after_their_source(source: str, stem: str) -> None:
    assert source_stem(source) == stem


def test_the_wait_for_data_is_limited_for_networks_only() -> None:
    assert address_place("http://x.org/a.mp4").timeout == place.LONGEST_WAIT
    assert place.file_place(Path(decoding.__file__)).timeout is None
