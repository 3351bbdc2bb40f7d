#!/usr/bin/env python
"""Try tracking options in seconds: record once what the network sees, then track it again with other options.

  tools/replay_tracking.py record CHECKPOINT RECORDINGS --ann-file A.json --image-root FRAMES
  tools/replay_tracking.py score CHECKPOINT RECORDINGS --ann-file A.json --out DIR --set memory.momentum=0.7

`score` prints the scores of the model's own options and of each --set beside them; a --set takes several options. Then
the change in ID switches, with its standard error over videos: a change of less than two of these may be chance. What
won goes into the config.
"""

from __future__ import annotations

import argparse
import ast
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import stdev
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from eval.errors import EvalError
from vos_occ.structures.errors import InputError, UserError

if TYPE_CHECKING:
    from eval.readers.ytvis import Video
    from vos_occ.scoring import VideoScores


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("record", "score"):
        command = commands.add_parser(name)
        command.add_argument("checkpoint", help="checkpoint file, or a shipped name")
        command.add_argument("recordings", type=Path, help="folder with a recording per video")
        command.add_argument("--ann-file", required=True, help="YTVIS-format json")
        command.add_argument("--config", help="config file, for checkpoints that do not carry theirs")
        command.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    commands.choices["record"].add_argument("--image-root", required=True, help="folder of the json's images")
    score = commands.choices["score"]
    score.add_argument("--out", type=Path, required=True, help="folder for the results: own/, set1/, set2/ ...")
    score.add_argument("--set", nargs="+", action="append", default=[], type=option, metavar="NAME=VALUE")
    score.add_argument("--overwrite", action="store_true", help="replace existing results")
    return parser.parse_args(arguments)


def option(text: str) -> tuple[str, Any]:
    """`memory.momentum=0.7` as a name and a Python value; what is no literal is text."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, found '{text}'")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def run(args: argparse.Namespace) -> None:
    from eval.readers.ytvis import read_ytvis
    from vos_occ.inference.load import load
    from vos_occ.inference.replay import record_dataset, replay_dataset, with_options
    from vos_occ.scoring import score_dataset

    dataset = read_ytvis(args.ann_file)
    model = load(args.checkpoint, config=args.config, device=args.device)
    if args.command == "record":
        args.recordings.mkdir(parents=True, exist_ok=True)
        record_dataset(model, dataset, args.image_root, args.recordings, on_video=said)
        print(f"Recorded {len(dataset.videos)} videos in '{args.recordings}'.")
        return
    if not dataset.has_annotations:
        raise InputError(f"{args.ann_file} has no annotations, so nothing can be scored.")
    variants = {"own": model} | {f"set{i}": with_options(model, dict(s)) for i, s in enumerate(args.set, start=1)}
    scores = {}
    for name, variant in variants.items():
        replay_dataset(variant, dataset, args.recordings, args.out / name, args.overwrite)
        scores[name] = score_dataset(dataset, args.out / name)
    console = Console()
    console.print(table_of_scores(scores))
    if len(scores) > 1:
        console.print(table_of_changes(scores))


def table_of_scores(scores: dict[str, VideoScores]) -> Table:
    """A column per set of options."""
    columns = {name: of_set.as_dict() for name, of_set in scores.items()}
    table = Table("score", *columns)
    for score in columns["own"]:
        table.add_row(score, *(shown(column.get(score)) for column in columns.values()))
    return table


def table_of_changes(scores: dict[str, VideoScores]) -> Table:
    """ID switches of each set of options less those of the model's own, with a standard error over videos."""
    own, sets = scores["own"].switches, {name: of_set.switches for name, of_set in scores.items() if name != "own"}
    table = Table(f"change over {len(own)} videos", *sets)
    for title, field in (("ID_switches", "total"), ("ID_switches_across_gaps", "across_gaps")):
        before = [getattr(video, field) for video in own]
        after = {name: [getattr(video, field) for video in videos] for name, videos in sets.items()}
        table.add_row(title, *(change(before, now) for now in after.values()))
    return table


def change(before: Sequence[int], after: Sequence[int]) -> str:
    """Sum of the differences video by video, ± its standard error; `*` if that is less than half of it."""
    differences = [now - then for then, now in zip(before, after, strict=True)]
    total = sum(differences)
    if len(differences) < 2:
        return f"{total:+d}"
    error = math.sqrt(len(differences)) * stdev(differences)
    return f"{total:+d} ± {error:.1f}{' *' if abs(total) > 2 * error else ''}"


def said(video: Video) -> None:
    print(f"{video.name}: {video.length} frames", file=sys.stderr)


def shown(value: float | int | None) -> str:
    return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


def main(arguments: list[str] | None = None) -> int:
    args = parse_arguments(arguments)
    try:
        run(args)
    except (UserError, EvalError) as error:
        print(f"replay_tracking: {error}", file=sys.stderr)
        return getattr(error, "exit_code", 2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
