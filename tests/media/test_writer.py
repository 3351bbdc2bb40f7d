from __future__ import annotations

import av
import numpy as np
import pytest

from vos_occ.media import VideoWriter, open_video
from vos_occ.structures import OutputExistsError, UserError


def _write(path, pictures, fps=10.0, times=None, overwrite=False):
    height, width = pictures[0].shape[:2]
    with VideoWriter(path, fps, width, height, overwrite=overwrite) as writer:
        for i, picture in enumerate(pictures):
            writer.write(picture, None if times is None else times[i])


def _noise(count: int, height: int = 32, width: int = 48) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", ["out.mp4", "out.m4v", "out.mov", "out.mkv", "OUT.MP4"])
def test_h264_is_written_as_yuv420p_in_bt709(tmp_path, ramp, name):
    _write(tmp_path / name, ramp(5))
    with av.open(str(tmp_path / name)) as container:
        stream = container.streams.video[0]
        frame = next(container.decode(stream))
        assert (stream.codec_context.name, frame.format.name) == ("h264", "yuv420p")
        assert (frame.colorspace, frame.color_range) == (1, 1)


@pytest.mark.parametrize("name", ["out.mp4", "out.m4v", "out.mov"])
def test_the_index_comes_before_the_pictures(tmp_path, name):
    _write(tmp_path / name, _noise(30))
    data = (tmp_path / name).read_bytes()
    assert 0 < data.find(b"moov") < data.find(b"mdat")


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.webm", "out.gif", "out/", "out"])
def test_what_is_written_is_read_back(tmp_path, ramp, name):
    _write(f"{tmp_path}/{name}", ramp(6))
    video = open_video(tmp_path / name)
    frames = list(video)
    assert (video.width, video.height, len(frames)) == (48, 32, 6)
    assert [frame.image.mean() for frame in frames] == pytest.approx([20, 40, 60, 80, 100, 120], abs=3)


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.webm", "out.gif"])
def test_times_of_the_source_are_kept(tmp_path, ramp, name):
    times = [7.0, 7.04, 7.5, 7.52, 9.0]
    _write(tmp_path / name, ramp(5), fps=25, times=times)
    found = [frame.time for frame in open_video(tmp_path / name)]
    assert found == pytest.approx([time - 7 for time in times], abs=2e-3)


@pytest.mark.parametrize("fps", [5, 10, 14.285714, 24, 25, 29.97002997, 30, 60, 0.5])
def test_the_frame_rate_is_kept(tmp_path, ramp, fps):
    _write(tmp_path / "out.mp4", ramp(8), fps=fps)
    video = open_video(tmp_path / "out.mp4")
    assert video.fps == pytest.approx(fps, rel=1e-4)
    assert [frame.time for frame in video] == pytest.approx([i / fps for i in range(8)], abs=1e-4)


def test_repeated_times_still_make_a_valid_file(tmp_path, ramp):
    _write(tmp_path / "out.mp4", ramp(4), times=[0.0, 0.0, 0.0, 0.1])
    times = [frame.time for frame in open_video(tmp_path / "out.mp4")]
    assert len(times) == 4 and times == sorted(set(times))


@pytest.mark.parametrize(("height", "width"), [(31, 47), (32, 47), (31, 48), (1, 1)])
def test_odd_sizes_are_padded_by_repeating_the_edge(tmp_path, height, width):
    picture = np.zeros((height, width, 3), np.uint8)
    picture[-1], picture[:, -1] = 200, 200
    _write(tmp_path / "odd.mp4", [picture] * 3)
    video = open_video(tmp_path / "odd.mp4")
    assert (video.width, video.height) == (width + width % 2, height + height % 2)
    image = next(iter(video)).image
    assert image[-1].mean() == pytest.approx(200, abs=8) and image[:, -1].mean() == pytest.approx(200, abs=8)


def test_colours_survive_the_round_trip(tmp_path):
    colours = [(200, 40, 40), (40, 200, 40), (40, 40, 200), (230, 160, 30), (128, 128, 128), (255, 255, 255), (0, 0, 0)]
    _write(tmp_path / "out.mp4", [np.full((32, 32, 3), colour, np.uint8) for colour in colours])
    for frame, colour in zip(open_video(tmp_path / "out.mp4"), colours, strict=True):
        assert frame.image.mean((0, 1)) == pytest.approx(colour, abs=5)


@pytest.mark.parametrize("name", ["out.mp4", "out.gif", "out/"])
def test_nothing_is_overwritten_unasked(tmp_path, ramp, name):
    path = f"{tmp_path}/{name}"
    _write(path, ramp(3))
    with pytest.raises(OutputExistsError, match="already exists. Use --overwrite to replace"):
        _write(path, ramp(2))
    assert len(list(open_video(path))) == 3
    _write(path, ramp(2), overwrite=True)
    assert len(list(open_video(path))) == 2


def test_overwriting_a_folder_removes_only_numbered_pictures(tmp_path, ramp):
    folder = tmp_path / "out"
    _write(folder, ramp(3))
    (folder / "cover.png").write_bytes(b"mine")
    _write(folder, ramp(1), overwrite=True)
    assert sorted(path.name for path in folder.iterdir()) == ["000000.png", "cover.png"]


def test_a_folder_in_the_place_of_a_file_is_left_alone(tmp_path, ramp):
    (tmp_path / "out.mp4").mkdir()
    with pytest.raises(OutputExistsError, match="should be a file, but is a folder"):
        _write(tmp_path / "out.mp4", ramp(1), overwrite=True)


def test_the_final_name_appears_only_when_the_file_is_whole(tmp_path, ramp):
    path = tmp_path / "new folder" / "out.mp4"
    writer = VideoWriter(path, 10, 48, 32)
    for picture in ramp(5):
        writer.write(picture)
    assert not path.exists()
    writer.close()
    writer.close()
    assert [entry.name for entry in path.parent.iterdir()] == ["out.mp4"]


def test_an_existing_file_stays_whole_until_its_successor_is(tmp_path, ramp):
    path = tmp_path / "out.mp4"
    _write(path, ramp(3))
    writer = VideoWriter(path, 10, 48, 32, overwrite=True)
    writer.write(ramp(1)[0])
    assert len(list(open_video(path))) == 3
    writer.close()
    assert len(list(open_video(path))) == 1


@pytest.mark.parametrize("name", ["out.mp4", "out.gif"])
def test_frames_before_an_error_are_kept_and_playable(tmp_path, ramp, name):
    with pytest.raises(RuntimeError), VideoWriter(tmp_path / name, 10, 48, 32) as writer:
        for picture in ramp(4):
            writer.write(picture)
        raise RuntimeError("the model broke")
    assert len(list(open_video(tmp_path / name))) == 4


@pytest.mark.parametrize("name", ["out.mp4", "out.webm", "out.gif"])
def test_without_pictures_there_is_no_file(tmp_path, name):
    with VideoWriter(tmp_path / name, 10, 48, 32):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "says"),
    [("out.avi", "no video format is known for '.avi'"), ("file/out.mp4", "cannot be created"), ("out.jpg", "'/'")],
)
def test_a_place_that_cannot_be_written_is_one_clear_line(tmp_path, name, says):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=says) as caught:
        VideoWriter(tmp_path / name, 10, 48, 32)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "picture",
    [np.zeros((32, 47, 3), np.uint8), np.zeros((32, 48), np.uint8), np.zeros((32, 48, 3), np.float32)],
    ids=["size", "grey", "float"],
)
def test_a_picture_of_another_kind_is_refused(tmp_path, picture):
    with VideoWriter(tmp_path / "out.mp4", 10, 48, 32) as writer, pytest.raises(ValueError, match="Expected"):
        writer.write(picture)


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf")])
def test_an_impossible_frame_rate_is_refused(tmp_path, fps):
    with pytest.raises(ValueError, match="fps"):
        VideoWriter(tmp_path / "out.mp4", fps, 48, 32)
