"""Turning validation on in a config: what it leaves open about validation is filled in, what it says is kept."""

from __future__ import annotations

from typing import Any

from mmengine.config import Config

from vos_occ.structures.errors import InputError

METRICS = {"OccVideos": "OccVideoMetric", "OccImages": "OccImageMetric"}


def complete_validation(config: Config, interval: int | None = None) -> None:
    """Makes a config validate if it names a `val_evaluator`, or if `interval` asks for it.

    The dataset is `val_dataset`, else `test_dataset`. The best checkpoint is kept by the first metric.

    Args:
        config: changed in place.
        interval: steps (or epochs, where the config counts in these) between validations; None: the config's.

    Raises:
        InputError: the interval is less than 1, or no dataset is named.
    """
    if interval is None and "val_evaluator" not in config:
        return
    if interval is not None:
        if interval < 1:
            raise InputError(f"Steps between validations must be at least 1, found {interval}.")
        config.train_cfg.val_interval = interval
    if "val_dataloader" not in config:
        config.val_dataloader = dataloader(config)
    kind = config.val_dataloader.dataset.type
    if "val_evaluator" not in config:
        config.val_evaluator = {"type": METRICS.get(kind, "OccVideoMetric")}
    if "val_cfg" not in config:
        config.val_cfg = {"type": "OccValLoop" if kind in METRICS else "ValLoop"}
    complete_hooks(config)


def dataloader(config: Config) -> dict[str, Any]:
    """Videos one by one, in the order of the file; several processes share them out."""
    named = config.get("val_dataset", config.get("test_dataset"))
    if not named:
        raise InputError("The config names no val_dataset or test_dataset (ann_file, image_root) to validate on.")
    return {
        "batch_size": 1,
        "num_workers": 0,
        "sampler": {"type": "DefaultSampler", "shuffle": False},
        "collate_fn": {"type": "pseudo_collate"},
        "dataset": {"type": "OccVideos", "classes": config.get("classes"), **named},
    }


def complete_hooks(config: Config) -> None:
    """The best checkpoint is kept, and metrics are logged at their step: mmengine counts epochs unless told."""
    hooks = config.setdefault("default_hooks", {})
    checkpoint = hooks.setdefault("checkpoint", {"type": "CheckpointHook", "interval": 1})  # as without an entry
    if "save_best" not in checkpoint:
        checkpoint.update(save_best="auto", rule="greater")
    if not config.get("log_processor", {}).get("by_epoch", True):
        hooks.setdefault("logger", {"type": "LoggerHook"}).setdefault("log_metric_by_epoch", False)
