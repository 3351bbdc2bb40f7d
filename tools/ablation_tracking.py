"""Video models that differ in temporal step, mask head and memory: trained alike by stages, scored on whole videos.

The network runs once per video and model (`vos_occ.inference.replay`); each memory then tracks what was seen.
"""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import nan
from pathlib import Path
from statistics import mean
from typing import Any

from ablation_end_to_end import HEADS, ROOT, start_weights, train
from ablation_table import LEAST_AP, Scores, markdown_rows, paired_difference, shown
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
        "memory.occlusion.embedding_power": 4,
        "memory.occlusion.weigh_views": True,
        "occlusion.keep_embedding_above": 1.0,
    },
}
"""Options that are changed; the second is attempt 2 of docs/experiments.md, chosen on other videos."""
QUESTIONS = {
    "calibration": ("host", "CMTrack", "MaskTrack"),
    "gating": ("memory", "gated", "own"),
    "head": ("head", "bilayer GCN", "single FCN"),
}
"""What is asked: which attribute of an arm changes, to what, from what."""
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
    """The last checkpoint of a stage, which is trained unless that is there; a training that was stopped goes on."""
    config, folder = config_of(stage, head), folder_of(stage, head, seed, out)
    last = folder / f"iter_{read_config(config).train_cfg.max_iters}.pth"
    if not last.is_file():
        begin = start_weights("synthetic", out.parent) if stage == "start" else trained("start", head, seed, out)
        train(config, folder, seed, begin)
    return last


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
    """Means of every arm, then what each question changes, arm by arm and in the mean of its arms."""
    results = {arm: {seed: read_scores(arm.scores_file(out, seed)) for seed in seeds} for arm in ARMS}
    yield f"\nSynthetic OVIS, seeds {', '.join(map(str, seeds))}: means over seeds\n"
    if mean(scores["AP"] for scores in results[PLAIN].values()) < LEAST_AP:
        yield f"DOES NOT COUNT: {PLAIN} stays under {LEAST_AP:.2f} tube AP\n"
    titles = [title for title, _ in COLUMNS.values()]
    rows = [
        [*vars(arm).values(), *(shown(mean_over_seeds(of_seed, name), d) for name, (_, d) in COLUMNS.items())]
        for arm, of_seed in results.items()
    ]
    yield markdown_rows(["model", "head", "memory", *titles], rows)
    yield "\nDifferences, paired by seed, ± standard error; * = more than two of these\n"
    yield markdown_rows(["question", "arms", *titles], [row for name in QUESTIONS for row in answers(name, results)])


def read_scores(path: Path) -> dict[str, float]:
    """Scores of an arm; NaN for what is null there, so that means of it are undefined too."""
    return {name: nan if value is None else value for name, value in json.loads(path.read_text()).items()}


def mean_over_seeds(scores: Scores, name: str) -> float:
    return mean(of_seed[name] for of_seed in scores.values())


def answers(question: str, results: dict[Arm, Scores]) -> Iterator[list[str]]:
    """Rows of one question: in the mean of all arms that it can be asked of, then of each."""
    attribute, value, other = QUESTIONS[question]
    changed = [arm for arm in results if getattr(arm, attribute) == value]
    pairs = {arm: (results[arm], results[replace(arm, **{attribute: other})]) for arm in changed}
    variants, references = zip(*pairs.values(), strict=True)
    text = f"{question}: {value} - {other}"
    yield [text, f"mean of {len(pairs)}", *differences(mean_over_arms(variants), mean_over_arms(references))]
    for arm, pair in pairs.items():
        fixed = [level for name, level in vars(arm).items() if name != attribute]
        yield ["", ", ".join(fixed), *differences(*pair)]


def mean_over_arms(scores: Sequence[Scores]) -> Scores:
    """Scores by seed, each the mean of several arms."""
    return {seed: {name: mean(arm[seed][name] for arm in scores) for name in COLUMNS} for seed in scores[0]}


def differences(variant: Scores, reference: Scores) -> list[str]:
    """A cell per column."""
    return [paired_difference(variant, reference, name).shown(digits) for name, (_, digits) in COLUMNS.items()]
