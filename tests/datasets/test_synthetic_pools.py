"""Train and held-out pools share neither photographs, nor pattern constructions, nor outline parameters."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from vos_occ.datasets import textures
from vos_occ.datasets.patterns import PATTERNS, pattern
from vos_occ.datasets.shapes import OUTLINES, outline, rasterise
from vos_occ.datasets.sprites import LOOKS, draw_sprite
from vos_occ.datasets.textures import PHOTOGRAPHS, Look, load_photograph, photograph_crop
from vos_occ.structures.errors import InputError


def test_no_photograph_serves_both_splits() -> None:
    assert not set(PHOTOGRAPHS["train"]) & set(PHOTOGRAPHS["heldout"])


@pytest.mark.parametrize("name", [name for names in PHOTOGRAPHS.values() for name in names])
def test_every_photograph_ships_with_its_package(name: str) -> None:
    image = load_photograph(name)
    assert image.dtype == np.uint8 and image.shape[2] == 3 and min(image.shape[:2]) >= 200
    assert image.std() > 5


def test_a_missing_photograph_names_the_package_to_install() -> None:
    with pytest.raises(InputError, match="ships with scikit-image"):
        textures.load_photograph("skimage/data/no_such_picture.png")


def test_no_pattern_construction_serves_both_splits() -> None:
    train, heldout = ({variants[split] for variants in PATTERNS.values()} for split in ("train", "heldout"))
    assert len(train) == len(heldout) == len(PATTERNS) and not train & heldout


@pytest.mark.parametrize("split", ["train", "heldout"])
@pytest.mark.parametrize("kind", PATTERNS)
def test_patterns_fill_their_range(kind: str, split: str) -> None:
    tones = pattern(kind, split, 40, 60, 8.0, np.random.default_rng(0))
    assert tones.shape == (40, 60) and tones.dtype == np.float32
    assert 0 <= tones.min() < 0.3 and 0.7 < tones.max() <= 1


def test_a_crop_larger_than_the_photograph_still_fills_the_window() -> None:
    crop = photograph_crop(PHOTOGRAPHS["train"][0], 900, 700, 2.0, np.random.default_rng(0))
    assert crop.shape == (900, 700, 3) and 0 <= crop.min() < crop.max() <= 1


def flatness(polygon: np.ndarray) -> float:
    """Height by width of the box, or its inverse, whichever is below 1."""
    ratio = np.ptp(polygon[:, 0]) / np.ptp(polygon[:, 1])
    return min(ratio, 1 / ratio)


def fullness(polygon: np.ndarray) -> float:
    """Area by squared height."""
    return cv2.contourArea(polygon.astype(np.float32)) / np.ptp(polygon[:, 1]) ** 2


def tips(polygon: np.ndarray) -> float:
    """How many times the outline is farthest from its middle."""
    distance = np.hypot(*(polygon - polygon.mean(0)).T)
    return float(((distance > np.roll(distance, 1)) & (distance >= np.roll(distance, -1))).sum())


@pytest.mark.parametrize(
    ("name", "measure"),
    [
        ("ball", flatness),
        ("brick", flatness),
        ("star", tips),
        ("leaf", fullness),
        ("bottle", flatness),
        ("blossom", tips),
        ("cross", fullness),
        ("crescent", fullness),
    ],
)
def test_outlines_of_the_two_splits_differ_in_a_parameter(name: str, measure) -> None:
    rng = np.random.default_rng(0)
    train, heldout = ({round(measure(outline(name, s, rng)), 6) for _ in range(40)} for s in ("train", "heldout"))
    if measure is tips:
        assert not train & heldout and len(train) == len(heldout) == 2
    else:
        assert max(min(train), min(heldout)) > min(max(train), max(heldout)), "the ranges do not meet"


@pytest.mark.parametrize("split", ["train", "heldout"])
@pytest.mark.parametrize("name", OUTLINES)
def test_outlines_are_one_piece_without_holes_and_reach_the_radius(name: str, split: str) -> None:
    for seed in range(5):
        polygon = outline(name, split, np.random.default_rng(seed))
        assert np.hypot(*polygon.T).max() == pytest.approx(1)
        solid = (rasterise(polygon, 30, 70) >= 0.5).astype(np.uint8)
        assert cv2.connectedComponents(solid, connectivity=8)[0] == 2, "background and one object"
        assert cv2.connectedComponents(1 - solid, connectivity=8)[0] == 2, "the object and one background"
        assert solid.sum() == pytest.approx(900 * cv2.contourArea(polygon.astype(np.float32)), rel=0.05)


def test_a_sprite_covers_its_outline_and_keeps_a_margin_for_its_shadow() -> None:
    rng = np.random.default_rng(0)
    sprite = draw_sprite("ball", "train", 25.0, PHOTOGRAPHS["train"][0], np.array([1.0, 0.0]), rng)
    alpha = sprite.rgba[..., 3]
    assert sprite.side >= 2 * 25 * 1.3
    assert 2 * 25 * 0.96 <= np.ptp(np.flatnonzero((alpha >= 128).any(0))) + 1 <= 2 * 25 + 1
    assert sprite.shadow[:, 0].max() < 12, "the shadow has faded out at the canvas's edge"


def test_the_lit_side_of_a_sprite_is_brighter() -> None:
    def brightness(light: tuple[float, float]) -> np.ndarray:
        rng = np.random.default_rng(0)
        sprite = draw_sprite("ball", "train", 30.0, PHOTOGRAPHS["train"][0], np.array(light), rng)
        return sprite.rgba[..., :3].astype(float).mean(2) * (sprite.rgba[..., 3] > 128)

    difference = brightness((1.0, 0.0)) - brightness((-1.0, 0.0))
    middle = difference.shape[1] // 2
    assert difference[:, middle:].sum() > 0 > difference[:, :middle].sum()


def test_a_look_needs_known_patterns() -> None:
    with pytest.raises(ValueError, match=r"Look\.patterns"):
        Look(hue=0.1, hue_spread=0.1, patterns=("plaid",))  # type: ignore[arg-type]


def test_hue_families_of_the_classes_stay_apart() -> None:
    hues = sorted((look.hue, look.hue_spread) for look in LOOKS.values())
    around = [*hues, (hues[0][0] + 1, hues[0][1])]
    assert all(b[0] - a[0] > 0.05 for a, b in zip(around, around[1:], strict=False))
