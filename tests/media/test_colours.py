from __future__ import annotations

import itertools

import numpy as np

from vos_occ.media import track_colour


def test_a_track_keeps_its_colour():
    before = [track_colour(i) for i in range(1, 50)]
    track_colour.cache_clear()
    assert [track_colour(i) for i in range(1, 50)] == before


def test_ids_on_screen_together_look_different():
    for first, second in itertools.combinations(range(1, 200), 2):
        distance = np.linalg.norm(np.subtract(track_colour(first), track_colour(second)))
        if second - first <= 7:
            assert distance > 45, (first, second)


def test_every_colour_reads_on_a_dark_ground():
    for track_id in range(1, 200):
        red, green, blue = (channel / 255 for channel in track_colour(track_id))
        assert 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2 > 0.18, track_id
