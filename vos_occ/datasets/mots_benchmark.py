"""BDD100K, KITTI MOTS and MOTSChallenge as they were unpacked, opened by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from vos_occ.datasets.bdd_bitmask import BddBitmaskFrames
from vos_occ.datasets.mots import MotsFrames
from vos_occ.datasets.scalabel import ScalabelFrames
from vos_occ.datasets.video_folders import find_folders, list_videos
from vos_occ.structures.errors import InputError


def mots_benchmark(
    dataset: str,
    root: str | Path,
    split: str = "train",
    form: str | None = None,
    classes: Sequence[str] | None = None,
    merge: Mapping[str, str] | None = None,
    images: str | None = None,
    labels: str | None = None,
) -> BddBitmaskFrames | ScalabelFrames | MotsFrames:
    """The frames of a split.

    Args:
        dataset: a key of `video_folders.LAYOUTS`, such as bdd100k, bdd100k_ins_seg, bdd100k_det or kitti_mots.
        root: the folder that it was unpacked into.
        split: train, val or test, as the data set has them; only one with labels can be trained on.
        form: of the labels; default: the first of the layout's that is there.
        classes: names to keep, in label order; default: the data set's.
        merge: class that a category belongs to, where that has another name.
        images: the folder of the videos' folders below `root`, where it has another name.
        labels: file or folder of the labels below `root`, where it has another name; asks for `form`.

    Raises:
        SchemaError: the labels are not of their format.
        InputError: something is not there, or there is no such class.
    """
    folders = find_folders(dataset, root, split, form=form, images=images, labels=labels)
    if folders.labels is None:
        forms = ", ".join(folders.layout.labels)
        raise InputError(
            f"'{root}' has no labels of {dataset} {split} ({forms}), so it cannot be trained on. Get them."
        )
    if folders.form == "bitmask":
        return BddBitmaskFrames(folders.labels, folders.images, classes, merge)
    if folders.form in ("rle", "polygon", "box"):
        return ScalabelFrames(folders.labels, folders.images, classes, merge)
    assert folders.layout.first_number is not None, "what else is labelled are videos"
    return MotsFrames(folders.labels, list_videos(folders), folders.layout.first_number, classes, merge)
