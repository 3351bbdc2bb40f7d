"""MOTS text files, read back by the evaluator."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from eval.masks import MaskTable, find_overlaps
from eval.readers.mots import parse_mots
from vos_occ.results import MotsPngWriter, MotsTxtWriter
from vos_occ.results.mots_objects import AppearanceIds
from vos_occ.structures import FrameResult, InputError, OutputExistsError, rle
from vos_occ.structures.errors import UserError

HEIGHT, WIDTH = 6, 7


def frame(index: int, masks: list[np.ndarray], labels: list[int], scores: list[float]) -> FrameResult:
    ids = [3 * i + 1 for i in range(len(masks))]
    boxes = np.zeros((len(masks), 4), np.float32)
    return FrameResult(index, HEIGHT, WIDTH, ids, labels, scores, boxes, [rle.encode(mask) for mask in masks])


def box(x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[y0:y1, x0:x1] = True
    return mask


def read(path: Path, first_frame: int = 0, num_frames: int | None = None) -> MaskTable:
    return parse_mots(path.read_bytes(), path.name).table(first_frame, num_frames)


objects = st.lists(
    st.tuples(hnp.arrays(np.bool_, (HEIGHT, WIDTH)), st.integers(0, 1), st.sampled_from([0.2, 0.5, 0.9])), max_size=4
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(frames=st.lists(objects, min_size=1, max_size=3), first_frame=st.sampled_from([0, 1]))
def test_what_is_read_back_is_what_the_png_writer_paints(tmp_path, frames, first_frame):
    path = tmp_path / "0000.txt"
    png = MotsPngWriter(tmp_path / "png", overwrite=True)
    painted = []
    with MotsTxtWriter(path, first_frame=first_frame, overwrite=True) as writer:
        for t, things in enumerate(frames):
            result = frame(t, [m for m, _, _ in things], [k for _, k, _ in things], [s for _, _, s in things])
            writer.write(result)
            painted.append(cv2.imread(str(png.write(result)), cv2.IMREAD_UNCHANGED))
    table = read(path, first_frame, len(frames))
    images = np.zeros((len(frames), HEIGHT, WIDTH), np.uint16)
    for row in range(len(table)):
        mask = rle.decode(table.rle(row))
        assert mask.any() and table.ids[row] // 1000 == table.categories[row]
        images[table.frames[row]][mask] = table.ids[row]
    np.testing.assert_array_equal(images, np.array(painted))
    assert not len(find_overlaps(table))


def test_masks_that_overlap_nothing_are_written_as_they_are(tmp_path):
    result = frame(4, [box(0, 0, 3, 3), box(4, 1, 6, 6)], [0, 1], [0.5, 0.9])
    with MotsTxtWriter(tmp_path / "a.txt", class_ids=[2, 1]) as writer:
        writer.write(result)
    counts = [mask["counts"] for mask in result.masks]
    assert (tmp_path / "a.txt").read_text().splitlines() == [
        f"4 2001 2 6 7 {counts[0]}",
        f"4 1004 1 6 7 {counts[1]}",
    ]


@pytest.mark.parametrize(("scores", "areas"), [([0.9, 0.4], [9, 5]), ([0.4, 0.9], [5, 9])])
def test_where_masks_overlap_the_higher_score_wins(tmp_path, scores, areas):
    with MotsTxtWriter(tmp_path / "a.txt") as writer:
        writer.write(frame(0, [box(0, 0, 3, 3), box(1, 1, 4, 4)], [0, 0], scores))
    table = read(tmp_path / "a.txt")
    assert [rle.area(table.rle(row)) for row in range(2)] == areas


def test_an_object_without_a_pixel_of_its_own_has_no_line(tmp_path):
    with MotsTxtWriter(tmp_path / "a.txt") as writer:
        writer.write(frame(0, [box(1, 1, 2, 2), box(0, 0, 4, 4), box(0, 0, 0, 0)], [0, 0, 0], [0.5, 0.9, 0.9]))
    assert read(tmp_path / "a.txt").ids.tolist() == [1004]


def test_a_track_keeps_the_class_of_its_first_frame(tmp_path):
    with MotsTxtWriter(tmp_path / "a.txt", class_ids=[2, 1]) as writer:
        writer.write(frame(0, [box(0, 0, 2, 2)], [0], [0.5]))
        writer.write(frame(1, [box(0, 0, 2, 2)], [1], [0.5]))
    assert read(tmp_path / "a.txt").categories.tolist() == [2, 2]


@pytest.mark.parametrize(
    ("class_ids", "label", "message"),
    [
        ([10], 0, "keeps class id 10 for ignored regions"),
        ([0], 0, "class ids 1 to 64, found 0"),
        ([1], 1, "Label 1 has no class id"),
    ],
)
def test_what_does_not_fit_is_refused_and_no_file_appears(tmp_path, class_ids, label, message):
    with pytest.raises(InputError, match=message), MotsTxtWriter(tmp_path / "a.txt", class_ids) as writer:
        writer.write(frame(0, [box(0, 0, 2, 2)], [label], [0.5]))
    assert list(tmp_path.iterdir()) == []


def test_a_track_id_of_1000_does_not_fit(tmp_path):
    boxes = np.zeros((1, 4), np.float32)
    result = FrameResult(0, HEIGHT, WIDTH, [1000], [0], [0.5], boxes, [rle.encode(box(0, 0, 2, 2))])
    with pytest.raises(InputError, match="MOTS text holds instance numbers up to 999"):
        MotsTxtWriter(tmp_path / "a.txt").write(result)


def test_a_file_is_kept_unless_asked_and_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(OutputExistsError, match="already exists. Use --overwrite"):
        MotsTxtWriter(path)
    writer = MotsTxtWriter(path, overwrite=True)
    writer.write(frame(0, [box(0, 0, 2, 2)], [0], [0.5]))
    assert path.read_text() == "old"
    writer.close()
    writer.close()
    assert len(read(path)) == 1
    with pytest.raises(ValueError, match="is closed"):
        writer.write(FrameResult.empty(1, HEIGHT, WIDTH))


def test_a_video_without_objects_has_an_empty_file(tmp_path):
    with MotsTxtWriter(tmp_path / "results" / "a.txt") as writer:
        writer.write(FrameResult.empty(0, HEIGHT, WIDTH))
    assert (tmp_path / "results" / "a.txt").read_text() == ""


def test_frames_come_in_order(tmp_path):
    writer = MotsTxtWriter(tmp_path / "a.txt")
    writer.write(FrameResult.empty(3, HEIGHT, WIDTH))
    with pytest.raises(ValueError, match="written in order"):
        writer.write(FrameResult.empty(3, HEIGHT, WIDTH))


def test_a_place_that_cannot_be_written_is_said_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Cannot write"), MotsTxtWriter(tmp_path / "file" / "a.txt") as writer:
        writer.write(FrameResult.empty(0, HEIGHT, WIDTH))


def test_tracks_of_a_class_are_numbered_as_they_appear(tmp_path):
    with MotsTxtWriter(tmp_path / "a.txt", class_ids=[1, 2], renumber=True) as writer:
        for t, (track_id, label) in enumerate([(70_000, 1), (5, 0), (70_000, 1), (6, 0)]):
            writer.write(replace(frame(t, [box(0, 0, 2, 2)], [label], [0.5]), track_ids=np.array([track_id])))
    table = read(tmp_path / "a.txt")
    assert table.ids.tolist() == [2001, 1001, 2001, 1002] and table.categories.tolist() == [2, 1, 2, 1]


def test_a_class_of_more_than_999_tracks_goes_on_with_ids_of_no_class(monkeypatch):
    """Else a benchmark's run would end in an error after hours."""
    ids = AppearanceIds("MOTS text", [1, 2])
    one = frame(0, [box(0, 0, 2, 2)], [0], [0.5])
    numbered = [ids.of(replace(one, track_ids=np.array([k])))[0] for k in range(1, 1003)]
    assert numbered[998:] == [(1, 1999), (1, 20000), (1, 20001), (1, 20002)]
    monkeypatch.setattr("vos_occ.results.mots_objects.MAX_OBJECT_ID", 20_002)
    with pytest.raises(InputError, match="which the tracks of this video have used up. Keep fewer"):
        ids.of(replace(one, track_ids=np.array([1003])))
