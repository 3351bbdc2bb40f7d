from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from eval.errors import SchemaError
from eval.readers.annotated_video import BOXES
from eval.readers.coco_tracks import read_coco_tracks


def annotation(number: int, image: int, track: int, **changes: Any) -> dict[str, Any]:
    runs = {"size": [2, 3], "counts": [number % 6, 1, 5 - number % 6]}
    known = {"id": number, "image_id": image, "category_id": 4, "track_id": track, "segmentation": runs}
    return known | changes


@pytest.fixture
def write(tmp_path: Path):
    def write(
        annotations: list[dict[str, Any]], names: tuple[str, ...] = ("a/2.jpg", "a/10.jpg"), **images: Any
    ) -> Path:
        records = [
            {"id": i, "file_name": name, "height": 2, "width": 3} | {k: v[i - 1] for k, v in images.items()}
            for i, name in enumerate(names, start=1)
        ]
        content = {"images": records, "annotations": annotations, "categories": [{"id": 4, "name": "dog"}]}
        path = tmp_path / "coco.json"
        path.write_text(json.dumps(content))
        return path

    return write


def test_the_folder_is_the_video_and_natural_order_the_time(write) -> None:
    path = write([annotation(1, 1, 9), annotation(2, 3, 5)], names=("a/10.jpg", "a/2.jpg", "b/1.jpg"))
    first, second = read_coco_tracks(path)
    assert (first.name, first.frame_names) == ("a", ("a/2.jpg", "a/10.jpg"))
    assert [mask is not None for mask in first.tracks[0].masks] == [False, True]
    assert (second.name, second.tracks[0].id) == ("b", 5)


IN_TWO = ("A/img1/1.jpg", "A/img1/2.jpg", "B/img1/1.jpg", "B/img1/2.jpg")


@pytest.mark.parametrize(
    ("names", "images", "found"),
    [
        (IN_TWO, {}, ["A_img1", "B_img1"]),
        (IN_TWO, {"video_id": [1, 1, 2, 2]}, ["A_img1", "B_img1"]),
        (IN_TWO, {"video_id": [1, 1, 2, 2], "frame_id": [0, 1, 0, 1]}, ["A_img1", "B_img1"]),
        (IN_TWO, {"frame_id": [0, 1, 0, 1]}, ["A_img1", "B_img1"]),
        (("A\\1.jpg", "A\\2.jpg", "B\\1.jpg", "B\\2.jpg"), {}, ["A", "B"]),
        (("/data/A/1.jpg", "/data/A/2.jpg", "/data/B/1.jpg", "/data/B/2.jpg"), {}, ["A", "B"]),
        (("a/1.jpg", "a/2.jpg", "a/3.jpg", "a/4.jpg"), {"video_id": [8, 8, 9, 9]}, ["8", "9"]),
        (("1.jpg", "2.jpg", "3.jpg", "4.jpg"), {"video_id": [8, 8, 9, 9]}, ["8", "9"]),
    ],
    ids=[
        "folders of one name",
        "the same with video_id",
        "the same with video_id and frame_id",
        "the same with frame_id",
        "names of Windows",
        "absolute names",
        "two videos in one folder",
        "two videos without a folder",
    ],
)
def test_two_videos_are_never_merged(
    write, names: tuple[str, ...], images: dict[str, list[int]], found: list[str]
) -> None:
    videos = read_coco_tracks(write([annotation(1, 1, 9), annotation(2, 3, 9)], names=names, **images))
    assert [(video.name, video.length) for video in videos] == [(name, 2) for name in found]
    assert videos[1].frame_names == tuple(name.replace("\\", "/") for name in names[2:])
    assert [[mask is not None for mask in video.tracks[0].masks] for video in videos] == [[True, False]] * 2


def test_one_video_may_lie_in_two_folders(write) -> None:
    (video,) = read_coco_tracks(write([annotation(1, 1, 9)], names=("a/1.jpg", "b/2.jpg"), video_id=[3, 3]))
    assert (video.name, video.frame_names) == ("a", ("a/1.jpg", "b/2.jpg"))


def test_frame_ids_order_a_video_where_they_are_given(write) -> None:
    video = read_coco_tracks(write([annotation(1, 1, 9)], video_id=[3, 3], frame_id=[1, 0]))[0]
    assert video.frame_names == ("a/10.jpg", "a/2.jpg")


@pytest.mark.parametrize("names", [("", ""), ("a/1.jpg", "")], ids=["all", "one"])
def test_a_video_of_which_a_picture_has_no_name_has_no_names(write, names: tuple[str, str]) -> None:
    video = read_coco_tracks(write([annotation(1, 1, 9)], names=names, video_id=[3, 3], frame_id=[0, 1]))[0]
    assert (video.frame_names, video.length) == ((), 2)


def test_instance_id_0_is_a_track(write) -> None:
    records = [annotation(1, 1, 0, track_id=None, instance_id=0), annotation(2, 2, 0, track_id=None, instance_id=0)]
    track = read_coco_tracks(write(records))[0].tracks[0]
    assert track.id == 0
    assert None not in track.masks


def test_a_box_without_a_mask_is_filled_and_counted(write, picture) -> None:
    video = read_coco_tracks(write([annotation(1, 1, 9, segmentation=None, bbox=[1, 0, 2, 1], area=2)]))[0]
    assert picture(video.tracks[0].masks[0]) == [".##", "..."]
    assert video.notes[BOXES] == 1


def test_what_else_is_known_goes_along_by_frame(write) -> None:
    records = [annotation(1, 1, 9, hidden=0.5, in_front_of=[2], score=0.3), annotation(2, 1, 5), annotation(3, 2, 9)]
    tracks = read_coco_tracks(write(records))[0].tracks
    assert tracks[1].per_frame == {"hidden": (0.5, None), "in_front_of": ([5], None), "score": (0.3, None)}


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([annotation(1, 1, 9, track_id=None)], r"annotations\[0\] has neither track_id nor instance_id"),
        ([annotation(1, 1, 9), annotation(2, 1, 9)], r"annotations\[1\] is of track 9 in image 1, as annotations\[0\]"),
        ([annotation(1, 1, 9), annotation(2, 2, 9, iscrowd=1)], "is of another category or iscrowd than annotation 1"),
        ([annotation(1, 7, 9)], "image_id is 7, but no image has this id"),
    ],
)
def test_a_defect_is_named_with_its_place_and_cure(write, records: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        read_coco_tracks(write(records))


def test_two_images_of_one_frame_are_refused(write) -> None:
    with pytest.raises(SchemaError, match="Images 1 and 2 are the same frame of video 'a'"):
        read_coco_tracks(write([], frame_id=[4, 4]))


def test_frames_of_two_sizes_are_refused(write) -> None:
    with pytest.raises(SchemaError, match="Images 1 and 2 of video 'a' are 2 x 3 and 2 x 4"):
        read_coco_tracks(write([], width=[3, 4]))
