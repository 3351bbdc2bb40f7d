"""Tables of an ablation: means over seeds, and paired differences from the first variant with standard errors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

import numpy as np

LEAST_AP = 0.30
"""A table counts only if the plain model reaches it."""

Scores = Mapping[int, Mapping[str, float]]
"""Of one variant: seed -> name -> value."""


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
