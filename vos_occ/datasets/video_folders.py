"""Where BDD100K, KITTI MOTS and MOTSChallenge keep a split: folders of frames and of labels, as they are unpacked.

Facts: docs/sources.md, trackers 6.2, 6.3; the train/val sequences of KITTI MOTS are of Voigtlaender et al., CVPR 2019.
What is inside the labels is the business of `eval.readers`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from eval.errors import listed
from eval.readers.annotated_video import PICTURES, natural_key
from vos_occ.structures.errors import InputError

KITTI_SPLITS: dict[str, tuple[int, ...]] = {
    "train": (0, 1, 3, 4, 5, 9, 11, 12, 15, 17, 19, 20),
    "val": (2, 6, 7, 8, 10, 13, 14, 16, 18),
    "trainval": tuple(range(21)),
}
"""Numbers of the sequences, all of which lie in one folder."""


@dataclass(frozen=True)
class Layout:
    """Candidates for the folders of a data set, below the folder that it was unpacked into; the first there is taken.

    Attributes:
        images: for the folder of the videos' folders, or of the images.
        labels: for the labels, by their form, the usual one first.
        frames_in: folder of the frames inside of that of a video.
        first_number: that the frames of a video count from; None where frames are single images.
        splits: those that there are.
    """

    images: tuple[str, ...]
    labels: Mapping[str, tuple[str, ...]]
    frames_in: str = ""
    first_number: int | None = 1
    splits: tuple[str, ...] = ("train", "val", "test")


def _bdd(images: Sequence[str], labels: Mapping[str, Sequence[str]], first_number: int | None = 1) -> Layout:
    """BDD100K's archives begin with a folder `bdd100k`, which is the root or lies in it."""

    def either(names: Sequence[str]) -> tuple[str, ...]:
        return tuple(prefix + name for prefix in ("", "bdd100k/") for name in names)

    return Layout(either(images), {form: either(names) for form, names in labels.items()}, "", first_number)


LAYOUTS: dict[str, Layout] = {
    "bdd100k": _bdd(
        ["images/seg_track_20/{split}"],
        {
            "bitmask": ["labels/seg_track_20/bitmasks/{split}"],
            "rle": ["labels/seg_track_20/rles/{split}", "labels/seg_track_20/rles/seg_track_{split}.json"],
            "polygon": ["labels/seg_track_20/polygons/{split}"],
        },
    ),
    "bdd100k_box_track": _bdd(
        ["images/track/{split}", "images/box_track_20/{split}", "images/seg_track_20/{split}"],
        {"box": ["labels/box_track_20/{split}"]},
    ),
    "bdd100k_ins_seg": _bdd(
        ["images/10k/{split}"],
        {
            "bitmask": ["labels/ins_seg/bitmasks/{split}"],
            "rle": ["labels/ins_seg/rles/ins_seg_{split}.json", "labels/ins_seg/rles/{split}"],
            "polygon": ["labels/ins_seg/polygons/ins_seg_{split}.json", "labels/ins_seg/polygons/{split}"],
        },
        first_number=None,
    ),
    "bdd100k_det": _bdd(["images/100k/{split}"], {"box": ["labels/det_20/det_{split}.json"]}, first_number=None),
    "kitti_mots": Layout(
        ("{kitti}/image_02", "data_tracking_image_2/{kitti}/image_02", "{split}/images", "images", "image_02"),
        {
            "png": ("instances", "{kitti}/instances", "{split}/instances"),
            "txt": ("instances_txt", "{kitti}/instances_txt", "{split}/instances_txt"),
        },
        first_number=0,
        splits=("train", "val", "trainval", "test"),
    ),
    "mots_challenge": Layout(
        ("{split}", "MOTS/{split}"), {"txt": ("{split}", "MOTS/{split}")}, "img1", splits=("train", "test")
    ),
}
"""By data set; BDD100K's four tasks are data sets of their own, `bdd100k` is its segmentation tracking."""


@dataclass(frozen=True)
class SplitFolders:
    """Where a split is.

    Attributes:
        dataset: key of `LAYOUTS`.
        split: its name.
        images: folder of the videos' folders, or of the images.
        labels: file or folder, None where there are none: those of a test split stay with the server.
        form: bitmask, rle, polygon, box, png or txt; None without labels.
        sequences: names of the split's videos, where the folders hold others too.
    """

    dataset: str
    split: str
    images: Path
    labels: Path | None
    form: str | None
    sequences: tuple[str, ...] | None = None

    @property
    def layout(self) -> Layout:
        """Of the data set."""
        return LAYOUTS[self.dataset]


@dataclass(frozen=True)
class VideoFolder:
    """The frames of a video.

    Attributes:
        name: of the video.
        folder: that holds them.
        frames: names of their files, in order.
    """

    name: str
    folder: Path
    frames: tuple[str, ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self.frames)

    def path(self, frame_index: int) -> Path:
        """File of a frame."""
        return self.folder / self.frames[frame_index]


def find_folders(
    dataset: str,
    root: str | Path,
    split: str,
    *,
    form: str | None = None,
    images: str | None = None,
    labels: str | None = None,
) -> SplitFolders:
    """Find a split below the folder that a data set was unpacked into.

    Args:
        dataset: one of `LAYOUTS`.
        root: the folder.
        split: train, val or test, as the data set has them; "valid" is "val".
        form: of the labels; default: the first of the layout's that is there.
        images: the folder of the videos' folders below `root`, where it has another name.
        labels: file or folder of the labels below `root`, where it has another name; asks for `form`.

    Returns:
        The folders; `labels` is None where none are there and none were asked for.

    Raises:
        InputError: something is not there; the message says what was looked for.
    """
    layout = _layout(dataset)
    split = "val" if split == "valid" else split
    if split not in layout.splits:
        raise InputError(f"{dataset} has no split {split!r}. Use one of {', '.join(layout.splits)}.")
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"There is no folder '{root}'. Unpack {dataset} there, or name the folder that holds it.")
    if form is not None and form not in layout.labels:
        raise InputError(f"{dataset} has no labels of form {form!r}. Use one of {', '.join(layout.labels)}.")
    if labels is not None and form is None and len(layout.labels) > 1:
        raise InputError(f"Labels '{labels}' of {dataset}: say their `form`, one of {', '.join(layout.labels)}.")
    folder = _first(root, _filled([images] if images is not None else layout.images, split))
    if folder is None:
        wanted = _filled([images] if images is not None else layout.images, split)
        raise _absent(root, f"frames of {dataset} {split}", wanted, "images")
    found = _find_labels(layout, root, split, form, labels)
    if found is None and (form or labels):
        names = [labels] if labels else layout.labels[form or ""]
        raise _absent(root, f"{form or ''} labels of {dataset} {split}".lstrip(), _filled(names, split), "labels")
    sequences = tuple(f"{number:04d}" for number in KITTI_SPLITS[split]) if _is_kitti(dataset, split) else None
    return SplitFolders(dataset, split, folder, found[1] if found else None, found[0] if found else None, sequences)


def list_videos(folders: SplitFolders) -> tuple[VideoFolder, ...]:
    """The videos of a split with their frames; no picture is read.

    Of KITTI MOTS, those of the split's sequences that are there.

    Raises:
        InputError: there are none, or a video lacks a frame.
    """
    layout = folders.layout
    assert layout.first_number is not None, "single images are no videos"
    there = sorted(
        path.name for path in folders.images.iterdir() if (path / layout.frames_in).is_dir() and path.name[0] != "."
    )
    names = [name for name in there if folders.sequences is None or name in folders.sequences]
    if not names:
        wanted = f"none of {listed(folders.sequences)}" if folders.sequences else "no folder of a video"
        raise InputError(
            f"'{folders.images}' holds {wanted}. Unpack the frames there, or name the folder with `images`."
        )
    return tuple(_video(name, folders.images / name / layout.frames_in, layout.first_number) for name in names)


def _video(name: str, folder: Path, first_number: int) -> VideoFolder:
    found = (path.name for path in folder.iterdir() if path.suffix.lower() in PICTURES and path.name[0] != ".")
    frames = tuple(sorted(found, key=natural_key))
    if not frames:
        raise InputError(f"'{folder}' has no pictures. Unpack the frames of video {name} there.")
    numbers = [int((re.findall(r"[0-9]+", Path(frame).stem) or ["-1"])[-1]) for frame in frames]
    expected = list(range(first_number, first_number + len(frames)))
    if numbers != expected:
        at = next(i for i, number in enumerate(expected) if numbers[i] != number)
        raise InputError(
            f"'{folder}' lacks frame {expected[at]} of video {name}: '{frames[at]}' is in its place, and frames count "
            f"from {first_number}. Unpack all frames."
        )
    return VideoFolder(name, folder, frames)


def _layout(dataset: str) -> Layout:
    if dataset not in LAYOUTS:
        raise InputError(f"Data set {dataset!r} is not known. Use one of {', '.join(LAYOUTS)}.")
    return LAYOUTS[dataset]


def _find_labels(
    layout: Layout, root: Path, split: str, form: str | None, labels: str | None
) -> tuple[str, Path] | None:
    """Form and path of the labels that are there; those of a test split only if they were named."""
    if split == "test" and labels is None:
        return None
    for name, candidates in layout.labels.items():
        if form in (None, name) and (found := _first(root, _filled([labels] if labels else candidates, split))):
            return name, found
    return None


def _filled(names: Sequence[str], split: str) -> list[str]:
    kitti = "testing" if split == "test" else "training"
    return [name.format(split=split, kitti=kitti) for name in names]


def _first(root: Path, names: Sequence[str]) -> Path | None:
    return next((root / name for name in names if (root / name).exists()), None)


def _is_kitti(dataset: str, split: str) -> bool:
    return dataset == "kitti_mots" and split in KITTI_SPLITS


def _absent(root: Path, what: str, wanted: Sequence[str], option: str) -> InputError:
    return InputError(f"'{root}' has no {what}: looked for {', '.join(wanted)}. Name yours with `{option}`.")
