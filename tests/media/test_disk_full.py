"""Outputs that run out of room: one line, and what fitted plays. The limit is on the size of a file of this process."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import pytest

from vos_occ.media import VideoWriter, open_video
from vos_occ.structures import UserError

resource = pytest.importorskip("resource", reason="limits on file sizes are POSIX's")


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Python ignores SIGXFSZ, so that a write beyond the limit fails with EFBIG, as on a full disk with ENOSPC."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def boxes(path: Path) -> list[str]:
    """Kinds of the outermost boxes of an mp4 file, which must end with the file."""
    data, at, kinds = path.read_bytes(), 0, []
    while at < len(data):
        kinds.append(data[at + 4 : at + 8].decode())
        at += int.from_bytes(data[at : at + 4], "big")
    assert at == len(data)
    return kinds


def noise(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 64, 96, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", ["o.mp4", "o.m4v", "o.mov", "o.mkv", "o.webm", "o.gif"])
def test_what_fitted_on_a_full_disk_is_kept_and_plays(tmp_path: Path, name: str) -> None:
    writer = VideoWriter(tmp_path / name, 10, 96, 64)
    with files_of_at_most(120_000), pytest.raises(UserError) as error:
        for picture in noise(300):
            writer.write(picture)
    message = f"Cannot write '{tmp_path / name}': File too large. What was written of it before is kept."
    assert str(error.value) == message
    writer.close()  # of what is closed already
    assert [path.name for path in tmp_path.iterdir()] == [name]
    if name not in ("o.mkv", "o.webm", "o.gif"):
        assert boxes(tmp_path / name)[-2:] == ["moof", "mdat"]  # strict players stop at half of one
    frames = list(open_video(tmp_path / name))
    assert len(frames) >= 5
    assert [frame.time for frame in frames] == pytest.approx([0.1 * t for t in range(len(frames))], abs=0.011)
    assert open_video(tmp_path / name).problem is None


def test_a_disk_that_is_full_at_the_end_leaves_the_file_in_fragments(tmp_path: Path, caplog) -> None:
    """The index in front needs the file twice: here its second copy is what does not fit."""
    writer, pictures = VideoWriter(tmp_path / "o.mp4", 10, 96, 64), noise(40)
    for picture in pictures:
        writer.write(picture)
    before = os.replace

    def no_room(source: Path, target: Path) -> None:
        if str(source).endswith(".final"):
            raise OSError(28, "No space left on device")
        before(source, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", no_room)
        writer.close()
    assert "stays in fragments (No space left on device)" in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == ["o.mp4"]
    assert len(list(open_video(tmp_path / "o.mp4"))) == 40


def test_no_room_for_a_single_picture_leaves_nothing(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "o.mp4", 10, 96, 64)
    with files_of_at_most(1500), pytest.raises(UserError, match=r"Nothing of it was written\.$"):
        for picture in noise(100):
            writer.write(picture)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_pictures_keeps_the_whole_ones(tmp_path: Path) -> None:
    writer, pictures = VideoWriter(tmp_path / "pictures", 10, 96, 64), noise(3)
    writer.write(np.zeros_like(pictures[0]))
    with files_of_at_most(2000), pytest.raises(UserError, match="File too large. What was written"):
        writer.write(pictures[1])
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["000000.png"]


def test_the_first_error_is_the_one_that_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the first"), VideoWriter(tmp_path / "o.mp4", 10, 96, 64) as writer:
        for picture in noise(30):
            writer.write(picture)
        with files_of_at_most(100):
            writer.__exit__(UserError, UserError("the first"), None)
        raise UserError("the first")
    assert len(list(open_video(tmp_path / "o.mp4"))) > 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_killed_process_leaves_a_hidden_file_that_plays(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        writer = VideoWriter(tmp_path / "o.mp4", 10, 96, 64)
        for picture in noise(100):
            writer.write(picture)
        os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    (left,) = tmp_path.iterdir()
    assert left.name == ".o.partial.mp4"
    with av.open(str(left)) as container:
        assert len(list(container.decode(video=0))) > 40


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_folder_without_the_right_to_write_is_one_line() -> None:
    with (
        tempfile.TemporaryFile() as said,
        tempfile.TemporaryDirectory() as folder,
    ):  # not under pytest's, which only its owner may enter
        os.chmod(folder, 0o555)
        child = os.fork()
        if child == 0:
            if os.geteuid() == 0:
                os.setuid(65534)  # nobody keeps root from writing
            try:
                VideoWriter(f"{folder}/o.mp4", 10, 96, 64)
            except UserError as error:
                os.write(said.fileno(), str(error).encode())
            os._exit(0)
        os.waitpid(child, 0)
        said.seek(0)
        expected = f"Output '{folder}/o.mp4' cannot be created (Permission denied). Choose another place."
        assert said.read().decode() == expected


def test_a_file_where_a_folder_should_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(UserError, match=r"taken/o.mp4' cannot be created .*\. Choose another place\."):
        VideoWriter(tmp_path / "taken" / "o.mp4", 10, 96, 64)


@pytest.mark.parametrize("name", ["12:30:15.mp4", "größe und leer.mkv", "日本語.gif", "a%03d.webm"])
def test_any_name_is_written_and_read(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # so that the name is all there is
    with VideoWriter(name, 10, 96, 64) as writer:
        for picture in noise(3):
            writer.write(picture)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert len(list(open_video(name))) == 3
