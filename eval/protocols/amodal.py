"""Amodal instance segmentation by classes: KINS, COCOA-cls and D2SA. COCOA, which has no classes, is in `cocoa`.

Which mask of a results record is what: `eval.readers.amodal_results`. Visible and invisible masks are scored where the
results have them. `overall` holds the means over classes, `summary` the first of them. KINS' own evaluator was never
published; its numbers in papers are COCOeval's on amodal masks.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np

from eval.amodal_ap import PARTS, AmodalInstance, AreaMode, Part, amodal_ap
from eval.average_precision import AveragePrecision, named
from eval.errors import RequestError, SchemaError
from eval.parts import hidden_fractions
from eval.protocols.amodal_cocoeval import cocoeval_numbers
from eval.protocols.cocoa import COCOA
from eval.protocols.options import choice, number
from eval.protocols.protocol import Column, Protocol, Request
from eval.readers.amodal import AmodalDataset, AmodalObject
from eval.readers.amodal_results import AmodalResult, Extent, read_amodal_results
from eval.readers.kins import kins_dataset
from eval.readers.record import Record, load_object
from eval.readers.visible_mask import visible_mask_dataset
from eval.rle import areas
from eval.scores import Number, Scores

RATE_TOLERANCE = 0.05  # by which a stated hidden fraction may differ from that of the masks without a warning

_HEADLINES = ("_AP", "_AP50", "_AP_occluded")

__all__ = ["COCOA", "COCOA_CLS", "D2SA", "KINS"]

_RANGES: Mapping[AreaMode, tuple[str, str, str]] = {
    "coco": ("APs", "APm", "APl"),
    "vrsp": ("AP_visible85", "AP_visible75", "AP_visible60"),
}


@dataclass
class AmodalJob:
    """Average precision by classes, of all images at once."""

    name: str
    version: str
    decode: Callable[[Record], AmodalDataset]
    request: Request
    area: AreaMode
    occluded: float | None
    lone: Extent
    units: Sequence[str] = ("all images",)

    def score(self, index: int) -> Scores:
        """The whole answer."""
        dataset, truth, found, parts = self.load()
        by_part = {part: amodal_ap(truth, found, part, self.area, self.occluded) for part in parts}
        names = {category.id: category.name for category in dataset.categories}
        means = self._named(by_part)
        return Scores(
            protocol=self.name,
            version=self.version,
            summary={name: value for name, value in means.items() if name.endswith(_HEADLINES)},
            classes={
                name: self._named({part: _of_class(ap, category) for part, ap in by_part.items()})
                for category, name in names.items()
            },
            overall=means,
            warnings=(*dataset.notes, *_warnings(dataset, parts, len(found), self.request.pred.name)),
        )

    def load(self) -> tuple[AmodalDataset, list[AmodalInstance], list[AmodalInstance], tuple[Part, ...]]:
        """The ground truth, its objects, the detections, and the parts that are to be scored."""
        dataset, file = self.decode(load_object(self.request.gt)), self.request.pred.name
        results = read_amodal_results(self.request.pred, dataset, lone=self.lone)
        truth = [_true_instance(thing, self.area) for thing in dataset.objects]
        return dataset, truth, [_found_instance(r, self.area, file) for r in results], _parts(results, self.lone, file)

    def combine(self, partials: Sequence[Any]) -> Scores:
        """The one partial result."""
        return cast(Scores, partials[0])

    def _named(self, by_part: Mapping[Part, AveragePrecision | None]) -> dict[str, Number]:
        return {
            f"{part}_{name}": value
            for part, ap in by_part.items()
            for name, value in _numbers(ap, self.area, self.occluded is not None).items()
        }


def _true_instance(thing: AmodalObject, area: AreaMode) -> AmodalInstance:
    ratio = None
    if area == "vrsp":
        ratio = 1 - thing.occlude_rate if thing.occlude_rate is not None else _stated_ratio(thing)
    return AmodalInstance(
        image_id=thing.image_id,
        category_id=thing.category_id,
        amodal=thing.amodal,
        visible=thing.visible,
        iscrowd=thing.iscrowd,
        area=thing.area,
        visible_ratio=ratio,
    )


def _stated_ratio(thing: AmodalObject) -> float:
    """Visible pixels by the area that the file states, as VRSP divides."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.float64(areas([thing.visible])[0]) / np.float64(thing.area))


def _found_instance(result: AmodalResult, area: AreaMode, file: str) -> AmodalInstance:
    ratio = None
    if area == "vrsp" and (result.amodal is None or result.visible is None):
        ratio = result.area
        if ratio is None or not 0 <= ratio <= 1:
            state = "is missing" if ratio is None else f"is {ratio:g}"
            raise SchemaError(
                f"{result.where}.area {state}, but vrsp needs the visible ratio of every result ({file}). "
                "Give both masks, or the ratio as area."
            )
    return AmodalInstance(
        image_id=result.image_id,
        category_id=cast(int, result.category_id),
        amodal=result.amodal,
        visible=result.visible,
        score=cast(float, result.score),
        visible_ratio=ratio,
    )


def _parts(results: Sequence[AmodalResult], lone: Extent, file: str) -> tuple[Part, ...]:
    """What can be scored: the parts for which every result has masks."""
    has = {}
    for extent in typing.get_args(Extent):
        lacking = [result for result in results if getattr(result, extent) is None]
        has[extent] = not lacking if results else extent == lone
        if 0 < len(lacking) < len(results):
            raise SchemaError(
                f"{lacking[0].where} has no {extent} mask, but others have one ({file}). Give it to every result."
            )
    return tuple(part for part in PARTS if all(has.values()) or has.get(part))


def _warnings(dataset: AmodalDataset, parts: Sequence[Part], results: int, file: str) -> list[str]:
    things = dataset.objects
    fractions = hidden_fractions([t.amodal for t in things], [t.visible for t in things])
    stated = np.array([np.nan if t.occlude_rate is None else t.occlude_rate for t in things], np.float64)
    differing = int((np.abs(fractions - stated) > RATE_TOLERANCE).sum())
    warnings = [] if results else [f"{file} has no results."]
    absent = [part for part in PARTS if part not in parts]
    if absent:
        warnings.append(f"{file} has no masks to score as {' and '.join(absent)}.")
    if differing:
        warnings.append(f"{dataset.file}: occlude_rate of {differing} objects is not that of their masks.")
    if np.isnan(fractions).any():
        warnings.append(f"{dataset.file}: {int(np.isnan(fractions).sum())} amodal masks have no pixel.")
    return warnings


def _of_class(ap: AveragePrecision, category_id: int) -> AveragePrecision | None:
    known = ap.curves is not None and category_id in ap.curves.categories
    return ap.curves.summary(category_id) if ap.curves is not None and known else None


def _numbers(ap: AveragePrecision | None, area: AreaMode, occluded: bool) -> dict[str, Number]:
    """By name; all undefined for a class that neither side has."""
    names = _names(area)
    numbers: dict[str, Number] = dict.fromkeys(names)
    if ap is not None:
        numbers = {**dict(zip(names, named(ap).values(), strict=False))}  # recall by area comes last, and is not told
    if occluded:
        numbers["AP_occluded"] = None if ap is None else next(iter(ap.ap_by_occlusion), None)
    return numbers


def _names(area: AreaMode) -> tuple[str, ...]:
    """In the order in which COCOeval tells its numbers."""
    return ("AP", "AP50", "AP75", *_RANGES[area], "AR1", "AR10", "AR100")


def _verify(open_job: Callable[[Request], AmodalJob], request: Request, scores: Scores) -> float:
    """The largest difference to COCOeval over all its numbers; it knows no AP on occluded."""
    job = open_job(request)
    _, truth, found, parts = job.load()
    differences = []
    for part in parts:
        names = [f"{part}_{name}" for name in _names(job.area)]
        for name, value in zip(names, cocoeval_numbers(truth, found, part, job.area), strict=True):
            ours = scores.overall[name]
            differences.append(abs((-1 if ours is None else ours) - value))
    return max(differences)


def _open_classes(name: str, version: str, decode: Callable[[Record], AmodalDataset], request: Request) -> AmodalJob:
    area = choice(request, "area", typing.get_args(AreaMode))
    occluded = number(request, "occluded", 0.0) if "occluded" in request.options else None
    if occluded is not None and occluded >= 1:
        raise RequestError(f"Option occluded is {occluded:g}, expected a fraction below 1.")
    if area == "vrsp":
        version += ", areas as in VRSP ff12329"
    lone = choice(request, "segmentation", typing.get_args(Extent))
    return AmodalJob(name, version, decode, request, area, occluded, lone)


def _by_classes(name: str, decode: Callable[[Record], AmodalDataset]) -> Protocol:
    version = "pycocotools 2.0.11 COCOeval, masks exchanged"
    open_job = partial(_open_classes, name, version, decode)
    return Protocol(
        name=name,
        version=version,
        open=open_job,
        columns=tuple(
            Column(f"{part}_{metric}")
            for part, metrics in (
                ("amodal", ("AP", "AP50", "AP75", "AR100")),
                ("visible", ("AP", "AP50", "AP75")),
                ("invisible", ("AP", "AP50")),
            )
            for metric in metrics
        ),
        verify=partial(_verify, open_job),
        options={
            "area": "coco (default) or vrsp: ranges of pixels, or of the visible ratio as VRSP and AISFormer score",
            "occluded": "also AP of the objects of which more than this fraction is hidden, such as 0.15",
            "segmentation": "amodal (default) or visible: which mask `segmentation` is in results that have no other",
        },
    )


KINS = _by_classes("kins", kins_dataset)
COCOA_CLS = _by_classes("cocoa_cls", visible_mask_dataset)
D2SA = _by_classes("d2sa", visible_mask_dataset)
