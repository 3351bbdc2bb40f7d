#!/usr/bin/env python
"""Check results before they are uploaded, or pack them: tools/submit.py check|pack --benchmark B --ann-file SPLIT IN.

`check` lists every defect. `pack` writes the zip that the server takes, if there is none.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from eval.errors import EvalError
from vos_occ.results.submission import BENCHMARKS, check_submission, pack_submission
from vos_occ.results.submission_report import SubmissionReport
from vos_occ.structures.errors import UserError


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("results", type=Path, help="results.json, its zip, or the folder that test_video.py wrote")
    common.add_argument("--benchmark", required=True, choices=sorted(BENCHMARKS), help="whose server")
    common.add_argument("--ann-file", type=Path, required=True, help="json of the split, which the results answer")
    common.add_argument(
        "--allow-missing", action="store_true", help="videos without any track are a warning: nothing was found there"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="check|pack")
    commands.add_parser("check", parents=[common], help="list what is wrong")
    pack = commands.add_parser("pack", parents=[common], help="check, and write the zip")
    pack.add_argument("--out", type=Path, required=True, help="the zip to write")
    pack.add_argument("--overwrite", action="store_true", help="replace an existing zip")
    return parser.parse_args(arguments)


def submit(args: argparse.Namespace) -> SubmissionReport:
    """Does what was asked for."""
    benchmark = BENCHMARKS[args.benchmark]
    inputs = benchmark, args.results, args.ann_file
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
        print(f"submit: {args.results} has {report.defects.total()} defects.{nothing}", file=sys.stderr)
        return 2
    contents = ", ".join(f"{count} {what}" for what, count in report.contents.items())
    print(f"{args.results}: {contents}, no defect.")
    if args.command == "pack":
        print(f"Wrote {args.out}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
