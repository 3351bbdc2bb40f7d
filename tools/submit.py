#!/usr/bin/env python
"""Check results before they are uploaded, or pack them: tools/submit.py check|pack --benchmark B --ann-file SPLIT IN.

`check` lists every defect. `pack` writes the zip that the server takes, if there is none. What the split asks for, a
json says (YouTube-VIS, OVIS), or the frames (`--data-root` and `--split`, or `--image-root`), or labels or a seqmap.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from eval.errors import EvalError
from vos_occ.results.submission import BENCHMARKS, Benchmark, Split, check_submission, pack_submission
from vos_occ.results.submission_report import SubmissionReport
from vos_occ.structures.errors import InputError, UserError


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("results", type=Path, help="results, their zip, or the folder that test_video.py wrote")
    common.add_argument("--benchmark", required=True, choices=sorted(BENCHMARKS), help="whose server")
    common.add_argument(
        "--ann-file", type=Path, help="json of the split that the results answer; or labels, or a seqmap"
    )
    common.add_argument(
        "--split", help="train, val or test of a tracking benchmark, whose frames say what is asked for"
    )
    common.add_argument("--data-root", help="folder that the benchmark was unpacked into")
    common.add_argument("--image-root", help="folder that holds the frames of each video in a folder")
    common.add_argument(
        "--allow-missing", action="store_true", help="videos without any track are a warning: nothing was found there"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="check|pack")
    commands.add_parser("check", parents=[common], help="list what is wrong")
    pack = commands.add_parser("pack", parents=[common], help="check, and write the zip")
    pack.add_argument("--out", type=Path, required=True, help="the zip to write")
    pack.add_argument("--overwrite", action="store_true", help="replace an existing zip")
    return parser.parse_args(arguments)


def split_of(args: argparse.Namespace, benchmark: Benchmark) -> Split:
    """What the results are to answer."""
    frames = args.split or args.image_root
    if args.ann_file is not None and not frames:
        return args.ann_file
    if not benchmark.tracking:
        raise InputError(f"What {benchmark.title} asks for is in a json: name it with --ann-file, and nothing else.")
    if not frames or args.ann_file is not None:
        raise InputError("Name either --ann-file, or --split and --data-root, or --image-root.")
    from vos_occ.inference.tracking_split import find_tracking_split

    found = find_tracking_split(
        benchmark.name, {}, split=args.split, data_root=args.data_root, image_root=args.image_root
    )
    if found.warning:
        print(f"warning: {found.warning}", file=sys.stderr)
    return {video.name: video.extent for video in found.videos}


def submit(args: argparse.Namespace) -> SubmissionReport:
    """Does what was asked for."""
    benchmark = BENCHMARKS[args.benchmark]
    inputs = benchmark, args.results, split_of(args, benchmark)
    if args.command == "check":
        return check_submission(*inputs, allow_missing=args.allow_missing)
    return pack_submission(*inputs, args.out, allow_missing=args.allow_missing, overwrite=args.overwrite)


def main(arguments: list[str] | None = None) -> int:
    args = parse_arguments(arguments)
    try:
        report = submit(args)
    except (UserError, EvalError) as error:
        print(f"submit: {error}", file=sys.stderr)
        return 2
    for warning in report.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    for line in report.lines():
        print(line, file=sys.stderr)
    if not report.accepted:
        nothing = " Nothing was packed." if args.command == "pack" else ""
        count = report.defects.total()
        print(f"submit: {args.results} has {count} defect{'s' * (count > 1)}.{nothing}", file=sys.stderr)
        return 2
    contents = ", ".join(f"{count} {what}" for what, count in report.contents.items())
    print(f"{args.results}: {contents}, no defect.")
    if args.command == "pack":
        print(f"Wrote {args.out}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
