"""COCO's average precision of amodal masks, of what is visible of objects, and of what is not.

Two ways to split objects that published numbers mix up:

- `coco`: APs, APm, APl by area, below 32^2 pixels, to 96^2 and above.
- `vrsp`: the evaluators of VRSP (ff12329) and AISFormer put the visible ratio in the place of the area, and nested
  ranges in that of sizes, so their "APs, APm, APl" are of objects of which at most .85, .75, .60 is visible. Even
  their AP leaves out objects whose ratio is above 1, and unmatched detections count by their own ratio.

AP on occluded objects is neither of them: the objects that are hidden by no more than a threshold are ignored, all
others count, and so does every detection that matches nothing. The three are not to be compared.

COCOA has no classes; its tool (amodalAPI 543c72c) ranks up to 1000 masks of an image, splits by the stated fraction
that is hidden, and its headline is the average recall.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from eval.average_precision import AveragePrecision, Curves, Group, average_precision, match_group, mean_defined
from eval.image_ap import AREA_RANGES, ImageObject, image_groups
from eval.parts import hidden_fractions, hidden_parts, shared_pixels
from eval.rle import Rle, areas

Part = Literal["amodal", "visible", "invisible"]
AreaMode = Literal["coco", "vrsp"]

PARTS: tuple[Part, ...] = ("amodal", "visible", "invisible")
RATIO_RANGES = ((0.0, 1.0), (0.0, 0.85), (0.0, 0.75), (0.0, 0.6))
OCCLUSION_BINS = {"none": (0.0, 1e-5), "partial": (1e-5, 0.25), "heavy": (0.25, 1.0)}  # closed at both ends

_ALL_AREAS = ((0.0, 1e10),)


@dataclass(frozen=True)
class AmodalInstance:
    """One object in one image, true or detected.

    Attributes:
        image_id: The image.
        category_id: The category.
        amodal, visible: Its masks; needed for the parts that are made of them.
        score: Confidence; of no meaning for ground truth.
        iscrowd: Ground truth that stands for many objects.
        area: Pixels of a true object as its file states them; None takes those of the mask that is compared.
        visible_ratio: For `vrsp`. None takes the share of the amodal mask that is visible.
    """

    image_id: int
    category_id: int
    amodal: Rle | None = None
    visible: Rle | None = None
    score: float = 1.0
    iscrowd: bool = False
    area: float | None = None
    visible_ratio: float | None = None


def amodal_ap(
    truth: Sequence[AmodalInstance],
    found: Sequence[AmodalInstance],
    part: Part = "amodal",
    area: AreaMode = "coco",
    occluded: float | None = None,
) -> AveragePrecision:
    """Average precision and recall of one part of objects.

    Objects without an invisible pixel, and detections that show none, are not there for the invisible part: it is
    nobody's task to find nothing. The area of a true object is the one that its file states, as it is where masks are
    exchanged before COCOeval, except for invisible parts, which no tool scores: those have their own pixels.

    Args:
        truth: Every annotated object; ties fall by this order.
        found: At most the 100 best of each image and category count; equal scores keep this order.
        part: What is compared.
        area: What `ap_small`, `ap_medium`, `ap_large` are about. `vrsp`: visible ratio at most .85, .75, .60.
        occluded: Ask for `ap_by_occlusion[0]`: objects of which more than this fraction is hidden.

    Raises:
        ValueError: An object lacks a mask, masks of an image differ in size, or a score is not finite.

    Source: COCOeval; for vrsp `createIndex` and `setDetParams` of VRSP's copy of pycocotools.
    """
    ranges = AREA_RANGES if area == "coco" else RATIO_RANGES
    true_objects = image_objects(truth, part, area, with_hidden=occluded is not None)
    groups = image_groups(true_objects, image_objects(found, part, area))
    spans = () if occluded is None else ((float(np.nextafter(occluded, 1)), 1.0),)
    return average_precision(groups, ranges, spans)


def visible_ratios(instances: Sequence[AmodalInstance]) -> NDArray[np.float64]:
    """Visible share of each amodal mask (N,), NaN for an empty one, which lies in no range and outside of none.

    Source: VRSP divides in float32, which decides for masks on the border of a range.
    """
    amodal, visible = [_mask(i, "amodal") for i in instances], [_mask(i, "visible") for i in instances]
    with np.errstate(invalid="ignore"):
        ratio = shared_pixels(amodal, visible).astype(np.float32) / areas(amodal).astype(np.float32)
    return ratio.astype(np.float64)


def image_objects(
    instances: Sequence[AmodalInstance], part: Part, area: AreaMode, with_hidden: bool = False
) -> list[ImageObject]:
    """One part of objects as COCO's rules take them, with the area (or visible ratio) that decides their range."""
    masks = _masks(instances, part)
    hidden: Sequence[float | None] = [None] * len(instances)
    if with_hidden:
        both = [_mask(i, "amodal") for i in instances], [_mask(i, "visible") for i in instances]
        hidden = hidden_fractions(*both).tolist()
    sizes = _ratios(instances) if area == "vrsp" else [None if part == "invisible" else i.area for i in instances]
    objects = [
        ImageObject(
            image_id=instance.image_id,
            category_id=instance.category_id,
            mask=mask,
            score=instance.score,
            iscrowd=instance.iscrowd,
            area=size,
            hidden=fraction,
        )
        for instance, mask, size, fraction in zip(instances, masks, sizes, hidden, strict=True)
    ]
    if part == "invisible":
        objects = [thing for thing, pixels in zip(objects, areas(masks), strict=True) if pixels]
    return objects


def _masks(instances: Sequence[AmodalInstance], part: Part) -> list[Rle]:
    if part != "invisible":
        return [_mask(i, part) for i in instances]
    return hidden_parts([_mask(i, "amodal") for i in instances], [_mask(i, "visible") for i in instances])


def _ratios(instances: Sequence[AmodalInstance]) -> list[float]:
    asked = [i for i in instances if i.visible_ratio is None]
    computed = iter(visible_ratios(asked).tolist())
    return [next(computed) if i.visible_ratio is None else i.visible_ratio for i in instances]


def _mask(instance: AmodalInstance, part: Literal["amodal", "visible"]) -> Rle:
    mask = instance.amodal if part == "amodal" else instance.visible
    if mask is None:
        place = f"image {instance.image_id} (category {instance.category_id})"
        raise ValueError(f"An object of {place} has no {part} mask to compare.")
    return mask


def proposal_scores(groups: Iterable[Group], limits: Sequence[int]) -> Mapping[str, float | None]:
    """Scores of masks without classes, as amodalAPI reports them.

    Args:
        groups: One per image, of one category, ranked with the highest limit; `occlusion` is the stated fraction.
        limits: Masks per image for each recall, ascending.

    Returns:
        AP, AP50, AP75 with the highest limit; AR1, AR10 and so on for each limit; AP and AR of each of OCCLUSION_BINS
        with the highest limit. None where there is no object to find.

    Source: `AmodalEval.summarize` and `singleEval` in batchEval.py.
    """
    bins = tuple(OCCLUSION_BINS.values())
    curves = Curves.of((match_group(group, _ALL_AREAS, bins) for group in groups), limits)
    precision, recall = curves.precision, curves.recall
    scores = {name: mean_defined(precision[t, ..., 0]) for name, t in (("AP", slice(None)), ("AP50", 0), ("AP75", 5))}
    scores |= {f"AR{limit}": mean_defined(recall[:, :, 0, m]) for m, limit in enumerate(limits)}
    for a, name in enumerate(OCCLUSION_BINS, start=1):
        scores |= {f"AP_{name}": mean_defined(precision[..., a]), f"AR_{name}": mean_defined(recall[:, :, a, -1])}
    return scores


def by_kind(groups: Iterable[Group]) -> dict[str, list[Group]]:
    """Groups in which stuff is ignored as three: `things`, only `stuff` to be found, and `all`."""
    things = list(groups)
    return {
        "things": things,
        "stuff": [replace(group, ignored=~group.ignored) for group in things],
        "all": [replace(group, ignored=np.zeros_like(group.ignored)) for group in things],
    }
