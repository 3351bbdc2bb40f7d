#!/usr/bin/env python
"""Run an image detector over its validation set: tools/test_image.py CONFIG CHECKPOINT --out DIR.

Writes results.json in COCO's format, for `python -m eval`, and prints the scores of this file.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.errors import EvalError
from vos_occ.structures.errors import InputError, UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vos_occ.checkpoints.files import Checkpoint

TRAINING = ("train_dataloader", "train_cfg", "optim_wrapper", "param_scheduler", "auto_scale_lr")


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", help="a file of configs/bcnet, or one like it")
    parser.add_argument("checkpoint", type=Path, help="of a training, or from convert_checkpoint.py")
    parser.add_argument("--out", type=Path, required=True, help="folder for results.json, scores.json and the log")
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="override config entries")
    parser.add_argument("--overwrite", action="store_true", help="replace existing results")
    parser.add_argument("--trust-checkpoint", action="store_true", help="unpickle a .pth without restrictions")
    return parser.parse_args(arguments)


def test(args: argparse.Namespace) -> None:
    from vos_occ.checkpoints.files import load_checkpoint, load_into
    from vos_occ.results.output import require_new, write_atomically
    from vos_occ.training import build_runner, read_config

    for name in ("results.json", "scores.json"):  # before a model is built
        require_new(args.out / name, args.overwrite, folder=False)
    config = read_config(args.config, args.cfg_options)
    if missing := [key for key in ("val_dataloader", "val_evaluator", "val_cfg") if key not in config]:
        raise InputError(f"Config {args.config!r} has no `{missing[0]}`, so nothing can be tested. See configs/bcnet/.")
    for key in TRAINING:
        config.pop(key, None)
    config.model.backbone.init_cfg = None  # the checkpoint has it
    config.val_evaluator.out_dir = str(args.out)
    config.work_dir = str(args.out)
    checkpoint = load_checkpoint(args.checkpoint, trust=args.trust_checkpoint)
    runner = build_runner(config, args.config)
    require_same_classes(checkpoint, runner.val_loop.dataloader.dataset.metainfo)
    load_into(runner.model, checkpoint)
    scores = runner.val()
    write_atomically(args.out / "scores.json", json.dumps(scores, indent=1) + "\n")
    print(f"Wrote {args.out / 'results.json'}.")
    for name, value in scores.items():
        print(f"{name:24} {'-' if value is None else f'{value:.4f}'}")


def require_same_classes(checkpoint: Checkpoint, metainfo: Mapping[str, Any]) -> None:
    """Raises InputError if a model learned other classes, or in another order, which would score as 0."""
    if checkpoint.classes and tuple(checkpoint.classes) != tuple(metainfo["classes"]):
        place = metainfo.get("ann_file", "the data to test on")
        raise InputError(
            f"{checkpoint.path} tells apart {', '.join(checkpoint.classes)}, but {place} has "
            f"{', '.join(metainfo['classes'])}. Test on data with the same classes in the same order."
        )


def main(arguments: list[str] | None = None) -> int:
    args = parse_arguments(arguments)
    try:
        test(args)
    except (UserError, EvalError) as error:
        print(f"test_image: {error}", file=sys.stderr)
        return getattr(error, "exit_code", 2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
