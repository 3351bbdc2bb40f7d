"""Online targets against a literal re-statement of the released script's rules (docs/sources.md, BCNet 3)."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import numpy as np
import pytest
import torch
from mmdet.structures.mask import BitmapMasks, PolygonMasks, mask_target
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from scipy import ndimage
from torch import Tensor

from vos_occ.datasets.amodal_masks import AmodalMasks, Scene
from vos_occ.models.bilayer.targets import BilayerTargetBuilder, BilayerTargets, neighbours
from vos_occ.models.layers.boundary import mask_boundary
from vos_occ.structures.errors import InputError

HEIGHT, WIDTH = 60, 80


def rectangles(*boxes: tuple[int, int, int, int]) -> InstanceData:
    """Objects that fill their boxes, (x1, y1, x2, y2), end-exclusive."""
    masks = np.zeros((len(boxes), HEIGHT, WIDTH), dtype=np.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
        mask[y1:y2, x1:x2] = 1
    return InstanceData(
        bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4), masks=BitmapMasks(masks, HEIGHT, WIDTH)
    )


def random_scene(seed: int, count: int = 6) -> InstanceData:
    """Overlapping ellipses; the later ones are nearer, and masks are what is visible of each."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    visible = np.zeros((count, HEIGHT, WIDTH), dtype=np.uint8)
    for k in range(count):
        cx, cy, rx, ry = rng.uniform((10, 10, 6, 6), (WIDTH - 10, HEIGHT - 10, 25, 20))
        shape = ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 < 1
        visible[:k][:, shape] = 0
        visible[k] = shape
    visible = visible[visible.sum(axis=(1, 2)) > 20]  # a speck of one pixel has no shape at 28 x 28
    boxes = [(xs.min(), ys.min(), xs.max() + 1, ys.max() + 1) for ys, xs in map(np.nonzero, visible)]
    order = np.tril(np.ones((len(visible), len(visible)), dtype=np.int8), -1)
    return InstanceData(
        bboxes=torch.tensor(np.array(boxes), dtype=torch.float32),
        masks=BitmapMasks(visible, HEIGHT, WIDTH),
        in_front=torch.from_numpy(order),
        hidden=torch.from_numpy(rng.random(len(visible), dtype=np.float32)),
    )


def build(gt: InstanceData, boxes: Tensor | None = None, indices: list[int] | None = None, scale=1.0, **options):
    """Targets of RoIs in one image; the ground-truth boxes themselves by default."""
    boxes = gt.bboxes if boxes is None else boxes
    rois = torch.arange(len(boxes)) if indices is None else torch.tensor(indices)
    return BilayerTargetBuilder(**options)([boxes], [rois], [gt], [(scale, scale)])


def occluded(gt: InstanceData, **options) -> list[bool]:
    """Of each object of an image: does it have an occluder?"""
    return build(gt, **options).occluded.tolist()


def iou_plus_one(a: list[float], b: list[float]) -> float:
    """Box IoU whose sides are x2 - x1 + 1."""
    width = min(a[2], b[2]) - max(a[0], b[0]) + 1
    height = min(a[3], b[3]) - max(a[1], b[1]) + 1
    if width <= 0 or height <= 0:
        return 0.0
    area_a, area_b = ((c[2] - c[0] + 1) * (c[3] - c[1] + 1) for c in (a, b))
    return width * height / (area_a + area_b - width * height)


def restated_occluder(gt: InstanceData, rois: Tensor, targets: list[int], in_front: bool) -> np.ndarray:
    """The occluder targets of some RoIs, one object and one pixel rule at a time."""
    boxes, masks, result = gt.bboxes.tolist(), gt.masks.masks, []
    for roi, j in zip(rois.numpy(), targets, strict=True):
        chosen = [k for k in range(len(boxes)) if k != j and iou_plus_one(boxes[j], boxes[k]) > 0.05]
        if in_front:
            chosen = [k for k in chosen if gt.in_front[k, j] == 1]
        x1, y1, x2, y2 = map(int, boxes[j])
        union = np.zeros((HEIGHT, WIDTH), dtype=bool)
        for k in chosen:
            union[y1:y2, x1:x2] |= masks[k, y1:y2, x1:x2] > 0
        occluder = np.zeros((28, 28), dtype=bool)
        for k in chosen if union.sum() > 20 else []:
            occluder |= gt.masks.crop_and_resize(roi[None], (28, 28), np.array([k])).masks[0] > 0
        result.append(occluder)
    return np.stack(result)


def jittered(gt: InstanceData, seed: int, count: int = 24) -> tuple[Tensor, list[int]]:
    """RoIs around random objects, inside the image."""
    rng = np.random.default_rng(seed)
    indices = rng.integers(0, len(gt.bboxes), count)
    boxes = gt.bboxes[indices] + torch.from_numpy(rng.normal(0, 3, (count, 4)).astype(np.float32))
    return boxes.clamp(min=0).minimum(boxes.new_tensor([WIDTH, HEIGHT, WIDTH, HEIGHT])), indices.tolist()


@pytest.mark.parametrize("mode", ["all", "in_front"])
@pytest.mark.parametrize("seed", range(6))
def test_targets_equal_the_restated_rules(seed: int, mode: str) -> None:
    gt = random_scene(seed)
    rois, indices = jittered(gt, seed)
    targets = build(gt, rois, indices, occluder=mode)
    expected = restated_occluder(gt, rois, indices, in_front=mode == "in_front")
    assert expected.any()
    assert np.array_equal(targets.occluder_mask.numpy() != 0, expected)
    assert torch.equal(targets.occluder_boundary, mask_boundary(targets.occluder_mask))
    assert torch.equal(targets.occludee_boundary, mask_boundary(targets.occludee_mask))


def test_occludee_masks_equal_mmdets_targets() -> None:
    gt = random_scene(0)
    rois, indices = jittered(gt, 0)
    expected = mask_target([rois], [torch.tensor(indices)], [gt.masks], ConfigDict(mask_size=28))
    assert torch.equal(build(gt, rois, indices).occludee_mask, expected)


def test_targets_are_the_same_under_autocast() -> None:
    gt = random_scene(0)
    rois, indices = jittered(gt, 0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = build(gt, rois, indices)
    assert torch.equal(low.occluder_mask, build(gt, rois, indices).occluder_mask)


def test_two_overlapping_objects_occlude_each_other_by_contact() -> None:
    gt = rectangles((10, 10, 40, 40), (30, 10, 60, 40))
    targets = build(gt)
    columns = targets.occluder_mask.sum(dim=1) > 0  # (2, 28)
    assert columns[0].nonzero().flatten().tolist() == list(range(19, 28))  # x in [30, 40) of [10, 40)
    assert columns[1].nonzero().flatten().tolist() == list(range(0, 9))


def test_order_makes_only_the_nearer_object_an_occluder() -> None:
    gt = rectangles((10, 10, 40, 40), (30, 10, 60, 40))
    gt.in_front = torch.tensor([[0, 0], [1, 0]], dtype=torch.int8)
    assert occluded(gt, occluder="in_front") == [True, False]
    assert occluded(gt, occluder="all") == [True, True]


def test_occluder_is_the_union_of_all_neighbours() -> None:
    gt = rectangles((20, 20, 60, 50), (10, 20, 30, 50), (50, 20, 70, 50), (20, 40, 60, 58))
    together = build(gt, gt.bboxes[:1], [0]).occluder_mask
    alone = [build(gt[[0, k]], gt.bboxes[:1], [0]).occluder_mask for k in (1, 2, 3)]
    assert all(mask.any() for mask in alone)
    assert torch.equal(together, torch.stack(alone).amax(0))


def test_labels_do_not_matter_so_same_class_pairs_occlude() -> None:
    gt = rectangles((10, 10, 40, 40), (30, 10, 60, 40))
    gt.labels = torch.tensor([3, 3])
    assert occluded(gt) == [True, True]


def test_lone_and_distant_objects_have_no_occluder() -> None:
    assert occluded(rectangles((5, 5, 25, 25))) == [False]
    assert occluded(rectangles((5, 5, 25, 25), (40, 30, 70, 55))) == [False, False]


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ((90, 0, 189, 99), True),  # 10 / 190 = .0526, though .0476 without the + 1
        ((91, 0, 190, 99), False),  # 9 / 191 = .0471
        ((0, 0, 4, 99), False),  # 5 / 100: exactly .05 is not more than .05
        ((0, 0, 5, 99), True),
    ],
)
def test_neighbours_need_iou_above_five_percent_with_plus_one(other: tuple[int, ...], expected: bool) -> None:
    adjacent = neighbours(torch.tensor([(0, 0, 99, 99), other], dtype=torch.float32), 0.05)
    assert adjacent.tolist() == [[False, expected], [expected, False]]


@pytest.mark.parametrize(("rows", "expected"), [(4, False), (5, True)])
def test_occluder_needs_more_than_twenty_pixels(rows: int, expected: bool) -> None:
    gt = rectangles((10, 10, 40, 40), (35, 10, 65, 40))
    gt.masks.masks[1] = 0
    gt.masks.masks[1, 10 : 10 + rows, 35:40] = 1  # 5 columns inside the first box: 20 or 25 pixels
    assert occluded(gt)[0] == expected


def agree_but_for_contours(found: Tensor, expected: Tensor, cells: int = 1, share: float = 0.05) -> bool:
    """Cells differ only within `cells` of the expected contour, and no more than `share` of all do."""
    cross = ndimage.generate_binary_structure(2, 1)[None]
    near = ndimage.binary_dilation(mask_boundary(expected).numpy(), cross, iterations=cells)
    differ = found != expected
    return not differ[torch.from_numpy(~near)].any() and differ.float().mean() <= share


def enlarged(gt: InstanceData, factor: int) -> InstanceData:
    """The same objects in an image `factor` times as large."""
    masks = gt.masks.masks.repeat(factor, axis=1).repeat(factor, axis=2)
    return InstanceData(bboxes=gt.bboxes * factor, masks=BitmapMasks(masks, *masks.shape[1:]))


def test_twenty_pixels_are_counted_in_the_original_image() -> None:
    gt = rectangles((10, 10, 40, 40), (35, 10, 65, 40))
    gt.masks.masks[1] = 0
    gt.masks.masks[1, 10:14, 35:40] = 1
    assert occluded(enlarged(gt, 3), scale=3.0) == [False, True]
    assert occluded(enlarged(gt, 3)) == [True, True]  # as 180 pixels of an image that was never resized


@pytest.mark.parametrize("seed", range(3))
def test_enlarging_the_image_changes_targets_on_contours_only(seed: int) -> None:
    gt = random_scene(seed)
    small, large = build(gt), build(enlarged(gt, 2), scale=2.0)
    assert torch.equal(small.occluded, large.occluded)
    # bilinear sampling rounds the corners of a mask by half a pixel, which is 2 to 3 cells of the smallest objects
    assert agree_but_for_contours(large.occludee_mask, small.occludee_mask, cells=3, share=0.02)
    assert agree_but_for_contours(large.occluder_mask, small.occluder_mask, cells=3, share=0.02)


@pytest.mark.parametrize("seed", range(3))
def test_flipping_the_image_flips_the_targets(seed: int) -> None:
    gt = random_scene(seed)
    x1, y1, x2, y2 = gt.bboxes.unbind(1)
    mirrored = InstanceData(
        bboxes=torch.stack([WIDTH - x2, y1, WIDTH - x1, y2], 1),
        masks=gt.masks.flip(),
        in_front=gt.in_front,
        hidden=gt.hidden,
    )
    flipped, straight = build(mirrored), build(gt)
    assert torch.equal(flipped.occluded, straight.occluded)
    assert agree_but_for_contours(flipped.occludee_mask, straight.occludee_mask.flip(2), share=0.001)
    assert agree_but_for_contours(flipped.occluder_mask, straight.occluder_mask.flip(2), share=0.001)


def test_polygons_and_bitmaps_agree_within_one_cell() -> None:
    corners = [
        np.array([10, 10, 42, 12, 38, 40, 14, 37.5]),
        np.array([30, 5, 70, 18, 60, 50, 28, 30.0]),
        np.array([5, 30, 30, 25, 33, 55.0]),
    ]
    polygons = PolygonMasks([[c] for c in corners], HEIGHT, WIDTH)
    boxes = torch.tensor(np.array([[c[::2].min(), c[1::2].min(), c[::2].max(), c[1::2].max()] for c in corners]))
    by_polygon = build(InstanceData(bboxes=boxes.float(), masks=polygons))
    by_bitmap = build(InstanceData(bboxes=boxes.float(), masks=polygons.to_bitmap()))
    assert by_polygon.occluded.tolist() == by_bitmap.occluded.tolist() == [True, True, True]
    assert agree_but_for_contours(by_polygon.occludee_mask, by_bitmap.occludee_mask)
    assert agree_but_for_contours(by_polygon.occluder_mask, by_bitmap.occluder_mask)


def test_crop_to_gt_box_keeps_the_occluder_inside_its_objects_box() -> None:
    gt = rectangles((10, 10, 40, 40), (30, 10, 60, 40))
    roi = torch.tensor([[0.0, 10.0, 56.0, 40.0]])  # 2 pixels to a column
    for crop, columns in ((False, range(15, 28)), (True, range(15, 20))):
        occluder = build(gt, roi, [0], crop_to_gt_box=crop).occluder_mask[0]
        assert occluder.any(dim=0).nonzero().flatten().tolist() == list(columns)


def test_unknown_order_with_a_neighbour_excludes_the_roi() -> None:
    gt = rectangles((10, 10, 40, 40), (30, 10, 60, 40), (2, 45, 20, 58))
    gt.in_front = torch.tensor([[0, -1, -1], [-1, 0, -1], [-1, -1, 0]], dtype=torch.int8)
    assert build(gt, occluder="in_front").occluder_known.tolist() == [False, False, True]  # the third has no neighbour
    assert build(gt, occluder="all").occluder_known.tolist() == [True, True, True]


def test_a_neighbour_of_which_only_the_box_is_known_is_no_occluder_and_leaves_it_unknown() -> None:
    gt = rectangles((10, 10, 40, 40), (30, 10, 60, 40), (50, 10, 80, 40))
    gt.in_front = torch.tensor([[0, 0, 0], [1, 0, 0], [0, 1, 0]], dtype=torch.int8)
    gt.mask_known = torch.tensor([True, True, False])
    for mode in ("all", "in_front"):
        assert build(gt, occluder=mode).occluder_known.tolist() == [True, False, True]
    assert occluded(gt, occluder="in_front") == [True, False, False]
    assert occluded(gt, occluder="all") == [True, True, True]  # the first still hides the second


def test_image_without_any_order_excludes_all_its_rois() -> None:
    ordered, unordered = random_scene(0), random_scene(1)
    del unordered.in_front
    rois = [torch.arange(3), torch.arange(2)]
    boxes = [ordered.bboxes[:3], unordered.bboxes[:2]]
    builder = BilayerTargetBuilder(occluder="in_front")
    targets = builder(boxes, rois, [ordered, unordered], [(1.0, 1.0)] * 2)
    assert targets.occluder_known.tolist() == [True] * 3 + [False] * 2
    assert not targets.occluder_mask[3:].any()


def test_hidden_follows_the_object_and_is_nan_where_unknown() -> None:
    gt = random_scene(0)
    gt.hidden[1] = torch.nan
    hidden = build(gt, gt.bboxes[:3], [2, 1, 2]).hidden
    assert hidden[0] == hidden[2] == gt.hidden[2]
    assert hidden[1].isnan()
    del gt.hidden
    assert build(gt).hidden.isnan().all()


@pytest.mark.parametrize("mode", ["all", "in_front"])
def test_images_without_rois_or_objects_are_fine(mode: str) -> None:
    nothing, something = rectangles(), random_scene(0)
    builder, none = BilayerTargetBuilder(occluder=mode), torch.zeros(0, 4)
    empty = builder([none, none], [torch.zeros(0).long()] * 2, [nothing, something], [(1.0, 1.0)] * 2)
    assert empty.occludee_mask.shape == empty.occluder_mask.shape == (0, 28, 28)
    assert empty.occluded.shape == empty.occluder_known.shape == empty.hidden.shape == (0,)


def test_nothing_is_computed_for_outputs_that_nobody_trains() -> None:
    gt = random_scene(0)
    targets = BilayerTargetBuilder()([gt.bboxes], [torch.arange(len(gt))], [gt], [(1.0, 1.0)], ("occludee_mask",))
    assert isinstance(targets, BilayerTargets)
    assert targets.occluder_mask is targets.occluder_boundary is targets.hidden is None


def test_unknown_occluder_mode_is_refused() -> None:
    with pytest.raises(InputError, match="'behind'"):
        BilayerTargetBuilder(occluder="behind")


# Neighbours as they are visible


def amodal_scene(seed: int, count: int = 5) -> InstanceData:
    """Whole ellipses, the later ones nearer; the first, which is small, is covered wholly."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    amodal = np.zeros((count, HEIGHT, WIDTH), np.uint8)
    for k in range(count):
        cx, cy, rx, ry = rng.uniform((20, 20, 12, 10), (WIDTH - 20, HEIGHT - 20, 22, 18))
        amodal[k] = ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 < 1
    amodal[0] = ndimage.binary_erosion(amodal[-1], iterations=4)
    visible = np.stack([mask & ~amodal[k + 1 :].any(axis=0) for k, mask in enumerate(amodal)])
    order = np.tril(np.ones((count, count), np.int8), -1)
    masks = AmodalMasks(
        {"amodal": amodal, "visible": visible}, "amodal", Scene(np.arange(count), order, np.zeros(count))
    )
    boxes = [(xs.min(), ys.min(), xs.max() + 1, ys.max() + 1) for ys, xs in map(np.nonzero, amodal)]
    return InstanceData(
        bboxes=torch.tensor(np.array(boxes), dtype=torch.float32), masks=masks, in_front=torch.from_numpy(order)
    )


def restated_visible(gt: InstanceData, rois: Tensor, targets: list[int], in_front: bool) -> np.ndarray:
    """IoU of the object's amodal box with the visible box of each other one; the visible masks of those."""
    boxes, visible, result = gt.bboxes.tolist(), gt.masks.bitmaps("visible"), []
    shown = [np.nonzero(mask) for mask in visible.masks]
    visible_boxes = [[x.min(), y.min(), x.max() + 1, y.max() + 1] if len(x) else None for y, x in shown]
    for roi, j in zip(rois.numpy(), targets, strict=True):
        x1, y1, x2, y2 = map(int, boxes[j])
        chosen = [k for k, box in enumerate(visible_boxes) if k != j and box and iou_plus_one(boxes[j], box) > 0.05]
        chosen = [k for k in chosen if not in_front or gt.in_front[k, j] == 1]
        pixels = np.zeros((HEIGHT, WIDTH), bool)
        for k in chosen:
            pixels[y1:y2, x1:x2] |= visible.masks[k, y1:y2, x1:x2] > 0
        occluder = np.zeros((28, 28), bool)
        for k in chosen if pixels.sum() > 20 else []:
            occluder |= visible.crop_and_resize(roi[None], (28, 28), np.array([k])).masks[0] > 0
        result.append(occluder)
    return np.stack(result)


@pytest.mark.parametrize("mode", ["all", "in_front"])
@pytest.mark.parametrize("seed", range(4))
def test_visible_occluders_equal_the_restated_rule(seed: int, mode: str) -> None:
    gt = amodal_scene(seed)
    rois, indices = jittered(gt, seed)
    found = build(gt, rois, indices, occluder=mode, occluder_mask="visible")
    expected = restated_visible(gt, rois, indices, in_front=mode == "in_front")
    assert expected.any() and np.array_equal(found.occluder_mask.numpy() != 0, expected)
    whole = build(gt, rois, indices, occluder=mode)
    assert torch.equal(found.occludee_mask, whole.occludee_mask), "what is learned of the object itself stays amodal"
    assert whole.occluder_mask.sum() > found.occluder_mask.sum()


def test_what_is_hidden_wholly_occludes_nobody_when_visible_masks_count() -> None:
    gt = amodal_scene(0)
    assert not gt.masks.planes["visible"][0].any()
    seen, _ = BilayerTargetBuilder(occluder_mask="visible").occluder_pairs(gt, (1.0, 1.0))
    whole, _ = BilayerTargetBuilder().occluder_pairs(gt, (1.0, 1.0))
    assert whole[0].any() and not seen[0].any()


def test_visible_occluders_need_masks_that_know_what_is_visible() -> None:
    with pytest.raises(InputError, match="found BitmapMasks"):
        build(random_scene(0), occluder_mask="visible")
    with pytest.raises(InputError, match="'amodal'"):
        BilayerTargetBuilder(occluder_mask="amodal")
