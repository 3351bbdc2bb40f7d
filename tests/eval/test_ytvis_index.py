from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from eval.errors import SchemaError
from eval.readers.ytvis import index_ytvis, read_ytvis


def mask(*runs: int) -> dict[str, Any]:
    return {"size": [2, 3], "counts": list(runs)}


def content(**changes: Any) -> dict[str, Any]:
    video = {"width": 3, "height": 2, "length": 2, "file_names": ["a/0.jpg", "a/1.jpg"]}
    tracks = [
        {"id": 0, "video_id": 2, "category_id": 1, "segmentations": [mask(1, 2, 3), None], "in_front_of": [[9], []]},
        {"id": 9, "video_id": 2, "category_id": 4, "segmentations": [mask(4, 2), mask(0, 6)], "hidden": [0.5, 0]},
        {"id": 5, "video_id": 1, "category_id": 4, "segmentations": [None, mask(0, 1, 5)], "iscrowd": 1},
    ]
    known = {
        "annotations": tracks,
        "videos": [{"id": 2, **video}, {"id": 1, **video}],
        "categories": [{"id": 4, "name": "cat"}, {"id": 1, "name": "ant"}],
    }
    return known | changes


@pytest.fixture
def write(tmp_path: Path):
    def write(document: Any) -> Path:
        path = tmp_path / "annotations.json"
        path.write_text(json.dumps(document))
        return path

    return write


def test_tracks_read_one_by_one_are_those_of_the_whole_file(write) -> None:
    path = write(content())
    whole, index = read_ytvis(path), index_ytvis(path)
    assert tuple(index.tracks()) == whole.tracks
    assert (index.videos, index.categories, index.has_annotations) == (whole.videos, whole.categories, True)


@pytest.mark.parametrize("annotations", [None, []], ids=["null", "empty"])
def test_a_file_without_annotations_has_videos_all_the_same(write, annotations: Any) -> None:
    index = index_ytvis(write(content(annotations=annotations)))
    assert index.has_annotations == (annotations is not None)
    assert len(index.videos) == 2
    assert list(index.tracks()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"annotations": {}}, "annotations is {}, expected a list"),
        ({"annotations": [{"id": 1, "video_id": 1}] * 2}, r"annotations\[1\].id is 1, as that of annotations\[0\]"),
        ({"annotations": [{"id": 1}]}, r"annotations\[0\].video_id is missing"),
        ({"videos": None}, "videos is null, expected a list"),
    ],
)
def test_what_is_no_annotation_file_is_told_at_once(write, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        index_ytvis(write(content(**changes)))


def test_results_are_no_annotations(write) -> None:
    with pytest.raises(SchemaError, match="holds a list, expected a JSON object"):
        index_ytvis(write([{"video_id": 1}]))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("in_front_of", [[5], []], r"in_front_of\[0\] names 5, which is no other object there"),
        ("video_id", 7, r"annotations\[0\].video_id is 7, but no video has this id"),
        ("segmentations", [None], "has 1 entry, but video 2 has 2 frames"),
    ],
)
def test_a_record_is_checked_as_in_the_whole_file(write, field: str, value: Any, message: str) -> None:
    document = content()
    document["annotations"][0][field] = value
    path = write(document)
    with pytest.raises(SchemaError, match=message):
        read_ytvis(path)
    with pytest.raises(SchemaError, match=message):
        list(index_ytvis(path).tracks())
