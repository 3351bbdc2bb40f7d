"""What the servers of all tracking benchmarks ask for: every video, and masks that can be read and do not overlap."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from eval.errors import listed
from eval.masks import MaskTable, compare_masks
from eval.readers.sequence_extents import Extents
from eval.runs import MaskError, decode_runs
from vos_occ.results.submission_report import SubmissionReport


def check_videos(
    found: Collection[str], extents: Extents, source: str, report: SubmissionReport, allow_missing: bool
) -> list[str]:
    """Compare the videos that there are results of with those that are asked for.

    Args:
        found: names.
        extents: of the split.
        source: the results, for what is told.
        report: takes what is wrong.
        allow_missing: a video without results is a warning.

    Returns:
        The names that are both, in the order of the split.
    """
    for name in sorted(set(found) - set(extents)):
        cure = f"it has {listed(extents)}. Correct the name, or remove it"
        report.defect("unknown video", f"{source} has results of '{name}', which the split does not have; {cure}.")
    missing = [name for name in extents if name not in found]
    if missing and allow_missing:
        some = f"{len(missing)} of {len(extents)} videos ({listed(missing)})"
        report.warn(f"{source} has no results of {some}: nothing counts as found there.")
    for name in missing if not allow_missing else ():
        cure = "Run it too, or allow that videos are missing (--allow-missing) if nothing was found in it"
        report.defect("missing video", f"{source} has no results of '{name}'. {cure}.")
    return [name for name in extents if name in found]


def check_masks(table: MaskTable, report: SubmissionReport) -> None:
    """Tell of masks that cannot be decoded, of overlaps (one for each frame that has any) and of empty masks."""
    broken = np.array([_is_broken(table, row, report) for row in _suspects(table)], bool)
    if broken.any():
        table = table.select(~broken)
    pairs = compare_masks(table, table.select(np.zeros(0, np.int64)))
    for rows in pairs.first_overlaps.tolist():
        before, row = sorted(rows)
        both = f"the masks of ids {table.ids[before]} and {table.ids[row]} overlap in this frame"
        report.defect("overlap", f"{table.where(row)}: {both}. Give every pixel to one object, such as the likelier.")
    empty = np.flatnonzero(pairs.first_areas == 0)
    if len(empty):
        report.warn(f"{table.where(int(empty[0]))}: the mask is empty; there are {len(empty)}. Leave such objects out.")


def check_ids(table: MaskTable, named: NDArray[np.bool_], largest: int, report: SubmissionReport) -> None:
    """Tell of ids that are out of range or that a frame has twice.

    Args:
        table: the masks.
        named: (N,) which of them must have an id of their own.
        largest: id that formats hold.
        report: takes what is found.
    """
    for row in np.flatnonzero(named & ((table.ids < 1) | (table.ids > largest))).tolist():
        problem = f"the id is {table.ids[row]}, expected 1 to {largest}"
        report.defect("wrong id", f"{table.where(row)}: {problem}. Number the objects from 1.")
    rows = np.flatnonzero(named)
    order = rows[np.lexsort((rows, table.ids[rows], table.frames[rows]))]
    again = (np.diff(table.ids[order]) == 0) & (np.diff(table.frames[order]) == 0)
    for k in np.flatnonzero(again).tolist():
        row = int(order[k + 1])
        told = f"id {table.ids[row]} occurs twice in this frame"
        report.defect("repeated id", f"{table.where(row)}: {told}. An object has one mask per frame.")


def _suspects(table: MaskTable) -> range:
    """Rows that are to be looked at one by one: none if all can be decoded at once."""
    try:
        decode_runs(table.counts, table.height, table.width)
    except MaskError:
        return range(len(table))
    return range(0)


def _is_broken(table: MaskTable, row: int, report: SubmissionReport) -> bool:
    try:
        decode_runs([table.counts[row]], table.height, table.width)
    except MaskError as error:
        report.defect("wrong mask", f"{table.where(row)}: the mask {error.problem}. Encode it again.")
        return True
    return False
