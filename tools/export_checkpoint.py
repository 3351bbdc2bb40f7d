#!/usr/bin/env python
"""Turn a training checkpoint into one file that needs no config: tools/export_checkpoint.py CONFIG IN OUT."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from vos_occ.structures.errors import UserError


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", help="the config it was trained with")
    parser.add_argument("checkpoint", type=Path, help="iter_N.pth of the work dir; averaged weights are taken if there")
    parser.add_argument("out", type=Path, help="the .safetensors file to write")
    parser.add_argument("--trained-on", default="", help="statement of the training data, kept in the file")
    parser.add_argument("--float32", action="store_true", help="keep full precision; twice the size")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    parser.add_argument("--trust-checkpoint", action="store_true", help="unpickle the .pth without restrictions")
    args = parser.parse_args(arguments)
    from vos_occ.inference.export import export_checkpoint

    try:
        size = export_checkpoint(
            args.config,
            args.checkpoint,
            args.out,
            half=not args.float32,
            trained_on=args.trained_on,
            overwrite=args.overwrite,
            trust_checkpoint=args.trust_checkpoint,
        )
    except UserError as error:
        print(f"export_checkpoint: {error}", file=sys.stderr)
        return 2
    print(f"Wrote {args.out}, {size / 1e6:.1f} MB.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
