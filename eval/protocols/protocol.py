"""What every protocol is: a name, the evaluator that it equals, and a way to turn two paths into a job.

A job is scored one unit (a video, a share of the images) at a time, so that memory is bounded by one unit per worker
and workers need not talk to each other. Partial results are combined in the order of the units: floating-point sums
then have the same bits for any number of workers.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eval.scores import Scores


@dataclass(frozen=True)
class Request:
    """What is to be scored, and how.

    Attributes:
        gt: File, folder or zip with the ground truth.
        pred: File, folder or zip with the results.
        seqmap: The list of sequences, for protocols that have one.
        official: Reproduce what the official evaluator does with input that is wrong, instead of refusing it.
        allow_missing: A video without results counts as one without predictions, with a warning.
        by_occlusion: Also count by occlusion level. True takes the levels from the ground truth, a path from there.
        options: The protocol's own options.
    """

    gt: Path
    pred: Path
    seqmap: Path | None = None
    official: bool = False
    allow_missing: bool = False
    by_occlusion: Path | bool = False
    options: Mapping[str, str] = field(default_factory=dict)


class Job(typing.Protocol):
    """Work on one pair of inputs. Pickled to every worker, so it holds paths and offsets, never masks."""

    @property
    def units(self) -> Sequence[str]:
        """Names of the units, in the order in which their results are combined."""
        ...

    def score(self, index: int) -> Any:
        """The partial result of one unit; reads no more than that unit."""
        ...

    def combine(self, partials: Sequence[Any]) -> Scores:
        """The scores of all units, given the partial result of each in order."""
        ...


@dataclass(frozen=True)
class Column:
    """A column of the table on the terminal: 100 * value with one digit unless it says otherwise. Counts are whole."""

    name: str
    scale: float = 100.0
    digits: int = 1


@dataclass(frozen=True)
class Protocol:
    """A benchmark's rules.

    Attributes:
        name: As the command knows it.
        version: The evaluator and version that the numbers equal.
        open: Checks the request and makes the job. Cheap; raises EvalError.
        columns: Of the table, in order; numbers that have no column are only in scores.json.
        seqmap, official, by_occlusion: Whether the protocol has such a thing.
        options: Its own options, each with one line of help.
        verify: Recomputes the scores with the official library; returns the largest absolute difference.
    """

    name: str
    version: str
    open: Callable[[Request], Job]
    columns: tuple[Column, ...]
    seqmap: bool = False
    official: bool = False
    by_occlusion: bool = False
    options: Mapping[str, str] = field(default_factory=dict)
    verify: Callable[[Request, Scores], float] | None = None
