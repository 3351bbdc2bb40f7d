"""One colour per track id, the same in every frame, video and run. Numbers only; draws nothing."""

from __future__ import annotations

import math
from functools import lru_cache

Colour = tuple[int, int, int]

_GOLDEN_RATIO = (math.sqrt(5) - 1) / 2
_LIGHTNESS = (0.76, 0.66, 0.84)


@lru_cache(maxsize=4096)
def track_colour(track_id: int) -> Colour:
    """(r, g, b) in 0..255 for a track id >= 1.

    Hues step round the circle by the golden ratio, so that ids close to each other, which tend to be on screen
    together, lie far apart and no prefix of ids crowds. The hue lives in OKLCH, where equal steps look equally
    different (plain HSV gives five greens and one yellow), and the lightness alternates, since after eight steps
    the hues come close again. All colours are light enough to be read as text on a dark ground.
    """
    lightness = _LIGHTNESS[track_id % len(_LIGHTNESS)]
    hue = 2 * math.pi * ((track_id * _GOLDEN_RATIO + 0.35) % 1.0)
    chroma = 0.20
    while True:
        rgb = _oklch_to_linear_srgb(lightness, chroma, hue)
        if all(-1e-4 <= channel <= 1.0001 for channel in rgb):
            red, green, blue = (_gamma(channel) for channel in rgb)
            return red, green, blue
        chroma -= 0.005  # out of what screens can show: less vivid, same hue


def _oklch_to_linear_srgb(lightness: float, chroma: float, hue: float) -> tuple[float, float, float]:
    """Source: B. Ottosson, "A perceptual color space for image processing", 2020 (the matrices of OKLab)."""
    a, b = chroma * math.cos(hue), chroma * math.sin(hue)
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    return (
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    )


def _gamma(linear: float) -> int:
    linear = min(max(linear, 0.0), 1.0)
    encoded = 12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055
    return round(255 * encoded)
