"""A synthetic OVIS: files and folders as the real one has them, with the truth about occlusion added.

`annotations_train.json` with frames in `train/`, `annotations_valid.json` (`"annotations": null`, as published) with
frames in `valid/`, and `annotations_valid_full.json`, which the real one keeps on its server, to score against.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vos_occ.datasets.patterns import Split
from vos_occ.datasets.synthetic import SyntheticWorld
from vos_occ.datasets.synthetic_export import Records, Video, write_image
from vos_occ.results.output import require_new
from vos_occ.results.ytvis import write_ytvis_dataset

POOLS: dict[str, Split] = {"train": "train", "valid": "heldout"}
"""Which looks of the synthetic world each split is drawn from: scores are about textures that training has not seen."""


def write_ovis(
    folder: str | Path, train: Iterable[int], valid: Iterable[int], *, overwrite: bool = False, **world: Any
) -> None:
    """Writes both splits in the layout of OVIS.

    Annotations carry OVIS' `occlusion` per frame, from the hidden fraction: `no_occlusion` below .01,
    `slight_occlusion` below .5, else `severe_occlusion`; and the fields that `synthetic_export.write_videos` adds.

    Args:
        folder: gets the files; frames are `train/VIDEO/img_0000001.jpg`, counted from 1.
        train: seeds of training videos.
        valid: seeds of validation videos, drawn from held-back textures and shapes.
        overwrite: replace annotations that exist.
        world: further keywords of `SyntheticWorld`.

    Raises:
        InputError: an argument out of range.
        OutputExistsError: an annotation file exists and `overwrite` is off.
    """
    folder = Path(folder)
    seeds = {"train": tuple(train), "valid": tuple(valid)}
    names = {"train": ("annotations_train.json",), "valid": ("annotations_valid.json", "annotations_valid_full.json")}
    for name in (name for split in seeds if seeds[split] for name in names[split]):
        require_new(folder / name, overwrite, folder=False)
    for split, chosen in seeds.items():
        if not chosen:
            continue
        source = SyntheticWorld(POOLS[split], **world)
        records = _render(folder / split, (source.video(seed) for seed in chosen))
        for name in names[split]:
            annotations = None if name == "annotations_valid.json" else records.tracks
            write_ytvis_dataset(folder / name, records.videos, annotations, records.categories, overwrite)


def _render(folder: Path, videos: Iterable[Video]) -> Records:
    records = Records(coco_stride=None)
    for video in videos:
        records.start(video)
        for frame in video:
            file_name = f"{video.name}/img_{frame.frame_index + 1:07d}.jpg"
            write_image(folder / file_name, frame.image)
            records.add(frame, file_name)
        records.finish()
    return records
