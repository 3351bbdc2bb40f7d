"""MOT text and MOTS PNG."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vos_occ.results import MotsPngWriter, MotWriter
from vos_occ.structures import FrameResult, InputError, OutputExistsError, rle

HEIGHT, WIDTH = 6, 7


def frame(index: int, ids: list[int], labels: list[int], scores: list[float], boxes: list[list[float]]) -> FrameResult:
    masks = [rle.from_box(box, HEIGHT, WIDTH) for box in boxes]
    corners = np.array(boxes, np.float32).reshape(-1, 4)
    return FrameResult(index, HEIGHT, WIDTH, ids, labels, scores, corners, masks)


def read_png(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert image is not None and image.dtype == np.uint16
    return image


def test_mot_lines_count_frames_and_pixels_from_one(tmp_path):
    with MotWriter(tmp_path / "a.txt") as writer:
        writer.write(frame(0, [3], [0], [0.5], [[0, 2, 4, 5.5]]))
        writer.write(FrameResult.empty(1, HEIGHT, WIDTH))
        writer.write(frame(2, [3, 9], [0, 1], [1.0, 0.25], [[1, 1, 2, 2], [0, 0, 7, 6]]))
    assert (tmp_path / "a.txt").read_text().splitlines() == [
        "1,3,1.000,3.000,4.000,3.500,0.500000,-1,-1,-1",
        "3,3,2.000,2.000,1.000,1.000,1.000000,-1,-1,-1",
        "3,9,1.000,1.000,7.000,6.000,0.250000,-1,-1,-1",
    ]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(corners=hnp.arrays(np.float32, (3, 4), elements=st.floats(-100, 4000, width=32)))
def test_mot_boxes_read_back_within_the_written_digits(tmp_path, corners):
    corners = np.concatenate(
        [np.minimum(corners[:, :2], corners[:, 2:]), np.maximum(corners[:, :2], corners[:, 2:])], 1
    )
    result = FrameResult(8, HEIGHT, WIDTH, [4, 2, 6], [0] * 3, [0.5] * 3, corners, [rle.empty(HEIGHT, WIDTH)] * 3)
    with MotWriter(tmp_path / "a.txt", overwrite=True) as writer:
        writer.write(result)
    rows = np.loadtxt(tmp_path / "a.txt", delimiter=",")
    x0y0 = rows[:, 2:4] - 1
    np.testing.assert_allclose(np.concatenate([x0y0, x0y0 + rows[:, 4:6]], 1), corners, atol=1.1e-3)
    assert (rows[:, 0] == 9).all() and rows[:, 1].tolist() == [4, 2, 6]


def test_a_mot_file_of_a_video_without_objects_is_empty_but_there(tmp_path):
    with MotWriter(tmp_path / "a.txt") as writer:
        writer.write(FrameResult.empty(0, HEIGHT, WIDTH))
    assert (tmp_path / "a.txt").read_text() == ""


def test_mot_frames_come_in_order_and_files_are_kept(tmp_path):
    with MotWriter(tmp_path / "a.txt") as writer:
        writer.write(FrameResult.empty(4, HEIGHT, WIDTH))
        with pytest.raises(ValueError, match="Frame 4 came after frame 4"):
            writer.write(FrameResult.empty(4, HEIGHT, WIDTH))
    with pytest.raises(OutputExistsError, match="Use --overwrite"):
        MotWriter(tmp_path / "a.txt")
    with pytest.raises(ValueError, match="closed"):
        writer.write(frame(5, [1], [0], [0.5], [[0, 0, 1, 1]]))


@given(
    labels=st.lists(st.integers(0, 3), max_size=4),
    masks=hnp.arrays(np.int8, (HEIGHT, WIDTH), elements=st.integers(0, 4)),
)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_disjoint_masks_read_back_from_a_mots_png(tmp_path, labels, masks):
    ids = [7 * i + 1 for i in range(len(labels))]
    encoded = [rle.encode(masks == i + 1) for i in range(len(labels))]
    boxes = np.zeros((len(labels), 4), np.float32)
    result = FrameResult(3, HEIGHT, WIDTH, ids, labels, [0.5] * len(labels), boxes, encoded)
    image = read_png(MotsPngWriter(tmp_path, overwrite=True).write(result))
    for track_id, label, mask in zip(ids, labels, encoded, strict=True):
        np.testing.assert_array_equal(image == 1000 * (label + 1) + track_id, rle.decode(mask))
    assert np.isin(image, [0, *(1000 * (label + 1) + i for label, i in zip(labels, ids, strict=True))]).all()


@pytest.mark.parametrize(("scores", "owner"), [([0.9, 0.4], 1001), ([0.4, 0.9], 1002)])
def test_where_masks_overlap_the_higher_score_wins(tmp_path, scores, owner):
    result = frame(0, [1, 2], [0, 0], scores, [[0, 0, 4, 4], [2, 2, 6, 6]])
    image = read_png(MotsPngWriter(tmp_path).write(result))
    assert (image[2:4, 2:4] == owner).all()
    assert image[0, 0] == 1001 and image[5, 5] == 1002


def test_images_are_named_by_frame_from_zero(tmp_path):
    writer = MotsPngWriter(tmp_path / "masks")
    writer.write(FrameResult.empty(0, HEIGHT, WIDTH))
    writer.write(FrameResult.empty(12, HEIGHT, WIDTH))
    assert sorted(p.name for p in (tmp_path / "masks").iterdir()) == ["000000.png", "000012.png"]
    assert not read_png(tmp_path / "masks" / "000012.png").any()


def test_a_track_keeps_the_class_of_its_first_frame(tmp_path):
    writer = MotsPngWriter(tmp_path, class_ids=[2, 1])
    writer.write(frame(0, [5], [0], [0.5], [[0, 0, 2, 2]]))
    image = read_png(writer.write(frame(1, [5], [1], [0.5], [[0, 0, 2, 2]])))
    assert image[0, 0] == 2005


@pytest.mark.parametrize(
    ("track_id", "label", "class_ids", "message"),
    [
        (1000, 0, None, "instance numbers up to 999, found track id 1000"),
        (1, 64, None, "class ids 1 to 64, found 65"),
        (1, 0, [0], "class ids 1 to 64, found 0"),
        (1, 1, [1], "Label 1 has no class id"),
    ],
)
def test_what_does_not_fit_into_16_bits_is_refused_before_anything_is_written(
    tmp_path, track_id, label, class_ids, message
):
    with pytest.raises(InputError, match=message):
        MotsPngWriter(tmp_path, class_ids).write(frame(0, [track_id], [label], [0.5], [[0, 0, 2, 2]]))
    assert list(tmp_path.iterdir()) == []


def test_the_largest_ids_fit(tmp_path):
    image = read_png(MotsPngWriter(tmp_path).write(frame(0, [999], [63], [0.5], [[0, 0, 2, 2]])))
    assert image[0, 0] == 64999


def test_a_folder_with_files_is_kept_unless_asked_and_then_only_old_frames_go(tmp_path):
    for name in ("000007.png", "notes.txt"):
        (tmp_path / name).write_text("old")
    with pytest.raises(OutputExistsError, match="is not empty. Use --overwrite"):
        MotsPngWriter(tmp_path)
    MotsPngWriter(tmp_path, overwrite=True).write(FrameResult.empty(0, HEIGHT, WIDTH))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["000000.png", "notes.txt"]
