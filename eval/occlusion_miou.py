"""Mean IoU by how much of an object is hidden, for models that are given the box of every object.

Every object counts once, with the IoU of its mask, or 0 if the model called it by another class. Levels are those of
the true hidden fraction. Two papers' rules:

| | levels | objects |
| --- | --- | --- |
| `ORM` (Multi-Object Occlusion, CVPR 2021) | [0, .01) [.01, .30) [.30, .60) [.60, .90) | visible box of 30 px height |
| `BAYESIAN` (Bayesian-Amodal, CVPR 2022) | [0, 0] [.0001, .3] [.3001, .6] [.6001, .9] | amodal box of 50 px height |

Objects that are hidden more than that are level L4, which is reported but in no mean. An image in which one of the
given boxes has no width or height is left out as a whole, and so is an object without a visible pixel.

Equal to ORM's `eval_meanIoU.py` (593622a) but for these: masks are whole (there only the first polygon), sums are
float64 (there float32), visible pixels outside the amodal mask are no hidden part (there they count 255 times).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from eval.parts import hidden_fractions, hidden_parts, shared_pixels
from eval.rle import Rle, areas

Box = tuple[float, float, float, float]
Extent = Literal["amodal", "visible"]
Mode = Literal["amodal", "visible", "invisible"]

MODES: tuple[Mode, ...] = ("amodal", "visible", "invisible")  # ORM calls them amodal, inmodal, occ
LEVELS = ("L0", "L1", "L2", "L3", "L4")
IN_MEANS = 4  # L0 to L3
NO_LEVEL = -1


class TrueObject(Protocol):
    """What must be known of an object; boxes are (x, y, width, height)."""

    @property
    def image_id(self) -> int: ...
    @property
    def category_id(self) -> int: ...
    @property
    def amodal(self) -> Rle: ...
    @property
    def visible(self) -> Rle: ...
    @property
    def amodal_box(self) -> Box: ...
    @property
    def visible_box(self) -> Box: ...


class PredictedObject(Protocol):
    """What the model made of a given box; a category of None says that the class was given too."""

    @property
    def category_id(self) -> int | None: ...
    @property
    def amodal(self) -> Rle | None: ...
    @property
    def visible(self) -> Rle | None: ...


@dataclass(frozen=True)
class LevelRules:
    """Which objects count, and at which level.

    Attributes:
        bounds: Of L0 to L3; what lies above the last is L4.
        closed: Whether the upper bounds belong to their level. What lies between two levels then belongs to none.
        min_height: Least height of the box, in pixels.
        height_of: Of which box.
    """

    bounds: tuple[tuple[float, float], ...]
    closed: bool
    min_height: float
    height_of: Extent

    def levels(self, hidden: NDArray[np.float64]) -> NDArray[np.int64]:
        """Index into LEVELS for hidden fractions (N,), or NO_LEVEL."""
        low, high = np.array(self.bounds).T
        value = hidden[:, None]
        inside = (value >= low) & ((value <= high) if self.closed else (value < high))
        above = (hidden > high[-1]) if self.closed else (hidden >= high[-1])
        return np.where(inside.any(1), inside.argmax(1), np.where(above, IN_MEANS, NO_LEVEL))


ORM = LevelRules(((0, 0.01), (0.01, 0.30), (0.30, 0.60), (0.60, 0.90)), False, 30, "visible")
BAYESIAN = LevelRules(((0, 0), (0.0001, 0.3), (0.3001, 0.6), (0.6001, 0.9)), True, 50, "amodal")


def counted(
    objects: Sequence[TrueObject], rules: LevelRules, categories: set[int] | None = None, given: Extent = "amodal"
) -> list[int]:
    """Indices of the objects that the model is given: of these classes, high enough, in images without an empty box.

    Args:
        objects: All of the ground truth.
        rules: The least height.
        categories: The classes; None for all.
        given: Which boxes the model is given.
    """
    chosen = [
        i
        for i, thing in enumerate(objects)
        if (categories is None or thing.category_id in categories)
        and _box(thing, rules.height_of)[3] >= rules.min_height
    ]
    broken = {objects[i].image_id for i in chosen if 0 in _box(objects[i], given)[2:]}
    return [i for i in chosen if objects[i].image_id not in broken]


@dataclass(frozen=True)
class ScoredObjects:
    """N objects that count.

    Attributes:
        categories: (N,) their classes.
        levels: (N,) index into LEVELS, or NO_LEVEL.
        values: (N,) for each mode that the predictions have: IoU where the class is right, 0 where not; NaN where
            neither side has a pixel, which happens to invisible parts.
    """

    categories: NDArray[np.int64]
    levels: NDArray[np.int64]
    values: Mapping[Mode, NDArray[np.float64]]

    def of(self, category: int) -> ScoredObjects:
        """Those of one class."""
        chosen = self.categories == category
        values = {mode: value[chosen] for mode, value in self.values.items()}
        return ScoredObjects(self.categories[chosen], self.levels[chosen], values)

    def scores(self) -> dict[str, float | int | None]:
        """Counts and mean IoU by name, None where nothing defines a value.

        `objects_L0`; `amodal_L0`: over the objects of a level; `amodal_mIoU`: over all objects of L0 to L3;
        `amodal_mIoU_levels`: over the levels. The two differ much, and published tables mix them. An invisible part
        may be undefined where nothing is hidden; then `invisible_L0` is, as it is in ORM's table, and the means of
        invisible parts are those of L1 to L3.
        """
        found: dict[str, float | int | None] = {
            f"objects_{name}": int((self.levels == level).sum()) for level, name in enumerate(LEVELS)
        }
        found["objects_no_level"] = int((self.levels == NO_LEVEL).sum())
        for mode, value in self.values.items():
            by_level = [_mean(value[self.levels == level]) for level in range(len(LEVELS))]
            found |= {f"{mode}_{name}": mean for name, mean in zip(LEVELS, by_level, strict=True)}
            lowest = 1 if mode == "invisible" else 0
            found[f"{mode}_mIoU"] = _mean(value[(self.levels >= lowest) & (self.levels < IN_MEANS)])
            defined = [mean for mean in by_level[lowest:IN_MEANS] if mean is not None]
            found[f"{mode}_mIoU_levels"] = float(np.mean(defined)) if defined else None
        return found


def score_given_boxes(
    true: Sequence[TrueObject], predicted: Sequence[PredictedObject | None], rules: LevelRules = ORM
) -> ScoredObjects:
    """Compare what a model made of the boxes that it was given.

    Args:
        true: The objects that `counted` chose.
        predicted: The prediction for each; None scores 0.
        rules: The levels.

    Returns:
        The objects that have an amodal and a visible pixel, in order. Modes are those whose masks every prediction has.

    Raises:
        ValueError: Masks of an object differ in size, or not as many predictions as objects.
    """
    if len(true) != len(predicted):
        raise ValueError(f"Expected one prediction per object, found {len(predicted)} for {len(true)} objects.")
    has_pixels = (areas([t.amodal for t in true]) > 0) & (areas([t.visible for t in true]) > 0)
    pairs = [pair for pair, counts in zip(zip(true, predicted, strict=True), has_pixels, strict=True) if counts]
    hidden = hidden_fractions([t.amodal for t, _ in pairs], [t.visible for t, _ in pairs])
    answered = [i for i, (_, p) in enumerate(pairs) if p is not None]
    answers = [(t, p) for t, p in pairs if p is not None]
    values = {}
    for mode, masks in _masks(answers).items():
        values[mode] = np.zeros(len(pairs))
        values[mode][answered] = _ious(*masks) * [p.category_id in (None, t.category_id) for t, p in answers]
    return ScoredObjects(
        categories=np.array([t.category_id for t, _ in pairs], np.int64), levels=rules.levels(hidden), values=values
    )


def _masks(pairs: Sequence[tuple[TrueObject, PredictedObject]]) -> dict[Mode, tuple[list[Rle], list[Rle]]]:
    """True and predicted masks of each mode that all predictions have."""
    amodal = [p.amodal for _, p in pairs if p.amodal is not None]
    visible = [p.visible for _, p in pairs if p.visible is not None]
    masks: dict[Mode, tuple[list[Rle], list[Rle]]] = {}
    if len(amodal) == len(pairs):
        masks["amodal"] = [t.amodal for t, _ in pairs], amodal
    if len(visible) == len(pairs):
        masks["visible"] = [t.visible for t, _ in pairs], visible
    if len(masks) == 2:
        sides = zip(masks["amodal"], masks["visible"], strict=True)
        truth, guess = (hidden_parts(whole, seen) for whole, seen in sides)
        masks["invisible"] = truth, guess
    return masks


def _ious(first: Sequence[Rle], second: Sequence[Rle]) -> NDArray[np.float64]:
    """IoU of the i-th masks of two lists, NaN where both are empty."""
    shared = shared_pixels(first, second)
    union = areas(first) + areas(second) - shared
    return np.divide(shared, union, out=np.full(len(union), np.nan), where=union > 0)


def _box(thing: TrueObject, extent: Extent) -> Box:
    return thing.amodal_box if extent == "amodal" else thing.visible_box


def _mean(values: NDArray[np.float64]) -> float | None:
    """None without values, or where one of them is undefined."""
    return float(values.mean()) if values.size and not np.isnan(values).any() else None
