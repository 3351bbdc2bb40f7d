"""Rebuilds a trained model's layers for inference (`vos_occ.models.layers.fused`). Knows mmdet's and mmcv's modules.

What is not recognised stays as it is. In float32 nothing changes but the order of additions.
"""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from typing import Any

import torch
from mmcv.cnn import ConvModule
from mmcv.cnn.bricks import wrappers
from mmdet.models.backbones import ResNet
from mmdet.models.backbones.resnet import BasicBlock, Bottleneck
from torch import Tensor, nn

from vos_occ.models.layers.fused import Activation, FusedConv, FusedLinear, FusedUpsampling

CONVOLUTIONS = (nn.Conv2d, wrappers.Conv2d)
UPSAMPLINGS = (nn.ConvTranspose2d, wrappers.ConvTranspose2d)
LINEAR = (nn.Linear, wrappers.Linear)
ACTIVATIONS: dict[type[nn.Module], Activation] = {nn.ReLU: "relu", nn.ReLU6: "relu6"}

KEPT_IN_FLOAT32 = ("rpn_cls", "rpn_reg", "fc_cls", "fc_reg", "fraction", "conv_offset")
"""Layers, by name, whose answers are scores, offsets and hidden fractions: 8 bits are too few for these."""


class FusedResidual(nn.Module):
    """A residual block: its convolutions, and what is added to the last one.

    Args:
        convs: of which the last one applies the activation after the sum.
        shortcut: what becomes of the block's input; None: itself.
    """

    def __init__(self, convs: list[FusedConv], shortcut: nn.Module | None) -> None:
        super().__init__()
        self.convs = nn.ModuleList(convs)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, O, H / stride, W / stride)."""
        identity = x if self.shortcut is None else self.shortcut(x)
        *first, last = self.convs
        for conv in first:
            x = conv(x)
        return last(x, add=identity)


def fuse(module: nn.Module, *, dtype: torch.dtype = torch.float32, onednn: bool | None = None) -> None:
    """Replaces the layers below `module`, in place.

    Args:
        module: in evaluation mode, on the device that it will run on.
        dtype: float32, or bfloat16 for all but `KEPT_IN_FLOAT32`.
        onednn: see `FusedConv`.
    """
    _fuse_children(module, {"dtype": dtype, "onednn": onednn})


def _fuse_children(module: nn.Module, kwargs: dict[str, Any]) -> None:
    if isinstance(module, ResNet) and not module.deep_stem and _is_convolution(module.conv1):
        module.conv1 = FusedConv.of(module.conv1, module.norm1, activation="relu", **kwargs)
        setattr(module, module.norm1_name, nn.Identity())
        module.relu = nn.Identity()
    if isinstance(module, nn.Sequential):
        _fold_neighbours(module, kwargs)
    for name, child in list(module.named_children()):
        fused = _fused(child, kwargs | ({"dtype": torch.float32} if name in KEPT_IN_FLOAT32 else {}))
        if fused is None:
            _fuse_children(child, kwargs)
        else:
            setattr(module, name, fused)


def _fused(module: nn.Module, kwargs: dict[str, Any]) -> nn.Module | None:
    """What replaces a module as a whole; None where nothing does."""
    if isinstance(module, Bottleneck | BasicBlock):
        return _fused_block(module, kwargs)
    if isinstance(module, ConvModule):
        return _fused_conv_module(module, kwargs)
    if _is_convolution(module):
        return FusedConv.of(module, **kwargs)
    if type(module) in UPSAMPLINGS and _is_upsampling(module):
        return FusedUpsampling(module, **kwargs)
    if type(module) in LINEAR:
        return FusedLinear(module, **kwargs)
    return None


def _fused_block(block: Bottleneck | BasicBlock, kwargs: dict[str, Any]) -> FusedResidual | None:
    count = 3 if isinstance(block, Bottleneck) else 2
    convs = [getattr(block, f"conv{i + 1}") for i in range(count)]
    norms = [getattr(block, f"norm{i + 1}") for i in range(count)]
    if getattr(block, "with_plugins", False) or not all(map(_is_convolution, convs)) or not all(map(_is_norm, norms)):
        return None
    if block.downsample is not None:
        _fuse_children(block.downsample, kwargs)
    fused = [FusedConv.of(conv, norm, activation="relu", **kwargs) for conv, norm in zip(convs, norms, strict=True)]
    return FusedResidual(fused, block.downsample)


def _fused_conv_module(module: ConvModule, kwargs: dict[str, Any]) -> FusedConv | None:
    norm = module.norm if module.with_norm else None
    activation = type(module.activate) if module.with_activation else None
    if module.order != ("conv", "norm", "act") or module.with_explicit_padding or not _is_convolution(module.conv):
        return None
    if not (norm is None or _is_norm(norm)) or not (activation is None or activation in ACTIVATIONS):
        return None
    return FusedConv.of(module.conv, norm, activation=ACTIVATIONS.get(activation, "none"), **kwargs)


def _fold_neighbours(sequence: nn.Sequential, kwargs: dict[str, Any]) -> None:
    """Convolutions that a batch norm follows, in place."""
    for i in range(len(sequence) - 1):
        if _is_convolution(sequence[i]) and _is_norm(sequence[i + 1]):
            sequence[i] = FusedConv.of(sequence[i], sequence[i + 1], **kwargs)
            sequence[i + 1] = nn.Identity()


def _is_convolution(module: nn.Module) -> bool:
    return type(module) in CONVOLUTIONS and module.padding_mode == "zeros" and not isinstance(module.padding, str)


def _is_norm(module: nn.Module) -> bool:
    return type(module) is nn.BatchNorm2d and module.running_var is not None and not module.training


def _is_upsampling(deconv: nn.ConvTranspose2d) -> bool:
    return (
        deconv.kernel_size == deconv.stride == (deconv.stride[0],) * 2
        and deconv.padding == deconv.output_padding == (0, 0)
        and deconv.dilation == (1, 1)
        and deconv.groups == 1
    )
