"""What the protocols on MOTS files share: which sequences are scored, and how the masks of one are read and compared.

Ground truth and results may each be text files or images, in a folder or a zip; see `eval.readers.mots_files`.
Without a seqmap all sequences of the ground truth count, each as long as its seqinfo.ini or its images say; failing
those, up to the last frame that has a line in the ground truth.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as mask_api

from eval.errors import SchemaError, listed
from eval.masks import MaskPairs, MaskTable, compare_masks
from eval.protocols.protocol import Request
from eval.readers.mots import IGNORE_CLASS, MotsRows
from eval.readers.mots_files import MotsFiles, find_mots_files, read_seqmap
from eval.runs import MaskError, decode_runs
from eval.sequences import Floats, Ints, TrackingSequence


@dataclass(frozen=True)
class MotsSides:
    """Both sides of a benchmark: paths and lengths, no masks.

    Attributes:
        gt, pred: Where the files are.
        lengths: Frames by sequence, in the order in which results are combined; None: as many as the truth shows.
        first_frame: Number of the first frame.
        official: Whether to do as the official evaluator does with input that is wrong.
        warnings: What was tolerated.
    """

    gt: MotsFiles
    pred: MotsFiles
    lengths: Mapping[str, int | None]
    first_frame: int
    official: bool
    warnings: tuple[str, ...]


def open_sides(request: Request, first_frame: int, header: bool = False) -> MotsSides:
    """Find the sequences of a request.

    Args:
        request: What is to be scored.
        first_frame: Number of the first frame.
        header: Whether the seqmap may start with a header, as in MOTSChallenge.

    Raises:
        SchemaError: A sequence is missing, nobody knows of one that is there, or images are.
    """
    gt, pred = find_mots_files(request.gt), find_mots_files(request.pred)
    lengths: dict[str, int | None] = dict.fromkeys(gt.files)
    if request.seqmap is not None:
        lengths = read_seqmap(request.seqmap, first_frame, header)
    absent = [name for name in lengths if name not in gt.files]
    if absent:
        raise SchemaError(
            f"'{gt.path}' has no sequence {listed(absent)}, which {request.seqmap} lists. Correct either."
        )
    lengths = {name: gt.length(name, first_frame) if n is None else n for name, n in lengths.items()}
    warnings = _refuse_unknown(request, gt, pred, lengths) + _refuse_missing(request, pred, lengths)
    for name, length in lengths.items():
        images = pred.last_image(name) if name in pred.files else None
        if images is not None and length is not None and images != first_frame + length - 1:
            raise SchemaError(
                f"'{pred.path}' has images of sequence {name} up to frame {images}, but its last frame is "
                f"{first_frame + length - 1}. Write one for every frame, also where nothing is."
            )
    return MotsSides(gt, pred, lengths, first_frame, request.official, warnings)


def _refuse_unknown(
    request: Request, gt: MotsFiles, pred: MotsFiles, lengths: Mapping[str, int | None]
) -> tuple[str, ...]:
    unknown = [name for name in pred.files if name not in gt.files and name not in lengths]
    if unknown and not request.official:
        raise SchemaError(
            f"'{pred.path}' has sequence {listed(unknown)}, which the ground truth does not have. Remove it."
        )
    unscored = [name for name in pred.files if name not in lengths]
    return (f"Not scored, as the officials do: sequence {listed(unscored)}.",) if unscored else ()


def _refuse_missing(request: Request, pred: MotsFiles, lengths: Mapping[str, int | None]) -> tuple[str, ...]:
    missing = [name for name in lengths if name not in pred.files]
    if missing and not request.allow_missing:
        raise SchemaError(
            f"'{pred.path}' has no sequence {listed(missing)}. Add an empty file where nothing was found, or let it "
            "count as empty with --allow-missing."
        )
    return (f"No results, counted as empty: sequence {listed(missing)}.",) if missing else ()


Counts = TypeVar("Counts")


@dataclass(frozen=True)
class Part(Generic[Counts]):
    """What one sequence adds: its counts by class, and what was odd about its files."""

    counts: Mapping[str, Counts]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class MotsSequence:
    """The masks of a sequence on both sides, and which share pixels. No two of one frame and side overlap.

    Attributes:
        gt: True masks; of ignore regions one per frame, their union.
        pred: Predicted masks.
        pairs: `first` are rows of gt, `second` of pred.
    """

    gt: MaskTable
    pred: MaskTable
    pairs: MaskPairs

    def of_class(self, category: int) -> TrackingSequence:
        """The objects of one class; their rows are those of `rows_of`, in order."""
        gt, pred = self.gt.categories == category, self.pred.categories == category
        chosen = gt[self.pairs.first] & pred[self.pairs.second]
        return TrackingSequence(
            num_frames=self.gt.num_frames,
            gt_frames=self.gt.frames[gt],
            gt_ids=self.gt.ids[gt],
            pred_frames=self.pred.frames[pred],
            pred_ids=self.pred.ids[pred],
            gt=(np.cumsum(gt) - 1)[self.pairs.first[chosen]],
            pred=(np.cumsum(pred) - 1)[self.pairs.second[chosen]],
            similarity=self.pairs.iou()[chosen],
        )

    def ignored_share(self, category: int) -> Floats:
        """Of each predicted mask of a class, how much of it lies in the frame's ignore regions, in [0, 1]."""
        share = np.zeros(len(self.pred))
        region = self.gt.categories[self.pairs.first] == IGNORE_CLASS
        share[self.pairs.second[region]] = self.pairs.of_second()[region]
        return share[self.pred.categories == category]

    def warnings(self) -> tuple[str, ...]:
        """Masks without a pixel, which match nothing and count as missed or wrong."""
        sides = ((self.gt, self.pairs.first_areas), (self.pred, self.pairs.second_areas))
        empty = [(table, np.flatnonzero(areas == 0).tolist()) for table, areas in sides]
        return tuple(
            f"{table.where(rows[0])}: an empty mask matches nothing; the file has {len(rows)}."
            for table, rows in empty
            if rows
        )


def compare_tables(gt: MaskTable, pred: MaskTable) -> MotsSequence:
    """Compare the masks of a sequence.

    Raises:
        SchemaError: A code is broken, or two masks of one side and frame overlap. True ignore regions may.
    """
    gt = _union_of_ignored(gt)
    pairs = compare_masks(gt, pred)
    for table, overlaps in ((gt, pairs.first_overlaps), (pred, pairs.second_overlaps)):
        if len(overlaps):
            row, before = sorted(overlaps[0].tolist(), reverse=True)
            raise SchemaError(
                f"{table.where(row)}: the mask of id {table.ids[row]} overlaps that of id {table.ids[before]} in the "
                f"same frame. Give every pixel to one object; {len(overlaps)} frames have overlaps."
            )
    return MotsSequence(gt, pred, pairs)


def _union_of_ignored(table: MaskTable) -> MaskTable:
    """One ignore region per frame, which takes the place of the frame's first."""
    rows = np.flatnonzero(table.categories == IGNORE_CLASS)
    if len(np.unique(table.frames[rows])) == len(rows):
        return table
    counts = list(table.counts)
    kept = np.ones(len(table), bool)
    for frame in np.unique(table.frames[rows][1:][np.diff(table.frames[rows]) == 0]):
        several = rows[table.frames[rows] == frame]
        _refuse_broken(table, several)  # pycocotools trusts its input
        union = mask_api.merge([table.rle(row) for row in several.tolist()])
        counts[several[0]] = union["counts"].decode()
        kept[several[1:]] = False
    return replace(table, counts=counts).select(kept)


def _refuse_broken(table: MaskTable, rows: Ints) -> None:
    try:
        decode_runs([table.counts[row] for row in rows.tolist()], table.height, table.width)
    except MaskError as error:
        place = table.where(int(rows[error.index]))
        raise SchemaError(f"{place}: the mask {error.problem}. Export it again.") from None


def no_rows(source: str) -> MotsRows:
    """What an empty file holds."""
    return MotsRows(source, np.zeros((5, 0), np.int64), [], np.zeros(0, np.int64))


def size_of(table: MaskTable) -> tuple[int, int] | None:
    """(height, width) of a side's masks, where it has any."""
    return (table.height, table.width) if len(table) else None


def inside(rows: MotsRows, first_frame: int, num_frames: int | None) -> NDArray[np.bool_]:
    """(N,) which rows are of a frame of the sequence."""
    past_end = False if num_frames is None else rows.frames >= first_frame + num_frames
    return ~((rows.frames < first_frame) | past_end)


def refuse_no_truth(gt: MotsFiles, classes: Collection[str]) -> None:
    """Complain of a ground truth without objects, against which everything would score nothing.

    Raises:
        SchemaError: Always.
    """
    raise SchemaError(f"'{gt.path}' has no {' and no '.join(classes)} to score against. Check the path.")
