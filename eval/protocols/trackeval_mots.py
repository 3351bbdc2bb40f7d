"""KITTI MOTS and MOTSChallenge: CLEAR, Identity and HOTA on masks, per class, as TrackEval 1.3.0 counts them.

Ground truth and results as in `eval.protocols.mots_sequences`. In a frame, predictions that match no true object of
their class (IoU at least .5) and lie by more than half in the ignore regions are not counted. Classes are neither
averaged nor pooled. A sequence without true objects has MOTSA, sMOTSA and MODSA 0 by itself, but its false positives
count in the sum: so does TrackEval.

`official` reproduces what TrackEval does with input that is wrong: lines of unknown classes and of ignore regions
outside of the sequence do nothing, and predicted sequences that nobody asked for are left out. Everything else that is
refused here ends TrackEval with an exception.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eval.by_occlusion import MatchedObjects, OcclusionCounts, OcclusionScale, by_occlusion, occlusion_rows
from eval.clear import Clear, breaks, clear, clear_matches
from eval.errors import RequestError
from eval.hota import Hota, hota
from eval.identity import Identity, identity
from eval.protocols.mots_sequences import (
    MotsSequence,
    MotsSides,
    Part,
    compare_tables,
    inside,
    no_rows,
    open_sides,
    refuse_no_truth,
    size_of,
)
from eval.protocols.protocol import Column, Protocol, Request
from eval.protocols.trackeval_verify import largest_difference
from eval.readers.kitti_labels import OcclusionFiles, find_occlusion_files
from eval.readers.mots import CLASSES, IGNORE_CLASS, MotsRows
from eval.scores import Number, Scores
from eval.sequences import Ints, TrackingSequence, ambiguous, assign

_EPS = float(np.finfo(float).eps)
_NEVER = -10_000.0  # TrackEval's score of a pair that must not match
_CURE = "Correct or remove the line, or let it be ignored with --compat official."
_SUMMARY = ("HOTA", "sMOTSA", "MOTSA", "IDF1")


@dataclass(frozen=True)
class MotsRules:
    """What tells the two benchmarks apart.

    Attributes:
        name: The protocol.
        dataset: TrackEval's name of it.
        classes: Class ids by name, of those that are scored.
        first_frame: Number of the first frame.
        header: Whether the seqmap starts with a header.
    """

    name: str
    dataset: str
    classes: Mapping[str, int]
    first_frame: int
    header: bool

    @property
    def version(self) -> str:
        """What the numbers equal."""
        return f"TrackEval 1.3.0 {self.dataset}"


KITTI = MotsRules("kitti_mots", "KittiMOTS", CLASSES, first_frame=0, header=False)
CHALLENGE = MotsRules("mots_challenge", "MOTSChallenge", {"pedestrian": 2}, first_frame=1, header=True)


@dataclass(frozen=True, eq=False)
class MotsCounts:
    """The three metrics' sums of one class, of one sequence or of many; `occlusion` is None unless asked for."""

    clear: Clear = Clear()
    identity: Identity = Identity()
    hota: Hota = Hota()
    occlusion: OcclusionCounts | None = None

    def __add__(self, other: MotsCounts) -> MotsCounts:
        occlusion = other.occlusion if self.occlusion is None else self.occlusion
        if self.occlusion is not None and other.occlusion is not None:
            occlusion = self.occlusion + other.occlusion
        return MotsCounts(self.clear + other.clear, self.identity + other.identity, self.hota + other.hota, occlusion)

    def numbers(self) -> dict[str, Number]:
        """By the names of the MOTS benchmarks."""
        c, i, h = self.clear, self.identity, self.hota
        return {
            "MOTSA": c.mota, "sMOTSA": c.smota, "MOTSP": c.motp, "MODSA": c.moda,
            "IDSW": c.idsw, "Frag": c.frag, "MT": c.mt, "PT": c.pt, "ML": c.ml, "TP": c.tp, "FN": c.fn, "FP": c.fp,
            "IDF1": i.idf1, "IDP": i.idp, "IDR": i.idr, "IDTP": i.idtp, "IDFN": i.idfn, "IDFP": i.idfp,
            "HOTA": h.hota, "DetA": h.det_a, "AssA": h.ass_a, "DetRe": h.det_re, "DetPr": h.det_pr,
            "AssRe": h.ass_re, "AssPr": h.ass_pr, "LocA": h.loc_a,
        }  # fmt: skip

    def numbers_of_one(self) -> dict[str, Number]:
        """As `numbers`, of a single sequence: without true objects TrackEval stops before it divides."""
        empty = {} if self.clear.valid else {"MOTSA": 0.0, "sMOTSA": 0.0, "MODSA": 0.0}
        return self.numbers() | empty


@dataclass(frozen=True)
class MotsJob:
    """A sequence is a unit."""

    rules: MotsRules
    sides: MotsSides
    occlusion: OcclusionFiles | None = None

    @cached_property
    def units(self) -> Sequence[str]:
        """The sequences."""
        return list(self.sides.lengths)

    def score(self, index: int) -> Part[MotsCounts]:
        """Counts of one sequence, by class."""
        unit, classes = self.units[index], self.rules.classes
        sequence = self.read(unit)
        levels, scale = None, None
        if self.occlusion is not None:
            levels, scale = self._levels(unit, sequence, self.occlusion), self.occlusion.scale
        counts = {name: count_class(sequence, category, levels, scale) for name, category in classes.items()}
        return Part(counts, sequence.warnings())

    def combine(self, partials: Sequence[Part[MotsCounts]]) -> Scores:
        """Sum over the sequences."""
        sums = {name: sum((part.counts[name] for part in partials), MotsCounts()) for name in self.rules.classes}
        classes = {name: counts.numbers() for name, counts in sums.items()}
        return Scores(
            protocol=self.rules.name,
            version=self.rules.version,
            summary={f"{metric}_{name}": classes[name][metric] for name in classes for metric in _SUMMARY},
            classes=classes,
            videos={
                unit: {name: counts.numbers_of_one() for name, counts in part.counts.items()}
                for unit, part in zip(self.units, partials, strict=True)
            },
            by_occlusion=occlusion_rows({name: c.occlusion for name, c in sums.items() if c.occlusion is not None}),
            warnings=(
                *self.sides.warnings,
                *self._without_truth(sums),
                *(warning for part in partials for warning in part.warnings),
            ),
        )

    def read(self, unit: str) -> MotsSequence:
        """The masks of a sequence, compared.

        Raises:
            SchemaError: A file is not what its format says, or the sides do not fit.
        """
        first, length = self.sides.first_frame, self.sides.lengths[unit]
        gt_rows = self.sides.gt.read(unit)
        if self.sides.official:
            gt_rows = gt_rows.keep((gt_rows.categories != IGNORE_CLASS) | inside(gt_rows, first, length))
        gt = gt_rows.table(first, length, classes=self._classes(gt_rows), nameless=(IGNORE_CLASS,), cure=_CURE)
        rows = self.sides.pred.read(unit) if unit in self.sides.pred.files else no_rows(unit)
        pred = rows.table(first, gt.num_frames, size_of(gt), classes=self._classes(rows), cure=_CURE)
        return compare_tables(gt, pred)

    def _levels(self, unit: str, sequence: MotsSequence, files: OcclusionFiles) -> Ints:
        """Of every row of the ground truth; those of ignore regions mean nothing."""
        levels = np.zeros(len(sequence.gt), np.int64)
        objects = sequence.gt.categories != IGNORE_CLASS
        frames = sequence.gt.frames[objects] + self.sides.first_frame
        levels[objects] = files.levels(unit, frames, sequence.gt.ids[objects])
        return levels

    def _classes(self, rows: MotsRows) -> tuple[int, ...]:
        known = (*CLASSES.values(), IGNORE_CLASS)
        return tuple(np.unique(rows.categories).tolist()) if self.sides.official else known

    def _without_truth(self, sums: Mapping[str, MotsCounts]) -> tuple[str, ...]:
        empty = [name for name, counts in sums.items() if not counts.clear.valid]
        if len(empty) == len(sums) and not self.sides.official:
            refuse_no_truth(self.sides.gt, sums)
        return tuple(f"The ground truth has no {name}; its scores are TrackEval's for none." for name in empty)


def count_class(
    sequence: MotsSequence, category: int, levels: Ints | None = None, scale: OcclusionScale | None = None
) -> MotsCounts:
    """CLEAR, Identity and HOTA of one class; CLEAR by occlusion too, given the level of every true mask."""
    objects = sequence.of_class(category)
    objects = objects.keep_pred(counted(objects, sequence.ignored_share(category)))
    counts = MotsCounts(clear(objects), identity(objects), hota(objects))
    if levels is None or scale is None:
        return counts
    matches = clear_matches(objects)
    matched = MatchedObjects(objects.gt[matches], objects.similarity[matches], *breaks(objects, matches))
    levels = levels[sequence.gt.categories == category]
    return replace(counts, occlusion=by_occlusion(objects, matched, levels, scale))


def counted(sequence: TrackingSequence, ignored_share: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(M,) which predictions count: those that match a true object, or lie by half or more outside ignore regions.

    Args:
        sequence: The objects of one class.
        ignored_share: (M,) share of each prediction that lies in the ignore regions.

    Source: TrackEval 1.3.0, datasets/kitti_mots.py, get_preprocessed_seq_data.
    """
    candidate = sequence.similarity >= 0.5 - _EPS
    matched = candidate.copy()
    score = np.where(candidate, sequence.similarity, _NEVER)
    for frame in ambiguous(sequence, candidate):
        pairs = sequence.pairs_of(frame)
        matched[pairs] = assign(sequence, frame, score, _NEVER) & candidate[pairs]
    kept = ignored_share <= 0.5 + _EPS
    kept[sequence.pred[matched]] = True
    return kept


def _open(rules: MotsRules, request: Request) -> MotsJob:
    if request.by_occlusion is True:
        raise RequestError(
            f"The ground truth of {rules.name} does not say how hidden objects are. Give --by-occlusion a folder or "
            "zip: KITTI's label_02, or hidden fractions ('frame id hidden' per line)."
        )
    occlusion = find_occlusion_files(request.by_occlusion) if isinstance(request.by_occlusion, Path) else None
    return MotsJob(rules, open_sides(request, rules.first_frame, rules.header), occlusion)


def _verify(rules: MotsRules, request: Request, scores: Scores) -> float:
    """Largest difference to what the installed TrackEval counts on the same masks.

    Raises:
        RequestError: TrackEval is not installed.
    """
    job = MotsJob(rules, open_sides(request, rules.first_frame, rules.header))
    sequences = ((unit, job.read(unit)) for unit in job.units)
    return largest_difference(scores, rules.dataset, rules.first_frame, sequences)


def _protocol(rules: MotsRules) -> Protocol:
    columns = ("HOTA", "DetA", "AssA", "sMOTSA", "MOTSA", "MOTSP", "IDF1")
    counts = ("IDSW", "Frag", "MT", "PT", "ML", "TP", "FP", "FN")
    return Protocol(
        name=rules.name,
        version=rules.version,
        open=partial(_open, rules),
        columns=(*map(Column, columns), *(Column(name, 1.0, 0) for name in counts)),
        seqmap=True,
        official=True,
        by_occlusion=True,
        verify=partial(_verify, rules),
    )


KITTI_MOTS = _protocol(KITTI)
MOTS_CHALLENGE = _protocol(CHALLENGE)
