"""A trained model by name, from a checkpoint file, or from a config and a checkpoint."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import torch

import vos_occ.compat  # noqa: F401  (before any mm* import)
from mmdet.registry import MODELS  # isort: skip
from mmengine.config import ConfigDict  # isort: skip
from mmengine.registry import DefaultScope  # isort: skip
from vos_occ.checkpoints.files import Checkpoint, load_checkpoint, load_into
from vos_occ.models import bilayer  # noqa: F401  (registers the mask and RoI heads)
from vos_occ.models.video.masktrack import OccMaskTrackRCNN
from vos_occ.structures.errors import CheckpointError, InputError

WEIGHTS = resources.files("vos_occ") / "weights"


def shipped() -> list[str]:
    """Names of the checkpoints that come with the package."""
    folder = Path(str(WEIGHTS))
    return sorted(path.stem for path in folder.glob("*.safetensors")) if folder.is_dir() else []


def load(
    checkpoint: str | Path,
    *,
    config: str | Path | None = None,
    device: str = "auto",
    trust_checkpoint: bool = False,
) -> OccMaskTrackRCNN:
    """A video model, ready for `VideoSession`.

    Args:
        checkpoint: a shipped name ("person", "synthetic"), or a file. A safetensors file of ours carries its model
            config and its classes, and needs nothing else.
        config: config file for checkpoints that do not carry one; overrides the one that they carry.
        device: "auto" (a GPU when there is one), or as torch names it.
        trust_checkpoint: unpickle a .pth without restrictions; only for files from someone you trust.

    Returns:
        The model in evaluation mode, with `classes`, `name` and `checkpoint_sha256`.

    Raises:
        InputError: no such name or file, or the device is absent.
        CheckpointError: the file is no checkpoint, carries no config, or belongs to another architecture.
    """
    target = resolve_device(device)
    path = checkpoint_path(checkpoint)
    loaded = load_checkpoint(path, trust=trust_checkpoint)
    model_config, classes = _config_of(loaded, path) if config is None else config_from_file(config)
    model = build_model(model_config, classes)
    load_into(model, loaded)
    model.name = Path(str(checkpoint)).stem
    model.checkpoint_sha256 = loaded.sha256
    return model.to(target)


def build_model(model_config: dict[str, Any], classes: tuple[str, ...]) -> OccMaskTrackRCNN:
    """A model with random weights, in evaluation mode. Config keys are mmdet's."""
    with DefaultScope.overwrite_default_scope("mmdet"):
        model = MODELS.build(ConfigDict(model_config))
    model.classes = tuple(classes)
    model.name, model.checkpoint_sha256 = "random weights", None
    return model.eval()


def checkpoint_path(checkpoint: str | Path) -> Path:
    """The file of a shipped name or a path."""
    if str(checkpoint) in shipped():
        return Path(str(WEIGHTS / f"{checkpoint}.safetensors"))
    path = Path(checkpoint)
    if not path.is_file():
        names = ", ".join(shipped()) or "none"
        raise InputError(f"Checkpoint {str(checkpoint)!r} is neither a file nor a shipped name (shipped: {names}).")
    return path


def resolve_device(device: str) -> torch.device:
    """`auto` is the first GPU, else the CPU."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        target = torch.device(device)
    except RuntimeError as error:
        raise InputError(f"Device {device!r} is not known to torch. Use auto, cpu, cuda or cuda:N.") from error
    if target.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"Device {device!r} was asked for, but torch sees no GPU here. Use --device cpu.")
    return target


def _config_of(checkpoint: Checkpoint, path: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    if checkpoint.config_text is None or checkpoint.classes is None:
        raise CheckpointError(f"{path} carries no config. Name the config it was trained with (--config).")
    try:
        model_config = json.loads(checkpoint.config_text)
    except json.JSONDecodeError as error:  # OpenMMLab's checkpoints carry theirs as Python, which would be run
        raise CheckpointError(
            f"{path} carries its config as program text, which is not run. Name the config file (--config)."
        ) from error
    return model_config, tuple(checkpoint.classes)


def config_from_file(config: str | Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """`model` and `classes` of a config file."""
    from vos_occ.training import read_config

    content = read_config(config)
    if "model" not in content or "classes" not in content:
        raise InputError(f"Config {str(config)!r} has no `model` and `classes`; both are needed to run it.")
    return content.model.to_dict(), tuple(content.classes)
