"""Training with mmengine's Runner: config in, checkpoints out. The models and data sets are elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

import vos_occ.compat  # noqa: F401  (before any mm* import)
from mmengine.config import Config, DictAction  # isort: skip
from mmengine.runner import Runner  # isort: skip
from vos_occ.checkpoints import mmengine_scheme
from vos_occ.structures.errors import InputError


def read_config(path: str | Path, options: Sequence[str] = ()) -> Config:
    """A config file, with `key=value` overrides.

    Raises:
        InputError: the file is absent, is no config, or an option is not of the form key=value.
    """
    if not Path(path).is_file():
        raise InputError(f"Config {str(path)!r} does not exist. The shipped ones are in configs/.")
    try:
        config = Config.fromfile(str(path))
    except (OSError, SyntaxError, KeyError, ValueError, TypeError, AttributeError, ImportError) as error:
        raise InputError(f"Config {str(path)!r} cannot be read: {' '.join(str(error).split())}") from error
    config.merge_from_dict(parse_options(options))
    return config


def parse_options(options: Sequence[str]) -> dict[str, Any]:
    """`["a.b=1", "c=[2,3]"]` as a dict, values parsed as mmengine's command lines do."""
    parsed = {}
    for option in options:
        key, separator, value = option.partition("=")
        if not separator or not key:
            raise InputError(f"Option {option!r} is not of the form key=value.")
        parsed[key] = DictAction._parse_iterable(value)
    return parsed


def train(
    config_path: str | Path,
    *,
    work_dir: str | Path,
    resume: bool = False,
    seed: int | None = None,
    options: Sequence[str] = (),
    launcher: str = "none",
    trust_checkpoint: bool = False,
) -> Path:
    """Trains the model of a config; answers with the work dir, where checkpoints and logs are.

    Args:
        config_path: a file of configs/.
        work_dir: folder for checkpoints and logs; made if absent.
        resume: go on from the newest checkpoint in `work_dir`, optimizer and schedule included.
        seed: overrides the config's `randomness.seed`.
        options: `key=value` overrides of config entries.
        launcher: "pytorch" under torchrun, else "none".
        trust_checkpoint: unpickle checkpoints without restrictions.

    Raises:
        UserError: config, data or checkpoint cannot be used.
    """
    mmengine_scheme.install()
    config = read_config(config_path, options)
    config.work_dir = str(work_dir)
    config.resume = resume
    config.launcher = launcher
    if seed is not None:
        config.randomness = {"seed": seed}
    with mmengine_scheme.trust_checkpoints() if trust_checkpoint else nullcontext():
        runner = Runner.from_cfg(config)
        if config.get("channels_last"):  # a third faster on a CPU for depthwise convolutions
            runner.model.to(memory_format=torch.channels_last)
        runner.train()
    return Path(work_dir)
