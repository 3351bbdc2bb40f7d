"""What a protocol of BDD100K's segmentation tracking is, and its scores once more: counted by the installed motmetrics
from the same distances."""

from __future__ import annotations

import math
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from eval.errors import RequestError
from eval.protocols.bdd100k_rules import CLASSES, PARENTS, ClassSequence, SegTrackRules
from eval.protocols.protocol import Column, Job, Protocol, Request
from eval.scores import Number, Scores

_NAMES = {
    "idf1": "IDF1", "mota": "MOTSA", "motp": "MOTSP", "num_false_positives": "FP", "num_misses": "FN",
    "num_switches": "IDSW", "mostly_tracked": "MT", "partially_tracked": "PT", "mostly_lost": "ML",
    "num_fragmentations": "FM",
}  # fmt: skip


class SegTrackJob(Job, typing.Protocol):
    """A job that can say what it counts."""

    def sequences(self, index: int) -> dict[str, ClassSequence]: ...


def seg_track_protocol(rules: SegTrackRules, open: Callable[[Request], SegTrackJob]) -> Protocol:
    """A protocol of BDD100K's segmentation tracking, verified by motmetrics."""
    ratios = ("MOTSA", "MOTSP", "IDF1")
    counts = ("FP", "FN", "IDSW", "MT", "PT", "ML", "FM")
    return Protocol(
        name=rules.name,
        version=rules.version,
        open=open,
        columns=(*map(Column, ratios), *(Column(name, 1.0, 0) for name in counts)),
        official=True,
        by_occlusion=True,
        verify=lambda request, scores: verify(open(request), scores),
    )


def verify(job: SegTrackJob, scores: Scores) -> float:
    """Largest difference of any number of any class, parent or overall; infinite where only one side has one.

    Raises:
        RequestError: motmetrics is not installed.
    """
    theirs = motmetrics_numbers(job)
    ours = {**scores.classes, "": scores.overall}
    return max(_difference(ours[name].get(metric), value) for name in theirs for metric, value in theirs[name].items())


def motmetrics_numbers(job: SegTrackJob) -> dict[str, dict[str, float]]:
    """The numbers of the installed motmetrics by class, parent ("" for all) and metric.

    Raises:
        RequestError: motmetrics is not installed.
    """
    try:
        import motmetrics
    except ImportError:
        raise RequestError("--verify needs motmetrics. Install it: pip install vos-occ[verify].") from None
    accumulators: dict[str, list[Any]] = {name: [] for name in CLASSES}
    for index in range(len(job.units)):
        for name, found in job.sequences(index).items():
            accumulators[name].append(_fill(motmetrics.MOTAccumulator(auto_id=True), found))
    groups = {name: (name,) for name in CLASSES} | PARENTS | {"": CLASSES}
    host = motmetrics.metrics.create()
    return {group: _numbers(host, [a for name in names for a in accumulators[name]]) for group, names in groups.items()}


def _fill(accumulator: Any, found: ClassSequence) -> Any:
    sequence = found.sequence
    for frame in range(sequence.num_frames):
        gt = sequence.gt_ids[slice(*sequence.gt_offsets[frame : frame + 2])]
        pred = found.pred_ids[slice(*sequence.pred_offsets[frame : frame + 2])]
        if len(gt) or len(pred):
            distances = 1 - sequence.dense(frame)
            accumulator.update(gt, pred, np.where(distances > 0.5, np.nan, distances))
    return accumulator


def _numbers(host: Any, accumulators: Sequence[Any]) -> dict[str, float]:
    """Pooled over accumulators. Their motp is a mean distance, undefined for all where one has no match."""
    if not accumulators:
        return {name: math.nan if name in ("IDF1", "MOTSA", "MOTSP") else 0 for name in _NAMES.values()}
    names = [str(i) for i in range(len(accumulators))]
    summary = host.compute_many(
        accumulators, names=names, metrics=[*_NAMES, "num_detections"], generate_overall=True
    ).to_dict()
    pooled = {ours: float(summary[theirs]["OVERALL"]) for theirs, ours in _NAMES.items()}
    distance = sum(summary["motp"][name] * summary["num_detections"][name] for name in names if _matched(summary, name))
    matches = summary["num_detections"]["OVERALL"]
    return pooled | {"MOTSP": 1 - distance / matches if matches else math.nan}


def _matched(summary: Mapping[str, Mapping[str, float]], name: str) -> bool:
    return summary["num_detections"][name] > 0


def _difference(ours: Number, theirs: float) -> float:
    if not math.isfinite(theirs):
        return 0.0 if ours is None else math.inf
    return math.inf if ours is None else abs(float(ours) - theirs)
