"""mmdet's MaskTrack R-CNN beside ours, and training pairs for both."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from mmdet.models.vis import MaskTrackRCNN
from mmdet.registry import MODELS, TRANSFORMS
from mmdet.structures import TrackDataSample
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from torch import Tensor

from vos_occ.datasets.pairs import pack_pair
from vos_occ.datasets.sample import Sample
from vos_occ.datasets.synthetic import CLASSES, SyntheticFrame, SyntheticWorld
from vos_occ.inference.load import build_model
from vos_occ.models.video.cmtrack import OccCMTrackRCNN
from vos_occ.models.video.pcan import OccPCAN

CMTRACK = {
    "type": "OccCMTrackRCNN",
    "calibration": {"type": "TemporalCalibration", "channels": 16, "patch_size": 5},
}
"""What makes a CMTrack R-CNN of the tiny model's config."""

PCAN = {
    "type": "OccPCAN",
    "track_head.type": "OccQuasiDenseTrackHead",
    "track_head.embed_head": {
        "_delete_": True,
        "type": "OccQuasiDenseEmbedHead",
        "num_convs": 1,
        "in_channels": 16,
        "conv_out_channels": 16,
        "fc_out_channels": 32,
        "embed_channels": 16,
        "norm_cfg": {"type": "GN", "num_groups": 4},
    },
    "refine_head": {"type": "PrototypeRefineHead", "in_channels": 16, "conv_channels": 16, "num_pos": 4, "num_neg": 4},
    "frame_attention": {"type": "PrototypeAttention", "channels": 16, "num_prototypes": 8},
    "tracker": {"init_score": 0.3},
}
"""What makes a PCAN of the tiny model's config."""

MMDET_TYPES = {
    "OccMaskTrackRCNN": "MaskTrackRCNN",
    "BilayerRoIHead": "StandardRoIHead",
    "PlainMaskHead": "FCNMaskHead",
    "OccRoITrackHead": "RoITrackHead",
    "OccRoIEmbedHead": "RoIEmbedHead",
}
OURS_ALONE = ("memory", "association", "occlusion", "test_scale", "mask_targets", "mask_losses", "relu_last")


def mmdets_config(config: Any) -> Any:
    """The same model in mmdet's classes."""
    if isinstance(config, dict):
        kept = {key: mmdets_config(value) for key, value in config.items() if key not in OURS_ALONE}
        return kept | ({"type": MMDET_TYPES.get(kept["type"], kept["type"])} if "type" in kept else {})
    return [mmdets_config(value) for value in config] if isinstance(config, list | tuple) else config


@pytest.fixture(scope="session")
def build_tiny_cmtrack(build_tiny_model: Callable) -> Callable[..., OccCMTrackRCNN]:
    """`build_tiny_cmtrack(changes)`: the tiny model as a CMTrack R-CNN, its warps as random as the rest."""
    return lambda changes=None: build_tiny_model(CMTRACK | (changes or {}))


@pytest.fixture(scope="session")
def tiny_pcan_config(tiny_model_config: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """`tiny_pcan_config({"stage": "mask"})`: a fresh config of the tiny model as a PCAN."""

    def changed(changes: dict[str, Any] | None = None) -> dict[str, Any]:
        config = tiny_model_config(PCAN | (changes or {}))
        return {key: value for key, value in config.items() if key not in ("memory", "association")}

    return changed


@pytest.fixture(scope="session")
def build_tiny_pcan(tiny_pcan_config: Callable[..., dict[str, Any]]) -> Callable[..., OccPCAN]:
    """`build_tiny_pcan({"stage": "mask"})`: an `OccPCAN` with random weights that find, track and refine something."""

    def build(changes: dict[str, Any] | None = None) -> OccPCAN:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = build_model(tiny_pcan_config(changes), CLASSES)
            model.init_weights()
        detector = model.detector
        for layer, factor in (
            (detector.rpn_head.rpn_cls, 10),
            (detector.rpn_head.rpn_reg, 10),
            (detector.roi_head.bbox_head.fc_cls, 15),
            (model.track_head.embed_head.fc_embed, 30),
        ):
            layer.weight.data.mul_(factor)
        return model

    return build


@pytest.fixture(scope="session")
def mmdets_twin() -> Callable[..., MaskTrackRCNN]:
    """`mmdets_twin(model_config, model)`: mmdet's MaskTrackRCNN of our config, with the weights of our model."""

    def build(config: dict[str, Any], ours: torch.nn.Module) -> MaskTrackRCNN:
        theirs = mmdets_config(config)
        theirs["data_preprocessor"]["bgr_to_rgb"] = True  # it reads BGR from files
        theirs["tracker"] = {"type": "MaskTrackRCNNTracker", "num_frames_retain": 20}
        with DefaultScope.overwrite_default_scope("mmdet"):
            model = MODELS.build(ConfigDict(theirs))
        missing, unexpected = model.load_state_dict(ours.state_dict())
        assert not missing and not unexpected
        return model.eval()

    return build


@pytest.fixture(scope="session")
def mmdets_prediction() -> Callable[..., list[InstanceData]]:
    """`mmdets_prediction(model, frames, scale)`: tracked instances per frame, through mmdet's own test pipeline."""

    def predict(model: MaskTrackRCNN, frames: Sequence[np.ndarray], scale: tuple[int, int]) -> list[InstanceData]:
        results: dict[str, Any] = {
            "img": [np.ascontiguousarray(frame[..., ::-1]) for frame in frames],  # BGR, as mmdet reads files
            "img_shape": [frame.shape[:2] for frame in frames],
            "ori_shape": [frame.shape[:2] for frame in frames],
            "frame_id": list(range(len(frames))),
            "img_id": list(range(len(frames))),
            "img_path": [""] * len(frames),
            "video_id": [0] * len(frames),
            "video_length": [len(frames)] * len(frames),
        }
        resize = {"type": "Resize", "scale": scale, "keep_ratio": True}
        with DefaultScope.overwrite_default_scope("mmdet"):
            pipeline = [
                TRANSFORMS.build({"type": "TransformBroadcaster", "transforms": [resize]}),
                TRANSFORMS.build({"type": "PackTrackInputs"}),
            ]
        for transform in pipeline:
            results = transform(results)
        batch = {"inputs": [results["inputs"]], "data_samples": [results["data_samples"]]}
        with torch.no_grad():
            (predicted,) = model.predict(**model.data_preprocessor(batch, training=False))
        return [frame.pred_track_instances for frame in predicted]

    return predict


def training_sample(frame: SyntheticFrame) -> Sample:
    """What is visible of a synthetic frame, with the truth about hidden fractions and order."""
    seen = np.flatnonzero(frame.is_visible)
    return Sample(
        image=frame.image,
        masks=frame.visible[seen].astype(np.uint8),
        labels=frame.labels[seen],
        instance_ids=frame.track_ids[seen],
        hidden=frame.hidden[seen].astype(np.float32),
        in_front=frame.in_front[np.ix_(seen, seen)].astype(np.int8),
        crowd=np.zeros(len(seen), bool),
    )


@pytest.fixture(scope="session")
def training_batch() -> Callable[..., tuple[Tensor, list[TrackDataSample]]]:
    """`training_batch(model)`: normalised inputs (2, 2, 3, 96, 160) and samples of two pairs, fresh at each call.

    Two frames each of two synthetic videos. `relabel` changes the labels; `objects` is all of them, `one` in each
    frame, `none`, or those of the `first` video only.
    """
    videos = [SyntheticWorld("train", height=96, width=160, num_frames=4).video(seed) for seed in (1, 2)]
    pairs = [tuple(training_sample(video[t]) for t in (0, 3)) for video in videos]

    def batch(
        model: torch.nn.Module, *, relabel: Callable[[Tensor], Tensor] | None = None, objects: str = "all"
    ) -> tuple[Tensor, list[TrackDataSample]]:
        wanted = ["all", "none"] if objects == "first" else [objects] * 2
        packed = [
            pack_pair(*(chosen(sample, which) for sample in pair))
            for pair, which in zip(deepcopy(pairs), wanted, strict=True)
        ]
        inputs, samples = [item["inputs"] for item in packed], [item["data_samples"] for item in packed]
        data = model.data_preprocessor({"inputs": inputs, "data_samples": samples}, training=True)
        for frame in (frame for sample in data["data_samples"] for frame in sample.video_data_samples):
            if relabel is not None:
                frame.gt_instances.labels = relabel(frame.gt_instances.labels)
        return data["inputs"], data["data_samples"]

    return batch


def chosen(sample: Sample, objects: str) -> Sample:
    keep = {
        "all": np.ones(len(sample), bool),
        "none": np.zeros(len(sample), bool),
        "one": np.arange(len(sample)) == 0,
    }[objects]
    return sample.select(keep)
