from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from eval.errors import SchemaError
from eval.readers.ytvis import read_ytvis
from vos_occ.datasets.synthetic import write_dataset
from vos_occ.datasets.ytvis import BenchmarkFrames, YtvisFrames
from vos_occ.results.ytvis import write_ytvis_dataset
from vos_occ.structures import rle
from vos_occ.structures.errors import InputError
from vos_occ.structures.rle import encode

LEFT = "##..\n##..\n...."
RIGHT = "..##\n....\n...."
CATEGORIES = [{"id": 4, "name": "dog"}, {"id": 2, "name": "cat"}]


@pytest.fixture
def write(tmp_path: Path, draw):
    """Writes one video of three frames and a dataset of the given tracks, changed as told; answers with its path."""

    def track(number: int, pictures: list[str | None], **fields: Any) -> dict[str, Any]:
        masks = [None if picture is None else draw(picture).astype(bool) for picture in pictures]
        return {
            "id": number,
            "video_id": 1,
            "category_id": 4,
            "iscrowd": 0,
            "segmentations": [None if mask is None else encode(mask) for mask in masks],
            "bboxes": [None if mask is None else [0, 0, 1, 1] for mask in masks],
            "areas": [None if mask is None else int(mask.sum()) for mask in masks],
            **fields,
        }

    def write(*tracks: tuple[list[str | None], dict[str, Any]], annotations: bool = True, **video: Any) -> Path:
        records = [track(i, pictures, **fields) for i, (pictures, fields) in enumerate(tracks, start=5)]
        names = [f"v/{t}.png" for t in range(3)]
        videos = [{"id": 1, "width": 4, "height": 3, "length": 3, "file_names": names, **video}]
        (tmp_path / "v").mkdir()
        for t, name in enumerate(names):
            cv2.imwrite(str(tmp_path / name), np.full((3, 4, 3), (10 * t, 0, 0), np.uint8))
        path = tmp_path / "annotations.json"
        write_ytvis_dataset(path, videos, records if annotations else None, CATEGORIES)
        return path

    return write


def test_a_frame_holds_its_visible_instances(write, draw, tmp_path: Path) -> None:
    path = write(([LEFT, None, LEFT], {}), ([RIGHT, RIGHT, None], {"category_id": 2}))
    frames = YtvisFrames(path, tmp_path)
    assert frames.classes == ("cat", "dog")
    first, second, third = (frames.load(0, t) for t in range(3))
    assert [s.instance_ids.tolist() for s in (first, second, third)] == [[5, 6], [6], [5]]
    assert first.labels.tolist() == [1, 0]
    np.testing.assert_array_equal(first.masks, [draw(LEFT), draw(RIGHT)])
    assert second.image[0, 0].tolist() == [0, 0, 10]  # RGB


def test_without_our_fields_nothing_is_known(write, tmp_path: Path) -> None:
    sample = YtvisFrames(write(([LEFT] * 3, {}), ([RIGHT] * 3, {})), tmp_path).load(0, 0)
    assert np.isnan(sample.hidden).all()
    assert (sample.in_front == -1).all()


def test_hidden_and_order_are_those_of_the_frame(write, tmp_path: Path) -> None:
    front = {"hidden": [0, 0, 0.5], "in_front_of": [[6], [], [7]]}
    back = {"hidden": [0.25, None, 1], "in_front_of": [[], [5], []]}
    frames = YtvisFrames(write(([LEFT] * 3, front), ([RIGHT] * 3, back), ([None] * 3, {})), tmp_path)
    first, second, third = (frames.load(0, t) for t in range(3))
    assert first.in_front.tolist() == [[0, 1], [0, 0]]
    assert second.in_front.tolist() == [[0, 0], [1, 0]]
    assert third.in_front.tolist() == [[0, 0], [0, 0]]  # whom it hides is not seen here
    np.testing.assert_array_equal(second.hidden, np.float32([0, np.nan]))


def test_order_is_unknown_to_those_without_it(write, tmp_path: Path) -> None:
    known = {"hidden": [0, 0, 0], "in_front_of": [[6], [], []]}
    sample = YtvisFrames(write(([LEFT] * 3, known), ([RIGHT] * 3, {})), tmp_path).load(0, 0)
    assert sample.in_front.tolist() == [[0, 1], [-1, -1]]


def test_usable_frames_show_somebody_who_is_no_crowd(write, tmp_path: Path) -> None:
    path = write(([LEFT, None, None], {}), ([None, RIGHT, None], {"iscrowd": 1}))
    frames = YtvisFrames(path, tmp_path)
    assert frames.frames() == [[0]]
    assert frames.load(0, 1).crowd.tolist() == [True]


def test_classes_select_and_number(write, tmp_path: Path) -> None:
    frames = YtvisFrames(write(([LEFT] * 3, {}), ([RIGHT] * 3, {"category_id": 2})), tmp_path, ["dog"])
    assert frames.load(0, 0).instance_ids.tolist() == [5]
    assert frames.load(0, 0).labels.tolist() == [0]


@pytest.mark.parametrize(
    ("classes", "changes", "message"),
    [
        (["bird"], {}, "no category 'bird'. It has: cat, dog."),
        (None, {"annotations": False}, "has no annotations"),
    ],
    ids=["unknown class", "annotations null"],
)
def test_what_cannot_be_trained_on_is_refused(write, tmp_path: Path, classes, changes, message: str) -> None:
    path = write(([LEFT] * 3, {}), **changes)
    with pytest.raises(InputError, match=message):
        YtvisFrames(path, tmp_path, classes)


def test_a_video_without_file_names_is_refused(write, tmp_path: Path) -> None:
    path = write(([LEFT] * 3, {}))
    path.write_text(path.read_text().replace('"file_names"', '"names"'))
    with pytest.raises(InputError, match="video 1 has no file_names"):
        YtvisFrames(path, tmp_path)


def test_masks_of_another_length_are_refused(write, tmp_path: Path) -> None:
    path = write(([LEFT] * 3, {}))
    path.write_text(path.read_text().replace('"segmentations":[', '"segmentations":[null,'))
    with pytest.raises(SchemaError, match="segmentations has 4 entries, but video 1 has 3 frames"):
        YtvisFrames(path, tmp_path)


def test_an_image_of_another_size_is_refused(write, tmp_path: Path) -> None:
    frames = YtvisFrames(write(([LEFT] * 3, {})), tmp_path)
    cv2.imwrite(str(tmp_path / "v" / "1.png"), np.zeros((5, 6, 3), np.uint8))
    with pytest.raises(InputError, match=r"1.png is 6x5, but its annotation says 4x3"):
        frames.load(0, 1)


def test_an_image_that_is_absent_is_named(write, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    frames = YtvisFrames(write(([LEFT] * 3, {})), tmp_path)
    (tmp_path / "v" / "1.png").unlink()
    with pytest.raises(InputError, match=r"v/1.png does not exist"):
        frames.load(0, 1)
    assert capfd.readouterr().err == ""  # OpenCV would have warned beside the error


@pytest.mark.parametrize(
    ("root", "there", "message"),
    [
        ("elsewhere", None, "no such folder. Name the folder that the json's file_names are relative to."),
        ("train_images", "train", "no such folder. There is '.*/train': name that."),
        ("train", None, "no such folder. Neither is there '.*/train_images'."),
        (".", None, "The first frames of 1 of 1 videos .* do not exist in '.*': w/0.png. Name the folder"),
    ],
    ids=["no folder", "the other layout", "neither layout", "other frames"],
)
def test_frames_are_looked_for_before_training(write, tmp_path: Path, root, there, message: str) -> None:
    path = write(([LEFT] * 3, {}), file_names=["w/0.png", "w/1.png", "w/2.png"])
    if there:
        (tmp_path / there).mkdir()
    with pytest.raises(InputError, match=message):
        YtvisFrames(path, tmp_path / root)


def test_occlusion_labels_are_those_of_the_frame(write, tmp_path: Path) -> None:
    labels = ["no_occlusion", "severe_occlusion", None]
    frames = YtvisFrames(write(([LEFT] * 3, {"occlusion": labels}), ([None, RIGHT, RIGHT], {})), tmp_path)
    assert [frames.load(0, t).occlusion.tolist() for t in range(3)] == [[0], [2, -1], [-1, -1]]


def test_an_item_decodes_the_masks_of_its_frame_and_no_others(
    write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(([LEFT] * 3, {}), ([RIGHT, None, RIGHT], {}))
    frames = YtvisFrames(path, tmp_path)
    path.unlink()  # nothing is read again
    decoded: list[str] = []
    original = rle.decode_box
    monkeypatch.setattr(rle, "decode_box", lambda mask: (decoded.append(mask["counts"]), original(mask))[1])
    frames.load(0, 1)
    assert len(decoded) == 1


def test_what_goes_to_a_worker_is_as_large_as_the_codes(tmp_path: Path) -> None:
    """A worker that is spawned gets a copy of the dataset (docs/sources.md, trackers B9)."""
    write_dataset(tmp_path, "train", range(2), height=96, width=160, num_frames=40)
    frames = YtvisFrames(tmp_path / "annotations_ytvis.json", tmp_path / "frames")
    tracks = read_ytvis(tmp_path / "annotations_ytvis.json").tracks
    masks = [mask for track in tracks for mask in track.segmentations if mask is not None]
    codes = sum(len(mask["counts"]) for mask in masks)
    assert len(pickle.dumps(frames)) < codes + 100 * len(masks) + 10_000


def test_a_frame_is_the_same_after_pickling(write, tmp_path: Path) -> None:
    known = {"hidden": [0, 0.5, 0], "in_front_of": [[6], [], []]}
    frames = YtvisFrames(write(([LEFT] * 3, known), ([RIGHT] * 3, known | {"in_front_of": [None] * 3})), tmp_path)
    copy = pickle.loads(pickle.dumps(frames))
    for t in range(3):
        for name in ("image", "masks", "labels", "instance_ids", "hidden", "in_front", "crowd", "occlusion"):
            np.testing.assert_array_equal(getattr(frames.load(0, t), name), getattr(copy.load(0, t), name))


def test_polygons_and_listed_run_lengths_are_masks_too(write, draw, tmp_path: Path) -> None:
    path = write(([LEFT] * 3, {}))
    content = json.loads(path.read_text())
    listed = {"size": [3, 4], "counts": [0, 2, 1, 2, 7]}
    content["annotations"][0]["segmentations"] = [listed, [[0, 0, 2, 0, 2, 2, 0, 2]], None]
    path.write_text(json.dumps(content))
    frames = YtvisFrames(path, tmp_path)
    for t in range(2):
        np.testing.assert_array_equal(frames.load(0, t).masks, [draw(LEFT)])


@pytest.mark.parametrize(
    ("ann_file", "folder"),
    [
        ("ovis/annotations_train.json", "train"),
        ("ovis/annotations_train.json", "train_images"),
        ("ytvis19/train.json", "train/JPEGImages"),
        ("ytvis19/annotations/instances_train_sub.json", "train/JPEGImages"),
        ("ytvis21/train/instances.json", "train/JPEGImages"),
        ("ytvis22/train/instances.json", "train/JPEGImages"),
    ],
)
def test_a_benchmark_is_found_in_the_layouts_that_are_in_use(write, tmp_path: Path, ann_file: str, folder: str) -> None:
    path = write(([LEFT] * 3, {}))
    benchmark = ann_file.split("/")[0]
    (tmp_path / ann_file).parent.mkdir(parents=True)
    path.rename(tmp_path / ann_file)
    (tmp_path / benchmark / folder).mkdir(parents=True)
    (tmp_path / "v").rename(tmp_path / benchmark / folder / "v")
    frames = BenchmarkFrames(benchmark, tmp_path / benchmark)
    assert frames.load(0, 2).instance_ids.tolist() == [5]


@pytest.mark.parametrize(
    ("benchmark", "options", "message"),
    [
        ("ovis", {}, "has no annotations of ovis train: looked for annotations_train.json, .*`ann_file`"),
        (
            "ovis",
            {"ann_file": "annotations.json"},
            "no frames of ovis train: looked for train/, train_images/.*`image_",
        ),
        ("ovis", {"ann_file": "annotations.json", "image_prefix": "pics"}, "looked for pics/. Name yours"),
        ("ovis", {"split": "dev"}, "Split 'dev' is not known. Use one of train, valid, test"),
        ("coco", {}, "Benchmark 'coco' is not known. Use one of ytvis19"),
    ],
    ids=["no json", "no frames", "no frames of that name", "split", "benchmark"],
)
def test_what_was_looked_for_is_said(write, tmp_path: Path, benchmark: str, options: dict, message: str) -> None:
    write(([LEFT] * 3, {}))
    with pytest.raises(InputError, match=message):
        BenchmarkFrames(benchmark, tmp_path, **options)


def test_folders_of_other_names_are_taken_as_told(write, tmp_path: Path) -> None:
    write(([LEFT] * 3, {}))
    frames = BenchmarkFrames("ovis", tmp_path, ann_file="annotations.json", image_prefix="")
    assert len(frames.load(0, 0)) == 1
