"""Panoptic Quality of COCO and of Cityscapes: per class, and averaged over all classes, things and stuff.

A class that neither truth nor predictions show enters no mean; where no class is left a mean is undefined, where
panopticapi divides by zero. The two benchmarks differ in their classes and ids, which are in the files, and in nothing
else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.errors import SchemaError
from eval.panoptic import PanopticCounts, Segments, panoptic_counts
from eval.protocols.protocol import Column, Job, Protocol, Request
from eval.readers.panoptic import ImageId, PanopticDataset, read_panoptic
from eval.scores import Number, Scores

_SHARE = 8  # images of a unit

_OPTIONS = {
    "gt_folder": "folder of the true PNG files, where it is not named like the JSON file",
    "pred_folder": "folder of the predicted PNG files, where it is not named like the JSON file",
}


@dataclass(frozen=True)
class PanopticJob:
    """Images in the order of the ground truth, a few to a unit.

    Attributes:
        protocol: The protocol's name.
        version: What it equals.
        gt, pred: JSON file and folder of PNG files of both sides.
        official: Whether to let pass what panopticapi lets pass.
        allow_missing: Whether an image without predictions counts as one in which nothing was found.
    """

    protocol: str
    version: str
    gt: tuple[Path, Path | None]
    pred: tuple[Path, Path | None]
    official: bool
    allow_missing: bool

    def __getstate__(self) -> dict[str, Any]:
        """What is sent to a worker: not the files' content, which every worker reads itself."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def truth(self) -> PanopticDataset:
        """The ground truth."""
        return read_panoptic(*self.gt, official=self.official)

    @cached_property
    def predicted(self) -> PanopticDataset:
        """The predictions."""
        return read_panoptic(*self.pred, results=True, official=self.official)

    @cached_property
    def units(self) -> Sequence[str]:
        """Shares of the images."""
        count = len(self.truth.images)
        return [f"images {start + 1}-{min(start + _SHARE, count)}" for start in range(0, count, _SHARE)]

    def missing(self) -> list[ImageId]:
        """Images without predictions."""
        return [image for image in self.truth.images if image not in self.predicted.images]

    def score(self, index: int) -> PanopticCounts:
        """The counts of one share."""
        images = list(self.truth.images)[index * _SHARE : (index + 1) * _SHARE]
        return sum(map(self._score_image, images), PanopticCounts.zero(len(self.truth.categories)))

    def combine(self, partials: Sequence[PanopticCounts]) -> Scores:
        """Qualities of the classes, and their means."""
        categories = self.truth.categories
        counts = sum(partials, PanopticCounts.zero(len(categories)))
        things = np.array([category.isthing for category in categories], bool)
        missing = self.missing()
        warnings = (f"{len(missing)} images have no predictions, first {missing[0]}.",) if missing else ()
        return Scores(
            protocol=self.protocol,
            version=self.version,
            summary={
                **_means(counts, np.ones_like(things), ""),
                **_means(counts, things, "_th"),
                **_means(counts, ~things, "_st"),
            },
            classes={category.name: _class_scores(counts, i) for i, category in enumerate(categories)},
            warnings=warnings,
        )

    def _score_image(self, image: ImageId) -> PanopticCounts:
        categories = self.truth.categories
        truth = self.truth.truth(image)
        answered = image in self.predicted.images
        predicted = self.predicted.predicted(image, categories) if answered else _nothing(truth)
        if truth.id_map.shape != predicted.id_map.shape:
            record = self.predicted.images[image]
            sizes = " x ".join(map(str, predicted.id_map.shape)), " x ".join(map(str, truth.id_map.shape))
            problem = f"is {sizes[0]} pixels, but the true map of image {image} is {sizes[1]}"
            raise record.error("file_name", problem, "Write maps at the size of the image.")
        return panoptic_counts(truth, predicted, len(categories))


def _open(protocol: str, version: str, request: Request) -> Job:
    folders = {name: Path(path) for name, path in request.options.items()}
    job = PanopticJob(
        protocol=protocol,
        version=version,
        gt=(request.gt, folders.get("gt_folder")),
        pred=(request.pred, folders.get("pred_folder")),
        official=request.official,
        allow_missing=request.allow_missing,
    )
    if not job.truth.images:
        raise SchemaError(f"{job.truth.path.name} has no annotations to score against. Give the file that has them.")
    missing = job.missing()
    if missing and not request.allow_missing:
        raise SchemaError(
            f"{job.predicted.path.name} has no predictions for {len(missing)} of {len(job.truth.images)} images, first "
            f"{missing[0]}. Add them, or let them count as empty (allow missing)."
        )
    extra = [image for image in job.predicted.images if image not in job.truth.images]
    if extra and not request.official:
        raise SchemaError(
            f"{job.predicted.path.name} has {len(extra)} images that {job.truth.path.name} does not, first {extra[0]}. "
            "Is it of another split?"
        )
    return job


def _nothing(truth: Segments) -> Segments:
    none = np.zeros(0, np.int64)
    return Segments(np.zeros_like(truth.id_map), none, none, none, none.astype(bool))


def _means(counts: PanopticCounts, among: NDArray[np.bool_], suffix: str) -> dict[str, Number]:
    chosen = among & counts.defined
    qualities = {"PQ": counts.pq, "SQ": counts.sq, "RQ": counts.rq}
    # One after the other, as panopticapi adds.
    means = {
        name: sum(values[chosen].tolist()) / chosen.sum() if chosen.any() else None
        for name, values in qualities.items()
    }
    return {**{f"{name}{suffix}": value for name, value in means.items()}, f"n{suffix}": int(chosen.sum())}


def _class_scores(counts: PanopticCounts, i: int) -> Mapping[str, Number]:
    qualities = {"PQ": counts.pq[i], "SQ": counts.sq[i], "RQ": counts.rq[i]}
    return {
        **{name: float(value) if counts.defined[i] else None for name, value in qualities.items()},
        "TP": int(counts.tp[i]),
        "FP": int(counts.fp[i]),
        "FN": int(counts.fn[i]),
    }


def _protocol(name: str, version: str) -> Protocol:
    qualities = [f"{quality}{group}" for group in ("", "_th", "_st") for quality in ("PQ", "SQ", "RQ")]
    return Protocol(
        name=name,
        version=version,
        open=lambda request: _open(name, version, request),
        columns=(*(Column(quality) for quality in qualities), Column("n", 1.0, 0)),
        official=True,
        options=_OPTIONS,
    )


COCO_PANOPTIC = _protocol("coco_panoptic", "panopticapi 0.1")
CITYSCAPES_PANOPTIC = _protocol("cityscapes_panoptic", "cityscapesscripts 2.3.0")
