"""The video benchmark: equal sides on a small network, its stage clock, and what it prints and draws."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import functools
import importlib
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

TOOLS = Path(__file__).parents[2] / "tools"
SMALL = {"width": 320, "height": 180, "network": (160, 96)}


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    monkeypatch.syspath_prepend(str(TOOLS))
    return importlib.import_module


@pytest.fixture
def bench(tool: Callable, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The tool, on a narrow network and small frames."""
    module = tool("benchmark_video")
    threads = torch.get_num_threads()
    monkeypatch.setattr(module, "both_sides", functools.partial(module.both_sides, small=True))
    scenes = {
        "all survive": module.Scene(objects=12, **SMALL),
        "10 of 100 survive": module.Scene(objects=3, duplicates=9, **SMALL),
    }
    monkeypatch.setattr(module, "SCENES", scenes)
    yield module
    torch.set_num_threads(threads)


def test_a_stage_inside_another_counts_for_itself_alone(tool: Callable) -> None:
    clock = tool("benchmark_video_sides").Clock()
    with clock.stage("rest"):
        time.sleep(0.01)
        with clock.stage("rpn"):
            time.sleep(0.05)
    taken = clock.take()
    assert 0.05 <= taken["rpn"] < 0.06 + taken["rest"]
    assert 0.01 <= taken["rest"] < 0.05
    assert not any(clock.take().values())


@pytest.mark.parametrize(("duplicates", "first", "later"), [(0, 6, 6), (9, 6, 60)])
def test_every_object_is_detected_as_often_as_asked(tool: Callable, duplicates: int, first: int, later: int) -> None:
    scene = tool("benchmark_video_sides").Scene(objects=6, duplicates=duplicates)
    assert [len(part) for part in scene.detections(0)] == [first] * 3
    boxes, labels, scores = scene.detections(1)
    assert len(boxes) == later
    assert (boxes[:, 2:] >= boxes[:, :2]).all() and (boxes >= 0).all() and (boxes <= torch.tensor([640, 360] * 2)).all()
    assert (scores.diff() < 0).all() and scores.min() > 0.05


@pytest.mark.parametrize(("duplicates", "detections"), [(0, 5), (9, 50)])
def test_the_sides_find_the_same_and_drop_the_same(tool: Callable, duplicates: int, detections: int) -> None:
    sides = tool("benchmark_video_sides")
    ours, make_theirs = sides.both_sides(sides.Scene(objects=5, duplicates=duplicates, **SMALL), small=True)
    theirs = make_theirs()
    masked: list[int] = []
    theirs.model.detector.roi_head.mask_head.register_forward_pre_hook(lambda _, given: masked.append(len(given[0])))
    for _ in range(3):
        (found, step), (expected, _) = ours.step(), theirs.step()
        assert len(found) == 5
        assert max(sides.difference(found, expected).values()) < 1e-3
        assert ours.detected == theirs.detected == masked[-1]
        assert 0.5 * step.seconds < sum(step.stages.values()) <= step.seconds
    assert masked == [5, detections, detections], "mmdet computes the masks that it drops"


def test_other_ids_are_an_error(tool: Callable) -> None:
    sides = tool("benchmark_video_sides")
    ours, make_theirs = sides.both_sides(sides.Scene(objects=3, **SMALL), small=True)
    found, expected = ours.step()[0], make_theirs().step()[0]
    with pytest.raises(AssertionError, match="differ in ids"):
        sides.difference(replace(found, track_ids=found.track_ids[::-1].copy()), expected)


def test_sides_that_differ_are_not_timed(bench: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "difference", lambda *_: {"boxes": 0.0, "scores": 0.0, "masks": 0.5})
    with pytest.raises(bench.BenchmarkError, match="nothing was timed"):
        bench.compare("all survive", 1, 1)


def test_compare_prints_stages_and_writes_numbers(
    bench: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "numbers.json"
    assert bench.main(["--parts", "compare", "--frames", "1", "--out", str(out)]) == 0
    printed, numbers = capsys.readouterr().out, json.loads(out.read_text())
    assert f"operators: {numbers['backend']}" in printed
    for row in numbers["compare"]:
        assert row["scene"] in printed
        assert row["ratio"] == pytest.approx(row["mmdets_dense_seconds"] / row["seconds"]["ours"])
        assert row["ratio_to_rle"] > row["ratio"] > 0
        assert row["stages"]["ours"]["masks"] > 0 and row["stages"]["theirs"]["encode"] > 0
    assert bench.main(["--parts", "compare", "--out", str(out)]) == 2
    assert "already exists" in capsys.readouterr().err


def test_what_was_measured_is_shown_when_a_later_part_fails(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise bench.BenchmarkError("mmdet ended with 1")

    monkeypatch.setattr(bench, "memory_of_both", fail)
    assert bench.main(["--parts", "bfloat16", "memory", "--frames", "2"]) == 2
    printed = capsys.readouterr()
    assert "bfloat16, all survive" in printed.out
    assert printed.err.splitlines()[-1] == "error: mmdet ended with 1"


def test_memory_is_read_at_the_marked_frames(bench: ModuleType) -> None:
    rows = bench.memory("ours", 3, [2, 4])
    assert [row["frame"] for row in rows] == [2, 4]
    assert all(row["mib"] > 50 and row["ms"] > 0 for row in rows)


def test_cmtrack_is_measured_by_stage_and_number_of_references(
    tool: Callable, bench: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sides = tool("benchmark_video_cmtrack")
    monkeypatch.setattr(sides, "REACHES", (1, 2))
    monkeypatch.setattr(sides, "FINEST", (12, 20))
    monkeypatch.setattr(sides, "COARSE", (6, 10))
    scene = bench.Scene(objects=3, **SMALL)
    assert len(sides.build(1, scene, small=True).step()[0]) == 3, "seen in the mean of all views"
    measured = functools.partial(sides.measure_cmtrack, scene=scene, small=True)
    monkeypatch.setattr(bench, "measure_cmtrack", measured)
    monkeypatch.setattr(bench, "memory_alone", lambda side, objects, marks: bench.memory(side, objects, [1, 2]))
    assert bench.main(["--parts", "cmtrack", "--frames", "1"]) == 0
    printed = capsys.readouterr().out
    assert "2 references" in printed and "4 references one by one" in printed and "unfold" in printed
    assert "frame 2: " in printed
    answer = measured(1)
    few, many = answer["references"]
    assert (few["references"], many["references"]) == (2, 4) and many["ring_mib"] > few["ring_mib"]
    for row in (few, many):
        assert all(
            row["stages"][stage] > 0 for stage in ("backbone", "correlation", "offsets", "warp", "boxes", "masks")
        )
        assert sum(row["stages"].values()) <= row["seconds"]


def test_pcan_is_measured_by_stage(
    tool: Callable, bench: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sides = tool("benchmark_video_pcan")
    answers = []

    def measured(frames: int) -> dict[str, Any]:
        answers.append(sides.measure_pcan(frames, bench.Scene(objects=3, **SMALL), small=True))
        return answers[-1]

    monkeypatch.setattr(bench, "measure_pcan", measured)
    monkeypatch.setattr(bench, "memory_alone", lambda side, objects, marks: bench.memory(side, objects, [1, 2]))
    assert bench.main(["--parts", "pcan", "--frames", "3"]) == 0
    printed = capsys.readouterr().out
    assert "frame, least of 3" in printed and "3 objects tracked" in printed and "frame 2: " in printed
    (answer,) = answers
    assert answer["tracks"] == answer["tracked"] == 3, "the same three in all frames"
    assert all(answer["stages"][stage] > 0 for stage in ("attention", "embed", "associate", "masks", "refine", "paste"))
    assert sum(answer["stages"].values()) <= answer["seconds"]


def test_the_plot_is_a_picture(bench: ModuleType, tmp_path: Path) -> None:
    growth = [
        {"what": what, "value": value, "ours": 1.0, "mmdet": 2.0} for what in ("pixels", "objects") for value in (1, 2)
    ]
    rows: list[dict[str, Any]] = [{"frame": frame, "mib": 100.0, "ms": 1.0} for frame in (1, 10)]
    bench.plot({"growth": growth, "memory": {"objects": 3, "ours": rows, "mmdet": rows}}, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_a_plot_of_what_is_not_measured_is_refused(bench: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        bench.main(["--parts", "compare", "--plot", str(tmp_path / "plot.png")])
    assert ended.value.code == 2
