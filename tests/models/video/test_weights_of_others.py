"""Weights of mmdet, mmtrack and the original MaskTrack R-CNN: converted by the tool, they find what they found there.

Made states with every name and shape of each layout; mmdet's own modules are the reference, bit for bit.
"""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from mmdet.models.vis import MaskTrackRCNN
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox2roi
from mmengine.config import Config
from mmengine.structures import InstanceData
from torch import Tensor

from vos_occ.checkpoints.masktrack_keys import LEGACY
from vos_occ.datasets.synthetic import CLASSES
from vos_occ.inference.load import load
from vos_occ.models.video.masktrack import OccMaskTrackRCNN

TOOL = Path(__file__).parents[3] / "tools/convert_checkpoint.py"
PLAIN = {
    "detector.roi_head.mask_head": {
        "_delete_": True,
        "type": "PlainMaskHead",
        "num_convs": 2,
        "in_channels": 16,
        "conv_out_channels": 16,
        "num_classes": len(CLASSES),
    },
}


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("convert_checkpoint", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def convert(
    tool: ModuleType, tiny_model_config: Callable, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., OccMaskTrackRCNN]:
    """`convert("mmdet", state)`: the model that the tool makes of a state, loaded as anyone would."""
    folder = tmp_path_factory.mktemp("weights")
    Config({"model": tiny_model_config(PLAIN), "classes": CLASSES}).dump(folder / "plain.py")

    def run(source: str, state: dict[str, Tensor]) -> OccMaskTrackRCNN:
        torch.save({"state_dict": state, "meta": {"CLASSES": list(CLASSES)}}, folder / "theirs.pth")
        names = ["--from", source, str(folder / "theirs.pth"), str(folder / "ours.safetensors")]
        assert tool.main([*names, "--config", str(folder / "plain.py"), "--overwrite"]) == 0
        return load(folder / "ours.safetensors", device="cpu", fuse=False)

    return run


@pytest.fixture(scope="module")
def theirs(mmdets_twin: Callable, build_tiny_model: Callable, tiny_model_config: Callable) -> MaskTrackRCNN:
    """mmdet's model with weights that find something."""
    return mmdets_twin(tiny_model_config(PLAIN), build_tiny_model(PLAIN))


@pytest.fixture(scope="module")
def legacy(mmdets_twin: Callable, build_tiny_model: Callable, tiny_model_config: Callable) -> MaskTrackRCNN:
    """The same with mmdet's legacy anchors, boxes and RoIs."""
    config = Config({"model": tiny_model_config(PLAIN)})
    config.merge_from_dict({f"model.{name}": value for name, value in LEGACY.items()})
    return mmdets_twin(config.model.to_dict(), build_tiny_model(PLAIN))


@torch.no_grad()
def mmdets_findings(model: MaskTrackRCNN, image: Any, relu_last: bool = True) -> tuple[InstanceData, Tensor, Tensor]:
    """Detections, embeddings and mask logits of one network image, by mmdet's modules alone."""
    feats = model.detector.extract_feat(image.tensor)
    size = tuple(image.tensor.shape[-2:])
    meta = {"img_shape": image.shape, "ori_shape": image.shape, "batch_input_shape": size, "pad_shape": size,
            "scale_factor": (1.0, 1.0)}  # fmt: skip
    proposals = model.detector.rpn_head.predict(feats, [DetDataSample(metainfo=meta)], rescale=False)
    head = model.detector.roi_head
    found = head.predict_bbox(feats, [meta], proposals, head.test_cfg, rescale=False)[0]
    rois = bbox2roi([found.bboxes])
    roi_feats = model.track_head.roi_extractor(feats[:4], rois)
    if relu_last:
        embeddings = model.track_head.embed_head.extract_feat(roi_feats, [len(found)])[0]
    else:  # the original's, written out: docs/sources.md, trackers 1.1
        first, last = model.track_head.embed_head.fcs
        embeddings = last(first(roi_feats.flatten(1)).relu())
    logits = head._mask_forward(feats, rois)["mask_preds"][torch.arange(len(found)), found.labels]
    return found, embeddings, logits


@torch.no_grad()
def our_findings(model: OccMaskTrackRCNN, image: Any) -> tuple[InstanceData, Tensor, Tensor]:
    feats = model.detector.extract_feat(image.tensor)
    found = model.detect(feats, image)
    logits = model.predict_masks(feats, found).occludee_mask[:, 0]
    return found, model.track_head.embed(feats, found.bboxes), logits


def assert_equal(ours: tuple, theirs: tuple) -> None:
    found, expected = ours[0], theirs[0]
    assert len(found) >= 3, "the comparison is of something"
    for name in ("bboxes", "scores", "labels"):
        assert torch.equal(found[name], expected[name]), name
    assert torch.equal(ours[1], theirs[1]), "embeddings"
    assert torch.equal(ours[2], theirs[2]), "mask logits"


@pytest.mark.parametrize("source", ["mmdet", "mmtrack"])
def test_mmdets_masktrack_finds_what_it_found(
    source: str, theirs: MaskTrackRCNN, convert: Callable, tiny_frames: list[np.ndarray], capsys
) -> None:
    ours = convert(source, theirs.state_dict())
    said = capsys.readouterr().out
    assert "Set in its config: track_head.embed_head.relu_last = True" in said
    assert ("Note: If mmdet trained them" in said) == (source == "mmdet")
    assert ours.classes == CLASSES and ours.track_head.embed_head.relu_last is True
    for frame in tiny_frames[:2]:
        image = ours.prepare(frame)
        assert_equal(our_findings(ours, image), mmdets_findings(theirs, image))
        assert (mmdets_findings(theirs, image)[1] == 0).any(), "the ReLU does something"


def original_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """mmdet's state in the layout of 2019 (docs/sources.md, trackers 1.6): background first, with rows of its own."""
    original = {}
    for name, tensor in state.items():
        name = name.removeprefix("detector.").replace("roi_head.", "").replace("track_head.embed_head.", "track_head.")
        if ".fc_cls." in name:
            tensor = torch.roll(tensor, 1, 0)
        if ".fc_reg." in name or ".conv_logits." in name:
            rows = 4 if ".fc_reg." in name else 1
            tensor = torch.cat([torch.full_like(tensor[:rows], 7.0), tensor])
        original[name] = tensor
    return original


def test_the_original_masktrack_finds_what_mmdets_legacy_parts_find(
    legacy: MaskTrackRCNN, convert: Callable, tiny_frames: list[np.ndarray], capsys
) -> None:
    ours = convert("masktrack", original_state(legacy.state_dict()))
    said = capsys.readouterr().out
    for name in (
        "rpn_head.bbox_coder.type = 'Legacy",
        "roi_extractor.roi_layer.aligned = False",
        "center_offset = 0.5",
    ):
        assert name in said
    image = ours.prepare(tiny_frames[0])
    assert_equal(our_findings(ours, image), mmdets_findings(legacy, image, relu_last=False))


def test_legacy_conventions_change_what_is_found(
    legacy: MaskTrackRCNN, theirs: MaskTrackRCNN, convert: Callable, tiny_frames: list[np.ndarray]
) -> None:
    """Were the two alike, the tests above would say nothing of them."""
    image = convert("mmdet", theirs.state_dict()).prepare(tiny_frames[0])
    modern, old = (mmdets_findings(model, image)[0] for model in (theirs, legacy))
    assert len(modern) != len(old) or not torch.allclose(modern.bboxes, old.bboxes, atol=0.1)
