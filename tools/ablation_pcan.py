"""PCAN on the synthetic BDD100K: both mask heads, trained as released or end to end, prototype parts on and off.

What models share is trained once per seed. The parts are switched off in the trained models, not left out of training.
"""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ablation_end_to_end import HEADS, ROOT, slug
from ablation_end_to_end import trained as train_once
from ablation_table import Question, mean_over_seeds, read_scores, tables_of_arms
from rich.console import Console

from eval import evaluate
from vos_occ.inference.class_map import map_classes
from vos_occ.inference.load import load
from vos_occ.inference.tracking_files import scored_files, tracking_run
from vos_occ.inference.tracking_split import BDD100K, TrackingSplit, find_tracking_split
from vos_occ.models.video.pcan import OccPCAN
from vos_occ.results.output import write_atomically
from vos_occ.structures.errors import InputError
from vos_occ.training import read_config

MODES = {"frozen": "refine", "e2e": "e2e"}
"""How a model is trained after its mask head -> the last stage, of configs/demo/bdd_pcan_STAGE_HEAD.py."""
BEFORE = {"mask": "box", "refine": "mask", "e2e": "mask"}
"""Stage -> the one whose last checkpoint it begins with; `box` begins with what its config names."""
ATTENTION = {"attention": True, "no attention": False}
REFINE = {"refine": True, "no refine": False}
FACTORS = ("training", "head", "frame attention", "refine head")
QUESTIONS = {
    "refine": Question({"refine": "refine"}, {"refine": "no refine"}),
    "attention": Question({"attention": "attention"}, {"attention": "no attention"}),
    "end to end": Question({"mode": "e2e", "head": "bilayer GCN"}, {"mode": "frozen"}),
    "head": Question({"head": "bilayer GCN"}, {"head": "single FCN"}),
    "both": Question({"mode": "e2e", "head": "bilayer GCN"}, {"mode": "frozen", "head": "single FCN"}),
}
COLUMNS = {
    "mMOTSA": ("mMOTSA", 3),
    "mMOTSP": ("mMOTSP", 3),
    "mIDF1": ("mIDF1", 3),
    "IDSW": ("ID switches", 1),
    "MOTSA": ("MOTSA, pooled", 3),
    "MOTSP": ("MOTSP, pooled", 3),
    "IDF1": ("IDF1, pooled", 3),
}
"""Score -> title of its column, digits. The mean over classes counts a class without a match as 0, also in mMOTSP."""


@dataclass(frozen=True)
class Arm:
    """One row of the table."""

    mode: str
    head: str
    attention: str
    refine: str

    def __str__(self) -> str:
        return ", ".join(vars(self).values())

    def scores_file(self, out: Path, seed: int, videos: int | None) -> Path:
        """Where the scores of one seed are written, those of the first videos apart from those of all."""
        trial = "" if videos is None else f"first_{videos}"
        folder = folder_of(MODES[self.mode], self.head, seed, out)
        return folder / trial / slug(f"{self.attention} {self.refine}") / "scores.json"


PLAIN = Arm("frozen", "single FCN", "attention", "refine")
ARMS = [
    Arm(mode, head, attention, refine)
    for mode in MODES
    for head in HEADS
    for attention in ATTENTION
    for refine in REFINE
]


def run_pcan(out: Path, seeds: Sequence[int], videos: int | None, console: Console) -> Iterator[str]:
    """Trains and scores what is missing; yields the lines of the tables.

    Args:
        out: folder for all of it.
        seeds: of the trainings.
        videos: how many of the validation videos are scored, the first ones; None for all.
        console: for progress.
    """
    for seed in seeds:
        for head in HEADS:
            for mode in MODES:
                score_model(mode, head, seed, out, videos, console)
    yield from tables(out, seeds, videos)


def folder_of(stage: str, head: str, seed: int, out: Path) -> Path:
    return out / f"{_name(stage, head)}_{seed}"


def config_of(stage: str, head: str) -> Path:
    return ROOT / f"configs/demo/bdd_pcan_{_name(stage, head)}.py"


def _name(stage: str, head: str) -> str:
    return stage if stage == "box" else f"{stage}_{HEADS[head]}"


def trained(stage: str, head: str, seed: int, out: Path) -> Path:
    """The last checkpoint of a stage, which is trained unless that is there."""
    config = config_of(stage, head)

    def start() -> Path:
        return trained(BEFORE[stage], head, seed, out) if stage in BEFORE else ROOT / read_config(config).load_from

    return train_once(config, folder_of(stage, head, seed, out), seed, start)


def score_model(mode: str, head: str, seed: int, out: Path, videos: int | None, console: Console) -> None:
    """Trains one model and scores it with each of its parts on and off, unless the scores are there."""
    files = {arm: arm.scores_file(out, seed, videos) for arm in ARMS if (arm.mode, arm.head) == (mode, head)}
    missing = {arm: file for arm, file in files.items() if not file.exists()}
    if not missing:
        return
    config = config_of(MODES[mode], head)
    model = load(trained(MODES[mode], head, seed, out), config=config)
    split = validation_videos(config, videos, out)
    for arm, file in missing.items():
        started = time.monotonic()
        score_arm(arm, model, split, file)
        seconds = time.monotonic() - started
        console.print(f"seed {seed}, {arm}, {len(split.videos)} videos in {seconds:.0f} s: {file.read_text()}")


def validation_videos(config: Path, videos: int | None, out: Path) -> TrackingSplit:
    """The validation videos of a config's data, or the first of them, whose labels are then copied to `out`.

    Raises:
        InputError: there are fewer, or no labels.
    """
    split = find_tracking_split(BDD100K, read_config(config), split="val")
    if split.truth is None:
        raise InputError(f"'{split.image_root}' comes without labels. Make the data anew with make_synthetic_data.py.")
    if videos is not None:
        if videos > len(split.videos):
            raise InputError(f"--videos is {videos}, but '{split.image_root}' has {len(split.videos)}. Name fewer.")
        truth = out / f"labels_of_first_{videos}"  # else the others' objects would count as missed
        for video in split.videos[:videos]:
            shutil.copytree(split.truth / video.name, truth / video.name, dirs_exist_ok=True)
        split = replace(split, videos=split.videos[:videos], truth=truth)
    split.require_scorable()
    return split


def score_arm(arm: Arm, model: OccPCAN, split: TrackingSplit, file: Path) -> None:
    """Runs a model as tools/test_video.py does, with the parts that the arm has, and scores the files it wrote."""
    model.use_frame_attention, model.use_refine = ATTENTION[arm.attention], REFINE[arm.refine]
    mapped = map_classes(model.classes, split.categories, {}, split.benchmark)
    tracking_run(model, split, file.parent, mapped).run(resume=True)
    pred, seqmap = scored_files(split, file.parent)
    found = evaluate(split.protocol, split.truth, pred, seqmap=seqmap)
    scores = {**found.overall, **found.summary}
    write_atomically(file, json.dumps({name: scores[name] for name in COLUMNS}, indent=1) + "\n")


def tables(out: Path, seeds: Sequence[int], videos: int | None) -> Iterator[str]:
    """What `tables_of_arms` shows of these models."""
    results = {arm: {seed: read_scores(arm.scores_file(out, seed, videos)) for seed in seeds} for arm in ARMS}
    of = "" if videos is None else f", first {videos} validation videos"
    title = f"Synthetic BDD100K{of}, seeds {', '.join(map(str, seeds))}: means over seeds"
    doubt = "" if mean_over_seeds(results[PLAIN], "mMOTSA") > 0 else f"mMOTSA of {PLAIN} is not above 0"
    yield from tables_of_arms(title, FACTORS, results, COLUMNS, QUESTIONS, doubt)
