"""How well hidden fractions and occlusion order are told, each beside the baseline that any model must beat.

Knows nothing of files. Objects are paired with `match_masks`, frame by frame, and the paired rows are scored:

    rows, columns = match_masks(true_masks, predicted_masks)
    hidden = score_hidden_fraction(true_hidden[rows], predicted_hidden[columns])  # rows of all frames in one array
    order += score_order(
        true_order[np.ix_(rows, rows)], predicted_order[np.ix_(columns, columns)], true_boxes[rows]
    )

Orders come as lists of ids (`order_from_lists`: COCOA's depth constraints, our own files and results), as KINS-2020's
clusters (`order_from_clusters`) or not at all, and are then read off the masks (`order_from_masks`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment
from scipy.stats import spearmanr

from eval.counts import Counts
from eval.rle import Rle, intersections, ious

UNOCCLUDED_BELOW = 0.01  # level L0 of ORM's KINS evaluation
CALLED_HIDDEN_ABOVE = 0.10


def match_masks(
    true: Sequence[Rle], predicted: Sequence[Rle], min_iou: float = 0.5
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pair the visible masks of one frame one to one, for the highest total IoU.

    Args:
        true: N masks of one size.
        predicted: M masks of the same size.
        min_iou: Least IoU of a pair.

    Returns:
        Indices (P,) into `true`, ascending, and (P,) into `predicted`.
    """
    similarity = ious(true, predicted)
    similarity = np.where(similarity >= min_iou, similarity, 0.0)
    rows, columns = linear_sum_assignment(similarity, maximize=True)
    good = similarity[rows, columns] > 0
    return rows[good], columns[good]


@dataclass(frozen=True)
class HiddenFractionScore:
    """Errors of predicted hidden fractions over paired objects; None where nothing defines a value.

    Attributes:
        objects: Objects whose true hidden fraction is known.
        coverage: Share of them that were given a prediction; the rest of the values are over those.
        mae: Mean absolute error, in [0, 1].
        baseline_mae: That of predicting for every object the mean of the true values.
        spearman: Rank correlation, in [-1, 1]; None where all true or all predicted values are the same.
        unoccluded: Objects of which less than 1 % is hidden.
        false_alarms: Share of the unoccluded that are predicted to be hidden by more than 10 %.
    """

    objects: int
    coverage: float | None
    mae: float | None
    baseline_mae: float | None
    spearman: float | None
    unoccluded: int
    false_alarms: float | None


def score_hidden_fraction(true: ArrayLike, predicted: ArrayLike) -> HiddenFractionScore:
    """Compare hidden fractions of paired objects.

    Args:
        true: (P,) in [0, 1], NaN where unknown; such objects are left out.
        predicted: (P,) in [0, 1], NaN where the model gives none.

    Raises:
        ValueError: Lengths differ, or a value lies outside [0, 1].
    """
    truth, guess = (np.asarray(values, np.float64).reshape(-1) for values in (true, predicted))
    if len(truth) != len(guess):
        raise ValueError(f"Expected one prediction per object, found {len(guess)} for {len(truth)} objects.")
    for name, values in (("true", truth), ("predicted", guess)):
        if (values < 0).any() or (values > 1).any():
            raise ValueError(
                f"{name} hidden fractions must lie in [0, 1], found {np.nanmin(values)} to {np.nanmax(values)}."
            )
    known = ~np.isnan(truth)
    both = known & ~np.isnan(guess)
    truth, guess = truth[both], guess[both]
    free = truth < UNOCCLUDED_BELOW
    varied = len(truth) > 1 and np.ptp(truth) > 0 and np.ptp(guess) > 0
    return HiddenFractionScore(
        objects=int(known.sum()),
        coverage=float(both.sum() / known.sum()) if known.any() else None,
        mae=_mean(np.abs(guess - truth)),
        baseline_mae=_mean(np.abs(truth.mean() - truth)) if len(truth) else None,
        spearman=float(spearmanr(truth, guess).statistic) if varied else None,
        unoccluded=int(free.sum()),
        false_alarms=_mean(guess[free] > CALLED_HIDDEN_ABOVE),
    )


@dataclass(frozen=True)
class OrderScore(Counts):
    """Pairs of objects of which one hides part of the other. Adds up over frames: `sum(per_frame, OrderScore())`.

    Attributes:
        pairs: Pairs with one true direction.
        predicted: Those for which the model says a direction.
        correct: Those for which it says the true one.
        baseline_correct: Those in which the object with the lower box edge is in front: in pictures taken from above
            the ground, what stands lower in the image is nearer.
    """

    pairs: int = 0
    predicted: int = 0
    correct: int = 0
    baseline_correct: int = 0

    @property
    def accuracy(self) -> float | None:
        """Share of all pairs told right; a pair without an answer is wrong."""
        return self.correct / self.pairs if self.pairs else None

    @property
    def coverage(self) -> float | None:
        """Share of all pairs with an answer."""
        return self.predicted / self.pairs if self.pairs else None

    @property
    def accuracy_of_predicted(self) -> float | None:
        """Share of the pairs with an answer that are told right."""
        return self.correct / self.predicted if self.predicted else None

    @property
    def baseline_accuracy(self) -> float | None:
        """Share of all pairs that the lower box edge tells right; equal edges are wrong."""
        return self.baseline_correct / self.pairs if self.pairs else None


def score_order(true: ArrayLike, predicted: ArrayLike, boxes: ArrayLike) -> OrderScore:
    """Compare the occlusion order of the P paired objects of one frame.

    Pairs that hide parts of each other have no one direction and are left out; a model that says both directions of a
    pair has said none. What it says of pairs that do not occlude each other is not scored.

    Args:
        true: (P, P) bool; [i, j] says that i hides part of j.
        predicted: (P, P) bool, likewise.
        boxes: (P, 4) xyxy of the visible objects, for the baseline.

    Raises:
        ValueError: Shapes do not fit.
    """
    truth, guess = np.asarray(true, bool), np.asarray(predicted, bool)
    bottoms = np.asarray(boxes, np.float64).reshape(-1, 4)[:, 3]
    shape = (len(bottoms), len(bottoms))
    if truth.size == guess.size == 0 and not len(bottoms):
        return OrderScore()
    if truth.shape != shape or guess.shape != shape:
        raise ValueError(f"Expected two matrices {shape} for {shape[0]} boxes, found {truth.shape} and {guess.shape}.")
    front, behind = np.nonzero(truth & ~truth.T)
    says, denies = guess[front, behind], guess[behind, front]
    return OrderScore(
        pairs=len(front),
        predicted=int((says != denies).sum()),
        correct=int((says & ~denies).sum()),
        baseline_correct=int((bottoms[front] > bottoms[behind]).sum()),
    )


def pairs_told_apart(true: ArrayLike, predicted: ArrayLike) -> tuple[int, int]:
    """Pairs of one frame for which the two orders agree: the same direction, or none in both; and all its pairs.

    Args:
        true: (P, P) bool; [i, j] says that i hides part of j.
        predicted: (P, P) bool, likewise.

    Source: "all order acc" of ORM's evaluation.
    """
    signs = [np.asarray(order, bool).astype(np.int8) for order in (true, predicted)]
    agree = signs[0] - signs[0].T == signs[1] - signs[1].T
    upper = np.triu_indices(len(agree), 1)
    return int(agree[upper].sum()), len(upper[0])


def order_from_lists(ids: Sequence[int], in_front_of: Sequence[Sequence[int] | None]) -> NDArray[np.bool_]:
    """The order of N objects of which each names those that it hides part of.

    Args:
        ids: N ids.
        in_front_of: N lists of ids; ids of other objects are left out, None says nothing.

    Returns:
        (N, N) bool; [i, j] says that i hides part of j.
    """
    places = {number: place for place, number in enumerate(ids)}
    order = np.zeros((len(ids), len(ids)), bool)
    for i, behind in enumerate(in_front_of):
        order[i, [places[number] for number in behind or () if number in places and places[number] != i]] = True
    return order


def order_from_clusters(clusters: Sequence[tuple[int, int]], amodal: Sequence[Rle]) -> NDArray[np.bool_]:
    """The order of N objects of KINS-2020: in one cluster the lower place is in front, if amodal masks share pixels.

    Args:
        clusters: N times the cluster (`oco_id`) and the place in it from the front, 1 (`ico_id`); place 0 has no order.
        amodal: N masks.

    Returns:
        (N, N) bool; [i, j] says that i hides part of j.

    Source: the dataset's README; ORM's loader, in which the larger `ico_id` loses.
    """
    group, place = np.array(clusters, np.int64).reshape(-1, 2).T
    placed = place > 0
    comparable = (group[:, None] == group) & placed[:, None] & placed
    return comparable & (place[:, None] < place) & (intersections(amodal, amodal) > 0)


def order_from_masks(amodal: Sequence[Rle], visible: Sequence[Rle]) -> NDArray[np.bool_]:
    """The order that masks imply: i is in front of j where more of i is seen on j than of j on i.

    Args:
        amodal: N masks.
        visible: N masks of the same size.

    Returns:
        (N, N) bool; [i, j] says that i hides part of j. Equal parts have no order (ORM's code makes the second of the
        two the front, deocclusion's the first).

    Source: `pair_wise_order_matrix` of ORM's evaluation.
    """
    seen = intersections(visible, amodal)
    return (seen > seen.T) & (intersections(amodal, amodal) > 0)


def _mean(values: NDArray) -> float | None:
    return float(values.mean()) if values.size else None
