"""How the names and shapes of a checkpoint differ from those of a model, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

SHOWN = 3


@dataclass(frozen=True)
class KeyDiff:
    """The difference between a checkpoint and a model.

    Attributes:
        missing: Names that the model has and the checkpoint has not. `num_batches_tracked` is not counted: it does
            not change a result, and detectron2's checkpoints have none.
        unexpected: Names that only the checkpoint has.
        reshaped: `name: checkpoint (64, 64, 3, 3), model (128, 128, 3, 3)`.
        matching: How many names agree in shape too.
        hint: A guess at the reason, or "".
    """

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    reshaped: tuple[str, ...]
    matching: int
    hint: str

    def __bool__(self) -> bool:
        """True when there is a difference."""
        return bool(self.missing or self.unexpected or self.reshaped)

    def __str__(self) -> str:
        groups = (("missing", self.missing), ("unexpected", self.unexpected), ("of another shape", self.reshaped))
        listed = [f"{len(names)} {what} ({_first(names)})" for what, names in groups if names]
        return f"{self.matching} tensors match, {', '.join(listed)}.{self.hint}" if listed else "all tensors match"


def key_diff(model: Mapping[str, Tensor], checkpoint: Mapping[str, Tensor]) -> KeyDiff:
    """Compare two state dicts by name and shape."""
    shared = [name for name in model if name in checkpoint]
    reshaped = [name for name in shared if model[name].shape != checkpoint[name].shape]
    absent = [name for name in model if name not in checkpoint]
    return KeyDiff(
        missing=tuple(name for name in absent if not name.endswith("num_batches_tracked")),
        unexpected=tuple(name for name in checkpoint if name not in model),
        reshaped=tuple(
            f"{name}: checkpoint {tuple(checkpoint[name].shape)}, model {tuple(model[name].shape)}" for name in reshaped
        ),
        matching=len(shared) - len(reshaped),
        hint=_hint(list(model), list(checkpoint)) if 2 * len(shared) < len(model) else "",
    )


def _hint(model: Sequence[str], checkpoint: Sequence[str]) -> str:
    """Why fewer than half of the names are found: a wrapper's prefix, or another architecture."""
    for part in _parts(model):
        if _most(model, {f"{part}.{name}" for name in checkpoint}):
            return f" The names would match with {part!r} in front: this is a checkpoint of that part alone."
    for part in _parts(checkpoint):
        if _most(model, {name.removeprefix(f"{part}.") for name in checkpoint}):
            return f" The names would match without the leading {part!r}: this is a checkpoint of a larger model."
    return (
        f" This looks like another architecture: the checkpoint has {', '.join(_parts(checkpoint))}, "
        f"the model {', '.join(_parts(model))}."
    )


def _parts(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(name.split(".")[0] for name in names))


def _most(model: Sequence[str], names: set[str]) -> bool:
    return 2 * sum(name in names for name in model) > len(model)


def _first(names: Sequence[str]) -> str:
    more = ", ..." if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
