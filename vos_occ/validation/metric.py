"""What the metrics of validation have in common: one protocol of `eval`, files, and several processes."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Protocol

from mmengine.dist import all_gather_object, broadcast_object_list, is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger

from eval.errors import EvalError
from eval.evaluation import evaluate
from eval.protocols import protocol as find_protocol
from eval.scores import Number
from vos_occ.structures.errors import InputError, UserError

Metrics = dict[str, Number]


class Answer(Protocol):
    """The results of one video or image."""

    @property
    def id(self) -> int: ...


class ProtocolMetric(BaseMetric):
    """Scores files by a protocol of `eval`.

    The headline numbers of the protocol come first, so that `save_best="auto"` means the first of them.

    Args:
        protocol: its name; one of `protocols`.
        options: the protocol's own, as `python -m eval` takes them.
        workers: processes that score.
        out_dir: where the scored files are kept, each validation over the one before; None: nowhere.
        prefix: of the metrics' names; default: the protocol.

    Raises:
        InputError: the protocol is another one, or has no such option.

    Attributes:
        protocols: names of those that score such files.
        datasets: names of the datasets that have such ground truth; None: one that does not say.
    """

    protocols: ClassVar[tuple[str, ...]]
    datasets: ClassVar[tuple[str | None, ...]]

    def __init__(
        self,
        protocol: str,
        options: Mapping[str, Any] | None = None,
        workers: int = 1,
        out_dir: str | Path | None = None,
        prefix: str | None = None,
    ) -> None:
        if protocol not in self.protocols:
            known = ", ".join(self.protocols)
            raise InputError(f"{type(self).__name__} has no protocol {protocol!r}. Choose one of: {known}.")
        if unknown := sorted(set(options or {}) - set(find_protocol(protocol).options)):
            known = ", ".join(find_protocol(protocol).options) or "none"
            raise InputError(f"The protocol {protocol} has no option {unknown[0]!r}. Its options: {known}.")
        if workers < 1:
            raise InputError(f"workers of {type(self).__name__} must be at least 1, found {workers}.")
        super().__init__(prefix=prefix or protocol)
        self.protocol = protocol
        self.options = {name: str(value) for name, value in (options or {}).items()}
        self.workers = workers
        self.out_dir = out_dir
        self.results: list[Answer]

    @property
    def dataset_meta(self) -> dict[str, Any]:
        """What the dataset says of itself.

        Raises:
            InputError: on setting, the metric cannot score this dataset.
        """
        return self._dataset_meta or {}

    @dataset_meta.setter
    def dataset_meta(self, meta: dict[str, Any]) -> None:
        if meta.get("kind") not in self.datasets:
            found = meta.get("kind", "another one")
            raise InputError(f"{type(self).__name__} scores the dataset {self.datasets[0]}, found {found}.")
        self._dataset_meta = meta

    def evaluate(self, size: int) -> Metrics:
        """Metrics of what all processes ran, the same on each; a video that two of them ran counts once.

        mmengine's own way deals results out by place and drops what is left over, which is right for one sampler only.

        Raises:
            UserError, EvalError: what was written cannot be scored.
        """
        gathered = all_gather_object(self.results)
        self.results = []
        outcomes = [self._outcome(gathered) if is_main_process() else {}]
        broadcast_object_list(outcomes)
        (outcome,) = outcomes
        if isinstance(outcome, Exception):
            raise outcome
        return {f"{self.prefix}/{name}": value for name, value in outcome.items()}

    def _outcome(self, gathered: Sequence[Sequence[Answer]]) -> Metrics | UserError | EvalError:
        """The metrics, or the error that every process then raises: those that wait would wait for ever."""
        answers = {answer.id: answer for part in gathered for answer in part}
        try:
            return self.compute_metrics(list(answers.values()))
        except (UserError, EvalError) as error:
            return error

    def score(self, ann_file: str | Path, results: Path) -> Metrics:
        """The protocol's headline numbers of a results file."""
        scores = evaluate(self.protocol, ann_file, results, workers=self.workers, options=self.options)
        for warning in scores.warnings:
            MMLogger.get_current_instance().warning(warning)
        return dict(scores.as_json()["summary"])

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """Where the files of a validation go before they are scored."""
        if self.out_dir is not None:
            yield Path(self.out_dir)
            return
        with TemporaryDirectory(prefix="vos_occ_validation_") as folder:
            yield Path(folder)
