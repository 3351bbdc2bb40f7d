"""Frames of YTVIS and OVIS videos, as samples. The file format itself is `eval.readers.ytvis`.

Beside the official fields, our own writers add per frame `hidden` and `in_front_of`
(ids of the annotations that this one hides part of); where present, depth order and hidden fraction are known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np

from eval.errors import listed
from eval.readers.ytvis import Track, YtvisIndex, index_ytvis
from eval.readers.ytvis_tubes import Video
from vos_occ.datasets.annotations import select_classes
from vos_occ.datasets.images import read_frame
from vos_occ.datasets.layouts import find_split, other_layout
from vos_occ.datasets.object_store import FrameObjects, ObjectStore, StoreBuilder
from vos_occ.datasets.sample import Sample
from vos_occ.structures.errors import InputError


class YtvisFrames:
    """Annotated frames of a YTVIS-format file.

    The file is read once, record by record; what stays in memory is an `ObjectStore`, of which an item decodes one
    frame.

    Args:
        ann_file: json in YTVIS or OVIS format.
        image_root: folder that the json's `file_names` are relative to.
        classes: names to keep, in label order; default: the file's categories in order of id.
        merge: class that a category belongs to, where that has another name.

    Raises:
        SchemaError: the json is not a YTVIS file.
        InputError: it has no annotations or names no frames, a class is not in it, or its frames are not in the folder.
    """

    keep_empty = False

    def __init__(
        self,
        ann_file: str | Path,
        image_root: str | Path,
        classes: Sequence[str] | None = None,
        merge: Mapping[str, str] | None = None,
    ) -> None:
        index = index_ytvis(ann_file)
        if not index.has_annotations:
            raise InputError(f"{ann_file} has no annotations, so it cannot be trained on. Use the train split.")
        self.image_root = Path(image_root)
        require_frames(ann_file, index.videos, self.image_root)
        self.classes, label_of = select_classes(index.categories, classes, ann_file, merge)
        self.videos = index.videos
        lengths = np.array([video.length for video in self.videos], np.int64)
        self._starts = np.append(0, np.cumsum(lengths))
        first_frame = {video.id: int(start) for video, start in zip(self.videos, self._starts[:-1], strict=True)}
        self._store = _store(index, label_of, first_frame)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.videos)} videos in {str(self.image_root)!r}: {self._store!r})"

    def frames(self) -> list[list[int]]:
        """Per video, the indices of the frames with at least one visible instance that is not a crowd."""
        parts = np.split(self._store.usable(), self._starts[1:-1])
        return [np.flatnonzero(part).tolist() for part in parts]

    def objects(self, video: int, frame_index: int) -> FrameObjects:
        """What is annotated at `frame_index` of the `video`-th video; no file is read."""
        info = self.videos[video]
        return self._store.objects(int(self._starts[video]) + frame_index, info.height, info.width)

    def load(self, video: int, frame_index: int) -> Sample:
        """The sample at `frame_index` of the `video`-th video."""
        info = self.videos[video]
        image = read_frame(self.image_root / info.file_names[frame_index], info.height, info.width)
        return sample_of(image, self.objects(video, frame_index))


class BenchmarkFrames(YtvisFrames):
    """The same, of a benchmark as it was unpacked: files are found in any of the layouts that are in use.

    Args:
        benchmark: ytvis19, ytvis21, ytvis22 or ovis.
        root: the folder that the benchmark was unpacked into.
        split: train, valid or test; only one with annotations can be trained on.
        classes: as above.
        ann_file: the json below `root`, where it has another name.
        image_prefix: the folder of frames below `root`, where it has another name.
        merge: as above.

    Raises:
        SchemaError, InputError: as above, or nothing is there.
    """

    def __init__(
        self,
        benchmark: str,
        root: str | Path,
        split: str = "train",
        classes: Sequence[str] | None = None,
        ann_file: str | None = None,
        image_prefix: str | None = None,
        merge: Mapping[str, str] | None = None,
    ) -> None:
        files = find_split(benchmark, root, split, ann_file=ann_file, image_prefix=image_prefix)
        super().__init__(files.ann_file, files.image_root, classes, merge)


def require_frames(ann_file: str | Path, videos: Sequence[Video], image_root: Path) -> None:
    """Raises InputError unless each video names frames and the first of them is there."""
    if unnamed := [video.id for video in videos if not video.file_names]:
        raise InputError(f"{ann_file}: video {unnamed[0]} has no file_names, so its frames cannot be found.")
    if not image_root.is_dir():
        cure = other_layout(image_root)
        raise InputError(f"The frames of {ann_file} are not in '{image_root}': no such folder. {cure}")
    absent = [video.file_names[0] for video in videos if not (image_root / video.file_names[0]).is_file()]
    if absent:
        raise InputError(
            f"The first frames of {len(absent)} of {len(videos)} videos of {ann_file} do not exist in '{image_root}': "
            f"{listed(absent)}. Name the folder that file_names are relative to, or take these videos out."
        )


def sample_of(image: np.ndarray, objects: FrameObjects) -> Sample:
    """A picture with what is annotated in it."""
    return Sample(image=image, **{field.name: getattr(objects, field.name) for field in fields(objects)})


def _store(index: YtvisIndex, label_of: Mapping[int, int], first_frame: Mapping[int, int]) -> ObjectStore:
    """All objects of the classes that are kept; frames are numbered through all videos."""
    builder = StoreBuilder()
    for track in index.tracks():
        if track.category_id in label_of:
            builder.add_owner(track.id, label_of[track.category_id], track.iscrowd)
            _add_track(builder, track, first_frame[track.video_id])
    return builder.build(sum(video.length for video in index.videos))


def _add_track(builder: StoreBuilder, track: Track, first_frame: int) -> None:
    unknown = [None] * len(track.segmentations)
    per_frame = (track.extra.get("hidden"), track.occlusion, track.extra.get("in_front_of"))
    hidden, occlusion, behind = (unknown if values is None else values for values in per_frame)
    for t, mask in enumerate(track.segmentations):
        if mask is not None:
            builder.add(first_frame + t, mask["counts"], hidden[t], occlusion[t], behind[t])
