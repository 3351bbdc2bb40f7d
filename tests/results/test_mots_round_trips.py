"""One video through every MOTS format: what comes back is what went in, byte for byte where the formats allow it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from eval.masks import MaskTable
from eval.protocols.bdd100k_rules import CLASSES, VOCABULARY
from eval.readers.bdd_bitmask import find_bitmasks, read_bitmasks
from eval.readers.mots import parse_mots
from eval.readers.mots_files import find_mots_files
from eval.readers.mots_png import parse_mots_png
from eval.readers.scalabel import ScalabelLabels
from eval.readers.scalabel_masks import read_masks
from vos_occ.results import BddBitmaskWriter, MotsPngWriter, MotsTxtWriter, ScalabelWriter
from vos_occ.structures import FrameResult, rle

SHARED = Path(os.environ.get("VOS_OCC_DATA", Path(__file__).parents[2] / ".." / "shared"))
KITTI = SHARED / "data" / "kitti_mots_gt" / "instances_txt.zip"
needs_kitti = pytest.mark.skipif(not KITTI.exists(), reason=f"no ground truth of KITTI MOTS at {KITTI}")

HEIGHT, WIDTH = 6, 7
Frame = tuple[FrameResult, dict[str, np.ndarray]]


def frames_of(
    table: MaskTable, first_class: int, length: int, size: tuple[int, int], ids=lambda k: k
) -> Iterator[Frame]:
    """The masks of each frame as a result whose every score is 1, and their flags."""
    for t in range(length):
        rows = np.flatnonzero(table.frames == t)
        masks = [rle.parse(table.rle(int(row)), *size) for row in rows]
        boxes = np.array([rle.bounding_box(mask) for mask in masks], np.float32).reshape(-1, 4)
        labels, ones = table.categories[rows] - first_class, np.ones(len(rows), np.float32)
        flags = {name: values[rows] for name, values in table.flags.items()}
        yield FrameResult(t, *size, ids(table.ids[rows]), labels, ones, boxes, masks), flags


def write_bitmasks(folder: Path, frames: Iterator[Frame]) -> list[bytes]:
    shutil.rmtree(folder, ignore_errors=True)
    writer = BddBitmaskWriter(folder, CLASSES)
    return [writer.write(*frame).read_bytes() for frame in frames]


def write_scalabel(path: Path, frames: Iterator[Frame]) -> bytes:
    with ScalabelWriter(path, CLASSES, video="v", overwrite=True) as writer:
        for frame in frames:
            writer.write(*frame)
    return path.read_bytes()


def read_scalabel(path: Path) -> MaskTable:
    return read_masks(ScalabelLabels(path).frames("v"), VOCABULARY, path.name)


def write_text(path: Path, frames: Iterator[Frame]) -> bytes:
    with MotsTxtWriter(path, overwrite=True) as writer:
        for result, _ in frames:
            writer.write(result)
    return path.read_bytes()


owners = st.lists(hnp.arrays(np.int64, (HEIGHT, WIDTH), elements=st.integers(0, 3)), min_size=1, max_size=3)
things = st.lists(st.tuples(st.integers(1, 999), st.integers(0, 7)), min_size=3, max_size=3, unique_by=lambda t: t[0])


def painted(maps: list[np.ndarray], objects: list[tuple[int, int]], flags: np.ndarray) -> Iterator[Frame]:
    """A video in which pixel k of a map belongs to objects[k - 1] = (id, label)."""
    for t, owner in enumerate(maps):
        there = [k for k in range(len(objects)) if (owner == k + 1).any()]
        masks = [rle.encode(owner == k + 1) for k in there]
        boxes = np.array([rle.bounding_box(mask) for mask in masks], np.float32).reshape(-1, 4)
        ids, labels = (np.array([objects[k][i] for k in there], np.int64) for i in (0, 1))
        result = FrameResult(t, HEIGHT, WIDTH, ids, labels, np.ones(len(there), np.float32), boxes, masks)
        names = ("ignored", "crowd", "occluded", "truncated")
        yield result, {name: flags[i, there].astype(bool) for i, name in enumerate(names)}


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(maps=owners, objects=things)
def test_bitmasks_come_back_from_scalabel_and_kitti_text(tmp_path, maps, objects):
    length, size = len(maps), (HEIGHT, WIDTH)
    first = write_bitmasks(tmp_path / "a" / "v", painted(maps, objects, np.zeros((4, 3))))
    table = read_bitmasks(find_bitmasks(tmp_path / "a")["v"])
    json = write_scalabel(tmp_path / "v.json", frames_of(table, 1, length, size))
    text = write_text(tmp_path / "v.txt", frames_of(read_scalabel(tmp_path / "v.json"), 0, length, size))
    table = parse_mots(text, "v.txt").table(0, length, size, classes=range(1, 9))
    last = list(frames_of(table, 1, length, size, lambda k: k % 1000))
    assert write_bitmasks(tmp_path / "b" / "v", iter(last)) == first
    unsaid = dict.fromkeys(("ignored", "crowd", "occluded", "truncated"), False)  # text has no attributes
    said = ((result, {name: np.zeros(len(result), bool) for name in unsaid}) for result, _ in last)
    assert write_scalabel(tmp_path / "w.json", said) == json


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(maps=owners, objects=things, flags=hnp.arrays(np.int64, (4, 3), elements=st.integers(0, 1)))
def test_attributes_come_back_from_scalabel(tmp_path, maps, objects, flags):
    first = write_bitmasks(tmp_path / "a" / "v", painted(maps, objects, flags))
    table = read_bitmasks(find_bitmasks(tmp_path / "a")["v"])
    write_scalabel(tmp_path / "v.json", frames_of(table, 1, len(maps), (HEIGHT, WIDTH)))
    frames = frames_of(read_scalabel(tmp_path / "v.json"), 0, len(maps), (HEIGHT, WIDTH))
    assert write_bitmasks(tmp_path / "b" / "v", frames) == first


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(maps=owners, labels=st.tuples(*[st.integers(0, 1)] * 2))
def test_kitti_text_and_images_hold_the_same_with_the_region_to_ignore(tmp_path, maps, labels):
    """Pixels of the third object are the region."""
    png = MotsPngWriter(tmp_path / "png", overwrite=True)
    with MotsTxtWriter(tmp_path / "v.txt", overwrite=True) as text:
        for result, _ in painted(maps, [(7, labels[0]), (12, labels[1])], np.zeros((4, 2))):
            region = rle.encode(
                maps[result.frame_index] >= 2
            )  # reaches under the second object, which keeps its pixels
            png.write(result, region)
            text.write(result, region)
    images = sorted((tmp_path / "png").iterdir())
    from_png = parse_mots_png(((int(p.stem), p.stem, p.read_bytes()) for p in images), "v")
    from_text = parse_mots((tmp_path / "v.txt").read_bytes(), "v.txt")
    assert sorted(rows(from_png)) == sorted(rows(from_text))
    ignored = from_text.keep(from_text.categories == 10)
    pixels = sum(rle.area({"size": [HEIGHT, WIDTH], "counts": counts}) for counts in ignored.counts)
    assert pixels == sum((owner == 3).sum() for owner in maps)
    assert set(ignored.ids.tolist()) <= {10000}


def rows(found) -> list[tuple]:
    return [(*numbers, counts) for *numbers, counts in zip(*found.numbers.tolist(), found.counts, strict=True)]


@needs_kitti
def test_ground_truth_of_kitti_comes_back_from_every_format(tmp_path):
    size, length = (375, 1242), 6
    found = find_mots_files(KITTI).read("0001")
    found = found.keep(found.frames < length)
    assert len(found) > 40 and 10 in found.categories
    table = found.table(0, length, size, nameless=[10])
    kitti_label = {1: 2, 2: 0, 10: 0}  # car, pedestrian, and the region to ignore, which bitmasks can say of any class
    labels = np.array([kitti_label[category] for category in table.categories.tolist()])
    flags = {"ignored": table.categories == 10}
    table = MaskTable(*size, length, table.frames, table.ids, labels, table.counts, flags, table.source, table.records)
    first = write_bitmasks(tmp_path / "a" / "v", frames_of(table, 0, length, size))
    write_scalabel(tmp_path / "v.json", frames_of(read_bitmasks(find_bitmasks(tmp_path / "a")["v"]), 1, length, size))
    frames = list(frames_of(read_scalabel(tmp_path / "v.json"), 0, length, size))
    assert write_bitmasks(tmp_path / "b" / "v", iter(frames)) == first
    with MotsTxtWriter(tmp_path / "v.txt", class_ids=[2, 0, 1]) as text:
        for result, said in frames:
            scored, region = ~said["ignored"], [m for m, i in zip(result.masks, said["ignored"], strict=True) if i]
            text.write(picked(result, scored), region[0] if region else None)
    found.numbers[1] += found.categories != 10  # KITTI counts instances from 0, tracks of ours count from 1
    assert sorted(rows(parse_mots((tmp_path / "v.txt").read_bytes(), "v.txt"))) == sorted(rows(found))


def picked(result: FrameResult, kept: np.ndarray) -> FrameResult:
    masks = [mask for mask, stays in zip(result.masks, kept, strict=True) if stays]
    arrays = [values[kept] for values in (result.labels, result.scores, result.boxes)]
    return FrameResult(
        result.frame_index, result.height, result.width, result.track_ids[kept] % 1000 + 1, *arrays, masks
    )
