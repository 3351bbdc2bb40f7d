from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from eval.readers.coco import read_coco
from eval.readers.ytvis import read_ytvis
from vos_occ.datasets.synthetic import CLASSES, SyntheticFrame, SyntheticWorld, write_dataset
from vos_occ.structures.errors import InputError, OutputExistsError
from vos_occ.structures.rle import decode

SEEDS, WORLD = (0, 4, 9), {"height": 96, "width": 160, "num_frames": 12}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("synthetic")
    write_dataset(path, "heldout", SEEDS, image_format="png", coco_stride=5, **WORLD)
    return path


@pytest.fixture(scope="module")
def truth() -> list[list[SyntheticFrame]]:
    return [list(SyntheticWorld("heldout", **WORLD).video(seed)) for seed in SEEDS]


def first_ids(truth: list) -> list[int]:
    """The annotation id of each video's first object: every object has one, seen or not."""
    return [1 + sum(len(frames[0]) for frames in truth[:index]) for index in range(len(truth))]


def test_ytvis_masks_read_back_as_they_were(folder: Path, truth: list) -> None:
    dataset = read_ytvis(folder / "annotations_ytvis.json")
    assert [category.name for category in dataset.categories] == list(CLASSES)
    assert [video.name for video in dataset.videos] == [f"heldout_{seed:05d}" for seed in SEEDS]
    tracks = {track.id: track for track in dataset.tracks}
    checked = 0
    for first, frames in zip(first_ids(truth), truth, strict=True):
        for frame in frames:
            for row in np.flatnonzero(frame.is_visible):
                track = tracks[first + row]
                assert track.category_id == frame.labels[row] + 1
                assert (decode(track.segmentations[frame.frame_index]) == frame.visible[row]).all()
                assert (decode(track.extra["amodal_segmentations"][frame.frame_index]) == frame.amodal[row]).all()
                assert track.extra["hidden"][frame.frame_index] == pytest.approx(frame.hidden[row], abs=1e-6)
                checked += 1
    assert checked > 50


def test_ytvis_is_null_where_nothing_can_be_seen(folder: Path, truth: list) -> None:
    tracks = {track.id: track for track in read_ytvis(folder / "annotations_ytvis.json").tracks}
    for first, frames in zip(first_ids(truth), truth, strict=True):
        for frame in frames:
            for row in np.flatnonzero(~frame.is_visible):
                if track := tracks.get(first + row):
                    per_frame = (track.segmentations, track.bboxes, track.areas, track.occlusion)
                    assert [values[frame.frame_index] for values in per_frame] == [None] * 4


def test_ytvis_pairs_are_those_of_the_frames(folder: Path, truth: list) -> None:
    tracks = {track.id: track for track in read_ytvis(folder / "annotations_ytvis.json").tracks}
    for first, frames in zip(first_ids(truth), truth, strict=True):
        for frame in frames:
            for row in range(len(frame)):
                if first + row in tracks:
                    behind = {first + int(j) for j in np.flatnonzero(frame.in_front[row])} & set(tracks)
                    assert set(tracks[first + row].extra["in_front_of"][frame.frame_index]) == behind


def test_boxes_are_tight_around_the_visible_masks(folder: Path) -> None:
    for track in read_ytvis(folder / "annotations_ytvis.json").tracks:
        for mask, box, area in zip(track.segmentations, track.bboxes, track.areas, strict=True):
            if mask is not None:
                rows, columns = np.nonzero(decode(mask))
                x, y, width, height = box
                assert (x, y) == (columns.min(), rows.min())
                assert (x + width, y + height) == (columns.max() + 1, rows.max() + 1)
                assert area == len(rows)


def test_occlusion_labels_follow_the_hidden_fraction(folder: Path) -> None:
    found = set()
    for track in read_ytvis(folder / "annotations_ytvis.json").tracks:
        for label, hidden in zip(track.occlusion, track.extra["hidden"], strict=True):
            if label is not None:
                expected = (
                    "no_occlusion" if hidden < 0.01 else "slight_occlusion" if hidden < 0.5 else "severe_occlusion"
                )
                assert label == expected
                found.add(label)
    assert len(found) == 3


def test_coco_holds_every_fifth_frame_with_who_hides_whom(folder: Path, truth: list) -> None:
    dataset = read_coco(folder / "annotations_coco.json")
    sampled = [(first, f) for first, frames in zip(first_ids(truth), truth, strict=True) for f in frames[::5]]
    assert len(dataset.images) == len(sampled)
    for image, (first, frame) in zip(dataset.images, sampled, strict=True):
        objects = [annotation for annotation in dataset.annotations if annotation.image_id == image.id]
        rows = np.flatnonzero(frame.is_visible)
        assert [annotation.extra["track_id"] for annotation in objects] == (first + rows).tolist()
        for annotation, row in zip(objects, rows, strict=True):
            assert (decode(annotation.segmentation) == frame.visible[row]).all()
            assert annotation.extra["hidden"] == pytest.approx(frame.hidden[row], abs=1e-6)
            assert not annotation.iscrowd
            expected = [objects[k].id for k, j in enumerate(rows) if frame.in_front[row, j]]
            assert annotation.extra["in_front_of"] == expected


def test_png_frames_are_the_rendered_pixels(folder: Path, truth: list) -> None:
    for video, frames in zip(read_ytvis(folder / "annotations_ytvis.json").videos, truth, strict=True):
        stored = cv2.imread(str(folder / "frames" / video.file_names[3]))[..., ::-1]
        assert (stored == frames[3].image).all()


def test_jpeg_frames_are_close_to_the_rendered_pixels(tmp_path: Path) -> None:
    write_dataset(tmp_path, "train", [1], **WORLD)
    stored = cv2.imread(str(tmp_path / "frames" / "train_00001" / "00011.jpg"))[..., ::-1].astype(int)
    assert np.abs(stored - SyntheticWorld("train", **WORLD).video(1)[11].image).mean() < 4


def test_what_exists_is_replaced_only_on_request(tmp_path: Path) -> None:
    tiny = {**WORLD, "num_frames": 1}
    write_dataset(tmp_path, "train", [1], **tiny)
    before = (tmp_path / "annotations_ytvis.json").read_bytes()
    with pytest.raises(OutputExistsError, match="already exists"):
        write_dataset(tmp_path, "train", [2], **tiny)
    assert (tmp_path / "annotations_ytvis.json").read_bytes() == before
    write_dataset(tmp_path, "train", [2], overwrite=True, **tiny)
    assert json.loads((tmp_path / "annotations_ytvis.json").read_text())["videos"][0]["name"] == "train_00002"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"coco_stride": 0}, "coco_stride >= 1"),
        ({"image_format": "bmp"}, "jpg or png"),
        ({"seeds": (1, 1)}, "give every seed once"),
    ],
    ids=["stride of nothing", "unknown image format", "a seed twice"],
)
def test_bad_options_are_told_in_one_line(tmp_path: Path, arguments: dict, message: str) -> None:
    options = {"seeds": (1,), "num_frames": 1, **arguments}
    with pytest.raises(InputError, match=message):
        write_dataset(tmp_path, "train", **options)
