"""A training whose loss or weights are no longer numbers ends at once, says where, and saves none of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor, nn

from vos_occ.structures.errors import UserError

CURE = "Look at these images, or train with a lower learning rate, a longer warm-up or clip_grad."


class NotFiniteError(UserError):
    """A loss or a weight became nan or infinite."""


@HOOKS.register_module()
class RefuseNotFinite(Hook):
    """Raises NotFiniteError before a loss that is nan or infinite moves any weight, and before such a weight is saved.

    The checkpoints that are on the disk stay as they are. Asks the device for one number per step, which mmengine does
    for its log anyway. Each process looks at its own losses.
    """

    priority = "VERY_HIGH"

    def __init__(self) -> None:
        self._step = 0
        self._batch: Any = None

    def before_train(self, runner: Runner) -> None:
        """Watches what the model's losses come to."""
        model = _unwrapped(runner.model)
        parse = model.parse_losses

        def parse_finite(losses: Mapping[str, Tensor | list[Tensor]]) -> tuple[Tensor, dict[str, Tensor]]:
            total, logged = parse(losses)
            if not total.isfinite():
                self._refuse(logged, runner.work_dir)
            return total, logged

        model.parse_losses = parse_finite

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Remembers the step and its images."""
        self._step, self._batch = runner.iter + 1, data_batch

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Raises NotFiniteError instead of saving weights that are not finite."""
        for name, value in checkpoint["state_dict"].items():
            if isinstance(value, Tensor) and not value.isfinite().all():
                raise NotFiniteError(
                    f"The weights of {name} are not finite after step {self._step}{self._images()}. They were not "
                    f"saved; {_last_checkpoint(runner.work_dir)}. {CURE}"
                )

    def _refuse(self, logged: Mapping[str, Tensor], work_dir: str) -> None:
        terms = {name: value.item() for name, value in logged.items() if "loss" in name and not value.isfinite()}
        named = [f"{name} is {value}" for name, value in terms.items() if name != "loss"] or [
            f"the sum of the losses is {terms['loss']}"
        ]
        raise NotFiniteError(
            f"{', '.join(named)} at step {self._step}{self._images()}. Nothing was learned from this step; "
            f"{_last_checkpoint(work_dir)}. {CURE}"
        )

    def _images(self) -> str:
        names = list(_image_names(self._batch))
        return f" (images {', '.join(names)})" if names else ""


def _unwrapped(model: nn.Module) -> Any:
    return model.module if is_model_wrapper(model) else model


def _image_names(batch: Any) -> Iterator[str]:
    """Ids of the images of a batch, or their paths; nothing for those that carry neither."""
    samples = batch.get("data_samples", []) if isinstance(batch, Mapping) else []
    for sample in samples if isinstance(samples, list | tuple) else [samples]:
        known = getattr(sample, "metainfo", {})
        name = known.get("img_id", known.get("img_path"))
        if name is not None:
            yield str(name)


def _last_checkpoint(work_dir: str) -> str:
    found = Path(work_dir) / "last_checkpoint"
    return f"the last checkpoint is {found.read_text().strip()}" if found.is_file() else "no checkpoint was saved yet"
