"""Frames of YTVIS and OVIS videos, as samples. The file format itself is `eval.readers.ytvis`.

Beside the official fields, our own writers add per frame `hidden` and `in_front_of`
(ids of the annotations that this one hides part of); where present, depth order and hidden fraction are known.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from eval.readers.ytvis import Track, read_ytvis
from vos_occ.datasets.images import read_image
from vos_occ.datasets.sample import Sample, unknown_order
from vos_occ.structures.errors import InputError


class YtvisFrames:
    """Annotated frames of a YTVIS-format file.

    Args:
        ann_file: json in YTVIS or OVIS format.
        image_root: folder that the json's `file_names` are relative to.
        classes: names to keep, in label order; default: the file's categories in order of id.

    Raises:
        SchemaError: the json is not a YTVIS file.
        InputError: it has no annotations, or a class is not in it.
    """

    def __init__(self, ann_file: str | Path, image_root: str | Path, classes: Sequence[str] | None = None) -> None:
        dataset = read_ytvis(ann_file)
        if not dataset.has_annotations:
            raise InputError(f"{ann_file} has no annotations, so it cannot be trained on. Use the train split.")
        self.image_root = Path(image_root)
        names = {category.name: category.id for category in dataset.categories}
        self.classes = tuple(classes) if classes else tuple(sorted(names, key=names.__getitem__))
        missing = [name for name in self.classes if name not in names]
        if missing:
            raise InputError(f"{ann_file} has no category {missing[0]!r}. It has: {', '.join(sorted(names))}.")
        self._label_of = {names[name]: label for label, name in enumerate(self.classes)}
        self.videos = dataset.videos
        self._tracks: dict[int, list[Track]] = defaultdict(list)
        for track in dataset.tracks:
            if track.category_id in self._label_of:
                self._tracks[track.video_id].append(track)

    def frames(self) -> list[list[int]]:
        """Per video, the indices of the frames with at least one visible instance that is not a crowd."""
        return [
            [
                t
                for t in range(video.length)
                if any(track.segmentations[t] is not None and not track.iscrowd for track in self._tracks[video.id])
            ]
            for video in self.videos
        ]

    def load(self, video: int, frame_index: int) -> Sample:
        """The sample at `frame_index` of the `video`-th video."""
        info = self.videos[video]
        image = read_image(self.image_root / info.file_names[frame_index])
        if image.shape[:2] != (info.height, info.width):
            raise InputError(
                f"{info.file_names[frame_index]} is {image.shape[1]}x{image.shape[0]}, "
                f"but its annotation says {info.width}x{info.height}."
            )
        tracks = [track for track in self._tracks[info.id] if track.segmentations[frame_index] is not None]
        masks = np.zeros((len(tracks), *image.shape[:2]), np.uint8)
        for mask, track in zip(masks, tracks, strict=True):
            mask[:] = coco_mask.decode(track.segmentations[frame_index])
        return Sample(
            image=image,
            masks=masks,
            labels=np.array([self._label_of[track.category_id] for track in tracks], np.int64),
            instance_ids=np.array([track.id for track in tracks], np.int64),
            hidden=hidden_or_nan([_at(track.extra, "hidden", frame_index) for track in tracks]),
            in_front=order_from_lists(
                [track.id for track in tracks], [_at(track.extra, "in_front_of", frame_index) for track in tracks]
            ),
            crowd=np.array([bool(track.iscrowd) for track in tracks], bool),
        )


def _at(extra: Any, key: str, frame_index: int) -> Any:
    values = extra.get(key)
    return None if values is None else values[frame_index]


def hidden_or_nan(values: Sequence[float | None]) -> np.ndarray:
    """(N,) float32; None becomes nan."""
    return np.array([np.nan if value is None else value for value in values], np.float32)


def order_from_lists(ids: Sequence[int], in_front_of: Sequence[Sequence[int] | None]) -> np.ndarray:
    """(N, N) int8 order matrix from, per instance, the ids that it hides part of (None: nothing is known of it)."""
    order = unknown_order(len(ids))
    position = {instance_id: index for index, instance_id in enumerate(ids)}
    known = np.array([behind is not None for behind in in_front_of], bool)
    order[np.ix_(known, known)] = 0
    for i, behind in enumerate(in_front_of):
        for j in behind or ():
            if j in position:
                order[i, position[j]] = 1
    return order
