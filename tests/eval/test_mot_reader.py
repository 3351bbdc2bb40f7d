"""MOT text files: frames, pixels and ids as they are meant, and what does not fit named with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from eval.errors import SchemaError
from eval.readers.mot import read_mot


def written(folder: Path, text: str) -> Path:
    path = folder / "gt.txt"
    path.write_text(text)
    return path


def test_frames_and_pixels_count_from_zero_and_unscored_lines_are_left_out(tmp_path: Path) -> None:
    first, second, third = read_mot(written(tmp_path, "1,4,11,21,5,6,1,-1\n3,4,1,1,2,2,0\n\n3 5 1 1 2 2 1\n"))
    assert (first.ids.tolist(), first.boxes.tolist()) == ([4], [[10, 20, 15, 26]])
    assert second.boxes.shape == (0, 4)
    assert third.ids.tolist() == [5]


def test_the_length_of_the_video_counts_when_it_is_known(tmp_path: Path) -> None:
    assert len(read_mot(written(tmp_path, "1,1,1,1,1,1\n"), num_frames=4)) == 4
    assert read_mot(written(tmp_path, "")) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,1,1,1,1\n", "line 1: expected frame, id, left, top, width, height"),
        ("1,1,1,1,1,1\n1,a,1,1,1,1\n", "line 2: expected comma-separated numbers"),
        ("1.5,1,1,1,1,1\n", "frame and id must be whole numbers"),
        ("1,2.25,1,1,1,1\n", "frame and id must be whole numbers"),
        ("0,1,1,1,1,1\n", "frame 0 is outside 1..2"),
        ("3,1,1,1,1,1\n", "frame 3 is outside 1..2"),
        ("1,1,1,1,1,1\n1,1,2,2,2,2\n", "line 2: id 1 occurs twice in frame 1"),
    ],
)
def test_what_does_not_fit_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        read_mot(written(tmp_path, text), num_frames=2)


def test_no_file_and_no_text_are_said(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=r"There is no file '.*absent.txt'"):
        read_mot(tmp_path / "absent.txt")
    (tmp_path / "video.mp4").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(SchemaError, match="is not a text file"):
        read_mot(tmp_path / "video.mp4")
