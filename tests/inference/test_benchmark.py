from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from eval.readers.ytvis import YtvisDataset, read_ytvis_results
from vos_occ.inference.benchmark import categories_of, run_dataset
from vos_occ.models.video.masktrack import OccMaskTrackRCNN
from vos_occ.results.jsonl import read_jsonl
from vos_occ.structures.errors import InputError, OutputExistsError


def test_a_run_writes_what_benchmarks_read(
    tiny_model: OccMaskTrackRCNN, truth: YtvisDataset, world: Path, tmp_path: Path
) -> None:
    seen = []
    out = tmp_path / "out"
    path = run_dataset(tiny_model, truth, world / "frames", out, on_frame=lambda video: seen.append(video.id))
    tubes = read_ytvis_results(path, truth)
    ids = [video.id for video in truth.videos]
    assert seen == [i for i in ids for _ in range(8)]
    assert {tube.video_id for tube in tubes} == set(ids)
    assert all(len(tube.masks) == 8 and 0 <= tube.score <= 1 for tube in tubes)
    assert {shard.stem for shard in (out / "shards").iterdir()} == set(map(str, ids))
    for video in truth.videos:
        results = read_jsonl(out / "jsonl" / f"{video.id}.jsonl")
        assert (len(results), results.header.video, results.header.classes) == (8, video.name, tiny_model.classes)


def test_the_truth_comes_back_whole(oracle: Callable, truth: YtvisDataset, world: Path, tmp_path: Path) -> None:
    tubes = read_ytvis_results(run_dataset(oracle(), truth, world / "frames", tmp_path), truth)
    expected = {(t.video_id, t.category_id, t.segmentations[4] and t.segmentations[4]["counts"]) for t in truth.tracks}
    assert {(t.video_id, t.category_id, t.masks[4] and t.masks[4]["counts"]) for t in tubes} == expected


@pytest.mark.parametrize("left", ["results.json", "jsonl/2.jsonl", "shards/2.json"])
def test_results_in_the_way_are_refused_before_any_work(
    oracle: Callable, truth: YtvisDataset, world: Path, tmp_path: Path, left: str
) -> None:
    (tmp_path / left).parent.mkdir(exist_ok=True)
    (tmp_path / left).write_text("mine")
    with pytest.raises(OutputExistsError, match="Use --overwrite to replace"):
        run_dataset(oracle(), truth, world / "frames", tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / left]
    assert (tmp_path / left).read_text() == "mine"
    run_dataset(oracle(), truth, world / "frames", tmp_path, overwrite=True)


def test_an_error_keeps_the_videos_that_were_finished(
    oracle: Callable, truth: YtvisDataset, world: Path, tmp_path: Path
) -> None:
    first, second = truth.videos
    broken = replace(second, file_names=(*second.file_names[:3], "absent.png", *second.file_names[4:]))
    with pytest.raises(InputError, match="absent.png does not exist"):
        run_dataset(oracle(), replace(truth, videos=(first, broken)), world / "frames", tmp_path)
    assert (tmp_path / "shards" / f"{first.id}.json").is_file()
    assert [path.stem for path in (tmp_path / "jsonl").iterdir()] == [str(first.id)], "no file is half a video"
    assert not (tmp_path / "results.json").exists()


def test_a_video_without_file_names_is_refused(
    oracle: Callable, truth: YtvisDataset, world: Path, tmp_path: Path
) -> None:
    """Without the check it would be scored as a video in which nothing was found."""
    videos = tuple(replace(video, file_names=()) for video in truth.videos)
    with pytest.raises(InputError, match="video 1 has no file_names"):
        run_dataset(oracle(), replace(truth, videos=videos), world / "frames", tmp_path)


def test_frames_of_another_size_than_annotated_are_refused(oracle: Callable, truth: YtvisDataset, tmp_path) -> None:
    for video in truth.videos:
        for name in video.file_names:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            cv2.imwrite(str(tmp_path / name), np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(InputError, match="is 9x9, but its annotation says 160x96"):
        run_dataset(oracle(), truth, tmp_path, tmp_path / "out")


def test_classes_are_found_by_name(truth: YtvisDataset) -> None:
    assert categories_of(("star", "ball"), truth) == [3, 1]
    with pytest.raises(InputError, match="knows the class 'dog', but annotations_ytvis.json has only ball"):
        categories_of(("dog",), truth)


def test_results_do_not_depend_on_the_videos_before(
    build_tiny_model: Callable, truth: YtvisDataset, world: Path, tmp_path: Path
) -> None:
    model = build_tiny_model()
    run_dataset(model, truth, world / "frames", tmp_path / "both")
    run_dataset(model, replace(truth, videos=truth.videos[1:]), world / "frames", tmp_path / "one")
    name = f"{truth.videos[1].id}.json"
    assert (tmp_path / "both" / "shards" / name).read_text() == (tmp_path / "one" / "shards" / name).read_text()
