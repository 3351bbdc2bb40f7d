#!/usr/bin/env python
"""Run a model over YouTube-VIS, OVIS or a dataset of their format: tools/test_video.py CONFIG CHECKPOINT --out DIR.

Writes one shard and one JSONL per video, then results.json as the servers take it; with annotations, prints the scores
of these files. `--split valid` finds a benchmark's files, `--eval` scores by its protocol where ground truth is there.
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

from eval.errors import EvalError
from vos_occ.inference.video_files import FORMATS
from vos_occ.structures.errors import InputError, UserError

if TYPE_CHECKING:
    from eval.readers.ytvis import YtvisDataset
    from vos_occ.inference.resumable import BenchmarkRun
    from vos_occ.inference.shares import Worker
    from vos_occ.inference.video_files import VideoFiles


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", help="config file, or - for a checkpoint that carries its own")
    parser.add_argument("checkpoint", help="checkpoint file, or a shipped name")
    parser.add_argument("--out", type=Path, required=True, help="folder for results.json, shards/ and jsonl/")
    parser.add_argument("--split", choices=["train", "valid", "test"], help="find this split's files in the data root")
    parser.add_argument("--data-root", help="folder that the benchmark was unpacked into (default: the config's)")
    parser.add_argument(
        "--format", choices=FORMATS, help="whose results.json and protocol (default: the config's, else by the labels)"
    )
    parser.add_argument("--eval", action="store_true", help="score by the benchmark's protocol, if the truth is there")
    parser.add_argument("--ann-file", help="YTVIS-format json (default: the config's test_dataset.ann_file)")
    parser.add_argument("--image-root", help="folder of its images (default: the config's test_dataset.image_root)")
    parser.add_argument("--score-thr", type=float, help="least score of a detection, 0..1 (default: the model's)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--overwrite", action="store_true", help="replace existing results")
    parser.add_argument("--resume", action="store_true", help="go on with a run that ended early; keeps what is done")
    parser.add_argument("--trust-checkpoint", action="store_true", help="unpickle a .pth without restrictions")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    return parser.parse_args(arguments)


def files_of(args: argparse.Namespace) -> VideoFiles:
    """What is tested, from the command line or from the config."""
    from vos_occ.inference.video_files import find_video_files
    from vos_occ.training import read_config

    return find_video_files(
        {} if args.config == "-" else read_config(args.config),
        ann_file=args.ann_file,
        image_root=args.image_root,
        split=args.split,
        data_root=args.data_root,
        format=args.format,
    )


def test(args: argparse.Namespace) -> None:
    from eval.readers.ytvis import read_ytvis
    from vos_occ.inference.benchmark import ytvis_run
    from vos_occ.inference.load import load
    from vos_occ.inference.shares import Worker
    from vos_occ.results.output import require_new

    if args.score_thr is not None and not 0 <= args.score_thr <= 1:
        raise InputError(f"--score-thr must lie in 0..1, found {args.score_thr}.")
    worker = Worker.from_environment()
    files = files_of(args)
    dataset = read_ytvis(files.ann_file)
    protocol = files.format or ("ovis" if any(track.occlusion for track in dataset.tracks) else "ytvis")
    for name in ("results.json", "scores.json", f"{protocol}.json"):  # before a model is loaded
        require_new(args.out / name, args.overwrite or args.resume, folder=False)
    model = load(
        args.checkpoint,
        config=None if args.config == "-" else args.config,
        device=worker.device(args.device),
        trust_checkpoint=args.trust_checkpoint,
    )
    if args.score_thr is not None:
        model.score_threshold = args.score_thr
    path = run_videos(args, ytvis_run(model, dataset, files.image_root, args.out), worker)
    worker.leave()
    if not worker.is_first:
        return
    print(f"Wrote {path}.")
    if not dataset.has_annotations:
        pack = "tools/submit.py pack makes the zip for the benchmark's server."
        print(f"{files.ann_file} has no annotations, so nothing is scored: {pack}")
        return
    print_scores(dataset, args.out)
    if args.eval and dataset.tracks:
        print_benchmark_scores(protocol, files.ann_file, args.out)
    elif args.eval:
        print(f"{files.ann_file} annotates no object, so there is nothing to score by {protocol}.")


def run_videos(args: argparse.Namespace, run: BenchmarkRun, worker: Worker) -> Path:
    """Runs this process's share of the videos, with a progress bar; answers with the results' path."""
    from vos_occ.inference.progress import frames_bar
    from vos_occ.inference.stopping import StopSignals

    with StopSignals() as stop, frames_bar(args.quiet or not worker.is_first) as progress:
        task = progress.add_task("frames", total=sum(video.length for video in run.to_do(worker, args.resume)))

        def after_frame(_: object) -> None:
            progress.advance(task)
            stop.check(f"The videos that are done are in '{args.out}'. Go on with --resume.")

        return run.run(overwrite=args.overwrite, resume=args.resume, worker=worker, on_frame=after_frame)


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


def print_benchmark_scores(protocol: str, ann_file: Path, out: Path) -> None:
    """Scores results.json by the benchmark's protocol, into PROTOCOL.json in `out` and onto the terminal."""
    from eval import evaluate
    from eval.protocols import protocol as rules_of
    from eval.table import score_tables
    from vos_occ.results.output import write_atomically

    scores = evaluate(protocol, gt=ann_file, pred=out / "results.json")
    write_atomically(out / f"{protocol}.json", json.dumps(scores.as_json(), indent=1) + "\n")
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, 160)  # a file has no edge to wrap at
    for drawn in score_tables(scores, rules_of(protocol).columns):
        console.print(drawn)
    for warning in scores.warnings:
        print(f"warning: {warning}", file=sys.stderr)


def main(arguments: list[str] | None = None) -> int:
    args = parse_arguments(arguments)
    try:
        test(args)
    except (UserError, EvalError) as error:
        print(f"test_video: {error}", file=sys.stderr)
        return getattr(error, "exit_code", 2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
