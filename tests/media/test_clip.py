"""Parts of videos: what `--start`, `--end` and `--stride` mean, for frames and for times."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vos_occ.media import Clip, Moment, open_video
from vos_occ.media.clip import Selection
from vos_occ.structures import InputError


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("120", Moment(frame=120)),
        ("0", Moment(frame=0)),
        ("4.5s", Moment(seconds=4.5)),
        ("3s", Moment(seconds=3)),
        ("1:30", Moment(seconds=90)),
        ("1:02:03.5", Moment(seconds=3723.5)),
    ],
)
def test_a_number_is_a_frame_and_a_unit_makes_it_a_time(text: str, moment: Moment) -> None:
    assert Moment.parse(text) == moment


@pytest.mark.parametrize("text", ["", "-1", "1.5", "s", "1:", "two", "1e3s", "nan"])
def test_what_is_neither_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="Expected a frame's number"):
        Moment.parse(text)


@pytest.mark.parametrize(
    "clip",
    [("5", "5", 1), ("5", "3", 1), ("2s", "1s", 1), ("0", None, 0), ("0", None, -2)],
    ids=["empty", "backwards", "backwards in time", "no stride", "negative stride"],
)
def test_a_clip_that_holds_nothing_is_refused(clip: tuple[str, str | None, int]) -> None:
    start, end, stride = clip
    with pytest.raises(InputError):
        Clip(Moment.parse(start), None if end is None else Moment.parse(end), stride)


@given(st.integers(1, 60), st.integers(0, 59), st.integers(1, 70), st.integers(1, 9), st.booleans())
def test_a_clip_is_a_slice_and_is_counted_right(count: int, start: int, length: int, stride: int, timed: bool) -> None:
    def moment(frame: int) -> Moment:
        return Moment(seconds=frame / 10) if timed else Moment(frame=frame)

    clip = Clip(moment(start), moment(start + length), stride)
    selection = Selection(clip)
    taken = []
    for index in range(count):
        if selection.is_over(index, index / 10):
            break
        if selection.takes(index, index / 10):
            taken.append(index)
    assert taken == list(range(count))[start : start + length : stride]
    assert clip.count(count, 10.0) == len(taken) == selection.taken


@pytest.mark.parametrize("source", ["video", "folder"])
@pytest.mark.parametrize(
    ("clip", "indices"),
    [
        (Clip(Moment(frame=3)), [3, 4, 5, 6, 7, 8, 9]),
        (Clip(Moment(frame=2), Moment(frame=8), 3), [2, 5]),
        (Clip(Moment(seconds=0.25), Moment(seconds=0.6)), [3, 4, 5]),
        (Clip(stride=4), [0, 4, 8]),
        (Clip(Moment(frame=1), Moment(seconds=0.4)), [1, 2, 3]),
        (Clip(end=Moment(frame=500)), list(range(10))),
    ],
    ids=["from", "from to by", "in seconds", "by", "mixed", "end beyond the end"],
)
def test_a_clip_keeps_the_indices_and_times_of_its_frames(
    make_video, ramp, tmp_path: Path, source: str, clip: Clip, indices: list[int]
) -> None:
    pictures = ramp(10)
    if source == "video":
        path = make_video("v.mp4", pictures)
    else:
        path = tmp_path / "folder"
        path.mkdir()
        for i, picture in enumerate(pictures):
            cv2.imwrite(str(path / f"{i}.png"), picture)
    video = open_video(path, clip=clip, image_fps=10)
    frames = list(video)
    assert [frame.index for frame in frames] == indices
    assert [frame.image.mean() for frame in frames] == pytest.approx([20 + 20 * i for i in indices], abs=2)
    if source == "video":
        assert [frame.time for frame in frames] == pytest.approx([0.1 * i for i in indices], abs=1e-3)
    assert video.num_frames in (None, len(indices)) and video.expected_frames == len(indices)
    assert video.fps == pytest.approx(10 / clip.stride) and video.problem is None
    assert [frame.index for frame in video] == indices  # again


@pytest.mark.parametrize("start", [Moment(frame=10), Moment(seconds=5.0)])
def test_a_start_beyond_the_end_is_one_line(make_video, ramp, start: Moment) -> None:
    with pytest.raises(InputError, match=r"v.mp4 has 10 frames; (frame 10|5 s) is beyond its end\."):
        list(open_video(make_video("v.mp4", ramp(10)), clip=Clip(start)))


def test_a_clip_before_a_break_does_not_meet_it(make_video, ramp, tmp_path: Path) -> None:
    whole = make_video("v.mkv", [np.roll(picture, i, 1) for i, picture in enumerate(ramp(10) * 3)], codec="mpeg4")
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    video = open_video(whole, clip=Clip(end=Moment(frame=5)))
    assert len(list(video)) == 5 and video.problem is None
