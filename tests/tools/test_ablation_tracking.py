"""tools/run_ablation.py tracking: what is trained from what, what is scored, what the tables say."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from vos_occ.datasets.synthetic_ovis import write_ovis
from vos_occ.inference.replay import replay_dataset
from vos_occ.structures.errors import InputError

ROOT = Path(__file__).parents[2]
SCORES = {"AP": 0.5, "AP_so": 0.6, "AP_mo": 0.5, "AP_ho": None, "IDF1": 0.7, "ID_switches": 9}
SCORES |= {"ID_switches_across_gaps": 4, "gaps": 30, "recall": 0.8}


@pytest.fixture
def tracking(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    return importlib.import_module("ablation_tracking")


@pytest.fixture
def trainings(tracking: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """What was asked to be trained: config, folder, seed, start weights. A training leaves its last checkpoint."""
    asked: list[tuple[str, ...]] = []

    def run_tool(name: str, *arguments: str) -> None:
        if name == "drop_weights.py":
            Path(arguments[1]).touch()
            return
        config, *options = arguments
        folder, seed, start = (options[options.index(key) + 1] for key in ("--work-dir", "--seed", "--cfg-options"))
        asked.append((Path(config).stem, Path(folder).name, seed, start.removeprefix("load_from=")))
        steps = 1600 if "start" in config else 600
        Path(folder).mkdir(parents=True)
        (Path(folder) / f"iter_{steps}.pth").touch()

    monkeypatch.setattr(importlib.import_module("ablation_end_to_end"), "run_tool", run_tool)
    return asked


def write_scores(
    tracking: ModuleType, out: Path, changes: Callable[[object, int], dict], seeds: tuple = (0, 1)
) -> None:
    for arm in tracking.ARMS:
        for seed in seeds:
            path = arm.scores_file(out, seed)
            path.parent.mkdir(parents=True)
            path.write_text(json.dumps(SCORES | changes(arm, seed)))


def test_both_models_go_on_from_one_start_of_their_seed_and_head(
    tracking: ModuleType, trainings: list, tmp_path: Path
) -> None:
    out = tmp_path / "ablation/ovis"
    out.mkdir(parents=True)
    for stage in ("masktrack", "cmtrack"):
        assert tracking.trained(stage, "bilayer GCN", 2, out) == out / f"{stage}_bilayer_2/iter_600.pth"
    weights, start = out.parent / "synthetic_without_mask_head.safetensors", out / "start_bilayer_2/iter_1600.pth"
    assert trainings == [
        ("ovis_start_bilayer", "start_bilayer_2", "2", str(weights)),
        ("ovis_masktrack_bilayer", "masktrack_bilayer_2", "2", str(start)),
        ("ovis_cmtrack_bilayer", "cmtrack_bilayer_2", "2", str(start)),
    ]
    start.unlink()
    tracking.trained("cmtrack", "bilayer GCN", 2, out)
    assert len(trainings) == 3  # what is done needs no start


def test_every_memory_is_scored_from_one_recording_that_then_goes(
    tracking: ModuleType,
    trainings: list,
    build_tiny_model: Callable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    write_ovis(tmp_path / "data/synthetic_ovis", train=(), valid=(0,), height=72, width=120, num_frames=3)
    monkeypatch.chdir(tmp_path)  # where the configs' data are looked for
    model, loaded, replayed = build_tiny_model({"memory.confirm_after": 1}), [], []

    def load(checkpoint: Path, config: Path) -> object:
        loaded.append((checkpoint.parent.name, config.stem))
        return model

    def replay(variant: object, dataset: object, recordings: Path, results: Path, overwrite: bool) -> None:
        replayed.append((results.name, variant.memory_options.get("momentum"), variant.occlusion_options))
        replay_dataset(variant, dataset, recordings, results, overwrite)

    monkeypatch.setattr(tracking, "load", load)
    monkeypatch.setattr(tracking, "replay_dataset", replay)
    run = importlib.import_module("run_ablation")
    command = ["tracking", "--out", "work/ovis", "--seeds", "0"]
    (tmp_path / "work").mkdir()
    assert run.main(command) == 0
    said = capsys.readouterr()
    stages = [f"{stage}_{head}" for head in ("single", "bilayer") for stage in ("start", "masktrack", "cmtrack")]
    names = [(f"{stage}_0", f"ovis_{stage}") for stage in stages]
    assert [(folder, config) for config, folder, _, _ in trainings] == names
    assert loaded == [name for name in names if "start" not in name[0]]
    assert "1 videos recorded" in said.err
    assert said.out.strip() == (tmp_path / "work/ovis/tables.md").read_text().strip()
    assert "DOES NOT COUNT: MaskTrack, single FCN, own stays under 0.30 tube AP" in said.out
    folder = tmp_path / "work/ovis/cmtrack_single_0"
    assert sorted(path.name for path in folder.iterdir()) == ["gated", "iter_600.pth", "own"]
    assert list(json.loads((folder / "gated/scores.json").read_text())) == list(SCORES)
    assert [(name, momentum) for name, momentum, _ in replayed] == [("own", None), ("gated", 0.7)] * 4
    assert replayed[1][2]["keep_embedding_above"] == 1.0

    monkeypatch.setattr(tracking, "load", lambda *args, **kwargs: pytest.fail("was scored already"))
    assert run.main(command) == 0
    assert capsys.readouterr().out == said.out


def test_a_question_is_answered_by_pairs_that_differ_in_nothing_else(tracking: ModuleType, tmp_path: Path) -> None:
    def changes(arm: object, seed: int) -> dict:
        fewer = 3 * (arm.memory == "gated") + (arm.host == "CMTrack") * (1 + seed)
        return {"ID_switches_across_gaps": 10 + 5 * seed - fewer}

    write_scores(tracking, tmp_path, changes)
    column = [title for title, _ in tracking.COLUMNS.values()].index("across gaps")
    results = {
        arm: {seed: tracking.read_scores(arm.scores_file(tmp_path, seed)) for seed in (0, 1)} for arm in tracking.ARMS
    }
    ask = importlib.import_module("ablation_table").answers
    answers = {name: list(ask(name, asked, results, tracking.COLUMNS)) for name, asked in tracking.QUESTIONS.items()}
    cells = {name: {row[1]: row[2 + column] for row in rows} for name, rows in answers.items()}
    assert cells["gating"]["MaskTrack, bilayer GCN"] == "-3.0 ± 0.0 *"
    assert cells["gating"]["mean of 4"] == "-3.0 ± 0.0 *"
    assert cells["calibration"]["single FCN, own"] == cells["calibration"]["mean of 4"] == "-1.5 ± 0.5 *"
    assert cells["head"]["mean of 4"] == "+0.0 ± 0.0"
    assert [row[0] for row in answers["head"]] == ["head: bilayer GCN - single FCN", "", "", "", ""]


def test_tables_count_when_the_plain_model_is_good_enough(tracking: ModuleType, tmp_path: Path) -> None:
    write_scores(tracking, tmp_path / "good", lambda arm, seed: {"AP": 0.3 if arm == tracking.PLAIN else 0.1})
    text = "\n".join(tracking.tables(tmp_path / "good", (0, 1)))
    assert "DOES NOT COUNT" not in text
    assert "| MaskTrack | single FCN | own | 0.300 | 0.600 | 0.500 | - | 0.700 | 9.0 | 4.0 | 30.0 | 0.800 |" in text
    write_scores(tracking, tmp_path / "poor", lambda arm, seed: {"AP": 0.29 if arm == tracking.PLAIN else 0.9})
    assert "DOES NOT COUNT" in "\n".join(tracking.tables(tmp_path / "poor", (0, 1)))


def test_a_training_that_fails_ends_the_run_in_one_line(
    tracking: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def fail(*arguments: str) -> None:
        raise InputError("train.py ended with exit code 2")

    monkeypatch.setattr(importlib.import_module("ablation_end_to_end"), "run_tool", fail)
    assert importlib.import_module("run_ablation").main(["tracking", "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err == "run_ablation: train.py ended with exit code 2\n"
