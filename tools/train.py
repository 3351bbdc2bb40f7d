#!/usr/bin/env python
"""Train a model: tools/train.py CONFIG [--work-dir DIR] [--resume] [--validate N] [--amp] [--cfg-options KEY=VALUE]."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from eval.errors import EvalError
from vos_occ.structures.errors import UserError


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train a model with mmengine's Runner.")
    parser.add_argument("config", help="a file of configs/")
    parser.add_argument("--work-dir", help="where checkpoints and logs go (default: work_dirs/<config name>)")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint of the work dir")
    parser.add_argument("--overwrite", action="store_true", help="start anew over checkpoints of the work dir")
    parser.add_argument("--seed", type=int, help="overrides the config's seed")
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="override config entries")
    parser.add_argument("--validate", type=int, metavar="N", help="score the validation videos every N steps")
    parser.add_argument(
        "--amp",
        nargs="?",
        const="auto",
        choices=["auto", "bfloat16", "float16"],
        help="mixed precision (auto: float16 on a GPU, bfloat16 on a CPU)",
    )
    parser.add_argument("--launcher", choices=["none", "pytorch"], default="none", help="pytorch under torchrun")
    parser.add_argument("--trust-checkpoint", action="store_true", help="unpickle checkpoints without restrictions")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    args = parse_arguments(arguments)
    from vos_occ.training import train

    try:
        train(
            args.config,
            work_dir=args.work_dir or Path("work_dirs") / Path(args.config).stem,
            resume=args.resume,
            overwrite=args.overwrite,
            seed=args.seed,
            options=args.cfg_options,
            validate=args.validate,
            launcher=args.launcher,
            trust_checkpoint=args.trust_checkpoint,
            amp=args.amp,
        )
    except (UserError, EvalError) as error:
        print(f"train: {error}", file=sys.stderr)
        return getattr(error, "exit_code", 2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
