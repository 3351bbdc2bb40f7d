"""From records of `eval.readers` to the arrays of a `Sample`: what all annotation formats have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from mmengine.logging import print_log

from eval.errors import listed
from eval.readers.record import Category
from vos_occ.datasets.sample import unknown_order
from vos_occ.structures.errors import InputError


def select_classes(
    categories: Sequence[Category],
    classes: Sequence[str] | None,
    ann_file: str | Path,
    merge: Mapping[str, str] | None = None,
) -> tuple[tuple[str, ...], Mapping[int, int]]:
    """Class names in label order, and the label of each category id that is kept, by rising label; logs what is not.

    Args:
        categories: of the file.
        classes: names to keep, in label order; None: all of the file's, in order of id.
        ann_file: for the message.
        merge: the class that a category of the file belongs to, where that has another name; several may be one.

    Raises:
        InputError: the file has no category of a name.
    """
    merge = merge or {}
    class_of = {category.id: merge.get(category.name, category.name) for category in categories}
    names = tuple(dict.fromkeys(class_of[number] for number in sorted(class_of)) if classes is None else classes)
    for wanted, there in ((merge, {category.name for category in categories}), (names, set(class_of.values()))):
        for name in wanted:
            if name not in there:
                raise InputError(f"{ann_file} has no category {name!r}. It has: {', '.join(sorted(there))}.")
    if left_out := [category.name for category in categories if class_of[category.id] not in names]:
        print_log(f"{ann_file}: objects of categories without a class are left out: {listed(left_out)}", "current")
    label_of = {number: names.index(name) for number, name in class_of.items() if name in names}
    return names, dict(sorted(label_of.items(), key=lambda pair: pair[1]))  # who asks for ids wants them by label


def hidden_or_nan(values: Sequence[float | None]) -> np.ndarray:
    """(N,) float32; None becomes nan."""
    return np.array([np.nan if value is None else value for value in values], np.float32)


def order_from_lists(ids: Sequence[int], in_front_of: Sequence[Sequence[int] | None]) -> np.ndarray:
    """(N, N) int8 order matrix from, per instance, the ids that it hides part of (None: nothing is known of it)."""
    order = unknown_order(len(ids))
    position = {instance_id: index for index, instance_id in enumerate(ids)}
    known = np.array([behind is not None for behind in in_front_of], bool)
    order[np.ix_(known, known)] = 0
    for i, behind in enumerate(in_front_of):
        for j in behind or ():
            if j in position:
                order[i, position[j]] = 1
    return order
