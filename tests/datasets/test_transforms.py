from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
import torch

from vos_occ.datasets.sample import Sample
from vos_occ.datasets.transforms import ColorJitter, DropSmall, RandomFlip, RandomScaleCrop

Transform = Callable[[Sample, np.random.Generator], Sample]

TALL = """
    .#......
    .#......
    .##.....
    .##.....
    ........
    ........
"""
SQUARE = """
    ........
    ........
    ...###..
    ...###..
    ...###..
    ........
"""
CORNER = """
    ........
    ........
    ........
    ........
    .......#
    ......##
"""
ORDER = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]], np.int8)
ALL = {
    "flip": RandomFlip(),
    "scale and crop": RandomScaleCrop((40, 64), scale=(0.5, 2.5)),
    "colour": ColorJitter(),
    "drop small": DropSmall(min_area=50, min_side=3),
}


@pytest.fixture
def scene(sample) -> Sample:
    """48 x 64 pixels; the first instance hides part of the second, that one part of the third."""
    hidden = np.float32([0, 0.5, np.nan])
    return sample(TALL, SQUARE, CORNER, scale=8, labels=np.array([3, 4, 5]), hidden=hidden, in_front=ORDER)


def assert_equal(a: Sample, b: Sample) -> None:
    for name in ("image", "masks", "labels", "instance_ids", "hidden", "in_front", "crowd"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


@pytest.mark.parametrize("transform", ALL.values(), ids=ALL.keys())
@pytest.mark.parametrize("seed", range(8))
def test_what_is_known_of_an_instance_stays_with_it(scene: Sample, transform: Transform, seed: int) -> None:
    result = transform(scene, np.random.default_rng(seed))
    index = [scene.instance_ids.tolist().index(i) for i in result.instance_ids]
    np.testing.assert_array_equal(result.labels, scene.labels[index])
    np.testing.assert_array_equal(result.hidden, scene.hidden[index])
    np.testing.assert_array_equal(result.in_front, scene.in_front[np.ix_(index, index)])


@pytest.mark.parametrize("transform", ALL.values(), ids=ALL.keys())
def test_the_generator_decides_everything(scene: Sample, transform: Transform) -> None:
    assert_equal(transform(scene, np.random.default_rng(3)), transform(scene, np.random.default_rng(3)))


@pytest.mark.parametrize("transform", ALL.values(), ids=ALL.keys())
def test_the_global_generators_are_left_alone(scene: Sample, transform: Transform) -> None:
    numpy_state, torch_state = np.random.get_state()[1].copy(), torch.get_rng_state()
    transform(scene, np.random.default_rng(0))
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)
    assert torch.equal(torch.get_rng_state(), torch_state)


@pytest.mark.parametrize("transform", ALL.values(), ids=ALL.keys())
def test_the_sample_that_came_in_is_unchanged(scene: Sample, transform: Transform) -> None:
    image, masks = scene.image.copy(), scene.masks.copy()
    transform(scene, np.random.default_rng(1))
    np.testing.assert_array_equal(scene.image, image)
    np.testing.assert_array_equal(scene.masks, masks)


@pytest.mark.parametrize("transform", ALL.values(), ids=ALL.keys())
def test_an_image_without_instances_passes(scene: Sample, transform: Transform) -> None:
    nobody = transform(scene.select(np.zeros(3, bool)), np.random.default_rng(0))
    assert nobody.masks.shape == (0, *nobody.image.shape[:2])


@pytest.mark.parametrize("transform", ALL.values(), ids=ALL.keys())
def test_results_can_become_tensors(scene: Sample, transform: Transform) -> None:
    result = transform(scene, np.random.default_rng(2))
    assert torch.from_numpy(result.masks).dtype == torch.uint8
    assert torch.from_numpy(result.image).dtype == torch.uint8


def test_flip_mirrors_image_and_masks_alike(scene: Sample) -> None:
    flipped = RandomFlip(prob=1)(scene, np.random.default_rng(0))
    np.testing.assert_array_equal(flipped.image, scene.image[:, ::-1])
    x0, y0, x1, y1 = scene.boxes().T
    np.testing.assert_array_equal(flipped.boxes(), np.stack([64 - x1, y0, 64 - x0, y1], 1))


def test_flip_with_probability_zero_does_nothing(scene: Sample) -> None:
    assert RandomFlip(prob=0)(scene, np.random.default_rng(0)) is scene


@pytest.mark.parametrize("size", [(48, 64), (96, 128), (100, 64), (30, 90)], ids=str)
def test_crop_has_the_size_asked_for(scene: Sample, size: tuple[int, int]) -> None:
    for seed in range(5):
        result = RandomScaleCrop(size, scale=(0.3, 3))(scene, np.random.default_rng(seed))
        assert result.image.shape == (*size, 3)
        assert result.masks.shape == (len(result), *size)


def test_scale_one_at_the_image_size_changes_nothing(scene: Sample) -> None:
    assert_equal(RandomScaleCrop((48, 64))(scene, np.random.default_rng(0)), scene)


def test_masks_move_with_the_pixels_that_they_cover(sample) -> None:
    scene = sample(TALL, SQUARE, CORNER, scale=8)
    painted = (scene.masks * np.array([60, 120, 180], np.uint8)[:, None, None]).max(0)
    scene.image[:] = painted[..., None]
    for seed in range(10):
        result = RandomScaleCrop((48, 64), scale=(0.6, 2.0), fill=0)(scene, np.random.default_rng(seed))
        for grey, mask in zip(60 * result.instance_ids, result.masks, strict=True):
            inside = cv2.erode(mask, np.ones((3, 3))) == 1  # edges are blended
            assert not inside.any() or np.abs(result.image[inside].astype(int) - grey).mean() < 10


def test_masks_that_were_apart_stay_apart(scene: Sample) -> None:
    for seed in range(10):
        result = RandomScaleCrop((31, 47), scale=(0.3, 2.0))(scene, np.random.default_rng(seed))
        assert result.masks.sum(0).max() <= 1


def test_an_instance_that_the_crop_cuts_off_vanishes_from_the_order_too(scene: Sample) -> None:
    crop = RandomScaleCrop((24, 32), scale=(2.0, 2.0), min_kept=0.5)  # a quarter of the image at its own size
    found = {tuple(crop(scene, np.random.default_rng(seed)).instance_ids.tolist()) for seed in range(40)}
    assert (1, 2, 3) not in found
    assert any(0 < len(ids) < 3 for ids in found)


def test_an_instance_is_kept_by_its_share_in_the_crop(sample) -> None:
    wide = sample("########\n########", scale=8)  # 16 x 64; a crop of 16 x 32 keeps half of it
    for min_kept, kept in ((0.5, 1), (0.51, 0)):
        crop = RandomScaleCrop((16, 32), scale=(2.0, 2.0), min_kept=min_kept)
        assert len(crop(wide, np.random.default_rng(0))) == kept


def test_padding_is_grey_and_belongs_to_nobody(sample) -> None:
    full = sample("##\n##", scale=8)
    result = RandomScaleCrop((16, 32))(full, np.random.default_rng(0))
    outside = result.masks[0] == 0
    assert outside.sum() == 16 * 16
    assert (result.image[outside] == 114).all()


def test_colour_jitter_of_strength_zero_without_blur_does_nothing(scene: Sample) -> None:
    result = ColorJitter(strength=0, blur_prob=0)(scene, np.random.default_rng(0))
    np.testing.assert_allclose(result.image.astype(int), scene.image, atol=1)


def test_colour_jitter_changes_colours_and_nothing_else(scene: Sample) -> None:
    result = ColorJitter()(scene, np.random.default_rng(0))
    assert (result.image != scene.image).mean() > 0.5
    np.testing.assert_array_equal(result.masks, scene.masks)


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"min_area": 1, "min_side": 1}, [1, 2, 3]),
        ({"min_area": 6 * 64, "min_side": 1}, [1, 2]),
        ({"min_area": 6 * 64 + 1, "min_side": 1}, [2]),
        ({"min_area": 1, "min_side": 17}, [2]),
    ],
    ids=["no limit", "area reached", "area missed", "short side missed"],
)
def test_small_instances_are_dropped(scene: Sample, options: dict[str, int], kept: list[int]) -> None:
    assert DropSmall(**options)(scene, np.random.default_rng(0)).instance_ids.tolist() == kept
