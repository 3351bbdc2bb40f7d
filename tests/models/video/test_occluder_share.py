"""What nothing hides is not hidden."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from vos_occ.inference.session import VideoSession
from vos_occ.models.video.roi_model import occluder_shares
from vos_occ.structures import rle


def test_share_is_of_the_box_and_zero_without_an_occluder() -> None:
    mask = np.zeros((10, 10), bool)
    mask[:5, :4] = True
    boxes = np.array([[0, 0, 8, 10], [0, 0, 8, 10]], np.float32)
    assert occluder_shares([rle.encode(mask), None], boxes) == pytest.approx([0.25, 0.0])


def test_hidden_is_zero_where_the_occluder_covers_too_little(
    build_tiny_model: Callable, tiny_frames: list[np.ndarray]
) -> None:
    (plain,) = VideoSession(build_tiny_model({"memory.confirm_after": 1})).step(tiny_frames[0])
    changes = {"memory.confirm_after": 1, "occlusion.min_occluder_share": 2.0}  # more than any occluder can cover
    (gated,) = VideoSession(build_tiny_model(changes)).step(tiny_frames[0])
    assert len(plain) and (plain.hidden > 0).all()
    assert (gated.hidden == 0).all()
    assert gated.track_ids.tolist() == plain.track_ids.tolist()
