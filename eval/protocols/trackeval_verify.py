"""The same masks scored by the installed TrackEval, for `--verify`: written to a folder as it reads them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from eval.errors import RequestError
from eval.masks import MaskTable
from eval.protocols.mots_sequences import MotsSequence
from eval.scores import Scores

_NAMES_THERE = {
    "MOTSA": "MOTA", "sMOTSA": "sMOTA", "MOTSP": "MOTP", "MODSA": "MODA", "TP": "CLR_TP", "FN": "CLR_FN",
    "FP": "CLR_FP",
}  # fmt: skip
_ALL = ""  # what the sums over all sequences are filed under

Results = dict[str, dict[str, list[dict[str, Any]]]]  # by class, then sequence: one per metric


def largest_difference(
    scores: Scores, dataset: str, first_frame: int, sequences: Iterable[tuple[str, MotsSequence]]
) -> float:
    """Largest absolute difference of any number of any class, of each sequence and of all.

    Args:
        scores: Ours.
        dataset: TrackEval's class, "KittiMOTS" or "MOTSChallenge".
        first_frame: Number of the first frame.
        sequences: Name and masks of each, in the order in which they are combined.

    Raises:
        RequestError: TrackEval is not installed.
    """
    theirs = _score(list(scores.classes), dataset, first_frame, sequences)
    ours = {**scores.videos, _ALL: scores.classes}
    largest = 0.0
    for name, results in theirs.items():
        for unit, per_metric in results.items():
            official = {field: value for result in per_metric for field, value in result.items()}
            for metric, value in ours[unit][name].items():
                expected = float(np.mean(official[_NAMES_THERE.get(metric, metric)]))  # HOTA's are means over alphas
                largest = max(largest, abs(float("inf") if value is None else value - expected))
    return largest


def _score(
    classes: Sequence[str], dataset: str, first_frame: int, sequences: Iterable[tuple[str, MotsSequence]]
) -> Results:
    try:
        import trackeval
    except ImportError:
        raise RequestError("--verify needs TrackEval. Install it: pip install vos-occ[verify].") from None
    quiet = {"PRINT_CONFIG": False}
    metrics = [trackeval.metrics.CLEAR(quiet), trackeval.metrics.Identity(quiet), trackeval.metrics.HOTA()]
    results: Results = {name: {} for name in classes}
    with tempfile.TemporaryDirectory() as folder:
        lengths = _write(Path(folder), first_frame, sequences)
        source = _dataset(getattr(trackeval.datasets, dataset), folder, classes, lengths)
        for unit in lengths:
            raw = source.get_raw_seq_data("ours", unit)
            for name in classes:
                data = source.get_preprocessed_seq_data(raw, name)
                results[name][unit] = [metric.eval_sequence(data) for metric in metrics]
    for each in results.values():
        each[_ALL] = [m.combine_sequences({u: each[u][k] for u in lengths}) for k, m in enumerate(metrics)]
    return results


def _write(folder: Path, first_frame: int, sequences: Iterable[tuple[str, MotsSequence]]) -> dict[str, int]:
    """Both sides of every sequence; returns their lengths."""
    lengths = {}
    for unit, sequence in sequences:
        lengths[unit] = sequence.gt.num_frames
        _write_table(folder / "gt" / f"{unit}.txt", first_frame, sequence.gt)
        _write_table(folder / "ours" / "data" / f"{unit}.txt", first_frame, sequence.pred)
    return lengths


def _write_table(path: Path, first_frame: int, table: MaskTable) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = zip(table.frames.tolist(), table.ids.tolist(), table.categories.tolist(), table.counts, strict=True)
    size = f"{table.height} {table.width}"
    path.write_text(
        "".join(f"{frame + first_frame} {i} {category} {size} {code}\n" for frame, i, category, code in rows)
    )


def _dataset(kind: Any, folder: str, classes: Sequence[str], lengths: Mapping[str, int]) -> Any:
    config = {
        "GT_FOLDER": f"{folder}/gt",
        "TRACKERS_FOLDER": folder,
        "TRACKERS_TO_EVAL": ["ours"],
        "CLASSES_TO_EVAL": list(classes),
        "SEQ_INFO": dict(lengths),
        "GT_LOC_FORMAT": "{gt_folder}/{seq}.txt",
        "SKIP_SPLIT_FOL": True,
        "PRINT_CONFIG": False,
    }
    return kind({key: value for key, value in config.items() if key in kind.get_default_dataset_config()})
