"""BCNet on detectron2's Faster R-CNN: every tensor finds its place, and the detector computes what theirs does.

detectron2's GeneralizedRCNN with FPN is written out here in its own names and in functions of torch alone. The mask
head, which is that of the released BCNet, is compared in test_bcnet_keys.py.
"""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmdet.models.detectors import BaseDetector
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import Tensor

import vos_occ.models.bilayer  # noqa: F401  (registers)
from vos_occ.checkpoints.bcnet_keys import convert
from vos_occ.checkpoints.key_diff import key_diff
from vos_occ.training.small_config import small_config

CONFIGS = Path(__file__).parents[2] / "configs/bcnet"
BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
BOTTOM = "backbone.bottom_up."
Shapes = dict[str, tuple[int, ...]]


def layer(name: str, *shape: int) -> Shapes:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def convolution(name: str, *shape: int) -> Shapes:
    """Without a bias, with a frozen norm."""
    statistics = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.weight": shape, **{f"{name}.norm.{part}": shape[:1] for part in statistics}}


def mask_head(c: int) -> Shapes:
    shapes: Shapes = {}
    for conv in [f"{branch}_fcn{i}" for branch in ("boundary", "mask") for i in (1, 2, 3, 4)]:
        shapes |= layer(conv, c, c, 3, 3)
    for deconv in ("deconv", "bo_deconv", "boundary_deconv", "boundary_deconv_bo"):
        shapes |= layer(deconv, c, c, 2, 2)
    for suffix in ("bound", "bound_bo"):
        for part in ("query", "key", "value", "output"):
            shapes[f"{part}_transform_{suffix}.weight"] = (c, c, 1, 1)
        for statistic in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"blocker_{suffix}.{statistic}"] = (c,)
        shapes[f"blocker_{suffix}.num_batches_tracked"] = ()
    for predictor in ("predictor", "predictor_bo", "boundary_predictor", "boundary_predictor_bo"):
        shapes |= layer(predictor, 1, c, 1, 1)
    return {f"roi_heads.mask_head.{name}": shape for name, shape in shapes.items()}


def generalized_rcnn(depth: int, shrink: int = 1, classes: int = 80) -> Shapes:
    """All tensors of the model, at a fraction of its width."""
    stem, c, fc = 64 // shrink, 256 // shrink, 1024 // shrink
    shapes = convolution(f"{BOTTOM}stem.conv1", stem, 3, 7, 7)
    before = stem
    for stage, count in enumerate(BLOCKS[depth], start=2):
        width = stem * 2 ** (stage - 2)
        for i in range(count):
            block = f"{BOTTOM}res{stage}.{i}"
            shapes |= convolution(f"{block}.conv1", width, before, 1, 1)
            shapes |= convolution(f"{block}.conv2", width, width, 3, 3)
            shapes |= convolution(f"{block}.conv3", 4 * width, width, 1, 1)
            if i == 0:
                shapes |= convolution(f"{block}.shortcut", 4 * width, before, 1, 1)
            before = 4 * width
        shapes |= layer(f"backbone.fpn_lateral{stage}", c, before, 1, 1)
        shapes |= layer(f"backbone.fpn_output{stage}", c, c, 3, 3)
    shapes |= layer("proposal_generator.rpn_head.conv", c, c, 3, 3)
    shapes |= layer("proposal_generator.rpn_head.objectness_logits", 3, c, 1, 1)
    shapes |= layer("proposal_generator.rpn_head.anchor_deltas", 12, c, 1, 1)
    shapes |= layer("roi_heads.box_head.fc1", fc, c * 49) | layer("roi_heads.box_head.fc2", fc, fc)
    shapes |= layer("roi_heads.box_predictor.cls_score", classes + 1, fc)
    shapes |= layer("roi_heads.box_predictor.bbox_pred", 4 * classes, fc)
    return shapes | mask_head(c)


def random_state(shapes: Shapes) -> dict[str, Tensor]:
    """Weights under which activations stay small, no two alike."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, shape in shapes.items():
        values = torch.rand(shape, generator=generator) + (-0.5 if name.endswith(("bias", "mean")) else 0.5)
        if len(shape) > 1:
            values = torch.randn(shape, generator=generator) / torch.Size(shape[1:]).numel() ** 0.5
        state[name] = values
    return state


def their_answers(state: dict[str, Tensor], image: Tensor, rois: Tensor) -> dict[str, Tensor]:
    """Feature levels, what the RPN says of them, and what the box head says of RoIs, as in detectron2."""

    def conv(name: str, x: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
        x = F.conv2d(x, state[f"{name}.weight"], state.get(f"{name}.bias"), stride, padding)
        if f"{name}.norm.weight" not in state:
            return x
        parts = [state[f"{name}.norm.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        mean, variance, weight, bias = (part[None, :, None, None] for part in parts)
        return (x - mean) / (variance + 1e-5).sqrt() * weight + bias

    x = F.max_pool2d(conv(f"{BOTTOM}stem.conv1", image, 2, 3).relu(), 3, stride=2, padding=1)
    stages = []
    for stage in (2, 3, 4, 5):
        i = 0
        while f"{BOTTOM}res{stage}.{i}.conv1.weight" in state:
            block, stride = f"{BOTTOM}res{stage}.{i}", 2 if i == 0 and stage > 2 else 1
            y = conv(f"{block}.conv1", x, stride).relu()  # STRIDE_IN_1X1
            y = conv(f"{block}.conv3", conv(f"{block}.conv2", y, 1, 1).relu())
            x = (y + (conv(f"{block}.shortcut", x, stride) if i == 0 else x)).relu()
            i += 1
        stages.append(x)
    answers, above = {}, torch.zeros(())
    for stage in (5, 4, 3, 2):
        lateral = conv(f"backbone.fpn_lateral{stage}", stages[stage - 2])
        above = lateral + (F.interpolate(above, scale_factor=2.0, mode="nearest") if stage < 5 else 0)
        answers[f"p{stage}"] = conv(f"backbone.fpn_output{stage}", above, 1, 1)
    answers["p6"] = F.max_pool2d(answers["p5"], kernel_size=1, stride=2)
    rpn = "proposal_generator.rpn_head."
    for level in (2, 3, 4, 5, 6):
        hidden = conv(f"{rpn}conv", answers[f"p{level}"], 1, 1).relu()
        answers[f"objectness{level}"] = conv(f"{rpn}objectness_logits", hidden)
        answers[f"deltas{level}"] = conv(f"{rpn}anchor_deltas", hidden)

    def linear(name: str, x: Tensor) -> Tensor:
        return F.linear(x, state[f"roi_heads.{name}.weight"], state[f"roi_heads.{name}.bias"])

    hidden = linear("box_head.fc2", linear("box_head.fc1", rois.flatten(1)).relu()).relu()
    answers["scores"] = linear("box_predictor.cls_score", hidden)
    answers["boxes"] = linear("box_predictor.bbox_pred", hidden)
    return answers


def our_answers(model: BaseDetector, image: Tensor, rois: Tensor) -> dict[str, Tensor]:
    levels = model.neck(model.backbone(image))
    objectness, deltas = model.rpn_head(levels)
    answers = {f"p{i}": x for i, x in enumerate(levels, start=2)}
    answers |= {f"objectness{i}": x for i, x in enumerate(objectness, start=2)}
    answers |= {f"deltas{i}": x for i, x in enumerate(deltas, start=2)}
    answers["scores"], answers["boxes"] = model.roi_head.bbox_head(rois)
    return answers


@pytest.fixture(scope="module")
def narrow() -> BaseDetector:
    """Our Faster R-CNN at an eighth of its width."""
    with DefaultScope.overwrite_default_scope("mmdet"):
        return MODELS.build(small_config(Config.fromfile(CONFIGS / "faster_r50_1x_coco.py")).model).eval()


def greatest_difference(model: BaseDetector, loaded: dict[str, Tensor], stated: dict[str, Tensor]) -> float:
    """Between our detector with `loaded` and theirs with `stated`, over the size of the values."""
    model.load_state_dict(convert(loaded).state_dict, strict=True)
    generator = torch.Generator().manual_seed(1)
    image, rois = torch.randn(1, 3, 64, 96, generator=generator), torch.randn(3, 32, 7, 7, generator=generator)
    with torch.no_grad():
        found, expected = our_answers(model, image, rois), their_answers(stated, image, rois)
    assert found.keys() == expected.keys()
    return max(float((found[name] - value).abs().max() / value.abs().max()) for name, value in expected.items())


@pytest.mark.parametrize("depth", [50, 101])
def test_every_tensor_has_its_place_and_every_place_its_tensor(depth: int) -> None:
    with DefaultScope.overwrite_default_scope("mmdet"), torch.device("meta"):
        model = MODELS.build(Config.fromfile(CONFIGS / f"faster_r{depth}_1x_coco.py").model)
    theirs = {name: torch.empty(shape, device="meta") for name, shape in generalized_rcnn(depth).items()}
    converted = convert(theirs)
    diff = key_diff(model.state_dict(), converted.state_dict)
    assert not converted.unknown
    assert not diff, str(diff)
    assert diff.matching == len(theirs) - 4, "three projections of each layer became one tensor"


def test_converted_detector_computes_what_theirs_does(narrow: BaseDetector) -> None:
    state = random_state(generalized_rcnn(50, shrink=8))
    assert greatest_difference(narrow, state, state) < 1e-4


@pytest.mark.parametrize(
    "swap",
    [
        ("backbone.fpn_output2", "backbone.fpn_output3"),
        (f"{BOTTOM}res3.1.conv1", f"{BOTTOM}res3.2.conv1"),
        (f"{BOTTOM}res2.0.shortcut.norm", f"{BOTTOM}res2.0.conv3.norm"),
    ],
)
def test_the_comparison_sees_what_is_swapped(narrow: BaseDetector, swap: tuple[str, str]) -> None:
    state = random_state(generalized_rcnn(50, shrink=8))
    other = dict([swap, swap[::-1]])
    swapped = {}
    for name in state:
        module, part = name.rsplit(".", 1)
        swapped[name] = state[f"{other.get(module, module)}.{part}"]
    assert greatest_difference(narrow, swapped, state) > 0.01


def test_anchors_and_box_decoding_are_theirs(narrow: BaseDetector) -> None:
    """Rows of the RPN's and the box head's outputs mean the same anchors and the same offsets."""
    priors = narrow.rpn_head.prior_generator.grid_priors([(2, 3)] * 5, device="cpu")
    for level, (size, stride) in enumerate(zip((32, 64, 128, 256, 512), (4, 8, 16, 32, 64), strict=True)):
        expected = []
        for y, x in [(y, x) for y in range(2) for x in range(3)]:
            for ratio in (0.5, 1.0, 2.0):  # height over width
                width = (size**2 / ratio) ** 0.5
                height = ratio * width
                cx, cy = x * stride, y * stride
                expected.append([cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2])
        torch.testing.assert_close(priors[level], torch.tensor(expected), atol=1e-3, rtol=0)
    box, deltas = torch.tensor([[10.0, 20, 50, 100]]), torch.tensor([[1.0, -2.0, 0.5, -0.5]])
    for coder, weights in (
        (narrow.rpn_head.bbox_coder, (1.0, 1.0, 1.0, 1.0)),
        (narrow.roi_head.bbox_head.bbox_coder, (10.0, 10.0, 5.0, 5.0)),
    ):
        dx, dy, dw, dh = (float(d) / w for d, w in zip(deltas[0], weights, strict=True))
        cx, cy, width, height = 30 + dx * 40, 60 + dy * 80, 40 * 2.718281828**dw, 80 * 2.718281828**dh
        expected = torch.tensor([[cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2]])
        torch.testing.assert_close(coder.decode(box, deltas), expected, atol=1e-3, rtol=0)


def test_what_detectron2_writes_beside_the_weights_is_left_out() -> None:
    beside = ["pixel_mean", "pixel_std", *(f"proposal_generator.anchor_generator.cell_anchors.{i}" for i in range(5))]
    converted = convert({name: torch.zeros(3) for name in beside})
    assert not converted.state_dict and not converted.unknown
