"""All masks of a video at once: decoded, checked and compared in numpy instead of mask by mask.

An RLE is a sorted list of intervals in column-major order, and masks of one frame that share no pixel are one sorted
list together. Two such lists are compared by binary search, in about the time that pycocotools takes to parse the
codes and to find the bounding boxes. Work goes in shares of a few frames that fit the cache, so memory does not grow
with the length of the video.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from eval.errors import SchemaError
from eval.rle import Rle, intersections
from eval.runs import MaskError, canonical_code, decode_runs

_SHARE = 150_000  # characters of run lengths looked at together: their intervals fit the second-level cache
_MAX_PIXELS = 2**31 - 1  # of all frames of a share: positions are 32-bit

Ints = NDArray[np.int64]
Span = tuple[int, int]


@dataclass(frozen=True)
class MaskTable:
    """The masks of one side of one video; rows in frame order, those of one frame in the order of the file.

    Attributes:
        height, width: Of every frame, in pixels.
        num_frames: Length of the video.
        frames: (N,) 0-based.
        ids: (N,) whose mask it is.
        categories: (N,) of which class.
        counts: N compressed COCO run lengths; checked when they are decoded.
        flags: By name, (N,) bool: "ignored", "crowd", "occluded", ...
        source: The file, for errors.
        records: (N,) where in it, such as the number of the line.
        record: What `records` counts.
    """

    height: int
    width: int
    num_frames: int
    frames: Ints
    ids: Ints
    categories: Ints
    counts: Sequence[str]
    flags: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    source: str = ""
    records: Ints | None = None
    record: str = "line"

    def __post_init__(self) -> None:
        columns = [self.frames, self.ids, self.categories, self.counts, self.records, *self.flags.values()]
        lengths = {len(column) for column in columns if column is not None}
        if len(lengths) > 1:
            raise ValueError(f"A table needs one entry per mask in every column, found lengths {sorted(lengths)}.")
        if len(self.frames) and not (self.frames[0] >= 0 and self.frames[-1] < self.num_frames):
            raise ValueError(f"Frames must lie in 0..{self.num_frames - 1}, found {self.frames[0]}..{self.frames[-1]}.")
        if (np.diff(self.frames) < 0).any():
            raise ValueError("Rows must be in frame order.")

    def __len__(self) -> int:
        return len(self.frames)

    def __repr__(self) -> str:
        return f"MaskTable({self.source}: {len(self)} masks, {self.num_frames} frames of {self.width} x {self.height})"

    def where(self, row: int) -> str:
        """Place of a row in its file, for an error: `0003.txt, line 17`."""
        return self.source if self.records is None else f"{self.source}, {self.record} {self.records[row]}"

    def rle(self, row: int) -> Rle:
        """The mask of a row as pycocotools takes it."""
        return {"size": [self.height, self.width], "counts": self.counts[row]}

    def select(self, rows: NDArray) -> MaskTable:
        """The table of some rows, given as ascending indices or as (N,) bool."""
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        return MaskTable(
            self.height,
            self.width,
            self.num_frames,
            self.frames[rows],
            self.ids[rows],
            self.categories[rows],
            [self.counts[row] for row in rows.tolist()],
            {name: flag[rows] for name, flag in self.flags.items()},
            self.source,
            None if self.records is None else self.records[rows],
            self.record,
        )


@dataclass(frozen=True)
class MaskPairs:
    """Which masks of two tables share pixels; rows are those of the tables.

    Attributes:
        first, second: (P,) rows of each pair, ordered by `first`, then `second`.
        shared: (P,) pixels that both cover, at least 1.
        first_areas, second_areas: Pixels of every mask of the tables.
        first_overlaps, second_overlaps: (K, 2) rows of two masks of one table and frame that share a pixel; one
            example for each frame that has any.
    """

    first: Ints
    second: Ints
    shared: Ints
    first_areas: Ints
    second_areas: Ints
    first_overlaps: Ints
    second_overlaps: Ints

    def iou(self) -> NDArray[np.float64]:
        """(P,) intersection over union, in (0, 1]; bit-equal to pycocotools."""
        return self.shared / (self.first_areas[self.first] + self.second_areas[self.second] - self.shared)

    def of_second(self) -> NDArray[np.float64]:
        """(P,) share of the second mask that the first covers, in (0, 1]: COCO's rule for crowds."""
        return self.shared / self.second_areas[self.second]


def compare_masks(first: MaskTable, second: MaskTable) -> MaskPairs:
    """Every pair of masks of one frame that share pixels, and the overlaps within each table.

    Raises:
        SchemaError: The tables differ in size, or a code is broken; names file and record.
    """
    if len(first) and len(second) and (first.height, first.width) != (second.height, second.width):
        raise SchemaError(
            f"{second.source} has masks of {second.height} x {second.width} (height x width), but those of "
            f"{first.source} have {first.height} x {first.width}. Export masks at the size of the frames."
        )
    areas = np.zeros(len(first), np.int64), np.zeros(len(second), np.int64)
    pairs: list[Ints] = []
    overlaps: tuple[list[Span], list[Span]] = [], []
    for first_frame, *spans in _shares(first, second):
        ours, theirs = (_Share(table, span, first_frame) for table, span in zip((first, second), spans, strict=True))
        for side, span, area, found in zip((ours, theirs), spans, areas, overlaps, strict=True):
            area[slice(*span)] = side.areas
            found += side.overlaps()
        pairs.append(_pairs(ours, theirs))
    rows, others, shared = np.concatenate([np.zeros((3, 0), np.int64), *pairs], axis=1)
    examples = [np.array(found, np.int64).reshape(-1, 2) for found in overlaps]
    return MaskPairs(rows, others, shared, areas[0], areas[1], examples[0], examples[1])


def find_overlaps(table: MaskTable) -> Ints:
    """(K, 2) rows of two masks of one frame that share a pixel; one example for each frame that has any."""
    return compare_masks(table, table.select(np.zeros(0, np.int64))).first_overlaps


def _shares(first: MaskTable, second: MaskTable) -> Iterator[tuple[int, Span, Span]]:
    """First frame, and rows of each table, of whole frames that hold about _SHARE characters together."""
    num_frames = max(first.num_frames, second.num_frames)
    characters = np.zeros(num_frames)
    for table in (first, second):
        lengths = np.fromiter(map(len, table.counts), np.float64, len(table))
        characters += np.bincount(table.frames, lengths, num_frames)
    pixels = max(first.height * first.width, second.height * second.width, 1)
    most_frames = max(1, _MAX_PIXELS // pixels)
    share = (np.cumsum(characters) // _SHARE).astype(np.int64)
    edges = np.flatnonzero(np.diff(share, prepend=-1))
    edges = np.unique(np.concatenate([edges, np.arange(0, num_frames, most_frames), [num_frames]]))
    bounds = [np.searchsorted(table.frames, edges).tolist() for table in (first, second)]
    for k in range(len(edges) - 1):
        spans = [(rows[k], rows[k + 1]) for rows in bounds]
        if any(start < stop for start, stop in spans):
            yield int(edges[k]), spans[0], spans[1]


class _Share:
    """The decoded masks of a few frames of one table, as intervals; in the order of their starts if none overlap.

    Intervals may be empty: a code that ends with a run of background counts as followed by nothing.
    """

    def __init__(self, table: MaskTable, span: Span, first_frame: int) -> None:
        self.table = table
        self.first_row = span[0]
        rows = slice(*span)
        try:
            runs = decode_runs(table.counts[rows], table.height, table.width)
        except MaskError as error:
            place = table.where(span[0] + error.index)
            raise SchemaError(f"{place}: the mask {error.problem}. Export it again.") from None
        self.areas = runs.areas
        self.frames = table.frames[rows] - first_frame
        self.pixels = table.height * table.width
        self.codes = [
            code if fine else canonical_code(code, table.height, table.width)
            for code, fine in zip(table.counts[rows], runs.canonical, strict=True)
        ]
        self.starts, self.ends = (edge.astype(np.int64) for edge in runs.intervals(self.frames * self.pixels))
        self.owners = np.repeat(np.arange(len(self.areas)), runs.pairs)
        packed = np.sort(self.starts << 32 | self.owners)  # several times as fast as argsort
        starts, ends = packed >> 32, np.sort(self.ends)
        self._late = starts[1:][ends[:-1] > starts[1:]]
        if self.disjoint:  # the k-th start and the k-th end belong together
            self.starts, self.ends, self.owners = starts, ends, packed & 0xFFFFFFFF

    @property
    def disjoint(self) -> bool:
        """Whether no masks of one frame share a pixel."""
        return not len(self._late)

    def overlaps(self) -> list[tuple[int, int]]:
        """Two rows that share a pixel, for each frame in which any do."""
        return [self._example(frame) for frame in np.unique(self._late // self.pixels).tolist()]

    def rows_of(self, frame: int) -> tuple[Ints, list[Rle]]:
        """Rows in the table, and masks, of a frame of the share."""
        rows = np.flatnonzero(self.frames == frame)
        size = [self.table.height, self.table.width]
        return rows + self.first_row, [{"size": size, "counts": self.codes[row]} for row in rows]

    def _example(self, frame: int) -> tuple[int, int]:
        rows, masks = self.rows_of(frame)
        first, second = np.nonzero(np.triu(intersections(masks, masks), 1))
        return int(rows[first[0]]), int(rows[second[0]])


def _pairs(first: _Share, second: _Share) -> Ints:
    """(3, P): rows of the first table, rows of the second, shared pixels; ordered."""
    if not first.disjoint and second.disjoint:
        pairs = _pairs(second, first)[[1, 0, 2]]
        return pairs[:, np.lexsort(pairs[1::-1])]
    if not first.disjoint:
        return _pairs_frame_by_frame(first, second)
    lowest, met = _met(first.starts, first.ends, second)
    # interval ours[k] of the first share meets theirs[k] of the second
    theirs = np.repeat(np.arange(len(met)), met)
    ours = np.arange(len(theirs)) + np.repeat(lowest - np.cumsum(met) + met, met)
    shared = np.minimum(first.ends[ours], second.ends[theirs]) - np.maximum(first.starts[ours], second.starts[theirs])
    columns = len(second.areas)
    pair = first.owners[ours] * columns + second.owners[theirs]
    pixels = np.bincount(pair, shared, len(first.areas) * columns)  # exact: sums of integers below 2^53
    found = np.flatnonzero(pixels)
    return np.stack(
        [found // max(columns, 1) + first.first_row, found % max(columns, 1) + second.first_row, pixels[found]]
    ).astype(np.int64)


def _met(starts: Ints, ends: Ints, second: _Share) -> tuple[Ints, Ints]:
    """The first of the sorted intervals that each interval of a share meets, and how many it meets."""
    lowest = np.searchsorted(ends, second.starts, side="right")
    guarded = np.append(starts, [np.iinfo(np.int64).max] * 2)
    met = (guarded[lowest] < second.ends).astype(np.int64)
    several = np.flatnonzero(guarded[lowest + 1] < second.ends)  # few: a look costs less than another search
    met[several] = np.searchsorted(starts, second.ends[several]) - lowest[several]
    return lowest, met


def _pairs_frame_by_frame(first: _Share, second: _Share) -> Ints:
    """As `_pairs`, where masks overlap on both sides."""
    pairs = [np.zeros((3, 0), np.int64)]
    for frame in np.intersect1d(first.frames, second.frames).tolist():
        (ours, our_masks), (theirs, their_masks) = first.rows_of(frame), second.rows_of(frame)
        shared = intersections(our_masks, their_masks)
        i, j = np.nonzero(shared)
        pairs.append(np.stack([ours[i], theirs[j], shared[i, j]]))
    return np.concatenate(pairs, axis=1)
