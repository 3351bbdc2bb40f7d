#!/usr/bin/env python
"""Run a model over a YTVIS-format dataset: tools/test_video.py CONFIG CHECKPOINT --out DIR.

Writes one shard and one JSONL per video, then results.json; with annotations, prints the scores of these files.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from eval.errors import SchemaError
from vos_occ.structures.errors import InputError, UserError


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", help="config file, or - for a checkpoint that carries its own")
    parser.add_argument("checkpoint", help="checkpoint file, or a shipped name")
    parser.add_argument("--out", type=Path, required=True, help="folder for results.json, shards/ and jsonl/")
    parser.add_argument("--ann-file", help="YTVIS-format json (default: the config's test_dataset.ann_file)")
    parser.add_argument("--image-root", help="folder of its images (default: the config's test_dataset.image_root)")
    parser.add_argument("--score-thr", type=float, help="least score of a detection, 0..1 (default: the model's)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--overwrite", action="store_true", help="replace existing results")
    parser.add_argument("--trust-checkpoint", action="store_true", help="unpickle a .pth without restrictions")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    return parser.parse_args(arguments)


def dataset_paths(args: argparse.Namespace) -> tuple[str, str]:
    """Annotation file and image root, from the command line or from the config."""
    from vos_occ.training import read_config

    named = {} if args.config == "-" else dict(read_config(args.config).get("test_dataset", {}))
    ann_file, image_root = args.ann_file or named.get("ann_file"), args.image_root or named.get("image_root")
    if not ann_file or not image_root:
        raise InputError(f"Config {args.config!r} names no test_dataset: give --ann-file and --image-root.")
    return ann_file, image_root


def test(args: argparse.Namespace) -> None:
    from eval.readers.ytvis import read_ytvis
    from vos_occ.inference.benchmark import run_dataset
    from vos_occ.inference.load import load
    from vos_occ.inference.progress import frames_bar
    from vos_occ.results.output import require_new, write_atomically
    from vos_occ.scoring import score_dataset

    if args.score_thr is not None and not 0 <= args.score_thr <= 1:
        raise InputError(f"--score-thr must lie in 0..1, found {args.score_thr}.")
    ann_file, image_root = dataset_paths(args)
    dataset = read_ytvis(ann_file)
    for name in ("results.json", "scores.json"):  # before a model is loaded
        require_new(args.out / name, args.overwrite, folder=False)
    config = None if args.config == "-" else args.config
    model = load(args.checkpoint, config=config, device=args.device, trust_checkpoint=args.trust_checkpoint)
    if args.score_thr is not None:
        model.score_threshold = args.score_thr
    with frames_bar(args.quiet) as progress:
        task = progress.add_task("frames", total=sum(video.length for video in dataset.videos))
        path = run_dataset(
            model, dataset, image_root, args.out, overwrite=args.overwrite, on_frame=lambda _: progress.advance(task)
        )
    print(f"Wrote {path}.")
    if not dataset.has_annotations:
        print(f"{ann_file} has no annotations, so nothing is scored: submit results.json to the benchmark's server.")
        return
    scores = score_dataset(dataset, args.out).as_dict()
    write_atomically(args.out / "scores.json", json.dumps(scores, indent=1) + "\n")
    table = Table("score", "value")
    for name, value in scores.items():
        table.add_row(name, "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value))
    Console().print(table)


def main(arguments: list[str] | None = None) -> int:
    args = parse_arguments(arguments)
    try:
        test(args)
    except (UserError, SchemaError) as error:
        print(f"test_video: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
