"""The boundary of masks, and the IoU that looks at it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pycocotools import mask as mask_api
from scipy.ndimage import binary_erosion

from eval.boundary import boundaries, boundary_ious, boundary_width
from eval.image_ap import ImageObject, image_ap
from eval.rle import Rle, ious


def encode(pixels: NDArray) -> Rle:
    rle = mask_api.encode(np.asfortranarray(pixels.astype(np.uint8)))
    return {"size": list(pixels.shape), "counts": rle["counts"].decode()}


def drawn(art: str) -> NDArray[np.bool_]:
    return np.array([[c == "#" for c in line.strip()] for line in art.strip().splitlines()])


def rectangle(top: int, left: int, bottom: int, right: int, size: int = 200) -> Rle:
    pixels = np.zeros((size, size), bool)
    pixels[top:bottom, left:right] = True
    return encode(pixels)


def test_what_is_inside_is_no_boundary_and_the_edge_of_the_image_is() -> None:
    mask = drawn(
        """
        ......
        .####.
        .#####
        .#####
        .#####
        """
    )
    expected = drawn(
        """
        ......
        .####.
        .#..##
        .#...#
        .#####
        """
    )
    assert boundary_width(*mask.shape) == 1
    np.testing.assert_array_equal(mask_api.decode(boundaries([encode(mask)])[0]), expected)


@pytest.mark.parametrize(
    ("height", "width", "pixels"), [(480, 640, 16), (427, 640, 15), (1080, 1920, 44), (4, 4, 1), (30, 40, 1)]
)
def test_the_boundary_is_as_wide_as_two_percent_of_the_diagonal(height: int, width: int, pixels: int) -> None:
    assert boundary_width(height, width) == pixels


@settings(max_examples=120, deadline=None)
@given(
    height=st.integers(1, 130),
    width=st.integers(1, 130),
    seed=st.integers(0, 2**32 - 1),
    rectangles=st.integers(0, 5),
    noise=st.sampled_from([0.0, 0.02, 1.0]),
)
def test_boundaries_are_those_of_step_by_step_erosion(
    height: int, width: int, seed: int, rectangles: int, noise: float
) -> None:
    rng = np.random.default_rng(seed)
    pixels = rng.random((height, width)) < noise
    for _ in range(rectangles):
        top, left = int(rng.integers(height)), int(rng.integers(width))
        pixels[top : top + int(rng.integers(1, height + 1)), left : left + int(rng.integers(1, width + 1))] ^= True
    steps = max(1, round(0.02 * float(np.hypot(height, width))))
    inner = binary_erosion(np.pad(pixels, 1), np.ones((3, 3)), iterations=steps)[1:-1, 1:-1]
    assert boundaries([encode(pixels)]) == [encode(pixels & ~inner)]


def test_masks_of_several_sizes_are_hollowed_at_once() -> None:
    masks = [rectangle(0, 0, 90, 90, 100), rectangle(10, 10, 190, 190), rectangle(5, 5, 6, 6), rectangle(0, 0, 0, 0)]
    assert boundaries(masks) == [boundaries([mask])[0] for mask in masks]
    assert boundaries(masks)[2:] == masks[2:], "thin and empty masks are all boundary"


def test_the_lower_of_both_ious_counts_but_for_crowds() -> None:
    # 200 x 200: the boundary is 6 wide. A square of 100 against one that is 4 smaller on every side.
    large, small = rectangle(50, 50, 150, 150), rectangle(54, 54, 146, 146)
    of_masks = 92**2 / 100**2
    ring, inner_ring = 100**2 - 88**2, 92**2 - 80**2
    shared = 92**2 - 88**2
    of_boundaries = shared / (ring + inner_ring - shared)
    assert of_boundaries < of_masks
    assert boundary_ious([small], [large])[0, 0] == of_boundaries
    assert boundary_ious([small], [large, large], [False, True]).tolist() == [[of_boundaries, 1.0]]
    # Thin objects: all boundary, so the masks decide.
    thin, shifted = rectangle(10, 10, 16, 100), rectangle(12, 10, 18, 100)
    assert boundary_ious([thin], [shifted])[0, 0] == ious([thin], [shifted])[0, 0] == 0.5


def test_masks_that_share_nothing_and_no_masks_have_no_iou() -> None:
    one, other = rectangle(0, 0, 50, 50), rectangle(100, 100, 150, 150)
    assert boundary_ious([one], [other]).tolist() == [[0.0]]
    assert boundary_ious([], [other]).shape == (0, 1)
    assert boundary_ious([one], []).shape == (1, 0)


def test_masks_of_different_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="must have one size"):
        boundary_ious([rectangle(0, 0, 5, 5)], [rectangle(0, 0, 5, 5, 100)])


def test_boundary_ap_falls_where_the_contour_of_a_large_object_is_off() -> None:
    def at(mask: Rle) -> list[ImageObject]:
        return [ImageObject(image_id=1, category_id=1, mask=mask)]

    truth, found = at(rectangle(50, 50, 150, 150)), at(rectangle(54, 54, 146, 146))
    assert image_ap(truth, truth, "boundary").ap == pytest.approx(1)
    assert image_ap(truth, found, "segm").ap50 == pytest.approx(1)
    assert image_ap(truth, found, "boundary").ap50 == 0
