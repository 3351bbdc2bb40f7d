"""tools/submit.py: exit codes, and lines for people."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
EMPTY = {"size": [2, 3], "counts": "6"}


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("submit", ROOT / "tools/submit.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def given(tmp_path: Path) -> list[str]:
    """Results and what names their benchmark and split."""
    videos = [{"id": 1, "height": 2, "width": 3, "length": 1}]
    split = {"videos": videos, "categories": [{"id": 1, "name": "a"}]}
    (tmp_path / "split.json").write_text(json.dumps(split))
    track = {"video_id": 1, "category_id": 1, "score": 0.5, "segmentations": [EMPTY]}
    (tmp_path / "results.json").write_text(json.dumps([track]))
    return [str(tmp_path / "results.json"), "--benchmark", "ytvis21", "--ann-file", str(tmp_path / "split.json")]


def test_good_results_are_checked_packed_and_the_zip_checked(tool, given, tmp_path, capsys) -> None:
    out = tmp_path / "out.zip"
    assert tool.main(["check", *given]) == 0
    assert tool.main(["pack", *given, "--out", str(out)]) == 0
    assert tool.main(["check", str(out), *given[1:]]) == 0
    said = capsys.readouterr()
    assert said.out.count("1 tracks, 1 masks, no defect.") == 3 and f"Wrote {out}." in said.out
    assert said.err.count("warning: split.json has 1 categories and 1 videos; YouTube-VIS 2021 has 40") == 3


def test_defects_are_lines_on_stderr_and_exit_code_2(tool, given, tmp_path, capsys) -> None:
    (tmp_path / "results.json").write_text('[{"video_id": 2, "category_id": 5, "score": 9}]')
    assert tool.main(["pack", *given, "--out", str(tmp_path / "out.zip")]) == 2
    said = capsys.readouterr()
    kinds = [line.split(":")[0] for line in said.err.splitlines()]
    assert kinds == ["warning", "unknown video", "unknown category", "wrong score", "missing video", "submit"]
    assert said.err.splitlines()[-1].endswith("has 4 defects. Nothing was packed.") and not said.out
    assert not (tmp_path / "out.zip").exists()


@pytest.mark.parametrize("absent", [0, 4])
def test_absent_files_are_one_line(absent: int, tool, given, capsys) -> None:
    given[absent] = "absent.json"
    assert tool.main(["check", *given]) == 2
    assert capsys.readouterr().err.splitlines() == ["submit: " + line for line in [MESSAGES[absent]]]


MESSAGES = {
    0: "There is no file 'absent.json'. Give the results, or their zip.",
    4: "There is no file 'absent.json'. Check the path.",
}
