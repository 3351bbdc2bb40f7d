"""tools/test_video.py on a benchmark: its split found, scored by its protocol or not, and ready for its server."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from eval import evaluate
from vos_occ.datasets.synthetic_ovis import write_ovis
from vos_occ.results.submission import BENCHMARKS, pack_submission

TOOL = Path(__file__).parents[2] / "tools/test_video.py"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("test_video_tool", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def ovis(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ovis")
    write_ovis(folder, train=(), valid=(0, 1), height=72, width=120, num_frames=6)
    return folder


@pytest.fixture
def run(tool: ModuleType, ovis: Path, tiny_checkpoint: Path, tmp_path: Path) -> Callable[..., int]:
    def run(*more: str) -> int:
        data = ["--split", "valid", "--data-root", str(ovis), "--format", "ovis", "--score-thr", "0.05"]
        out = ["--out", str(tmp_path / "out"), "--device", "cpu", "--quiet"]
        return tool.main(["-", str(tiny_checkpoint), *data, *out, *more])

    return run


def test_without_ground_truth_one_line_says_so_and_the_results_can_be_packed(
    run: Callable, ovis: Path, tmp_path: Path, capsys
) -> None:
    assert run("--eval") == 0
    said = capsys.readouterr()
    (line,) = [line for line in said.out.splitlines() if "no annotations" in line]
    assert line.startswith(str(ovis / "annotations_valid.json")) and "tools/submit.py pack" in line and not said.err
    assert not (tmp_path / "out/ovis.json").exists()
    results, zipped = tmp_path / "out/results.json", tmp_path / "ovis.zip"
    report = pack_submission(BENCHMARKS["ovis"], results, ovis / "annotations_valid.json", zipped)
    assert report.accepted and report.contents["tracks"] > 0


def test_with_ground_truth_the_benchmarks_protocol_scores_the_file(
    run: Callable, ovis: Path, tmp_path: Path, capsys
) -> None:
    full = ovis / "annotations_valid_full.json"
    assert run("--ann-file", str(full)) == 0
    assert not (tmp_path / "out/ovis.json").exists(), "not asked for"
    assert run("--ann-file", str(full), "--eval", "--resume") == 0
    said = capsys.readouterr().out
    assert "ovis (equals OVISeval" in said and "AP_ho" in said and "IDF1" in said
    scores = json.loads((tmp_path / "out/ovis.json").read_text())
    assert scores == evaluate("ovis", full, tmp_path / "out/results.json").as_json()
    assert run("--ann-file", str(full), "--eval") == 2, "nothing is replaced unasked"
    (tmp_path / "none.json").write_text(json.dumps(json.loads(full.read_text()) | {"annotations": []}))
    capsys.readouterr()
    assert run("--ann-file", str(tmp_path / "none.json"), "--eval", "--resume") == 0
    assert "annotates no object, so there is nothing to score by ovis" in capsys.readouterr().out


def test_the_labels_of_the_truth_choose_the_protocol_where_nothing_else_does(
    tool: ModuleType, ovis: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    document = json.loads((ovis / "annotations_valid_full.json").read_text())
    document["videos"] = document["videos"][:1]
    document["annotations"] = [a for a in document["annotations"] if a["video_id"] == document["videos"][0]["id"]]
    for name, labels in (("ovis", True), ("ytvis", False)):
        for annotation in document["annotations"] if not labels else ():
            del annotation["occlusion"]
        (tmp_path / "truth.json").write_text(json.dumps(document))
        files = ["--ann-file", str(tmp_path / "truth.json"), "--image-root", str(ovis / "valid")]
        out = ["--out", str(tmp_path / name), "--device", "cpu", "--quiet"]
        assert tool.main(["-", str(tiny_checkpoint), *files, *out, "--eval"]) == 0
        assert (tmp_path / name / f"{name}.json").is_file()
