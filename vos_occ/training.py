"""Training with mmengine's Runner: config in, checkpoints out. The models and data sets are elsewhere."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, DictAction
from mmengine.runner import Runner

from vos_occ.checkpoints import mmengine_scheme
from vos_occ.inference.stopping import StopSignals
from vos_occ.random_states import KeepRandomStates
from vos_occ.results.output import require_new
from vos_occ.stop_hook import SaveAndStop
from vos_occ.structures.errors import InputError, OutputExistsError


def read_config(path: str | Path, options: Sequence[str] = ()) -> Config:
    """A config file, with `key=value` overrides.

    Raises:
        InputError: the file is absent, is no config, or an option is not of the form key=value.
    """
    if not Path(path).is_file():
        raise InputError(f"Config {str(path)!r} does not exist. The shipped ones are in configs/.")
    try:
        config = Config.fromfile(str(path))
    except Exception as error:  # a config is a program, which fails in any of the ways in which programs fail
        reason = " ".join(str(error).split())
        raise InputError(f"Config {str(path)!r} cannot be read: {type(error).__name__}: {reason}") from error
    try:
        config.merge_from_dict(parse_options(options))
    except (KeyError, TypeError, AssertionError) as error:
        raise InputError(
            f"Options {' '.join(options)} do not fit config {str(path)!r}: {first_sentence(error)}."
        ) from error
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
    overwrite: bool = False,
    seed: int | None = None,
    options: Sequence[str] = (),
    validate: int | None = None,
    launcher: str = "none",
    trust_checkpoint: bool = False,
) -> Path:
    """Trains the model of a config; answers with the work dir, where checkpoints and logs are.

    Args:
        config_path: a file of configs/.
        work_dir: folder for checkpoints and logs; made if absent.
        resume: go on from the newest checkpoint in `work_dir`, optimizer and schedule included.
        overwrite: start anew in a `work_dir` with checkpoints of an earlier run, which are replaced as this one saves.
        seed: overrides the config's `randomness.seed`.
        options: `key=value` overrides of config entries.
        validate: score the config's `val_dataset` or `test_dataset` every so many steps; None: only if the config
            has a `val_evaluator`, as often as it says.
        launcher: "pytorch" under torchrun, else "none".
        trust_checkpoint: unpickle checkpoints without restrictions.

    Raises:
        UserError: config, data or checkpoint cannot be used, or `work_dir` holds checkpoints; `Stopped` after SIGINT or
            SIGTERM, with a checkpoint of the last step.
        EvalError: an annotation file is not of its format, or what validation wrote cannot be scored.
    """
    from vos_occ.validation.config import complete_validation  # with metrics, which whoever loads a model needs not

    mmengine_scheme.install()
    config = read_config(config_path, options)
    require_trainable(config, config_path)
    require_fresh(Path(work_dir), resume or overwrite)
    config.work_dir = str(work_dir)
    config.resume = resume
    config.launcher = launcher
    if seed is not None:
        config.randomness = {"seed": seed}
    complete_validation(config, validate)
    with mmengine_scheme.trust_checkpoints() if trust_checkpoint else nullcontext(), StopSignals() as stop:
        runner = build_runner(config, config_path)
        runner.register_hook(KeepRandomStates())
        runner.register_hook(SaveAndStop(stop))
        if config.get("channels_last"):  # a third faster on a CPU for depthwise convolutions
            runner.model.to(memory_format=torch.channels_last)
        runner.train()
    return Path(work_dir)


def build_runner(config: Config, path: str | Path) -> Runner:
    """The Runner of a config.

    Raises:
        InputError: the config names a part or an argument that does not exist.
    """
    try:
        runner = Runner.from_cfg(config)
        _ = runner.val_loop  # built now, not when training has begun
        return runner
    except (KeyError, TypeError) as error:  # what mmengine raises for unknown types and unknown arguments
        raise InputError(f"Config {str(path)!r} cannot be built: {first_sentence(error)}.") from error


def first_sentence(error: Exception) -> str:
    """What an error says, without quotes around it and without the paragraph of advice that may follow."""
    text = " ".join(str(error.args[0] if error.args else error).split())
    return text.split(". ")[0].rstrip(".")


def require_trainable(config: Config, path: str | Path) -> None:
    """Raises InputError unless the config has what a Runner trains."""
    if missing := [key for key in ("model", "train_dataloader", "train_cfg", "optim_wrapper") if key not in config]:
        raise InputError(f"Config {str(path)!r} has no `{missing[0]}`, which training needs. See configs/demo/.")
    if "classes" in config:
        require_classes(config.model, config.classes)
    dataset = config.train_dataloader.get("dataset", {})
    if dataset.get("num_classes") is not None:
        _require_count(config.model, dataset["num_classes"], "The dataset of the config has")


def require_classes(model_config: Mapping[str, Any], classes: Sequence[str]) -> None:
    """Raises InputError unless the detector of a model config tells as many classes apart as there are names."""
    _require_count(model_config, len(classes), "The config has")


def _require_count(model_config: Mapping[str, Any], count: int, subject: str) -> None:
    detector = model_config.get("detector", model_config)
    for head in (detector.get("roi_head", {}).get("bbox_head"), detector.get("bbox_head")):
        known = head.get("num_classes", count) if isinstance(head, Mapping) else count
        if known != count:
            raise InputError(f"{subject} {count} classes, but its bbox_head.num_classes is {known}.")


def require_fresh(work_dir: Path, allowed: bool) -> None:
    """Raises OutputExistsError if a run would replace the checkpoints of an earlier one without being `allowed`."""
    require_new(work_dir, overwrite=True, folder=True)
    if not allowed and any(work_dir.glob("*.pth")):
        raise OutputExistsError(
            f"Work dir '{work_dir}' has checkpoints of an earlier run. Use --resume to go on, or --overwrite."
        )
