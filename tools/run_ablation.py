#!/usr/bin/env python
"""Which part of the models helps: tools/run_ablation.py heads|end-to-end|tracking|pcan --out DIR.

`heads`: the backbone, pyramid, RPN and box head of a trained model (default: the shipped `synthetic`) stay as they are.
RoI features and jittered boxes of the synthetic world are cached once; then each variant of the mask head is trained on
identical batches, per seed, and scored on held-back videos.
`end-to-end`: whole models with the plain and the bilayer head, from one checkpoint without a mask head, trained alike
on the synthetic world and on Penn-Fudan with COCO128 (data: make_synthetic_data.py, make_person_data.py).
`tracking`: MaskTrack and CMTrack R-CNN with both heads, each with its own and with the occlusion-gated memory, on a
synthetic OVIS (make_synthetic_data.py --format ovis --heldout 40); start weights are kept one folder above --out.
`pcan`: PCAN with both heads, as released and end to end, its prototype parts on and off, on the synthetic BDD100K
(make_synthetic_data.py --format bdd100k); checkpoints that tools/train.py left in --out are taken.

All is scored from the result files that were written. What is done already is kept: after a stop, the same command
goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
from ablation_end_to_end import HEADS, WORLDS, run_model, slug
from ablation_heads import VARIANTS, Schedule, build_head, segment, train_head
from ablation_pcan import run_pcan
from ablation_rois import EXTENTS, Extent, TestRois, TrainingRois, frames_of, test_rois, training_rois
from ablation_table import LEAST_AP, markdown_table
from ablation_tracking import run_tracking
from image_scores import HEAVILY_HIDDEN
from rich.console import Console

from eval.errors import EvalError
from eval.image_ap import image_ap
from eval.readers.coco import read_coco, read_coco_results
from vos_occ.datasets.synthetic import SyntheticWorld
from vos_occ.results.coco import write_coco_dataset
from vos_occ.results.output import write_atomically
from vos_occ.structures.errors import InputError, UserError
from vos_occ.structures.rle import iou

COLUMNS = {"AP": "AP", "AP_occluded": "AP, hidden > .3", "AP_hidden_over_30": "AP, hidden > .3"}
COLUMNS |= {"IoU": "mean IoU", "IoU_occluded": "mean IoU, hidden > .3"}
COLUMNS |= {"AP50_hidden_over_30": "AP50, hidden > .3", "hidden_MAE": "hidden fraction, mean absolute error"}
TEST_SETS: dict[Extent, tuple[str, ...]] = {"modal": ("detected", "given"), "amodal": ("given",)}
"""Detected boxes hold what is visible of an object, so whole objects are segmented in jittered true boxes alone."""


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = parser.add_subparsers(dest="part", required=True)
    heads = parts.add_parser("heads", help="mask heads alone, on cached features of a frozen detector")
    whole = parts.add_parser("end-to-end", help="whole models")
    tracking = parts.add_parser("tracking", help="video models with both heads and both memories")
    pcan = parts.add_parser("pcan", help="PCAN in its stages, prototype parts on and off")
    for part in (heads, whole, tracking, pcan):
        part.add_argument("--out", type=Path, required=True, help="folder for what is made, and for tables.md")
        part.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    whole.add_argument("--worlds", nargs="+", choices=WORLDS, default=list(WORLDS))
    pcan.add_argument("--videos", type=int, metavar="N", help="a trial: the first N validation videos alone")
    heads.add_argument("--checkpoint", default="synthetic", help="whose detector is frozen: a shipped name or a file")
    heads.add_argument("--extents", nargs="+", choices=EXTENTS, default=list(EXTENTS), help="modal, amodal or both")
    heads.add_argument("--variants", nargs="+", metavar="NAME", help=f"of: {', '.join(VARIANTS)} (default: all)")
    heads.add_argument("--steps", type=int, default=Schedule.steps, help="of training, per head")
    heads.add_argument("--videos", type=int, nargs=2, default=[200, 40], help="training and held-back videos")
    heads.add_argument("--stride", type=int, default=5, help="every so many frames of a video are used")
    args = parser.parse_args(arguments)
    if args.part == "heads" and min(args.steps, *args.videos, args.stride) < 1:
        parser.error("--steps, --videos and --stride must be at least 1")
    if args.part == "pcan" and args.videos is not None and args.videos < 1:
        parser.error("--videos must be at least 1")
    return args


def run_heads(args: argparse.Namespace, console: Console) -> Iterator[str]:
    """Trains and scores what is missing; yields the lines of the tables."""
    variants = args.variants or list(VARIANTS)
    if unknown := set(variants) - set(VARIANTS):
        raise InputError(f"Variant {min(unknown)!r} is not known. There are: {', '.join(VARIANTS)}.")
    for extent in args.extents:
        cache = args.out / extent
        make_cache(args, extent, cache, console)
        train = TrainingRois.load(cache / "train.pt")
        for seed in args.seeds:
            for variant in variants:
                run_head(variant, seed, train, extent, cache, Schedule(steps=args.steps), console)
        folders = {variant: {seed: head_folder(cache, variant, seed) for seed in args.seeds} for variant in variants}
        for name in TEST_SETS[extent]:
            yield from table(f"{extent} masks in {name} boxes", name, folders)


def run_end_to_end(args: argparse.Namespace, console: Console) -> Iterator[str]:
    """Trains and scores what is missing; yields the lines of the tables."""
    for world in args.worlds:
        for seed in args.seeds:
            for head in HEADS:
                run_model(world, head, seed, args.out, console)
        folders = {
            head: {seed: args.out / world / f"{short}_{seed}" for seed in args.seeds} for head, short in HEADS.items()
        }
        for name in WORLDS[world].tests:
            yield from table(f"{world}, end to end: {name}", name, folders)


def make_cache(args: argparse.Namespace, extent: Extent, cache: Path, console: Console) -> None:
    """Writes `train.pt`, and `NAME.pt` and `NAME.json` of each test set, unless they are there for these options."""
    made_for = {"checkpoint": args.checkpoint, "videos": args.videos, "stride": args.stride}
    stamp = cache / "made_for.json"
    if stamp.exists():
        if json.loads(stamp.read_text()) != made_for:
            raise InputError(f"{cache} was made for {stamp.read_text()}, not for {made_for}. Use another --out.")
        return
    from vos_occ.inference.load import load

    model = load(args.checkpoint)
    cache.mkdir(parents=True, exist_ok=True)
    console.print(f"{extent}: features of {args.videos[0]} training videos")
    training = frames_of(SyntheticWorld("train"), range(args.videos[0]), args.stride)
    training_rois(model, training, extent).save(cache / "train.pt")
    for name in TEST_SETS[extent]:
        console.print(f"{extent}, {name} boxes: features of {args.videos[1]} held-back videos")
        frames = frames_of(SyntheticWorld("heldout"), range(args.videos[1]), args.stride)
        rois, dataset = test_rois(model, frames, extent, detected=name == "detected")
        rois.save(cache / f"{name}.pt")
        write_coco_dataset(cache / f"{name}.json", **dataset, overwrite=True)
    write_atomically(stamp, json.dumps(made_for))  # last: a cache that was cut short is made anew


def run_head(
    variant: str, seed: int, train: TrainingRois, extent: Extent, cache: Path, schedule: Schedule, console: Console
) -> None:
    """Trains and scores one head, unless its scores are there."""
    folder = head_folder(cache, variant, seed)
    if (folder / "scores.json").exists():
        steps = json.loads((folder / "scores.json").read_text())["steps"]
        if steps != schedule.steps:
            raise InputError(f"{folder} was trained for {steps} steps, not for {schedule.steps}. Use another --out.")
        return
    folder.mkdir(parents=True, exist_ok=True)
    head = build_head(variant, train.feats.shape[1], seed)
    seconds = train_head(head, train, schedule, seed)
    scores: dict[str, Any] = {
        "parameters": sum(parameter.numel() for parameter in head.parameters()),
        "seconds_per_step": seconds,
        "steps": schedule.steps,
    }
    for name in TEST_SETS[extent]:
        rois = TestRois.load(cache / f"{name}.pt")
        write_atomically(folder / f"{name}.json", json.dumps(segment(head, rois)))
        scores[name] = score(cache / f"{name}.json", folder / f"{name}.json", rois)
    write_atomically(folder / "scores.json", json.dumps(scores, indent=1))
    console.print(f"{extent}, seed {seed}, {variant}: {scores[TEST_SETS[extent][0]]}")


def head_folder(cache: Path, variant: str, seed: int) -> Path:
    return cache / "heads" / f"{slug(variant)}_{seed}"


def score(annotations: Path, results: Path, rois: TestRois) -> dict[str, float]:
    """AP, and with given boxes mean IoU: of all objects, and of those that are hidden by more than `HEAVILY_HIDDEN`."""
    dataset = read_coco(annotations)
    found = read_coco_results(results, dataset)
    occluded = dataset.objects(lambda annotation: annotation.extra["hidden"] > HEAVILY_HIDDEN)
    scores = {"AP": image_ap(dataset.objects(), found).ap, "AP_occluded": image_ap(occluded, found).ap}
    if rois.annotation_ids.any():
        truth = {annotation.id: annotation for annotation in dataset.annotations}
        pairs = [(truth[i], result.mask) for i, result in zip(rois.annotation_ids.tolist(), found, strict=True)]
        ious = np.array([iou([annotation.segmentation], [mask])[0, 0] for annotation, mask in pairs])
        is_occluded = np.array([annotation.extra["hidden"] > HEAVILY_HIDDEN for annotation, _ in pairs])
        scores |= {"IoU": float(ious.mean()), "IoU_occluded": float(ious[is_occluded].mean())}
    return scores


def table(title: str, test: str, folders: Mapping[str, Mapping[int, Path]]) -> Iterator[str]:
    """One test's scores of all variants, with a word where the first is too weak for the table to count.

    Args:
        title: of the table.
        test: its name in the scores.json files.
        folders: variant -> seed -> folder with scores.json.
    """
    runs = {
        variant: {seed: json.loads((folder / "scores.json").read_text()) for seed, folder in of_seed.items()}
        for variant, of_seed in folders.items()
    }
    results = {variant: {seed: run[test] for seed, run in of_seed.items()} for variant, of_seed in runs.items()}
    reference, first = next(iter(results.items()))
    columns = {name: text for name, text in COLUMNS.items() if name in next(iter(first.values()))}
    yield f"\n{title}, seeds {', '.join(map(str, first))}; in brackets the difference from the first row, paired by"
    yield "seed, ± standard error; * = more than two of these\n"
    if mean(scores["AP"] for scores in first.values()) < LEAST_AP:
        yield f"DOES NOT COUNT: {reference} stays under {LEAST_AP:.2f} AP\n"
    yield markdown_table(results, columns, {variant: cost(of_seed) for variant, of_seed in runs.items()})


def cost(runs: Mapping[int, Mapping[str, Any]]) -> str:
    """Parameters, and milliseconds of a training step."""
    parameters = next(iter(runs.values()))["parameters"]
    return f"{parameters:,}, {1e3 * mean(run['seconds_per_step'] for run in runs.values()):.0f}"


def main(arguments: list[str] | None = None) -> int:
    args = parse_arguments(arguments)
    torch.set_num_threads(1)
    console = Console(stderr=True)
    try:
        if args.part == "tracking":
            lines = run_tracking(args.out, args.seeds, console)
        elif args.part == "pcan":
            lines = run_pcan(args.out, args.seeds, args.videos, console)
        else:
            lines = (run_heads if args.part == "heads" else run_end_to_end)(args, console)
        tables = "\n".join(lines)
        write_atomically(args.out / "tables.md", tables + "\n")
        print(tables)
    except (UserError, EvalError) as error:
        print(f"run_ablation: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
