"""Whole models that differ in the mask head: trained alike from one checkpoint without it, scored on single images."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from image_scores import score_images
from rich.console import Console

from vos_occ.checkpoints.files import load_checkpoint
from vos_occ.inference.load import load
from vos_occ.results.output import write_atomically
from vos_occ.structures.errors import InputError
from vos_occ.training import read_config

ROOT = Path(__file__).resolve().parent.parent
MASK_HEAD = "detector.roi_head.mask_head."
MIN_SCORE = 0.05  # as COCO's AP is usually taken
HEADS = {"single FCN": "single", "bilayer GCN": "bilayer"}
"""Of configs/ablation/WORLD_HEAD.py. The first is the one that the other is compared with."""


@dataclass(frozen=True)
class World:
    """What one pair of configs is trained from and scored on.

    Attributes:
        start: shipped model whose weights both begin with, but for the mask head's.
        tests: name -> (COCO file, folder of its images), relative to the folder that the tool runs in.
    """

    start: str
    tests: dict[str, tuple[str, str]]


WORLDS = {
    "synthetic": World(
        "synthetic", {"held back": ("data/synthetic/heldout/annotations_coco.json", "data/synthetic/heldout/frames")}
    ),
    "person": World(
        "person",
        {
            "Penn-Fudan": ("data/person_ablation/pennfudan_val.json", "data/person_ablation/pennfudan"),
            "Penn-Fudan, occluded": (
                "data/person_ablation/pennfudan_val_occluded.json",
                "data/person_ablation/pennfudan",
            ),
        },
    ),
}


def run_model(world: str, head: str, seed: int, out: Path, console: Console) -> None:
    """Trains and scores one model, unless its scores are there; a training that was stopped goes on."""
    folder = out / world / f"{HEADS[head]}_{seed}"
    if (folder / "scores.json").exists():
        return
    config = ROOT / f"configs/ablation/{world}_{HEADS[head]}.py"
    checkpoint = last_checkpoint(train(config, folder, seed, start_weights(world, out)))
    console.print(f"{world}, seed {seed}, {head}: scoring {checkpoint}")
    model = load(str(checkpoint), config=str(config))
    model.score_threshold = MIN_SCORE
    scores = {"parameters": head_parameters(checkpoint), "seconds_per_step": seconds_per_step(folder)}
    for name, (ann_file, images) in WORLDS[world].tests.items():
        scores[name] = score_images(model, Path(ann_file), Path(images), folder / f"{slug(name)}.json")
    write_atomically(folder / "scores.json", json.dumps(scores, indent=1))
    console.print(f"{world}, seed {seed}, {head}: {scores}")


def start_weights(world: str, out: Path) -> Path:
    """The shipped weights that a world's models begin with, without the mask head's; made unless they are in `out`."""
    start = out / f"{world}_without_mask_head.safetensors"
    if not start.exists():
        shipped = ROOT / f"vos_occ/weights/{WORLDS[world].start}.safetensors"
        run_tool("drop_weights.py", str(shipped), str(start), "--prefix", MASK_HEAD)
    return start


def train(config: Path, folder: Path, seed: int, start: Path) -> Path:
    """Trains from the weights `start` in a process of its own, on one thread; answers with `folder`."""
    resume = ["--resume"] if (folder / "last_checkpoint").exists() else []
    arguments = ["--work-dir", str(folder), "--seed", str(seed), "--cfg-options", f"load_from={start}"]
    run_tool("train.py", str(config), *resume, *arguments)
    return folder


def trained(config: Path, folder: Path, seed: int, start: Callable[[], Path]) -> Path:
    """The last checkpoint of a work dir, which is trained unless that is there; a training that was stopped goes on.

    Args:
        config: says how many steps there are.
        folder: work dir.
        seed: of the training.
        start: answers with the weights to begin with, where they are needed.
    """
    last = folder / f"iter_{read_config(config).train_cfg.max_iters}.pth"
    if not last.is_file():
        train(config, folder, seed, start())
    return last


def run_tool(name: str, *arguments: str) -> None:
    """Raises InputError unless the tool ends well; what it says goes to the terminal."""
    command = [sys.executable, str(ROOT / "tools" / name), *arguments]
    code = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=sys.stderr).returncode
    if code:
        raise InputError(f"{name} ended with exit code {code}: {' '.join(command)}")


def last_checkpoint(folder: Path) -> Path:
    """The newest checkpoint of a work dir."""
    return folder / Path((folder / "last_checkpoint").read_text().strip()).name


def head_parameters(checkpoint: Path) -> int:
    """Number of weights in the mask head of a checkpoint."""
    state = load_checkpoint(checkpoint).state_dict
    return sum(weight.numel() for name, weight in state.items() if name.startswith(MASK_HEAD))


def seconds_per_step(folder: Path) -> float:
    """Wall time of a training step in the fastest stretch of the newest log: the cores may have been shared."""
    log = max(folder.glob("*/vis_data/scalars.json"))
    return min(record["time"] for record in map(json.loads, log.read_text().splitlines()) if "time" in record)


def slug(name: str) -> str:
    """A name as part of a file's."""
    return name.replace(",", "").replace(" ", "_").lower()
