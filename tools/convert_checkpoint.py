#!/usr/bin/env python
"""Other people's weights for our models: tools/convert_checkpoint.py --from bcnet|mmdet|mmtrack|... IN OUT.

Every tensor must find its place, in name and shape, and every place its tensor; else the difference is listed and
nothing is written.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.errors import EvalError
from vos_occ.structures.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mmengine.config import Config
    from torch import Tensor

    from vos_occ.checkpoints.key_diff import KeyDiff

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
DEFAULT_CONFIG = {
    "bcnet": CONFIGS / "bcnet/fcos_r101_2x_coco.py",
    "cmtrack": CONFIGS / "cmtrack/cmtrack_fcn_r50_ovis.py",
    "mmdet": CONFIGS / "bcnet/faster_plain_r50_1x_coco.py",
    "masktrack": CONFIGS / "masktrack/masktrack_fcn_r50_ytvis2019.py",
    "mmtrack": CONFIGS / "masktrack/masktrack_fcn_r50_ytvis2019.py",
    "msra": CONFIGS / "bcnet/faster_r50_1x_coco.py",
    "pcan": CONFIGS / "pcan/pcan_fcn_r50_bdd100k_refine.py",
    "qdtrack": CONFIGS / "pcan/qdtrack_r50_bdd100k.py",
}
BACKBONES = ("msra",)
"""Sources that are of a backbone alone, which is what is written then, for its `init_cfg`."""


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--from", dest="source", required=True, choices=sorted(DEFAULT_CONFIG), help="whose weights")
    parser.add_argument("weights", type=Path, help="their file: .pth, .pt, .pkl or .safetensors")
    parser.add_argument("out", type=Path, help="the .safetensors file to write")
    parser.add_argument(
        "--config", type=Path, help="the model to convert for (default: the one that the weights are of)"
    )
    parser.add_argument(
        "--skip",
        action="append",
        default=[],
        metavar="PART",
        help="leave this part of the model out, for example roi_head.mask_head to begin with another mask head",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    parser.add_argument("--trust-checkpoint", action="store_true", help="unpickle the weights without restrictions")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    args = parse_arguments(arguments)
    try:
        count = convert(args)
    except (UserError, EvalError) as error:
        print(f"convert_checkpoint: {error}", file=sys.stderr)
        return 2
    print(f"Wrote {args.out}: {count} tensors.")
    return 0


def convert(args: argparse.Namespace) -> int:
    """Number of tensors written."""
    from vos_occ.checkpoints import pcan_keys
    from vos_occ.checkpoints.files import load_checkpoint, save_checkpoint
    from vos_occ.checkpoints.key_diff import key_diff
    from vos_occ.results.output import require_new
    from vos_occ.structures.errors import CheckpointError
    from vos_occ.training import read_config

    require_new(args.out, args.overwrite)
    config = read_config(args.config or DEFAULT_CONFIG[args.source])
    model = config.model
    if args.source in BACKBONES:
        model = model.get("detector", model).backbone
    source = load_checkpoint(args.weights, trust=args.trust_checkpoint)
    converted = convert_names(args.source, source.state_dict, video="detector" in config.model)
    model, changes = converted.apply_settings(model.to_dict())
    replaced = pcan_keys.replaced_parts(model) if args.source == "pcan" else ()
    parts = [*args.skip, *replaced]
    wanted = {name: tensor for name, tensor in expected(config, model).items() if not skipped(name, parts)}
    state = {name: tensor for name, tensor in converted.state_dict.items() if not skipped(name, parts)}
    diff = key_diff(wanted, state | {f"{args.source}:{name}": source.state_dict[name] for name in converted.unknown})
    print_diff(diff)
    if diff:
        raise CheckpointError(
            f"{args.weights} does not fit {config.filename}: {len(diff.missing)} tensors missing, "
            f"{len(diff.unexpected)} unexpected, {len(diff.reshaped)} of another shape, {diff.matching} fit. Nothing "
            "was written. Give the --config of the weights, or --skip a part."
        )
    for part in replaced:
        print(f"Left out: {part}. The config has another one, which begins anew.")
    for note in converted.notes:
        print(f"Note: {note}")
    for change in changes:
        print(f"Set in its config: {change}")
    classes = tuple(source.classes or config.get("classes") or ())
    if set(classes) == set(converted.class_order):
        classes = converted.class_order
    save_checkpoint(args.out, state, json.dumps(model), classes, half=False)
    return len(state)


def convert_names(source: str, state_dict: Mapping[str, Tensor], *, video: bool):  # noqa: ANN201
    """Their names to ours."""
    from vos_occ.checkpoints import (
        bcnet_keys,
        caffe2_keys,
        cmtrack_keys,
        masktrack_keys,
        mmdet_keys,
        mmtrack_keys,
        pcan_keys,
    )

    if source in ("bcnet", "msra"):
        return (bcnet_keys if source == "bcnet" else caffe2_keys).convert(state_dict)
    of = {"cmtrack": cmtrack_keys, "masktrack": masktrack_keys, "mmdet": mmdet_keys, "mmtrack": mmtrack_keys}
    return (of | {"pcan": pcan_keys, "qdtrack": pcan_keys})[source].convert(state_dict, video=video)


def expected(config: Config, model: Mapping[str, Any]) -> dict[str, Tensor]:
    """Names and shapes of a config's model, or of a part of it.

    All but video models, which compute at once, are built without memory.
    """
    import torch
    from mmengine.config import ConfigDict
    from mmengine.registry import MODELS, DefaultScope
    from mmengine.utils import import_modules_from_strings

    import_modules_from_strings(**config.get("custom_imports", {"imports": []}))
    device = torch.device("cpu" if "detector" in model else "meta")
    with DefaultScope.overwrite_default_scope("mmdet"), device:
        return MODELS.build(ConfigDict(model)).state_dict()


def skipped(name: str, parts: list[str]) -> bool:
    return any(name == part or name.startswith(f"{part.rstrip('.')}.") for part in parts)


def print_diff(diff: KeyDiff) -> None:
    """Every name that differs, one per line, then the counts."""
    for what, names in (("missing", diff.missing), ("unexpected", diff.unexpected), ("reshaped", diff.reshaped)):
        for name in names:
            print(f"{what}: {name}", file=sys.stderr)
    print(
        f"{diff.matching} tensors fit, {len(diff.missing)} missing, {len(diff.unexpected)} unexpected, "
        f"{len(diff.reshaped)} of another shape."
    )


if __name__ == "__main__":
    sys.exit(main())
