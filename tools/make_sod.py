#!/usr/bin/env python
"""Make synthetic occlusion data: tools/make_sod.py instances_train2017.json --images train2017 --out data/sod.

Whole objects of a COCO-format dataset (the object bank, written as cob.json: box overlap with others at most 0.05, at
least 32 x 32 pixels, one piece, off the border) are pasted in front of others in their original images, so that they
cover 20 to 50 percent of them. Classes of occludees go in turn, those of occluders are drawn uniformly. Writes images/
and annotations.json: COCO, with `amodal_segmentation` (the mask before pasting), `hidden` and `in_front_of`. It is read
by AmodalDataset(format="synthetic"), for amodal learning, and as "coco", for visible masks.

Started again with the same arguments, it goes on where it was stopped. The result depends neither on stops nor on
--workers.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from eval.errors import EvalError
from vos_occ.datasets.sod import MIN_AREA
from vos_occ.datasets.sod_writer import ANNOTATIONS, SodSettings, SodWriter, write_parts
from vos_occ.structures.errors import InputError, UserError


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("annotations", type=Path, help="COCO instances json")
    parser.add_argument("--images", type=Path, required=True, help="folder that the json's file names are relative to")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--count", type=int, default=100_000, help="pictures (the paper: 100,000)")
    parser.add_argument("--overlap", type=float, nargs=2, default=[0.2, 0.5], metavar=("LOW", "HIGH"))
    parser.add_argument("--min-area", type=float, default=MIN_AREA, help="of an object of the bank, in pixels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.add_argument("--overwrite", action="store_true", help="start anew over what is there")
    args = parser.parse_args(arguments)
    if args.count < 1 or args.workers < 1 or args.seed < 0:
        parser.error("--count and --workers must be at least 1, --seed at least 0")
    if not 0 < args.overlap[0] <= args.overlap[1] < 1:
        parser.error("--overlap must be two shares, 0 < LOW <= HIGH < 1")
    return args


def make(args: argparse.Namespace) -> str:
    """Makes what is missing; answers what there is."""
    from rich.progress import Progress

    if not args.annotations.is_file():
        raise InputError(f"Annotations {args.annotations} do not exist.")
    low, high = args.overlap
    size = args.annotations.stat().st_size
    settings = SodSettings(str(args.annotations), size, args.count, args.seed, (low, high), args.min_area)
    writer = SodWriter(settings, args.images, args.out)
    parts = writer.prepare(args.overwrite)
    with Progress(disable=args.quiet or not sys.stderr.isatty()) as progress:
        task = progress.add_task("pictures", total=args.count)
        progress.advance(task, args.count - sum(map(writer.length, parts)))
        for done in write_parts(writer, parts, args.workers):
            progress.advance(task, done)
    images, objects = writer.finish()
    return (
        f"{images} pictures with {objects} objects, from a bank of {len(writer.bank)} in {len(writer.bank.by_class)} "
        f"classes: {args.out / ANNOTATIONS}"
    )


def main(arguments: list[str] | None = None) -> int:
    args = parse_arguments(arguments)
    try:
        print(make(args))
    except (UserError, EvalError) as error:
        print(f"make_sod: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("make_sod: stopped; the same command goes on from here.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
