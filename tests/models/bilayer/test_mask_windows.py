"""Masks through RoIs: cell for cell what RoIAlign over the whole masks says, for any box."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import numpy as np
import pytest
import torch
from mmcv.ops import roi_align
from mmdet.structures.mask import BitmapMasks
from torch import Tensor

from vos_occ.models.bilayer import mask_windows
from vos_occ.models.bilayer.mask_windows import MaskWindows

HEIGHT, WIDTH, OBJECTS = 53, 70, 4


def blobs(seed: int) -> BitmapMasks:
    """Masks with holes, islands, parts at the border; the last one is empty."""
    generator = np.random.default_rng(seed)
    coarse = generator.random((OBJECTS, HEIGHT // 4 + 1, WIDTH // 4 + 1)) < 0.6
    masks = coarse.repeat(4, axis=1).repeat(4, axis=2)[:, :HEIGHT, :WIDTH]
    masks ^= generator.random(masks.shape) < 0.05
    masks[-1] = False
    return BitmapMasks(masks.astype(np.uint8), HEIGHT, WIDTH)


def restated(masks: BitmapMasks, boxes: Tensor, owners: Tensor, seen: np.ndarray, size: int) -> Tensor:
    """RoIAlign of whole float images, one pair of RoI and mask at a time."""
    images = torch.from_numpy(masks.masks).float()[:, None]
    covered = torch.zeros(len(boxes), size, size, dtype=torch.bool)
    for i, (box, owner) in enumerate(zip(boxes, owners.tolist(), strict=True)):
        for k in np.flatnonzero(seen[:, owner]):
            roi = torch.cat([torch.tensor([float(k)]), box])[None]
            covered[i] |= roi_align(images, roi, (size, size), 1.0, 0, "avg", True)[0, 0] >= 0.5
    return covered


BOXES = {
    "inside": lambda g: (g.uniform(5, 30, 2), g.uniform(8, 20, 2)),
    "over the border": lambda g: (g.uniform(-12, 60, 2), g.uniform(10, 40, 2)),
    "outside": lambda g: (g.uniform(75, 90, 2), g.uniform(1, 20, 2)),
    "smaller than a pixel": lambda g: (g.uniform(0, 50, 2), g.uniform(0.01, 1, 2)),
    "larger than the image": lambda g: (g.uniform(-30, -5, 2), g.uniform(100, 130, 2)),
    "without area": lambda g: (g.uniform(0, 50, 2), np.zeros(2)),
    "inside out": lambda g: (g.uniform(20, 50, 2), -g.uniform(1, 9, 2)),
}


@pytest.mark.parametrize("kind", BOXES)
@pytest.mark.parametrize("size", [28, 7, 3])
def test_cells_are_roi_aligns(kind: str, size: int) -> None:
    generator = np.random.default_rng(size)
    masks, owners = blobs(size), torch.from_numpy(generator.integers(0, OBJECTS, 15))
    corners = [BOXES[kind](generator) for _ in owners]
    boxes = torch.from_numpy(np.array([[*low, *(low + side)] for low, side in corners])).float()
    seen = generator.random((OBJECTS, OBJECTS)) < 0.6
    found = MaskWindows(boxes, owners, (HEIGHT, WIDTH), size).union(masks, seen)
    expected = restated(masks, boxes, owners, seen, size)
    assert torch.equal(found, expected)
    assert expected.any() == (kind not in ("outside", "without area", "inside out"))


def test_boxes_of_all_kinds_do_not_disturb_each_other() -> None:
    generator = np.random.default_rng(0)
    corners = [make(generator) for make in BOXES.values() for _ in range(3)]
    boxes = torch.from_numpy(np.array([[*low, *(low + side)] for low, side in corners])).float()
    boxes = torch.cat([boxes, torch.tensor([[0, 0, torch.inf, 20], [torch.nan, 0, 30, 20]])])
    owners, seen = torch.zeros(len(boxes)).long(), np.ones((OBJECTS, 1), bool)
    found = MaskWindows(boxes, owners, (HEIGHT, WIDTH), 28).union(blobs(0), seen)
    assert torch.equal(found[:-2], restated(blobs(0), boxes[:-2], owners[:-2], seen, 28))
    assert not found[-2:].any(), "boxes that are not finite show nothing"


@pytest.mark.parametrize("bands", [1, 3, 50])
def test_number_of_bands_changes_nothing(bands: int, monkeypatch: pytest.MonkeyPatch) -> None:
    boxes, owners = torch.tensor([[3.3, 4.1, 60.2, 47.7], [1.0, 2.0, 9.0, 8.5]]), torch.tensor([0, 0])
    seen = np.ones((OBJECTS, OBJECTS), bool)
    expected = MaskWindows(boxes, owners, (HEIGHT, WIDTH), 28).union(blobs(1), seen)
    monkeypatch.setattr(mask_windows, "BANDS", bands)
    assert torch.equal(MaskWindows(boxes, owners, (HEIGHT, WIDTH), 28).union(blobs(1), seen), expected)


@pytest.mark.parametrize("dtype", [bool, np.int64])
def test_bitmaps_of_other_types_are_seen_alike(dtype: type) -> None:
    masks = blobs(2)
    boxes, owners, seen = torch.tensor([[3.3, 4.1, 60.2, 47.7]]), torch.tensor([1]), np.eye(OBJECTS, dtype=bool)
    windows = MaskWindows(boxes, owners, (HEIGHT, WIDTH), 28)
    other = BitmapMasks(masks.masks.astype(dtype), HEIGHT, WIDTH)
    assert torch.equal(windows.union(other, seen), windows.union(masks, seen))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_rois_on_a_gpu_are_answered_there() -> None:
    boxes, owners, seen = torch.tensor([[3.3, 4.1, 60.2, 47.7]]), torch.tensor([1]), np.eye(OBJECTS, dtype=bool)
    found = MaskWindows(boxes.cuda(), owners.cuda(), (HEIGHT, WIDTH), 28).union(blobs(3), seen)
    assert found.is_cuda and torch.equal(found.cpu(), restated(blobs(3), boxes, owners, seen, 28))
