"""tools/run_ablation.py pcan: what is trained from what, what is switched and scored, what the tables say."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from vos_occ.datasets.synthetic_bdd100k import CAST, DISTRACTORS, POOLS, write_bdd100k
from vos_occ.datasets.synthetic_street import StreetWorld, true_result
from vos_occ.models.video.contract import VideoMeta
from vos_occ.structures import FrameResult
from vos_occ.structures.rle import encode

ROOT = Path(__file__).parents[2]
WORLD = {"height": 72, "width": 120, "num_frames": 3}
SCORES = {"mMOTSA": 0.2, "mMOTSP": 0.7, "mIDF1": 0.4, "IDSW": 9, "MOTSA": 0.3, "MOTSP": 0.8, "IDF1": None}


@pytest.fixture
def pcan(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    return importlib.import_module("ablation_pcan")


@pytest.fixture
def trainings(pcan: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """What was asked to be trained: config, folder, seed, start weights. A training leaves its last checkpoint."""
    asked: list[tuple[str, ...]] = []

    def run_tool(name: str, config: str, *options: str) -> None:
        folder, seed, start = (options[options.index(key) + 1] for key in ("--work-dir", "--seed", "--cfg-options"))
        asked.append((Path(config).stem, Path(folder).name, seed, start.removeprefix("load_from=")))
        done(Path(folder))

    monkeypatch.setattr(importlib.import_module("ablation_end_to_end"), "run_tool", run_tool)
    return asked


def done(folder: Path) -> Path:
    """What the last step of a training leaves."""
    folder.mkdir(parents=True)
    last = folder / f"iter_{600 if folder.name.startswith('box') else 400}.pth"
    last.touch()
    return last


class Oracle:
    """Knows the videos by heart. Without attention no id lasts, without refinement masks have gaps."""

    name, checkpoint_sha256, classes = "oracle", None, (*CAST, *DISTRACTORS)
    use_frame_attention = use_refine = True

    def __init__(self, count: int) -> None:
        world = StreetWorld(POOLS["val"], CAST, DISTRACTORS, **WORLD)
        self._videos = cycle([world.video(seed) for seed in range(count)])

    def new_state(self, meta: VideoMeta) -> SimpleNamespace:
        return SimpleNamespace(meta=meta, video=next(self._videos))

    def step(self, state: SimpleNamespace, image: np.ndarray, frame_index: int) -> list[FrameResult]:
        frame = state.video[frame_index]
        result = true_result(frame)
        if not self.use_frame_attention:
            result = replace(result, track_ids=result.track_ids + 100 * frame_index)
        if not self.use_refine:
            with_gaps = frame.visible[frame.is_visible] & (np.arange(WORLD["height"]) % 4 > 0)[:, None]
            result = replace(result, masks=[encode(mask) for mask in with_gaps])
        return [result]

    def finish(self, state: SimpleNamespace) -> list[FrameResult]:
        return []


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_bdd100k(folder / "synthetic_bdd100k", train=(), val=(0, 1), **WORLD)
    return folder


@pytest.fixture
def run(
    pcan: ModuleType, trainings: list, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., int]:
    """Of a model that answers with the truth, on two videos below the folder that the tool runs in."""
    (tmp_path / "data").symlink_to(data)
    monkeypatch.chdir(tmp_path)  # where the configs' data are looked for
    (tmp_path / "work").mkdir()
    tool = importlib.import_module("run_ablation")

    def run(*more: str, of: int = 2) -> int:
        monkeypatch.setattr(pcan, "load", lambda *args, **kwargs: Oracle(of))
        return tool.main(["pcan", "--out", "work", "--seeds", "0", *more])

    return run


def write_scores(pcan: ModuleType, out: Path, changes: Callable[[object, int], dict]) -> None:
    for arm in pcan.ARMS:
        for seed in (0, 1):
            path = arm.scores_file(out, seed, None)
            path.parent.mkdir(parents=True)
            path.write_text(json.dumps(SCORES | changes(arm, seed)))


def test_what_tools_train_has_left_is_taken_and_only_the_rest_trained(
    pcan: ModuleType, trainings: list, tmp_path: Path
) -> None:
    box, mask = done(tmp_path / "box_2"), done(tmp_path / "mask_single_2")
    assert pcan.trained("e2e", "single FCN", 2, tmp_path) == tmp_path / "e2e_single_2/iter_400.pth"
    for stage in ("refine", "e2e"):
        pcan.trained(stage, "bilayer GCN", 2, tmp_path)
    bilayer = str(tmp_path / "mask_bilayer_2/iter_400.pth")
    assert trainings == [
        ("bdd_pcan_e2e_single", "e2e_single_2", "2", str(mask)),
        ("bdd_pcan_mask_bilayer", "mask_bilayer_2", "2", str(box)),
        ("bdd_pcan_refine_bilayer", "refine_bilayer_2", "2", bilayer),
        ("bdd_pcan_e2e_bilayer", "e2e_bilayer_2", "2", bilayer),
    ]
    pcan.trained("mask", "single FCN", 3, tmp_path)
    shipped = str(ROOT / "vos_occ/weights/synthetic.safetensors")
    assert trainings[4:] == [
        ("bdd_pcan_box", "box_3", "3", shipped),
        ("bdd_pcan_mask_single", "mask_single_3", "3", str(tmp_path / "box_3/iter_600.pth")),
    ]


def test_parts_are_switched_in_each_model_and_what_it_wrote_is_scored_once(
    run: Callable, pcan: ModuleType, trainings: list, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run() == 0
    said = capsys.readouterr()
    assert said.out.strip() == Path("work/tables.md").read_text().strip()
    assert "DOES NOT COUNT" not in said.out
    assert said.err.count("2 videos in") == len(pcan.ARMS) == 16
    folders = sorted(folder.name for folder in Path("work").iterdir() if folder.is_dir())
    assert folders == sorted(folder for _, folder, _, _ in trainings)
    model = Path("work/e2e_bilayer_0")
    parts = ["attention_no_refine", "attention_refine", "no_attention_no_refine", "no_attention_refine"]
    assert sorted(path.name for path in model.iterdir() if path.is_dir()) == parts
    scores = {part: json.loads((model / part / "scores.json").read_text()) for part in parts}
    assert list(scores["attention_refine"]) == list(SCORES)
    assert scores["attention_refine"]["MOTSP"] == 1 > scores["attention_no_refine"]["MOTSP"] > 0.5
    assert scores["attention_refine"]["IDSW"] == 0 < scores["no_attention_refine"]["IDSW"]
    assert (model / "attention_refine/seg_track.json").is_file()

    monkeypatch.setattr(pcan, "score_arm", lambda *args: pytest.fail("was scored already"))
    assert run() == 0
    assert capsys.readouterr().out == said.out


def test_a_trial_is_scored_on_its_videos_alone_and_kept_apart(run: Callable, capsys: pytest.CaptureFixture) -> None:
    assert run("--videos", "1", of=1) == 0
    assert "Synthetic BDD100K, first 1 validation videos, seeds 0" in capsys.readouterr().out
    folder = Path("work/refine_single_0")
    assert [path.name for path in folder.iterdir() if path.is_dir()] == ["first_1"]
    scores = json.loads((folder / "first_1/attention_refine/scores.json").read_text())
    assert scores["MOTSA"] == scores["IDF1"] == 1  # the other video's objects are not missed
    assert run("--videos", "3") == 2
    assert "--videos is 3, but 'data/synthetic_bdd100k/images/seg_track_20/val' has 2" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run("--videos", "0")


def test_questions_pair_arms_that_differ_in_nothing_else(pcan: ModuleType, tmp_path: Path) -> None:
    def changes(arm: object, seed: int) -> dict:
        fewer = (arm.mode == "e2e") * (4 + seed) + (arm.head == "bilayer GCN")
        return {"IDSW": 20 + 7 * seed - fewer, "mMOTSP": 0.7 + 0.1 * (arm.refine == "refine")}

    write_scores(pcan, tmp_path, changes)
    text = "\n".join(pcan.tables(tmp_path, (0, 1), None))
    assert "| frozen | single FCN | attention | refine | 0.200 | 0.800 | 0.400 | 23.5 | 0.300 | 0.800 | - |" in text
    rows = {
        tuple(cells[1:3]): cells[3:]
        for cells in ([c.strip() for c in line.split("|")] for line in text.split("\n"))
        if len(cells) > 5
    }
    titles = [title for title, _ in pcan.COLUMNS.values()]
    refine, switches = titles.index("mMOTSP"), titles.index("ID switches")
    assert rows["refine: refine - no refine", "mean of 8"][refine] == "+0.100 ± 0.000 *"
    assert rows["", "e2e, bilayer GCN, no attention"][refine] == "+0.100 ± 0.000 *"
    assert rows["end to end: e2e, bilayer GCN - frozen, bilayer GCN", "mean of 4"][switches] == "-4.5 ± 0.5 *"
    assert rows["head: bilayer GCN - single FCN", "mean of 8"][switches] == "-1.0 ± 0.0 *"
    assert rows["both: e2e, bilayer GCN - frozen, single FCN", "mean of 4"][switches] == "-5.5 ± 0.5 *"
    assert rows["attention: attention - no attention", "mean of 8"][switches] == "+0.0 ± 0.0"


def test_tables_count_when_the_plain_models_mmotsa_is_above_0(pcan: ModuleType, tmp_path: Path) -> None:
    write_scores(pcan, tmp_path / "good", lambda arm, seed: {"mMOTSA": 0.01 if arm == pcan.PLAIN else -0.1})
    assert "DOES NOT COUNT" not in "\n".join(pcan.tables(tmp_path / "good", (0, 1), None))
    write_scores(pcan, tmp_path / "poor", lambda arm, seed: {"mMOTSA": 0 if arm == pcan.PLAIN else 0.5})
    text = "\n".join(pcan.tables(tmp_path / "poor", (0, 1), None))
    assert "DOES NOT COUNT: mMOTSA of frozen, single FCN, attention, refine is not above 0" in text
