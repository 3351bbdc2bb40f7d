"""What is logged beside the losses: shares of RoIs, accuracy and IoU of each layer."""

from __future__ import annotations

import pytest
import torch
from mmengine.model import BaseModel
from torch import Tensor

from vos_occ.models.bilayer.measures import training_measures
from vos_occ.models.bilayer.prediction import BilayerPrediction
from vos_occ.models.bilayer.targets import BilayerTargets


def maps(*drawings: str) -> Tensor:
    """One RoI each, rows split by /, `#` is foreground."""
    rows = [[[c == "#" for c in row] for row in drawing.split("/")] for drawing in drawings]
    return torch.tensor(rows).float()


def logits(*drawings: str) -> Tensor:
    return (maps(*drawings)[:, None] - 0.5) * 4


def scene(known: tuple[bool, ...] = (True, True)) -> tuple[BilayerPrediction, BilayerTargets]:
    prediction = BilayerPrediction(
        occludee_mask=logits("##/..", "#./#."),
        occludee_boundary=logits("##/##", "../.."),
        occluder_mask=logits("#./..", "##/##"),
        occluder_boundary=logits("../..", "../.."),
    )
    targets = BilayerTargets(
        occludee_mask=maps("##/#.", "#./#."),
        occludee_boundary=maps("##/##", "##/##"),
        occluder_mask=maps("#./#.", "../.."),
        occluder_boundary=maps("../..", "../.."),
        occluder_known=torch.tensor(known),
    )
    return prediction, targets


def rounded(measures: dict[str, Tensor]) -> dict[str, float]:
    return {name: round(float(value), 4) for name, value in measures.items()}


def test_cells_of_all_rois_are_counted_together() -> None:
    assert rounded(training_measures(*scene())) == {
        "occluder_known": 1.0,
        "occluder_rate": 0.5,
        "occludee_accuracy": 0.875,  # 7 of 8
        "occludee_iou": 0.8,  # 4 of 5
        "occludee_boundary_iou": 0.5,
        "occluder_accuracy": 0.375,  # 3 of 8
        "occluder_iou": 0.1667,  # 1 of 6
    }, "an IoU of nothing with nothing is left out"


def test_rois_of_unknown_occluders_count_in_the_shares_only() -> None:
    found = rounded(training_measures(*scene(known=(True, False))))
    assert (found["occluder_known"], found["occluder_rate"]) == (0.5, 0.5)
    assert (found["occluder_accuracy"], found["occluder_iou"]) == (0.75, 0.5)
    assert found["occludee_accuracy"] == 0.875


def test_with_no_known_occluder_only_the_shares_speak_of_them() -> None:
    found = rounded(training_measures(*scene(known=(False, False))))
    assert (found["occluder_known"], found["occluder_rate"]) == (0.0, 0.0)
    assert not {"occluder_accuracy", "occluder_iou"} & set(found)


def test_a_plain_head_has_its_mask_alone() -> None:
    prediction, targets = scene()
    found = training_measures(BilayerPrediction(prediction.occludee_mask), BilayerTargets(targets.occludee_mask))
    assert rounded(found) == {"occludee_accuracy": 0.875, "occludee_iou": 0.8}


def test_without_rois_nothing_is_said() -> None:
    prediction, targets = scene()
    none = BilayerTargets(targets.occludee_mask[:0])
    assert training_measures(prediction.select(slice(0)), none) == {}


def test_mmengine_logs_them_and_adds_none_to_the_loss() -> None:
    model = type("Model", (BaseModel,), {"forward": None})()
    loss, logged = model.parse_losses({"loss_mask": torch.tensor(0.25), **training_measures(*scene())})
    assert loss == 0.25 and logged["occludee_iou"] == pytest.approx(0.8)
    assert not any("loss" in name for name in training_measures(*scene()))
