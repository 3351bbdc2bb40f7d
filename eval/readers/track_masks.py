"""Masks of many tracks at once: checked, measured, and every way to write a mask made one.

Tracks hold one mask per frame, nearly always as strings of one size. Those are decoded some thousands at a time; what
is written in another way, or does not fit, goes to `segmentation.read_masks`, which knows all ways and all complaints.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from eval.readers.record import Record
from eval.readers.segmentation import WrittenMask, read_masks
from eval.rle import Rle
from eval.runs import MaskError, decode_runs
from eval.tube_runs import TubeRuns

_SHARE = 200_000  # characters of run lengths that are decoded at once; more falls out of the second-level cache


class WrittenTrack(NamedTuple):
    """The masks of one track as a file has them.

    Attributes:
        values: One entry per frame: polygons, an RLE with list or string counts, or null or [] for no mask.
        height, width: Of the video, in pixels.
        record: The record that holds them, for errors.
        field: The field that holds them, for errors.
    """

    values: Sequence[Any]
    height: int
    width: int
    record: Record
    field: str


class TrackMasks(NamedTuple):
    """The masks of one track, checked.

    Attributes:
        masks: One per frame, None where the object is not there.
        runs: The same, decoded.
    """

    masks: tuple[Rle | None, ...]
    runs: TubeRuns


def read_track_masks(written: Sequence[WrittenTrack]) -> list[TrackMasks]:
    """Decode the masks of tracks.

    Raises:
        SchemaError: A value is no mask, or a mask is of another size than its video.

    Warns:
        UserWarning: Masks had empty runs inside.
    """
    return [masks for share in _shares(written) for masks in _read_share(share)]


def read_masks_of_any_size(track: WrittenTrack) -> TrackMasks:
    """As `read_track_masks`, but an RLE may have a size of its own: what the official evaluators accept.

    Raises:
        SchemaError: A value is no mask, or its run lengths do not fill its size.
    """
    return _decoded([mask.of_own_size() for mask in _written(track)])


def _shares(written: Sequence[WrittenTrack]) -> Iterator[list[tuple[WrittenTrack, list[str] | None]]]:
    """Tracks in order with their codes (None where they are not plain), about _SHARE characters at a time."""
    share: list[tuple[WrittenTrack, list[str] | None]] = []
    characters = 0
    for track in written:
        if share and (track.height, track.width) != (share[0][0].height, share[0][0].width):
            yield share
            share, characters = [], 0
        codes = _codes(track)
        share.append((track, codes))
        characters += sum(map(len, codes or ()))
        if characters >= _SHARE:
            yield share
            share, characters = [], 0
    if share:
        yield share


def _codes(track: WrittenTrack) -> list[str] | None:
    """The codes of the masks that are there, if all are strings of the video's size."""
    values, size = track.values, [track.height, track.width]
    there = [value for value in values if value is not None]
    try:
        if [value["size"] for value in there].count(size) == len(there):
            codes = [value["counts"] for value in there]
            return codes if set(map(type, codes)) <= {str} else None
    except (TypeError, KeyError):  # not an object, or one without these members
        pass
    return None


def _read_share(share: Sequence[tuple[WrittenTrack, list[str] | None]]) -> Iterator[TrackMasks]:
    height, width = share[0][0].height, share[0][0].width
    try:
        runs = decode_runs([code for _, codes in share for code in codes or ()], height, width)
    except MaskError:
        yield from (_decoded(_written(track)) for track, _ in share)  # raises for the first that is broken
        return
    decoded, start = TubeRuns.of_runs(runs, height, width), 0
    for track, codes in share:
        first, start = start, start + len(codes or ())
        if codes is None or not runs.canonical[first:start].all():
            yield _decoded(_written(track))
        else:
            there = np.array([value is not None for value in track.values], bool)
            yield TrackMasks(tuple(track.values), decoded.spread(first, there))


def _written(track: WrittenTrack) -> list[WrittenMask]:
    return [
        WrittenMask(value, track.height, track.width, track.record, f"{track.field}[{t}]")
        for t, value in enumerate(track.values)
    ]


def _decoded(written: Sequence[WrittenMask]) -> TrackMasks:
    masks = read_masks(written)
    return TrackMasks(tuple(masks), TubeRuns.of(masks))
