"""BDD100K instance segmentation from JSON: COCO's average precision over eight classes, of masks as run lengths.

Equals scalabel 0.3.1 (`bdd100k.eval.run -t ins_seg`): COCOeval, where a crowd or a label to be ignored is a crowd, and
areas are those of the masks. What predictions say of crowds means nothing. Their masks must not overlap in an image:
then nothing predicted there counts.

Images are matched by name, and by that of the video too where names repeat. `official` reproduces what scalabel does
with input that is wrong: images that nobody asked for are left out, missing ones count as empty, and the last of the
predicted images of one name counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from eval.average_precision import match_group
from eval.errors import SchemaError
from eval.masks import MaskTable, compare_masks
from eval.protocols.bdd100k_images import ImageOverlaps, ImagesJob, InsSegRules, by_name, check_names
from eval.protocols.bdd100k_rules import VOCABULARY
from eval.protocols.coco import NAMES
from eval.protocols.protocol import Column, Protocol, Request
from eval.readers.record import Record
from eval.readers.scalabel_images import ImageLabels, find_image_labels, read_labels
from eval.readers.scalabel_masks import read_masks

_RULES = InsSegRules("bdd100k_ins_seg", "scalabel 0.3.1 + pycocotools 2.0.11", match_group, empty_is_zero=True)

LabelPair = tuple[ImageLabels, ImageLabels | None]  # a true image, and the predicted one if there is any


def compare_labels(image: LabelPair, official: bool) -> ImageOverlaps:
    """Compare the masks of an image.

    Raises:
        SchemaError: A label is not what Scalabel writes, masks differ in size, or a prediction has no score; official
            or not.
    """
    gt, pred = image
    truth = _table(gt, gt.read(), None)
    if pred is None:
        found, scores = truth.select(np.zeros(0, np.int64)), np.zeros(0)
    else:
        record = pred.read()
        found = _table(pred, record, (truth.height, truth.width) if len(truth) else None, predicted=True)
        scores = _scores(record)
    pairs = compare_masks(truth, found)
    crowd = truth.flags["crowd"] | truth.flags["ignored"]
    ious = np.zeros((len(found), len(truth)))
    ious[pairs.second, pairs.first] = np.where(crowd[pairs.first], pairs.of_second(), pairs.iou())
    overlaps = ImageOverlaps(
        name=gt.name,
        categories=truth.categories,
        areas=pairs.first_areas,
        crowd=crowd,
        ignored=np.zeros(len(truth), bool),
        found_categories=found.categories,
        found_areas=pairs.second_areas,
        scores=scores,
        ious=ious,
    )
    return _counting(overlaps, gt.has_polygons, overlapping=len(pairs.second_overlaps) > 0)


def _counting(image: ImageOverlaps, polygons: bool, overlapping: bool) -> ImageOverlaps:
    """What counts: no polygon that covers no pixel, and no prediction where predictions overlap."""
    notes = []
    if overlapping:
        notes.append("predicted masks overlap, and nothing that is predicted there counts")
    truth = image.areas > 0 if polygons else np.ones(len(image.areas), bool)
    image = image.select(truth, np.full(len(image.scores), not overlapping))
    if not (image.areas.all() and image.found_areas.all()):
        notes.append("there are empty masks, which match nothing")
    return replace(image, notes=tuple(notes))


def _table(image: ImageLabels, record: Record, size: tuple[int, int] | None, predicted: bool = False) -> MaskTable:
    source = f"{image.file.name}, image {image.name}"
    return replace(read_masks([record], VOCABULARY, source, size, predicted), records=None)


def _scores(image: Record) -> NDArray[np.float64]:
    """Of the labels that have run lengths, which are those that a table of predictions has."""
    labels = read_labels(image)
    return np.array([label.number("score") for label in labels if label.values.get("rle") is not None], np.float64)


def _open(request: Request) -> ImagesJob[LabelPair]:
    gt, pred = find_image_labels(request.gt), find_image_labels(request.pred)
    if not gt:
        raise SchemaError(f"'{request.gt}' has no frames. Name the ground truth.")
    if any(image.has_rle for image in gt) and any(image.has_polygons for image in gt):
        raise SchemaError(
            f"'{request.gt}' has labels with run lengths and labels with polygons alone, of which scalabel counts "
            "either these or those. Write all of them as 'rle'."
        )
    gt = sorted(gt, key=lambda image: image.name)
    videos = _needs_videos(gt, pred, request.official)
    keys = [_key(image, videos) for image in gt]
    by_name(zip(keys, gt, strict=True), request.gt, request.official)
    answers = by_name(((_key(image, videos), image) for image in pred), request.pred, request.official)
    warnings = check_names(keys, answers, request.pred, request, fills=True)
    images = [(image, answers.get(key)) for key, image in zip(keys, gt, strict=True)]
    return ImagesJob(_RULES.asked(request, warnings), compare_labels, images)


def _needs_videos(gt: Sequence[ImageLabels], pred: Sequence[ImageLabels], official: bool) -> bool:
    """Whether images are told apart by their videos too: names repeat, and every image has a video.

    Scalabel looks for repeated names among the predictions alone.
    """
    sides = [pred] if official else [gt, pred]
    repeated = any(len({image.name for image in side}) < len(side) for side in sides)
    return repeated and all(image.video for image in (*gt, *pred))


def _key(image: ImageLabels, videos: bool) -> str:
    return f"{image.video}/{image.name}" if videos else image.name


BDD100K_INS_SEG = Protocol(
    name=_RULES.name, version=_RULES.version, open=_open, columns=tuple(map(Column, NAMES)), official=True
)
