"""Where YouTube-VIS and OVIS keep a split: annotation file and folder of frames, in the layouts that are in use.

Facts: docs/sources.md, trackers 6.1. YouTube-VIS 2019 comes as `train.json` beside `train/JPEGImages`, 2021 and 2022 as
`train/instances.json`; OVIS comes as `annotations_train.json` with `train/`, which to CMaskTrack R-CNN is
`train_images/`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vos_occ.structures.errors import InputError

SPLITS = ("train", "valid", "test")
_YTVIS_IMAGES = ("{split}/JPEGImages", "{split}")
_INSTANCES = ("{split}/instances.json", "instances_{split}.json", "annotations/instances_{split}.json")
LAYOUTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "ytvis19": (
        ("{split}.json", "instances_{split}_sub.json", "annotations/instances_{split}_sub.json", *_INSTANCES),
        _YTVIS_IMAGES,
    ),
    "ytvis21": ((*_INSTANCES, "{split}.json"), _YTVIS_IMAGES),
    "ytvis22": ((*_INSTANCES, "{split}.json"), _YTVIS_IMAGES),
    "ovis": (
        ("annotations_{split}.json", "annotations/annotations_{split}.json"),
        ("{split}", "{split}_images", "images/{split}"),
    ),
}
"""By benchmark: candidates for the annotation file and for the folder of frames, the first that exists is taken."""


@dataclass(frozen=True)
class SplitFiles:
    """Where a split is.

    Attributes:
        ann_file: the json.
        image_root: the folder that its `file_names` are relative to.
    """

    ann_file: Path
    image_root: Path


def find_split(
    benchmark: str, root: str | Path, split: str, *, ann_file: str | None = None, image_prefix: str | None = None
) -> SplitFiles:
    """Find a split below the folder that a benchmark was unpacked into.

    Args:
        benchmark: one of `LAYOUTS`.
        root: the folder.
        split: train, valid or test.
        ann_file: the json below `root`, where it has another name.
        image_prefix: the folder of frames below `root`, where it has another name.

    Raises:
        InputError: nothing is there; the message says what was looked for.
    """
    if benchmark not in LAYOUTS:
        raise InputError(f"Benchmark {benchmark!r} is not known. Use one of {', '.join(LAYOUTS)}.")
    if split not in SPLITS:
        raise InputError(f"Split {split!r} is not known. Use one of {', '.join(SPLITS)}.")
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"There is no folder '{root}'. Unpack {benchmark} there, or name the folder that holds it.")
    annotations, images = ([name.format(split=split) for name in names] for names in LAYOUTS[benchmark])
    wanted = [ann_file] if ann_file else annotations
    found = [name for name in wanted if (root / name).is_file()]
    if not found:
        raise _absent(root, f"annotations of {benchmark} {split}", wanted, "ann_file")
    wanted = [image_prefix] if image_prefix is not None else images
    folders = [name for name in wanted if (root / name).is_dir()]
    if not folders:
        raise _absent(root, f"frames of {benchmark} {split}", [f"{name}/" for name in wanted], "image_prefix")
    return SplitFiles(root / found[0], root / folders[0])


def _absent(root: Path, what: str, wanted: Sequence[str], option: str) -> InputError:
    return InputError(f"'{root}' has no {what}: looked for {', '.join(wanted)}. Name yours with `{option}`.")


def other_layout(image_root: Path) -> str:
    """What to say of a folder that is absent: its neighbour of the other layout, if that is there."""
    for split in SPLITS:
        names = [split, f"{split}_images"]
        if image_root.name in names:
            other = image_root.with_name(names[1 - names.index(image_root.name)])
            return f"There is '{other}': name that." if other.is_dir() else f"Neither is there '{other}'."
    return "Name the folder that the json's file_names are relative to."
