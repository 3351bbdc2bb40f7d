from __future__ import annotations

import numpy as np
import pytest

from vos_occ.media.painting import Region, blend, contour, fill, hatch, trail

RED = (255, 0, 0)


def _black() -> np.ndarray:
    return np.zeros((40, 60, 3), np.uint8)


def test_a_fill_touches_its_mask_and_nothing_else():
    image = _black()
    crop = np.eye(8, dtype=bool)
    fill(image, Region(crop, 10, 20), RED, 1.0)
    expected = np.zeros((40, 60), bool)
    expected[20:28, 10:18] = crop
    np.testing.assert_array_equal(image[..., 0] == 255, expected)
    assert (image[..., 1:] == 0).all()


@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize(("x0", "y0"), [(0, 0), (52, 32)])
def test_regions_at_the_border_fill_up_to_the_last_pixel(scale, x0, y0):
    image = np.zeros((40 * scale, 60 * scale, 3), np.uint8)
    fill(image, Region(np.ones((8, 8), bool), x0, y0, scale), RED, 1.0)
    filled = (image[..., 0] == 255).sum()
    assert filled == pytest.approx(64 * scale * scale, rel=0.1 if scale > 1 else 0)
    assert image[-1 if y0 else 0, -4 if x0 else 3, 0] == 255


def test_an_empty_region_draws_nothing():
    image = _black()
    region = Region(np.zeros((0, 0), bool), 0, 0)
    fill(image, region, RED, 1.0)
    contour(image, region, RED, 3)
    hatch(image, region, RED, 8.0, rising=True)
    assert (image == 0).all()


def test_coverage_of_half_mixes_half_and_half():
    image = _black()
    blend(image[:10, :10], (200, 100, 50), np.full((10, 10), 128, np.uint8))
    assert image[5, 5] == pytest.approx([100, 50, 25], abs=1)


def test_hatching_leaves_gaps_and_its_stripes_run_on_across_regions():
    whole, parts = _black(), _black()
    hatch(whole, Region(np.ones((20, 40), bool), 5, 5), RED, 8.0, rising=True)
    hatch(parts, Region(np.ones((20, 15), bool), 5, 5), RED, 8.0, rising=True)
    hatch(parts, Region(np.ones((20, 25), bool), 20, 5), RED, 8.0, rising=True)
    np.testing.assert_array_equal(whole, parts)
    assert 0.15 < (whole[5:25, 5:45, 0] > 100).mean() < 0.4


def test_a_trail_fades_towards_its_old_end_and_skips_gaps():
    image = _black()
    trail(image, [(5, 10), (20, 10), None, (40, 10), (55, 10)], RED, 2)
    assert image[10, 48, 0] > image[10, 12, 0] > 0
    assert (image[:, 25:36] == 0).all()


@pytest.mark.parametrize("points", [[], [(3, 3)], [None, None], [(-90, -90), (-80, -95)], [(500, 5), (700, 9)]])
def test_trails_too_short_or_outside_draw_nothing(points):
    image = _black()
    trail(image, points, RED, 2)
    assert (image == 0).all()
