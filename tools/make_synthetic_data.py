#!/usr/bin/env python
"""Render videos of the synthetic world with exact annotations: tools/make_synthetic_data.py --out data/synthetic.

Writes train/ and heldout/, each with frames, annotations_ytvis.json and annotations_coco.json. With --format ovis, the
files and folders of OVIS: annotations_train.json and train/; annotations_valid.json, whose annotations are null, and
valid/, the held-back videos; and annotations_valid_full.json to score against. With --format bdd100k those of BDD100K,
with eight classes, crowds and distractors: images/ and labels/ of seg_track_20, ins_seg, det_20 and box_track_20. With
--format kitti_mots those of KITTI MOTS, with cars, pedestrians and regions to ignore: training/, instances/,
instances_txt/ and seqmaps. These two can have test videos too, without labels.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from vos_occ.datasets.synthetic import write_dataset
from vos_occ.datasets.synthetic_bdd100k import write_bdd100k
from vos_occ.datasets.synthetic_kitti_mots import write_kitti_mots
from vos_occ.datasets.synthetic_ovis import write_ovis
from vos_occ.structures.errors import UserError

COUNTS = {"plain": (200, 20), "ovis": (200, 20), "bdd100k": (120, 20), "kitti_mots": (12, 9)}
"""Training and held-back videos of each format, unless asked for otherwise."""


def make_plain(args: argparse.Namespace) -> None:
    for split, count in (("train", args.train), ("heldout", args.heldout)):
        if count:
            write_dataset(args.out / split, split, range(count), overwrite=args.overwrite, **args.world)
            print(f"{count} videos in {args.out / split}")


def make_ovis(args: argparse.Namespace) -> None:
    write_ovis(args.out, range(args.train), range(args.heldout), overwrite=args.overwrite, **args.world)
    for split, count in (("train", args.train), ("valid", args.heldout)):
        if count:
            print(f"{count} videos in {args.out / split}")


def make_bdd100k(args: argparse.Namespace) -> None:
    seeds = range(args.train), range(args.heldout), range(args.test)
    write_bdd100k(args.out, *seeds, overwrite=args.overwrite, **args.world)
    for split, count in (("train", args.train), ("val", args.heldout), ("test", args.test)):
        if count:
            print(f"{count} videos in {args.out / 'images' / 'seg_track_20' / split}")


def make_kitti_mots(args: argparse.Namespace) -> None:
    write_kitti_mots(args.out, args.train, args.heldout, args.test, overwrite=args.overwrite, **args.world)
    for split, count in (("training", args.train + args.heldout), ("testing", args.test)):
        if count:
            print(f"{count} sequences in {args.out / split / 'image_02'}")


FORMATS = {"plain": make_plain, "ovis": make_ovis, "bdd100k": make_bdd100k, "kitti_mots": make_kitti_mots}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="default: data/synthetic or data/synthetic_FORMAT")
    parser.add_argument("--format", choices=FORMATS, default="plain", help="which files and folders to write")
    counts = ", ".join(f"{name} {both[0]} and {both[1]}" for name, both in COUNTS.items())
    parser.add_argument(
        "--train", type=int, metavar="N", help=f"training videos, seeds 0..N-1; with --heldout: {counts}"
    )
    parser.add_argument("--heldout", type=int, metavar="N", help="videos of held-back looks, seeds 0..N-1")
    parser.add_argument("--test", type=int, default=0, metavar="N", help="bdd100k, kitti_mots: videos without labels")
    parser.add_argument("--frames", type=int, metavar="N", help="of a video; default 30, kitti_mots 100")
    parser.add_argument("--overwrite", action="store_true", help="replace existing annotations")
    args = parser.parse_args(arguments)
    args.train, args.heldout = (
        default if given is None else given
        for given, default in zip((args.train, args.heldout), COUNTS[args.format], strict=True)
    )
    if min(args.train, args.heldout, args.test) < 0:
        parser.error("--train, --heldout and --test must not be negative")
    if args.test and args.format not in ("bdd100k", "kitti_mots"):
        parser.error("--test goes with --format bdd100k and kitti_mots")
    args.world = {} if args.frames is None else {"num_frames": args.frames}
    args.out = args.out or Path("data/synthetic" if args.format == "plain" else f"data/synthetic_{args.format}")
    try:
        FORMATS[args.format](args)
    except UserError as error:
        print(f"make_synthetic_data: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
