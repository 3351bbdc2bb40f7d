from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from eval.errors import SchemaError
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
        SchemaError, match=r"has an image '000007.png', but '.*/frames/a' has 1 pictures and none of its"
    ):
        read_mots_videos(tmp_path / "a", frames=tmp_path / "frames")


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="has no MOTS images"):
        read_mots_videos(tmp_path)
