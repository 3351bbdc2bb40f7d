#!/usr/bin/env python
"""A config of mmtrack or mmdet 3.x (MaskTrack R-CNN, QDTrack) as one of ours: tools/convert_config.py IN.py OUT.py.

The config is read, not run. What has no place here is listed, on the terminal and on top of OUT.py.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from eval.errors import one_line
from vos_occ.structures.errors import UserError


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, metavar="IN.py", help="their config; its bases stand where it says")
    parser.add_argument("out", type=Path, metavar="OUT.py", help="the config to write")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    args = parser.parse_args(arguments)
    try:
        convert(args)
    except UserError as error:
        print(f"convert_config: {error}", file=sys.stderr)
        return 2
    print(f"Wrote {args.out}.")
    return 0


def convert(args: argparse.Namespace) -> None:
    from vos_occ.config_conversion import convert_config, read_plain_config
    from vos_occ.results.output import require_new, write_atomically

    require_new(args.out, args.overwrite, folder=False)
    converted = convert_config(read_plain_config(args.source))
    write_atomically(args.out, converted.text(args.source))
    for entry in converted.unsupported:
        print(one_line(f"left out: {entry}"), file=sys.stderr)
    for note in converted.notes:
        print(one_line(f"note: {note}"), file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
