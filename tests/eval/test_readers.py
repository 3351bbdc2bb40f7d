"""Readers: every way to write a mask comes out the same, and what does not fit is named with file and cure."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as mask_api

from eval.errors import SchemaError
from eval.image_ap import image_ap
from eval.readers.coco import read_coco, read_coco_results
from eval.readers.record import Record
from eval.readers.segmentation import read_mask
from eval.readers.ytvis import read_ytvis, read_ytvis_results
from eval.readers.ytvis_tubes import read_video
from eval.runs import run_lengths
from eval.tube_ap import tube_ap

SHARED = Path(os.environ.get("VOS_OCC_DATA", Path(__file__).parents[2] / ".." / "shared"))
COCO_128 = SHARED / "data" / "coco128" / "annotations" / "instances_train2017_first128.json"

HEIGHT, WIDTH = 4, 6
# ......
# .##...   column by column: 5 background, 2 object, 2 background, 2 object, 13 background
# .##...
# ......
RUNS = [5, 2, 2, 2, 13]
LISTED = {"size": [HEIGHT, WIDTH], "counts": RUNS}
POLYGON = [[1, 1, 3, 1, 3, 3, 1, 3]]
STRING = {"size": [HEIGHT, WIDTH], "counts": mask_api.frPyObjects(LISTED, HEIGHT, WIDTH)["counts"].decode()}

YTVIS = {
    "videos": [
        {"id": 7, "width": WIDTH, "height": HEIGHT, "length": 3, "file_names": ["v/0.jpg", "v/1.jpg", "v/2.jpg"]},
        {"id": 8, "width": WIDTH, "height": HEIGHT, "length": 1, "name": "single"},
    ],
    "categories": [{"id": 1, "name": "person"}, {"id": 3, "name": "dog"}],
    "annotations": [
        {
            "id": 0,
            "video_id": 7,
            "category_id": 3,
            "segmentations": [STRING, None, LISTED],
            "occlusion": ["no_occlusion", None, "severe_occlusion"],
            "amodal_segmentations": [LISTED, POLYGON, None],
            "hidden": [0.0, None, 0.25],
            "in_front_of": [[], [], [1]],
        },
        {
            "id": 1,
            "video_id": 7,
            "category_id": 3,
            "iscrowd": 1,
            "segmentations": [POLYGON, None, None],
            "bboxes": [[1, 1, 2.5, 2], None, None],
            "areas": [5, None, None],
        },
    ],
}
COCO = {
    "images": [{"id": 7, "width": WIDTH, "height": HEIGHT, "file_name": "7.jpg"}],
    "categories": [{"id": 1, "name": "person"}],
    "annotations": [
        {
            "id": 1,
            "image_id": 7,
            "category_id": 1,
            "segmentation": POLYGON,
            "bbox": [1, 1, 2, 2],
            "area": 4,
            "hidden": 0.4,
        },
        {"id": 2, "image_id": 7, "category_id": 1, "segmentation": LISTED, "iscrowd": 1},
        {"id": 3, "image_id": 7, "category_id": 1, "bbox": [0, 0, 6, 4], "amodal_segmentation": POLYGON},
    ],
}


def write(folder: Path, document: Any, name: str = "ovis_val.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(document))
    return path


def changed(document: dict, place: str, value: Any) -> dict:
    """A copy with one value replaced; `place` is like "annotations.0.segmentations"; `...` removes it."""
    document = copy.deepcopy(document)
    *parents, last = (int(key) if key.isdigit() else key for key in place.split("."))
    holder: Any = document
    for key in parents:
        holder = holder[key]
    if value is ...:
        del holder[last]
    else:
        holder[last] = value
    return document


def test_ytvis_reads_what_the_file_says_and_derives_what_it_does_not(tmp_path: Path) -> None:
    dataset = read_ytvis(write(tmp_path, YTVIS))
    first, second = dataset.tracks
    assert dataset.videos[0].file_names == ("v/0.jpg", "v/1.jpg", "v/2.jpg")
    assert (dataset.videos[1].name, dataset.videos[1].length, dataset.videos[1].file_names) == ("single", 1, ())
    assert first.segmentations == (STRING, None, STRING)
    assert first.bboxes == ((1, 1, 2, 2), None, (1, 1, 2, 2))
    assert first.areas == (4, None, 4)
    assert first.occlusion == ("no_occlusion", None, "severe_occlusion")
    assert first.extra["amodal_segmentations"] == (STRING, STRING, None)
    assert first.extra["hidden"] == (0.0, None, 0.25)
    assert (second.iscrowd, second.bboxes[0], second.areas) == (True, (1, 1, 2.5, 2), (5, None, None))
    assert second.occlusion is None
    assert repr(dataset) == "YtvisDataset(ovis_val.json: 2 videos, 2 tracks, 2 categories)"


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"name": "given"}, "given"),
        ({"file_names": ["a/b/img_1.jpg"]}, "b"),
        ({"file_names": ["a\\b\\img_1.jpg"]}, "b"),
        ({"file_names": ["img_1.jpg"]}, "7"),
        ({"file_names": None}, "7"),
    ],
    ids=["its own", "folder", "folder on Windows", "no folder", "no files"],
)
def test_a_video_without_a_name_is_called_by_its_folder_or_its_id(changes: dict[str, Any], name: str) -> None:
    values = {"id": 7, "width": 6, "height": 4, "length": 1, **changes}
    assert read_video(Record(values, "videos[0]", "ovis.json")).name == name


def test_ytvis_ground_truth_scored_against_itself_is_perfect(tmp_path: Path) -> None:
    alone = changed(changed(YTVIS, "annotations.1", ...), "annotations.0.in_front_of", ...)
    dataset = read_ytvis(write(tmp_path, alone))
    results = [{"video_id": 7, "category_id": 3, "score": 0.5, "segmentations": [STRING, None, STRING]}]
    predictions = read_ytvis_results(write(tmp_path, results, "results.json"), dataset)
    assert tube_ap(dataset.tubes(), predictions).ap == pytest.approx(1)
    assert read_ytvis_results(write(tmp_path, [], "results.json"), dataset) == []


@pytest.mark.parametrize("annotations", [None, ...])
@pytest.mark.parametrize(("read", "document"), [(read_ytvis, YTVIS), (read_coco, COCO)])
def test_a_test_set_without_annotations_is_read_but_not_scored(
    tmp_path: Path, read: Any, document: dict, annotations: Any
) -> None:
    dataset = read(write(tmp_path, changed(document, "annotations", annotations), "test.json"))
    assert not dataset.has_annotations
    with pytest.raises(SchemaError, match="test.json has no annotations to score against"):
        dataset.tubes() if read is read_ytvis else dataset.objects()


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (
            "annotations.0.segmentations",
            [None],
            r"annotations\[0\].segmentations has 1 entry, but video 7 has 3 frames \(ovis_val.json\). Write one",
        ),
        ("annotations.0.segmentations", [], r"segmentations has 0 entries, but video 7 has 3 frames"),
        ("annotations.0.segmentations", None, r"annotations\[0\].segmentations is null, expected a list"),
        ("annotations.0.segmentations", ..., r"annotations\[0\].segmentations is missing"),
        ("annotations.0.hidden", [0.5], r"annotations\[0\].hidden has 1 entry, but video 7"),
        ("annotations.0.amodal_segmentations", [None], r"annotations\[0\].amodal_segmentations has 1 entry"),
        ("annotations.1.bboxes", [None], r"annotations\[1\].bboxes has 1 entry"),
        ("annotations.1.bboxes.0", [1, 1, -2, 2], r"annotations\[1\].bboxes\[0\] is \[1, 1, -2, 2\], with a negative"),
        ("annotations.1.areas", [4], r"annotations\[1\].areas has 1 entry"),
        ("annotations.0.occlusion.0", "much", r'annotations\[0\].occlusion\[0\] is "much", expected one of no_occ'),
        ("annotations.0.video_id", 9, r"annotations\[0\].video_id is 9, but no video has this id"),
        ("annotations.0.category_id", 2, r"annotations\[0\].category_id is 2, but no category has this id"),
        ("annotations.1.id", 0, r"annotations\[1\].id is 0, as that of annotations\[0\]"),
        ("annotations.1.iscrowd", 2, r"annotations\[1\].iscrowd is 2, expected 0 or 1"),
        ("annotations.1", 5, r"annotations\[1\] is 5, expected an object"),
        ("annotations", 5, r"annotations is 5, expected a list"),
        ("videos.1.id", 7, r"videos\[1\].id is 7, as that of videos\[0\]"),
        ("videos.0.length", 0, r"videos\[0\].length is 0, but a video has at least one frame"),
        (
            "videos.0",
            {"id": 7, "name": "a", "width": 6, "height": 4},
            r"videos\[0\] has neither length nor file_names .*Convert a COCO file of videos to YouTube-VIS",
        ),
        ("videos.0.length", 2, r"videos\[0\].file_names has 3 entries, but length is 2"),
        ("videos.0.width", 0, r"videos\[0\].width is 0, expected at least 1"),
        ("videos.0.height", "4", r'videos\[0\].height is "4", expected an integer'),
        ("videos", ..., r"videos is missing \(ovis_val.json\). Is this a file of another format\?"),
        ("categories", ..., r"categories is missing"),
        ("categories.0.name", 5, r"categories\[0\].name is 5, expected a string"),
    ],
)
def test_ytvis_names_what_does_not_fit(tmp_path: Path, place: str, value: Any, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        read_ytvis(write(tmp_path, changed(YTVIS, place, value)))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"size": [6, 4], "counts": RUNS}, r"segmentations\[2\] has size \[6, 4\], but its image has .* \[4, 6\]"),
        ({"size": [4, 6], "counts": [5, 2]}, r"counts covers 7 pixels, but the image has 4 x 6"),
        ({"size": [4, 6], "counts": [30, -6]}, r"counts covers 24 pixels, but the image has 4 x 6"),
        ({"size": [4, 6], "counts": [5, 2.5]}, r"counts is \[5, 2.5\], expected a string or a list of integers"),
        ({"size": [4, 6], "counts": "5"}, r"counts covers 5 pixels"),
        ({"size": [4, 6], "counts": "5P"}, r"segmentations\[2\].counts is cut off"),
        ({"size": [4, 6], "counts": "é"}, r"counts holds 'é', which is no run-length code"),
        ({"size": [4, 6], "counts": ""}, r"counts is empty, expected a run-length code"),
        ({"size": [4, 6], "counts": "oooooooo0"}, r"a number of more than 32 bits"),
        ({"counts": RUNS}, r"segmentations\[2\] is .*, expected polygons, an RLE or null"),
        ("none", r'segmentations\[2\] is "none", expected polygons, an RLE or null'),
        ([[1, 1, 2, 2]], r"segmentations\[2\]\[0\] is \[1, 1, 2, 2\], expected a polygon"),
        ([1, 1, 2, 2, 3, 1], r"segmentations\[2\]\[0\] is 1, expected a polygon"),
    ],
)
def test_masks_that_pycocotools_would_take_for_another_are_refused(tmp_path: Path, value: Any, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        read_ytvis(write(tmp_path, changed(YTVIS, "annotations.0.segmentations.2", value)))


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("0.score", float("nan"), r"\[0\].score is NaN, expected a finite number \(results.json\)"),
        ("0.score", ..., r"\[0\].score is missing"),
        ("0.video_id", 70, r"\[0\].video_id is 70, but no video has this id"),
        ("0.category_id", 9, r"\[0\].category_id is 9, but no category has this id"),
        ("0.segmentations", [None] * 4, r"\[0\].segmentations has 4 entries, but video 7 has 3 frames"),
    ],
)
def test_ytvis_results_name_what_does_not_fit(tmp_path: Path, place: str, value: Any, message: str) -> None:
    dataset = read_ytvis(write(tmp_path, YTVIS))
    results: Any = [{"video_id": 7, "category_id": 3, "score": 0.5, "segmentations": [STRING, None, None]}]
    with pytest.raises(SchemaError, match=message):
        read_ytvis_results(write(tmp_path, changed(results, place, value), "results.json"), dataset)


@pytest.mark.parametrize("read", [read_ytvis, read_coco])
def test_files_that_are_no_annotations_are_refused(tmp_path: Path, read: Any) -> None:
    with pytest.raises(SchemaError, match=r"There is no file '.*absent.json'"):
        read(tmp_path / "absent.json")
    (tmp_path / "torn.json").write_text('{"videos": [')
    with pytest.raises(SchemaError, match=r"torn.json' is not valid JSON: .*Export or download it again"):
        read(tmp_path / "torn.json")
    (tmp_path / "video.mp4").write_bytes(b"\x00\x00\x00\xff\xfe")
    with pytest.raises(SchemaError, match="is not valid JSON"):
        read(tmp_path / "video.mp4")
    with pytest.raises(SchemaError, match=r"expected a JSON object. Is it a results file\?"):
        read(write(tmp_path, []))


def test_coco_reads_polygons_crowds_and_boxes(tmp_path: Path) -> None:
    dataset = read_coco(write(tmp_path, COCO))
    polygon, crowd, box_only = dataset.annotations
    assert (polygon.segmentation, polygon.bbox, polygon.area) == (STRING, (1, 1, 2, 2), 4)
    assert polygon.extra == {"hidden": 0.4}
    assert (crowd.segmentation, crowd.bbox, crowd.area, crowd.iscrowd) == (STRING, (1, 1, 2, 2), 4, True)
    assert (box_only.segmentation, box_only.area) == (None, 24)
    assert box_only.extra == {"amodal_segmentation": STRING}
    assert repr(dataset) == "CocoDataset(ovis_val.json: 1 images, 3 annotations, 1 categories)"


def test_coco_objects_that_do_not_count_are_ignored(tmp_path: Path) -> None:
    dataset = read_coco(write(tmp_path, changed(COCO, "annotations.2", ...)))
    results = [{"image_id": 7, "category_id": 1, "score": 0.5, "segmentation": LISTED}]
    detections = read_coco_results(write(tmp_path, results, "results.json"), dataset)
    assert detections[0].bbox == (1, 1, 2, 2)
    hidden = dataset.objects(lambda annotation: annotation.extra.get("hidden", 0) > 0.3)
    assert image_ap(hidden, detections).ap == pytest.approx(1)
    none = dataset.objects(lambda annotation: annotation.extra.get("hidden", 0) > 0.9)
    assert [thing.ignored for thing in none] == [True, True]
    assert image_ap(none, detections).ap is None


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("annotations.0.image_id", 9, r"annotations\[0\].image_id is 9, but no image has this id"),
        ("annotations.0.bbox", [1, 2, 3], r"annotations\[0\].bbox is \[1, 2, 3\], expected \[x, y, width, height\]"),
        ("annotations.2.bbox", ..., r"annotations\[2\] has neither segmentation nor bbox"),
        ("annotations.0.area", "4", r'annotations\[0\].area is "4", expected a finite number'),
        ("annotations.1.segmentation.size", [1, 1], r"annotations\[1\].segmentation has size \[1, 1\]"),
        ("annotations.1.id", 1, r"annotations\[1\].id is 1, as that of annotations\[0\]"),
    ],
)
def test_coco_names_what_does_not_fit(tmp_path: Path, place: str, value: Any, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        read_coco(write(tmp_path, changed(COCO, place, value)))


@pytest.mark.skipif(not COCO_128.exists(), reason=f"no COCO sample at {COCO_128}")
def test_masks_of_real_coco_are_those_of_pycocotools() -> None:
    dataset = read_coco(COCO_128)
    raw = {a["id"]: a["segmentation"] for a in json.loads(COCO_128.read_text())["annotations"]}
    images = {image.id: image for image in dataset.images}
    for annotation in dataset.annotations:
        image = images[annotation.image_id]
        official = mask_api.frPyObjects(raw[annotation.id], image.height, image.width)
        official = mask_api.merge(official) if isinstance(official, list) else official
        assert annotation.segmentation == {"size": [image.height, image.width], "counts": official["counts"].decode()}


RECORD = Record({}, "annotations[0]", "file.json")


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.05, 0.5, 1.0]))
def test_runs_and_both_codes_round_trip(height: int, width: int, seed: int, density: float) -> None:
    pixels = (np.random.default_rng(seed).random((height, width)) < density).astype(np.uint8)
    encoded = mask_api.encode(np.asfortranarray(pixels))
    string = {"size": [height, width], "counts": encoded["counts"].decode()}
    runs = run_lengths(string["counts"])
    np.testing.assert_array_equal(np.repeat(np.arange(len(runs)) % 2, runs).reshape(width, height).T, pixels)
    assert read_mask(string, height, width, RECORD, "segmentation") == string
    listed = {"size": [height, width], "counts": runs.tolist()}
    assert read_mask(listed, height, width, RECORD, "segmentation") == string


def test_long_runs_of_large_images_are_read() -> None:
    pixels = np.zeros((3000, 4000), np.uint8, order="F")
    pixels[:, 2000:2002] = 1
    encoded = mask_api.encode(pixels)["counts"].decode()
    assert run_lengths(encoded).tolist() == [6_000_000, 6000, 3000 * 4000 - 6_006_000]


@pytest.mark.parametrize(
    "counts", [[2, 0, 0, 0, 3, 4, 7], [0, 0, 5, 4, 7], [5, 4, 7, 0], [5, 1, 0, 3, 7, 0, 0], [0, 16, 0]]
)
def test_empty_runs_are_taken_out_so_that_a_mask_equals_itself(counts: list[int]) -> None:
    written = {"size": [4, 4], "counts": counts}
    string = mask_api.frPyObjects(written, 4, 4)
    for value in (written, {"size": [4, 4], "counts": string["counts"].decode()}):
        with pytest.warns(UserWarning, match="file.json has masks with empty runs inside"):
            mask = read_mask(value, 4, 4, RECORD, "segmentation")
        assert mask is not None
        np.testing.assert_array_equal(mask_api.decode(mask), mask_api.decode(string))
        assert mask_api.iou([mask], [mask], [0])[0, 0] == 1
        assert (run_lengths(mask["counts"])[1:] > 0).all()
