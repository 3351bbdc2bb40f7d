"""Results and ground truth as MOTS files, scored by the evaluator that they are for."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eval.evaluation import evaluate
from vos_occ.results import Header, JsonlWriter, write_ytvis_dataset
from vos_occ.structures import FrameResult, rle

HEIGHT, WIDTH, LENGTH = 8, 12, 4
CLASSES = ("ball", "brick")
SCRIPT = Path(__file__).parents[2] / "tools" / "export_mots.py"


@pytest.fixture(scope="module")
def export() -> Callable[..., int]:
    spec = importlib.util.spec_from_file_location("tool_export_mots", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return lambda *arguments: module.main([str(argument) for argument in arguments])


def box(x0: int, y0: int, x1: int, y1: int) -> rle.Rle:
    return rle.from_box((x0, y0, x1, y1), HEIGHT, WIDTH)


# Two objects: the ball rests; the brick is hidden by .7, then whole, then not at all.
BALL = [box(0, 0, 4, 4)] * LENGTH
BRICK = [box(6, 0, 10, 4), box(6, 0, 8, 4), None, box(6, 4, 10, 8)]
HIDDEN = [0.0, 0.7, 1.0, 0.0]


def dataset(path: Path, extra: dict[str, Any] | None = None) -> Path:
    """Two videos of the same two objects, in the format of the synthetic world."""
    videos, annotations = [], []
    for video in (1, 2):
        names = [f"walk_{video}/{t}.jpg" for t in range(LENGTH)]
        size = {"width": WIDTH, "height": HEIGHT}
        videos.append({"id": video, "name": f"walk_{video}", "length": LENGTH, "file_names": names, **size})
        for category, masks, hidden in ((1, BALL, [0.0] * LENGTH), (2, BRICK, HIDDEN)):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "video_id": video,
                    "category_id": category,
                    "iscrowd": 0,
                    "segmentations": masks,
                    "bboxes": [None if m is None else [0.0, 0.0, 1.0, 1.0] for m in masks],
                    "areas": [None if m is None else rle.area(m) for m in masks],
                    **({"hidden": hidden} if extra is None else extra),
                }
            )
    write_ytvis_dataset(path, videos, annotations, [{"id": i + 1, "name": name} for i, name in enumerate(CLASSES)])
    return path


def results(folder: Path, video: int, brick_ids: list[int], frames: int = LENGTH) -> Path:
    """A tracker that finds the ball always and the brick under these ids (0: not at all)."""
    path = folder / f"{video}.jsonl"
    header = Header(f"walk_{video}", WIDTH, HEIGHT, None, LENGTH, CLASSES)
    with JsonlWriter(path, header) as writer:
        for t in range(frames):
            found = [(1, 0, BALL[t])] + [(brick_ids[t], 1, BRICK[t] or box(6, 0, 7, 1))] * bool(brick_ids[t])
            ids, labels, masks = zip(*found, strict=True)
            scores, boxes = [0.5] * len(ids), np.zeros((len(ids), 4), np.float32)
            writer.write(FrameResult(t, HEIGHT, WIDTH, list(ids), list(labels), scores, boxes, list(masks)), None)
    return path


def test_the_synthetic_world_is_scored_by_occlusion(tmp_path, export, capsys):
    results(tmp_path / "jsonl", 1, [2, 0, 0, 7])
    results(tmp_path / "jsonl", 2, [2, 2, 0, 2])
    out = tmp_path / "mots"
    ann_file = dataset(tmp_path / "annotations.json")
    assert export(tmp_path / "jsonl", "--out", out, "--ann-file", ann_file, "--class-ids", "brick=2") == 0
    assert capsys.readouterr().out.splitlines()[:2] == ["1 (car): ball", "2 (pedestrian): brick"]
    assert (out / "seqmap").read_text().splitlines()[0].split() == ["walk_1", "empty", "000000", "000003"]
    assert (out / "hidden" / "walk_1.txt").read_text().splitlines()[1] == "0 2002 0.000000"
    scores = evaluate(
        "kitti_mots", out / "instances_txt", out / "pred", seqmap=out / "seqmap", by_occlusion=out / "hidden"
    )
    assert scores.classes["car"]["MOTSA"] == 1.0
    rows = scores.by_occlusion
    assert (rows["pedestrian: L3 60-90%"]["objects"], rows["pedestrian: L3 60-90%"]["recall"]) == (2, 0.5)
    assert rows["pedestrian: across a gap"] == {"links": 2, "switched": 1, "kept": 0.5}
    assert rows["pedestrian: without a gap"] == {"links": 1, "switched": 0, "kept": 1.0}


def test_classes_that_mots_does_not_know_become_one_and_frames_may_count_from_one(tmp_path, export):
    results(tmp_path / "jsonl", 1, [2, 2, 0, 2])
    assert export(tmp_path / "jsonl" / "1.jsonl", "--out", tmp_path / "mots", "--first-frame", "1") == 0
    lines = [line.split()[:5] for line in (tmp_path / "mots" / "pred" / "walk_1.txt").read_text().splitlines()]
    assert lines[:2] == [["1", "1001", "1", "8", "12"], ["1", "1002", "1", "8", "12"]]
    assert [path.name for path in (tmp_path / "mots").iterdir()] == ["pred"]


def test_ground_truth_that_does_not_say_what_is_hidden_has_no_hidden_folder(tmp_path, export):
    results(tmp_path / "jsonl", 1, [2, 2, 0, 2])
    ann_file = dataset(tmp_path / "annotations.json", extra={})
    assert export(tmp_path / "jsonl", "--out", tmp_path / "mots", "--ann-file", ann_file) == 0
    assert sorted(path.name for path in (tmp_path / "mots").iterdir()) == ["instances_txt", "pred", "seqmap"]


@pytest.mark.parametrize(
    ("situation", "message"),
    [
        ("stopped", "has 2 of 4 frames. Run the video again"),
        ("twice", "are both of a video walk_1"),
        ("unknown class", "names 'cube', but the classes are ball, brick"),
        ("overlap", "masks of video walk_2 overlap in frame 0"),
        ("test set", "has no annotations"),
        ("no results", "has no .jsonl files"),
    ],
)
def test_bad_input_is_one_line_exit_2_and_nothing_written(tmp_path, export, capsys, situation, message):
    results(tmp_path / "jsonl", 1, [2, 2, 0, 2], frames=2 if situation == "stopped" else LENGTH)
    arguments: list[Any] = [tmp_path / "jsonl"]
    if situation == "twice":
        results(tmp_path / "again", 1, [2, 2, 0, 2])
        arguments.append(tmp_path / "again")
    if situation == "stopped":
        arguments += ["--ann-file", dataset(tmp_path / "annotations.json")]
    if situation == "unknown class":
        arguments += ["--class-ids", "cube=1"]
    if situation == "overlap":
        ann_file = dataset(tmp_path / "annotations.json")
        document = json.loads(ann_file.read_text())
        document["annotations"][3]["segmentations"][0] = box(3, 0, 6, 4)
        ann_file.write_text(json.dumps(document))
        arguments += ["--ann-file", ann_file]
    if situation == "test set":
        document = json.loads(dataset(tmp_path / "annotations.json").read_text()) | {"annotations": None}
        (tmp_path / "test.json").write_text(json.dumps(document))
        arguments += ["--ann-file", tmp_path / "test.json"]
    if situation == "no results":
        (tmp_path / "empty").mkdir()
        arguments = [tmp_path / "empty"]
    assert export(*arguments, "--out", tmp_path / "mots") == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "mots").exists()


def test_a_video_of_which_nobody_knows_the_length_is_written_with_a_word(tmp_path, export, capsys):
    results(tmp_path / "jsonl", 1, [2, 2, 0, 2], frames=2)
    assert export(tmp_path / "jsonl", "--out", tmp_path / "mots") == 0
    assert "has 2 frames, its source announced 4" in capsys.readouterr().err
    assert len((tmp_path / "mots" / "pred" / "walk_1.txt").read_text().splitlines()) == 4


def test_a_line_that_was_cut_off_is_refused(tmp_path, export, capsys):
    path = results(tmp_path / "jsonl", 1, [2, 2, 0, 2])
    path.write_bytes(path.read_bytes()[:-20])
    assert export(tmp_path / "jsonl", "--out", tmp_path / "mots") == 2
    assert "has 3 of 4 frames. Run the video again" in capsys.readouterr().err


def test_existing_results_are_kept_unless_asked(tmp_path, export, capsys):
    results(tmp_path / "jsonl", 1, [2, 2, 0, 2])
    (tmp_path / "mots" / "pred").mkdir(parents=True)
    (tmp_path / "mots" / "pred" / "walk_1.txt").write_text("old")
    assert export(tmp_path / "jsonl", "--out", tmp_path / "mots") == 2
    assert "is not empty. Use --overwrite" in capsys.readouterr().err
    assert (tmp_path / "mots" / "pred" / "walk_1.txt").read_text() == "old"
    assert export(tmp_path / "jsonl", "--out", tmp_path / "mots", "--overwrite") == 0
    assert (tmp_path / "mots" / "pred" / "walk_1.txt").read_text().startswith("0 1001 1 8 12 ")


@pytest.mark.parametrize("text", ["ball", "ball=3", "=1", "ball=car"])
def test_class_ids_name_a_class_and_one_of_two_numbers(tmp_path, export, capsys, text):
    with pytest.raises(SystemExit) as stopped:
        export(tmp_path, "--out", tmp_path / "mots", "--class-ids", text)
    assert stopped.value.code == 2
    assert f"found '{text}'" in capsys.readouterr().err
