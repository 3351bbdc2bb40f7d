"""What BDD100K's two instance-segmentation protocols share: which image answers which, and how classes are summed up.

Source: scalabel 0.3.1, eval/ins_seg.py, eval/detect.py and eval/utils.py; bdd100k 1.0.1, eval/ins_seg.py.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from eval.average_precision import AreaRanges, Curves, Group, Matches, rank
from eval.errors import SchemaError
from eval.image_ap import AREA_RANGES
from eval.protocols.bdd100k_rules import CLASSES
from eval.protocols.bdd100k_videos import listed
from eval.protocols.coco import NAMES, named
from eval.protocols.protocol import Request
from eval.scores import Number, Scores
from eval.sequences import Ints

_SHARE = 25  # images of a unit
Item = TypeVar("Item")


def by_name(items: Iterable[tuple[str, Item]], source: object, official: bool) -> dict[str, Item]:
    """Images by name; officially the last of a name counts.

    Raises:
        SchemaError: Two have one name.
    """
    result: dict[str, Item] = {}
    for name, item in items:
        if name in result and not official:
            raise SchemaError(f"'{source}' has image {name} twice. Give each image its own name.")
        result[name] = item
    return result


def check_names(
    gt: Collection[str], pred: Collection[str], source: object, request: Request, fills: bool
) -> tuple[str, ...]:
    """Compare the names of images.

    Args:
        gt: Of the true ones.
        pred: Of those that are answered.
        source: Of the answers, for errors.
        request: What was asked for.
        fills: Whether the official evaluator lets an image without answer pass as empty.

    Returns:
        Warnings.

    Raises:
        SchemaError: An image is missing, or nobody asked for it.
    """
    extra, missing = sorted(set(pred).difference(gt)), sorted(set(gt).difference(pred))
    if extra and not request.official:
        raise SchemaError(
            f"'{source}' has images that the ground truth '{request.gt}' does not have: {listed(extra)}. "
            "Correct their names or remove them."
        )
    if missing and not request.allow_missing and not (request.official and fills):
        raise SchemaError(
            f"'{source}' lacks {len(missing)} of {len(set(gt))} images: {listed(missing)}. "
            "Add them (without labels where nothing is found), or use --allow-missing."
        )
    warning = f"'{source}' lacks {len(missing)} of {len(set(gt))} images, which count as empty: {listed(missing)}."
    return (warning,) if missing else ()


@dataclass(frozen=True)
class ImageOverlaps:
    """The G true objects and D detections of one image.

    Attributes:
        name: Of the image.
        categories, areas: (G,) index in CLASSES, and pixels.
        crowd, ignored: (G,) bool, as the matcher takes them.
        found_categories, found_areas: (D,) of the detections.
        scores: (D,) confidence; equal ones keep their order.
        ious: (D, G).
        notes: What was tolerated, to follow "In 1 of 9 images".
    """

    name: str
    categories: Ints
    areas: Ints
    crowd: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
    found_categories: Ints
    found_areas: Ints
    scores: NDArray[np.float64]
    ious: NDArray[np.float64]
    notes: tuple[str, ...] = ()

    def select(self, truth: NDArray[np.bool_], found: NDArray[np.bool_]) -> ImageOverlaps:
        """Some of the true objects and some of the detections."""
        return replace(
            self,
            categories=self.categories[truth],
            areas=self.areas[truth],
            crowd=self.crowd[truth],
            ignored=self.ignored[truth],
            found_categories=self.found_categories[found],
            found_areas=self.found_areas[found],
            scores=self.scores[found],
            ious=self.ious[found][:, truth],
        )

    def groups(self) -> Iterator[Group]:
        """Those of each class."""
        for category in np.unique(np.concatenate([self.categories, self.found_categories])).tolist():
            rows, columns = (np.flatnonzero(side == category) for side in (self.categories, self.found_categories))
            columns = columns[rank(self.scores[columns].tolist())]
            yield Group(
                category_id=category,
                scores=self.scores[columns],
                ious=self.ious[np.ix_(columns, rows)],
                detection_areas=self.found_areas[columns].astype(np.float64),
                truth_areas=self.areas[rows].astype(np.float64),
                crowd=self.crowd[rows],
                ignored=self.ignored[rows],
            )


@dataclass(frozen=True)
class ShareMatches:
    """What a worker sends back of some images: matches in their order, and which images each note is about."""

    matches: Sequence[Matches]
    notes: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class InsSegRules:
    """How to match and what to sum up.

    Attributes:
        name: The protocol.
        version: What its numbers equal.
        match: The matcher of a class in an image.
        empty_is_zero: Whether results without any detection get 0 for every number of a class that has annotations, be
            they crowds or of no such size, and not what average precision makes of them.
        official: Whether ground truth without objects is let pass.
        warnings: What was tolerated before anything was read.
    """

    name: str
    version: str
    match: Callable[[Group, AreaRanges], Matches]
    empty_is_zero: bool
    official: bool = False
    warnings: tuple[str, ...] = ()

    def asked(self, request: Request, warnings: tuple[str, ...]) -> InsSegRules:
        """The rules for a request."""
        return replace(self, official=request.official, warnings=warnings)

    def matches(self, images: Iterable[ImageOverlaps]) -> ShareMatches:
        """Match some images."""
        matches: list[Matches] = []
        notes: dict[str, list[str]] = defaultdict(list)
        for image in images:
            matches += [self.match(group, AREA_RANGES) for group in image.groups()]
            for note in image.notes:
                notes[note].append(image.name)
        return ShareMatches(matches, dict(notes))

    def scores(self, shares: Sequence[ShareMatches], images: int) -> Scores:
        """Means over all classes that have objects, and of each class.

        Raises:
            SchemaError: There is no true object at all.
        """
        matches = list(chain.from_iterable(share.matches for share in shares))
        if not self.official and not any(group.objects[0] for group in matches):
            raise SchemaError("The ground truth has no object that counts, so nothing can be scored. Check its path.")
        curves = Curves.of(matches)
        classes: dict[str, Mapping[str, Number]] = {
            name: named(curves.summary(k)) if k in curves.categories else dict.fromkeys(NAMES)
            for k, name in enumerate(CLASSES)
        }
        summary: Mapping[str, Number] = named(curves.summary())
        if self.empty_is_zero and matches and not any(len(group.scores) for group in matches):
            summary = dict.fromkeys(NAMES, 0.0)
            classes |= {CLASSES[k]: summary for k in curves.categories}
        return Scores(self.name, self.version, summary, classes, warnings=self.warnings + _joined(shares, images))


def _joined(shares: Sequence[ShareMatches], images: int) -> tuple[str, ...]:
    notes: dict[str, list[str]] = defaultdict(list)
    for share in shares:
        for note, names in share.notes.items():
            notes[note] += names
    return tuple(f"In {len(names)} of {images} images {note} ({listed(names)})." for note, names in notes.items())


@dataclass(frozen=True)
class ImagesJob(Generic[Item]):
    """A few images are a unit.

    Attributes:
        rules: How to match and to sum up.
        compare: Reads an image; a function of a module, as workers get it too. Takes whether to do as the officials.
        images: What that reads.
    """

    rules: InsSegRules
    compare: Callable[[Item, bool], ImageOverlaps]
    images: Sequence[Item]

    @cached_property
    def units(self) -> Sequence[str]:
        """Shares of the images."""
        count = len(self.images)
        return [f"images {start + 1}-{min(start + _SHARE, count)}" for start in range(0, count, _SHARE)]

    def score(self, index: int) -> ShareMatches:
        """The matches of one share."""
        images = self.images[index * _SHARE : (index + 1) * _SHARE]
        return self.rules.matches(self.compare(image, self.rules.official) for image in images)

    def combine(self, partials: Sequence[ShareMatches]) -> Scores:
        """Sum up."""
        return self.rules.scores(partials, len(self.images))
