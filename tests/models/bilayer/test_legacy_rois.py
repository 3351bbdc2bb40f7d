"""RoIs of mmdet's first version end one pixel behind their box."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import math

import pytest
import torch
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor

from vos_occ.models.bilayer import OccLegacyRoIExtractor

OPTIONS = {
    "roi_layer": {"type": "RoIAlign", "output_size": 4, "sampling_ratio": 2, "aligned": False},
    "out_channels": 2,
    "featmap_strides": [4, 8],
}


def ramps() -> tuple[torch.Tensor, ...]:
    """Two levels whose channels say x and y, in cells."""
    return tuple(
        torch.stack(torch.meshgrid(torch.arange(size).float(), torch.arange(size).float(), indexing="xy"))[None]
        for size in (64, 32)
    )


@pytest.mark.parametrize("size, stride", [(16, 4), (112, 8)], ids=["fine level", "coarse level"])
def test_a_box_covers_its_last_pixel(size: int, stride: int) -> None:
    """Of 112 pixels, which make the coarse level, 111 are what x2 - x1 says."""
    rois = torch.tensor([[0.0, 20, 40, 20 + size - 1, 40 + size - 1]])
    found = OccLegacyRoIExtractor(**OPTIONS)(ramps(), rois)[0]
    centres = (torch.arange(4) + 0.5) * size / stride / 4
    torch.testing.assert_close(found[0, 0], 20 / stride + centres)
    torch.testing.assert_close(found[1, :, 0], 40 / stride + centres)


def test_todays_extractor_reads_a_smaller_part() -> None:
    rois = torch.tensor([[0.0, 20, 40, 35, 55]])
    today, legacy = (kind(**OPTIONS)(ramps(), rois)[0, 0, 0] for kind in (SingleRoIExtractor, OccLegacyRoIExtractor))
    assert math.isclose((today[-1] - today[0]) / (legacy[-1] - legacy[0]), 15 / 16, rel_tol=1e-5)
    assert rois[0, 3] == 35, "the caller's boxes stay as they are"
