"""Which category of a benchmark a class of a model stands for: by its name, or by a map where names differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vos_occ.structures.errors import InputError


def map_classes(
    classes: Sequence[str], categories: Sequence[str], class_map: Mapping[str, str], benchmark: str
) -> dict[int, str]:
    """The category of each label that has one.

    Args:
        classes: of the model, in label order.
        categories: of the benchmark.
        class_map: category by class, where the names differ; several classes may stand for one category.
        benchmark: its name, for errors.

    Raises:
        InputError: `class_map` names what is not there, or no class has a category.
    """
    for name, category in class_map.items():
        if name not in classes:
            raise InputError(f"class_map names '{name}', but the model knows {', '.join(classes)}. Correct the name.")
        if category not in categories:
            raise InputError(f"class_map names '{category}', but {benchmark} has {', '.join(categories)}. Correct it.")
    named = {label: class_map.get(name, name) for label, name in enumerate(classes)}
    mapped = {label: category for label, category in named.items() if category in categories}
    if not mapped:
        sides = f"None of the model's classes ({', '.join(classes)}) is one of {benchmark} ({', '.join(categories)})"
        raise InputError(f"{sides}. Say what stands for what: --class-map {classes[0]}={categories[0]}.")
    return mapped


def parse_class_map(entries: Sequence[str]) -> dict[str, str]:
    """`person=pedestrian` as a map; a class may be named once.

    Raises:
        InputError: an entry has another form.
    """
    class_map: dict[str, str] = {}
    for entry in entries:
        name, equals, category = (part.strip() for part in entry.partition("="))
        if not (name and equals and category) or name in class_map:
            raise InputError(f"--class-map is '{entry}', expected CLASS=CATEGORY, each class once.")
        class_map[name] = category
    return class_map


def left_out(classes: Sequence[str], mapped: Mapping[int, str], benchmark: str) -> str:
    """One line about the classes without a category, "" where all have one."""
    names = [name for label, name in enumerate(classes) if label not in mapped]
    if not names:
        return ""
    return f"Left out of the results, as {benchmark} has no such category (--class-map): {', '.join(names)}."
