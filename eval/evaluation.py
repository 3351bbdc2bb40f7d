"""Scores of any result file by any protocol: the way in for Python, and what the command calls."""

from __future__ import annotations

import gc
import multiprocessing
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from eval.errors import RequestError
from eval.protocols import protocol as find_protocol
from eval.protocols.protocol import Job, Protocol, Request
from eval.scores import Scores

Progress = Callable[[int, int, str], None]  # units done, units in all, the unit just done


def evaluate(
    protocol: str,
    gt: str | Path,
    pred: str | Path,
    *,
    seqmap: str | Path | None = None,
    workers: int = 1,
    compat: str | None = None,
    allow_missing: bool = False,
    by_occlusion: str | Path | bool = False,
    options: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Scores:
    """Score results against ground truth.

    Args:
        protocol: One of `eval.protocols.PROTOCOL_NAMES`.
        gt: File, folder or zip with the ground truth, as the protocol's benchmark publishes it.
        pred: File, folder or zip with the results, as one submits them.
        seqmap: List of the sequences that count, for protocols that have one.
        workers: Processes. Memory is bounded by one video for each; the scores do not depend on their number. Of the
            amodal protocols one process scores all images.
        compat: "official" reproduces what the official evaluator does with input that is wrong; None refuses it.
        allow_missing: Let a video without results count as one without predictions.
        by_occlusion: Count by occlusion level too; a path says where the levels are, True that the ground truth has
            them.
        options: The protocol's own options by name.
        progress: Called after each unit (mostly a video).

    Raises:
        RequestError: The protocol, a path or an option is not there.
        SchemaError: A file is not what its format says, or the two sides do not fit.
    """
    request = Request(
        gt=Path(gt),
        pred=Path(pred),
        seqmap=None if seqmap is None else Path(seqmap),
        official=compat == "official",
        allow_missing=allow_missing,
        by_occlusion=by_occlusion if isinstance(by_occlusion, bool) else Path(by_occlusion),
        options=dict(options or {}),
    )
    if compat not in (None, "official"):
        raise RequestError(f"compat must be 'official' or left out, found {compat!r}.")
    if workers < 1:
        raise RequestError(f"workers must be at least 1, found {workers}.")
    rules = find_protocol(protocol)
    check(rules, request)
    return run(rules, request, workers, progress)


def check(rules: Protocol, request: Request) -> None:
    """Refuse what a protocol does not know, and paths that are not there.

    Raises:
        RequestError: Such a thing was asked for.
    """
    for side, path in (("gt", request.gt), ("pred", request.pred), ("seqmap", request.seqmap)):
        if path is not None and not path.exists():
            raise RequestError(f"There is no {side} '{path}'. Check the path.")
    asked = {"seqmap": request.seqmap is not None, "by_occlusion": request.by_occlusion, "official": request.official}
    for feature, wanted in asked.items():
        if wanted and not getattr(rules, feature):
            what = "compat official" if feature == "official" else feature
            raise RequestError(f"The protocol {rules.name} has no {what}. Leave it out.")
    for name in request.options:
        if name not in rules.options:
            known = ", ".join(rules.options) or "none"
            raise RequestError(f"The protocol {rules.name} has no option '{name}'. Its options: {known}.")
    if isinstance(request.by_occlusion, Path) and not request.by_occlusion.exists():
        raise RequestError(f"There are no occlusion levels at '{request.by_occlusion}'. Check the path.")


def run(rules: Protocol, request: Request, workers: int = 1, progress: Progress | None = None) -> Scores:
    """Make the job, score every unit, and combine them in order."""
    with _garbage_kept():
        job = rules.open(request)
        partials = []
        for partial in _score_all(job, min(workers, len(job.units))):
            partials.append(partial)
            if progress is not None:
                progress(len(partials), len(job.units), job.units[len(partials) - 1])
        return job.combine(partials)


@contextmanager
def _garbage_kept() -> Iterator[None]:
    """No garbage collection: it would look again and again at a million parsed records, none of them in a cycle."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _score_all(job: Job, workers: int) -> Iterator[Any]:
    if workers <= 1:
        yield from map(job.score, range(len(job.units)))
        return
    try:
        with ProcessPoolExecutor(workers, _context(), initializer=_start_worker, initargs=(job,)) as pool:
            yield from pool.map(_score_unit, range(len(job.units)))
    except BrokenProcessPool:
        raise RequestError(
            f"A worker was killed, mostly for want of memory. Score with fewer than {workers} workers."
        ) from None


def _context() -> multiprocessing.context.BaseContext:
    """Forked workers start at once, but a process with threads (torch's) must not be forked."""
    can_fork = sys.platform == "linux" and threading.active_count() == 1 and "torch" not in sys.modules
    return multiprocessing.get_context("fork" if can_fork else "spawn")


_job: Job  # of this worker


def _start_worker(job: Job) -> None:
    global _job
    _job = job
    gc.disable()  # as in `_garbage_kept`; the process ends with its job


def _score_unit(index: int) -> Any:
    return _job.score(index)
