#!/usr/bin/env python
"""Run a model over the videos of a benchmark or of a dataset of yours: tools/test_video.py CONFIG CHECKPOINT --out DIR.

YouTube-VIS, OVIS and their format: one shard and one JSONL per video, then results.json as the servers take it; with
annotations, prints the scores of these files. BDD100K, KITTI MOTS and MOTSChallenge: a JSONL per video, and Scalabel
JSON and bitmasks, or a text file per sequence. `--split valid` finds a benchmark's files, `--eval` scores by its
protocol where ground truth is there.
Under `torchrun --nproc-per-node N` the videos are shared out among N processes. A run that was stopped, killed or ran
out of disk goes on with --resume.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from eval.errors import EvalError
from vos_occ.inference.messages import warnings_as_lines
from vos_occ.inference.video_files import FORMATS, TRACKING_FORMATS, benchmark_of, find_video_files
from vos_occ.structures.errors import InputError, UserError

if TYPE_CHECKING:
    from eval.readers.ytvis import YtvisDataset
    from vos_occ.inference.resumable import BenchmarkRun
    from vos_occ.inference.shares import Worker
    from vos_occ.models.video.contract import VideoModel

PACK = "tools/submit.py pack makes the zip for the benchmark's server."


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", help="config file, or - for a checkpoint that carries its own")
    parser.add_argument("checkpoint", help="checkpoint file, or a shipped name")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results, shards/ and jsonl/")
    splits = ["train", "valid", "val", "trainval", "test"]
    parser.add_argument("--split", choices=splits, help="find this split's files in the data root; valid is val")
    parser.add_argument("--data-root", help="folder that the benchmark was unpacked into (default: the config's)")
    parser.add_argument(
        "--format",
        choices=[*FORMATS, *TRACKING_FORMATS],
        help="whose results and protocol (default: the config's, else by the labels)",
    )
    parser.add_argument("--eval", action="store_true", help="score by the benchmark's protocol, if the truth is there")
    parser.add_argument("--ann-file", help="YTVIS-format json, or labels (default: the config's test_dataset.ann_file)")
    parser.add_argument("--image-root", help="folder of the images (default: the config's test_dataset.image_root)")
    parser.add_argument("--seqmap", help="file that names the sequences of KITTI MOTS or MOTSChallenge that are run")
    parser.add_argument(
        "--class-map",
        nargs="+",
        default=[],
        metavar="CLASS=CATEGORY",
        help="the benchmark's category of a class of the model, where their names differ",
    )
    parser.add_argument("--score-thr", type=float, help="least score of a detection, 0..1 (default: the model's)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--overwrite", action="store_true", help="replace existing results")
    parser.add_argument("--resume", action="store_true", help="go on with a run that ended early; keeps what is done")
    parser.add_argument("--trust-checkpoint", action="store_true", help="unpickle a .pth without restrictions")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    return parser.parse_args(arguments)


def test(args: argparse.Namespace) -> None:
    from vos_occ.inference.shares import Worker
    from vos_occ.training import read_config

    if args.score_thr is not None and not 0 <= args.score_thr <= 1:
        raise InputError(f"--score-thr must lie in 0..1, found {args.score_thr}.")
    config = {} if args.config == "-" else read_config(args.config)
    benchmark = benchmark_of(config, args.format)
    if benchmark is not None:
        test_tracking(args, config, benchmark, Worker.from_environment())
    else:
        test_tracks(args, config, Worker.from_environment())


def test_tracks(args: argparse.Namespace, config: Mapping[str, Any], worker: Worker) -> None:
    """YouTube-VIS, OVIS and what has their format: videos and truth are a json."""
    from eval.readers.ytvis import read_ytvis
    from vos_occ.inference.benchmark import ytvis_run
    from vos_occ.results.output import require_new

    if args.seqmap or args.class_map:
        raise InputError(f"--seqmap and --class-map are of {', '.join(TRACKING_FORMATS)} alone. Leave them out.")
    named = {name: getattr(args, name) for name in ("ann_file", "image_root", "split", "data_root", "format")}
    files = find_video_files(config, **named)
    dataset = read_ytvis(files.ann_file)
    protocol = files.format or ("ovis" if any(track.occlusion for track in dataset.tracks) else "ytvis")
    for name in ("results.json", "scores.json", f"{protocol}.json"):  # before a model is loaded
        require_new(args.out / name, args.overwrite or args.resume, folder=False)
    model = loaded(args, worker)
    if not run_videos(args, ytvis_run(model, dataset, files.image_root, args.out), worker):
        return
    if not dataset.has_annotations:
        print(f"{files.ann_file} has no annotations, so nothing is scored: {PACK}")
        return
    print_scores(dataset, args.out)
    if args.eval and dataset.tracks:
        print_benchmark_scores(protocol, files.ann_file, args.out, args.out / "results.json")
    elif args.eval:
        print(f"{files.ann_file} annotates no object, so there is nothing to score by {protocol}.")


def test_tracking(args: argparse.Namespace, config: Mapping[str, Any], benchmark: str, worker: Worker) -> None:
    """BDD100K, KITTI MOTS and MOTSChallenge: videos are folders of pictures, and truth is beside them or not."""
    from vos_occ.inference.class_map import left_out, map_classes, parse_class_map
    from vos_occ.inference.tracking_files import scored_files, tracking_run
    from vos_occ.inference.tracking_split import find_tracking_split
    from vos_occ.results.output import require_new

    class_map = {**config.get("class_map", {}), **parse_class_map(args.class_map)}
    named = {name: getattr(args, name) for name in ("split", "data_root", "image_root", "ann_file", "seqmap")}
    split = find_tracking_split(benchmark, config, **named)
    if worker.is_first and split.warning:
        print(f"warning: {split.warning}", file=sys.stderr)
    require_new(args.out / f"{split.protocol}.json", args.overwrite or args.resume, folder=False)
    if args.eval:
        split.require_scorable()
    model = loaded(args, worker)
    mapped = map_classes(model.classes, split.categories, class_map, benchmark)
    if worker.is_first and (line := left_out(model.classes, mapped, benchmark)):
        print(line)
    if not run_videos(args, tracking_run(model, split, args.out, mapped), worker):
        return
    if args.eval and split.truth is not None:
        print_benchmark_scores(split.protocol, split.truth, args.out, *scored_files(split, args.out))
    elif args.eval:
        print(f"'{split.image_root}' comes without labels, so nothing is scored: {PACK}")


def loaded(args: argparse.Namespace, worker: Worker) -> VideoModel:
    from vos_occ.inference.load import load

    model = load(
        args.checkpoint,
        config=None if args.config == "-" else args.config,
        device=worker.device(args.device),
        trust_checkpoint=args.trust_checkpoint,
    )
    if args.score_thr is not None:
        model.score_threshold = args.score_thr
    return model


def run_videos(args: argparse.Namespace, run: BenchmarkRun, worker: Worker) -> bool:
    """Runs this process's share of the videos, with a progress bar; answers whether it is to talk of the results."""
    from vos_occ.inference.progress import frames_bar
    from vos_occ.inference.stopping import StopSignals

    with StopSignals() as stop, frames_bar(args.quiet or not worker.is_first) as progress:
        task = progress.add_task("frames", total=sum(video.length for video in run.to_do(worker, args.resume)))

        def after_frame(_: object) -> None:
            progress.advance(task)
            stop.check(f"The videos that are done are in '{args.out}'. Go on with --resume.")

        path = run.run(overwrite=args.overwrite, resume=args.resume, worker=worker, on_frame=after_frame)
    worker.leave()
    if worker.is_first:
        print(f"Wrote {path}.")
    return worker.is_first


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


def print_benchmark_scores(protocol: str, truth: Path, out: Path, pred: Path, seqmap: Path | None = None) -> None:
    """Scores results by the benchmark's protocol, into PROTOCOL.json in `out` and onto the terminal."""
    from eval import evaluate
    from eval.protocols import protocol as rules_of
    from eval.table import score_tables
    from vos_occ.results.output import write_atomically

    scores = evaluate(protocol, truth, pred, seqmap=seqmap)
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
        with warnings_as_lines("test_video"):
            test(args)
    except (UserError, EvalError) as error:
        print(f"test_video: {error}", file=sys.stderr)
        return getattr(error, "exit_code", 2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
