"""Tables of an ablation: means over seeds, and paired differences with standard errors.

`markdown_table` compares variants with the first of them; `tables_of_arms` those that differ in several attributes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import TypeVar

import numpy as np

LEAST_AP = 0.30
"""A table counts only if the plain model reaches it."""

Scores = Mapping[int, Mapping[str, float]]
"""Of one variant: seed -> name -> value."""

Columns = Mapping[str, tuple[str, int]]
"""Score -> title of its column, digits."""

Arm = TypeVar("Arm", bound=Hashable)
"""A frozen dataclass of texts: what a model was trained with and runs with."""


@dataclass(frozen=True)
class Difference:
    """Mean of paired differences over seeds.

    Attributes:
        mean: of `variant - reference`, seed by seed.
        error: standard error of that mean; NaN with a single seed.
    """

    mean: float
    error: float

    @property
    def is_clear(self) -> bool:
        """More than two standard errors from 0."""
        return abs(self.mean) > 2 * self.error

    def shown(self, digits: int = 3) -> str:
        """As text; `-` where it is undefined."""
        if math.isnan(self.mean):
            return "-"
        return f"{self.mean:+.{digits}f} ± {self.error:.{digits}f}{' *' if self.is_clear else ''}"

    def __str__(self) -> str:
        return self.shown()


def paired_difference(variant: Scores, reference: Scores, name: str) -> Difference:
    """Difference of one score over the seeds that both have.

    Raises:
        ValueError: no seed is common.
    """
    seeds = sorted(variant.keys() & reference.keys())
    if not seeds:
        raise ValueError(f"No seed has {name} of both variants.")
    differences = [variant[seed][name] - reference[seed][name] for seed in seeds]
    error = float(np.std(differences, ddof=1)) / math.sqrt(len(seeds)) if len(seeds) > 1 else math.nan
    return Difference(mean(differences), error)


@dataclass(frozen=True)
class Question:
    """What is asked of pairs of arms that differ in nothing else.

    Attributes:
        variant: attributes of the arms that it is asked of.
        reference: those of them, or others, that what they are compared with has instead.
    """

    variant: Mapping[str, str]
    reference: Mapping[str, str]

    def __str__(self) -> str:
        return f"{', '.join(self.variant.values())} - {', '.join({**self.variant, **self.reference}.values())}"


def tables_of_arms(
    title: str,
    factors: Sequence[str],
    results: Mapping[Arm, Scores],
    columns: Columns,
    questions: Mapping[str, Question],
    doubt: str = "",
) -> Iterator[str]:
    """Means of every arm, then what each question changes, arm by arm and in the mean of its arms.

    Args:
        title: of the table of means.
        factors: titles of the arms' attributes.
        results: of every arm, all of the same seeds.
        columns: what is shown.
        questions: by name.
        doubt: why nothing of it counts, if so.
    """
    yield f"\n{title}\n"
    if doubt:
        yield f"DOES NOT COUNT: {doubt}\n"
    titles = [title for title, _ in columns.values()]
    rows = [
        [*vars(arm).values(), *(shown(mean_over_seeds(scores, name), digits) for name, (_, digits) in columns.items())]
        for arm, scores in results.items()
    ]
    yield markdown_rows([*factors, *titles], rows)
    yield "\nDifferences, paired by seed, ± standard error; * = more than two of these\n"
    rows = [row for name, question in questions.items() for row in answers(name, question, results, columns)]
    yield markdown_rows(["question", "arms", *titles], rows)


def answers(name: str, question: Question, results: Mapping[Arm, Scores], columns: Columns) -> Iterator[list[str]]:
    """Rows of one question: in the mean of all arms that it can be asked of, then of each."""
    asked = [arm for arm in results if question.variant.items() <= vars(arm).items()]
    pairs = {arm: (results[arm], results[replace(arm, **question.reference)]) for arm in asked}
    variants, references = (_mean_over_arms(scores, columns) for scores in zip(*pairs.values(), strict=True))
    yield [f"{name}: {question}", f"mean of {len(pairs)}", *_differences(variants, references, columns)]
    for arm, pair in pairs.items():
        fixed = [level for attribute, level in vars(arm).items() if attribute not in question.variant]
        yield ["", ", ".join(fixed), *_differences(*pair, columns)]


def read_scores(path: Path) -> dict[str, float]:
    """Scores of an arm; NaN for what is null there, so that means of it are undefined too."""
    return {name: math.nan if value is None else value for name, value in json.loads(path.read_text()).items()}


def mean_over_seeds(scores: Scores, name: str) -> float:
    return mean(of_seed[name] for of_seed in scores.values())


def _mean_over_arms(scores: Sequence[Scores], columns: Columns) -> Scores:
    """Scores by seed, each the mean of several arms."""
    return {seed: {name: mean(arm[seed][name] for arm in scores) for name in columns} for seed in scores[0]}


def _differences(variant: Scores, reference: Scores, columns: Columns) -> list[str]:
    """A cell per column."""
    return [paired_difference(variant, reference, name).shown(digits) for name, (_, digits) in columns.items()]


def markdown_table(results: Mapping[str, Scores], names: Mapping[str, str], costs: Mapping[str, str]) -> str:
    """A row per variant: its cost, then for each score the mean over seeds and the difference from the first variant.

    Args:
        results: by variant; the first is the reference.
        names: score -> title of its column.
        costs: variant -> parameters and time, as text.
    """
    reference = next(iter(results.values()))
    titles = ["head", "parameters, ms a step", *names.values()]
    rows = []
    for variant, scores in results.items():
        cells = [variant, costs[variant]]
        for name in names:
            cell = shown(mean(values[name] for values in scores.values()))
            if scores is not reference:
                cell += f" ({paired_difference(scores, reference, name)})"
            cells.append(cell)
        rows.append(cells)
    return markdown_rows(titles, rows)


def markdown_rows(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells."""
    return "\n".join(map(_line, [titles, ["---"] * len(titles), *rows]))


def shown(value: float, digits: int = 3) -> str:
    """A number as text; `-` where it is NaN."""
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
