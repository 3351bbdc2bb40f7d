#!/usr/bin/env python
"""Run a model over a YTVIS-format dataset: tools/test_video.py CONFIG CHECKPOINT --out DIR.

Writes one shard and one JSONL per video, then results.json; with annotations, prints the scores of these files.
Under `torchrun --nproc-per-node N` the videos are shared out among N processes. A run that was stopped, killed or ran
out of disk goes on with --resume.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from eval.errors import SchemaError
from vos_occ.structures.errors import InputError, UserError

if TYPE_CHECKING:
    from eval.readers.ytvis import YtvisDataset


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
    parser.add_argument("--resume", action="store_true", help="go on with a run that ended early; keeps what is done")
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
    from vos_occ.inference.benchmark import is_done, run_dataset
    from vos_occ.inference.load import load
    from vos_occ.inference.progress import frames_bar
    from vos_occ.inference.shares import Worker
    from vos_occ.inference.stopping import StopSignals
    from vos_occ.results.output import require_new

    if args.score_thr is not None and not 0 <= args.score_thr <= 1:
        raise InputError(f"--score-thr must lie in 0..1, found {args.score_thr}.")
    worker = Worker.from_environment()
    ann_file, image_root = dataset_paths(args)
    dataset = read_ytvis(ann_file)
    for name in ("results.json", "scores.json"):  # before a model is loaded
        require_new(args.out / name, args.overwrite or args.resume, folder=False)
    model = load(
        args.checkpoint,
        config=None if args.config == "-" else args.config,
        device=worker.device(args.device),
        trust_checkpoint=args.trust_checkpoint,
    )
    if args.score_thr is not None:
        model.score_threshold = args.score_thr
    to_do = [video for video in worker.share(dataset.videos) if not (args.resume and is_done(args.out, video))]
    with StopSignals() as stop, frames_bar(args.quiet or not worker.is_first) as progress:
        task = progress.add_task("frames", total=sum(video.length for video in to_do))

        def after_frame(_: object) -> None:
            progress.advance(task)
            stop.check(f"The videos that are done are in '{args.out}'. Go on with --resume.")

        path = run_dataset(
            model,
            dataset,
            image_root,
            args.out,
            overwrite=args.overwrite,
            resume=args.resume,
            worker=worker,
            on_frame=after_frame,
        )
    worker.leave()
    if not worker.is_first:
        return
    print(f"Wrote {path}.")
    if dataset.has_annotations:
        print_scores(dataset, args.out)
    else:
        print(f"{ann_file} has no annotations, so nothing is scored: submit results.json to the benchmark's server.")


def print_scores(dataset: YtvisDataset, out: Path) -> None:
    """Scores the files in `out`, into scores.json and onto the terminal."""
    from vos_occ.results.output import write_atomically
    from vos_occ.scoring import score_dataset

    scores = score_dataset(dataset, out).as_dict()
    write_atomically(out / "scores.json", json.dumps(scores, indent=1) + "\n")
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
        return getattr(error, "exit_code", 2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
