"""Frames of YTVIS and OVIS videos, as samples. The file format itself is `eval.readers.ytvis`.

Beside the official fields, our own writers add per frame `hidden` and `in_front_of`
(ids of the annotations that this one hides part of); where present, depth order and hidden fraction are known.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from eval.readers.ytvis import Track, read_ytvis
from vos_occ.datasets.annotations import decode_masks, hidden_or_nan, order_from_lists, select_classes
from vos_occ.datasets.images import read_frame
from vos_occ.datasets.sample import Sample
from vos_occ.structures.errors import InputError


class YtvisFrames:
    """Annotated frames of a YTVIS-format file.

    Args:
        ann_file: json in YTVIS or OVIS format.
        image_root: folder that the json's `file_names` are relative to.
        classes: names to keep, in label order; default: the file's categories in order of id.

    Raises:
        SchemaError: the json is not a YTVIS file.
        InputError: it has no annotations or names no frames, or a class is not in it.
    """

    keep_empty = False

    def __init__(self, ann_file: str | Path, image_root: str | Path, classes: Sequence[str] | None = None) -> None:
        dataset = read_ytvis(ann_file)
        if not dataset.has_annotations:
            raise InputError(f"{ann_file} has no annotations, so it cannot be trained on. Use the train split.")
        if unnamed := [video.id for video in dataset.videos if not video.file_names]:
            raise InputError(f"{ann_file}: video {unnamed[0]} has no file_names, so its frames cannot be found.")
        self.image_root = Path(image_root)
        self.classes, self._label_of = select_classes(dataset.categories, classes, ann_file)
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
        tracks = [track for track in self._tracks[info.id] if track.segmentations[frame_index] is not None]
        ids = [track.id for track in tracks]
        return Sample(
            image=read_frame(self.image_root / info.file_names[frame_index], info.height, info.width),
            masks=decode_masks([track.segmentations[frame_index] for track in tracks], info.height, info.width),
            labels=np.array([self._label_of[track.category_id] for track in tracks], np.int64),
            instance_ids=np.array(ids, np.int64),
            hidden=hidden_or_nan([_at(track.extra, "hidden", frame_index) for track in tracks]),
            in_front=order_from_lists(ids, [_at(track.extra, "in_front_of", frame_index) for track in tracks]),
            crowd=np.array([bool(track.iscrowd) for track in tracks], bool),
        )


def _at(extra: Mapping[str, Any], key: str, frame_index: int) -> Any:
    values = extra.get(key)
    return None if values is None else values[frame_index]
