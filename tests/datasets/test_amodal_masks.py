"""The container of visible, amodal and occluder masks: nothing goes out of step in mmdet's transforms."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import pickle
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.registry import TRANSFORMS
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

from vos_occ.datasets import amodal  # noqa: F401  (registers the transforms)
from vos_occ.datasets.amodal_masks import AmodalMasks, Scene
from vos_occ.structures.errors import InputError

HEIGHT, WIDTH, COUNT = 48, 64, 8


def painted(seed: int) -> dict[str, Any]:
    """Eight rectangles, later ones in front, whose truth is painted into the image.

    Channel 0 holds the id of the visible object, bit i of channel 1 the amodal mask of object i, bit i of channel 2 its
    occluder: transforms of the image, with nearest interpolation, carry the truth through without any help of ours.
    """
    rng = np.random.default_rng(seed)
    amodal_masks = np.zeros((COUNT, HEIGHT, WIDTH), np.uint8)
    for mask in amodal_masks:
        y, x = rng.integers(0, (HEIGHT - 8, WIDTH - 8))
        mask[y : y + rng.integers(6, 24), x : x + rng.integers(6, 24)] = 1
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for number, mask in enumerate(amodal_masks, start=1):
        image[..., 0][mask > 0] = number
    visible = np.stack([image[..., 0] == number for number in range(1, COUNT + 1)]).astype(np.uint8)
    occluder = np.stack([amodal_masks[i + 1 :].any(0) for i in range(COUNT)]).astype(np.uint8)
    for bit in range(COUNT):
        image[..., 1] |= amodal_masks[bit] << bit
        image[..., 2] |= occluder[bit] << bit
    ids = 100 + rng.permutation(COUNT)
    in_front = rng.integers(-1, 2, (COUNT, COUNT)).astype(np.int8)  # any will do, if it stays in step
    scene = Scene(ids, in_front, np.full(COUNT, np.nan, np.float32))
    masks = AmodalMasks({"visible": visible, "amodal": amodal_masks, "occluder": occluder}, "amodal", scene)
    return {
        "img": image,
        "img_shape": (HEIGHT, WIDTH),
        "ori_shape": (HEIGHT, WIDTH),
        "gt_bboxes": masks.get_bboxes("hbox"),
        "gt_bboxes_labels": np.arange(COUNT),  # the label is the place in the scene
        "gt_ignore_flags": rng.random(COUNT) < 0.2,
        "gt_masks": masks,
    }


PIPELINE = [
    {"type": "RandomFlip", "prob": 0.9, "direction": ["horizontal", "vertical", "diagonal"]},
    {"type": "RandomCrop", "crop_size": (20, 30), "crop_type": "absolute_range", "recompute_bbox": True},
    {"type": "FilterAnnotations", "min_gt_bbox_wh": (2, 2), "by_mask": True, "min_gt_mask_area": 12},
    {"type": "Pad", "size_divisor": 32},
    {"type": "PackAmodalInputs"},
]


def transforms(*configs: dict[str, Any]) -> list[Any]:
    with DefaultScope.overwrite_default_scope("mmdet"):
        return [TRANSFORMS.build(config) for config in configs]


def run(pipeline: list[Any], results: dict[str, Any] | None) -> dict[str, Any] | None:
    for transform in pipeline:
        results = None if results is None else transform(results)
    return results


def assert_in_step(packed: dict[str, Any], scene: Scene) -> list[InstanceData]:
    """What was packed equals what the image carries, of real and of ignored objects, which are answered."""
    image, sample = packed["inputs"].numpy(), packed["data_samples"]
    for instances in (sample.gt_instances, sample.ignored_instances):
        places = instances.labels.numpy()
        masks: AmodalMasks = instances.masks
        visible = image[0] == places[:, None, None] + 1
        whole, occluder = (image[c] >> places[:, None, None].astype(np.uint8) & 1 for c in (1, 2))
        np.testing.assert_array_equal(masks.planes["visible"], visible)
        np.testing.assert_array_equal(masks.masks, whole)
        np.testing.assert_array_equal(masks.planes["occluder"], occluder)
        np.testing.assert_array_equal(instances.occluders.masks, occluder)
        np.testing.assert_array_equal(instances.instances_ids, scene.ids[places])
        np.testing.assert_array_equal(instances.in_front, scene.in_front[places][:, places])
        with np.errstate(invalid="ignore"):  # nothing of an object is left: nan
            hidden = 1 - visible.sum((1, 2)) / whole.sum((1, 2))
        np.testing.assert_allclose(instances.hidden, hidden, atol=1e-6)
    return [sample.gt_instances, sample.ignored_instances]


@contextmanager
def temporary_seed(seed: int) -> Iterator[None]:
    """mmdet's transforms draw from the global generators."""
    before = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])


@pytest.mark.parametrize("keep_ratio", [True, False])
def test_masks_ids_rates_and_order_equal_what_the_image_carries(keep_ratio: bool) -> None:
    resize = {"type": "Resize", "scale": (90, 70), "keep_ratio": keep_ratio, "interpolation": "nearest"}
    pipeline, kept = transforms(resize, *PIPELINE), []
    for seed in range(30):
        np.random.seed(seed)
        before = painted(seed)
        scene = before["gt_masks"].scene
        if (packed := run(pipeline, before)) is None:
            continue
        for instances in assert_in_step(packed, scene):
            whole, places = instances.masks.masks, instances.labels
            for box, mask in zip(instances.bboxes.tensor, whole, strict=True):
                rows, columns = np.nonzero(mask)
                assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            kept.append(len(places))
    assert 0 < min(filter(None, kept)) < COUNT, "some objects must have been dropped"
    assert sum(kept) > 60


SIDES = st.integers(16, 96)
STEPS = st.one_of(
    st.builds(
        lambda scale, keep: {"type": "Resize", "scale": scale, "keep_ratio": keep, "interpolation": "nearest"},
        st.tuples(SIDES, SIDES),
        st.booleans(),
    ),
    st.sampled_from(["horizontal", "vertical", "diagonal"]).map(
        lambda direction: {"type": "RandomFlip", "prob": 1.0, "direction": direction}
    ),
    st.builds(
        lambda size, boxes, empty: {
            "type": "RandomCrop",
            "crop_size": size,
            "recompute_bbox": boxes,
            "bbox_clip_border": boxes,
            "allow_negative_crop": empty,
        },
        st.tuples(SIDES, SIDES),
        st.booleans(),
        st.booleans(),
    ),
    st.builds(
        lambda side, area, keep: {
            "type": "FilterAnnotations",
            "min_gt_bbox_wh": (side, side),
            "by_mask": True,
            "min_gt_mask_area": area,
            "keep_empty": keep,
        },
        st.integers(1, 8),
        st.integers(1, 60),
        st.booleans(),
    ),
    st.sampled_from([{"type": "Pad", "size_divisor": 32}, {"type": "Expand", "mean": (0, 0, 0), "prob": 1.0}]),
)


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), steps=st.lists(STEPS, min_size=1, max_size=6))
def test_any_order_of_flips_crops_resizes_and_filters_keeps_all_in_step(seed: int, steps: list[dict[str, Any]]) -> None:
    with temporary_seed(seed):
        before = painted(seed)
        scene = before["gt_masks"].scene
        packed = run(transforms(*steps, {"type": "PackAmodalInputs"}), before)
    if packed is not None:
        assert_in_step(packed, scene)


def test_cut_instances_keep_the_order_of_the_ones_that_are_left() -> None:
    masks = painted(0)["gt_masks"]
    instances = InstanceData(masks=masks, labels=torch.arange(COUNT))
    for index in (torch.tensor([5, 2, 7]), torch.arange(COUNT) % 3 == 0, np.array([4])):
        chosen = instances[index]
        places = chosen.labels.numpy()
        np.testing.assert_array_equal(chosen.masks.in_front, masks.scene.in_front[np.ix_(places, places)])
        np.testing.assert_array_equal(chosen.masks.planes["visible"], masks.planes["visible"][places])
        assert chosen.masks.scene is masks.scene
    none = instances[torch.zeros(COUNT, dtype=torch.bool)].masks
    assert (len(none), none.in_front.shape, none.hidden.shape) == (0, (0, 0), (0,))


def test_between_objects_of_two_images_the_order_is_unknown() -> None:
    first, second = painted(1)["gt_masks"][[3, 4]], painted(2)["gt_masks"][[0]]
    joined = AmodalMasks.cat([first, second, first[1]])
    assert joined.ids.tolist() == [*first.ids, *second.ids, first.ids[1]]
    np.testing.assert_array_equal(joined.in_front[:2, :2], first.in_front)
    assert (joined.in_front[2, [0, 1, 3]] == -1).all() and (joined.in_front[[0, 1, 3], 2] == -1).all()
    assert joined.in_front[3, 0] == first.in_front[1, 0], "an object that is there twice is where it was"


@pytest.mark.parametrize("size", [(96, 128), (24, 32)])
def test_every_geometry_does_to_each_extent_what_bitmap_masks_do(size: tuple[int, int]) -> None:
    masks = painted(3)["gt_masks"]
    moves = [
        ("rescale", (size[::-1],)),
        ("resize", (size,)),
        ("flip", ("diagonal",)),
        ("crop", (np.array([5, 7, 40, 30]),)),
        ("expand", (100, 120, 3, 5)),
        ("pad", ((100, 130),)),
        ("translate", (size, 4)),
    ]
    for name, arguments in moves:
        moved = getattr(masks, name)(*arguments)
        for extent in masks.planes:
            expected = getattr(masks.bitmaps(extent), name)(*arguments)
            np.testing.assert_array_equal(moved.planes[extent], expected.masks, err_msg=f"{name} {extent}")
        assert moved.masks is moved.planes["amodal"]
        assert (moved.height, moved.width) == moved.masks.shape[1:]


@pytest.mark.parametrize("move", ["shear", "rotate"])
def test_shear_and_rotation_move_all_extents(move: str) -> None:
    masks = painted(3)["gt_masks"][:3]
    moved = getattr(masks, move)((HEIGHT, WIDTH), 0.2 if move == "shear" else 20)
    for extent in masks.planes:
        expected = getattr(masks.bitmaps(extent), move)((HEIGHT, WIDTH), 0.2 if move == "shear" else 20)
        np.testing.assert_array_equal(moved.planes[extent], expected.masks)


def test_visible_masks_alone_state_their_hidden_fractions() -> None:
    scene = Scene(np.array([7, 8]), np.full((2, 2), -1, np.int8), np.array([0.25, np.nan], np.float32))
    masks = AmodalMasks({"visible": np.ones((2, 4, 5), np.uint8)}, "visible", scene)
    np.testing.assert_array_equal(masks[[1, 0]].hidden, [np.nan, 0.25])
    assert masks.bitmaps("occluder") is None


def test_nothing_in_the_image_has_no_hidden_fraction() -> None:
    masks = painted(0)["gt_masks"].crop(np.array([0, 0, 1, 1]))
    empty = ~masks.masks.any((1, 2))
    assert empty.any() and np.isnan(masks.hidden[empty]).all()


def test_a_container_survives_the_way_between_processes() -> None:
    masks = painted(4)["gt_masks"][2:5]
    again = pickle.loads(pickle.dumps(masks))
    np.testing.assert_array_equal(again.in_front, masks.in_front)
    assert again.masks is again.planes["amodal"] or np.array_equal(again.masks, again.planes["amodal"])


def test_masks_that_do_not_fit_are_refused() -> None:
    scene = Scene(np.arange(2), np.zeros((2, 2), np.int8), np.zeros(2, np.float32))
    plane = np.zeros((2, 4, 5), np.uint8)
    with pytest.raises(ValueError, match="Expected amodal and other masks of one shape"):
        AmodalMasks({"visible": plane}, "amodal", scene)
    with pytest.raises(ValueError, match="for 2 objects"):
        AmodalMasks({"visible": plane, "amodal": plane[:1]}, "amodal", scene)
    with pytest.raises(ValueError, match="A scene of 2 objects cannot have"):
        Scene(np.arange(2), np.zeros((3, 3), np.int8), np.zeros(2, np.float32))
    with pytest.raises(ValueError, match="Only masks of the same extents"):
        both = AmodalMasks({"visible": plane, "amodal": plane}, "visible", scene)
        AmodalMasks.cat([both, AmodalMasks({"visible": plane}, "visible", scene)])


def test_a_transform_that_makes_masks_of_its_own_is_named() -> None:
    results = painted(0)
    results["gt_masks"] = results["gt_masks"].bitmaps("visible")
    (pack,) = transforms({"type": "PackAmodalInputs"})
    with pytest.raises(InputError, match="gt_masks became BitmapMasks on the way"):
        pack(results)


def test_a_transform_that_forgets_masks_is_noticed() -> None:
    (pack,) = transforms({"type": "PackAmodalInputs"})
    dropped = painted(0)
    dropped["gt_bboxes"] = dropped["gt_bboxes"][:5]
    with pytest.raises(InputError, match=r"There are 5 boxes in an image of 64x48, but AmodalMasks\(8 amodal"):
        pack(dropped)
    grown = painted(0)
    grown["img"] = np.zeros((96, 128, 3), np.uint8)
    with pytest.raises(InputError, match="in an image of 128x96"):
        pack(grown)
