"""Training with mmengine's Runner: config in, checkpoints out. The models and data sets are elsewhere."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.runner import Runner

from vos_occ.checkpoints import mmengine_scheme
from vos_occ.inference.stopping import StopSignals
from vos_occ.results.output import require_new
from vos_occ.structures.errors import InputError, OutputExistsError
from vos_occ.training.config import first_sentence, read_config, require_trainable
from vos_occ.training.finite_losses import RefuseNotFinite
from vos_occ.training.mixed_precision import AmpType, is_mixed, keep_float32, use_mixed_precision
from vos_occ.training.random_states import KeepRandomStates
from vos_occ.training.stop_hook import SaveAndStop

LOGGED_AS_MEANS = r"^(train/)?[^/]*(loss|time|grad_norm|acc|accuracy|_iou|occluder_known|occluder_rate)"
"""Of these the log has means of the last steps (`log_processor.window_size`); mmengine knows losses and times only.

Scores of validation have their protocol before a slash (`ytvis/order_accuracy`) and are no measures of a step."""


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
    amp: AmpType | None = None,
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
        amp: train in mixed precision, see `use_mixed_precision`; None: as the config says.

    Raises:
        UserError: config, data or checkpoint cannot be used, several processes are asked for where there is no GPU, or
            `work_dir` holds checkpoints; `Stopped` after SIGINT or SIGTERM, with a checkpoint of the last step;
            `NotFiniteError` when a loss is nan or infinite.
        EvalError: an annotation file is not of its format, or what validation wrote cannot be scored.
    """
    from vos_occ.validation.config import complete_validation  # with metrics, which whoever loads a model needs not

    if launcher == "pytorch" and not torch.cuda.is_available():
        raise InputError("Training in several processes needs a GPU for each, and there is none. Leave out --launcher.")
    mmengine_scheme.install()
    config = read_config(config_path, options)
    require_trainable(config, config_path)
    require_fresh(Path(work_dir), resume or overwrite)
    config.work_dir = str(work_dir)
    config.resume = resume and any(Path(work_dir).glob("*.pth"))
    if config.resume:
        config.load_from = None  # from which mmengine would resume, instead of from the work dir
    config.launcher = launcher
    if seed is not None:
        config.randomness = {"seed": seed}
    if amp is not None:
        use_mixed_precision(config, amp)
    config.log_processor = {"mean_pattern": LOGGED_AS_MEANS, **config.get("log_processor", {})}
    complete_validation(config, validate)
    with mmengine_scheme.trust_checkpoints() if trust_checkpoint else nullcontext(), StopSignals() as stop:
        runner = build_runner(config, config_path)
        if is_mixed(config):
            keep_float32(runner.model)
        runner.register_hook(RefuseNotFinite())
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
        _ = runner.val_loop, runner.train_loop  # built now, not when training has begun
        if runner.optim_wrapper is not None:
            runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
        return runner
    except (KeyError, TypeError) as error:  # what mmengine raises for unknown types and unknown arguments
        raise InputError(f"Config {str(path)!r} cannot be built: {first_sentence(error)}.") from error


def require_fresh(work_dir: Path, allowed: bool) -> None:
    """Raises OutputExistsError if a run would replace the checkpoints of an earlier one without being `allowed`."""
    require_new(work_dir, overwrite=True, folder=True)
    if not allowed and any(work_dir.glob("*.pth")):
        raise OutputExistsError(
            f"Work dir '{work_dir}' has checkpoints of an earlier run. Use --resume to go on, or --overwrite."
        )
