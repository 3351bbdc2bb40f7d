"""Which videos of a training set to hold out for scoring, where the server keeps the truth to itself.

Videos are split whole: neighbouring frames are nearly the same picture. What is spread over both parts is, first, every
class, then every level of occlusion of every class (iterative stratification: Sechidis et al., ECML PKDD 2011).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np

from eval.readers.ytvis import Track
from eval.tube_ap import occlusion_score
from vos_occ.structures.errors import InputError

LEVELS = ("slight", "moderate", "heavy")
"""Of a track, as OVIS' evaluator groups them: occlusion score below .25, below .5, and from there on."""

Label = tuple[int, str]  # category and level; the level is "" for the category as a whole
Labels = Mapping[int, Set[Label]]  # of each video


@dataclass(frozen=True)
class Split:
    """Ids of the videos of both parts."""

    train: frozenset[int]
    holdout: frozenset[int]


@dataclass(frozen=True)
class TrackFacts:
    """What matters of a track here.

    Attributes:
        video_id, category_id, iscrowd: as annotated.
        masks: in how many frames it is seen.
        level: one of LEVELS; None where nobody said how hidden it is.
    """

    video_id: int
    category_id: int
    iscrowd: bool
    masks: int
    level: str | None


def facts_of(track: Track) -> TrackFacts:
    """The facts of an annotation."""
    score = None if track.occlusion is None else occlusion_score(track.occlusion)
    level = None if score is None else LEVELS[int(score >= 0.25) + int(score >= 0.5)]
    masks = sum(mask is not None for mask in track.segmentations)
    return TrackFacts(track.video_id, track.category_id, track.iscrowd, masks, level)


def video_labels(tracks: Iterable[TrackFacts], videos: Iterable[int]) -> dict[int, set[Label]]:
    """What each video shows: its categories, and with which levels of occlusion where the file says so."""
    labels: dict[int, set[Label]] = {video: set() for video in videos}
    for track in tracks:
        if not track.iscrowd:
            labels[track.video_id].add((track.category_id, ""))
            if track.level is not None:
                labels[track.video_id].add((track.category_id, track.level))
    return labels


def split_videos(labels: Labels, share: float, seed: int = 0) -> Split:
    """Choose the videos to hold out.

    Args:
        labels: what each video shows.
        share: of the videos, between 0 and 1.
        seed: decides among equals.

    Returns:
        Both parts, neither empty. A category of two videos or more is in both, unless only moving several videos at
        once would bring it there; one of a single video is trained on, if that leaves the others where they are.

    Raises:
        InputError: there are fewer than two videos, or `share` is out of range.
    """
    if not 0 < share < 1:
        raise InputError(f"The share to hold out must lie between 0 and 1, found {share}.")
    if len(labels) < 2:
        raise InputError(f"There are {len(labels)} videos, and a split needs two. Annotate more.")
    rng = np.random.default_rng(seed)
    order = [sorted(labels)[i] for i in rng.permutation(len(labels))]
    held = _stratified(order, labels, share)
    held = _improved(order, labels, held, share)
    return Split(frozenset(set(labels) - held), frozenset(held))


def wanted(count: int, share: float) -> int:
    """How many of some videos to hold out: at least one and not all, if there are two or more."""
    return min(max(round(share * count), 1), count - 1) if count > 1 else 0


def _wanted(label: Label, count: int, share: float) -> int:
    """The same for a label; a level need not be in both parts, or rare ones would make the smaller part large."""
    return round(share * count) if label[1] else wanted(count, share)


def _stratified(order: Sequence[int], labels: Labels, share: float) -> set[int]:
    """Label by label, the rarest first, give each of its videos to the part that lacks it more."""
    counts = Counter(label for video in order for label in labels[video])
    held_out = {label: _wanted(label, count, share) for label, count in counts.items()}
    lack = {label: [count - held_out[label], held_out[label]] for label, count in counts.items()}
    room = [len(order) - wanted(len(order), share), wanted(len(order), share)]
    left, held = list(order), set()
    while left:
        there = Counter(label for video in left for label in labels[video])
        rarest = min(there, key=lambda label: (there[label], label), default=None)
        for video in [video for video in left if rarest is None or rarest in labels[video]]:
            needs = room if rarest is None else lack[rarest]
            part = max((0, 1), key=lambda side: (needs[side], room[side]))  # noqa: B023 (used at once)
            held |= {video} if part else set()
            room[part] -= 1
            for label in labels[video]:
                lack[label][part] -= 1
        left = [video for video in left if rarest is not None and rarest not in labels[video]]
    return {order[0]} if not held else held - {order[0]} if len(held) == len(order) else held


def _improved(order: Sequence[int], labels: Labels, held: set[int], share: float) -> set[int]:
    """Move single videos as long as that helps.

    What helps, in this order: fewer categories of several videos in one part only; fewer categories that no video is
    left to train on; the size that was asked for.
    """
    sides = {label: [0, 0] for video in order for label in labels[video]}
    for video in order:
        for label in labels[video]:
            sides[label][video in held] += 1
    room, moved = wanted(len(order), share), True
    while moved:
        moved = False
        for video in order:
            own = video in held
            size = len(held) + (-1 if own else 1)
            cost = (*_cost_of_moving(labels[video], sides, own), abs(size - room) - abs(len(held) - room))
            if cost < (0, 0, 0) and 0 < size < len(order):
                held, moved = held ^ {video}, True
                for label in labels[video]:
                    sides[label][own] -= 1
                    sides[label][not own] += 1
    return held


def _cost_of_moving(found: Set[Label], sides: Mapping[Label, Sequence[int]], own: bool) -> tuple[int, int]:
    """How many more categories would be in one part only, and how many more could not be trained."""
    several = [sides[label] for label in found if not label[1] and sum(sides[label]) > 1]
    single = sum(not label[1] and sum(sides[label]) == 1 for label in found)
    lost = sum(side[own] == 1 for side in several) - sum(side[not own] == 0 for side in several)
    return lost, -single if own else single
