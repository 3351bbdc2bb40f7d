from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from eval.errors import SchemaError
from eval.readers.annotated_video import FROM_ONE
from eval.readers.mots_videos import read_mots_videos


def write(path: Path, *values: int) -> None:
    """A picture of one row, a pixel per value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array([values], np.uint16)).save(path)


def seen(track) -> list[bool]:
    return [mask is not None for mask in track.masks]


def test_kitti_counts_from_0_and_its_classes_are_known(tmp_path: Path) -> None:
    write(tmp_path / "0002" / "000000.png", 1001, 0, 2003)
    write(tmp_path / "0002" / "000002.png", 0, 0, 2003)
    video = read_mots_videos(tmp_path)[0]
    assert (video.name, video.length, video.classes) == ("0002", 3, {"car": 1, "pedestrian": 2})
    assert [(t.id, t.label, seen(t)) for t in video.tracks] == [
        (1, "car", [True, False, False]),
        (3, "pedestrian", [True, False, True]),
    ]


def test_motschallenge_counts_from_1_and_lies_in_gt(tmp_path: Path) -> None:
    write(tmp_path / "MOTS20-02" / "gt" / "000001.png", 2001)
    write(tmp_path / "MOTS20-02" / "gt" / "000002.png", 2001)
    video = read_mots_videos(tmp_path)[0]
    assert (video.name, video.length) == ("MOTS20-02", 2)


def touch(folder: Path, *names: str) -> None:
    """Pictures of which only the names matter."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()


def lay(root: Path, *names: str) -> None:
    """Images with one object each, and labels.txt."""
    for name in names:
        if name.endswith(".txt"):
            (root / name).write_text("cat\n")
        else:
            write(root / name, 1001)


def first_frame(root: Path, frames: Path | None = None) -> int:
    """Frame of the first image, which has an object as all have."""
    return seen(read_mots_videos(root, frames=frames)[0].tracks[0]).index(True)


@pytest.mark.parametrize(
    ("images", "first"),
    [
        (("a/frame_000001.png", "a/frame_000002.png"), 1),
        (("a/instances/frame_000007.png", "a/instances/labels.txt"), 7),
        (("a/gt/000001.png", "a/gt/000002.png"), 0),
        (("a/gt/000003.png",), 2),
        (("a/img1/3.png", "a/img1/5.png"), 2),
        (("a/000000.png", "a/000005.png"), 0),
        (("a/000001.png", "a/000002.png"), 0),
    ],
    ids=[
        "CVAT's frames of a video count from 0",
        "also those of its exports",
        "MOTSChallenge counts from 1",
        "also where frame 1 has no object",
        "in its other folder too",
        "an image 0 is the first",
        "the benchmarks have images of all frames, so 1 is the first",
    ],
)
def test_numbers_count_from_what_their_names_and_folders_say(
    tmp_path: Path, images: tuple[str, ...], first: int
) -> None:
    lay(tmp_path, *images)
    assert first_frame(tmp_path) == first


@pytest.mark.parametrize(
    ("image", "pictures", "first"),
    [
        ("frame_000002.png", ("000000.jpg", "000001.jpg", "000002.jpg"), 2),
        ("frame_000002.png", ("000001.jpg", "000002.jpg", "000003.jpg"), 2),
        ("000002.png", ("a_0.jpg", "a_1.jpg", "a_2.jpg"), 2),
        ("000002.png", ("a_1.jpg", "a_2.jpg", "a_3.jpg"), 1),
        ("000010.png", ("a_5.jpg", "a_10.jpg", "a_15.jpg"), 1),
        ("000003.png", ("x.jpg", "y.jpg", "z.jpg"), 2),
        ("gt/000002.png", ("0.jpg", "1.jpg", "2.jpg"), 1),
    ],
    ids=[
        "CVAT's frames and --media's pictures",
        "CVAT's frames and pictures from 1",
        "pictures from 0",
        "pictures from 1",
        "pictures in steps",
        "as many pictures as the number",
        "MOTSChallenge's images and pictures from 0",
    ],
)
def test_pictures_of_other_names_tell_the_frame(
    tmp_path: Path, image: str, pictures: tuple[str, ...], first: int
) -> None:
    write(tmp_path / "masks" / "a" / image, 1001)
    touch(tmp_path / "frames" / "a", *pictures)
    assert first_frame(tmp_path / "masks", tmp_path / "frames") == first


def test_a_sequence_taken_to_count_from_1_gets_a_note(tmp_path: Path) -> None:
    write(tmp_path / "a" / "000001.png", 1001)
    write(tmp_path / "b" / "000000.png", 1001)
    assert [dict(video.notes) for video in read_mots_videos(tmp_path)] == [{FROM_ONE: 1}, {}]


@pytest.mark.parametrize("files", [("a/000002.png",), ("a/000001.png", "a/000003.png"), ("a/000001.png", "labels.txt")])
def test_images_that_may_count_from_0_or_1_are_refused(tmp_path: Path, files: tuple[str, ...]) -> None:
    """Where frames without objects have no image: each of these may be KITTI's or MOTSChallenge's."""
    lay(tmp_path, *files)
    with pytest.raises(SchemaError, match="first image of sequence 'a' is '00000[12].png', and nothing says whether"):
        read_mots_videos(tmp_path)


def test_cvat_names_classes_in_a_file_and_leaves_empty_frames_out(tmp_path: Path) -> None:
    write(tmp_path / "export" / "instances" / "frame_000001.png", 1001, 2002)
    (tmp_path / "export" / "instances" / "labels.txt").write_text("cat\ndog\n")
    for t in range(4):
        (tmp_path / "frames" / "export").mkdir(parents=True, exist_ok=True)
        (tmp_path / "frames" / "export" / f"frame_{t:06d}.jpg").touch()
    video = read_mots_videos(tmp_path / "export", frames=tmp_path / "frames")[0]
    assert (video.name, video.length, video.classes) == ("export", 4, {"cat": 1, "dog": 2})
    assert seen(video.tracks[0]) == [False, True, False, False]
    assert video.frame_names[1] == "export/frame_000001.jpg"


def test_the_folder_where_one_stands_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay(tmp_path, "walk/000000.png")
    monkeypatch.chdir(tmp_path / "walk")
    assert read_mots_videos(".")[0].name == "walk"


def test_what_macos_leaves_beside_files_is_no_image(tmp_path: Path) -> None:
    lay(tmp_path, "walk/000000.png")
    (tmp_path / "walk" / "._000000.png").write_bytes(b"\x00\x05\x16\x07")
    assert read_mots_videos(tmp_path)[0].length == 1


def test_the_mark_at_the_start_of_a_file_is_no_part_of_a_class(tmp_path: Path) -> None:
    lay(tmp_path, "walk/000000.png")
    (tmp_path / "labels.txt").write_bytes("\ufeffcat\r\ndog\r\n".encode())
    assert read_mots_videos(tmp_path)[0].classes == {"cat": 1, "dog": 2}


def test_one_instance_number_of_two_classes_is_two_tracks(tmp_path: Path) -> None:
    write(tmp_path / "a" / "0.png", 1005, 2005)
    assert [(t.id, t.label) for t in read_mots_videos(tmp_path)[0].tracks] == [(1005, "car"), (2005, "pedestrian")]


def test_regions_to_ignore_are_crowds(tmp_path: Path) -> None:
    write(tmp_path / "a" / "0.png", 1001, 10000)
    assert [track.iscrowd for track in read_mots_videos(tmp_path)[0].tracks] == [False, True]


def test_classes_may_be_named(tmp_path: Path) -> None:
    write(tmp_path / "a" / "0.png", 3001)
    video = read_mots_videos(tmp_path, classes=["a", "b", "c"])[0]
    assert video.tracks[0].label == "c"


def test_an_unknown_class_is_named(tmp_path: Path) -> None:
    write(tmp_path / "a" / "0.png", 3001)
    with pytest.raises(SchemaError, match="a, image 0: a pixel is 3001, of class 3; known are 1 car, 2 pedestrian"):
        read_mots_videos(tmp_path)


def test_images_that_are_no_frames_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a" / "000007.png", 1001)
    (tmp_path / "frames" / "a").mkdir(parents=True)
    (tmp_path / "frames" / "a" / "x.jpg").touch()
    with pytest.raises(
        SchemaError, match=r"has an image '000007.png', but '.*/frames/a' has 1 picture and none of its"
    ):
        read_mots_videos(tmp_path / "a", frames=tmp_path / "frames")


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="has no MOTS images"):
        read_mots_videos(tmp_path)
