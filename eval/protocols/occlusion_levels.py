"""mIoU by occlusion level for given boxes (ORM's and Bayesian-Amodal's tables), and accuracy of occlusion order.

Ground truth: KINS (2019, 2020), COCOA, COCOA-cls, D2SA or a COCO file of the synthetic world.
Results: a list with one record per object whose box was given: `image_id`, `annotation_id` (or `id`: that of the
object; for a region of COCOA 1000 * id of its annotation + place in it, from 1), masks (which is which:
`eval.readers.amodal_results`), `category_id` (left out: the class was given), and `in_front_of`, the annotation ids of
the objects that it hides part of, if order is to be scored.
"""

from __future__ import annotations

import typing
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from eval.errors import RequestError, SchemaError
from eval.occlusion import (
    OrderScore,
    order_from_clusters,
    order_from_lists,
    order_from_masks,
    pairs_told_apart,
    score_order,
)
from eval.occlusion_miou import (
    BAYESIAN,
    MODES,
    ORM,
    LevelRules,
    ScoredObjects,
    counted,
    score_given_boxes,
)
from eval.protocols.options import choice, number
from eval.protocols.protocol import Column, Job, Protocol, Request
from eval.readers.amodal import AmodalDataset, AmodalObject
from eval.readers.amodal_formats import amodal_dataset
from eval.readers.amodal_results import AmodalResult, Extent, read_amodal_results
from eval.readers.record import by_id, load_object
from eval.scores import Number, Scores

_RULES = {"orm": ORM, "bayesian": BAYESIAN}
_VERSIONS = {"orm": "ORM eval_meanIoU 593622a", "bayesian": "Bayesian-Amodal run_experiment 0751b04"}


@dataclass
class OcclusionLevelsJob:
    """All objects at once."""

    request: Request
    version: str
    rules: LevelRules
    given: Extent
    lone: Extent
    units: Sequence[str] = ("all images",)

    def score(self, index: int) -> Scores:
        """The whole answer: given boxes are compared object by object, which is quick."""
        dataset = amodal_dataset(load_object(self.request.gt))
        names = {category.id: category.name for category in dataset.categories}
        chosen = counted(dataset.objects, self.rules, self._classes(names), self.given)
        true = [dataset.objects[i] for i in chosen]
        if not true:
            raise SchemaError(f"{dataset.file} has no object that counts. Check the options classes and min_height.")
        results = read_amodal_results(self.request.pred, dataset, lone=self.lone, classes="optional", scores="unread")
        answers = self._answers(results, dataset)
        predicted = [answers.get(thing.id) for thing in true]
        self._require_masks(predicted)
        scored = score_given_boxes(true, predicted, self.rules)
        overall = scored.scores()
        classes = {names[c]: scored.of(c).scores() for c in sorted({thing.category_id for thing in true})}
        return Scores(
            protocol=OCCLUSION_LEVELS.name,
            version=self.version,
            summary=_means(overall, classes, scored) | _order_summary(true, predicted),
            classes=classes,
            overall=overall,
            warnings=(*dataset.notes, *self._warnings(predicted, scored)),
        )

    def combine(self, partials: Sequence[Any]) -> Scores:
        """The one partial result."""
        return cast(Scores, partials[0])

    def _classes(self, names: Mapping[int, str]) -> set[int] | None:
        if "classes" not in self.request.options:
            return None
        wanted = {name.strip() for name in self.request.options["classes"].split(",")}
        unknown = sorted(wanted - set(names.values()))
        if unknown:
            raise RequestError(f"There is no class '{unknown[0]}'. The classes: {', '.join(names.values())}.")
        return {category for category, name in names.items() if name in wanted}

    def _answers(self, results: Sequence[AmodalResult], dataset: AmodalDataset) -> dict[int, AmodalResult]:
        objects, file = by_id(dataset.objects), self.request.pred.name
        answers: dict[int, AmodalResult] = {}
        for result in results:
            given = result.annotation_id
            if given is None:
                cure = "Say whose box the model was given."
                raise SchemaError(f"{result.where}.annotation_id is missing ({file}). {cure}")
            thing = objects.get(given)
            if thing is None or thing.image_id != result.image_id:
                problem = f"is {given}, which is no object of image {result.image_id}"
                raise SchemaError(
                    f"{result.where}.annotation_id {problem} ({file}). Answer for objects of {dataset.file}."
                )
            if given in answers:
                problem = f"is {given}, as that of {answers[given].where}"
                raise SchemaError(f"{result.where}.annotation_id {problem} ({file}). Answer once for every object.")
            answers[given] = result
        return answers

    def _require_masks(self, predicted: Sequence[AmodalResult | None]) -> None:
        """Refuse results that leave objects out, or give only some of them an amodal or a visible mask."""
        file, missing = self.request.pred.name, predicted.count(None)
        if missing and not self.request.allow_missing:
            raise SchemaError(
                f"{file} has no answer for {missing} of the {len(predicted)} objects that count. "
                "Answer for each, or allow missing ones to count as 0."
            )
        for extent in typing.get_args(Extent):
            lacking = sum(p is not None and getattr(p, extent) is None for p in predicted)
            if 0 < lacking < len(predicted) - missing:
                raise SchemaError(f"{file} gives {lacking} objects no {extent} mask, but others one. Give it to all.")

    def _warnings(self, predicted: Sequence[AmodalResult | None], scored: ScoredObjects) -> list[str]:
        file, missing, empty = self.request.pred.name, predicted.count(None), len(predicted) - len(scored.levels)
        warnings = [f"{file} has no answer for {missing} objects, which count as 0."] if missing else []
        if empty:
            warnings.append(f"{empty} objects without a visible or amodal pixel are left out.")
        absent = [mode for mode in MODES if mode not in scored.values]
        if absent:
            warnings.append(f"{file} has no masks to score as {' and '.join(absent)}.")
        return warnings


def _means(
    overall: Mapping[str, Number], classes: Mapping[str, Mapping[str, Number]], scored: ScoredObjects
) -> dict[str, Number]:
    """Every mean of each mode: over objects, over levels, and over classes of the means over their objects."""
    means: dict[str, Number] = {}
    for mode in scored.values:
        defined = [value for value in (c[f"{mode}_mIoU"] for c in classes.values()) if value is not None]
        means |= {name: overall[name] for name in (f"{mode}_mIoU", f"{mode}_mIoU_levels")}
        means[f"{mode}_mIoU_classes"] = float(np.mean(defined)) if defined else None
    return means


def _order_summary(true: Sequence[AmodalObject], predicted: Sequence[AmodalResult | None]) -> dict[str, Number]:
    """Scores of the order, if the results tell one."""
    if all(p is None or p.in_front_of is None for p in predicted):
        return {}
    images: dict[int, list[int]] = defaultdict(list)
    for i, thing in enumerate(true):
        images[thing.image_id].append(i)
    total, agree, pairs = OrderScore(), 0, 0
    for members in images.values():
        things = [true[i] for i in members]
        answers = [predicted[i] for i in members]
        truth = true_order(things)
        guess = order_from_lists([t.id for t in things], [p.in_front_of if p else None for p in answers])
        boxes = [(x, y, x + width, y + height) for x, y, width, height in (t.visible_box for t in things)]
        total += score_order(truth, guess, boxes)
        alike, count = pairs_told_apart(truth, guess)
        agree, pairs = agree + alike, pairs + count
    return {
        "order_pairs": total.pairs,
        "order_accuracy": total.accuracy,
        "order_coverage": total.coverage,
        "order_baseline": total.baseline_accuracy,
        "order_accuracy_all_pairs": agree / pairs if pairs else None,
    }


def true_order(things: Sequence[AmodalObject]) -> np.ndarray:
    """The order of an image's objects: as the file lists it, from KINS-2020's clusters, or from the masks."""
    if any(thing.in_front_of is not None for thing in things):
        return order_from_lists([thing.id for thing in things], [thing.in_front_of for thing in things])
    amodal = [thing.amodal for thing in things]
    clusters = [thing.cluster for thing in things if thing.cluster is not None]
    if len(clusters) == len(things):
        return order_from_clusters(clusters, amodal)
    return order_from_masks(amodal, [thing.visible for thing in things])


def _open(request: Request) -> Job:
    paper = choice(request, "levels", tuple(_RULES))
    rules = _RULES[paper]
    extents = typing.get_args(Extent)
    rules = LevelRules(
        rules.bounds,
        rules.closed,
        number(request, "min_height", rules.min_height),
        choice(request, "height", (rules.height_of, *extents)),
    )
    lone = choice(request, "segmentation", extents)
    return OcclusionLevelsJob(request, _VERSIONS[paper], rules, choice(request, "boxes", extents), lone)


OCCLUSION_LEVELS = Protocol(
    name="occlusion_levels",
    version=_VERSIONS["orm"],
    open=_open,
    columns=(
        *(Column(f"amodal_L{level}") for level in range(4)),
        Column("amodal_mIoU"),
        *(Column(f"visible_L{level}") for level in range(4)),
        Column("visible_mIoU"),
        Column("invisible_mIoU"),
    ),
    options={
        "levels": "orm (default) or bayesian: whose levels and least height",
        "classes": "the classes that count, by name, with commas (default: all; ORM's tables: car)",
        "min_height": "least height of an object's box in pixels (default: 30 for orm, 50 for bayesian)",
        "height": "amodal or visible: of which box (default: visible for orm, amodal for bayesian)",
        "boxes": "amodal (default) or visible: which boxes the model was given",
        "segmentation": "amodal (default) or visible: which mask `segmentation` is in results that have no other",
    },
)
