"""Which videos are tested and by whose rules: from the command line, else from the config. Reads no video."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vos_occ.datasets.layouts import find_split
from vos_occ.structures.errors import InputError

FORMATS = ("ovis", "ytvis")
TRACKING_FORMATS = ("bdd100k", "kitti_mots", "mots_challenge")
"""Those whose videos are folders of pictures; see `vos_occ.inference.tracking_split`."""

_LAYOUT_OF = {"ovis": "ovis", "ytvis": "ytvis19"}  # whose candidates include those of later years


@dataclass(frozen=True)
class VideoFiles:
    """What is tested.

    Attributes:
        ann_file: json of the videos.
        image_root: the folder that its `file_names` are relative to.
        format: one of `FORMATS`, whose server and protocol the results are for; None where nothing says so.
    """

    ann_file: Path
    image_root: Path
    format: str | None


def benchmark_of(config: Mapping[str, Any], format: str | None) -> str | None:
    """One of `TRACKING_FORMATS`, if that was asked for, on the command line or else by the config; None if not."""
    asked = format or config.get("benchmark")
    return asked if asked in TRACKING_FORMATS else None


def find_video_files(
    config: Mapping[str, Any],
    *,
    ann_file: str | None = None,
    image_root: str | None = None,
    split: str | None = None,
    data_root: str | None = None,
    format: str | None = None,
) -> VideoFiles:
    """What was asked for.

    Args:
        config: entries of a config: `test_dataset` with `ann_file` and `image_root`; for `split` also `benchmark` and
            `data_root`. May be empty.
        ann_file: instead of what the config or the split has.
        image_root: likewise.
        split: train, valid (or val) or test, looked for below `data_root` in the layouts that are in use.
        data_root: the folder that the benchmark was unpacked into; default: the config's.
        format: one of `FORMATS`; default: that of the config's benchmark.

    Raises:
        InputError: nothing names the files, or the split is not there.
    """
    benchmark = config.get("benchmark")
    if format is None and benchmark is not None:
        format = "ovis" if benchmark == "ovis" else "ytvis"
    elif benchmark is None or (benchmark == "ovis") != (format == "ovis"):
        benchmark = _LAYOUT_OF.get(format or "")
    if split is None:
        named = config.get("test_dataset", {})
        annotations, images = ann_file or named.get("ann_file"), image_root or named.get("image_root")
        if not annotations or not images:
            raise InputError("The config names no test_dataset: give --ann-file and --image-root, or --split.")
        return VideoFiles(Path(annotations), Path(images), format)
    root = data_root or config.get("data_root")
    if benchmark is None or root is None:
        missing = "--format ovis|ytvis" if benchmark is None else "--data-root DIR"
        raise InputError(f"The config does not say where --split {split} is to be looked for: add {missing}.")
    split = "valid" if split == "val" else split
    found = find_split(benchmark, root, split, ann_file=_absolute(ann_file), image_prefix=_absolute(image_root))
    return VideoFiles(found.ann_file, found.image_root, format)


def _absolute(path: str | None) -> str | None:
    """A path of the command line, which is not relative to the folder of the benchmark."""
    return None if path is None else str(Path(path).absolute())
