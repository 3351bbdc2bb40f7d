"""BilayerPrediction: validation, selection, averaging."""

from __future__ import annotations

import pytest
import torch

from vos_occ.models.bilayer.prediction import BilayerPrediction
from vos_occ.structures.errors import InputError


def prediction(n: int = 3, classes: int = 1, **changes: torch.Tensor) -> BilayerPrediction:
    torch.manual_seed(n)
    maps = {"occludee_mask": torch.randn(n, classes, 4, 4), "occluder_mask": torch.randn(n, 1, 4, 4)}
    return BilayerPrediction(**{**maps, "hidden": torch.randn(n), **changes})


def test_parts_with_different_numbers_of_rois_are_refused() -> None:
    with pytest.raises(InputError, match=r"hidden must have 1 dimensions and 3 RoIs, found shape \(2,\)"):
        prediction(hidden=torch.zeros(2))


def test_repr_shows_shapes_of_what_is_there() -> None:
    assert (
        repr(prediction()) == "BilayerPrediction(occludee_mask (3, 1, 4, 4), occluder_mask (3, 1, 4, 4), hidden (3,))"
    )


def test_select_class_takes_each_rois_own_channel() -> None:
    whole, labels = prediction(classes=5), torch.tensor([4, 0, 2])
    chosen = whole.select_class(labels)
    assert chosen.occludee_mask.shape == (3, 1, 4, 4)
    for row, label in enumerate(labels):
        assert torch.equal(chosen.occludee_mask[row, 0], whole.occludee_mask[row, label])
    assert chosen.hidden is whole.hidden


def test_select_class_leaves_class_agnostic_masks_alone() -> None:
    agnostic = prediction()
    assert agnostic.select_class(torch.tensor([7, 7, 7])) is agnostic


def test_split_and_select_agree() -> None:
    whole = prediction(5)
    first, none, last = whole.split([2, 0, 3])
    assert (len(first), len(none), len(last)) == (2, 0, 3)
    assert torch.equal(last.hidden, whole.select(torch.tensor([2, 3, 4])).hidden)
    assert torch.equal(first.occluder_mask, whole.occluder_mask[:2])


def test_average_is_the_mean_of_logits_and_keeps_common_outputs_only() -> None:
    first, second = prediction(), prediction()
    second = BilayerPrediction(second.occludee_mask * 3, hidden=second.hidden)
    mean = BilayerPrediction.average([first, second])
    torch.testing.assert_close(mean.occludee_mask, first.occludee_mask * 2)
    torch.testing.assert_close(mean.hidden, first.hidden)
    assert mean.occluder_mask is None


def test_average_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="at least one"):
        BilayerPrediction.average([])
