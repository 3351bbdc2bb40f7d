"""Files as they come from phones, capture cards, browsers and broken disks."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from vos_occ.media import open_video
from vos_occ.structures import InputError


def blocks(count: int, height: int = 64, width: int = 96) -> list[np.ndarray]:
    """Pictures of large random blocks: codecs keep them, and a byte more or less breaks them."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (count, height // 8, width // 8, 3), dtype=np.uint8)
    return list(small.repeat(8, 1).repeat(8, 2))


def write(path: Path, pictures: list[np.ndarray], codec: str = "libx264", **options: str) -> Path:
    """A file at 10 fps whose index, in mp4, stands in front, so that its beginning says how long the whole was."""
    container_options = {"movflags": "+faststart"} if path.suffix == ".mp4" else {}
    with av.open(str(path), "w", container_options=container_options) as container:
        stream = container.add_stream(codec, rate=10, options=options)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def cut(path: Path, share: float) -> Path:
    whole = path.read_bytes()
    torn = path.with_name(f"torn_{path.name}")
    torn.write_bytes(whole[: int(len(whole) * share)])
    return torn


CONTAINERS = [
    ("a.mp4", "libx264"),
    ("b.mp4", "mpeg4"),
    ("a.mkv", "libx264"),
    ("a.webm", "libvpx-vp9"),
    ("a.avi", "mpeg4"),
]


@pytest.mark.parametrize(("name", "codec"), CONTAINERS)
@pytest.mark.parametrize("share", [0.4, 0.66, 0.9])
def test_a_truncated_file_gives_every_frame_before_the_break_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, codec: str, share: float
) -> None:
    whole = write(tmp_path / name, blocks(60), codec)
    torn = cut(whole, share)
    with av.open(str(torn)) as container:  # packets that are there in full
        packets = [packet for packet in container.demux(video=0) if packet.size and not packet.is_corrupt]
    expected = [frame.image for frame in open_video(whole)]
    video = open_video(torn)
    images = [frame.image for frame in video]
    assert len(images) == len(packets) < 60
    reordered = 3  # frames at the break may depend on one behind it
    for image, picture in zip(images[:-reordered], expected, strict=False):
        np.testing.assert_array_equal(image, picture)
    assert len(caplog.records) == 1 and caplog.records[0].getMessage() == video.problem
    assert video.problem.startswith(f"torn_{name}: ") and video.problem.endswith(f"; {len(images)} frames read.")


@pytest.mark.parametrize(("name", "codec"), [*CONTAINERS, ("a.ts", "libx264"), ("a.flv", "libx264"), ("a.gif", "gif")])
def test_a_whole_file_has_no_problem(tmp_path: Path, caplog, make_video, name: str, codec: str) -> None:
    path = make_video(name, blocks(20), codec=codec, pix_fmt="rgb8") if codec == "gif" else None
    video = open_video(path or write(tmp_path / name, blocks(20), codec))
    assert len(list(video)) == 20
    assert video.problem is None and caplog.text == ""


def test_frames_that_an_edit_list_cuts_away_are_not_missing(tmp_path: Path) -> None:
    """A clip cut without encoding anew holds more frames than it shows."""
    whole, clip = write(tmp_path / "whole.mp4", blocks(20), g="5"), tmp_path / "clip.mp4"
    with av.open(str(whole)) as reading, av.open(str(clip), "w") as writing:
        stream = reading.streams.video[0]
        copy = writing.add_stream_from_template(stream)
        shift = round(1.2 / stream.time_base)
        for packet in reading.demux(stream):
            if packet.dts is not None:
                packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, copy
                writing.mux(packet)
    video = open_video(clip)
    assert len(list(video)) == 8 < video.num_frames and video.problem is None


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("b.mp4", "mpeg4"), ("a.avi", "mpeg4")])
def test_corrupt_frames_in_the_middle_cost_themselves(tmp_path: Path, name: str, codec: str) -> None:
    whole = write(tmp_path / name, blocks(60), codec, g="10")
    data = bytearray(whole.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 200] = np.random.default_rng(0).integers(0, 256, 200, dtype=np.uint8).tobytes()
    expected = [frame.image for frame in open_video(whole)]
    whole.write_bytes(data)
    video = open_video(whole)
    images = [frame.image for frame in video]
    assert 57 <= len(images) <= 60
    np.testing.assert_array_equal(images[-1], expected[-1])
    assert "damaged packets were skipped" in video.problem or "frames have faults" in video.problem


def test_an_mp4_that_lost_its_index_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "phone.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for picture in blocks(20):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    with pytest.raises(InputError, match=r"torn_phone.mp4 cannot be read as a video \(Invalid data"):
        open_video(cut(path, 0.5))


def test_interlaced_frames_come_out_whole_and_in_time(tmp_path: Path) -> None:
    def bar(x: int) -> np.ndarray:
        picture = np.zeros((64, 96, 3), np.uint8)
        picture[:, x : x + 8] = 255
        return picture

    pictures = []
    for t in range(8):
        picture, later = bar(8 * t), bar(8 * t + 4)
        picture[1::2] = later[1::2]  # the lower field is half a frame later
        pictures.append(picture)
    options = {"flags": "+ildct+ilme", "x264-params": "tff=1", "crf": "5"}
    path = write(tmp_path / "tv.mkv", pictures, **options)
    frames = list(open_video(path))
    assert [frame.time for frame in frames] == pytest.approx([0.1 * t for t in range(8)], abs=1e-3)
    combs = np.abs(np.diff(pictures[3].astype(int), axis=0)).mean()
    assert np.abs(np.diff(frames[3].image.astype(int), axis=0)).mean() < 0.02 * combs


def test_a_size_that_changes_within_a_file_is_scaled_to_the_first(tmp_path: Path, caplog) -> None:
    path = tmp_path / "changing.h264"  # two streams end to end, as broadcasts and conferences have them
    small = write(tmp_path / "small.h264", blocks(4))
    large = write(tmp_path / "large.h264", blocks(3, height=128, width=160))
    path.write_bytes(small.read_bytes() + large.read_bytes())
    video = open_video(path)
    assert [frame.image.shape for frame in video] == [(64, 96, 3)] * 7
    assert "3 frames of another size were scaled" in caplog.text and video.problem is None


def test_a_single_frame_and_a_single_pixel_are_videos(make_video: Callable) -> None:
    path = make_video("one.mkv", [np.full((1, 1, 3), 200, np.uint8)], codec="ffv1", pix_fmt="bgr0")
    (frame,) = open_video(path)
    assert frame.image.tolist() == [[[200, 200, 200]]] and frame.time == 0


@pytest.mark.parametrize("name", ["animation.webp", "animation.png", "animation.gif"])
def test_animated_pictures_are_videos(tmp_path: Path, name: str) -> None:
    pictures = [Image.fromarray(np.full((16, 24, 3), 50 * (i + 1), np.uint8)) for i in range(4)]
    options = {"lossless": True} if name.endswith("webp") else {}
    pictures[0].save(tmp_path / name, save_all=True, append_images=pictures[1:], duration=200, **options)
    video = open_video(tmp_path / name)
    frames = list(video)
    assert [frame.image[0, 0].tolist() for frame in frames] == [[50 * (i + 1)] * 3 for i in range(4)]
    assert [frame.time for frame in frames] == pytest.approx([0, 0.2, 0.4, 0.6], abs=1e-6)
    assert video.fps == pytest.approx(5) and video.expected_frames in (4, None)
    assert [frame.index for frame in open_video(tmp_path / name, max_side=12)] == [0, 1, 2, 3]


def test_a_torn_animation_gives_what_there_is_or_one_line(tmp_path: Path) -> None:
    pictures = [Image.fromarray(picture) for picture in blocks(6)]
    pictures[0].save(tmp_path / "a.webp", save_all=True, append_images=pictures[1:], lossless=True)
    torn = cut(tmp_path / "a.webp", 0.6)
    try:
        video = open_video(torn)
    except InputError as error:
        assert "torn_a.webp" in str(error) and "\n" not in str(error)
    else:
        assert 0 < len(list(video)) < 6 and video.problem is not None


@pytest.mark.parametrize("suffix", ["webp", "png"])
def test_a_still_picture_is_one_frame(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(blocks(1)[0]).save(tmp_path / f"still.{suffix}")
    video = open_video(tmp_path / f"still.{suffix}")
    assert len(list(video)) == 1 and video.num_frames == 1


def test_a_cmyk_jpeg_has_the_colours_of_its_inks(tmp_path: Path) -> None:
    Image.new("CMYK", (16, 8), (0, 255, 255, 0)).save(tmp_path / "print.jpg", quality=95)
    (frame,) = open_video(tmp_path / "print.jpg")
    assert np.abs(frame.image.astype(int) - [255, 0, 0]).max() <= 3


def test_nan_pixels_are_black_and_floats_span_0_to_1(tmp_path: Path) -> None:
    picture = np.full((4, 6, 3), 0.5, np.float32)
    picture[0, 0], picture[1, 1], picture[2, 2] = np.nan, np.inf, -np.inf
    cv2.imwrite(str(tmp_path / "float.tif"), picture, [cv2.IMWRITE_TIFF_COMPRESSION, 1])
    image = next(iter(open_video(tmp_path / "float.tif"))).image
    assert image[3, 3].tolist() == [128] * 3
    assert [image[i, i, 0] for i in range(3)] == [0, 255, 0]


def test_a_broken_image_in_a_folder_is_left_out_and_named(tmp_path: Path, caplog) -> None:
    for i, picture in enumerate(blocks(4)):
        cv2.imwrite(str(tmp_path / f"{i}.png"), picture)
    (tmp_path / "2.png").write_bytes(b"\x89PNG broken")
    video = open_video(tmp_path)
    assert [frame.index for frame in video] == [0, 1, 3]
    assert "1 images were left out, the first because" in video.problem and "2.png is not an image" in video.problem
    assert len(caplog.records) == 1


@pytest.mark.parametrize("name", ["größe und leer.mp4", "日本語.mkv", "12:30.mp4", "a%03d.mp4", "-x.mp4", "0.mp4"])
def test_any_name_is_read(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "plain.mkv", blocks(2)).rename(tmp_path / name)  # the content says what it is
    monkeypatch.chdir(tmp_path)
    assert len(list(open_video(name))) == 2


def test_sound_that_lasts_longer_than_the_pictures_is_no_break(tmp_path: Path) -> None:
    path = tmp_path / "song.mkv"
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=10)
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        sound = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        for picture in blocks(10):
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode(None))
        for i in range(30):
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
            silence.sample_rate, silence.pts, silence.time_base = 8000, 800 * i, Fraction(1, 8000)
            container.mux(sound.encode(silence))
        container.mux(sound.encode(None))
    video = open_video(path)
    assert len(list(video)) == 10 and video.problem is None


MEMORY_OF_8K = """
import json, resource, sys
from vos_occ.media import open_video
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
shapes = [frame.image.shape for frame in open_video(sys.argv[1], max_side=int(sys.argv[2]))]
print(json.dumps([shapes, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base) / 1024]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss has another unit elsewhere")
def test_8k_is_read_in_the_memory_of_a_few_frames(tmp_path: Path) -> None:
    path = write(tmp_path / "8k.mp4", [np.zeros((4320, 7680, 3), np.uint8)] * 12, preset="ultrafast")
    for max_side, shape, limit in [(7680, [4320, 7680, 3], 1200), (640, [360, 640, 3], 1000)]:
        run = subprocess.run(
            [sys.executable, "-c", MEMORY_OF_8K, str(path), str(max_side)], capture_output=True, text=True, check=True
        )
        shapes, megabytes = json.loads(run.stdout)
        assert shapes == [shape] * 12
        assert megabytes < limit  # all 12 at once would be 1195 MB as RGB alone
