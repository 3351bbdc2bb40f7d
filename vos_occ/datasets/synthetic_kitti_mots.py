"""A synthetic KITTI MOTS: files and folders as the real one has them (docs/sources.md, trackers 6.3), with exact truth.

    training/image_02/0000/000000.jpg     sequences; in testing/ without truth
    instances/0000/000000.png             16-bit images of class * 1000 + instance
    instances_txt/0000.txt                the same as run lengths
    {train,val,fulltrain}.seqmap          which sequences a split has, and how long they are

Crowds and distractors are regions to ignore: class 10, all of them object 10000.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vos_occ.datasets.patterns import Split
from vos_occ.datasets.synthetic import SyntheticVideo
from vos_occ.datasets.synthetic_export import write_image
from vos_occ.datasets.synthetic_street import StreetWorld, crowds, true_result
from vos_occ.datasets.video_folders import KITTI_SPLITS
from vos_occ.results.mots_png import MotsPngWriter
from vos_occ.results.mots_txt import MotsTxtWriter
from vos_occ.results.output import reported, require_new, write_atomically
from vos_occ.structures import rle
from vos_occ.structures.errors import InputError

CAST = {"car": "brick", "pedestrian": "bottle"}
"""What draws the classes 1 and 2."""

DISTRACTORS = {"van": "car", "person sitting": "pedestrian"}
TEST_SEQUENCES = 29
NUM_FRAMES = 100
"""Of a sequence: fewer than in the real one, more than in other synthetic data, of which there are more videos."""

_POOLS: dict[str, Split] = {"train": "train", "val": "heldout", "test": "heldout"}
_TEST_SEEDS = 2_000_000  # test sequences show none of the scenes of the others
_SEQUENCE = re.compile(r"\d{4}(\.txt)?")


def write_kitti_mots(
    folder: str | Path, train: int, val: int, test: int = 0, *, overwrite: bool = False, **world: Any
) -> None:
    """Writes sequences under the numbers that they have in the real data set, whose training folder holds two splits.

    An object of fewer than 16 visible pixels is not there to be seen, and has no mask.

    Args:
        folder: gets the files.
        train: how many training sequences, up to 12.
        val: how many validation sequences, up to 9, drawn from held-back textures and shapes.
        test: how many test sequences, up to 29, drawn from the same.
        overwrite: replace what an earlier call wrote; files of other names are left alone.
        world: further keywords of `SyntheticWorld`.

    Raises:
        InputError: an argument out of range.
        OutputExistsError: there are sequences, and `overwrite` is off.
    """
    folder = Path(folder)
    numbers = {**KITTI_SPLITS, "test": tuple(range(TEST_SEQUENCES))}
    counts = {"train": train, "val": val, "test": test}
    for split, count in counts.items():
        if not 0 <= count <= len(numbers[split]):
            raise InputError(f"KITTI MOTS has {len(numbers[split])} sequences of split {split}, asked for {count}.")
    _make_room(folder, counts, overwrite)
    lengths: dict[str, int] = {}
    for split, count in counts.items():
        source = StreetWorld(_POOLS[split], CAST, DISTRACTORS, **{"num_frames": NUM_FRAMES, **world})
        for seed, number in enumerate(numbers[split][:count]):
            name = f"{number:04d}"
            if split == "test":
                _write_frames(folder / "testing" / "image_02" / name, source.video(_TEST_SEEDS + seed))
                continue
            video = source.video(seed)
            _write_frames(folder / "training" / "image_02" / name, video)
            _write_truth(folder, name, video, overwrite)
            lengths[name] = len(video)
    for split, wanted in (("train", "train"), ("val", "val"), ("fulltrain", "trainval")):
        names = [f"{number:04d}" for number in numbers[wanted]]
        rows = [f"{name} empty 000000 {lengths[name] - 1:06d}\n" for name in names if name in lengths]
        if rows:
            write_atomically(folder / f"{split}.seqmap", "".join(rows))


def _make_room(folder: Path, counts: Mapping[str, int], overwrite: bool) -> None:
    """Refuses what exists, or removes it: sequences that are found in a folder belong to the data set."""
    places = [folder / "testing" / "image_02"] if counts["test"] else []
    if counts["train"] or counts["val"]:
        places += [folder / name for name in ("training/image_02", "instances", "instances_txt")]
    for place in places:
        require_new(place, overwrite, folder=True)
        for old in place.iterdir() if place.is_dir() else ():
            if _SEQUENCE.fullmatch(old.name):
                with reported(old):
                    shutil.rmtree(old) if old.is_dir() else old.unlink()


def _write_frames(folder: Path, video: SyntheticVideo) -> None:
    for frame in video:
        write_image(folder / f"{frame.frame_index:06d}.jpg", frame.image)


def _write_truth(folder: Path, name: str, video: SyntheticVideo, overwrite: bool) -> None:
    class_ids = list(range(1, 1 + len(CAST)))
    images = MotsPngWriter(folder / "instances" / name, class_ids, overwrite=overwrite)
    with MotsTxtWriter(folder / "instances_txt" / f"{name}.txt", class_ids, overwrite=overwrite) as text:
        for frame in video:
            scored = (frame.labels < len(CAST)) & ~crowds(video)
            others = frame.visible[frame.is_visible & ~scored]
            region = rle.encode(np.any(others, axis=0)) if len(others) else None
            result = true_result(frame, among=scored)
            images.write(result, region)
            text.write(result, region)
