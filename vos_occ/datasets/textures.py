"""Textures for the synthetic world: photographs that ship inside installed packages, mixed with procedural patterns.

Nothing is downloaded: the photographs are files of scikit-image and scikit-learn. The `train` and `heldout` pools
share neither a photograph nor a pattern construction. What carries over between splits is a class's `Look`: a hue
family and the kinds of pattern. Knows nothing of shapes or motion.
"""

from __future__ import annotations

import colorsys
import functools
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
from numpy.typing import NDArray

from vos_occ.datasets.patterns import PATTERNS, PatternKind, Split, pattern, value_noise
from vos_occ.structures.errors import InputError

Image = NDArray[np.uint8]

# "package folder/file". Both motorcycle pictures and both brick-like ones of a scene stay on one side.
PHOTOGRAPHS: dict[Split, tuple[str, ...]] = {
    "train": (
        "skimage/data/astronaut.png",
        "skimage/data/coffee.png",
        "skimage/data/brick.png",
        "skimage/data/grass.png",
        "skimage/data/ihc.png",
        "skimage/data/motorcycle_left.png",
        "skimage/data/camera.png",
        "skimage/data/rocket.jpg",
        "sklearn/datasets/images/china.jpg",
    ),
    "heldout": (
        "skimage/data/chelsea.png",
        "skimage/data/gravel.png",
        "skimage/data/hubble_deep_field.jpg",
        "skimage/data/coins.png",
        "skimage/data/retina.jpg",
        "skimage/data/moon.png",
        "sklearn/datasets/images/flower.jpg",
    ),
}


@dataclass(frozen=True)
class Look:
    """What the surfaces of one class have in common in both splits.

    Attributes:
        hue: centre of the hue family, turns in [0, 1).
        hue_spread: half width of the family, turns.
        patterns: kinds of pattern that an instance may carry.
    """

    hue: float
    hue_spread: float
    patterns: tuple[PatternKind, ...]

    def __post_init__(self) -> None:
        unknown = set(self.patterns) - set(PATTERNS)
        if not self.patterns or unknown:
            raise ValueError(f"Look.patterns must be a non-empty choice of {sorted(PATTERNS)}, got {self.patterns}.")


@functools.lru_cache(maxsize=32)
def load_photograph(name: str) -> Image:
    """(H, W, 3) uint8 RGB of an entry of `PHOTOGRAPHS`, longest side at most 640.

    Raises:
        InputError: the package or the file is missing.
    """
    package, _, inside = name.partition("/")
    spec = importlib.util.find_spec(package)
    folders = list(spec.submodule_search_locations or []) if spec else []
    path = Path(folders[0]) / inside if folders else Path(name)
    if not path.is_file():
        distribution = {"skimage": "scikit-image", "sklearn": "scikit-learn"}.get(package, package)
        raise InputError(f"Photograph {path} not found; it ships with {distribution}: install or reinstall that.")
    # Not cv2.imread: it prints warnings about the colour profiles in some of these files.
    image = np.asarray(PIL.Image.open(path).convert("RGB"))
    factor = min(1.0, 640 / max(image.shape[:2]))
    image = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA) if factor < 1 else image.copy()
    image.setflags(write=False)  # the cache hands the same array to everyone
    return image


def photograph_crop(name: str, height: int, width: int, zoom: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """A random, randomly mirrored window of a photograph.

    Args:
        zoom: source pixels per output pixel, lowered where the photograph is too small.

    Returns:
        (height, width, 3) float32 RGB in [0, 1].
    """
    photograph = load_photograph(name)
    zoom = min(zoom, photograph.shape[0] / height, photograph.shape[1] / width)
    rows, columns = max(2, int(height * zoom)), max(2, int(width * zoom))
    top = int(rng.integers(0, photograph.shape[0] - rows + 1))
    left = int(rng.integers(0, photograph.shape[1] - columns + 1))
    window = photograph[top : top + rows, left : left + columns]
    window = window[:, ::-1] if rng.random() < 0.5 else window
    shrink = cv2.INTER_AREA if zoom > 1 else cv2.INTER_CUBIC
    return np.clip(cv2.resize(window.astype(np.float32) / 255, (width, height), interpolation=shrink), 0, 1)


def object_texture(look: Look, split: Split, size: int, photograph: str, rng: np.random.Generator) -> Image:
    """Surface of one instance: a two-colour pattern of its class, weathered by the light and colours of a photograph.

    Args:
        size: side of the square texture in pixels.
        photograph: entry of `PHOTOGRAPHS[split]`.

    Returns:
        (size, size, 3) uint8 RGB.
    """
    kind = look.patterns[rng.integers(len(look.patterns))]
    tones = pattern(kind, split, size, size, max(5.0, size * rng.uniform(0.09, 0.2)), rng)
    hue = look.hue + rng.uniform(-look.hue_spread, look.hue_spread)
    ground, figure = _palette(hue, rng)
    colours = ground + (figure - ground) * tones[..., None] * rng.uniform(0.35, 1.0)
    photo = photograph_crop(photograph, size, size, rng.uniform(0.8, 1.8), rng)
    relief = _normalised_luminance(photo)[..., None]
    tinted = colours * (1 + rng.uniform(0.35, 0.75) * relief)
    own_colours = rng.uniform(0.0, 0.22)
    return _to_uint8(tinted * (1 - own_colours) + photo * own_colours)


def background_texture(split: Split, height: int, width: int, photograph: str, rng: np.random.Generator) -> Image:
    """Backdrop of a scene: a photograph of the split, hue-shifted and muted, or a large pattern weathered by it.

    Returns:
        (height, width, 3) uint8 RGB, softer and duller than objects are.
    """
    photo = photograph_crop(photograph, height, width, rng.uniform(0.7, 1.6), rng)
    if rng.random() < 0.35:
        kinds = tuple(PATTERNS)
        tones = pattern(kinds[rng.integers(len(kinds))], split, height, width, rng.uniform(18, 48), rng)
        ground, figure = _palette(rng.random(), rng, saturation=(0.1, 0.45))
        plain = ground + (figure - ground) * tones[..., None] * rng.uniform(0.25, 0.7)
        photo = plain * (1 + 0.5 * _normalised_luminance(photo)[..., None])
    else:
        photo = _shift_hue(photo, rng.random(), rng.uniform(0.3, 0.9))
    photo = cv2.GaussianBlur(photo.astype(np.float32), (0, 0), rng.uniform(0.4, 1.6))
    contrast, lift = rng.uniform(0.55, 0.9), rng.uniform(0.05, 0.2)
    shade = 1 + 0.25 * (value_noise(height, width, max(height, width) / 2, rng, octaves=1) - 0.5)
    return _to_uint8((lift + contrast * photo) * shade[..., None])


def _palette(
    hue: float, rng: np.random.Generator, saturation: tuple[float, float] = (0.45, 0.85)
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two RGB colours in [0, 1], one light and one dark, the second's hue a little off the first's."""
    value = rng.uniform(0.55, 0.9)
    other_value = float(np.clip(value + rng.choice((-1, 1)) * rng.uniform(0.25, 0.45), 0.25, 1.0))
    first = colorsys.hsv_to_rgb(hue % 1, rng.uniform(*saturation), value)
    second = colorsys.hsv_to_rgb((hue + rng.uniform(-0.06, 0.06)) % 1, rng.uniform(*saturation), other_value)
    return np.array(first), np.array(second)


def _normalised_luminance(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """(H, W) float32 in [-1, 1], zero mean: the photograph's light without its exposure."""
    luminance = image @ np.array([0.299, 0.587, 0.114], np.float32)
    return np.clip((luminance - luminance.mean()) / (2.2 * luminance.std() + 0.04), -1, 1)


def _shift_hue(image: NDArray[np.float32], turns: float, saturation: float) -> NDArray[np.float32]:
    hsv = cv2.cvtColor(np.ascontiguousarray(image, np.float32), cv2.COLOR_RGB2HSV)
    hsv[..., 0] = np.mod(hsv[..., 0] + 360 * turns, 360)
    hsv[..., 1] *= saturation
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


def _to_uint8(image: NDArray[np.floating]) -> Image:
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
