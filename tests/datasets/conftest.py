"""Samples drawn as text: one picture per instance, one letter or `#` per visible pixel."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from vos_occ.datasets.sample import Sample, unknown_order


def mask_of(picture: str) -> np.ndarray:
    """(H, W) uint8: 1 where the picture has `#`, lines without surrounding blanks."""
    lines = [line.strip() for line in picture.strip().splitlines()]
    return np.array([[character == "#" for character in line] for line in lines], np.uint8)


def sample_of(*pictures: str, scale: int = 1, **fields: np.ndarray) -> Sample:
    """A sample with one instance per picture, ids 1, 2, ..., nothing known of hidden fractions and order."""
    masks = np.stack([mask_of(picture) for picture in pictures]).repeat(scale, 1).repeat(scale, 2)
    count, height, width = masks.shape
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    known = {
        "labels": np.zeros(count, np.int64),
        "instance_ids": np.arange(1, count + 1),
        "hidden": np.full(count, np.nan, np.float32),
        "in_front": unknown_order(count),
        "crowd": np.zeros(count, bool),
    }
    return Sample(image=image, masks=masks, **(known | fields))


@pytest.fixture
def draw() -> Callable[[str], np.ndarray]:
    return mask_of


@pytest.fixture
def sample() -> Callable[..., Sample]:
    return sample_of
