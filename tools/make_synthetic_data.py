#!/usr/bin/env python
"""Render videos of the synthetic world with exact annotations: tools/make_synthetic_data.py --out data/synthetic.

Writes train/ and heldout/, each with frames, annotations_ytvis.json and annotations_coco.json.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from vos_occ.datasets.synthetic import write_dataset
from vos_occ.structures.errors import UserError


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("data/synthetic"))
    parser.add_argument("--train", type=int, default=200, metavar="N", help="training videos, seeds 0..N-1")
    parser.add_argument("--heldout", type=int, default=20, metavar="N", help="videos of held-back looks, seeds 0..N-1")
    parser.add_argument("--overwrite", action="store_true", help="replace existing annotations")
    args = parser.parse_args(arguments)
    if min(args.train, args.heldout) < 0:
        parser.error("--train and --heldout must not be negative")
    try:
        for split, count in (("train", args.train), ("heldout", args.heldout)):
            if count:
                write_dataset(args.out / split, split, range(count), overwrite=args.overwrite)
                print(f"{count} videos in {args.out / split}")
    except UserError as error:
        print(f"make_synthetic_data: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
