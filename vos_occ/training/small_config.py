"""The one override that makes any recipe small: all layers of the network, an eighth of their width, small images.

For smoke tests: what breaks at full size, apart from memory, breaks here, within seconds on a CPU.
"""

from __future__ import annotations

from typing import Any

from mmengine.config import Config

SHRINK = 8
SMALL_SCALE = (160, 128)  # long side, short side
WIDTHS = ("base_channels", "in_channels", "out_channels", "feat_channels", "fc_out_channels", "conv_out_channels")


def small_config(config: Config) -> Config:
    """A copy of a recipe with 1/8 of every width and images that fit into 160 x 128; depths and losses stay.

    No weights are downloaded (`init_cfg` of the backbone is dropped), and data is loaded in the training process.

    Args:
        config: a recipe; widths that it leaves to mmdet's defaults stay as they are.
    """
    small = config.copy()
    small.model = _narrowed(config.model.to_dict())
    small.model.backbone.init_cfg = None
    for name in ("train_dataloader", "val_dataloader", "test_dataloader"):
        if name in small:
            loader = small[name]
            loader.update(num_workers=0, persistent_workers=False)
            loader.dataset = _with_small_images(loader.dataset.to_dict())
    return small


def _narrowed(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _divided(v) if k in WIDTHS else _narrowed(v) for k, v in value.items()}
    return [_narrowed(item) for item in value] if isinstance(value, list | tuple) else value


def _divided(width: int | list[int]) -> int | list[int]:
    return [_divided(each) for each in width] if isinstance(width, list | tuple) else width // SHRINK


def _with_small_images(value: Any) -> Any:
    if isinstance(value, dict):
        if value.get("type") == "Resize":
            return {**value, "scale": SMALL_SCALE}
        if value.get("type") == "RandomChoiceResize":
            return {**value, "scales": [SMALL_SCALE]}
        return {k: _with_small_images(v) for k, v in value.items()}
    return [_with_small_images(item) for item in value] if isinstance(value, list) else value
