"""The visible and the hidden part of objects whose full extent is known, as exact integers. Knows nothing of files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as mask_api

from eval.rle import Rle, areas, from_lengths
from eval.runs import decode_runs


def shared_pixels(first: Sequence[Rle], second: Sequence[Rle]) -> NDArray[np.int64]:
    """Pixels that the i-th masks of two lists share, (N,).

    Raises:
        ValueError: Two masks differ in size, for which pycocotools answers 0.
    """
    return areas([_merged(a, b) for a, b in zip(first, second, strict=True)])


def hidden_parts(amodal: Sequence[Rle], visible: Sequence[Rle]) -> list[Rle]:
    """What of each object is not seen: the pixels of its amodal mask that its visible mask does not have.

    Visible pixels outside the amodal mask, which is noise of annotation, are no part of it.

    Raises:
        ValueError: Two masks differ in size.
    """
    return [_merged(a, v) for a, v in zip(amodal, _complements(visible), strict=True)]


def hidden_fractions(amodal: Sequence[Rle], visible: Sequence[Rle]) -> NDArray[np.float64]:
    """Share of each amodal mask that is not visible, (N,) in [0, 1]; NaN where the amodal mask is empty.

    Raises:
        ValueError: Two masks differ in size.
    """
    whole = areas(amodal)
    hidden = whole - shared_pixels(amodal, visible)
    return np.divide(hidden, whole, out=np.full(len(whole), np.nan), where=whole > 0)


def _merged(first: Rle, second: Rle) -> Rle:
    if first["size"] != second["size"]:
        raise ValueError(f"Masks to compare must have one size, found {first['size']} and {second['size']}.")
    merged = mask_api.merge([first, second], intersect=True)
    return {"size": first["size"], "counts": merged["counts"].decode()}


def _complements(masks: Sequence[Rle]) -> list[Rle]:
    """What each mask leaves of its image."""
    complements: dict[int, Rle] = {}
    by_size: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for i, mask in enumerate(masks):
        by_size[tuple(mask["size"])].append(i)
    for (height, width), indices in by_size.items():
        runs = decode_runs([masks[i]["counts"] for i in indices], height, width)
        lengths = np.stack([runs.background, runs.foreground], axis=1).ravel()
        for i, own in zip(indices, np.split(lengths, 2 * runs.first[1:]), strict=True):
            counts = own[1:] if own[0] == 0 else np.concatenate([[0], own])
            complements[i] = from_lengths(counts.tolist(), height, width)
    return [complements[i] for i in range(len(masks))]
