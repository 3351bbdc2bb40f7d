"""Mixed precision: convolutions and products in half precision, and in float32 all that half precision would spoil.

What stays in float32, whatever the model: features that RoIs are cut from (mmdet gives RoIs the features' type, and a
coordinate of 1000 in bfloat16 is off by up to 2 pixels), RoIAlign and non-maximum suppression, the deformable
convolution of CMTrack, the softmax of the non-local blocks, and what losses are computed from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import Tensor, nn

from vos_occ.structures.errors import InputError

AmpType = Literal["auto", "bfloat16", "float16"]

WRAPPERS = {"bfloat16": "Bfloat16OptimWrapper", "float16": "AmpOptimWrapper"}


@OPTIM_WRAPPERS.register_module()
class Bfloat16OptimWrapper(OptimWrapper):
    """mmengine's OptimWrapper with the forward pass in bfloat16, on a CPU or a GPU.

    bfloat16 has the range of float32, so gradients are not scaled. (mmengine's AmpOptimWrapper refuses CPUs.)

    Args:
        kwargs: OptimWrapper's.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Of the forward pass of one step."""
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, torch.bfloat16):
            yield


def use_mixed_precision(config: Config, kind: AmpType) -> None:
    """Changes a training config to mixed precision.

    Args:
        config: with `optim_wrapper`.
        kind: `auto` is bfloat16 on a CPU, float16 (with scaled gradients) on a GPU.

    Raises:
        InputError: float16 without a GPU, or the config has an optimizer wrapper of its own.
    """
    on_gpu = torch.cuda.is_available()
    kind = ("float16" if on_gpu else "bfloat16") if kind == "auto" else kind
    if kind == "float16" and not on_gpu:
        raise InputError("Mixed precision in float16 needs a GPU. On a CPU use bfloat16.")
    wrapper = config.optim_wrapper
    if wrapper.get("type", "OptimWrapper") not in ("OptimWrapper", *WRAPPERS.values()):
        raise InputError(
            f"Mixed precision would replace the config's own optim_wrapper, {wrapper.type}. Leave out one."
        )
    wrapper.pop("dtype", None)
    wrapper.type = WRAPPERS[kind]
    if kind == "float16":
        wrapper.dtype = kind
    else:
        wrapper.pop("loss_scale", None)


def is_mixed(config: Config) -> bool:
    """Whether a config trains in mixed precision."""
    return config.optim_wrapper.get("type") in WRAPPERS.values()


def keep_float32(model: nn.Module) -> None:
    """Makes necks, and heads that have losses, answer in float32, so that RoIAlign and losses are computed in it."""
    for name, module in model.named_modules():
        has_loss = any(callable(getattr(module, loss, None)) for loss in ("loss", "loss_and_target", "loss_by_feat"))
        if has_loss or name.rpartition(".")[2] == "neck":
            module.register_forward_hook(_answer_in_float32)


def _answer_in_float32(module: nn.Module, inputs: Any, output: Any) -> Any:
    return _in_float32(output)


def _in_float32(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.float() if value.dtype in (torch.float16, torch.bfloat16) else value
    if isinstance(value, Mapping):
        return type(value)({key: _in_float32(item) for key, item in value.items()})
    return type(value)(map(_in_float32, value)) if type(value) in (list, tuple) else value
