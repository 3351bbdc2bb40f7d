"""Renaming the tensors of other people's checkpoints by rules, and telling which names no rule knows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from vos_occ.structures.errors import CheckpointError

Rule = tuple[str, str]
"""A regular expression for a whole name, and what becomes of it (with \\1, \\2, ...)."""


@dataclass(frozen=True)
class Converted:
    """A checkpoint under our names.

    Attributes:
        state_dict: Our name -> tensor.
        unknown: Names of the source that have no place here.
        notes: What the names and shapes do not tell, but who uses the weights should know.
        settings: Entries of the model's config (`track_head.embed_head.relu_last`) that the weights were trained with:
            with others they fit by name and shape, and mean something else.
        class_order: The order of the labels. A file that names just these classes may name them in another order,
            which is then not that of its labels.
    """

    state_dict: dict[str, Tensor] = field(repr=False)
    unknown: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    class_order: tuple[str, ...] = ()

    def apply_settings(self, model: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
        """A model's config with `settings`, and those that change it, as `name = value`.

        A part that the model does not have is not added.
        """
        changed = deepcopy(dict(model))
        changes = []
        for name, value in self.settings.items():
            *parts, last = name.split(".")
            place: Any = changed
            for part in parts:
                place = place.get(part) if isinstance(place, Mapping) else None
            if isinstance(place, dict) and place.get(last) != value:
                place[last] = value
                changes.append(f"{name} = {value!r}")
        return changed, tuple(changes)


def rename(state_dict: Mapping[str, Tensor], rules: Sequence[Rule], leave_out: str | None = None) -> Converted:
    """Every tensor under the name that the first fitting rule gives it; those that fit none are `unknown`.

    Args:
        state_dict: Theirs.
        rules: Of theirs to ours.
        leave_out: A regular expression for names that are known and have no place here.

    Raises:
        CheckpointError: two tensors get one name.
    """
    compiled = [(re.compile(pattern), replacement) for pattern, replacement in rules]
    renamed: dict[str, Tensor] = {}
    sources: dict[str, str] = {}
    unknown = []
    for name, tensor in state_dict.items():
        if leave_out is not None and re.fullmatch(leave_out, name):
            continue
        match = next(((p.fullmatch(name), r) for p, r in compiled if p.fullmatch(name)), None)
        if match is None:
            unknown.append(name)
            continue
        target = match[0].expand(match[1])
        if target in renamed:
            raise CheckpointError(f"The checkpoint names one tensor twice: {sources[target]} and {name} ({target}).")
        renamed[target], sources[target] = tensor, name
    return Converted(renamed, tuple(unknown))
