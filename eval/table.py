"""Scores as tables for the terminal, in the protocol's own units."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from rich.table import Table

from eval.protocols.protocol import Column
from eval.scores import Number, Numbers, Scores


def score_tables(scores: Scores, columns: Sequence[Column]) -> Iterator[Table | str]:
    """A table of classes, with a row for all, and one of the summary; one of occlusion levels where there are any.

    Classes of which there are neither objects nor predictions are only counted, in a line.

    Args:
        scores: What to show.
        columns: The numbers to show, in this order; fractions are shown times their scale.
    """
    title = f"{scores.protocol} (equals {scores.version})"
    rows = {name: row for name, row in scores.classes.items() if _says_something(row, columns)}
    rows |= {"overall": scores.overall} if scores.overall else {}
    if rows:
        yield _table(title, "class", rows, columns)
    left_out = len(scores.classes) - len(rows) + bool(scores.overall)
    if left_out:
        yield f"not shown: {left_out} {'class' if left_out == 1 else 'classes'} that neither side has"
    yield _table(None if rows else title, "", {"summary": scores.summary}, _with_others(columns, scores.summary))
    if scores.by_occlusion:
        names = list(dict.fromkeys(name for row in scores.by_occlusion.values() for name in row))
        yield _table("by occlusion", "level", scores.by_occlusion, _with_others(columns, dict.fromkeys(names)))


def _says_something(row: Numbers, columns: Sequence[Column]) -> bool:
    """Whether a row has a fraction, be it 0, or a count that is not 0."""
    values = [row.get(column.name) for column in columns]
    return any(value is not None and (value != 0 or isinstance(value, float)) for value in values)


def _table(title: str | None, corner: str, rows: Mapping[str, Numbers], columns: Sequence[Column]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column(corner)
    shown = [column for column in columns if any(column.name in row for row in rows.values())]
    for column in shown:
        table.add_column(column.name, justify="right")
    for name, row in rows.items():
        table.add_row(name, *(_cell(row.get(column.name), column) for column in shown))
    return table


def _with_others(columns: Sequence[Column], names: Mapping[str, object]) -> list[Column]:
    """A column for each name: as given, or as that of the metric that its name begins with (`HOTA_car`)."""
    known = {column.name: column for column in columns}
    like = {name: known.get(name) or known.get(name.split("_")[0]) or Column(name) for name in names}
    return [Column(name, column.scale, column.digits) for name, column in like.items()]


def _cell(value: Number, column: Column) -> str:
    if value is None or math.isnan(value):
        return "-"
    return str(value) if isinstance(value, int) else f"{value * column.scale:.{column.digits}f}"
