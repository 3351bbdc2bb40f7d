"""The adapter around mmdet's FCNMaskHead."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import pytest
import torch
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from torch import Tensor

from vos_occ.models.bilayer.plain_head import PlainMaskHead

OPTIONS = {"in_channels": 8, "conv_out_channels": 8, "num_classes": 3}


def roi_feats(n: int) -> Tensor:
    return torch.randn(n, 8, 6, 6, generator=torch.Generator().manual_seed(n))


@pytest.mark.parametrize("n", [0, 1, 7])
def test_plain_head_answers_like_the_fcn_head_whose_weights_it_loads(n: int) -> None:
    fcn = FCNMaskHead(**OPTIONS)
    fcn.init_weights()
    plain = PlainMaskHead(**OPTIONS)
    plain.load_state_dict(fcn.state_dict(), strict=True)
    prediction = plain(roi_feats(n))
    assert torch.equal(prediction.occludee_mask, fcn(roi_feats(n)))
    assert plain.outputs == ("occludee_mask",)
    assert prediction.hidden is prediction.occluder_mask is None


@pytest.mark.parametrize("n", [0, 1, 7])
def test_plain_head_with_hidden_output_trains_every_parameter(n: int) -> None:
    plain = PlainMaskHead(**OPTIONS, class_agnostic=True, hidden_output=True)
    prediction = plain(roi_feats(n))
    assert prediction.hidden.shape == (n,)
    (prediction.occludee_mask.sum() + prediction.hidden.sum()).backward()
    assert all(p.grad is not None for p in plain.parameters())
    assert plain(roi_feats(n), outputs=("occludee_mask",)).hidden is None
