"""Masks as png folders and npz, read back with numpy and OpenCV alone."""

from __future__ import annotations

import errno
import os
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vos_occ.results import IdPngWriter, MasksNpzWriter, TrackPngWriter
from vos_occ.results import masks_npz as masks_npz_module
from vos_occ.structures import FrameResult, InputError, OutputExistsError, UserError, rle

HEIGHT, WIDTH = 6, 7
CLASSES = ("dog", "kätzchen")


def frame(
    index: int, masks: list[np.ndarray], ids: list[int] | None = None, hidden: list[float] | None = None
) -> FrameResult:
    count = len(masks)
    return FrameResult(
        index,
        HEIGHT,
        WIDTH,
        list(range(1, count + 1)) if ids is None else ids,
        [i % 2 for i in range(count)],
        np.linspace(0.3, 0.8, count, dtype=np.float32),
        np.array([rle.bounding_box(rle.encode(m)) for m in masks], np.float32).reshape(-1, 4),
        [rle.encode(m) for m in masks],
        hidden=None if hidden is None else np.array(hidden, np.float32),
    )


def box(x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[y0:y1, x0:x1] = True
    return mask


def read_png(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert image is not None
    return image


def read_npz(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:  # allow_pickle is False
        return dict(file)


def npz_mask(data: dict[str, np.ndarray], i: int) -> np.ndarray:
    """The decoder of docs/formats.md."""
    start = data["run_ends"][i - 1] if i else 0
    runs = data["runs"][start : data["run_ends"][i]]
    height, width = data["size"]
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height).T


masks = st.lists(hnp.arrays(np.bool_, (HEIGHT, WIDTH)), max_size=3)
videos = st.lists(masks, max_size=4)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(video=videos, gap=st.integers(1, 3))
def test_an_npz_holds_every_mask_to_the_pixel(tmp_path, video, gap):
    path = tmp_path / "m.npz"
    results = [frame(t * gap, objects) for t, objects in enumerate(video)]
    with MasksNpzWriter(path, HEIGHT, WIDTH, CLASSES, overwrite=True) as writer:
        for result in results:
            writer.write(result, result.frame_index / 10)
    data = read_npz(path)
    expected = [(result, i) for result in results for i in range(len(result))]
    assert len(data["frame"]) == len(expected)
    for row, (result, i) in enumerate(expected):
        np.testing.assert_array_equal(npz_mask(data, row), rle.decode(result.masks[i]))
        assert (data["frame"][row], data["track_id"][row]) == (result.frame_index, result.track_ids[i])
        assert (data["label"][row], data["score"][row]) == (result.labels[i], result.scores[i])
        np.testing.assert_array_equal(data["box"][row], result.boxes[i])
    assert np.isnan(data["hidden"]).all()
    assert data["frames"].tolist() == [result.frame_index for result in results]
    np.testing.assert_array_equal(data["times"], [result.frame_index / 10 for result in results])
    assert data["size"].tolist() == [HEIGHT, WIDTH] and data["classes"].tolist() == list(CLASSES)


def test_an_npz_has_a_fixed_type_for_each_column_also_when_it_is_empty(tmp_path):
    with MasksNpzWriter(tmp_path / "m.npz", HEIGHT, WIDTH, ()):
        pass
    found = {name: (array.dtype.str, array.shape) for name, array in read_npz(tmp_path / "m.npz").items()}
    assert found.pop("classes")[1] == (0,)
    assert found == {
        "frame": ("<i8", (0,)),
        "track_id": ("<i8", (0,)),
        "label": ("<i8", (0,)),
        "score": ("<f4", (0,)),
        "box": ("<f4", (0, 4)),
        "hidden": ("<f4", (0,)),
        "run_ends": ("<i8", (0,)),
        "runs": ("<u4", (0,)),
        "frames": ("<i8", (0,)),
        "times": ("<f8", (0,)),
        "size": ("<i8", (2,)),
    }


def test_what_is_unknown_is_nan_in_an_npz(tmp_path):
    with MasksNpzWriter(tmp_path / "m.npz", HEIGHT, WIDTH, CLASSES) as writer:
        writer.write(frame(0, [box(0, 0, 2, 2), box(1, 1, 3, 3)], hidden=[0.25, np.nan]), None)
    data = read_npz(tmp_path / "m.npz")
    np.testing.assert_array_equal(data["hidden"], np.array([0.25, np.nan], np.float32))
    np.testing.assert_array_equal(data["times"], [np.nan])


def test_an_npz_is_whole_or_absent(tmp_path):
    with pytest.raises(RuntimeError), MasksNpzWriter(tmp_path / "m.npz", HEIGHT, WIDTH, CLASSES) as writer:
        writer.write(frame(0, [box(0, 0, 2, 2)]), 0.0)
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    writer.close()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="closed"):
        writer.write(frame(1, []), None)


def test_while_it_grows_nothing_of_an_npz_lies_in_the_folder(tmp_path):
    writer = MasksNpzWriter(tmp_path / "m.npz", HEIGHT, WIDTH, CLASSES)
    writer.write(frame(0, [box(0, 0, 2, 2)]), 0.0)
    assert list(tmp_path.iterdir()) == []
    writer.close()
    writer.close()
    assert list(tmp_path.iterdir()) == [tmp_path / "m.npz"]


def test_an_npz_refuses_frames_out_of_order_and_of_another_size(tmp_path):
    with MasksNpzWriter(tmp_path / "m.npz", HEIGHT, WIDTH + 1, CLASSES) as writer:
        with pytest.raises(ValueError, match="differs from the video's size"):
            writer.write(frame(0, []), None)
        writer.write(FrameResult.empty(3, HEIGHT, WIDTH + 1), None)
        with pytest.raises(ValueError, match="Frame 3 came after frame 3"):
            writer.write(FrameResult.empty(3, HEIGHT, WIDTH + 1), None)
    assert read_npz(tmp_path / "m.npz")["frames"].tolist() == [3]


def test_a_full_disk_is_one_line_and_no_npz_of_half_a_frame(tmp_path, monkeypatch):
    writer = MasksNpzWriter(tmp_path / "m.npz", HEIGHT, WIDTH, CLASSES)
    writer.write(frame(0, [box(0, 0, 2, 2)]), None)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(masks_npz_module._Column, "append", full)
    with pytest.raises(UserError, match="Cannot write '.*m.npz': No space left on device"):
        writer.write(frame(1, [box(0, 0, 2, 2)]), None)
    monkeypatch.undo()
    writer.close()
    assert list(tmp_path.iterdir()) == []


def test_memory_does_not_grow_with_the_video(tmp_path):
    noise = np.random.default_rng(0).random((64, 64)) < 0.5
    mask = rle.encode(noise)
    boxes = np.array([[0, 0, 64, 64]], np.float32)

    def write(start: int, stop: int) -> int:
        tracemalloc.reset_peak()
        for t in range(start, stop):
            writer.write(FrameResult(t, 64, 64, [1], [0], [0.5], boxes, [mask]), None)
        return tracemalloc.get_traced_memory()[1]

    tracemalloc.start()
    try:
        with MasksNpzWriter(tmp_path / "m.npz", 64, 64, ("dog",)) as writer:
            early = write(0, 50)
            late = write(50, 1000)
        closing = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    spooled = read_npz(tmp_path / "m.npz")["runs"].nbytes
    assert spooled > 4_000_000
    assert late < early + 50_000
    assert closing < early + 1_000_000  # the compressor's window and one copying buffer


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(owners=hnp.arrays(np.int8, (HEIGHT, WIDTH), elements=st.integers(0, 3)))
def test_disjoint_masks_read_back_from_an_id_picture(tmp_path, owners):
    ids = [65535, 2, 1234]
    result = frame(3, [owners == i + 1 for i in range(3)], ids)
    image = read_png(IdPngWriter(tmp_path, overwrite=True).write(result))
    assert image.dtype == np.uint16
    np.testing.assert_array_equal(image, np.array([0, *ids], np.uint16)[owners])


def test_where_masks_overlap_the_id_picture_shows_the_higher_score(tmp_path):
    result = frame(0, [box(0, 0, 4, 4), box(2, 2, 6, 6)])  # scores rise with the index
    image = read_png(IdPngWriter(tmp_path).write(result))
    assert image[0, 0] == 1 and (image[2:4, 2:4] == 2).all()


def test_an_id_that_needs_more_than_16_bits_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(InputError, match="up to 65535, found 65536"):
        IdPngWriter(tmp_path).write(frame(0, [box(0, 0, 1, 1)], [65536]))
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(video=videos)
def test_every_track_has_its_own_masks_overlaps_kept(tmp_path_factory, video):
    folder = tmp_path_factory.mktemp("tracks")
    writer = TrackPngWriter(folder)
    expected = {}
    for t, objects in enumerate(video):
        paths = writer.write(frame(t, objects))
        expected |= {folder / f"track_{i + 1:06d}" / f"{t:06d}.png": m for i, m in enumerate(objects) if m.any()}
        assert set(paths) <= set(expected)
    assert {path for path in folder.rglob("*") if path.is_file()} == set(expected)
    for path, mask in expected.items():
        image = read_png(path)
        assert image.dtype == np.uint8
        np.testing.assert_array_equal(image, mask * np.uint8(255))


@pytest.mark.parametrize("writer", [IdPngWriter, TrackPngWriter])
def test_png_folders_are_kept_unless_asked(tmp_path, writer):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputExistsError, match="is not empty. Use --overwrite"):
        writer(tmp_path)
    again = writer(tmp_path, overwrite=True)
    again.write(frame(4, [box(0, 0, 2, 2)]))
    again.write(frame(5, [box(0, 0, 2, 2)]))
    with pytest.raises(ValueError, match="Frame 5 came after frame 5"):
        again.write(frame(5, []))
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert len(list(tmp_path.rglob("*.png"))) == 2


def test_overwriting_removes_the_pictures_of_the_run_before_and_nothing_else(tmp_path):
    first = TrackPngWriter(tmp_path)
    first.write(frame(0, [box(0, 0, 2, 2), box(0, 0, 2, 2), box(0, 0, 2, 2)]))
    (tmp_path / "track_000003" / "notes.txt").write_text("mine")
    TrackPngWriter(tmp_path, overwrite=True).write(frame(7, [box(0, 0, 2, 2)]))
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert left == ["track_000001/000007.png", "track_000003/notes.txt"]
    assert not (tmp_path / "track_000002").exists()
