"""A training that is asked to stop (Ctrl-C, SIGTERM) saves a checkpoint after the step in progress, then ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import IterBasedTrainLoop, Runner

from vos_occ.inference.stopping import StopSignals
from vos_occ.results.output import write_atomically


@HOOKS.register_module()
class SaveAndStop(Hook):
    """Ends the run with `Stopped`, whose message says how to go on.

    A run that counts epochs cannot be resumed in the middle of one, so there the last saved epoch is what is kept.

    Args:
        stop: notes the signals; see `StopSignals`.
    """

    priority = "LOWEST"  # after every hook that changes what is saved

    def __init__(self, stop: StopSignals) -> None:
        self._stop = stop

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Saves and raises Stopped if a signal came."""
        if self._stop.requested is None:
            return
        done = "The checkpoints are those of whole epochs."
        if isinstance(runner.train_loop, IterBasedTrainLoop):
            self._save(runner)
            done = f"Step {runner.iter + 1} is saved in '{runner.work_dir}'."
        self._stop.check(f"{done} Go on with --resume.")

    @master_only
    def _save(self, runner: Runner) -> None:
        name = f"iter_{runner.iter + 1}.pth"
        path = Path(runner.work_dir) / name
        if not path.exists():
            runner.save_checkpoint(runner.work_dir, name, by_epoch=False)
        write_atomically(Path(runner.work_dir) / "last_checkpoint", str(path))
