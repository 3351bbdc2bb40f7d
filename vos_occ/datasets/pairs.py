"""Key/reference pairs for training: from videos, and from single images by two augmentations that keep ids."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import torch
from mmdet.registry import DATASETS, TRANSFORMS
from mmdet.structures import DetDataSample, TrackDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.logging import print_log
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from torch.utils.data import Dataset, get_worker_info

from vos_occ.datasets import transforms
from vos_occ.datasets.bdd_bitmask import BddBitmaskFrames
from vos_occ.datasets.coco import CocoFrames
from vos_occ.datasets.copy_paste import PASTED_ID, CopyPaste
from vos_occ.datasets.key_frames import KeyFrames
from vos_occ.datasets.mots_benchmark import mots_benchmark
from vos_occ.datasets.sample import Sample
from vos_occ.datasets.scalabel import ScalabelFrames
from vos_occ.datasets.ytvis import BenchmarkFrames, YtvisFrames
from vos_occ.structures.errors import InputError

SOURCES = {
    "YtvisFrames": YtvisFrames,
    "BenchmarkFrames": BenchmarkFrames,
    "CocoFrames": CocoFrames,
    "MotsBenchmark": mots_benchmark,
    "BddBitmaskFrames": BddBitmaskFrames,
    "ScalabelFrames": ScalabelFrames,
}
ATTEMPTS = 10  # at a pair from which something can be learned after augmentation, before another is taken
for _transform in (transforms.RandomFlip, transforms.RandomScaleCrop, transforms.ColorJitter, transforms.DropSmall):
    TRANSFORMS.register_module(name=f"Occ{_transform.__name__}", module=_transform)

Transform = Callable[[Sample, np.random.Generator], Sample]


class FrameSource(Protocol):
    """What a data set must offer: `frames()[video]` lists usable frame indices, `load` reads one.

    `keep_empty` says whether a frame without objects is a sample: background that must not be detected.
    """

    classes: tuple[str, ...]
    keep_empty: bool

    def frames(self) -> list[list[int]]: ...

    def load(self, video: int, frame_index: int) -> Sample: ...


@DATASETS.register_module()
class FramePairs(Dataset):
    """Every usable frame as a key frame, with a random reference frame of the same video.

    Both frames of a video get the same augmentation (MaskTrack R-CNN: same scale and flip); an image is augmented
    twice, independently, so that its instances move between key and reference.

    Args:
        sources: configs of `SOURCES`, each with an optional `repeat`: how often its frames count in an epoch, which may
            be a fraction. Videos and images may be mixed.
        pipeline: configs of transforms; the last size decides the tensor's size, so pairs of a batch are alike.
        frame_range: the reference lies at most this many frames from the key (by frame index), where there is one.
        copy_paste: arguments of `CopyPaste`, applied to single images before they are augmented twice; None: not.
        classes: names in label order, the same for all sources. Where a source has other names or finer classes, its
            config says so by `merge`: {"person": "pedestrian", "rider": "pedestrian"}.
        require_shared: draw another pair where key and reference have no object in common, as PCAN's training does
            (docs/sources.md, trackers 3.4); where none is, the key is its own reference. Without, such a pair teaches
            that its objects are new.

    Raises:
        InputError: a source cannot be used, or none has a usable frame.
        SchemaError: an annotation file is not of its format.
    """

    def __init__(
        self,
        sources: Sequence[dict[str, Any]],
        pipeline: Sequence[dict[str, Any]],
        classes: Sequence[str],
        frame_range: int = 100,
        copy_paste: dict[str, Any] | None = None,
        require_shared: bool = False,
    ) -> None:
        self.classes = tuple(classes)
        self.metainfo = {"classes": self.classes}
        self.frame_range = frame_range
        self.require_shared = require_shared
        with DefaultScope.overwrite_default_scope("mmdet"):
            self.pipeline: list[Transform] = [TRANSFORMS.build(config) for config in pipeline]
        self.copy_paste = CopyPaste(**copy_paste) if copy_paste else None
        self.sources: list[FrameSource] = []
        self._keys: list[KeyFrames] = []
        for config in sources:
            self._add_source(dict(config))
        if not len(self):
            raise InputError("The training set is empty: no source has a frame with an annotated instance.")

    def _add_source(self, config: dict[str, Any]) -> None:
        repeat = config.pop("repeat", 1)
        kind = config.pop("type", None)
        if kind not in SOURCES:
            raise InputError(f"Source type {kind!r} of the training set is not known. Use {' or '.join(SOURCES)}.")
        source = SOURCES[kind](**config, classes=self.classes)
        frames = source.frames()
        keys = KeyFrames(frames, repeat)
        if keys.skipped:
            what = "images" if max(map(len, frames)) <= 1 else "videos"
            print_log(f"{keys.skipped} {what} without an annotated object are skipped: {source!r}", logger="current")
        self.sources.append(source)
        self._keys.append(keys)

    def __len__(self) -> int:
        return sum(map(len, self._keys))

    def __getitem__(self, index: int) -> dict[str, Any]:
        """`inputs` (2, 3, H, W) uint8 RGB, key first, and `data_samples`, a TrackDataSample of both frames."""
        rng = _generator()
        for _ in range(ATTEMPTS):
            number, video, frame_index = self._locate(index, rng)
            key, reference = self._pair(number, video, frame_index, rng)
            if self._teaches(number, key, reference):
                break
            index = int(rng.integers(len(self)))
        else:
            reference = key if self.require_shared else reference
        packed = pack_pair(key, reference)
        packed["data_samples"].set_metainfo({"img_id": f"source {number} video {video} frame {frame_index}"})
        return packed

    def _teaches(self, number: int, key: Sample, reference: Sample) -> bool:
        """Whether something can be learned from a pair: of an empty key, only where that is a sample."""
        ids = key.instance_ids[~key.crowd]
        if not len(ids):
            return self.sources[number].keep_empty
        return not self.require_shared or bool(np.isin(ids, reference.instance_ids[~reference.crowd]).any())

    def _locate(self, index: int, rng: np.random.Generator) -> tuple[int, int, int]:
        """Source, video and frame of an item."""
        for number, keys in enumerate(self._keys):
            if index < len(keys):
                return number, *keys.pick(index, rng)
            index -= len(keys)
        raise IndexError(f"The training set has {len(self)} pairs.")

    def _pair(self, number: int, video: int, frame_index: int, rng: np.random.Generator) -> tuple[Sample, Sample]:
        source = self.sources[number]
        key = source.load(video, frame_index)
        near = self._keys[number].near(video, frame_index, self.frame_range)
        if len(near):
            seed = int(rng.integers(2**31))
            reference = source.load(video, int(rng.choice(near)))
            return self._augment(key, seed), self._augment(reference, seed)
        key, reference = self._paste(key, rng)
        return self._augment(key, int(rng.integers(2**31))), self._augment(reference, int(rng.integers(2**31)))

    def _paste(self, image: Sample, rng: np.random.Generator) -> tuple[Sample, Sample]:
        """The image twice, with the same instances pasted at different places."""
        if self.copy_paste is None:
            return image, image
        cutouts = self.copy_paste.draw(lambda: self._random_sample(rng), rng)
        objects = image.instance_ids[~image.crowd]
        targets = rng.choice(objects, len(cutouts)).tolist() if len(objects) else [0, *[PASTED_ID] * len(cutouts)]
        targets = targets[: len(cutouts)]  # on an empty image, the first goes anywhere and the others in front of it
        key, reference = (self.copy_paste.paste(image, cutouts, targets, rng) for _ in range(2))
        return key, reference

    def _random_sample(self, rng: np.random.Generator) -> Sample:
        number, video, frame_index = self._locate(int(rng.integers(len(self))), rng)
        return self.sources[number].load(video, frame_index)

    def _augment(self, sample: Sample, seed: int) -> Sample:
        rng = np.random.default_rng(seed)
        for transform in self.pipeline:
            sample = transform(sample, rng)
        return sample.select(sample.masks.any((1, 2)))  # what is covered wholly has no box to learn


def _generator() -> np.random.Generator:
    """Draws for one item: by numpy's state, which mmengine gives every worker of every process its own.

    Where workers begin anew in each epoch, so does that state; torch's seed of the worker is another in each.
    """
    drawn, worker = np.random.randint(2**31), get_worker_info()
    return np.random.default_rng(drawn if worker is None else (drawn, worker.seed))


def pack_pair(key: Sample, reference: Sample) -> dict[str, Any]:
    """Two samples of one size as mmdet's training input: frame 0 is the key, frame 1 the reference.

    Instances are numbered from 1 within the pair: to mmdet's quasi-dense head an id of 0 has no partner.
    """
    images = np.stack([key.image, reference.image]).transpose(0, 3, 1, 2)
    _, numbers = np.unique(np.concatenate([key.instance_ids, reference.instance_ids]), return_inverse=True)
    key = replace(key, instance_ids=numbers[: len(key)] + 1)
    reference = replace(reference, instance_ids=numbers[len(key) :] + 1)
    track_sample = TrackDataSample()
    track_sample.video_data_samples = [_data_sample(key), _data_sample(reference)]
    track_sample.set_metainfo({"key_frames_inds": [0], "ref_frames_inds": [1]})
    return {"inputs": torch.from_numpy(np.ascontiguousarray(images)), "data_samples": track_sample}


def _data_sample(sample: Sample) -> DetDataSample:
    height, width = sample.image.shape[:2]
    data_sample = DetDataSample(
        metainfo={"img_shape": (height, width), "ori_shape": (height, width), "scale_factor": (1.0, 1.0)}
    )
    data_sample.gt_instances = _instances(sample.select(~sample.crowd))
    data_sample.ignored_instances = _instances(sample.select(sample.crowd))
    return data_sample


def _instances(sample: Sample) -> InstanceData:
    height, width = sample.image.shape[:2]
    return InstanceData(
        bboxes=torch.from_numpy(sample.boxes()),
        labels=torch.from_numpy(sample.labels),
        masks=BitmapMasks(sample.masks, height, width),
        instances_ids=torch.from_numpy(sample.instance_ids),
        hidden=torch.from_numpy(sample.hidden),
        in_front=torch.from_numpy(sample.in_front),
        occlusion=torch.from_numpy(sample.occlusion),
        mask_known=torch.from_numpy(sample.mask_known),
    )
