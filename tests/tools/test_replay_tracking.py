"""tools/replay_tracking.py: a small model recorded once, scored with its own and with other options."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from vos_occ.datasets.synthetic import write_dataset

TOOL = Path(__file__).parents[2] / "tools/replay_tracking.py"


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("replay_tracking", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_options_are_scored_beside_the_models_own(tool, tiny_checkpoint: Path, tmp_path: Path, capsys) -> None:
    write_dataset(tmp_path, "train", (0, 1), height=96, width=160, num_frames=3)
    given = [str(tiny_checkpoint), str(tmp_path / "rec"), "--ann-file", str(tmp_path / "annotations_ytvis.json")]
    assert tool.main(["record", *given, "--image-root", str(tmp_path / "frames"), "--device", "cpu"]) == 0
    assert sorted(path.name for path in (tmp_path / "rec").iterdir()) == ["1.npz", "2.npz"]

    score = ["score", *given, "--device", "cpu", "--out", str(tmp_path / "out")]
    gated = ["memory.momentum=0.7", "memory.occlusion.embedding_power=4"]
    assert tool.main([*score, "--set", *gated, "--set", "memory.occlusion.motion=velocity"]) == 0
    table = capsys.readouterr().out
    assert all(word in table for word in ("own", "set1", "set2", "ID_switches_across_gaps", "IDF1"))
    assert "change over 2 videos" in table and table.count(" ± ") == 4
    assert (tmp_path / "out/set2/results.json").is_file()

    assert tool.main(score) == 2
    assert "already exists" in capsys.readouterr().err
    assert tool.main([*score, "--overwrite", "--set", "memory.gate=1"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("replay_tracking: ") and "'gate'" in said and said.count("\n") == 1


def test_a_value_is_python_or_text(tool) -> None:
    assert tool.option("memory.retain_frames=None") == ("memory.retain_frames", None)
    assert tool.option("association.method=hungarian") == ("association.method", "hungarian")
    with pytest.raises(tool.argparse.ArgumentTypeError, match="expected NAME=VALUE"):
        tool.option("memory.momentum")


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ([4, 2, 0, 2], [3, 1, 0, 1], "-3 ± 1.0 *"),  # differences -1, -1, 0, -1
        ([4, 2], [5, 1], "+0 ± 2.0"),
        ([1, 1, 1], [1, 1, 1], "+0 ± 0.0"),
        ([3], [1], "-2"),
    ],
    ids=["clear", "chance", "none", "one video"],
)
def test_a_change_comes_with_its_standard_error_over_videos(tool, before, after, text) -> None:
    assert tool.change(before, after) == text
