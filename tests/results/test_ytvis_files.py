"""YTVIS results and datasets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vos_occ.results import YtvisTracks, merge_shards, shard_path, write_shard, write_ytvis_dataset
from vos_occ.structures import FrameResult, InputError, OutputExistsError, SchemaError, rle

HEIGHT, WIDTH = 4, 5
MASK = rle.from_box((1, 1, 3, 3), HEIGHT, WIDTH)


def frame(index: int, *objects: tuple[int, int, float], masks: list[rle.Rle] | None = None) -> FrameResult:
    """A frame of (track id, label, score) objects."""
    ids, labels, scores = zip(*objects, strict=True) if objects else ((), (), ())
    boxes = np.zeros((len(objects), 4), np.float32)
    return FrameResult(index, HEIGHT, WIDTH, ids, labels, scores, boxes, masks or [MASK] * len(objects))


def test_a_track_has_the_mean_score_the_majority_category_and_null_where_it_is_missing():
    tracks = YtvisTracks(7, length=4, category_ids=[10, 20])
    tracks.add(frame(0, (5, 0, 0.25)))
    tracks.add(frame(1, (5, 1, 0.5), (2, 0, 1.0)))
    tracks.add(frame(3, (5, 1, 0.75)))
    second, first = tracks.entries()
    assert first == {"video_id": 7, "category_id": 20, "score": 0.5, "segmentations": [MASK, MASK, None, MASK]}
    assert second == {"video_id": 7, "category_id": 10, "score": 1.0, "segmentations": [None, MASK, None, None]}


@pytest.mark.parametrize(("scores", "category"), [((0.3, 0.4), 20), ((0.4, 0.3), 10), ((0.5, 0.5), 10)])
def test_tied_votes_go_to_the_larger_score_then_to_the_smaller_label(scores, category):
    tracks = YtvisTracks(1, 2, [10, 20])
    tracks.add(frame(0, (1, 0, scores[0])))
    tracks.add(frame(1, (1, 1, scores[1])))
    assert tracks.entries()[0]["category_id"] == category


def test_empty_masks_are_null_and_a_track_that_never_shows_is_left_out():
    nothing = rle.empty(HEIGHT, WIDTH)
    tracks = YtvisTracks(1, 2, [10])
    tracks.add(frame(0, (1, 0, 0.5), (2, 0, 0.5), masks=[MASK, nothing]))
    tracks.add(frame(1, (1, 0, 0.5), masks=[nothing]))
    assert [entry["segmentations"] for entry in tracks.entries()] == [[MASK, None]]


def test_a_video_without_detections_has_no_entries():
    tracks = YtvisTracks(1, 1, [10])
    tracks.add(frame(0))
    assert tracks.entries() == []


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (frame(3), "outside video 1 of 3 frames"),
        (frame(0), "added before"),
        (frame(1, (1, 4, 0.5)), "label 4 of 1 categories"),
        (FrameResult.empty(1, 9, 9), "differs from the 4x5"),
    ],
)
def test_frames_that_do_not_belong_are_refused(bad, message):
    tracks = YtvisTracks(1, 3, [10])
    tracks.add(frame(0))
    with pytest.raises(ValueError, match=message):
        tracks.add(bad)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(counts=st.lists(st.integers(0, 3), max_size=4))
def test_merged_shards_hold_the_entries_of_all_videos_in_order(tmp_path, counts):
    shards = {video_id: entries(video_id, count) for video_id, count in enumerate(counts, start=3)}
    for video_id, content in shards.items():
        write_shard(tmp_path / "shards", video_id, content, overwrite=True)
    out = tmp_path / "results.json"
    merge_shards(tmp_path / "shards", shards, out, overwrite=True)
    assert json.loads(out.read_text()) == [entry for content in shards.values() for entry in content]


def entries(video_id: int, count: int) -> list[dict[str, Any]]:
    return [
        {"video_id": video_id, "category_id": 1, "score": 0.5 + i / 10, "segmentations": [MASK, None]}
        for i in range(count)
    ]


def test_merging_names_the_videos_that_are_missing_and_writes_nothing(tmp_path):
    write_shard(tmp_path, 1, entries(1, 1))
    with pytest.raises(InputError, match=r"no results of 2 of 3 videos \(first: video 5\)"):
        merge_shards(tmp_path, [1, 5, 9], tmp_path / "results.json")
    assert not (tmp_path / "results.json").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[{"video_id": 1', "not a JSON file"),
        ("{}", "expected a list"),
        ('[{"video_id": 2}]', "belongs to video 2, expected 1"),
        ('[{"video_id": 1, "score": 1, "category_id": 1}]', r"entry 0.segmentations is missing"),
    ],
)
def test_a_damaged_shard_stops_the_merge_and_leaves_no_part_of_it(tmp_path, content, message):
    write_shard(tmp_path, 0, entries(0, 1))
    shard_path(tmp_path, 1).write_text(content)
    with pytest.raises(SchemaError, match=message):
        merge_shards(tmp_path, [0, 1], tmp_path / "results.json")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0.json", "1.json"]


def test_entries_of_different_lengths_are_refused(tmp_path):
    short = {**entries(1, 1)[0], "segmentations": [None]}
    with pytest.raises(SchemaError, match="differ in their number of frames"):
        write_shard(tmp_path, 1, [*entries(1, 1), short])


def test_shards_and_results_are_not_overwritten_unless_asked(tmp_path):
    write_shard(tmp_path / "s", 1, entries(1, 1))
    with pytest.raises(OutputExistsError, match="Use --overwrite"):
        write_shard(tmp_path / "s", 1, [])
    merge_shards(tmp_path / "s", [1], tmp_path / "results.json")
    with pytest.raises(OutputExistsError, match="Use --overwrite"):
        merge_shards(tmp_path / "s", [1], tmp_path / "results.json")


def dataset() -> dict[str, Any]:
    """A video of two frames with one track that is hidden in the second."""
    return {
        "videos": [{"id": 1, "width": WIDTH, "height": HEIGHT, "length": 2, "file_names": ["a/0.jpg", "a/1.jpg"]}],
        "annotations": [
            {
                "id": 4,
                "video_id": 1,
                "category_id": 2,
                "iscrowd": 0,
                "segmentations": [dict(MASK), None],
                "bboxes": [[1.0, 1.0, 2.0, 2.0], None],
                "areas": [np.float32(4), None],
                "occlusion": ["no_occlusion", None],
                "hidden": [0.0, 1.0],
            }
        ],
        "categories": [{"id": 2, "name": "star"}],
    }


def test_a_dataset_reads_back_as_it_was_given(tmp_path: Path):
    write_ytvis_dataset(tmp_path / "a.json", **dataset())
    assert json.loads((tmp_path / "a.json").read_text()) == dataset()


def test_a_test_split_has_null_annotations(tmp_path):
    write_ytvis_dataset(tmp_path / "a.json", **(dataset() | {"annotations": None}))
    assert json.loads((tmp_path / "a.json").read_text())["annotations"] is None


@pytest.mark.parametrize(
    ("part", "field", "value", "message"),
    [
        ("videos", "length", 3, r"videos\[0\] has 2 file_names, but length 3"),
        ("videos", "length", None, r"videos\[0\].length is missing"),
        ("videos", "id", "one", r"videos\[0\].id is 'one', expected an integer"),
        ("annotations", "video_id", 9, r"annotations\[0\].video_id is 9, but no video"),
        ("annotations", "category_id", 9, r"annotations\[0\].category_id is 9, but no category"),
        ("annotations", "segmentations", [None], r"segmentations has 1 entries, but video 1 has 2 frames"),
        ("annotations", "segmentations", None, r"segmentations has no entries, but video 1 has 2 frames"),
        ("annotations", "occlusion", [], r"annotations\[0\].occlusion has 0 entries"),
        ("annotations", "bboxes", [None, None], r"annotations\[0\] frame 0: .* must be null together"),
        ("annotations", "hidden", [0.0, float("nan")], "holds nan or infinity"),
    ],
)
def test_a_wrong_dataset_is_refused_and_not_written(tmp_path, part, field, value, message):
    content = dataset()
    content[part][0][field] = value
    with pytest.raises(SchemaError, match=message):
        write_ytvis_dataset(tmp_path / "a.json", **content)
    assert list(tmp_path.iterdir()) == []


def test_ids_are_unique(tmp_path):
    content = dataset()
    content["annotations"] *= 2
    with pytest.raises(SchemaError, match=r"annotations\[1\].id 4 is used twice"):
        write_ytvis_dataset(tmp_path / "a.json", **content)
