#!/usr/bin/env python
"""Copy a checkpoint without the weights under a prefix: tools/drop_weights.py CHECKPOINT OUT --prefix PREFIX.

For training a part anew from an otherwise trained model, so that two variants of it start alike.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from safetensors.torch import save_file

from vos_occ.checkpoints.files import load_checkpoint
from vos_occ.results.output import require_new
from vos_occ.structures.errors import CheckpointError, UserError


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path, help=".safetensors file, for `load_from`")
    parser.add_argument("--prefix", required=True, help="for example detector.roi_head.mask_head.")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    args = parser.parse_args(arguments)
    try:
        require_new(args.out, args.overwrite)
        state = load_checkpoint(args.checkpoint).state_dict
        kept = {name: tensor.contiguous() for name, tensor in state.items() if not name.startswith(args.prefix)}
        if len(kept) == len(state):
            raise CheckpointError(f"{args.checkpoint} has no weights under {args.prefix!r}.")
    except UserError as error:
        print(f"drop_weights: {error}", file=sys.stderr)
        return 2
    args.out.parent.mkdir(parents=True, exist_ok=True)
    save_file(kept, args.out)
    print(f"Wrote {args.out}: {len(kept)} of {len(state)} tensors.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
