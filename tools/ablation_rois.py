"""RoIs of the synthetic world as one frozen detector sees them, cut out once: what all heads of an ablation train on.

Everything drawn at random (which frames, how boxes are jittered) comes from fixed seeds, so that heads differ in
nothing but themselves. Masks, contours and occluders are the project's own targets.
"""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from image_scores import xywh
from mmdet.structures.bbox import bbox2roi
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData
from torch import Tensor

from vos_occ.datasets.sample import Sample
from vos_occ.datasets.synthetic import MIN_AREA, SyntheticFrame, SyntheticWorld
from vos_occ.models.bilayer.targets import BilayerTargetBuilder, BilayerTargets
from vos_occ.models.video.roi_model import RoIVideoModel
from vos_occ.structures.boxes import box_iou
from vos_occ.structures.rle import encode

Extent = Literal["modal", "amodal"]
EXTENTS: tuple[Extent, ...] = ("modal", "amodal")

SHIFT, STRETCH = 0.1, 0.15
"""Jitter of a box: its centre moves by up to this share of a side, each side changes by up to a factor exp(this)."""

MIN_SCORE, MAX_DETECTIONS = 0.05, 20


@dataclass(frozen=True)
class TrainingRois:
    """R RoIs with their targets.

    Attributes:
        feats: (R, C, S, S) float16, of the frozen detector's pyramid.
        targets: of the same RoIs.
    """

    feats: Tensor
    targets: BilayerTargets

    def __len__(self) -> int:
        return len(self.feats)

    def save(self, path: Path) -> None:
        """Writes what `load` reads."""
        torch.save({"feats": self.feats, "targets": vars(self.targets)}, path)

    @classmethod
    def load(cls, path: Path) -> TrainingRois:
        """Reads what `save` wrote."""
        values = torch.load(path, weights_only=True)
        return cls(values["feats"], BilayerTargets(**values["targets"]))


@dataclass(frozen=True)
class TestRois:
    """R RoIs to be segmented, and the pictures that they lie in.

    Attributes:
        feats: (R, C, S, S) float16.
        boxes: (R, 4) float32 xyxy in pixels of the frame.
        image_ids: (R,) int64.
        category_ids: (R,) int64.
        scores: (R,) float32 of the detector; NaN where the boxes were given, not detected.
        annotation_ids: (R,) int64, the object that a given box belongs to; 0 for detections.
        size: (height, width) of every frame.
    """

    feats: Tensor
    boxes: Tensor
    image_ids: Tensor
    category_ids: Tensor
    scores: Tensor
    annotation_ids: Tensor
    size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.feats)

    def save(self, path: Path) -> None:
        """Writes what `load` reads."""
        torch.save(vars(self), path)

    @classmethod
    def load(cls, path: Path) -> TestRois:
        """Reads what `save` wrote."""
        return cls(**torch.load(path, weights_only=True))


def frames_of(world: SyntheticWorld, seeds: Sequence[int], stride: int) -> Iterator[SyntheticFrame]:
    """Every `stride`-th frame of the videos of some seeds."""
    for seed in seeds:
        video = world.video(seed)
        yield from (video[t] for t in range(0, len(video), stride))


def objects_of(frame: SyntheticFrame, extent: Extent) -> Sample:
    """The objects of a frame that can be seen at all, with masks of one extent."""
    masks = frame.visible if extent == "modal" else frame.amodal
    sample = Sample(
        image=frame.image,
        masks=masks.astype(np.uint8),
        labels=frame.labels,
        instance_ids=frame.track_ids,
        hidden=frame.hidden.astype(np.float32),
        in_front=frame.in_front.astype(np.int8),
        crowd=np.zeros(len(frame), bool),
    )
    return sample.select(frame.visible.sum((1, 2)) >= MIN_AREA)


def jittered(boxes: np.ndarray, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Boxes (N, 4) xyxy as a detector may find them: moved, stretched, cut off at the picture's border, IoU >= .5."""
    result = boxes.copy()
    for i, box in enumerate(boxes):
        for _ in range(20):
            sides = box[2:] - box[:2]
            centre = (box[:2] + box[2:]) / 2 + rng.uniform(-SHIFT, SHIFT, 2) * sides
            half = sides * np.exp(rng.uniform(-STRETCH, STRETCH, 2)) / 2
            moved = np.concatenate([centre - half, centre + half]).clip(0, [*size[::-1]] * 2).astype(np.float32)
            if box_iou(box[None], moved[None])[0, 0] >= 0.5:
                result[i] = moved
                break
    return result


@torch.inference_mode()
def training_rois(
    model: RoIVideoModel, frames: Iterator[SyntheticFrame], extent: Extent, repeats: int = 2
) -> TrainingRois:
    """Jittered ground-truth boxes of frames, each object `repeats` times, with features and targets."""
    rng = np.random.default_rng(0)
    # order is known here, so a small thing in front counts however little its box overlaps
    build = BilayerTargetBuilder(occluder="in_front", min_box_iou=0.0)
    feats, targets = [], []
    for frame in frames:
        sample = objects_of(frame, extent)
        if not len(sample):
            continue
        gt, size = _instances(sample), sample.image.shape[:2]
        boxes = torch.from_numpy(np.concatenate([jittered(sample.boxes(), size, rng) for _ in range(repeats)]))
        indices = torch.arange(len(sample)).repeat(repeats)
        feats.append(_features(model, sample.image, boxes))
        targets.append(build([boxes], [indices], [gt], [(1.0, 1.0)]))
    names = BilayerTargets.__dataclass_fields__
    joined = {name: torch.cat([getattr(part, name) for part in targets]) for name in names}
    return TrainingRois(torch.cat(feats), BilayerTargets(**joined))


@torch.inference_mode()
def test_rois(
    model: RoIVideoModel, frames: Iterator[SyntheticFrame], extent: Extent, detected: bool
) -> tuple[TestRois, dict[str, list[dict[str, Any]]]]:
    """RoIs of frames, and the frames' objects as a COCO dataset.

    Args:
        model: the frozen detector.
        frames: of videos that were not trained on.
        extent: of the masks that are to be found.
        detected: take the detector's own boxes, classes and scores; else jittered ground-truth boxes.
    """
    rng = np.random.default_rng(1)
    dataset: dict[str, list] = {"images": [], "annotations": [], "categories": _categories(model)}
    parts: list[tuple[Tensor, ...]] = []
    size = (0, 0)
    for image_id, frame in enumerate(frames, start=1):
        sample = objects_of(frame, extent)
        size = sample.image.shape[:2]
        dataset["images"].append({"id": image_id, "file_name": f"{image_id}", "height": size[0], "width": size[1]})
        annotations = coco_annotations(sample, image_id, len(dataset["annotations"]) + 1)
        dataset["annotations"] += annotations
        if detected:
            boxes, labels, scores = _detections(model, sample.image)
            ids = torch.zeros(len(boxes), dtype=torch.int64)
        else:
            boxes = torch.from_numpy(jittered(sample.boxes(), size, rng))
            labels, scores = torch.from_numpy(sample.labels), torch.full((len(boxes),), torch.nan)
            ids = torch.tensor([annotation["id"] for annotation in annotations], dtype=torch.int64)
        feats = _features(model, sample.image, boxes)
        parts.append((feats, boxes, torch.full_like(labels, image_id), labels + 1, scores, ids))
    return TestRois(*(torch.cat(part) for part in zip(*parts, strict=True)), size=size), dataset


def _instances(sample: Sample) -> InstanceData:
    return InstanceData(
        bboxes=torch.from_numpy(sample.boxes()),
        masks=BitmapMasks(sample.masks, *sample.image.shape[:2]),
        hidden=torch.from_numpy(sample.hidden),
        in_front=torch.from_numpy(sample.in_front),
    )


def _features(model: RoIVideoModel, image: np.ndarray, boxes: Tensor) -> Tensor:
    """(N, C, S, S) float16 RoI features of boxes in pixels of the frame."""
    prepared = model.prepare(image)
    extractor = model.detector.roi_head.mask_roi_extractor
    levels = model.detector.extract_feat(prepared.tensor)[: extractor.num_inputs]
    return extractor(levels, bbox2roi([boxes * prepared.scale])).half()


def _detections(model: RoIVideoModel, image: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes in pixels of the frame, labels and scores, down to scores that only a precision curve still needs."""
    prepared = model.prepare(image)
    model.score_threshold = MIN_SCORE
    found = model.detect(model.detector.extract_feat(prepared.tensor), prepared)[:MAX_DETECTIONS]
    return found.bboxes / prepared.scale, found.labels, found.scores


def _categories(model: RoIVideoModel) -> list[dict[str, Any]]:
    return [{"id": i, "name": name} for i, name in enumerate(model.classes, start=1)]


def coco_annotations(sample: Sample, image_id: int, first_id: int) -> list[dict[str, Any]]:
    """The objects of a frame in COCO's format, with the fraction of each that is hidden."""
    return [
        {
            "id": first_id + i,
            "image_id": image_id,
            "category_id": int(sample.labels[i]) + 1,
            "segmentation": encode(mask.astype(bool)),
            "bbox": xywh(box),
            "area": int(mask.sum()),
            "iscrowd": 0,
            "hidden": float(sample.hidden[i]),
        }
        for i, (mask, box) in enumerate(zip(sample.masks, sample.boxes(), strict=True))
    ]
