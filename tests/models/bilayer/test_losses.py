"""Occluder sampling and the losses of docs/sources.md, BCNet 4."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vos_occ.models.bilayer.losses import BilayerLosses, sample_occluder_rois
from vos_occ.models.bilayer.prediction import BilayerPrediction
from vos_occ.models.bilayer.targets import BilayerTargets
from vos_occ.structures.errors import InputError

S = 6


def flags(pattern: str) -> Tensor:
    """`x` is True: one RoI per letter."""
    return torch.tensor([c == "x" for c in pattern], dtype=torch.bool)


def sample(occluded: str, sampling: str = "balanced", known: str | None = None, seed: int = 0, **options) -> list[int]:
    known_flags = torch.ones(len(occluded), dtype=torch.bool) if known is None else flags(known)
    generator = torch.Generator().manual_seed(seed)
    rois = sample_occluder_rois(flags(occluded), known_flags, sampling=sampling, generator=generator, **options)
    return rois.tolist()


@pytest.mark.parametrize(
    ("occluded", "positives", "negatives"),
    [
        ("........", 0, 0),  # K = 0: nothing to learn from
        ("xxxxxxxx", 8, 0),  # K = N: no unoccluded RoI to balance with
        ("xxxxxx..", 6, 2),  # K > N / 2: all there are
        ("xxxx....", 4, 4),  # K = N / 2
        (".x.....x", 2, 2),  # K < N / 2: exactly half
        ("", 0, 0),
    ],
)
def test_balanced_takes_all_occluded_and_as_many_others(occluded: str, positives: int, negatives: int) -> None:
    rois = sample(occluded)
    assert len(set(rois)) == len(rois)
    assert [occluded[i] for i in rois] == ["x"] * positives + ["."] * negatives


def test_balanced_draws_by_its_generator() -> None:
    occluded = "xx" + "." * 30
    assert sample(occluded, seed=1) == sample(occluded, seed=1)
    assert len({tuple(sample(occluded, seed=seed)) for seed in range(8)}) > 1


@pytest.mark.parametrize("sampling", ["balanced", "legacy_first_k"])
def test_nothing_occluded_yields_negatives_only_when_asked(sampling: str) -> None:
    assert sample("....", sampling) == []
    assert sample("....", sampling, neg_when_empty=True) == [0, 1, 2, 3]
    assert len(sample("x...", sampling, neg_when_empty=True)) == 2


def test_all_takes_every_roi() -> None:
    assert sample("x..x.", "all") == [0, 1, 2, 3, 4]


def test_legacy_takes_the_first_k_of_the_list_even_twice() -> None:
    assert sample("x..x.", "legacy_first_k") == [0, 3, 0, 1]


@pytest.mark.parametrize("sampling", ["balanced", "all", "legacy_first_k"])
def test_unknown_rois_are_never_drawn(sampling: str) -> None:
    assert set(sample("xx....", sampling, known=".x.x.x")) <= {1, 3, 5}
    assert sample("xx....", sampling, known="......", neg_when_empty=True) == []


def scene(n: int = 6, occluded: str = "x.x...", classes: int = 1) -> tuple[BilayerPrediction, BilayerTargets]:
    """Random logits and targets; RoIs marked `x` have an occluder."""
    torch.manual_seed(0)
    maps = [torch.randn(n, c, S, S, requires_grad=True) for c in (classes, 1, 1, 1)]
    targets = (torch.rand(4, n, S, S) < 0.5).float() * 1.0
    targets[2:] *= flags(occluded)[:, None, None]
    hidden = torch.tensor([0.0, 0.3, torch.nan, 1.0, 0.5, torch.nan])[:n]
    return BilayerPrediction(*maps, hidden=torch.randn(n, requires_grad=True)), BilayerTargets(
        *targets, occluder_known=torch.ones(n, dtype=torch.bool), hidden=hidden
    )


def bce(logits: Tensor, target: Tensor) -> Tensor:
    """Mean binary cross-entropy written out."""
    p = logits.sigmoid()
    return -(target * p.log() + (1 - target) * (1 - p).log()).mean()


def test_weights_and_boundary_scale_are_the_released_codes() -> None:
    prediction, targets = scene()
    losses = BilayerLosses(sampling="legacy_first_k")(prediction, targets, torch.zeros(6, dtype=torch.int64))
    rois = [0, 2, 0, 1]
    edge, edge_target = prediction.occludee_boundary[:, 0], targets.occludee_boundary
    back, back_target = prediction.occluder_boundary[rois, 0], targets.occluder_boundary[rois]
    expected = {
        "loss_mask": bce(prediction.occludee_mask[:, 0], targets.occludee_mask),
        "loss_boundary": 0.5 * (bce(edge, edge_target) + bce(edge, edge_target)),  # JointLoss of two equal terms
        "loss_mask_occluder": 0.25 * bce(prediction.occluder_mask[rois, 0], targets.occluder_mask[rois]),
        "loss_boundary_occluder": 0.5 * (bce(back, back_target) + bce(back, back_target)),
    }
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value)


def test_boundary_scale_one_is_the_papers_half_weight() -> None:
    prediction, targets = scene()
    loss = BilayerLosses(boundary_loss_scale=1.0)(prediction, targets, torch.zeros(6, dtype=torch.int64))
    expected = 0.5 * bce(prediction.occludee_boundary[:, 0], targets.occludee_boundary)
    torch.testing.assert_close(loss["loss_boundary"], expected)


@pytest.mark.parametrize("n", [0, 1, 6])
def test_no_occluders_give_zero_losses_that_keep_the_graph(n: int) -> None:
    prediction, targets = scene(n, "." * n)
    losses = BilayerLosses()(prediction, targets, torch.zeros(n, dtype=torch.int64))
    assert losses["loss_mask_occluder"] == 0
    assert losses["loss_boundary_occluder"] == 0
    sum(losses.values()).backward()
    assert prediction.occluder_mask.grad.abs().sum() == 0
    assert all(loss.isfinite() for loss in losses.values())


def test_class_specific_masks_learn_in_their_own_channel_only() -> None:
    prediction, targets = scene(classes=4)
    labels = torch.tensor([0, 1, 2, 3, 3, 3])
    BilayerLosses()(prediction, targets, labels)["loss_mask"].backward()
    touched = prediction.occludee_mask.grad.abs().sum(dim=(2, 3)) > 0
    assert torch.equal(touched, F.one_hot(labels, 4).bool())


def test_losses_exist_only_for_what_was_predicted() -> None:
    prediction, targets = scene()
    losses = BilayerLosses()(BilayerPrediction(prediction.occludee_mask), targets, torch.zeros(6, dtype=torch.int64))
    assert set(losses) == {"loss_mask"}


@pytest.mark.parametrize("kind", ["bce", "smooth_l1"])
def test_unknown_hidden_fractions_teach_nothing(kind: str) -> None:
    prediction, targets = scene()
    BilayerLosses(hidden_loss=kind)(prediction, targets, torch.zeros(6, dtype=torch.int64))["loss_hidden"].backward()
    assert (prediction.hidden.grad != 0).tolist() == [True, True, False, True, True, False]


@pytest.mark.parametrize("kind", ["bce", "smooth_l1"])
def test_hidden_loss_is_lowest_at_the_truth(kind: str) -> None:
    truth = torch.tensor([0.02, 0.4, 0.9])
    targets = BilayerTargets(torch.zeros(3, S, S), hidden=truth)

    def loss(fractions: Tensor) -> Tensor:
        prediction = BilayerPrediction(torch.zeros(3, 1, S, S), hidden=fractions.logit())
        return BilayerLosses(hidden_loss=kind)(prediction, targets, torch.zeros(3, dtype=torch.int64))["loss_hidden"]

    assert all(loss(truth) < loss((truth + step).clamp(0.001, 0.999)) for step in (-0.1, -0.01, 0.01, 0.1))


@pytest.mark.parametrize("options", [{"sampling": "first_k"}, {"hidden_loss": "l2"}])
def test_unknown_options_are_refused(options: dict) -> None:
    with pytest.raises(InputError, match=next(iter(options.values()))):
        BilayerLosses(**options)


def test_half_precision_logits_are_reduced_in_float32() -> None:
    prediction, targets = scene()
    half = BilayerPrediction(prediction.occludee_mask.half())
    assert BilayerLosses()(half, targets, torch.zeros(6, dtype=torch.int64))["loss_mask"].dtype == torch.float32
