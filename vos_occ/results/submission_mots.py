"""Whether text files are what the servers of KITTI MOTS and MOTSChallenge take, every defect found in one pass.

Source: docs/sources.md, trackers 6.3, 6.4; what TrackEval 1.3.0 refuses, and what it silently scores otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eval.errors import SchemaError
from eval.protocols.trackeval_mots import MotsRules
from eval.readers.mots import IGNORE_CLASS, MOST_FRAMES, MotsRows, parse_mots
from eval.readers.record import LARGEST_IMAGE
from eval.readers.sequence_extents import Extents, SequenceExtent, mots_extents
from vos_occ.results.mots_objects import FIRST_FURTHER_ID, INSTANCES_PER_CLASS, MAX_OBJECT_ID
from vos_occ.results.submission_masks import check_ids, check_masks, check_videos
from vos_occ.results.submission_report import SubmissionReport


def check_mots_text(
    files: Mapping[str, Path],
    split: Path | Extents,
    report: SubmissionReport,
    *,
    allow_missing: bool = False,
    rules: MotsRules,
) -> None:
    """Compare text files with the split that they answer.

    Args:
        files: `NAME.txt` -> place.
        split: a seqmap or labels, or what they or pictures say.
        report: takes what is found.
        allow_missing: a sequence without a file is a warning. An empty file is a sequence in which nothing was found.
        rules: of the benchmark.

    Raises:
        SchemaError: the split's own files cannot be read.
    """
    extents = mots_extents(split, rules.first_frame, rules.header) if isinstance(split, Path) else split
    by_name = {Path(name).stem: path for name, path in files.items()}
    for name in check_videos(by_name, extents, "The submission", report, allow_missing):
        report.contents["sequences"] += 1
        _check_sequence(by_name[name], extents[name], rules, report)
    if not report.contents["masks"] and report.accepted:
        report.defect("empty", "No file has a line. Was the score threshold too high, or no class mapped?")


def _check_sequence(path: Path, extent: SequenceExtent, rules: MotsRules, report: SubmissionReport) -> None:
    rows = _readable(path.read_bytes(), path.name, report)
    report.contents["masks"] += len(rows)
    if not len(rows):
        return
    first = rules.first_frame
    last = first + (MOST_FRAMES if extent.length is None else extent.length) - 1
    height, width = extent.size or (int(rows.heights[0]), int(rows.widths[0]))
    too_large = not 0 < height * width <= LARGEST_IMAGE
    classes = ", ".join(f"{class_id} ({name})" for name, class_id in rules.classes.items())
    wrong = _tell(
        rows,
        (rows.frames < first) | (rows.frames > last),
        "wrong frame",
        lambda i: f"the frame is {rows.frames[i]}, expected {first} to {last}",
        f"Frames count from {first}.",
        report,
    )
    wrong |= _tell(
        rows,
        (rows.heights != height) | (rows.widths != width) | too_large,
        "wrong size",
        lambda i: f"the mask is {rows.heights[i]} x {rows.widths[i]} (height x width), expected {height} x {width}",
        "Write masks at the size of the frames.",
        report,
    )
    wrong |= _tell(
        rows,
        ~np.isin(rows.categories, [*rules.classes.values(), IGNORE_CLASS]),
        "unknown category",
        lambda i: f"the class is {rows.categories[i]}, expected {classes}",
        "Class ids are the benchmark's, not labels from 0.",
        report,
    )
    if not wrong.all():
        _check_objects(rows.keep(~wrong), height, width, rules, report)


def _check_objects(rows: MotsRows, height: int, width: int, rules: MotsRules, report: SubmissionReport) -> None:
    """Ids and masks of lines of which all else is right."""
    nameless = np.unique(rows.categories).tolist()  # ids are looked at below, all of them
    table = rows.table(rules.first_frame, None, (height, width), nameless=nameless, negative_ids=True)
    named = table.categories != IGNORE_CLASS
    check_ids(table, named, MAX_OBJECT_ID, report)
    check_masks(table, report)
    if not named.all():
        regions = f"{(~named).sum()} lines are of class {IGNORE_CLASS}, regions to ignore"
        report.warn(f"{rows.source}: {regions}, which results have none of. They are not scored.")
    usual = table.ids // INSTANCES_PER_CLASS == table.categories
    odd = np.flatnonzero(named & ~usual & (table.ids > 0) & (table.ids < FIRST_FURTHER_ID))
    if len(odd):
        i = int(odd[0])
        by = f"by convention it is class * {INSTANCES_PER_CLASS} + instance; there are {len(odd)}"
        report.warn(f"{table.where(i)}: the id of an object of class {table.categories[i]} is {table.ids[i]}; {by}.")


def _tell(
    rows: MotsRows,
    found: NDArray[np.bool_],
    kind: str,
    problem: Callable[[int], str],
    cure: str,
    report: SubmissionReport,
) -> NDArray[np.bool_]:
    """Tells of the lines that are `found`, and hands that back."""
    for i in np.flatnonzero(found).tolist():
        report.defect(kind, str(rows.error(i, problem(i), cure)))
    return found


def _readable(data: bytes, source: str, report: SubmissionReport) -> MotsRows:
    """The lines that can be read; of the others it is told what is wrong with each."""
    try:
        return parse_mots(data, source)
    except SchemaError:
        lines = data.split(b"\n")
    for number, line in enumerate(lines):
        try:
            parse_mots(line, source)
        except SchemaError:
            lines[number] = b""
            try:
                parse_mots(b"\n" * number + line, source)  # which knows the number of the line
            except SchemaError as error:
                report.defect("unreadable", str(error))
    return parse_mots(b"\n".join(lines), source)
