"""A trained model by name, from a checkpoint file, or from a config and a checkpoint."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import hashlib
import json
import logging
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import torch
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope

from vos_occ.checkpoints.files import Checkpoint, load_checkpoint, load_into
from vos_occ.models import bilayer  # noqa: F401  (registers the mask and RoI heads)
from vos_occ.models.video import cmtrack, masktrack, pcan  # noqa: F401  (register)
from vos_occ.models.video.roi_model import RoIVideoModel
from vos_occ.structures.errors import CheckpointError, InputError
from vos_occ.training import first_sentence, read_config, require_classes

logger = logging.getLogger(__name__)

WEIGHTS = resources.files("vos_occ") / "weights"

TRACKING_OPTIONS = frozenset({"memory", "association", "occlusion"})
"""Keys of a model's config that do not change what its network sees in a frame."""

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


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
    fuse: bool = True,
    precision: Literal["float32", "bfloat16"] = "float32",
) -> RoIVideoModel:
    """A video model, ready for `VideoSession`.

    Args:
        checkpoint: a shipped name ("person", "synthetic"), or a file. A safetensors file of ours carries its model
            config and its classes, and needs nothing else.
        config: config file for checkpoints that do not carry one; overrides the one that they carry.
        device: "auto" (a GPU when there is one), or as torch names it.
        trust_checkpoint: unpickle a .pth without restrictions; only for files from someone you trust.
        fuse: rebuild the layers for inference (`vos_occ.models.video.fusion`): the same results but for the order of
            additions, faster, and without parameters. False keeps the layers as they were trained.
        precision: of the layers behind the backbone; scores, boxes and masks are computed in float32 all the same.
            "bfloat16" needs `fuse`, and pays where the processor has instructions for it.

    Returns:
        The model in evaluation mode, with `classes`, `name`, `checkpoint_sha256`, `config_sha256`, and, of the config
        but for how tracks are kept, `network_sha256`.

    Raises:
        InputError: no such name or file, the device is absent, or the precision cannot be had.
        CheckpointError: the file is no checkpoint, carries no config, or belongs to another architecture, or the config
            has its classes in another order.
    """
    if precision not in PRECISIONS or (precision != "float32" and not fuse):
        raise InputError(f"precision is float32, or with fuse=True bfloat16, found {precision!r} with fuse={fuse}.")
    target = resolve_device(device)
    path = checkpoint_path(checkpoint)
    loaded = load_checkpoint(path, trust=trust_checkpoint)
    model_config, classes = _config_of(loaded, path) if config is None else config_from_file(config)
    require_same_order(loaded, classes)
    model = build_model(model_config, classes)
    load_into(model, loaded)
    model.name = Path(str(checkpoint)).stem
    model.checkpoint_sha256 = loaded.sha256
    model = model.to(target)
    if fuse:
        model.fuse(PRECISIONS[precision])
    return model


def build_model(model_config: dict[str, Any], classes: tuple[str, ...]) -> RoIVideoModel:
    """A model with random weights, in evaluation mode.

    Args:
        model_config: mmdet's keys.
        classes: names in label order.

    Raises:
        InputError: the config names a part or an argument that does not exist, describes no video model, or its number
            of classes is not that of `classes`.
    """
    require_classes(model_config, classes)
    try:
        with DefaultScope.overwrite_default_scope("mmdet"):
            model = MODELS.build(ConfigDict(model_config))
    except (KeyError, TypeError) as error:  # what mmengine raises for unknown types and unknown arguments
        raise InputError(f"The config's model cannot be built: {first_sentence(error)}. Correct the config.") from error
    if not isinstance(model, RoIVideoModel):
        raise InputError(
            f"The config's model is {type(model).__name__}, no video model. "
            "Use OccMaskTrackRCNN, OccCMTrackRCNN or OccPCAN."
        )
    model.classes = tuple(classes)
    model.name, model.checkpoint_sha256 = "random weights", None
    model.config_sha256 = _sha256_of(model_config)
    model.network_sha256 = _sha256_of({key: model_config[key] for key in model_config.keys() - TRACKING_OPTIONS})
    return model.eval()


def _sha256_of(config: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode()).hexdigest()


def require_same_order(checkpoint: Checkpoint, classes: tuple[str, ...]) -> None:
    """Raises CheckpointError if weights were trained for the same classes in another order.

    Other names are somebody's choice, in another language perhaps; they are logged.
    """
    trained = checkpoint.classes
    if trained is None or tuple(trained) == tuple(classes):
        return
    told = f"{checkpoint.path} was trained with the classes {', '.join(trained)}; the config says {', '.join(classes)}"
    if sorted(trained) == sorted(classes):
        raise CheckpointError(f"{told}: the same in another order. Correct the config's `classes`.")
    logger.warning("%s.", told)


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
        torch.zeros(1, device=target).cpu()  # torch.device takes the names of hardware that is not there
    except (RuntimeError, NotImplementedError, AssertionError) as error:
        raise InputError(f"torch cannot use the device {device!r} here. Use auto, cpu, cuda or cuda:N.") from error
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
    if not isinstance(model_config, dict):
        raise CheckpointError(f"{path} carries a config that is no model. Name the config file (--config).")
    return model_config, tuple(checkpoint.classes)


def config_from_file(config: str | Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """`model` and `classes` of a config file."""
    content = read_config(config)
    if "model" not in content or "classes" not in content:
        raise InputError(f"Config {str(config)!r} has no `model` and `classes`; both are needed to run it.")
    return content.model.to_dict(), tuple(content.classes)
