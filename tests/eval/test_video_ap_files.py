"""The forms in which results of YouTube-VIS and OVIS come, and what a job keeps of them."""

from __future__ import annotations

import copy
import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as mask_api

from eval import evaluate
from eval.errors import SchemaError
from eval.protocols import video_ap
from eval.protocols.protocol import Request
from eval.protocols.video_ap import VideoApJob
from eval.readers.record import Record
from eval.readers.track_masks import WrittenTrack, read_track_masks
from eval.rle import Rle

LENGTHS = {4: 3, 11: 2, 30: 1}


def rectangle(top: int, left: int) -> Rle:
    mask = np.zeros((20, 30), np.uint8, order="F")
    mask[top : top + 10, left : left + 10] = 1
    return {"size": [20, 30], "counts": mask_api.encode(mask)["counts"].decode()}


TRUTH: dict[str, Any] = {
    "videos": [
        {"id": i, "width": 30, "height": 20, "length": n, "file_names": [f"video{i}/{t}.jpg" for t in range(n)]}
        for i, n in LENGTHS.items()
    ],
    "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "dog"}],
    "annotations": [
        {"id": i, "video_id": i, "category_id": 1, "iscrowd": 0, "segmentations": [rectangle(t, 5) for t in range(n)]}
        for i, n in LENGTHS.items()
    ],
}
RESULTS: list[dict[str, Any]] = [
    {
        "video_id": i,
        "category_id": 1,
        "score": 0.5 + i / 100,
        "segmentations": [rectangle(t, 5 + i // 10) for _ in range(n)],
    }
    for t, (i, n) in enumerate(LENGTHS.items())
]


def write(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def gt(tmp_path: Path) -> Path:
    return write(tmp_path / "gt.json", TRUTH)


def shards(folder: Path) -> Path:
    folder.mkdir()
    for i in LENGTHS:
        write(folder / f"{i}.json", [record for record in RESULTS if record["video_id"] == i])
    return folder


def zipped(path: Path, members: dict[str, Any]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, json.dumps(content))
    return path


def test_a_file_a_folder_of_shards_and_their_zips_score_the_same(tmp_path: Path, gt: Path) -> None:
    (tmp_path / "run").mkdir()
    write(tmp_path / "run" / "results.json", RESULTS)
    whole = evaluate("ytvis", gt, write(tmp_path / "any name.json", RESULTS))
    assert 0 < whole.summary["AP"] < 1
    forms = [
        tmp_path / "run",
        shards(tmp_path / "shards"),
        zipped(tmp_path / "a.zip", {"submission/results.json": RESULTS, "__MACOSX/submission/._results.json": 1}),
        zipped(tmp_path / "b.zip", {f"{i}.json": [r for r in RESULTS if r["video_id"] == i] for i in LENGTHS}),
    ]
    for pred in forms:
        assert evaluate("ytvis", gt, pred).as_json() == whole.as_json(), pred


def test_scores_name_classes_and_videos_and_say_what_was_found_in_each(tmp_path: Path, gt: Path) -> None:
    scores = evaluate("ovis", gt, write(tmp_path / "results.json", RESULTS))
    assert list(scores.summary)[-4:] == ["AR100", "AP_so", "AP_mo", "AP_ho"]
    assert list(scores.classes) == ["person", "dog"]
    assert scores.classes["person"] == scores.summary
    assert set(scores.classes["dog"].values()) == {None}
    assert list(scores.videos) == ["video4", "video11", "video30"]
    assert scores.videos["video4"] == {"person": {"TP": 1, "FN": 0, "FP": 0, "AR100": pytest.approx(0.7)}}


def test_the_number_of_workers_does_not_change_a_bit(tmp_path: Path, gt: Path) -> None:
    expected = evaluate("ytvis", gt, write(tmp_path / "results.json", RESULTS)).as_json()
    for pred in (tmp_path / "results.json", zipped(tmp_path / "a.zip", {"results.json": RESULTS})):
        assert evaluate("ytvis", gt, pred, workers=2).as_json() == expected


@pytest.mark.parametrize("small", [0, 1 << 20])
def test_a_job_reads_its_masks_again_where_it_was_sent_or_the_files_are_large(
    tmp_path: Path, gt: Path, monkeypatch: pytest.MonkeyPatch, small: int
) -> None:
    monkeypatch.setattr(video_ap, "_SMALL", small)
    pred = write(tmp_path / "results.json", RESULTS)
    job = VideoApJob("ytvis", Request(gt, pred))
    sent = pickle.dumps(job)
    assert b"segmentations" not in sent
    assert (b"segmentations" in json.dumps([e.record.values for e in job._truth[4]]).encode()) == (small > 0)
    there = pickle.loads(sent)
    expected = evaluate("ytvis", gt, pred).as_json()
    for worker in (job, there):
        assert job.combine([worker.score(i) for i in range(len(worker.units))]).as_json() == expected


def test_what_a_zip_held_goes_when_the_job_goes(tmp_path: Path, gt: Path) -> None:
    job = VideoApJob("ytvis", Request(gt, zipped(tmp_path / "a.zip", {"results.json": RESULTS})))
    assert job._folder is not None
    folder = job._folder.name
    assert os.listdir(folder) == ["results.json"]
    del job
    assert not os.path.exists(folder)


def test_a_video_without_a_shard_is_an_error_unless_allowed(tmp_path: Path, gt: Path) -> None:
    folder = shards(tmp_path / "shards")
    (folder / "11.json").unlink()
    with pytest.raises(SchemaError, match=r"shards has no file for 1 of 3 videos \(first: video 11\). Run these"):
        evaluate("ytvis", gt, folder)
    scores = evaluate("ytvis", gt, folder, allow_missing=True)
    assert scores.videos["video11"]["person"]["FN"] == 1
    assert "first: video 11). They count as videos in which nothing was found." in scores.warnings[0]


def test_one_file_without_predictions_for_a_video_says_that_nothing_was_found(tmp_path: Path, gt: Path) -> None:
    scores = evaluate("ytvis", gt, write(tmp_path / "results.json", RESULTS[:1]))
    assert "results.json has no predictions for 2 of 3 videos (first: video 11)." in scores.warnings[0]
    assert evaluate("ytvis", gt, write(tmp_path / "results.json", [])).summary["AP"] == 0


def test_tracks_of_videos_of_several_sizes_keep_their_masks() -> None:
    polygon, listed = [[1, 1, 3, 1, 3, 3, 1, 3]], {"size": [4, 6], "counts": [5, 2, 2, 2, 13]}
    string = {"size": [4, 6], "counts": mask_api.frPyObjects(listed, 4, 6)["counts"].decode()}
    large = rectangle(3, 4)
    rows = [([string, None], 4, 6), ([large, large], 20, 30), ([None, polygon], 4, 6), ([listed], 4, 6), ([], 9, 9)]
    record = Record({}, "[0]", "results.json")
    tracks = read_track_masks([WrittenTrack(*row, record, "segmentations") for row in rows])
    assert [track.masks for track in tracks] == [(string, None), (large, large), (None, string), (string,), ()]
    assert [track.runs.extents[:, 0].tolist() for track in tracks] == [[4, 0], [100, 100], [0, 4], [4], []]


def changed(document: Any, place: str, value: Any) -> Any:
    document = copy.deepcopy(document)
    *parents, last = (int(key) if key.isdigit() else key for key in place.split("."))
    holder = document
    for key in parents:
        holder = holder[key]
    holder[last] = value
    return document


@pytest.mark.parametrize(
    ("side", "place", "value", "message"),
    [
        ("gt", "annotations", None, r"gt.json has no annotations to score against. Give the file that has them"),
        ("gt", "annotations", [], r"gt.json has no annotations"),
        ("gt", "annotations.1", 5, r"annotations\[1\] is 5, expected an object \(gt.json\)"),
        ("gt", "annotations.1.id", 4, r"annotations\[1\].id is 4, as that of annotations\[0\]"),
        ("gt", "annotations.1.video_id", 5, r"annotations\[1\].video_id is 5, but no video has this id"),
        ("gt", "annotations.1.category_id", 5, r"annotations\[1\].category_id is 5, but no category has this id"),
        ("gt", "annotations.1.iscrowd", 5, r"annotations\[1\].iscrowd is 5, expected 0 or 1"),
        ("gt", "annotations.1.segmentations", [None], r"annotations\[1\].segmentations has 1 entry, but video 11"),
        ("gt", "annotations.1.segmentations.1.counts", "5", r"annotations\[1\].segmentations\[1\].counts covers 5 "),
        ("gt", "annotations.1.occlusion", ["none", None], r"annotations\[1\].occlusion\[0\] is \"none\", expected one"),
        ("gt", "videos.1.id", 4, r"videos\[1\].id is 4, as that of videos\[0\]"),
        ("pred", "1", 5, r"\[1\] is 5, expected an object \(results.json\)"),
        ("pred", "1.video_id", "11", r"\[1\].video_id is \"11\", expected an integer"),
        ("pred", "1.video_id", 12, r"\[1\].video_id is 12, but no video has this id"),
        ("pred", "1.category_id", 5, r"\[1\].category_id is 5, but no category has this id"),
        ("pred", "1.score", None, r"\[1\].score is null, expected a finite number"),
        ("pred", "1.score", float("inf"), r"\[1\].score is Infinity, expected a finite number"),
        ("pred", "1.segmentations.1.size", [30, 20], r"\[1\].segmentations\[1\] has size \[30, 20\], but its image"),
        ("pred", "1.segmentations.1.counts", "1`8", r"\[1\].segmentations\[1\].counts .* \(results.json\)"),
        ("pred", "1.segmentations.1", "none", r"\[1\].segmentations\[1\] is \"none\", expected polygons, an RLE"),
    ],
)
def test_what_does_not_fit_is_named_with_file_and_record(
    tmp_path: Path, side: str, place: str, value: Any, message: str
) -> None:
    sides = {"gt": TRUTH, "pred": RESULTS}
    sides[side] = changed(sides[side], place, value)
    gt, pred = write(tmp_path / "gt.json", sides["gt"]), write(tmp_path / "results.json", sides["pred"])
    with pytest.raises(SchemaError, match=message):
        evaluate("ytvis", gt, pred)


def test_files_of_the_other_side_are_recognised(tmp_path: Path, gt: Path) -> None:
    pred = write(tmp_path / "results.json", RESULTS)
    with pytest.raises(SchemaError, match="results.json holds a list, expected a JSON object. Is it a results file"):
        evaluate("ytvis", pred, pred)
    with pytest.raises(SchemaError, match="gt.json holds an object, expected a list. Is it an annotation file"):
        evaluate("ytvis", gt, gt)
    with pytest.raises(SchemaError, match=r"tmp.*' holds 0 json files, expected results.json or one file for each"):
        (tmp_path / "tmp").mkdir()
        evaluate("ytvis", gt, tmp_path / "tmp")
    shard = shards(tmp_path / "shards") / "4.json"
    (shard.parent / "5.json").write_text("[]")
    with pytest.raises(SchemaError, match=r"5.json' is named by video 5, but gt.json has none of this id"):
        evaluate("ytvis", gt, shard.parent)
    (shard.parent / "5.json").unlink()
    write(shard, RESULTS[1:2])
    with pytest.raises(SchemaError, match=r"\[0\].video_id is 11, expected 4 as the file's name says \(4.json\)"):
        evaluate("ytvis", gt, shard.parent)


def test_masks_with_empty_runs_inside_count_as_their_pixels_and_are_warned_of(tmp_path: Path, gt: Path) -> None:
    results = copy.deepcopy(RESULTS)
    pixels = 20 * 30
    listed = {"size": [20, 30], "counts": [100, 5, 0, 5, pixels - 110]}
    string = mask_api.frPyObjects(listed, 20, 30)["counts"].decode()
    results[2]["segmentations"] = [{"size": [20, 30], "counts": string}]
    truth = changed(TRUTH, "annotations.2.segmentations", [{"size": [20, 30], "counts": [100, 10, pixels - 110]}])
    scores = evaluate("ytvis", write(tmp_path / "gt2.json", truth), write(tmp_path / "results.json", results))
    assert scores.videos["video30"]["person"]["AR100"] == 1
    assert any("results.json has masks with empty runs inside" in warning for warning in scores.warnings)
