"""Whether files are what BDD100K's segmentation tracking takes, Scalabel JSON or bitmasks, every defect in one pass.

Source: docs/sources.md, trackers 6.2, 6.4; what scalabel 0.3.1 and bdd100k 1.0.1 refuse, and what they score as
something else.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from eval.errors import SchemaError, listed
from eval.masks import MaskTable
from eval.protocols.bdd100k_rules import VOCABULARY
from eval.readers.bdd_bitmask import Instances, objects_of, read_codes
from eval.readers.record import Record, shown
from eval.readers.scalabel import ScalabelLabels, frame_index
from eval.readers.scalabel_masks import LabelRows
from eval.readers.sequence_extents import Extents, SequenceExtent, bdd_extents
from vos_occ.results.bdd_bitmask import MAX_INSTANCE_ID
from vos_occ.results.submission_masks import check_ids, check_masks, check_videos
from vos_occ.results.submission_report import SubmissionReport

SEG_TRACK_FILE = "seg_track.json"
_NUMBER = r"-?[0-9]{1,18}"
_MOST = 100  # predictions of a frame that bdd100k's evaluator of bitmasks has room for


def check_seg_track(
    files: Mapping[str, Path], split: Path | Extents, report: SubmissionReport, *, allow_missing: bool = False
) -> None:
    """Compare one Scalabel file, or bitmasks, with the split that they answer.

    Args:
        files: `NAME.json` -> place; or `VIDEO/FRAME.png` -> place for every frame.
        split: labels, or what they or pictures say.
        report: takes what is found.
        allow_missing: a video without results is a warning.

    Raises:
        SchemaError: the split's own files cannot be read.
    """
    extents = bdd_extents(split) if isinstance(split, Path) else split
    texts = [path for name, path in files.items() if name.endswith(".json")]
    if len(texts) > 1 or (texts and len(files) > 1):
        held = f"the submission holds {len(texts)} .json and {len(files) - len(texts)} .png files"
        report.defect("mixed", f"{held}, expected one .json file, or bitmasks of every frame. Submit one of them.")
    elif texts:
        _check_scalabel(texts[0], extents, report, allow_missing)
    else:
        _check_bitmasks(files, extents, report, allow_missing)


def _check_scalabel(path: Path, extents: Extents, report: SubmissionReport, allow_missing: bool) -> None:
    try:
        labels = ScalabelLabels(path)
        videos = {name: labels.frames(name) for name in labels.videos}
    except SchemaError as error:
        report.defect("unreadable", str(error))
        return
    for name in check_videos(videos, extents, path.name, report, allow_missing):
        report.contents["videos"] += 1
        report.contents["frames"] += len(videos[name])
        source = f"{path.name}, video {name}"
        _check_indices(videos[name], extents[name], source, report)
        _check_labels(videos[name], extents[name], source, report)
    if not report.contents["masks"] and report.accepted:
        report.defect("empty", f"{path.name} has no label. Was the score threshold too high, or no class mapped?")


def _check_indices(frames: Sequence[Record], extent: SequenceExtent, source: str, report: SubmissionReport) -> None:
    """Whether every frame is there once, by `frameIndex`, and under its name."""
    seen: dict[int, Record] = {}
    for frame in frames:
        try:
            index = frame_index(frame)
            if index is None:
                raise frame.error("frameIndex", "is missing", "Give every frame its number, from 0.")
        except SchemaError as error:
            report.defect("wrong frame", str(error))
            continue
        if seen.setdefault(index, frame) is not frame:
            repeated = f"is {index}, as that of {seen[index].where}"
            report.defect("wrong frame", str(frame.error("frameIndex", repeated, "Write each frame once.")))
        elif extent.length is not None and index >= extent.length:
            beyond = f"is {index}, but the video has frames 0 to {extent.length - 1}"
            report.defect("wrong frame", str(frame.error("frameIndex", beyond, "Frames count from 0.")))
        else:
            _check_name(frame, index, extent, report)
    for index in sorted(set(range(extent.length or 0)) - set(seen)):
        report.defect("missing frame", f"{source} has no frame {index}. Write every frame, with labels [] if empty.")


def _check_name(frame: Record, index: int, extent: SequenceExtent, report: SubmissionReport) -> None:
    """Evaluators go by the index; another name is a sign that frames were shifted."""
    name = frame.values.get("name")
    if extent.frames and (not isinstance(name, str) or PurePosixPath(name).stem != extent.frames[index]):
        report.warn(str(frame.error("name", f"is {shown(name)}, expected {extent.frames[index]}", "Is it this frame?")))


def _check_labels(frames: Sequence[Record], extent: SequenceExtent, source: str, report: SubmissionReport) -> None:
    rows = LabelRows(VOCABULARY, extent.size, predicted=True)
    for t, frame in enumerate(frames):
        labels = frame.values.get("labels")
        if labels is not None and not isinstance(labels, list):
            told = frame.error("labels", f"is {shown(labels)}, expected a list", "Correct the frame.")
            report.defect("wrong label", str(told))
            continue
        for i, label in enumerate(labels or []):
            _add(rows, t, i, label, frame, report)
    report.contents["masks"] += len(rows.counts)
    if not rows.counts:
        return
    indices = [frame_index(frame) for frame in frames]
    numbers = np.array([t if index is None else index for t, index in enumerate(indices)], np.int64)
    table = _table(rows, numbers, source)
    numbered = np.array([re.fullmatch(_NUMBER, name) is not None for name in rows.ids])
    for row in np.flatnonzero(~numbered).tolist():
        problem = f"the id is '{rows.ids[row]}', expected a number as text"
        report.defect("wrong id", f"{table.where(row)}: {problem}. Number the tracks of a video from 1.")
    check_ids(table, numbered, MAX_INSTANCE_ID, report)
    check_masks(table, report)
    _warn_of_uncounted(int(np.array(rows.flags, bool)[:, :2].any(1).sum()), source, report)


def _warn_of_uncounted(objects: int, source: str, report: SubmissionReport) -> None:
    if objects:
        report.warn(f"{source}: {objects} objects are crowds or to be ignored. They do not count as found.")


def _table(rows: LabelRows, numbers: NDArray[np.int64], source: str) -> MaskTable:
    """The labels as a table of masks; `numbers` is what the file calls its frames."""
    assert rows.size is not None
    ids = np.array([int(name) if re.fullmatch(_NUMBER, name) else 0 for name in rows.ids], np.int64)
    frames, categories = np.array(rows.frames, np.int64), np.array(rows.categories, np.int64)
    return MaskTable(
        *rows.size, len(numbers), frames, ids, categories, rows.counts, {}, source, numbers[frames], "frame"
    )


def _add(rows: LabelRows, t: int, i: int, label: object, frame: Record, report: SubmissionReport) -> None:
    before = len(rows.counts)
    try:
        rows.add(t, i, label, frame)
    except SchemaError as error:
        unknown = isinstance(label, dict) and str(label.get("category")) not in rows.kinds
        report.defect("unknown category" if unknown else "wrong label", str(error))
        return
    if len(rows.counts) == before:
        place = Record({}, f"{frame.where}.labels[{i}]", frame.file)
        report.defect("wrong label", str(place.error("rle", "is missing", "Write the mask of every label as RLE.")))


def _check_bitmasks(files: Mapping[str, Path], extents: Extents, report: SubmissionReport, allow_missing: bool) -> None:
    videos: defaultdict[str, dict[str, Path]] = defaultdict(dict)
    for name, path in files.items():
        videos[str(PurePosixPath(name).parent)][PurePosixPath(name).stem] = path
    for name in check_videos(videos, extents, "The submission", report, allow_missing):
        report.contents["videos"] += 1
        extent, pictures = extents[name], videos[name]
        if extent.frames:
            _check_pictures(name, list(pictures), extent.frames, report)
        report.contents["frames"] += len(pictures)
        found = [
            _check_picture(f"{name}/{frame}.png", pictures[frame], extent.size, report) for frame in sorted(pictures)
        ]
        _warn_of_uncounted(sum(int(objects.ignored.sum()) for objects in found), name, report)
    if not report.contents["masks"] and report.accepted:
        report.defect("empty", "No picture has an object. Was the score threshold too high, or no class mapped?")


def _check_pictures(video: str, found: Sequence[str], wanted: Sequence[str], report: SubmissionReport) -> None:
    for frame in sorted(set(wanted) - set(found)):
        report.defect("missing frame", f"There is no '{video}/{frame}.png'. Write every frame, also where nothing is.")
    for frame in sorted(set(found) - set(wanted)):
        named = f"name it like the frame, such as '{wanted[0]}.png'"
        report.defect("unknown frame", f"'{video}/{frame}.png' is of no frame of the video. Remove it, or {named}.")


def _check_picture(name: str, path: Path, size: tuple[int, int] | None, report: SubmissionReport) -> Instances:
    """The objects of a picture; none of one that cannot be read."""
    try:
        codes = read_codes(path)
        objects, _ = objects_of(codes, path)
    except SchemaError as error:
        report.defect("wrong picture", str(error).replace(str(path), f"'{name}'"))
        return Instances.none()
    if size is not None and codes.shape != size:
        sizes = f"{codes.shape[0]} x {codes.shape[1]} pixels (height x width), expected {size[0]} x {size[1]}"
        report.defect("wrong size", f"'{name}' has {sizes}. Write bitmasks at the size of the frames.")
    report.contents["masks"] += len(objects)
    _check_instances(name, objects, report)
    lost = np.unique(codes[(codes >> 16 == 0) & (codes & 255 > 0)] & 255)
    if len(lost):
        belongs = f"'{name}' has pixels of category {lost[0]} and instance 0, which is background"
        report.defect("wrong id", f"{belongs}. Number instances from 1, or the first track of a video is lost.")
    return objects


def _check_instances(name: str, objects: Instances, report: SubmissionReport) -> None:
    most = len(VOCABULARY.classes)
    for row in np.flatnonzero((objects.categories < 1) | (objects.categories > most)).tolist():
        problem = f"instance {objects.ids[row]} has category {objects.categories[row]}, expected 1 to {most}"
        report.defect(
            "unknown category", f"'{name}': {problem}. Categories count from 1: {listed(VOCABULARY.classes)}."
        )
    if len(objects) > _MOST:
        report.warn(f"'{name}' has {len(objects)} objects; bdd100k's evaluator of bitmasks has room for {_MOST}.")
    if objects.ignored.any():
        report.warn(
            f"'{name}' has {objects.ignored.sum()} objects that are crowds or to be ignored: they do not count."
        )
