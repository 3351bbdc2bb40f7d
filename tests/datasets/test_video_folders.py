from __future__ import annotations

from pathlib import Path

import pytest

from vos_occ.datasets.video_folders import KITTI_SPLITS, find_folders, list_videos
from vos_occ.structures.errors import InputError


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def bdd(root: Path) -> Path:
    touch(root, *(f"images/seg_track_20/train/b-1/b-1-000000{k}.jpg" for k in (1, 2)))
    touch(root, "images/seg_track_20/test/b-2/b-2-0000001.jpg", "labels/seg_track_20/rles/train/b-1.json")
    return root


def kitti(root: Path) -> Path:
    for numbers in (KITTI_SPLITS["train"], KITTI_SPLITS["val"]):
        touch(root, *(f"training/image_02/{number:04d}/000000.png" for number in numbers))
    touch(root, "testing/image_02/0000/000000.png", "instances_txt/0000.txt")
    return root


def test_a_split_of_bdd100k_is_found_from_either_folder_of_the_archive(tmp_path: Path) -> None:
    root = bdd(tmp_path / "bdd100k")
    for start in (root, tmp_path):
        folders = find_folders("bdd100k", start, "train")
        assert (folders.form, folders.labels) == ("rle", root / "labels/seg_track_20/rles/train")
        (video,) = list_videos(folders)
        assert (video.name, len(video)) == ("b-1", 2)
        assert video.path(1) == root / "images/seg_track_20/train/b-1/b-1-0000002.jpg"


def test_the_form_of_the_labels_can_be_chosen(tmp_path: Path) -> None:
    root = bdd(tmp_path)
    touch(root, "labels/seg_track_20/bitmasks/train/b-1/b-1-0000001.png")
    assert find_folders("bdd100k", root, "train").form == "bitmask"
    assert find_folders("bdd100k", root, "train", form="rle").form == "rle"


@pytest.mark.parametrize(("split", "count"), [("train", 12), ("val", 9), ("trainval", 21), ("test", 1)])
def test_kitti_mots_is_split_by_sequence(tmp_path: Path, split: str, count: int) -> None:
    folders = find_folders("kitti_mots", kitti(tmp_path), split)
    assert len(list_videos(folders)) == count
    assert folders.labels == (None if split == "test" else tmp_path / "instances_txt")


def test_the_sequences_of_kitti_mots_are_split_without_overlap() -> None:
    assert sorted(KITTI_SPLITS["train"] + KITTI_SPLITS["val"]) == list(KITTI_SPLITS["trainval"])


def test_frames_of_motschallenge_lie_one_folder_deeper(tmp_path: Path) -> None:
    touch(tmp_path, "train/MOTS20-02/img1/000001.jpg", "train/MOTS20-02/gt/gt.txt", "test/MOTS20-01/img1/000001.jpg")
    folders = find_folders("mots_challenge", tmp_path, "train")
    (video,) = list_videos(folders)
    assert video.path(0) == tmp_path / "train/MOTS20-02/img1/000001.jpg"
    assert folders.labels == tmp_path / "train"
    assert find_folders("mots_challenge", tmp_path, "test").labels is None


def test_what_lies_elsewhere_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "frames/0002/000000.jpg", "txt/0002.txt")
    folders = find_folders("kitti_mots", tmp_path, "test", images="frames", labels="txt", form="txt")
    assert (folders.images, folders.labels) == (tmp_path / "frames", tmp_path / "txt")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("coco", "train"), "'coco' is not known"),
        (("kitti_mots", "dev"), "has no split 'dev'"),
        (("bdd100k_det", "train"), "no frames of bdd100k_det train: looked for images/100k/train"),
        (("bdd100k", "train", "png"), "no labels of form 'png'. Use one of bitmask, rle, polygon"),
        (("bdd100k", "train", "polygon"), "no polygon labels of bdd100k train: looked for labels/seg_track_20/poly"),
        (("bdd100k", "train", None, "mine"), "Labels 'mine' of bdd100k: say their `form`"),
    ],
)
def test_what_is_not_there_is_told(tmp_path: Path, arguments: tuple[str | None, ...], says: str) -> None:
    dataset, split, form, labels = (*arguments, None, None)[:4]
    with pytest.raises(InputError, match=says):
        find_folders(dataset, bdd(tmp_path), split, form=form, labels=labels)


def test_of_kitti_mots_a_part_can_be_taken_but_not_none(tmp_path: Path) -> None:
    touch(tmp_path, "training/image_02/0002/000000.png", "training/image_02/0003/000000.png")
    assert [video.name for video in list_videos(find_folders("kitti_mots", tmp_path, "val"))] == ["0002"]
    (tmp_path / "training/image_02/0002").rename(tmp_path / "training/image_02/2")
    with pytest.raises(InputError, match=r"holds none of 0002, 0006, 0007, 0008, 0010 and 4 more"):
        list_videos(find_folders("kitti_mots", tmp_path, "val"))


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["v-0000001.jpg", "v-0000003.jpg"], "lacks frame 2 of video v: 'v-0000003.jpg' is in its place"),
        (["v-0000000.jpg"], "frames count from 1"),
        (["notes.txt"], "has no pictures"),
    ],
)
def test_missing_frames_are_told(tmp_path: Path, names: list[str], says: str) -> None:
    touch(tmp_path, *(f"images/seg_track_20/val/v/{name}" for name in names))
    with pytest.raises(InputError, match=says):
        list_videos(find_folders("bdd100k", tmp_path, "val"))
