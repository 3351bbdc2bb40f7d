"""A training checkpoint as one safetensors file that carries its model config and classes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vos_occ.checkpoints.files import load_checkpoint, load_into, save_checkpoint
from vos_occ.inference.load import build_model, config_from_file, require_same_order
from vos_occ.results.output import require_new


def export_checkpoint(
    config: str | Path,
    checkpoint: str | Path,
    out: str | Path,
    *,
    half: bool = True,
    trained_on: str = "",
    overwrite: bool = False,
    trust_checkpoint: bool = False,
) -> int:
    """Writes `out`; answers with its size in bytes.

    Args:
        config: config file that the checkpoint was trained with.
        checkpoint: torch file of the Runner. Where an EMA hook ran, its averaged weights are the ones under
            `state_dict`, and they are what is exported.
        out: .safetensors file.
        half: store as float16.
        trained_on: statement of the training data, kept in the file's metadata.
        overwrite: replace an existing file.
        trust_checkpoint: unpickle `checkpoint` without restrictions; only for files from someone you trust.

    Raises:
        UserError: the checkpoint does not fit the config, or `out` exists.
    """
    require_new(out, overwrite)
    model_config, classes = config_from_file(config)
    model_config = without_pretrained(model_config)
    model = build_model(model_config, classes)
    loaded = load_checkpoint(checkpoint, trust=trust_checkpoint)
    require_same_order(loaded, classes)
    load_into(model, loaded)
    state = {name: tensor for name, tensor in model.state_dict().items() if not name.endswith("num_batches_tracked")}
    path = save_checkpoint(out, state, json.dumps(model_config), classes, half=half, extra={"trained_on": trained_on})
    return path.stat().st_size


def without_pretrained(config: Any) -> Any:
    """A copy of a model config that names no weights to start from: they are in the checkpoint now."""
    if isinstance(config, dict):
        return {
            key: without_pretrained(value)
            for key, value in config.items()
            if not (key == "init_cfg" and isinstance(value, dict) and value.get("type") == "Pretrained")
        }
    if isinstance(config, list | tuple):
        return [without_pretrained(value) for value in config]
    return config
