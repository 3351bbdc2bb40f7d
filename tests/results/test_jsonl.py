"""Result files of schema vos_occ/1: round trip, interruption, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vos_occ.results import Header, JsonlWriter, read_jsonl
from vos_occ.structures import FrameResult, InputError, OcclusionOrder, OutputExistsError, SchemaError, rle

HEIGHT, WIDTH = 5, 6
HEADER = Header("clip.mp4", WIDTH, HEIGHT, 25.0, 3, ("cat", "dög"), "masktrack", None)


@st.composite
def frame_results(draw: st.DrawFn) -> FrameResult:
    """Any frame, in the form in which a reader gives it back: what is unknown for all objects is None."""
    count = draw(st.integers(0, 3))
    masks = draw(hnp.arrays(bool, (count, HEIGHT, WIDTH)))
    occluders = [rle.encode(~m) if draw(st.booleans()) else None for m in masks]
    hidden = draw(hnp.arrays(np.float32, count, elements=st.floats(0, 1, width=32) | st.just(np.nan)))
    order = draw(hnp.arrays(bool, (count, count))) & ~np.eye(count, dtype=bool)
    corners = draw(hnp.arrays(np.float32, (count, 4), elements=st.floats(-1e6, 1e6, width=32)))
    return FrameResult(
        frame_index=draw(st.integers(0, 10**6)),
        height=HEIGHT,
        width=WIDTH,
        track_ids=np.array(draw(st.lists(st.integers(1, 10**9), min_size=count, max_size=count, unique=True)), int),
        labels=draw(hnp.arrays(np.int64, count, elements=st.integers(0, 1))),
        scores=draw(hnp.arrays(np.float32, count, elements=st.floats(0, 1, width=32))),
        boxes=np.concatenate(
            [np.minimum(corners[:, :2], corners[:, 2:]), np.maximum(corners[:, :2], corners[:, 2:])], 1
        ),
        masks=[rle.encode(mask) for mask in masks],
        occluder_masks=occluders if any(occluders) else None,
        hidden=None if np.isnan(hidden).all() else hidden,
        order=OcclusionOrder(order) if order.any() else None,
    )


def assert_same(a: FrameResult, b: FrameResult) -> None:
    assert (a.frame_index, a.height, a.width, a.masks) == (b.frame_index, b.height, b.width, b.masks)
    assert a.occluder_masks == b.occluder_masks
    for name in ("track_ids", "labels", "scores", "boxes"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), strict=True)
    assert (a.hidden is None, a.order is None) == (b.hidden is None, b.order is None)
    if a.hidden is not None and b.hidden is not None:
        np.testing.assert_array_equal(a.hidden, b.hidden, strict=True)
    if a.order is not None and b.order is not None:
        np.testing.assert_array_equal(a.order.matrix, b.order.matrix)


def one_object(frame_index: int = 0, **changes: Any) -> FrameResult:
    fields: dict[str, Any] = {
        "frame_index": frame_index,
        "height": HEIGHT,
        "width": WIDTH,
        "track_ids": np.array([3]),
        "labels": np.array([1]),
        "scores": np.array([0.1], np.float32),
        "boxes": np.array([[0.1, 1, 3, 4]], np.float32),
        "masks": [rle.from_box((0, 1, 3, 4), HEIGHT, WIDTH)],
    }
    return FrameResult(**(fields | changes))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sub" / "result.jsonl"


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    frames=st.lists(frame_results(), max_size=3, unique_by=lambda f: f.frame_index),
    times=st.lists(st.none() | st.floats(0, 1e6), min_size=3, max_size=3),
)
def test_what_is_written_reads_back_bit_for_bit(path, frames, times):
    frames.sort(key=lambda f: f.frame_index)
    with JsonlWriter(path, HEADER, overwrite=True) as writer:
        for frame, time in zip(frames, times, strict=False):
            writer.write(frame, time)
    video = read_jsonl(path)
    assert (video.header, video.torn, len(video)) == (HEADER, False, len(frames))
    assert video.times == times[: len(frames)]
    for read, written in zip(video.frames, frames, strict=True):
        assert_same(read, written)


def test_the_lines_are_those_of_the_schema(path):
    with JsonlWriter(path, HEADER) as writer:
        writer.write(FrameResult.empty(0, HEIGHT, WIDTH), 0.0)
        writer.write(one_object(1, hidden=np.array([np.nan], np.float32)), None)
    header, empty, frame = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    assert header == {
        "type": "header",
        "schema": "vos_occ/1",
        "video": "clip.mp4",
        "width": 6,
        "height": 5,
        "fps": 25.0,
        "frames": 3,
        "classes": ["cat", "dög"],
        "box": "xyxy pixels, end-exclusive",
        "model": "masktrack",
        "checkpoint_sha256": None,
    }
    assert empty == {"type": "frame", "frame_index": 0, "time": 0.0, "objects": []}
    assert frame == {
        "type": "frame",
        "frame_index": 1,
        "time": None,
        "objects": [
            {
                "track_id": 3,
                "label": "dög",
                "label_id": 1,
                "score": 0.1,
                "box": [0.1, 1, 3, 4],
                "mask": dict(one_object().masks[0]),
                "occluder": None,
                "hidden": None,
                "hidden_by": [],
            }
        ],
    }


def test_each_frame_is_on_disk_before_the_next(path):
    writer = JsonlWriter(path, HEADER)
    writer.write(one_object(0), 0.0)
    assert len(read_jsonl(path)) == 1
    writer.write(one_object(1), 0.04)
    assert len(read_jsonl(path)) == 2
    writer.close()
    writer.close()


def test_a_torn_last_line_costs_only_that_frame_wherever_it_is_cut(path):
    with JsonlWriter(path, HEADER) as writer:
        writer.write(one_object(0), 0.0)
        writer.write(one_object(1), 0.0)
    content = path.read_bytes()
    begin = content.rstrip(b"\n").rindex(b"\n") + 1
    for cut in range(begin + 1, len(content) - 1):
        path.write_bytes(content[:cut])
        video = read_jsonl(path)
        assert (len(video), video.torn) == (1, True), cut
    path.write_bytes(content[:-1])
    assert (len(read_jsonl(path)), read_jsonl(path).torn) == (2, False), "only the newline is missing"


def test_a_video_without_frames_leaves_its_header(path):
    with JsonlWriter(path, HEADER):
        pass
    assert read_jsonl(path).frames == []


def test_a_failure_before_the_first_frame_keeps_the_old_file(path):
    with JsonlWriter(path, HEADER) as writer:
        writer.write(one_object(0), 0.0)
    before = path.read_bytes()
    with pytest.raises(RuntimeError), JsonlWriter(path, HEADER, overwrite=True):
        raise RuntimeError
    assert path.read_bytes() == before


def test_an_existing_file_is_not_overwritten_unless_asked(path):
    with JsonlWriter(path, HEADER):
        pass
    with pytest.raises(OutputExistsError, match=r"result\.jsonl' already exists. Use --overwrite to replace."):
        JsonlWriter(path, HEADER)
    with JsonlWriter(path, HEADER, overwrite=True) as writer:
        writer.write(one_object(0), 0.0)
    assert len(read_jsonl(path)) == 1


def test_frames_out_of_order_of_another_size_or_class_are_refused_and_leave_whole_lines(path):
    with JsonlWriter(path, HEADER) as writer:
        writer.write(one_object(5), 0.0)
        for bad in (one_object(5), one_object(4), FrameResult.empty(6, 9, 9), one_object(6, labels=np.array([2]))):
            with pytest.raises(ValueError, match="FrameResult|Frame"):
                writer.write(bad, None)
        with pytest.raises(ValueError, match="has time nan"):
            writer.write(one_object(6), float("nan"))
    assert [frame.frame_index for frame in read_jsonl(path).frames] == [5]


def edited(field: str, value: object) -> Callable[[dict[str, Any]], None]:
    """Sets a field of the frame's first object."""
    return lambda frame: frame["objects"][0].__setitem__(field, value)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (edited("score", 1.7), "score outside"),
        (edited("score", True), r"objects\[0\].score is True, expected number"),
        (edited("score", None), r"objects\[0\].score is None, expected number"),
        (edited("track_id", 0), "track ids start at 1"),
        (edited("track_id", 1.5), r"objects\[0\].track_id is 1.5, expected int"),
        (edited("track_id", 10**30), "too large|too big"),
        (edited("label_id", 2), "do not name one of the header's classes"),
        (edited("label", "cat"), "do not name one of the header's classes"),
        (edited("box", [1, 2, 3]), "expected four numbers"),
        (edited("box", [3, 1, 1, 4]), "ends before it begins"),
        (edited("box", [0, 0, 1e300, 4]), "not finite"),
        (edited("mask", None), r"objects\[0\].mask is None, expected dict"),
        (edited("mask", {"size": [6, 5], "counts": "n0"}), r"objects\[0\].mask: size must be \[5, 6\]"),
        (edited("mask", {"size": [5, 6], "counts": "1"}), "do not add up to 5x6"),
        (edited("occluder", {"size": [5, 6], "counts": [30]}), r"objects\[0\].occluder: counts must be"),
        (edited("hidden", -0.5), "hidden fraction outside"),
        (edited("hidden_by", [9]), r"hidden_by names 9, which is no track of this frame"),
        (edited("hidden_by", [3]), "hide itself"),
        (lambda frame: frame["objects"][0].pop("hidden"), r"objects\[0\].hidden is missing"),
        (lambda frame: frame["objects"].append(7), r"objects\[1\] is not a JSON object"),
        (lambda frame: frame.pop("time"), "time is missing"),
        (lambda frame: frame.update(type="header"), "expected a line of type 'frame'"),
        (lambda frame: frame.update(time="now"), "time is 'now', expected number or null"),
        (lambda frame: frame.update(frame_index=0), "frame 0 comes after frame 0"),
        (lambda frame: frame.update(frame_index=-1), "negative"),
    ],
)
def test_a_wrong_field_is_named_with_file_line_and_cure(path, edit, message):
    with JsonlWriter(path, HEADER) as writer:
        writer.write(FrameResult.empty(0, HEIGHT, WIDTH), 0.0)
        writer.write(one_object(1), 0.0)
    lines = path.read_text(encoding="utf-8").splitlines()
    frame = json.loads(lines[2])
    edit(frame)
    path.write_text("\n".join([*lines[:2], json.dumps(frame)]) + "\n", encoding="utf-8")
    with pytest.raises(SchemaError, match=message) as error:
        read_jsonl(path)
    assert "result.jsonl, line 3: " in str(error.value)
    assert str(error.value).endswith("Fix the line or write the file again.")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"hello\n", "line 1: not a JSON line"),
        (b"\xff\xfe\n", "line 1: not a JSON line"),
        (b"[]\n", "line 1: expected a JSON object"),
        (b'{"type": "header", "schema": "vos_occ/9"}\n', "expected a header of schema vos_occ/1"),
        (b'{"type": "frame"}\n', "expected a header"),
        (b'{"type": "header", "sch', "line 1: not a JSON line"),
    ],
)
def test_a_file_that_is_no_result_file_is_refused(tmp_path, content, message):
    (tmp_path / "x.jsonl").write_bytes(content)
    with pytest.raises(SchemaError, match=message):
        read_jsonl(tmp_path / "x.jsonl")


def test_a_broken_line_that_is_not_the_last_is_an_error(path):
    with JsonlWriter(path, HEADER) as writer:
        writer.write(one_object(0), 0.0)
    path.write_bytes(path.read_bytes() + b'{"type": "fra\n')
    with pytest.raises(SchemaError, match="line 3: not a JSON line"):
        read_jsonl(path)


def test_nan_in_a_file_is_refused(path):
    with JsonlWriter(path, HEADER) as writer:
        writer.write(one_object(0), 0.0)
    path.write_bytes(path.read_bytes().replace(b'"hidden":null', b'"hidden":NaN'))
    with pytest.raises(SchemaError, match="NaN is not JSON"):
        read_jsonl(path)


def test_a_number_too_large_to_be_one_is_refused(path):
    with JsonlWriter(path, HEADER) as writer:
        writer.write(one_object(0), 0.0)
    path.write_bytes(path.read_bytes().replace(b'"time":0.0', b'"time":1e999'))
    with pytest.raises(SchemaError, match="time is inf, expected number or null"):
        read_jsonl(path)


def test_a_missing_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="No result file"):
        read_jsonl(tmp_path / "absent.jsonl")


@pytest.mark.parametrize("changes", [{"width": 0}, {"fps": 0.0}, {"fps": float("nan")}, {"frames": -1}, {"height": -5}])
def test_a_header_out_of_range_is_refused(changes):
    fields = {"video": "v", "width": 4, "height": 4, "fps": None, "frames": None, "classes": ()}
    with pytest.raises(ValueError, match="must be"):
        Header(**(fields | changes))
