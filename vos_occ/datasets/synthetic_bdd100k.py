"""A synthetic BDD100K: files and folders as the real one has them (docs/sources.md, trackers 6.2), with exact truth.

    images/seg_track_20/SPLIT/VIDEO/VIDEO-0000001.jpg         videos
    labels/seg_track_20/bitmasks/SPLIT/VIDEO/VIDEO-0000001.png
    labels/seg_track_20/{rles,polygons}/SPLIT/VIDEO.json      the same masks as run lengths and as outlines
    labels/box_track_20/SPLIT/VIDEO.json                      their boxes
    images/{10k,100k}/SPLIT/NAME.jpg                          single pictures of other scenes
    labels/ins_seg/bitmasks/SPLIT/NAME.png
    labels/ins_seg/{rles,polygons}/ins_seg_SPLIT.json
    labels/det_20/det_SPLIT.json                              their boxes, for the pictures in 100k

SPLIT is train or val, and test for videos without labels. In the real one the boxes are of more videos and pictures
than the masks; here they are of the same.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from vos_occ.datasets.patterns import Split
from vos_occ.datasets.synthetic import SyntheticVideo
from vos_occ.datasets.synthetic_export import write_image
from vos_occ.datasets.synthetic_street import StreetWorld, true_flags, true_result
from vos_occ.results.bdd_bitmask import BddBitmaskWriter
from vos_occ.results.output import reported, require_new
from vos_occ.results.scalabel import Extent, ScalabelWriter

CAST = {
    "pedestrian": "bottle",
    "rider": "blossom",
    "car": "brick",
    "truck": "cross",
    "bus": "ball",
    "train": "leaf",
    "motorcycle": "star",
    "bicycle": "crescent",
}
"""What draws each of the eight classes."""

DISTRACTORS = {"other person": "pedestrian", "other vehicle": "car", "trailer": "truck"}

POOLS: dict[str, Split] = {"train": "train", "val": "heldout", "test": "heldout"}
"""Which looks of the synthetic world each split is drawn from: scores are about textures that training has not seen."""

IMAGES_PER_VIDEO = 2
_IMAGE_SEEDS, _TEST_SEEDS = 1_000_000, 2_000_000  # pictures and test videos show none of the scenes of the others
_OWN_NAME = re.compile(r"(train|heldout)_\d{5,}(\.json|\.jpg|\.png)?")


def write_bdd100k(
    folder: str | Path,
    train: Iterable[int],
    val: Iterable[int],
    test: Iterable[int] = (),
    *,
    overwrite: bool = False,
    **world: Any,
) -> None:
    """Writes the splits in the layout of BDD100K: segmentation tracking, and `IMAGES_PER_VIDEO` pictures per video.

    An object of fewer than 16 visible pixels is not there to be seen, and has no label. Distractors and crowds are
    labelled as BDD100K does: by their category's name in JSON, as class and flag in bitmasks.

    Args:
        folder: gets the files.
        train: seeds of training videos.
        val: seeds of validation videos, drawn from held-back textures and shapes.
        test: seeds of test videos, drawn from the same as those, and other ones.
        overwrite: replace what an earlier call wrote; files of other names are left alone.
        world: further keywords of `SyntheticWorld`.

    Raises:
        InputError: an argument out of range.
        OutputExistsError: there is a split, and `overwrite` is off.
    """
    folder = Path(folder)
    seeds = {"train": tuple(train), "val": tuple(val), "test": tuple(_TEST_SEEDS + seed for seed in test)}
    seeds = {split: chosen for split, chosen in seeds.items() if chosen}
    worlds = {split: StreetWorld(POOLS[split], CAST, DISTRACTORS, **world) for split in seeds}
    for split in seeds:
        _make_room(folder, split, overwrite)
    for split, chosen in seeds.items():
        for seed in chosen:
            _write_video(folder, split, worlds[split].video(seed), overwrite)
        if split != "test":
            pictures = [_IMAGE_SEEDS + IMAGES_PER_VIDEO * seed + k for seed in chosen for k in range(IMAGES_PER_VIDEO)]
            _write_images(folder, split, worlds[split], pictures, overwrite)


def _make_room(folder: Path, split: str, overwrite: bool) -> None:
    """Refuses what exists, or removes it: videos and pictures that are found in a folder belong to the data set."""
    for place in _places(folder, split):
        require_new(place, overwrite, folder=True)
        for old in place.iterdir() if place.is_dir() else ():
            if _OWN_NAME.fullmatch(old.name):
                with reported(old):
                    shutil.rmtree(old) if old.is_dir() else old.unlink()
    for name in ("ins_seg/rles/ins_seg", "ins_seg/polygons/ins_seg", "det_20/det"):
        require_new(folder / "labels" / f"{name}_{split}.json", overwrite, folder=False)


def _places(folder: Path, split: str) -> list[Path]:
    images = [folder / "images" / kind / split for kind in ("seg_track_20", "10k", "100k")]
    kinds = ("seg_track_20/bitmasks", "seg_track_20/rles", "seg_track_20/polygons", "box_track_20", "ins_seg/bitmasks")
    return images + [folder / "labels" / kind / split for kind in kinds]


def _write_video(folder: Path, split: str, video: SyntheticVideo, overwrite: bool) -> None:
    labels, frames = folder / "labels", folder / "images" / "seg_track_20" / split / video.name
    files: dict[Path, Extent] = {
        labels / "seg_track_20" / "rles" / split / f"{video.name}.json": "rle",
        labels / "seg_track_20" / "polygons" / split / f"{video.name}.json": "poly2d",
        labels / "box_track_20" / split / f"{video.name}.json": "box2d",
    }
    with ExitStack() as stack:
        writers: list[BddBitmaskWriter | ScalabelWriter] = []
        if split != "test":
            place = labels / "seg_track_20" / "bitmasks" / split / video.name
            writers.append(BddBitmaskWriter(place, video.classes, overwrite=overwrite))
            for path, extent in files.items():
                writer = ScalabelWriter(path, video.classes, video=video.name, extent=extent, overwrite=overwrite)
                writers.append(stack.enter_context(writer))
        for frame in video:
            write_image(frames / f"{video.name}-{frame.frame_index + 1:07d}.jpg", frame.image)
            result, flags = true_result(frame), true_flags(video, frame)
            for writer in writers:
                writer.write(result, flags)


def _write_images(folder: Path, split: str, world: StreetWorld, seeds: Sequence[int], overwrite: bool) -> None:
    """One picture of the scene of each seed."""
    labels, names = folder / "labels", [f"{world.name(seed)}.jpg" for seed in seeds]
    files: dict[Path, Extent] = {
        labels / "ins_seg" / "rles" / f"ins_seg_{split}.json": "rle",
        labels / "ins_seg" / "polygons" / f"ins_seg_{split}.json": "poly2d",
        labels / "det_20" / f"det_{split}.json": "box2d",
    }
    place, classes = labels / "ins_seg" / "bitmasks" / split, world.classes
    with ExitStack() as stack:
        writers: list[BddBitmaskWriter | ScalabelWriter] = []
        writers.append(BddBitmaskWriter(place, classes, names=names, overwrite=overwrite))
        for path, extent in files.items():
            writer = ScalabelWriter(path, classes, video=None, names=names, extent=extent, overwrite=overwrite)
            writers.append(stack.enter_context(writer))
        for index, seed in enumerate(seeds):
            video = world.video(seed)
            frame = video[len(video) // 2]
            for kind in ("10k", "100k"):
                write_image(folder / "images" / kind / split / names[index], frame.image)
            result, flags = true_result(frame, frame_index=index), true_flags(video, frame)
            for writer in writers:
                writer.write(result, flags)
