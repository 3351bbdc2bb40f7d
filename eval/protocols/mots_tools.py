"""mots_tools: the evaluation of the MOTS paper, on the same files as `kitti_mots` and `mots_challenge`.

Files of MOTSChallenge, whose frames count from 1, are read as the tool reads them: frame 0 is an empty frame. A class
without true objects has no accuracy (the tool says -inf), and one without matches no MOTSP (inf). MT, PT and ML are
shares of the true objects.

`official` reproduces what the tool does with input that is wrong: lines outside of the sequence are left out, masks of
another size match nothing, an id of -1 is not tracked, and predicted sequences that nobody asked for are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from eval.mots_tools_clear import MotsToolsCounts, mots_tools_clear
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
from eval.readers.mots import CLASSES, MotsRows
from eval.rle import empty_mask
from eval.scores import Number, Scores

VERSION = "mots_tools f5689df"
_SUMMARY = ("sMOTSA", "MOTSA", "MOTSP")


@dataclass(frozen=True)
class MotsToolsJob:
    """A sequence is a unit."""

    sides: MotsSides

    @cached_property
    def units(self) -> Sequence[str]:
        """The sequences."""
        return list(self.sides.lengths)

    def score(self, index: int) -> Part[MotsToolsCounts]:
        """Counts of one sequence, by class."""
        sequence = self._read(self.units[index])
        counts = {
            name: mots_tools_clear(sequence.of_class(category), sequence.ignored_share(category))
            for name, category in CLASSES.items()
        }
        return Part(counts, sequence.warnings())

    def combine(self, partials: Sequence[Part[MotsToolsCounts]]) -> Scores:
        """Sum over the sequences."""
        sums = {name: sum((part.counts[name] for part in partials), MotsToolsCounts()) for name in CLASSES}
        classes = {name: _numbers(counts) for name, counts in sums.items()}
        return Scores(
            protocol="mots_tools",
            version=VERSION,
            summary={f"{metric}_{name}": classes[name][metric] for name in classes for metric in _SUMMARY},
            classes=classes,
            videos={
                unit: {name: _numbers(counts) for name, counts in part.counts.items()}
                for unit, part in zip(self.units, partials, strict=True)
            },
            warnings=(
                *self.sides.warnings,
                *self._without_truth(sums),
                *(warning for part in partials for warning in part.warnings),
            ),
        )

    def _read(self, unit: str) -> MotsSequence:
        sides = self.sides
        first, length = sides.first_frame, sides.lengths[unit]
        gt_rows = self._inside(sides.gt.read(unit), length)
        gt = gt_rows.table(first, length, negative_ids=sides.official)
        rows = self._inside(sides.pred.read(unit) if unit in sides.pred.files else no_rows(unit), gt.num_frames)
        if sides.official and len(gt):
            rows = _resized(rows, gt.height, gt.width)
        return compare_tables(gt, rows.table(first, gt.num_frames, size_of(gt), negative_ids=sides.official))

    def _inside(self, rows: MotsRows, length: int | None) -> MotsRows:
        return rows.keep(inside(rows, self.sides.first_frame, length)) if self.sides.official else rows

    def _without_truth(self, sums: dict[str, MotsToolsCounts]) -> tuple[str, ...]:
        empty = [name for name, counts in sums.items() if not counts.num_gt]
        if len(empty) == len(sums) and not self.sides.official:
            refuse_no_truth(self.sides.gt, sums)
        return tuple(
            f"The ground truth has no {name}; the tool's accuracies are -inf, here they are null." for name in empty
        )


def _resized(rows: MotsRows, height: int, width: int) -> MotsRows:
    """Masks of another size, which match nothing, as empty ones of the right size."""
    wrong = (rows.heights != height) | (rows.widths != width)
    nothing = empty_mask(height, width)["counts"]
    counts = [nothing if is_wrong else code for code, is_wrong in zip(rows.counts, wrong.tolist(), strict=True)]
    numbers = rows.numbers.copy()
    numbers[3:] = [[height], [width]]
    return replace(rows, numbers=numbers, counts=counts)


def _numbers(counts: MotsToolsCounts) -> dict[str, Number]:
    """By the tool's names, as far as the MOTS protocols share them."""
    tracks = max(1, counts.tracks)
    return {
        "MOTSA": counts.motsa, "sMOTSA": counts.smotsa, "MOTSP": counts.motsp, "MOTSAL": counts.motsal,
        "MODSA": counts.modsa, "MODSP": counts.modsp, "Recall": counts.recall, "Precision": counts.precision,
        "IDSW": counts.idsw, "Frag": counts.frag,
        "MT": counts.mt / tracks, "PT": counts.pt / tracks, "ML": counts.ml / tracks,
        "TP": counts.tp, "FN": counts.fn, "FP": counts.fp, "ignored": counts.ignored,
    }  # fmt: skip


def _open(request: Request) -> MotsToolsJob:
    return MotsToolsJob(open_sides(request, first_frame=0))


MOTS_TOOLS = Protocol(
    name="mots_tools",
    version=VERSION,
    open=_open,
    columns=(
        *map(Column, ("sMOTSA", "MOTSA", "MOTSP", "MODSA", "MODSP", "Recall", "Precision", "MT", "PT", "ML")),
        *(Column(name, 1.0, 0) for name in ("IDSW", "Frag", "TP", "FP", "FN")),
    ),
    seqmap=True,
    official=True,
)
