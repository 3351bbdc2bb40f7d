from __future__ import annotations

import logging
import wave
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vos_occ.media import open_video
from vos_occ.media.file_source import _Clock
from vos_occ.media.image_source import natural_key
from vos_occ.structures import InputError

needs_rotation_writer = pytest.mark.skipif(
    not hasattr(av.video.stream.VideoStream, "set_display_rotation"), reason="this PyAV cannot write display matrices"
)


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("h264.mp4", "libx264", "yuv420p"),
        ("h264.mov", "libx264", "yuv420p"),
        ("h264.mkv", "libx264", "yuv420p"),
        ("h264_with_b_frames.avi", "libx264", "yuv420p"),
        ("mpeg4.avi", "mpeg4", "yuv420p"),
        ("vp9.webm", "libvpx-vp9", "yuv420p"),
        ("animation.gif", "gif", "rgb8"),
    ],
)
def test_every_container_gives_all_frames_in_order(make_video, ramp, name, codec, pix_fmt):
    path = make_video(name, ramp(6), codec=codec, pix_fmt=pix_fmt)
    with open_video(path) as video:
        frames = list(video)
    assert [frame.index for frame in frames] == list(range(6))
    assert [frame.time for frame in frames] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5], abs=2e-3)
    assert all(frame.image.shape == (32, 48, 3) and frame.image.dtype == np.uint8 for frame in frames)
    assert [frame.image.mean() for frame in frames] == pytest.approx([20, 40, 60, 80, 100, 120], abs=18)
    assert (video.name, video.width, video.height) == (name, 48, 32)
    assert video.fps == pytest.approx(10)
    assert video.num_frames in (6, None) and video.expected_frames == 6


@needs_rotation_writer
@pytest.mark.parametrize("degrees", [0, 90, 180, -90])
@pytest.mark.parametrize("hflip", [False, True])
@pytest.mark.parametrize("vflip", [False, True])
def test_frames_come_out_upright(make_video, corner, degrees, hflip, vflip):
    path = make_video("phone.mp4", [corner] * 2, rotation=(degrees, hflip, vflip))
    shown = np.rot90(corner, k=degrees // 90)  # counter-clockwise, as set_display_rotation counts
    shown = shown[:, ::-1] if hflip else shown
    shown = shown[::-1] if vflip else shown
    video = open_video(path)
    image = next(iter(video)).image
    assert (video.height, video.width) == image.shape[:2] == shown.shape[:2]
    assert np.abs(image.astype(int) - shown).mean() < 12
    assert image.flags["C_CONTIGUOUS"]


def test_time_stamps_of_variable_frame_rate_are_kept(make_video, ramp):
    times = [2.0, 2.04, 2.5, 2.52, 4.0]
    path = make_video("variable.mp4", ramp(5), times=times)
    assert [frame.time for frame in open_video(path)] == pytest.approx([0, 0.04, 0.5, 0.52, 2.0], abs=1e-4)


@pytest.mark.parametrize("size", [(17, 31), (1, 1), (33, 2)])
def test_odd_sizes_are_kept_to_the_pixel(make_video, size):
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    path = make_video("odd.mkv", [picture], codec="ffv1", pix_fmt="bgr0")
    np.testing.assert_array_equal(next(iter(open_video(path))).image, picture)


@pytest.mark.parametrize("pix_fmt", ["bgra", "gray", "gray16le", "yuv420p10le", "yuv444p", "yuv422p10le", "gbrp10le"])
def test_every_pixel_format_becomes_8_bit_rgb(make_video, ramp, pix_fmt):
    path = make_video("format.mkv", ramp(3), codec="ffv1", pix_fmt=pix_fmt)
    images = [frame.image for frame in open_video(path)]
    assert all(image.shape == (32, 48, 3) and image.dtype == np.uint8 for image in images)
    assert [image.mean() for image in images] == pytest.approx([20, 40, 60], abs=2)


@pytest.mark.parametrize(
    ("max_side", "size"),
    [(None, (48, 32)), (100, (48, 32)), (48, (48, 32)), (24, (24, 16)), (10, (10, 7)), (1, (1, 1))],
)
def test_max_side_scales_down_and_never_up(make_video, corner, tmp_path, max_side, size):
    cv2.imwrite(str(tmp_path / "one.png"), corner[..., ::-1])
    for path in (make_video("video.mp4", [corner]), tmp_path / "one.png"):
        video = open_video(path, max_side=max_side)
        assert (video.width, video.height) == size
        assert next(iter(video)).image.shape == (size[1], size[0], 3)


@needs_rotation_writer
def test_max_side_keeps_the_ratio_of_the_picture_as_shown(make_video, corner):
    video = open_video(make_video("phone.mp4", [corner], rotation=(90, False, False)), max_side=24)
    assert (video.width, video.height) == (16, 24)
    assert next(iter(video)).image.shape == (24, 16, 3)


def test_iterating_again_starts_from_the_first_frame(make_video, ramp):
    video = open_video(make_video("video.mp4", ramp(4)))
    first_pass = iter(video)
    assert [next(first_pass).index, next(first_pass).index] == [0, 1]
    assert [frame.index for frame in video] == [0, 1, 2, 3]
    assert list(first_pass) == []  # a new pass ends the one before


def test_a_truncated_file_yields_the_frames_before_the_break(make_video, ramp, tmp_path):
    whole = make_video("whole.mkv", ramp(10) * 3, codec="mpeg4").read_bytes()
    (tmp_path / "torn.mkv").write_bytes(whole[: len(whole) * 2 // 3])
    frames = list(open_video(tmp_path / "torn.mkv"))
    assert 5 < len(frames) < 30
    assert [frame.image[0, 0, 0] for frame in frames[:3]] == pytest.approx([20, 40, 60], abs=4)


def test_an_mp4_with_fewer_frames_than_announced_warns_once(tmp_path, ramp, caplog):
    path = tmp_path / "whole.mp4"
    noise = np.random.default_rng(0).integers(0, 256, (20, 32, 48, 3), dtype=np.uint8)
    with av.open(str(path), "w", container_options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        for picture in noise:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    torn = tmp_path / "torn.mp4"
    torn.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with caplog.at_level(logging.WARNING):
        count = len(list(open_video(torn)))
    assert 0 < count < 20
    assert len(caplog.records) == 1 and "torn.mp4" in caplog.text and str(count) in caplog.text


def test_damage_in_the_middle_does_not_end_the_video(make_video, caplog):
    noise = np.random.default_rng(1).integers(0, 256, (12, 32, 48, 3), dtype=np.uint8)
    path = make_video("noise.avi", noise, codec="png", pix_fmt="rgb24")
    data = bytearray(path.read_bytes())
    second = data.find(b"\x89PNG", data.find(b"\x89PNG") + 1)
    data[second : second + 64] = bytes(64)
    path.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        images = [frame.image for frame in open_video(path)]
    assert 9 <= len(images) <= 11  # frame-threaded decoders may lose a neighbour of the damaged frame
    np.testing.assert_array_equal(images[-1], noise[-1])
    assert len(caplog.records) == 1 and "1 damaged packets" in caplog.text


def _write_images(folder: Path, names: list[str], size: tuple[int, int] = (8, 12)) -> None:
    folder.mkdir(exist_ok=True)
    for value, name in enumerate(names):
        cv2.imwrite(str(folder / name), np.full((*size, 3), 10 * value, np.uint8))


def test_a_folder_is_read_in_natural_order_without_hidden_files(tmp_path):
    folder = tmp_path / "clip"
    _write_images(folder, ["img1.png", "img2.png", "img10.png", "img11.PNG"])
    (folder / "._img1.png").write_bytes(b"not an image")
    (folder / "notes.txt").write_text("hello")
    video = open_video(folder)
    assert [int(frame.image[0, 0, 0]) for frame in video] == [0, 10, 20, 30]
    assert [frame.time for frame in video] == [None] * 4
    assert (video.name, video.num_frames, video.expected_frames, video.fps) == ("clip", 4, 4, 25.0)


@given(st.lists(st.tuples(st.sampled_from(["a", "frame_", "Img"]), st.integers(0, 10**9)), unique=True))
def test_natural_order_sorts_numbers_by_value(items):
    items = sorted(items, key=lambda item: (item[0].lower(), item[1]))
    names = [f"{prefix}{number}.jpg" for prefix, number in items]
    assert sorted(reversed(names), key=natural_key) == names


def test_a_single_image_is_a_video_of_one_frame(tmp_path, corner):
    path = tmp_path / "größe.png"
    path.write_bytes(cv2.imencode(".png", corner[..., ::-1])[1].tobytes())
    frames = list(open_video(path))
    assert len(frames) == 1
    np.testing.assert_array_equal(frames[0].image, corner)


@pytest.mark.parametrize("kind", ["grey", "16 bit", "alpha"])
def test_images_of_any_depth_become_8_bit_rgb(tmp_path, kind):
    pixel = {"grey": np.uint8(100), "16 bit": np.array([100 * 257] * 3, np.uint16), "alpha": [100, 100, 100, 0]}[kind]
    dtype = np.uint16 if kind == "16 bit" else np.uint8
    picture = np.broadcast_to(np.asarray(pixel, dtype), (4, 6) + np.shape(pixel))
    cv2.imwrite(str(tmp_path / "one.png"), np.ascontiguousarray(picture))
    image = next(iter(open_video(tmp_path / "one.png"))).image
    assert image.shape == (4, 6, 3) and image.dtype == np.uint8
    assert image == pytest.approx(100, abs=1)


def _silence(path: Path) -> None:
    with wave.open(str(path), "wb") as audio:
        audio.setparams((1, 2, 8000, 800, "NONE", ""))
        audio.writeframes(bytes(1600))


def _bad_inputs(folder: Path) -> dict[str, Path]:
    (folder / "text.mp4").write_text("this is no video\n" * 20)
    (folder / "text.txt").write_text("this is no video\n" * 20)
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "broken.png").write_bytes(b"\x89PNG broken")
    (folder / "empty folder").mkdir()
    (folder / "parent").mkdir()
    _write_images(folder / "parent" / "clip", ["1.png"])
    _silence(folder / "sound.wav")
    return {path.name: path for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("text.mp4", "cannot be read as a video"),
        ("text.txt", "Expected"),
        ("empty.mp4", "cannot be read as a video"),
        ("broken.png", "not an image"),
        ("empty folder", "is empty"),
        ("parent", "no images .* clip/"),
        ("sound.wav", "no video stream .found: audio."),
        ("missing.mp4", "does not exist"),
    ],
)
def test_bad_input_is_one_clear_line(tmp_path, name, says):
    path = _bad_inputs(tmp_path).get(name, tmp_path / name)
    with pytest.raises(InputError, match=says) as caught:
        open_video(path)
    assert name in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["zero.avi", "zero.mkv", "zero.mp4"])
def test_a_video_without_frames_is_refused(make_video, name):
    with pytest.raises(InputError, match="zero"):
        open_video(make_video(name, [], codec="mpeg4"))


def test_images_of_differing_size_are_named(tmp_path):
    _write_images(tmp_path / "clip", ["1.png", "2.png"])
    cv2.imwrite(str(tmp_path / "clip" / "3.png"), np.zeros((9, 12, 3), np.uint8))
    frames = iter(open_video(tmp_path / "clip"))
    assert [next(frames).index, next(frames).index] == [0, 1]
    with pytest.raises(InputError, match=r"3\.png is 12x9, but 1\.png .* 12x8"):
        next(frames)


@given(st.lists(st.one_of(st.none(), st.integers(-50, 50)), min_size=1, max_size=20))
def test_time_starts_at_zero_and_always_increases(stamps):
    clock = _Clock(fps=10.0)
    times = [
        clock.seconds(SimpleNamespace(pts=stamp, dts=None, time_base=Fraction(1, 10)))  # type: ignore[arg-type]
        for stamp in stamps
    ]
    assert times[0] == 0
    assert all(later > earlier for earlier, later in zip(times, times[1:], strict=False))
