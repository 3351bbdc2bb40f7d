"""The bilayer mask head: sizes, toggles, pruning, and a literal re-statement of docs/sources.md, BCNet 1."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vos_occ.models.bilayer.mask_head import BilayerMaskHead
from vos_occ.models.bilayer.prediction import OUTPUTS, BilayerPrediction
from vos_occ.structures.errors import InputError

C, S = 8, 6

ABLATIONS = {
    "full gcn": {},
    "full fcn": {"variant": "fcn"},
    "with hidden": {"hidden_output": True},
    "paper layout": {"layout": "paper"},
    "paper layout, gcn first": {"layout": "paper", "gcn_position": 0},
    "gcn last": {"gcn_position": 4},
    "shared upsampling": {"share_upsample": True},
    "group norm": {"gcn_norm": "gn"},
    "no guidance": {"guidance": False},
    "no occluder mask": {"occluder_mask": False},
    "no occluder boundary": {"occluder_boundary": False},
    "unsupervised occluder": {"occluder_mask": False, "occluder_boundary": False},
    "no occludee boundary": {"occludee_boundary": False},
    "single layer": {"bilayer": False},
    "single layer fcn": {"bilayer": False, "variant": "fcn"},
    "single layer, mask and hidden": {"bilayer": False, "occludee_boundary": False, "hidden_output": True},
    "class specific": {"class_agnostic": False, "num_classes": 5},
}
ablations = pytest.mark.parametrize("options", ABLATIONS.values(), ids=ABLATIONS.keys())


def roi_feats(n: int, channels: int = C, side: int = S) -> Tensor:
    return torch.randn(n, channels, side, side, generator=torch.Generator().manual_seed(n))


def parts(prediction: BilayerPrediction) -> dict[str, Tensor]:
    return {name: getattr(prediction, name) for name in OUTPUTS if getattr(prediction, name) is not None}


def randomised(head: BilayerMaskHead) -> BilayerMaskHead:
    """Predictors start near zero and norms at identity; give every parameter and buffer a value that shows."""
    torch.manual_seed(0)
    for name, value in head.state_dict().items():
        if value.is_floating_point():
            value.uniform_(0.5, 1.5) if "running_var" in name else value.normal_(std=0.3)
    return head.eval()


@pytest.mark.parametrize(
    ("options", "count"),
    [({}, 6_296_580), ({"variant": "fcn"}, 5_771_268), ({"variant": "fcn", "bilayer": False}, 2_885_634)],
    ids=["gcn", "fcn", "single layer fcn"],
)
def test_parameter_counts_at_full_width(options: dict, count: int) -> None:
    assert sum(p.numel() for p in BilayerMaskHead(**options).parameters()) == count


def test_masks_are_28_by_28_for_rois_of_14() -> None:
    prediction = BilayerMaskHead(16)(roi_feats(1, 16, 14))
    assert all(value.shape == (1, 1, 28, 28) for value in parts(prediction).values())
    assert prediction.hidden is None


@ablations
@pytest.mark.parametrize("n", [0, 1, 7])
def test_every_parameter_learns_for_any_number_of_rois(options: dict, n: int) -> None:
    head = BilayerMaskHead(C, **options)
    prediction = head(roi_feats(n))
    assert tuple(parts(prediction)) == head.outputs
    for name, value in parts(prediction).items():
        channels = 5 if name == "occludee_mask" and not head.class_agnostic else 1
        assert value.shape == ((n,) if name == "hidden" else (n, channels, 2 * S, 2 * S))
    sum(value.sum() for value in parts(prediction).values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in head.parameters())


@ablations
@pytest.mark.parametrize("wanted", [(), ("occluder_mask",), ("occluder_boundary", "hidden"), ("occludee_boundary",)])
def test_pruned_forward_equals_full_forward(options: dict, wanted: tuple[str, ...]) -> None:
    head = randomised(BilayerMaskHead(C, **options))
    full, pruned = parts(head(roi_feats(3))), parts(head(roi_feats(3), outputs=wanted))
    assert set(pruned) == {"occludee_mask", *wanted} & set(head.outputs)
    assert all(torch.equal(value, full[name]) for name, value in pruned.items())


def test_pruned_forward_runs_no_unasked_predictor() -> None:
    head = BilayerMaskHead(C, hidden_output=True)
    ran = []
    for name, module in head.named_modules():
        module.register_forward_hook(lambda *_, name=name: ran.append(name))
    head(roi_feats(2), outputs=("occludee_mask",))
    assert "occluder_layer" in ran
    assert "occludee_outputs.predictor.occludee_mask" in ran
    assert not [n for n in ran if "boundary" in n or "occluder_mask" in n or "hidden" in n]


def test_without_guidance_the_occluder_layer_is_skipped_unless_asked_for() -> None:
    head, ran = BilayerMaskHead(C, guidance=False), []
    head.occluder_layer.register_forward_hook(lambda *_: ran.append("occluder"))
    head(roi_feats(2), outputs=())
    assert ran == []
    head(roi_feats(2), outputs=("occluder_mask",))
    assert ran == ["occluder"]


def restated(state: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
    """Rows 1 to 15 of the released head, written out with functions of torch only."""

    def conv(name: str, x: Tensor) -> Tensor:
        return F.relu(F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=1))

    def non_local(name: str, x: Tensor) -> Tensor:
        q, k, v = (F.conv2d(x, w).flatten(2) for w in state[f"{name}.query_key_value.weight"].chunk(3))
        affinity = torch.softmax(q.transpose(1, 2) @ k / x.shape[1] ** 0.5, dim=2)
        y = F.conv2d((v @ affinity.transpose(1, 2)).view_as(x), state[f"{name}.output.weight"])
        norm = [state[f"{name}.norm.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        return x + F.batch_norm(y, *norm, eps=1e-4)

    def branch(name: str, x: Tensor) -> Tensor:
        x = conv(f"{name}.convs.1", conv(f"{name}.convs.0", x))
        x = non_local(f"{name}.non_local", x)
        return conv(f"{name}.convs.3", conv(f"{name}.convs.2", x))

    def output(layer: str, name: str, x: Tensor) -> Tensor:
        up, out = f"{layer}_outputs.upsample.{name}", f"{layer}_outputs.predictor.{name}"
        x = F.relu(F.conv_transpose2d(x, state[f"{up}.weight"], state[f"{up}.bias"], stride=2))
        return F.conv2d(x, state[f"{out}.weight"], state[f"{out}.bias"])

    z_occ = branch("occluder_layer", x)
    z_tgt = branch("occludee_layer", x + z_occ)
    features = {"occluder": z_occ, "occludee": z_tgt}
    return {name: output(name.split("_")[0], name, features[name.split("_")[0]]) for name in OUTPUTS[:4]}


def test_released_layout_equals_its_table() -> None:
    head = randomised(BilayerMaskHead(C)).double()
    x = roi_feats(3).double()
    for name, expected in restated(head.state_dict(), x).items():
        torch.testing.assert_close(getattr(head(x), name), expected)


def test_gradients_of_the_occludee_reach_the_occluder_layer_through_guidance_only() -> None:
    for guidance in (True, False):
        head = BilayerMaskHead(C, guidance=guidance)
        head(roi_feats(2)).occludee_mask.sum().backward()
        reached = [p.grad is not None and p.grad.abs().sum() > 0 for p in head.occluder_layer.convs.parameters()]
        assert any(reached) == guidance


def test_single_layer_baseline_is_the_occludee_branch_alone() -> None:
    bilayer, single = randomised(BilayerMaskHead(C, guidance=False)), BilayerMaskHead(C, bilayer=False).eval()
    single.load_state_dict({k: v for k, v in bilayer.state_dict().items() if k.startswith("occludee_")})
    assert torch.equal(single(roi_feats(2)).occludee_mask, bilayer(roi_feats(2)).occludee_mask)


def test_paper_layout_has_three_convolutions_and_one_upsampling_per_layer() -> None:
    head = BilayerMaskHead(C, layout="paper")
    assert len(head.occluder_layer.convs) == len(head.occludee_layer.convs) == 3
    assert len(head.occluder_outputs.upsample) == len(head.occludee_outputs.upsample) == 1
    assert head.layout.gcn_norm == "ln_relu"
    assert not head.layout.gcn_scale


def test_one_option_overrides_its_part_of_a_layout_only() -> None:
    head = BilayerMaskHead(C, layout="paper", gcn_scale=True)
    assert head.layout.gcn_scale
    assert head.layout.num_convs == 3


def test_zero_initialised_gcn_head_equals_the_fcn_head() -> None:
    gcn, fcn = BilayerMaskHead(C, gcn_zero_init=True).eval(), BilayerMaskHead(C, variant="fcn").eval()
    fcn.load_state_dict({k: v for k, v in gcn.state_dict().items() if "non_local" not in k})
    torch.testing.assert_close(gcn(roi_feats(2)).occludee_mask, fcn(roi_feats(2)).occludee_mask)


@pytest.mark.parametrize("layout", ["released", "paper"])
def test_head_trains_under_autocast(layout: str) -> None:
    head = BilayerMaskHead(C, layout=layout, hidden_output=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        prediction = head(roi_feats(3))
    sum(value.float().sum() for value in parts(prediction).values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in head.parameters())


def test_hidden_starts_near_its_prior() -> None:
    hidden = BilayerMaskHead(C, hidden_output=True)(roi_feats(5)).hidden.sigmoid()
    assert ((hidden > 0.05) & (hidden < 0.2)).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variant": "mlp"}, "variant gcn or fcn"),
        ({"layout": "cvpr"}, "layout released or paper"),
        ({"gcn_position": 5}, "gcn_position must lie in"),
        ({"guidance": False, "occluder_mask": False, "occluder_boundary": False}, "serves nothing"),
    ],
)
def test_options_that_make_no_head_are_refused(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        BilayerMaskHead(C, **options)
