"""Targets of the fuzzer: what is trained on frame by frame, of BDD100K and KITTI MOTS."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fuzz_checks as checks
import numpy as np
from fuzz_files import (
    BITMASKS,
    FRAMES,
    HEIGHT,
    LABELS,
    WIDTH,
    Target,
    colour_png,
    dumped,
    label_png,
    scalabel,
    sequence,
)
from fuzz_mutations import Files

from vos_occ.datasets.bdd_bitmask import BddBitmaskFrames
from vos_occ.datasets.mots import MotsFrames
from vos_occ.datasets.sample import Sample
from vos_occ.datasets.scalabel import ScalabelFrames
from vos_occ.datasets.video_folders import VideoFolder

_PICTURE = colour_png(np.full((HEIGHT, WIDTH, 3), 90))
Samples = list[list[Sample]]


def _samples(source: Any) -> Samples:
    return [[source.load(video, t) for t in shown] for video, shown in enumerate(source.frames())]


def _sequence(folder: Path, count: int) -> MotsFrames:
    names = tuple(f"{t:06d}.png" for t in range(count))
    return MotsFrames(folder / "labels", [VideoFolder("0000", folder / "frames", names)], 0)


def _check(files: Files, found: Samples) -> None:
    """Of every sample: pixels of an object lie in the picture, and no id is there twice."""
    for sample in (sample for video in found for sample in video):
        checks.require(sample.masks.shape[1:] == sample.image.shape[:2], "masks are not of the picture's size")
        checks.require(set(np.unique(sample.masks).tolist()) <= {0, 1}, "masks are not binary")
        checks.require(bool((sample.instance_ids > 0).all()), "an id is 0")
        checks.require(bool((sample.labels >= 0).all()), "a label is negative")


def _boxes() -> list[dict[str, Any]]:
    frames = scalabel(1)
    for frame in frames:
        for k, label in enumerate(frame["labels"]):
            label.pop("rle")
            label["box2d"] = {"x1": k, "y1": 1.5, "x2": k + 3, "y2": 4}
    return frames


TRAINING: Mapping[str, Target] = {
    "scalabel_frames": Target(
        {"labels/a.json": dumped({"frames": scalabel()})}
        | {f"images/{video}/{video}-{t}.jpg": _PICTURE for video in ("a", "b") for t in range(FRAMES)},
        lambda f: _samples(ScalabelFrames(f / "labels", f / "images", keep_empty=True)),
        _check,
    ),
    "scalabel_boxes": Target(
        {"a.json": dumped([{**frame, "videoName": None} for frame in _boxes()])}
        | {f"images/a-{t}.jpg": _PICTURE for t in range(FRAMES)},
        lambda f: _samples(ScalabelFrames(f / "a.json", f / "images")),
        _check,
    ),
    "bdd_bitmask_frames": Target(
        {f"labels/{name}": data for name, data in BITMASKS.items()} | {f"images/{name}": _PICTURE for name in BITMASKS},
        lambda f: _samples(BddBitmaskFrames(f / "labels", f / "images")),
        _check,
    ),
    "mots_frames": Target(
        {"labels/0000.txt": sequence(0)} | {f"frames/{t:06d}.png": _PICTURE for t in range(FRAMES)},
        lambda f: _samples(_sequence(f, FRAMES)),
        _check,
    ),
    "mots_frames_png": Target(
        {f"labels/0000/{t:06d}.png": label_png(labels) for t, labels in enumerate(LABELS)}
        | {f"frames/{t:06d}.png": _PICTURE for t in range(len(LABELS))},
        lambda f: _samples(_sequence(f, len(LABELS))),
        _check,
    ),
}
