"""COCO's compressed run lengths to intervals, thousands of masks at a time.

pycocotools trusts its input: run lengths that do not fill the image send it out of bounds or into an endless loop.
Here every code is checked, at the price of parsing it once in numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.rle import from_lengths

MOST_PIXELS = 2**31 - 1  # of a mask: positions are 32-bit here and in pycocotools

_HIGH = 2**26  # what six digits with sign may be at most before the seventh makes 32 bits of it
_MAX_DIGITS = 7  # base 32: as many as a 32-bit number with its sign can need

Ints = NDArray[np.int64]


class MaskError(ValueError):
    """A run-length code is broken.

    Attributes:
        index: Which of the codes.
        problem: What is wrong with it, to follow the name of its field: "covers 12 pixels, but ...".
    """

    def __init__(self, index: int, problem: str) -> None:
        super().__init__(f"mask {index} {problem}")
        self.index = index
        self.problem = problem


@dataclass(frozen=True)
class Runs:
    """Decoded masks of one size: one after the other, each as pairs of a run of background and one of foreground.

    Attributes:
        background, foreground: (R,) int32 lengths in column-major order. Only the first background of a mask and its
            last foreground may be 0, unless the code has empty runs.
        pairs: (N,) number of pairs of each mask.
        first: (N,) index of its first pair.
        areas: (N,) pixels of each mask.
        canonical: (N,) False where a code has empty runs inside, which pycocotools cannot compare.
    """

    background: NDArray[np.int32]
    foreground: NDArray[np.int32]
    pairs: Ints
    first: Ints
    areas: Ints
    canonical: NDArray[np.bool_]

    def intervals(self, offsets: Ints) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """First pixel of each run of foreground (R,), and the pixel after its last (R,).

        Args:
            offsets: (N,) what to add to the positions of each mask; positions must stay below 2^31.
        """
        length = self.background + self.foreground
        ends = np.cumsum(length, dtype=np.int32)  # may wrap; the difference to the mask's own start does not
        before = np.where(self.first > 0, ends[self.first - 1], 0).astype(np.int32)
        ends += np.repeat(offsets.astype(np.int32) - before, self.pairs)
        return ends - self.foreground, ends


def decode_runs(counts: Sequence[str], height: int, width: int) -> Runs:
    """Decode and check compressed run lengths.

    A number is written low digits first in base 32, one character from '0' each, with bit 32 where more follow; the
    fourth number of a mask and those after it are differences from the number two before.

    Args:
        counts: N codes.
        height: Of every mask, in pixels.
        width: Likewise.

    Raises:
        MaskError: A code is cut off, holds other characters, has a negative run or does not fill the image.

    Source: rleFrString in pycocotools' maskApi.c.
    """
    numbers, each = _parse(counts)
    pairs = (each + 1) // 2
    first = np.cumsum(pairs) - pairs
    odd = each & 1
    table = np.zeros((int(pairs.sum()), 2), np.int32)
    table.reshape(-1)[np.arange(len(numbers)) + np.repeat(np.cumsum(odd) - odd, each)] = numbers
    background, foreground = table.T.copy()
    last = (first + pairs - 1)[odd == 1]
    heads = background[first]
    background[first] = 0  # the first number of a mask is none that the third differs from
    for run in (background, foreground):
        np.cumsum(run, out=run)
        run -= np.repeat(np.where(first > 0, run[first - 1], 0).astype(np.int32), pairs)
    background[first] = heads
    foreground[last] = 0
    _check(background, foreground, first, height, width)
    areas = np.add.reduceat(foreground, first, dtype=np.int64) if len(first) else np.zeros(0, np.int64)
    return Runs(background, foreground, pairs, first, areas, _canonical(background, foreground, first, last))


def run_lengths(code: str) -> Ints:
    """Run lengths of one code, background first, whatever the size of its image.

    Raises:
        MaskError: The code is cut off or holds other characters.
    """
    runs = _parse([code])[0].astype(np.int64)
    for chain in (runs[1::2], runs[2::2]):
        np.cumsum(chain, out=chain)
    return runs


def _parse(counts: Sequence[str]) -> tuple[NDArray[np.int32], Ints]:
    """All numbers of all codes, signed and before the differences are undone, and how many each code has."""
    sizes = np.fromiter(map(len, counts), np.int64, len(counts))
    if (sizes == 0).any():
        raise MaskError(int(sizes.argmin()), "is empty, expected a run-length code")
    stops = np.cumsum(sizes)
    text = "".join(counts)
    if not text.isascii():
        text = "".join(character if character.isascii() else "\x7f" for character in text)
    codes = np.frombuffer(text.encode(), np.uint8) - np.uint8(48)
    if len(codes) and codes.max() > 63:
        place = int((codes > 63).argmax())
        mask = int(np.searchsorted(stops, place, side="right"))
        character = counts[mask][place - int(stops[mask] - sizes[mask])]
        raise MaskError(mask, f"holds {character!r}, which is no run-length code")
    more = codes > 31
    cut_off = np.flatnonzero(more[stops - 1])
    if len(cut_off):
        raise MaskError(int(cut_off[0]), "is cut off")
    ends = np.flatnonzero(~more)
    each = np.diff(np.searchsorted(ends, stops - 1), prepend=-1)
    numbers, endless = _signed(codes, more)
    if len(endless):
        raise MaskError(int(np.searchsorted(stops, endless[0], side="right")), "holds a number of more than 32 bits")
    return numbers[ends], each


def _signed(codes: NDArray[np.uint8], more: NDArray[np.bool_]) -> tuple[NDArray[np.int32], Ints]:
    """The number that ends at each character, if one does, and where numbers end that are too large for 32 bits.

    The highest bit of a number's last digit is its sign.
    """
    digits = codes & 31
    values = ((digits ^ 16).view(np.int8) - 16).astype(np.int32)
    values[1:] = np.where(more[:-1], 32 * values[1:] + digits[:-1], values[1:])
    longer = 2 + np.flatnonzero(more[:-2] & more[1:-1] & ~more[2:])  # most numbers have one digit or two
    for k in range(2, _MAX_DIGITS):
        if k == _MAX_DIGITS - 1:
            too_large = longer[(values[longer] + _HIGH).view(np.uint32) >= 2 * _HIGH]
        values[longer] = 32 * values[longer] + digits[longer - k]
        longer = longer[longer > k]
        longer = longer[more[longer - k - 1]]
    return values, np.sort(np.concatenate([longer, too_large]))


def _check(background: NDArray[np.int32], foreground: NDArray[np.int32], first: Ints, height: int, width: int) -> None:
    if not len(first):
        return
    if height * width > MOST_PIXELS:
        raise MaskError(0, f"is of an image of {height} x {width}, more than {MOST_PIXELS} pixels")
    pixels = np.add.reduceat(background, first, dtype=np.int64) + np.add.reduceat(foreground, first, dtype=np.int64)
    negative = np.minimum(np.minimum.reduceat(background, first), np.minimum.reduceat(foreground, first)) < 0
    wrong = np.flatnonzero(negative | (pixels != height * width))
    if len(wrong):
        mask = int(wrong[0])
        problem = "has a run of negative length" if negative[mask] else f"covers {pixels[mask]} pixels"
        raise MaskError(mask, f"{problem}, but the image has {height} x {width}")


def _canonical(
    background: NDArray[np.int32], foreground: NDArray[np.int32], first: Ints, padded: Ints
) -> NDArray[np.bool_]:
    """(N,) whether no run is empty but a first background, and but the foreground that was `padded`."""
    canonical = np.ones(len(first), bool)
    empty = (background == 0) | (foreground == 0)
    empty[padded] = background[padded] == 0
    empty[first] = False
    alone = np.flatnonzero(foreground[first] == 0)  # of one pair: an empty mask is written as one run of background
    canonical[alone] = np.isin(first[alone], padded)
    owners = np.searchsorted(first, np.flatnonzero(empty), side="right") - 1
    canonical[owners] = False
    return canonical


def canonical_code(code: str, height: int, width: int) -> str:
    """The code of the same mask without empty runs inside."""
    runs = decode_runs([code], height, width)
    lengths = np.stack([runs.background, runs.foreground], 1).reshape(-1)
    filled = np.repeat(np.arange(len(lengths)) % 2, lengths > 0)
    lengths = lengths[lengths > 0]
    starts = np.flatnonzero(np.diff(filled, prepend=-1))
    merged = [0] * int(filled[0]) + np.add.reduceat(lengths, starts).tolist()
    return from_lengths(merged, height, width)["counts"]
