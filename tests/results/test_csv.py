"""The table of objects, read back by Python's csv."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vos_occ.results import CsvWriter
from vos_occ.structures import FrameResult, OcclusionOrder, OutputExistsError, rle

HEIGHT, WIDTH = 6, 7
HEADER = "frame,time,track_id,label,score,x0,y0,x1,y1,area,hidden,hidden_by"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def two_objects(index: int) -> FrameResult:
    boxes = [[0, 0, 2, 3], [1.5, 1, 4, 4]]
    order = OcclusionOrder(np.array([[False, True], [False, False]]))
    masks = [rle.from_box(box, HEIGHT, WIDTH) for box in boxes]
    hidden = np.array([np.nan, 0.1], np.float32)
    scores = np.array([0.9, 0.25], np.float32)
    return FrameResult(index, HEIGHT, WIDTH, [4, 9], [0, 1], scores, np.array(boxes), masks, hidden=hidden, order=order)


def test_a_row_per_object_and_frame_and_what_is_unknown_is_empty(tmp_path):
    with CsvWriter(tmp_path / "a.csv", ("dog", "cat")) as writer:
        writer.write(two_objects(0), 0.0)
        writer.write(FrameResult.empty(1, HEIGHT, WIDTH), 0.04)
        writer.write(two_objects(2), None)
    assert (tmp_path / "a.csv").read_text().splitlines() == [
        HEADER,
        "0,0.0,4,dog,0.9,0.0,0.0,2.0,3.0,6,,",
        "0,0.0,9,cat,0.25,1.5,1.0,4.0,4.0,9,0.1,4",
        "2,,4,dog,0.9,0.0,0.0,2.0,3.0,6,,",
        "2,,9,cat,0.25,1.5,1.0,4.0,4.0,9,0.1,4",
    ]


def test_several_occluders_are_set_apart_by_blanks(tmp_path):
    matrix = np.zeros((3, 3), bool)
    matrix[:2, 2] = True
    empty = [rle.empty(HEIGHT, WIDTH)] * 3
    result = FrameResult(
        0, HEIGHT, WIDTH, [5, 2, 8], [0] * 3, [0.5] * 3, np.zeros((3, 4)), empty, order=OcclusionOrder(matrix)
    )
    with CsvWriter(tmp_path / "a.csv", ("dog",)) as writer:
        writer.write(result, None)
    assert [row["hidden_by"] for row in rows(tmp_path / "a.csv")] == ["", "", "5 2"]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.text(st.characters(codec="utf-8"), max_size=8),
    score=st.floats(0, 1, width=32),
    corners=hnp.arrays(np.float32, 4, elements=st.floats(-1e6, 1e6, width=32)),
    time=st.none() | st.floats(0, 1e6),
)
def test_every_number_and_name_reads_back_as_it_was(tmp_path, name, score, corners, time):
    corners = np.concatenate([np.minimum(corners[:2], corners[2:]), np.maximum(corners[:2], corners[2:])])
    result = FrameResult(3, HEIGHT, WIDTH, [7], [0], [score], corners[None], [rle.empty(HEIGHT, WIDTH)])
    with CsvWriter(tmp_path / "a.csv", (name,), overwrite=True) as writer:
        writer.write(result, time)
    (row,) = rows(tmp_path / "a.csv")
    assert row["label"] == name
    assert np.float32(row["score"]) == np.float32(score)
    assert [np.float32(row[key]) for key in ("x0", "y0", "x1", "y1")] == corners.tolist()
    assert row["time"] == "" if time is None else float(row["time"]) == time


def test_a_video_without_frames_gives_the_names_of_the_columns(tmp_path):
    with CsvWriter(tmp_path / "a.csv", ()):
        pass
    assert (tmp_path / "a.csv").read_text() == HEADER + "\n"


def test_rows_are_on_disk_when_they_are_written_and_files_are_kept(tmp_path):
    with pytest.raises(RuntimeError), CsvWriter(tmp_path / "a.csv", ("dog", "cat")) as writer:
        writer.write(two_objects(0), 0.0)
        assert len(rows(tmp_path / "a.csv")) == 2
        raise RuntimeError
    assert len(rows(tmp_path / "a.csv")) == 2
    with pytest.raises(OutputExistsError, match="Use --overwrite"):
        CsvWriter(tmp_path / "a.csv", ("dog",))


def test_frames_out_of_order_and_labels_without_a_name_are_refused(tmp_path):
    with CsvWriter(tmp_path / "a.csv", ("dog",)) as writer:
        with pytest.raises(ValueError, match="label 1 of 1 classes"):
            writer.write(two_objects(0), None)
        writer.write(FrameResult.empty(2, HEIGHT, WIDTH), None)
        with pytest.raises(ValueError, match="Frame 2 came after frame 2"):
            writer.write(FrameResult.empty(2, HEIGHT, WIDTH), None)
