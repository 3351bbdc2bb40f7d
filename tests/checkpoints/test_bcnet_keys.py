"""The released BCNet's names: every tensor finds its place, and the head that it lands in is the released head.

The layer table of docs/sources.md, BCNet 1 is written out here a second time, in the released names and in functions
of torch alone, and run beside ours.
"""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import Tensor

from vos_occ.checkpoints.bcnet_keys import convert
from vos_occ.checkpoints.key_diff import key_diff
from vos_occ.models.bilayer import BilayerMaskHead
from vos_occ.structures.errors import CheckpointError

CONFIGS = Path(__file__).parents[2] / "configs/bcnet"
HEAD = "roi_head.mask_head."
Shapes = dict[str, tuple[int, ...]]


def mask_head_shapes(c: int) -> Shapes:
    """The 50 tensors of the released mask head, with C = 256 there."""
    shapes: Shapes = {}
    for conv in [f"{branch}_fcn{i}" for branch in ("boundary", "mask") for i in (1, 2, 3, 4)]:
        shapes |= {f"{conv}.weight": (c, c, 3, 3), f"{conv}.bias": (c,)}
    for deconv in ("deconv", "bo_deconv", "boundary_deconv", "boundary_deconv_bo"):
        shapes |= {f"{deconv}.weight": (c, c, 2, 2), f"{deconv}.bias": (c,)}
    for suffix in ("bound", "bound_bo"):
        for part in ("query", "key", "value", "output"):
            shapes[f"{part}_transform_{suffix}.weight"] = (c, c, 1, 1)
        for statistic in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"blocker_{suffix}.{statistic}"] = (c,)
        shapes[f"blocker_{suffix}.num_batches_tracked"] = ()
    for predictor in ("predictor", "predictor_bo", "boundary_predictor", "boundary_predictor_bo"):
        shapes |= {f"{predictor}.weight": (1, c, 1, 1), f"{predictor}.bias": (1,)}
    return {f"mask_head.{name}": shape for name, shape in shapes.items()}


def released_shapes(depth: int) -> Shapes:
    """All tensors of the released model, ResNet `depth`, 80 classes."""

    def frozen(norm: str, c: int) -> Shapes:
        return {f"{norm}.{part}": (c,) for part in ("weight", "bias", "running_mean", "running_var")}

    bottom = "backbone.bottom_up."
    shapes: Shapes = {f"{bottom}stem.conv1.weight": (64, 3, 7, 7), **frozen(f"{bottom}stem.conv1.norm", 64)}
    blocks, before = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}[depth], 64
    for stage, count in enumerate(blocks, start=2):
        width = 64 * 2 ** (stage - 2)
        for i in range(count):
            block = f"{bottom}res{stage}.{i}"
            layers = {"conv1": (width, before, 1, 1), "conv2": (width, width, 3, 3), "conv3": (4 * width, width, 1, 1)}
            if i == 0:
                layers["shortcut"] = (4 * width, before, 1, 1)
            for layer, shape in layers.items():
                shapes |= {f"{block}.{layer}.weight": shape, **frozen(f"{block}.{layer}.norm", shape[0])}
            before = 4 * width
    for level, c in ((3, 512), (4, 1024), (5, 2048)):
        shapes |= conv(f"backbone.fpn_lateral{level}", 256, c, 1) | conv(f"backbone.fpn_output{level}", 256, 256, 3)
    for level in (6, 7):
        shapes |= conv(f"backbone.top_block.p{level}", 256, 256, 3)
    for tower in ("cls_tower", "bbox_tower"):
        for i in range(4):
            shapes |= conv(f"head.{tower}.{3 * i}", 256, 256, 3)
            shapes |= {f"head.{tower}.{3 * i + 1}.{part}": (256,) for part in ("weight", "bias")}
    shapes |= conv("head.cls_logits", 80, 256, 3) | conv("head.bbox_pred", 4, 256, 3)
    shapes |= conv("head.centerness", 1, 256, 3) | {f"head.scales.{i}.scale": (1,) for i in range(5)}
    return shapes | mask_head_shapes(256)


def conv(name: str, out: int, into: int, kernel: int) -> Shapes:
    return {f"{name}.weight": (out, into, kernel, kernel), f"{name}.bias": (out,)}


def random_state(shapes: Shapes) -> dict[str, Tensor]:
    """Weights under which activations stay near 1, no two alike."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, shape in shapes.items():
        values = torch.randn(shape, generator=generator) / max(shape[1] * 3, 1) ** 0.5 if len(shape) == 4 else None
        if name.endswith("num_batches_tracked"):
            values = torch.tensor(7)
        elif values is None:
            values = torch.rand(shape, generator=generator) + (0.5 if "bias" not in name else -0.5)
        state[name] = values
    return state


def released_head(state: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
    """Section 1, row by row, in the released names."""

    def conv3(name: str, x: Tensor) -> Tensor:
        return F.relu(F.conv2d(x, state[f"mask_head.{name}.weight"], state[f"mask_head.{name}.bias"], padding=1))

    def non_local(suffix: str, x: Tensor) -> Tensor:
        q, k, v = (
            F.conv2d(x, state[f"mask_head.{part}_transform_{suffix}.weight"]).flatten(2)
            for part in ("query", "key", "value")
        )
        affinity = (q.transpose(1, 2) @ k / x.shape[1] ** 0.5).softmax(dim=-1)  # (N, HW, HW)
        y = (affinity @ v.transpose(1, 2)).transpose(1, 2).reshape(x.shape)
        y = F.conv2d(y, state[f"mask_head.output_transform_{suffix}.weight"])
        norm = {
            part: state[f"mask_head.blocker_{suffix}.{part}"][None, :, None, None]
            for part in ("weight", "bias", "running_mean", "running_var")
        }
        normalised = (y - norm["running_mean"]) / (norm["running_var"] + 1e-4).sqrt()
        return x + normalised * norm["weight"] + norm["bias"]

    def output(deconv: str, predictor: str, z: Tensor) -> Tensor:
        weight, bias = state[f"mask_head.{deconv}.weight"], state[f"mask_head.{deconv}.bias"]
        up = F.relu(F.conv_transpose2d(z, weight, bias, stride=2))
        return F.conv2d(up, state[f"mask_head.{predictor}.weight"], state[f"mask_head.{predictor}.bias"])

    occluder = conv3("boundary_fcn2", conv3("boundary_fcn1", x))  # rows 1, 2
    occluder = non_local("bound_bo", occluder)  # row 3
    occluder = conv3("boundary_fcn4", conv3("boundary_fcn3", occluder))  # rows 4, 5
    fused = x + occluder  # row 6
    occludee = conv3("mask_fcn2", conv3("mask_fcn1", fused))  # rows 7, 8
    occludee = non_local("bound", occludee)  # row 9
    occludee = conv3("mask_fcn4", conv3("mask_fcn3", occludee))  # rows 10, 11
    return {
        "occluder_mask": output("bo_deconv", "predictor_bo", occluder),
        "occluder_boundary": output("boundary_deconv_bo", "boundary_predictor_bo", occluder),
        "occludee_mask": output("deconv", "predictor", occludee),
        "occludee_boundary": output("boundary_deconv", "boundary_predictor", occludee),
    }


def our_head(state: dict[str, Tensor], c: int) -> BilayerMaskHead:
    head = BilayerMaskHead(c)
    tensors = {n.removeprefix(HEAD): t for n, t in convert(state).state_dict.items() if n.startswith(HEAD)}
    head.load_state_dict(tensors, strict=True)
    return head.eval()


def greatest_difference(state: dict[str, Tensor], stated: dict[str, Tensor], c: int) -> dict[str, float]:
    """Between our head with `state` and the layer table with `stated`, over the size of the values."""
    x = torch.randn(3, c, 14, 14, generator=torch.Generator().manual_seed(1)).relu()
    with torch.no_grad():
        found, expected = our_head(state, c)(x), released_head(stated, x)
    return {
        name: float((getattr(found, name) - value).abs().max() / value.abs().max()) for name, value in expected.items()
    }


def test_the_released_mask_head_has_50_tensors_of_6296580_parameters() -> None:
    shapes = mask_head_shapes(256)
    learned = [n for n in shapes if "running" not in n and "num_batches" not in n]
    assert len(shapes) == 50
    assert sum(torch.Size(shapes[name]).numel() for name in learned) == 6_296_580


@pytest.mark.parametrize(("depth", "config"), [(50, "fcos_r50_1x_coco"), (101, "fcos_r101_2x_coco")])
def test_every_released_tensor_has_its_place_and_every_place_its_tensor(depth: int, config: str) -> None:
    with DefaultScope.overwrite_default_scope("mmdet"), torch.device("meta"):
        model = MODELS.build(Config.fromfile(CONFIGS / f"{config}.py").model)
    released = {name: torch.empty(shape, device="meta") for name, shape in released_shapes(depth).items()}
    converted = convert(released)
    diff = key_diff(model.state_dict(), converted.state_dict)
    assert not converted.unknown
    assert not diff, str(diff)
    assert diff.matching == len(released) - 4, "three projections of each layer became one tensor"


@pytest.mark.parametrize("c", [32, 256])
def test_converted_head_computes_what_the_released_one_does(c: int) -> None:
    state = random_state(mask_head_shapes(c))
    assert max(greatest_difference(state, state, c).values()) < 1e-4


SWAPS = {
    "branches": [(f"boundary_fcn{i}", f"mask_fcn{i}") for i in (1, 2, 3, 4)],
    "non-local blocks": [
        (f"{p}_transform_bound", f"{p}_transform_bound_bo") for p in ("query", "key", "value", "output")
    ],
    "norms of the non-local blocks": [("blocker_bound", "blocker_bound_bo")],
    "query and value": [("query_transform_bound", "value_transform_bound")],
    "upsampling of the masks": [("deconv", "bo_deconv")],
    "upsampling of the occluder's outputs": [("bo_deconv", "boundary_deconv_bo")],
    "predictors of the occludee's outputs": [("predictor", "boundary_predictor")],
}


@pytest.mark.parametrize("swap", sorted(SWAPS))
def test_the_comparison_sees_what_is_swapped(swap: str) -> None:
    """Parts of one shape load without complaint wherever they are put: only the forward pass tells."""
    state = random_state(mask_head_shapes(16))
    other = {f"mask_head.{a}": f"mask_head.{b}" for pair in SWAPS[swap] for a, b in (pair, pair[::-1])}
    swapped = {}
    for name, tensor in state.items():
        module, part = name.rsplit(".", 1)
        swapped[name] = state[f"{other.get(module, module)}.{part}"]
        assert swapped[name].shape == tensor.shape
    assert max(greatest_difference(swapped, state, 16).values()) > 0.01


def test_ports_to_faster_rcnn_prefix_the_mask_head() -> None:
    state = random_state(mask_head_shapes(8))
    prefixed = convert({f"roi_heads.{name}": tensor for name, tensor in state.items()})
    assert not prefixed.unknown
    assert set(prefixed.state_dict) == set(convert(state).state_dict)


def test_other_names_are_unknown_and_shapes_of_one_layer_must_agree() -> None:
    assert convert({"head.extra.weight": torch.zeros(1)}).unknown == ("head.extra.weight",)
    state = random_state(mask_head_shapes(8))
    state["mask_head.key_transform_bound.weight"] = torch.zeros(4, 8, 1, 1)
    with pytest.raises(CheckpointError, match="should have one shape"):
        convert(state)
