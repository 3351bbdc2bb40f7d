"""ImageNet weights of Detectron (`MSRA/R-50.pkl`, `R-101.pkl`, Caffe2 names) for a ResNet in caffe style.

Their normalisation is a factor and an offset, y = s x + b: its statistics are folded in. Ours divides by
sqrt(variance + eps), which is 1 for a variance of 1 - eps.

Source: docs/sources.md, BCNet 2.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from vos_occ.checkpoints.key_rules import Converted, Rule, rename

EPS = 1e-5
AFFINE = {"s": "weight", "b": "bias"}
CONVOLUTIONS = {"1": "downsample.0", "2a": "conv1", "2b": "conv2", "2c": "conv3"}
NORMS = {"1": "downsample.1", "2a": "bn1", "2b": "bn2", "2c": "bn3"}
NOT_OURS = r"conv1_b|fc1000_[wb]|.+_momentum"
"""The classifier, what its training left behind, and a bias of 1e-9 that the normalisation's offset makes useless."""

RULES: list[Rule] = [
    (r"conv1_w", "conv1.weight"),
    *((rf"res_conv1_bn_{theirs}", f"bn1.{ours}") for theirs, ours in AFFINE.items()),
    *(
        rule
        for stage in range(2, 6)
        for branch in CONVOLUTIONS
        for rule in (
            (rf"res{stage}_(\d+)_branch{branch}_w", rf"layer{stage - 1}.\1.{CONVOLUTIONS[branch]}.weight"),
            *(
                (rf"res{stage}_(\d+)_branch{branch}_bn_{theirs}", rf"layer{stage - 1}.\1.{NORMS[branch]}.{ours}")
                for theirs, ours in AFFINE.items()
            ),
        )
    ),
]


def convert(state_dict: Mapping[str, Tensor]) -> Converted:
    """The names of Caffe2 to those of mmdet's ResNet, without a prefix, and the statistics that its norms need."""
    converted = rename(state_dict, RULES, leave_out=NOT_OURS)
    tensors = converted.state_dict
    for name in [name for name in tensors if name.endswith(".bias")]:  # only norms have one
        norm = name.removesuffix("bias")
        tensors[f"{norm}running_mean"] = torch.zeros_like(tensors[name])
        tensors[f"{norm}running_var"] = torch.full_like(tensors[name], 1 - EPS)
    notes = (
        "These weights are of a backbone: --cfg-options model.backbone.init_cfg.checkpoint=FILE. Images for them are "
        "BGR, minus 103.53, 116.28, 123.675, not divided.",
    )
    return Converted(tensors, converted.unknown, notes)
