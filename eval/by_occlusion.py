"""How well objects are found at each level of occlusion, and whether their ids survive being hidden.

Knows nothing of files, and matches nobody itself: it takes the matches of `eval.clear` (TrackEval) or of
`eval.motmetrics_accumulator` (BDD100K) and tells where they and their errors fall, so that all levels together give
that evaluator's totals. No benchmark counts this.

A *link* is two matches of one true object with none of its own in between. Every identity switch breaks a link. A link
spans a *gap* if in between the object was hidden: at a level that counts as hidden, or without any mask in the ground
truth (fully hidden, or out of view).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eval.scores import Number
from eval.sequences import Floats, Ints, TrackingSequence

Flags = NDArray[np.bool_]

NO_MASK = "no mask"
NOT_LABELLED = "not labelled"
RATE_BOUNDS = (0.01, 0.30, 0.60, 0.90)  # between L0 and L4: ORM's and CompositionalNets' levels, and L4


@dataclass(frozen=True)
class OcclusionScale:
    """The levels that a ground truth tells apart. Level numbers count through `names`, then `others`.

    Attributes:
        names: From the least hidden to the most.
        hiding: The first level at which an object counts as hidden.
        others: Levels that say nothing.
    """

    names: tuple[str, ...]
    hiding: int
    others: tuple[str, ...] = (NOT_LABELLED,)

    def __len__(self) -> int:
        return len(self.names) + len(self.others)

    @property
    def rows(self) -> tuple[str, ...]:
        """Names of all levels, and of having no mask."""
        return (*self.names, *self.others, NO_MASK)

    @property
    def not_labelled(self) -> int:
        """The level of an object of which nothing is known."""
        return len(self.names) + self.others.index(NOT_LABELLED)

    def hides(self, levels: Ints) -> Flags:
        """Which levels count as hidden."""
        return (levels >= self.hiding) & (levels < len(self.names))


KITTI_SCALE = OcclusionScale(("0 visible", "1 partly", "2 largely"), hiding=2, others=("3 unknown", NOT_LABELLED))
RATE_SCALE = OcclusionScale(("L0 <1%", "L1 1-30%", "L2 30-60%", "L3 60-90%", "L4 >=90%"), hiding=3)
FLAG_SCALE = OcclusionScale(("visible", "occluded"), hiding=1, others=())


def rate_levels(rates: ArrayLike) -> Ints:
    """Levels of RATE_SCALE of hidden fractions in [0, 1]; NaN is not labelled."""
    rates = np.asarray(rates, np.float64)
    levels = np.searchsorted(RATE_BOUNDS, rates, side="right")
    return np.where(np.isnan(rates), RATE_SCALE.not_labelled, levels).astype(np.int64)


@dataclass(frozen=True)
class MatchedObjects:
    """An evaluator's matches in one sequence and class, in frame order.

    Attributes:
        gt: (M,) rows of the true objects, each at most once.
        similarity: (M,) of each match.
        switched: (M,) whether the object was matched before with another id.
        fragmented: (M,) whether the match ends a fragmentation, by the evaluator's rule.
    """

    gt: Ints
    similarity: Floats
    switched: Flags
    fragmented: Flags


@dataclass(frozen=True, eq=False)
class OcclusionCounts:
    """Counts of one sequence and class or, added up, of many. All arrays are (len(scale) + 1,), by `scale.rows`.

    Attributes:
        scale: The levels.
        objects, tp: True objects over all frames, and those matched.
        similarity: Sum over the matches.
        idsw, frag: Switches and fragmentations, by the level of the object where it is matched again: all that the
            evaluator sees. An object that comes back from behind another is often visible by then.
        links, switched: Links, and those that end with another id, by the worst level gone through, both ends included,
            or by having no mask in between. Levels that say nothing count only where there is no other.
        gaps, gaps_switched: Links that span a gap, and those of them that end with another id.
    """

    scale: OcclusionScale
    objects: Ints
    tp: Ints
    similarity: Floats
    idsw: Ints
    frag: Ints
    links: Ints
    switched: Ints
    gaps: int = 0
    gaps_switched: int = 0

    @classmethod
    def none(cls, scale: OcclusionScale) -> OcclusionCounts:
        """No objects, to add to."""
        zeros = np.zeros(len(scale) + 1, np.int64)
        return cls(scale, zeros, zeros, zeros.astype(np.float64), zeros, zeros, zeros, zeros)

    def __add__(self, other: OcclusionCounts) -> OcclusionCounts:
        if self.scale != other.scale:
            raise ValueError(f"Counts of different levels do not add up: {self.scale.names} and {other.scale.names}.")
        sums = {f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self) if f.name != "scale"}
        return OcclusionCounts(self.scale, **sums)

    def rows(self) -> dict[str, dict[str, Number]]:
        """Numbers of each level, and of the links that span a gap and that span none.

        `kept` is the share of links that end with the id that they began with; None where there are no links, as
        `recall` is without objects and `MOTSP` without matches. Of `others` and NO_MASK only those that occur.
        """
        occurs = (self.objects > 0) | (self.links > 0)
        occurs[: len(self.scale.names)] = True
        rows = {name: self._level(level) for level, name in enumerate(self.scale.rows) if occurs[level]}
        links, switched = int(self.links.sum()), int(self.switched.sum())
        rows["across a gap"] = _links(self.gaps, self.gaps_switched)
        rows["without a gap"] = _links(links - self.gaps, switched - self.gaps_switched)
        return rows

    def _level(self, level: int) -> dict[str, Number]:
        objects, tp = int(self.objects[level]), int(self.tp[level])
        links = _links(int(self.links[level]), int(self.switched[level]))
        if level == len(self.scale):  # nobody is there to be found
            return links
        return {
            "objects": objects,
            "recall": tp / objects if objects else None,
            "MOTSP": float(self.similarity[level]) / tp if tp else None,
            "IDSW": int(self.idsw[level]),
            "Frag": int(self.frag[level]),
            **links,
        }


def _links(links: int, switched: int) -> dict[str, Number]:
    return {"links": links, "switched": switched, "kept": 1 - switched / links if links else None}


def by_occlusion(
    sequence: TrackingSequence, matches: MatchedObjects, levels: Ints, scale: OcclusionScale
) -> OcclusionCounts:
    """Counts of one sequence and class by level.

    Args:
        sequence: The sequence; of its predictions nothing is used.
        matches: Who of its true objects was matched.
        levels: (N,) level number of each true object.
        scale: What the numbers mean.

    Raises:
        ValueError: There is not one level for each object, or one is not on the scale.
    """
    if levels.shape != sequence.gt_ids.shape:
        raise ValueError(f"Expected a level for each of {len(sequence.gt_ids)} objects, found {levels.shape}.")
    if len(levels) and not (levels.min() >= 0 and levels.max() < len(scale)):
        raise ValueError(f"Levels must lie in 0..{len(scale) - 1}, found {levels.min()}..{levels.max()}.")

    def count(rows: Ints) -> Ints:
        return np.bincount(levels[rows], minlength=len(scale) + 1)

    links = _find_links(sequence, matches, levels, scale)
    return OcclusionCounts(
        scale,
        objects=np.bincount(levels, minlength=len(scale) + 1),
        tp=count(matches.gt),
        similarity=np.asarray(np.bincount(levels[matches.gt], matches.similarity, len(scale) + 1), np.float64),
        idsw=count(matches.gt[matches.switched]),
        frag=count(matches.gt[matches.fragmented]),
        links=np.bincount(links.worst, minlength=len(scale) + 1),
        switched=np.bincount(links.worst[links.switched], minlength=len(scale) + 1),
        gaps=int(links.gap.sum()),
        gaps_switched=int((links.gap & links.switched).sum()),
    )


@dataclass(frozen=True)
class _Links:
    """The links of a sequence.

    Attributes:
        worst: (K,) worst level gone through, or len(scale) where a mask is missing in between.
        gap, switched: (K,) whether it spans a gap, and ends with another id.
    """

    worst: Ints
    gap: Flags
    switched: Flags


def _find_links(sequence: TrackingSequence, matches: MatchedObjects, levels: Ints, scale: OcclusionScale) -> _Links:
    """Each object's frames in a row, one object after the other: a link is two matches next to each other."""
    order = np.argsort(sequence.gt_index, kind="stable")
    objects, frames, levels = sequence.gt_index[order], sequence.gt_frames[order], levels[order]
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    by_place = np.argsort(place[matches.gt])
    matched, switched = place[matches.gt][by_place], matches.switched[by_place]

    same = objects[matched[1:]] == objects[matched[:-1]]
    start, end = matched[:-1][same], matched[1:][same]
    absent = frames[end] - frames[start] > end - start
    hidden = np.concatenate([[0], np.cumsum(scale.hides(levels))])
    unseen = hidden[end] > hidden[start + 1]
    worst = np.where(absent, len(scale), _worst(levels, start, end, scale))
    return _Links(worst, absent | unseen, switched[1:][same])


def _worst(levels: Ints, start: Ints, end: Ints, scale: OcclusionScale) -> Ints:
    """The worst level from each start to its end, both included; those that say nothing rank below all others."""
    rank = np.where(levels < len(scale.names), levels, levels - len(scale))
    if not len(start):
        return start
    spans = np.stack([start, end], axis=1).reshape(-1)
    worst = np.maximum(np.maximum.reduceat(rank, spans)[::2], rank[end])
    return worst % len(scale)


def occlusion_rows(classes: Mapping[str, OcclusionCounts]) -> dict[str, dict[str, Number]]:
    """What is reported: `car: 2 largely` and so on, then the same of all classes together if there are several.

    Args:
        classes: By name; those without objects are left out.
    """
    there = {name: counts for name, counts in classes.items() if counts.objects.any()}
    if len(there) > 1:
        first, *others = there.values()
        there["all"] = sum(others, first)
    return {f"{name}: {row}": numbers for name, counts in there.items() for row, numbers in counts.rows().items()}
