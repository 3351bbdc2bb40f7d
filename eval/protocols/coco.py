"""COCO's average precision of masks or boxes in images, and its strict sister by boundary.

A class without annotations has no precision and enters no mean, whatever was predicted for it. Crowds are not to be
found, and any number of detections may lie in them. Of each class in an image the 100 best detections count.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np

from eval.average_precision import NAMES, Curves, Matches, match_group, named
from eval.errors import RequestError
from eval.image_ap import AREA_RANGES, ImageObject, IouType, image_groups
from eval.protocols.options import choice
from eval.protocols.protocol import Column, Job, Protocol, Request
from eval.readers.coco import decode_annotations, decode_results
from eval.readers.coco_index import CocoIndex, ImageRecords, index_coco, index_coco_results
from eval.readers.record import Record
from eval.rle import Rle, areas
from eval.scores import Number, Scores

_SHARE = 25  # images of a unit


@dataclass(frozen=True)
class CocoJob:
    """Images by id, a few to a unit.

    Attributes:
        protocol, version: Name of the protocol, and what it equals.
        truth: Where the annotations are.
        found: Where the detections are.
        iou_type: What is compared.
        official: Whether to do what COCOeval does with broken input.
    """

    protocol: str
    version: str
    truth: CocoIndex
    found: ImageRecords
    iou_type: IouType
    official: bool = False

    @property
    def units(self) -> Sequence[str]:
        """Shares of the images."""
        count = len(self.truth.images)
        return [f"images {start + 1}-{min(start + _SHARE, count)}" for start in range(0, count, _SHARE)]

    def score(self, index: int) -> list[Matches]:
        """The matches of one share."""
        images = sorted(self.truth.images)[index * _SHARE : (index + 1) * _SHARE]
        groups = image_groups(self._truth(images), self._found(images), self.iou_type, official=self.official)
        return [match_group(group, AREA_RANGES) for group in groups]

    def combine(self, partials: Sequence[list[Matches]]) -> Scores:
        """Means over all classes, and of each."""
        curves = Curves.of(chain.from_iterable(partials))
        classes: dict[str, Mapping[str, Number]] = {}
        for category in self.truth.categories.values():
            occurs = category.id in curves.categories
            classes[category.name] = named(curves.summary(category.id)) if occurs else dict.fromkeys(NAMES)
        return Scores(self.protocol, self.version, named(curves.summary()), classes)

    def _truth(self, images: Sequence[int]) -> list[ImageObject]:
        written = self._known(self.truth.annotations.read(images))
        annotations = decode_annotations(
            written,
            self.truth.images,
            self.truth.categories,
            masks=self.iou_type != "bbox",
            official=self.official,
        )
        for record, annotation in zip(written, annotations, strict=True):
            self._require_mask(record, annotation.segmentation)
        return [
            annotation.image_object(
                ignored=self.iou_type == "boundary" and bool(annotation.extra.get("ignore")),
                lost=self.official and annotation.id == 0,
            )
            for annotation in annotations
        ]

    def _found(self, images: Sequence[int]) -> list[ImageObject]:
        written = self._known(self.found.read(images))
        found = decode_results(
            written,
            self.truth.images,
            self.truth.categories,
            masks=self.official or self.iou_type != "bbox",
            official=self.official,
        )
        for record, thing in zip(written, found, strict=True):
            self._require_mask(record, thing.mask)
        return self._with_loaded_areas(found) if self.official else found

    def _known(self, written: Iterable[Record]) -> list[Record]:
        """Officially records of other categories are as if they were not there."""
        known = self.truth.categories
        return [record for record in written if not self.official or record.integer("category_id") in known]

    def _require_mask(self, record: Record, mask: Rle | None) -> None:
        if mask is None and self.iou_type != "bbox":
            raise record.error("segmentation", "is missing", "Add the mask, or score boxes (option iou=bbox).")

    def _with_loaded_areas(self, found: Sequence[ImageObject]) -> list[ImageObject]:
        """Areas as COCO's loader fills them in: of the boxes if the first detection has one, whatever is compared."""
        if (self.found.first or {}).get("bbox"):
            return [replace(thing, area=thing.bbox[2] * thing.bbox[3] if thing.bbox else None) for thing in found]
        return [replace(thing, area=float(areas([thing.mask])[0])) for thing in found]


def _open(name: str, version: str, request: Request) -> Job:
    boundary = name == "coco_boundary"
    iou_type: IouType = "boundary" if boundary else choice(request, "iou", ("segm", "bbox"))
    truth = index_coco(request.gt, official=request.official)
    found = index_coco_results(request.pred, truth.images, official=request.official)
    return CocoJob(name, version, truth, found, iou_type, request.official)


def _verify(request: Request, scores: Scores) -> float:
    """The largest difference to pycocotools, over the summary and the classes."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    return _difference(COCO, COCOeval, choice(request, "iou", ("segm", "bbox")), request, scores)


def _verify_boundary(request: Request, scores: Scores) -> float:
    """The largest difference to faster-coco-eval, which knows no annotations that are ignored but no crowd."""
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ImportError:
        raise RequestError("Boundary AP is verified by faster-coco-eval: pip install faster-coco-eval.") from None
    return _difference(COCO, COCOeval_faster, "boundary", request, scores)


def _difference(coco: Any, evaluation: Any, iou_type: str, request: Request, scores: Scores) -> float:
    results = json.loads(request.pred.read_bytes())
    if not request.official:  # the loader would take the areas of the boxes where it compares masks, and vice versa
        other = "segmentation" if iou_type == "bbox" else "bbox"
        results = [{key: value for key, value in result.items() if key != other} for result in results]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco(str(request.gt))
        official = evaluation(truth, truth.loadRes(results), iou_type)
        official.evaluate()
        official.accumulate()
        official.summarize()
    names = {category["id"]: category["name"] for category in truth.dataset["categories"]}
    precision = np.asarray(official.eval["precision"])[..., 0, -1]
    pairs = list(zip(scores.summary.values(), official.stats[:12], strict=True))
    for k, category in enumerate(official.params.catIds):
        valid = precision[:, :, k][precision[:, :, k] > -1]
        pairs.append((scores.classes[names[category]]["AP"], valid.mean() if valid.size else -1))
    return max(abs((-1 if ours is None else ours) - float(theirs)) for ours, theirs in pairs)


_COLUMNS = tuple(Column(name) for name in NAMES)

COCO = Protocol(
    name="coco",
    version="pycocotools 2.0.11 COCOeval",
    open=lambda request: _open("coco", "pycocotools 2.0.11 COCOeval", request),
    columns=_COLUMNS,
    official=True,
    options={"iou": "segm (default, masks) or bbox (boxes): what is compared"},
    verify=_verify,
)

COCO_BOUNDARY = Protocol(
    name="coco_boundary",
    version="boundary-iou-api 37d2558",
    open=lambda request: _open("coco_boundary", "boundary-iou-api 37d2558", request),
    columns=_COLUMNS,
    official=True,
    verify=_verify_boundary,
)
