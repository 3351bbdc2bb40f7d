"""Video models that differ in temporal step, mask head and memory: trained alike by stages, scored on whole videos.

The network runs once per video and model (`vos_occ.inference.replay`); each memory then tracks what was seen.
"""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablation_end_to_end import HEADS, ROOT, start_weights
from ablation_end_to_end import trained as train_once
from ablation_table import LEAST_AP, Question, mean_over_seeds, read_scores, tables_of_arms
from rich.console import Console

from eval import evaluate
from eval.readers.ytvis import read_ytvis
from vos_occ.inference.load import load
from vos_occ.inference.replay import record_dataset, replay_dataset, with_options
from vos_occ.results.output import write_atomically
from vos_occ.scoring import score_tracks
from vos_occ.training import read_config

HOSTS = {"MaskTrack": "masktrack", "CMTrack": "cmtrack"}
"""Of configs/ablation/ovis_HOST_HEAD.py. Both go on from what ovis_start_HEAD.py trained."""
MEMORIES: dict[str, dict[str, Any]] = {
    "own": {},
    "gated": {
        "memory.momentum": 0.7,
        "memory.occlusion.embedding_power": 2,
        "memory.occlusion.weigh_views": True,
        "memory.occlusion.match_power": 1,
        "occlusion.keep_embedding_above": 1.0,
    },
}
"""Options that are changed; the second is attempt 3 of docs/experiments.md, chosen on other videos."""
QUESTIONS = {
    "calibration": Question({"host": "CMTrack"}, {"host": "MaskTrack"}),
    "gating": Question({"memory": "gated"}, {"memory": "own"}),
    "head": Question({"head": "bilayer GCN"}, {"head": "single FCN"}),
}
COLUMNS = {
    "AP": ("tube AP", 3),
    "AP_so": ("AP_so", 3),
    "AP_mo": ("AP_mo", 3),
    "AP_ho": ("AP_ho", 3),
    "IDF1": ("IDF1", 3),
    "ID_switches": ("ID switches", 1),
    "ID_switches_across_gaps": ("across gaps", 1),
    "gaps": ("gaps", 1),
    "recall": ("recall", 3),
}
"""Score -> title of its column, digits."""


@dataclass(frozen=True)
class Arm:
    """One row of the table."""

    host: str
    head: str
    memory: str

    def __str__(self) -> str:
        return f"{self.host}, {self.head}, {self.memory}"

    def scores_file(self, out: Path, seed: int) -> Path:
        """Where the scores of one seed are written."""
        return folder_of(HOSTS[self.host], self.head, seed, out) / self.memory / "scores.json"


PLAIN = Arm("MaskTrack", "single FCN", "own")
ARMS = [Arm(host, head, memory) for host in HOSTS for head in HEADS for memory in MEMORIES]


def run_tracking(out: Path, seeds: Sequence[int], console: Console) -> Iterator[str]:
    """Trains and scores what is missing; yields the lines of the tables."""
    for seed in seeds:
        for head in HEADS:
            for host in HOSTS:
                score_model(host, head, seed, out, console)
    yield from tables(out, seeds)


def folder_of(stage: str, head: str, seed: int, out: Path) -> Path:
    return out / f"{stage}_{HEADS[head]}_{seed}"


def config_of(stage: str, head: str) -> Path:
    return ROOT / f"configs/ablation/ovis_{stage}_{HEADS[head]}.py"


def trained(stage: str, head: str, seed: int, out: Path) -> Path:
    """The last checkpoint of a stage, which is trained unless that is there."""

    def start() -> Path:
        return start_weights("synthetic", out.parent) if stage == "start" else trained("start", head, seed, out)

    return train_once(config_of(stage, head), folder_of(stage, head, seed, out), seed, start)


def score_model(host: str, head: str, seed: int, out: Path, console: Console) -> None:
    """Trains, records and scores one model with every memory, unless its scores are there."""
    missing = [arm for arm in ARMS if (arm.host, arm.head) == (host, head) and not arm.scores_file(out, seed).exists()]
    if not missing:
        return
    config = config_of(HOSTS[host], head)
    model = load(trained(HOSTS[host], head, seed, out), config=config)
    data = read_config(config).test_dataset
    dataset = read_ytvis(data.ann_file)
    recordings = folder_of(HOSTS[host], head, seed, out) / "recordings"
    recordings.mkdir(exist_ok=True)
    record_dataset(model, dataset, data.image_root, recordings)
    size = sum(path.stat().st_size for path in recordings.iterdir())
    console.print(f"seed {seed}, {host}, {head}: {len(dataset.videos)} videos recorded, {size / 1e6:.0f} MB")
    for arm in missing:
        file = arm.scores_file(out, seed)
        variant = with_options(model, MEMORIES[arm.memory])
        replay_dataset(variant, dataset, recordings, file.parent, overwrite=True)
        tubes = evaluate("ovis", data.ann_file, file.parent / "results.json").summary
        scores = {**score_tracks(dataset, file.parent).as_dict(), **tubes}
        write_atomically(file, json.dumps({name: scores[name] for name in COLUMNS}, indent=1) + "\n")
        console.print(f"seed {seed}, {arm}: {file.read_text()}")
    shutil.rmtree(recordings)


def tables(out: Path, seeds: Sequence[int]) -> Iterator[str]:
    """What `tables_of_arms` shows of these models."""
    results = {arm: {seed: read_scores(arm.scores_file(out, seed)) for seed in seeds} for arm in ARMS}
    title = f"Synthetic OVIS, seeds {', '.join(map(str, seeds))}: means over seeds"
    too_weak = mean_over_seeds(results[PLAIN], "AP") < LEAST_AP
    doubt = f"{PLAIN} stays under {LEAST_AP:.2f} tube AP" if too_weak else ""
    yield from tables_of_arms(title, ["model", "head", "memory"], results, COLUMNS, QUESTIONS, doubt)
