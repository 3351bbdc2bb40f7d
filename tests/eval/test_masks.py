"""Masks decoded and compared all at once, against pycocotools one by one."""

from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask as mask_api

import eval.masks
from eval.errors import SchemaError
from eval.masks import MaskTable, compare_masks, find_overlaps
from eval.rle import areas, intersections
from eval.runs import MaskError, canonical_code, decode_runs


def code(mask: np.ndarray) -> str:
    return mask_api.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()


def code_of_runs(runs: list[int], height: int = 4, width: int = 4) -> str:
    return mask_api.frPyObjects({"size": [height, width], "counts": runs}, height, width)["counts"].decode()


def random_masks(seed: int, count: int, height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    density = rng.choice([0, 0.01, 0.3, 0.9, 1], (count, 1, 1))
    return rng.random((count, height, width)) < density


def random_table(rng: np.random.Generator, height: int, width: int, num_frames: int, overlapping: bool) -> MaskTable:
    """Blocks of 3 x 3 pixels that belong to nobody or one of four objects; speckles that lie on any where asked."""
    frames, counts = [], []
    for t in range(num_frames):
        blocks = rng.integers(0, 5, (height // 3 + 1, width // 3 + 1))
        labels = blocks.repeat(3, 0).repeat(3, 1)[:height, :width]
        for i in range(rng.integers(0, 5)):
            speckles = (rng.random((height, width)) < 0.2) & overlapping
            frames.append(t)
            counts.append(code((labels == i + 1) | speckles))
    rows = np.arange(len(frames))
    return MaskTable(height, width, num_frames, np.array(frames, np.int64), rows, rows * 0, counts)


@pytest.mark.parametrize("height, width", [(1, 1), (7, 1), (1, 9), (37, 53)])
def test_decoded_runs_are_the_pixels_of_the_masks(height: int, width: int) -> None:
    masks = random_masks(0, 200, height, width)
    runs = decode_runs([code(mask) for mask in masks], height, width)
    pixels = height * width
    starts, ends = runs.intervals(np.arange(len(masks)) * pixels)
    painted = np.zeros(len(masks) * pixels, bool)
    for start, end in zip(starts, ends, strict=True):
        painted[start:end] = True
    np.testing.assert_array_equal(painted.reshape(-1, width, height).transpose(0, 2, 1), masks)
    np.testing.assert_array_equal(runs.areas, masks.sum((1, 2)))
    assert runs.canonical.all()


def test_runs_of_a_large_picture_are_decoded_beyond_24_bits() -> None:
    mask = np.zeros((8000, 9000), np.uint8, order="F")
    mask[100:7000, 50:8990] = 1
    runs = decode_runs([code(mask)] * 40, 8000, 9000)
    assert (runs.areas == int(mask.sum())).all()


@pytest.mark.parametrize(
    "runs, area, canonical",
    [
        ([0, 16], 16, True),
        ([16], 0, True),
        ([8, 8], 8, True),
        ([3, 5, 8], 5, True),
        ([3, 5, 8, 0], 5, False),
        ([3, 5, 0, 8], 13, False),
        ([4, 0, 12], 0, False),
        ([0, 0, 16], 0, False),
        ([2, 0, 0, 0, 3, 4, 7], 4, False),
    ],
)
def test_empty_runs_are_noticed_and_can_be_removed(runs: list[int], area: int, canonical: bool) -> None:
    decoded = decode_runs([code_of_runs(runs)], 4, 4)
    assert (decoded.areas.tolist(), decoded.canonical.tolist()) == ([area], [canonical])
    rewritten = canonical_code(code_of_runs(runs), 4, 4)
    again = decode_runs([rewritten], 4, 4)
    assert (again.areas.tolist(), again.canonical.tolist()) == ([area], [True])
    assert mask_api.decode({"size": [4, 4], "counts": rewritten}).sum() == area


@pytest.mark.parametrize(
    "broken, problem",
    [
        ("", "is empty"),
        ("04~", "holds '~'"),
        ("04é", "holds 'é'"),
        ("04\N{GREEK SMALL LETTER ALPHA}", "holds '\N{GREEK SMALL LETTER ALPHA}'"),
        ("0`", "is cut off"),
        (code_of_runs([3, 5]), "covers 8 pixels, but the image has 4 x 4"),
        (code_of_runs([3, 14]), "covers 17 pixels"),
        ("3>O", "has a run of negative length"),
        ("oooooooo0", "holds a number of more than 32 bits"),
    ],
)
def test_a_broken_code_is_named(broken: str, problem: str) -> None:
    with pytest.raises(MaskError, match="mask 1 ") as error:
        decode_runs([code_of_runs([16]), broken, code_of_runs([16])], 4, 4)
    assert (error.value.index, problem in error.value.problem) == (1, True), error.value


@pytest.mark.parametrize("share", [30, 150_000])
@pytest.mark.parametrize("overlapping", [(False, False), (True, False), (False, True), (True, True)])
def test_shared_pixels_and_overlaps_are_those_of_pycocotools(
    share: int, overlapping: tuple[bool, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eval.masks, "_SHARE", share)
    rng = np.random.default_rng(share + 2 * overlapping[0] + overlapping[1])
    for _ in range(25):
        height, width, num_frames = rng.integers(1, [20, 20, 12]).tolist()
        first, second = (random_table(rng, height, width, num_frames, lies_over) for lies_over in overlapping)
        pairs = compare_masks(first, second)
        expected = [triple for t in range(num_frames) for triple in pairs_by_pycocotools(first, second, t)]
        assert list(zip(pairs.first, pairs.second, pairs.shared, strict=True)) == expected
        np.testing.assert_array_equal(pairs.second_areas, areas([second.rle(row) for row in range(len(second))]))
        for table, found in ((first, pairs.first_overlaps), (second, pairs.second_overlaps)):
            itself = [[(i, j) for i, j, _ in pairs_by_pycocotools(table, table, t) if i < j] for t in range(num_frames)]
            assert table.frames[found[:, 0]].tolist() == [t for t in range(num_frames) if itself[t]]
            assert all((i, j) in itself[table.frames[i]] for i, j in found.tolist())
            np.testing.assert_array_equal(find_overlaps(table), found)


def pairs_by_pycocotools(first: MaskTable, second: MaskTable, frame: int) -> list[tuple[int, int, int]]:
    rows, columns = (np.flatnonzero(table.frames == frame).tolist() for table in (first, second))
    shared = intersections([first.rle(row) for row in rows], [second.rle(column) for column in columns])
    return [(rows[i], columns[j], int(shared[i, j])) for i, j in zip(*np.nonzero(shared), strict=True)]


def test_iou_and_coverage_are_bit_equal_to_pycocotools() -> None:
    rng = np.random.default_rng(5)
    first, second = (random_table(rng, 90, 120, 1, False) for _ in range(2))
    pairs = compare_masks(first, second)
    assert len(pairs.first) > 2
    masks = [[table.rle(row) for row in range(len(table))] for table in (first, second)]
    np.testing.assert_array_equal(pairs.iou(), mask_api.iou(*masks, [0] * len(second))[pairs.first, pairs.second])
    covered = mask_api.iou(masks[1], masks[0], [1] * len(first))[pairs.second, pairs.first]
    np.testing.assert_array_equal(pairs.of_second(), covered)


def test_masks_with_empty_runs_are_compared_as_what_they_show() -> None:
    code_with_empty_run, plain = code_of_runs([2, 0, 0, 0, 3, 4, 7]), code_of_runs([5, 4, 7])
    one = np.zeros(1, np.int64)
    tables = [MaskTable(4, 4, 1, one, one, one, [text]) for text in (code_with_empty_run, plain)]
    both = MaskTable(4, 4, 1, *np.zeros((3, 2), np.int64), [code_with_empty_run, plain])
    assert compare_masks(*tables).iou().tolist() == [1.0]
    assert compare_masks(both, both).shared.tolist() == [4, 4, 4, 4]


def test_a_broken_mask_is_named_by_file_and_line() -> None:
    table = MaskTable(
        4, 4, 3, np.arange(3), np.arange(3), np.zeros(3, np.int64), ["0`"] * 3, {}, "0001.txt", np.array([7, 8, 9])
    )
    with pytest.raises(SchemaError, match=r"^0001\.txt, line 7: the mask is cut off\. Export it again\.$"):
        find_overlaps(table)


def test_tables_of_different_sizes_are_refused() -> None:
    one = np.zeros(1, np.int64)
    first, second = (MaskTable(size, 4, 1, one, one, one, [code_of_runs([4 * size])]) for size in (4, 5))
    with pytest.raises(SchemaError, match="5 x 4 .* 4 x 4"):
        compare_masks(first, second)


def test_areas_of_more_masks_than_a_byte_counts() -> None:
    assert areas([{"size": [4, 4], "counts": code_of_runs([8, 8])}] * 600).tolist() == [8] * 600
