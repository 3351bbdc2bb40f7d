"""The masks of tubes as intervals of pixels, and how many pixels pairs of masks share. Knows nothing of metrics.

Pixels are numbered column by column, so the intervals of a mask are sorted, mostly lie within one column, and nearly
always a column holds one or two of them. That makes a table of columns a faster way to the intervals that may overlap
another than a binary search, or than a walk along both masks, as pycocotools does it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eval.rle import Rle
from eval.runs import Runs, decode_runs

_WIDEST = 1 << 24  # columns of all masks together for which a table is made; pictures have some thousands each
_STEPS = 4  # intervals of one mask that are compared one by one to an interval of another

Ints = NDArray[np.int64]


class Intervals(NamedTuple):
    """Masks, one after the other.

    Attributes:
        starts, ends: (R,) first pixels of the runs and the pixels after their last, ascending within each mask.
        lengths: (N,) how many of them each mask has.
    """

    starts: NDArray[np.signedinteger]
    ends: NDArray[np.signedinteger]
    lengths: Ints

    @classmethod
    def at(cls, tubes: Sequence[TubeRuns], frame: int) -> Intervals:
        """The masks of tubes, at least one, in a frame."""
        first, stop = ([tube.edges[t] for tube in tubes] for t in (frame, frame + 1))
        starts = [tube.starts[i:j] for tube, i, j in zip(tubes, first, stop, strict=True)]
        ends = [tube.ends[i:j] for tube, i, j in zip(tubes, first, stop, strict=True)]
        return cls(np.concatenate(starts), np.concatenate(ends), np.array(stop) - np.array(first))

    def moved(self, offsets: NDArray[np.signedinteger]) -> Intervals:
        """Each mask by its offset (N,)."""
        each = np.repeat(offsets, self.lengths)
        return Intervals(self.starts + each, self.ends + each, self.lengths)


@dataclass(frozen=True)
class TubeRuns:
    """The decoded masks of one tube over T frames.

    Attributes:
        extents: (T, 5) of each mask: pixels, its first pixel, the one after its last, height, width; 0 without mask.
        starts, ends: (R,) int32 intervals of all masks.
        bounds: (T + 1,) where those of each frame begin, and the end of the last.
    """

    extents: Ints
    starts: NDArray[np.int32]
    ends: NDArray[np.int32]
    bounds: Ints

    @cached_property
    def edges(self) -> list[int]:
        """`bounds` as numbers that are quick to take out one by one."""
        return self.bounds.tolist()

    @classmethod
    def of(cls, masks: Sequence[Rle | None]) -> TubeRuns:
        """Decode masks, None where there is none.

        Raises:
            MaskError: A mask is broken.
        """
        by_size: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for t, mask in enumerate(masks):
            if mask is not None:
                by_size[tuple(mask["size"])].append(t)
        extents = np.zeros((len(masks), 5), np.int64)
        none = np.zeros(0, np.int32)
        pieces = [(none, none)] * len(masks)
        for (height, width), frames in by_size.items():
            decoded = cls.decode([mask["counts"] for mask in map(masks.__getitem__, frames) if mask], height, width)
            extents[frames] = decoded.extents
            for k, t in enumerate(frames):
                rows = slice(decoded.edges[k], decoded.edges[k + 1])
                pieces[t] = decoded.starts[rows], decoded.ends[rows]
        bounds = np.cumsum([0, *(len(starts) for starts, _ in pieces)])
        starts = np.concatenate([none, *(starts for starts, _ in pieces)])
        return cls(extents, starts, np.concatenate([none, *(ends for _, ends in pieces)]), bounds)

    @classmethod
    def decode(cls, counts: Sequence[str], height: int, width: int) -> TubeRuns:
        """Masks of one size, one for each frame.

        Raises:
            MaskError: A mask is broken.
        """
        return cls.of_runs(decode_runs(counts, height, width), height, width)

    @classmethod
    def of_runs(cls, runs: Runs, height: int, width: int) -> TubeRuns:
        """Decoded masks, one for each frame."""
        starts, ends = runs.intervals(np.zeros(len(runs.first), np.int64))
        last = runs.first + runs.pairs - 1
        last -= (starts[last] == ends[last]) & (runs.pairs > 1)  # a last pair may have no foreground
        extents = np.empty((len(last), 5), np.int64)
        extents[:] = np.array([0, 0, 0, height, width])
        extents[:, 0], extents[:, 1], extents[:, 2] = runs.areas, starts[runs.first], ends[last]
        return cls(extents, starts, ends, np.append(runs.first, len(starts)))

    def spread(self, first: int, there: NDArray[np.bool_]) -> TubeRuns:
        """The tube whose masks, in the frames in which it is `there` (T,), are those of this one from `first` on."""
        stop = first + int(there.sum())
        extents = np.zeros((len(there), 5), np.int64)
        extents[there] = self.extents[first:stop]
        rows = np.concatenate([[0], np.cumsum(there)]) + first
        begin, end = self.bounds[first], self.bounds[stop]
        return TubeRuns(extents, self.starts[begin:end], self.ends[begin:end], self.bounds[rows] - begin)


def shared_pixels(first: Intervals, second: Intervals, of: Ints, height: int, width: int) -> Ints:
    """Pixels that masks share.

    Args:
        first: P masks.
        second: Some masks of the same size.
        of: (P,) which of `second` each of `first` is compared to.
        height, width: Of all masks.

    Returns:
        (P,) pixels.
    """
    masks = len(second.lengths)
    apart = np.arange(masks + 1) * height * width  # each of `second` has its own numbers of pixels
    apart = apart.astype(np.int32 if apart[-1] < 2**31 else np.int64)
    own, other = first.moved(apart[of]), second.moved(apart[:-1])
    tall = apart.dtype.type(height)
    if masks * width > _WIDEST:
        passed = np.searchsorted(other.ends, own.starts // tall * tall, side="right")
    else:
        columns = np.bincount((other.ends - 1) // tall, minlength=masks * width)
        passed = np.concatenate([[0], np.cumsum(columns)]).take(own.starts // tall)
    covered = _covered(own, other, passed)  # from the first interval that does not end before the column
    return np.add.reduceat(covered, np.cumsum(own.lengths) - own.lengths, dtype=np.int64)


def _covered(own: Intervals, other: Intervals, nearest: Ints) -> NDArray[np.signedinteger]:
    """(R,) pixels of each interval that are in any of others.

    Args:
        own: R intervals.
        other: Intervals that do not overlap, ascending.
        nearest: (R,) for each the first of the others that may overlap it.
    """
    far = np.full(2, np.iinfo(other.starts.dtype).max, other.starts.dtype)
    starts, ends = np.append(other.starts, far), np.append(other.ends, far)
    following = starts[1:]
    covered, rows = own.starts, None  # all
    begin, end = own.starts, own.ends
    for _ in range(_STEPS):
        inside = np.minimum(end, ends.take(nearest))
        inside -= np.maximum(begin, starts.take(nearest))
        np.maximum(inside, 0, out=inside)
        if rows is None:
            covered = inside
        else:
            covered[rows] += inside
        more = np.flatnonzero(following.take(nearest) < end)
        if not len(more):
            return covered
        rows = more if rows is None else rows.take(more)
        begin, end, nearest = begin.take(more), end.take(more), nearest.take(more) + 1
    # what is left is long, or in columns with many others: pixels of others before its end, less those before the rest
    total = np.concatenate([[0], np.cumsum(other.ends - other.starts, dtype=np.int64)])
    inside = np.zeros(len(begin), np.int64)
    for sign, place in ((1, end), (-1, np.maximum(begin, starts[nearest]))):
        behind = np.searchsorted(other.starts, place)  # at least _STEPS others begin before
        inside += sign * (total[behind] - np.maximum(other.ends[behind - 1] - place, 0))
    covered[rows] += inside.astype(covered.dtype)
    return covered
