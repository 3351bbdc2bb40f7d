"""Checkpoint files, ours and others', in and out.

Ours is one safetensors file that carries its config and class names, so a model can be built from it alone. Files by
torch (mmdet, mmengine, detectron2) and pickles of arrays (Detectron's model zoos) are read too, restricted to tensors
and numbers. See `torch_files` and `numpy_pickles` for how.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import stat
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from vos_occ.checkpoints.key_diff import KeyDiff, key_diff
from vos_occ.checkpoints.numpy_pickles import read_numpy_pickle
from vos_occ.checkpoints.torch_files import MapLocation, read_torch_file
from vos_occ.structures.errors import CheckpointError

logger = logging.getLogger(__name__)

FORMAT = "vos_occ/checkpoint/1"
RESERVED = ("format", "config", "classes")
STATE_DICT_KEYS = ("state_dict", "model", "blobs")  # OpenMMLab; detectron2 and torchvision's references; Detectron


@dataclass(frozen=True)
class Checkpoint:
    """A model's weights and what is known of them.

    Attributes:
        path: Where they were read from.
        state_dict: Name -> tensor; halves are float32 again.
        sha256: Of the file, hexadecimal.
        config_text: The model's config as the file has it: JSON in ours, Python text in OpenMMLab's; else None.
        classes: Class names in label order, when the file has them.
        metadata: Whatever else the file says of itself, for example how it was trained.
    """

    path: Path
    state_dict: dict[str, Tensor] = field(repr=False)
    sha256: str
    config_text: str | None = field(default=None, repr=False)
    classes: tuple[str, ...] | None = None
    metadata: dict[str, str] = field(default_factory=dict, repr=False)


def save_checkpoint(
    path: str | Path,
    state_dict: Mapping[str, Tensor],
    config_text: str,
    classes: Sequence[str],
    half: bool = True,
    extra: Mapping[str, str] | None = None,
) -> Path:
    """Write weights, config and class names as one safetensors file; an existing file is replaced in one step.

    Args:
        path: Ends in .safetensors.
        state_dict: Name -> tensor.
        config_text: The model's resolved config as JSON.
        classes: Class names in label order.
        half: Store floats as float16, which halves the file and costs about 3 digits. Integers stay, and so do
            floats beyond float16's range.
        extra: More metadata, for example the training statement.

    Returns:
        The path.

    Raises:
        CheckpointError: The name or the metadata cannot be, or the place cannot be written to.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise CheckpointError(f"A checkpoint is saved as .safetensors, got {path}.")
    extra = dict(extra or {})
    if clash := sorted(set(extra) & set(RESERVED)):
        raise CheckpointError(f"Extra metadata cannot be named {', '.join(clash)}: the file uses these itself.")
    metadata = {"format": FORMAT, "config": config_text, "classes": json.dumps(list(classes)), **extra}
    tensors = {name: _stored(tensor, half) for name, tensor in state_dict.items()}
    unfinished = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            save_file(tensors, unfinished, metadata=metadata)
            unfinished.chmod(_mode_of_new_files(path.parent))  # safetensors lets nobody else read it
            os.replace(unfinished, path)
        finally:
            unfinished.unlink(missing_ok=True)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"Cannot write '{path}': {error}. Choose another place.") from error
    return path


def _mode_of_new_files(folder: Path) -> int:
    """The permissions that a plain `open` gives in this process."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        probe = Path(place) / "probe"
        probe.touch()
        return stat.S_IMODE(probe.stat().st_mode)


def load_checkpoint(path: str | Path, trust: bool = False, map_location: MapLocation = "cpu") -> Checkpoint:
    """Read a checkpoint: .safetensors, a torch file (.pth, .pt), or a pickle of arrays (.pkl).

    Args:
        path: The file; torch files of OpenMMLab, detectron2 or a bare state dict, pickles of the model zoos of
            detectron2 and Detectron.
        trust: Let a torch file or a pickle run code. The only way round the restriction; safetensors never need it.
        map_location: Device of the tensors.

    Raises:
        CheckpointError: There is no such file, it cannot be read, holds no weights, or would run code.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise CheckpointError(f"No checkpoint at {path}.")
    if path.suffix == ".safetensors":
        return _load_safetensors(path, map_location)
    if path.suffix == ".pkl":
        content = read_numpy_pickle(path, trust=trust)
    else:
        content = read_torch_file(path, map_location=map_location, trust=trust)
    state_dict = unwrap(content, path)
    config_text, classes, metadata = _describe(content)
    return Checkpoint(path, state_dict, file_sha256(path), config_text, classes, metadata)


def load_into(model: nn.Module, checkpoint: Checkpoint, strict: bool = True) -> KeyDiff:
    """Copy a checkpoint's weights into a model.

    Args:
        model: Changed in place, or not at all when an error is raised.
        checkpoint: From `load_checkpoint`.
        strict: Names and shapes must agree. Otherwise what fits is loaded and the rest is logged.

    Returns:
        The difference; false when there is none.

    Raises:
        CheckpointError: Strict and something differs, or nothing fits at all.
    """
    own = model.state_dict()
    diff = key_diff(own, checkpoint.state_dict)
    if diff and (strict or not diff.matching):
        raise CheckpointError(f"{checkpoint.path} does not fit {type(model).__name__}: {diff}")
    fitting = {
        name: tensor
        for name, tensor in checkpoint.state_dict.items()
        if name in own and own[name].shape == tensor.shape
    }
    model.load_state_dict(fitting, strict=False)
    if diff:
        logger.warning("%s fits %s in part: %s", checkpoint.path, type(model).__name__, diff)
    return diff


def unwrap(content: Any, path: Path) -> dict[str, Tensor]:
    """The state dict in what a torch file holds, without the `module.` that DataParallel and DDP put in front.

    Raises:
        CheckpointError: No dict of tensors is found.
    """
    state_dict = content
    for key in STATE_DICT_KEYS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            state_dict = content[key]
            break
    tensors = {}
    if isinstance(state_dict, Mapping):
        for name, value in state_dict.items():
            if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":  # the model zoos of Detectron
                value = torch.from_numpy(value)
            if isinstance(value, Tensor):
                tensors[str(name).removeprefix("module.")] = value
    if not tensors:
        found = f"the keys {', '.join(map(str, list(content)[:8]))}" if isinstance(content, Mapping) else repr(content)
        raise CheckpointError(f"{path} holds no weights: expected a state dict, found {found[:200]}.")
    return tensors


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _load_safetensors(path: Path, map_location: MapLocation) -> Checkpoint:
    device = map_location if isinstance(map_location, str | torch.device) else "cpu"
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = dict(file.metadata() or {})
            state_dict = {name: _restored(file.get_tensor(name)).to(device) for name in file.keys()}  # noqa: SIM118
        classes = tuple(json.loads(metadata["classes"])) if "classes" in metadata else None
    except (SafetensorError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path} cannot be read as a safetensors file ({error}).") from error
    rest = {name: text for name, text in metadata.items() if name not in RESERVED}
    return Checkpoint(path, state_dict, file_sha256(path), metadata.get("config"), classes, rest)


def _describe(content: Any) -> tuple[str | None, tuple[str, ...] | None, dict[str, str]]:
    """Config text, classes and the rest of the `meta` that OpenMMLab's runners save (mmcv 1.x and mmengine)."""
    meta = content.get("meta") if isinstance(content, Mapping) else None
    if not isinstance(meta, Mapping):
        return None, None, {}
    config_text = meta.get("cfg") or meta.get("config")
    dataset = meta.get("dataset_meta")
    dataset = dataset if isinstance(dataset, Mapping) else {}
    classes = meta.get("CLASSES") or dataset.get("classes") or dataset.get("CLASSES")
    rest = {str(name): str(value) for name, value in meta.items() if isinstance(value, str | int | float)}
    rest = {name: text for name, text in rest.items() if name not in ("cfg", "config")}
    return (
        config_text if isinstance(config_text, str) else None,
        tuple(str(name) for name in classes) if isinstance(classes, list | tuple) else None,
        rest,
    )


def _stored(tensor: Tensor, half: bool) -> Tensor:
    """A copy to write: safetensors takes contiguous tensors that share no memory."""
    tensor = tensor.detach().cpu()
    if half and tensor.is_floating_point():
        halved = tensor.half()
        if halved.isfinite().equal(tensor.isfinite()):
            tensor = halved
    return tensor.contiguous().clone()


def _restored(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
