"""BDD100K's categories as labels of a model: classes by name, other names of theirs, and classes merged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from eval.protocols.bdd100k_rules import VOCABULARY
from eval.readers.record import Category
from vos_occ.datasets.annotations import select_classes

NOT_TRACKED = ("traffic light", "traffic sign")
"""Categories of BDD100K's detection that are none of its tracking's (bdd100k 1.0.1, configs/det.toml)."""


def bdd_labels(
    classes: Sequence[str] | None, source: str | Path, merge: Mapping[str, str] | None = None
) -> tuple[tuple[str, ...], dict[int, int]]:
    """Class names in label order, and the label of each of the eight categories by its number from 1; -1 for none.

    Args:
        classes: names to keep, in label order; other names of BDD100K's own are understood (person, motor, bike).
        source: for the message.
        merge: class that a category belongs to, where that has another name.

    Raises:
        InputError: BDD100K has no category of a name.
    """
    renamed = VOCABULARY.renamed
    categories = [Category(number, name) for number, name in enumerate(VOCABULARY.classes, start=1)]
    merged = {renamed.get(name, name): into for name, into in (merge or {}).items()}
    merged |= {renamed[name]: name for name in classes or () if name in renamed and renamed[name] not in classes}
    names, label_of = select_classes(categories, classes, source, merged)
    return names, {category.id: label_of.get(category.id, -1) for category in categories}
