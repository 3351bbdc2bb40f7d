"""Validation on images: AP of masks by any protocol that reads COCO results."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmdet.registry import METRICS
from torch import Tensor

from eval.readers.coco import Annotation, read_coco
from eval.readers.record import categories, load_object
from vos_occ.datasets.annotations import select_classes
from vos_occ.results.coco_results import coco_results, write_coco_results
from vos_occ.scoring import OcclusionMatches
from vos_occ.structures import FrameResult
from vos_occ.structures.errors import InputError
from vos_occ.structures.rle import encode
from vos_occ.validation.metric import Metrics, ProtocolMetric
from vos_occ.validation.written import WrittenVideo


@dataclass(frozen=True)
class ImageAnswer:
    """The objects found on one image."""

    id: int
    frame: FrameResult


@METRICS.register_module()
class OccImageMetric(ProtocolMetric):
    """Scores COCO results by `coco`, `coco_boundary`, or a protocol of amodal datasets.

    Takes the files of `OccValLoop`, or, in mmengine's ValLoop, what mmdet's detectors predict. The protocols of amodal
    datasets take the masks for amodal ones, which is right for models that were trained on these.

    Args:
        protocol: see `protocols`.
        ann_file: ground truth; default: that of the dataset. mmdet's datasets do not tell theirs.
        occlusion: with `hidden` or `in_front_of` in the annotations of a COCO file, add the scores of hidden fraction
            and order.
        **arguments: see `ProtocolMetric`.

    Raises:
        InputError: the protocol is another one.
    """

    protocols = ("coco", "coco_boundary", "kins", "cocoa", "cocoa_cls", "d2sa")
    datasets = ("OccImages", None)

    def __init__(
        self,
        protocol: str = "coco",
        ann_file: str | Path | None = None,
        occlusion: bool = True,
        **arguments: Any,
    ) -> None:
        super().__init__(protocol, **arguments)
        self.ann_file = ann_file
        self.occlusion = occlusion and protocol in ("coco", "coco_boundary")

    def process(self, data_batch: Any, data_samples: Sequence[WrittenVideo | Mapping[str, Any]]) -> None:
        """Takes what was written for some images, or mmdet's data samples of them as dicts."""
        for sample in data_samples:
            self.results.append(self._read(sample) if isinstance(sample, WrittenVideo) else from_data_sample(sample))

    def _read(self, written: WrittenVideo) -> ImageAnswer:
        with self.folder() as out:
            return ImageAnswer(written.id, written.write(out).frames[0])

    def compute_metrics(self, results: Sequence[ImageAnswer]) -> Metrics:
        """Writes COCO results as for a submission, and scores them."""
        ann_file, category_ids = self._ground_truth()
        entries = [entry for answer in results for entry in coco_results(answer.frame, answer.id, category_ids)]
        with self.folder() as out:
            path = out / "results.json"
            write_coco_results(path, entries, overwrite=True)
            metrics = self.score(ann_file, path)
        return metrics | (score_occlusion(ann_file, results) if self.occlusion else {})

    def _ground_truth(self) -> tuple[str | Path, Sequence[int]]:
        """The annotation file, and its category id of each label."""
        meta = self.dataset_meta
        if "category_ids" in meta and self.ann_file in (None, meta["ann_file"]):
            return meta["ann_file"], meta["category_ids"]
        if self.ann_file is None:
            raise InputError("OccImageMetric needs the ann_file of the dataset. Name it in val_evaluator.")
        _, label_of = select_classes(categories(load_object(self.ann_file)), meta.get("classes"), self.ann_file)
        return self.ann_file, list(label_of)


def from_data_sample(sample: Mapping[str, Any]) -> ImageAnswer:
    """What an mmdet detector predicted for one image, as `DetDataSample.to_dict` tells it; tracks are numbered.

    Raises:
        InputError: it predicts no masks.
    """
    found, (height, width) = sample["pred_instances"], sample["ori_shape"]
    if "masks" not in found:
        raise InputError("OccImageMetric scores masks, but the model predicts none. Use a model with a mask head.")
    masks = [encode(as_array(mask).astype(bool)) for mask in found["masks"]]
    frame = FrameResult(
        frame_index=0,
        height=height,
        width=width,
        track_ids=np.arange(1, len(masks) + 1),
        labels=as_array(found["labels"]),
        scores=as_array(found["scores"]),
        boxes=as_array(found["bboxes"]),
        masks=masks,
    )
    return ImageAnswer(int(sample["img_id"]), frame)


def as_array(values: Tensor | np.ndarray) -> np.ndarray:
    """The same on the CPU, in numpy."""
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def score_occlusion(ann_file: str | Path, results: Sequence[ImageAnswer]) -> Metrics:
    """Hidden fraction and order of the objects that were found; nothing where the file knows neither."""
    by_image: dict[int, list[Annotation]] = defaultdict(list)
    for annotation in read_coco(ann_file).annotations:
        if not annotation.iscrowd and annotation.segmentation is not None:
            by_image[annotation.image_id].append(annotation)
    matches = OcclusionMatches()
    for answer in results:
        matches.add_image(by_image[answer.id], answer.frame)
    return matches.as_dict()
