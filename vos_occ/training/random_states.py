"""A training run that is resumed draws the random numbers that it would have drawn: mmengine starts them anew.

With `num_workers=0` on a CPU the resumed run is bit-equal to one without a break. With workers the order of the data
is the same, but the workers' own random numbers begin again.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

_KEY = "random_states"


@HOOKS.register_module()
class KeepRandomStates(Hook):
    """Saves the states of Python's, numpy's and torch's generators in every checkpoint, and resumes with them.

    Validation leaves them as they were, so that it may come as often as one likes.
    """

    priority = "VERY_HIGH"

    def __init__(self) -> None:
        self._resumed: dict[str, Any] | None = None
        self._before_val: dict[str, Any] = {}

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Adds the states to what is saved."""
        checkpoint[_KEY] = random_states()

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Takes the states from what is loaded, for a run that goes on from there."""
        self._resumed = checkpoint.get(_KEY)

    def before_train_epoch(self, runner: Runner) -> None:
        """Arranges for the states to be set where they were saved: after the loader is ready, before its next batch."""
        loop = runner.train_loop
        if self._resumed is not None and runner.iter > 0 and hasattr(loop, "dataloader_iterator"):
            loop.dataloader_iterator = _Resumed(loop.dataloader_iterator, self._resumed)
        self._resumed = None

    def before_val(self, runner: Runner) -> None:
        """Remembers the states."""
        self._before_val = random_states()

    def after_val(self, runner: Runner) -> None:
        """Restores them."""
        set_random_states(self._before_val)


class _Resumed:
    """A loader's iterator that sets random states before its first batch. To make the iterator draws from torch's."""

    def __init__(self, batches: Any, states: dict[str, Any]) -> None:
        self._batches, self._states = batches, states

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._states:
            self._batches._ensure_iterator()
            set_random_states(self._states)
            self._states = {}
        return next(self._batches)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batches, name)


def random_states() -> dict[str, Any]:
    """The states of all generators, as what a checkpoint holds that is loaded without unpickling code."""
    version, words, gauss = random.getstate()
    _, keys, position, has_gauss, cached = np.random.get_state()
    return {
        "python": [version, list(words), gauss],
        "numpy": [torch.from_numpy(keys.astype(np.int64)), position, has_gauss, cached],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_states(states: dict[str, Any]) -> None:
    """Undo of `random_states`. States of GPUs that are not here are left out."""
    version, words, gauss = states["python"]
    random.setstate((version, tuple(words), gauss))
    keys, *rest = states["numpy"]
    np.random.set_state(("MT19937", keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(states["torch"].cpu())
    if torch.cuda.is_available() and len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([state.cpu() for state in states["cuda"]])
