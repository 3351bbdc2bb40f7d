"""The benchmark's data, its stage clock and its comparison; and that it runs, and finds us equal, on small data."""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as mask_api

TOOLS = Path(__file__).parents[2] / "tools"
ORACLES = Path(__file__).parents[2] / ".venv-oracles"


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    monkeypatch.syspath_prepend(str(TOOLS))
    return importlib.import_module


def dense(data: ModuleType, spans: np.ndarray) -> np.ndarray:
    mask = np.zeros((data.HEIGHT, data.WIDTH), np.uint8)
    for column, top, bottom in spans.T:
        mask[top:bottom, column] = 1
    return mask


def frame(data: ModuleType, seed: int = 3) -> Any:
    return list(data.simulate(data.Size(frames=3, objects=12), seed))[-1]


def test_generated_masks_of_one_frame_never_overlap(tool: Callable) -> None:
    data = tool("benchmark_data")
    for masks in (frame(data).true, frame(data).predicted):
        assert len(masks) > 5
        assert sum(dense(data, spans) for spans in masks.values()).max() == 1


def test_generated_codes_are_those_of_the_painted_masks(tool: Callable) -> None:
    data = tool("benchmark_data")
    for spans in frame(data).true.values():
        mask = dense(data, spans)
        assert data.counts(spans) == mask_api.encode(np.asfortranarray(mask))["counts"].decode()
        assert data.area(spans) == mask.sum()


def test_a_mask_over_a_whole_column_is_one_run_with_the_next(tool: Callable) -> None:
    data = tool("benchmark_data")
    spans = np.array([[4, 0, data.HEIGHT], [5, 0, 10]]).T
    assert data.counts(spans) == mask_api.encode(np.asfortranarray(dense(data, spans)))["counts"].decode()


def test_shifted_masks_are_cut_at_the_border(tool: Callable) -> None:
    data = tool("benchmark_data")
    spans = np.array([[0, 5, 9], [1, 5, 9]]).T
    assert data.shift(spans, -1, -7).T.tolist() == [[0, 0, 2]]
    assert data.area(data.shift(spans, 0, data.HEIGHT)) == 0


def test_same_seed_same_files(tool: Callable, tmp_path: Path) -> None:
    data, size = tool("benchmark_data"), tool("benchmark_eval").TINY
    for protocol in ("kitti_mots", "bdd100k_mots", "ytvis", "ovis"):
        summaries = [data.write(protocol, tmp_path / name / protocol, size) for name in ("a", "b")]
        assert summaries[0] == summaries[1]
    first, second = (sorted(path for path in (tmp_path / name).rglob("*") if path.is_file()) for name in ("a", "b"))
    assert len(first) > 10
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_ovis_files_say_how_much_is_hidden(tool: Callable, tmp_path: Path) -> None:
    data = tool("benchmark_data")
    data.write("ovis", tmp_path / "ovis", data.Size(frames=20, objects=15, vis_videos=1, predictions=5))
    tracks = json.loads((tmp_path / "ovis" / "gt.json").read_text())["annotations"]
    labels = {label for track in tracks for label in track["occlusion"]}
    assert labels == {None, *(label for label, _ in data.OCCLUSION)}


@pytest.mark.parametrize(
    ("ours", "official", "largest"),
    [
        ({"a": 1.0, "b": 2}, {"a": 1.25, "b": 2}, 0.25),
        ({"a": None}, {"a": None}, 0.0),
        ({"a": None}, {"a": 0.0}, float("inf")),
        ({"a": 0.0}, {"a": None}, float("inf")),
    ],
    ids=["numbers", "both undefined", "ours undefined", "theirs undefined"],
)
def test_difference_of_two_sets_of_numbers(tool: Callable, ours: dict, official: dict, largest: float) -> None:
    assert tool("benchmark_eval").difference(ours, official) == (largest, len(official), [])


def test_difference_names_what_we_lack(tool: Callable) -> None:
    assert tool("benchmark_eval").difference({"a": 1.0}, {"a": 1.0, "b": 1.0}) == (0.0, 1, ["b"])


def test_stage_clock_charges_the_innermost_stage(tool: Callable) -> None:
    here = Path(__file__).name

    def inner() -> None:
        time.sleep(0.05)

    def outer() -> None:
        time.sleep(0.02)
        inner()

    clock = tool("benchmark_side").StageClock([[here, "inner", "in"], [here, "outer", "out"]])
    with clock:
        outer()
    assert 0.05 <= clock.seconds["in"] < 0.2
    assert 0.02 <= clock.seconds["out"] < 0.05


def test_a_side_that_fails_is_one_line(tool: Callable, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    benchmark = tool("benchmark_eval")
    bench = benchmark.Bench(tmp_path, tmp_path)
    folder, _ = bench.data("kitti_mots", benchmark.TINY)
    (folder / "gt" / "0000.txt").unlink()
    asked = ["--quick", "--data", str(tmp_path), "--protocols", "kitti_mots", "--parts", "compare"]
    assert benchmark.main(asked) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    "protocol",
    [
        "kitti_mots",
        pytest.param("ytvis", marks=pytest.mark.slow),
        pytest.param("ovis", marks=pytest.mark.slow),
        pytest.param(
            "bdd100k_mots",
            marks=pytest.mark.skipif(not ORACLES.is_dir(), reason="no .venv-oracles; bash tools/oracles.sh makes it"),
        ),
    ],
)
def test_quick_comparison_finds_no_difference(tool: Callable, tmp_path: Path, protocol: str) -> None:
    out = tmp_path / "benchmark.json"
    assert (
        tool("benchmark_eval").main(["--quick", "--protocols", protocol, "--parts", "compare", "--out", str(out)]) == 0
    )
    (row,) = json.loads(out.read_text())["compare"]
    assert row["numbers_compared"] >= 9
    assert row["not_in_ours"] == []
    assert row["largest_difference"] < 1e-12
    assert row["official_seconds"][0] > 0 < row["ours_seconds"][0]


@pytest.mark.slow
def test_quick_growth_and_stages(tool: Callable, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "benchmark.json"
    asked = ["--quick", "--protocols", "kitti_mots", "--parts", "growth", "stages", "--out", str(out)]
    assert tool("benchmark_eval").main(asked) == 0
    rows = json.loads(out.read_text())
    assert [(row["what"], row["value"]) for row in rows["growth"]] == [
        ("frames", 4),
        ("frames", 8),
        ("videos", 1),
        ("videos", 2),
    ]
    assert [row["workers"] for row in rows["workers"]] == [1, 2]
    (stages,) = rows["stages"]
    assert sum(stages["shares"].values()) == pytest.approx(1)
    assert {"read files", "decode masks", "compare masks", "count and average"} <= set(stages["shares"])
    assert "where our time goes" in capsys.readouterr().out


def test_results_are_not_replaced_unasked(tool: Callable, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "benchmark.json"
    out.write_text("mine")
    assert tool("benchmark_eval").main(["--quick", "--out", str(out)]) == 2
    assert "already exists" in capsys.readouterr().err
    assert out.read_text() == "mine"
