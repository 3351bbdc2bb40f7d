"""Shared pixels of intervals: those of dense masks, whatever the shapes."""

from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask as mask_api

from eval.rle import Rle
from eval.runs import MaskError
from eval.tube_runs import Intervals, TubeRuns, shared_pixels


def encode(mask: np.ndarray) -> Rle:
    code = mask_api.encode(np.asfortranarray(mask, np.uint8))
    return {"size": list(mask.shape), "counts": code["counts"].decode()}


def random_mask(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Noise, everything, nothing, bands across columns and along them, and noisy rectangles."""
    left, right = sorted(rng.integers(0, width + 1, 2))
    top, bottom = sorted(rng.integers(0, height + 1, 2))
    mask = np.zeros((height, width), bool)
    kind = rng.integers(6)
    if kind == 0:
        return rng.random((height, width)) < rng.random()
    if kind == 1:
        mask[:] = True
    elif kind == 2:
        mask[:, left:right] = True
    elif kind == 3:
        mask[top:bottom] = True
    elif kind == 4:
        mask[top:bottom, left:right] = rng.random((bottom - top, right - left)) < 0.9
    return mask


@pytest.mark.parametrize("seed", range(300))
def test_shared_pixels_are_those_of_dense_masks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = (int(n) for n in rng.integers(1, 50, 2))
    first = [random_mask(rng, height, width) for _ in range(6)]
    second = [random_mask(rng, height, width) for _ in range(3)]
    of = rng.integers(0, 3, 6)
    sides = ([TubeRuns.of([None, encode(mask)]) for mask in side] for side in (first, second))
    shared = shared_pixels(*(Intervals.at(side, 1) for side in sides), of, height, width)
    assert shared.tolist() == [int((mask & second[k]).sum()) for mask, k in zip(first, of, strict=True)]


@pytest.mark.parametrize("seed", range(30))
def test_extents_are_those_of_dense_masks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    masks = [random_mask(rng, 9, 7) for _ in range(8)]
    for mask, extent in zip(masks, TubeRuns.of([encode(mask) for mask in masks]).extents, strict=True):
        pixels = np.flatnonzero(mask.T)
        assert extent[[0, 3, 4]].tolist() == [len(pixels), 9, 7]
        if len(pixels):
            assert extent[1:3].tolist() == [pixels[0], pixels[-1] + 1]


def test_masks_of_several_sizes_keep_their_frames() -> None:
    masks = [encode(np.ones((2, 3))), None, encode(np.ones((5, 1))), encode(np.eye(2, 3))]
    runs = TubeRuns.of(masks)
    assert runs.extents[:, [0, 3, 4]].tolist() == [[6, 2, 3], [0, 0, 0], [5, 5, 1], [2, 2, 3]]
    assert Intervals.at([runs], 2).ends.tolist()[:1] == [5]
    assert Intervals.at([runs], 3).starts.tolist()[:2] == [0, 3]
    assert TubeRuns.of([None, None]).extents.tolist() == [[0] * 5] * 2


def test_images_of_which_three_have_more_pixels_than_32_bits_count() -> None:
    side = 30_000
    half, rest = side * side // 2, side * side - side * side // 2
    codes = [
        mask_api.frPyObjects({"size": [side, side], "counts": c}, side, side)
        for c in ([half, rest], [9, 9, rest + half - 18])
    ]
    runs = [TubeRuns.of([{"size": [side, side], "counts": code["counts"].decode()}]) for code in codes]
    masks = Intervals.at([runs[0], runs[1], runs[0]], 0)
    assert shared_pixels(masks, masks, np.array([2, 1, 0]), side, side).tolist() == [rest, 9, rest]


def test_a_broken_mask_is_refused() -> None:
    with pytest.raises(MaskError, match="covers 5 pixels, but the image has 4 x 6"):
        TubeRuns.of([{"size": [4, 6], "counts": "5"}])
