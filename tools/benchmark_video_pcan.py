"""What prototypes cost: PCAN R50 in tools/benchmark_video.py, its part `pcan`.

Processor time of one thread, in which a busy machine shows less than in time on the wall; the least of the frames.
"""

from __future__ import annotations

from benchmark_video_sides import CLASSES, ROOT, Ours, Scene, narrow

# isort: split
import logging
import time
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from rich.table import Table
from torch import Tensor, nn

from vos_occ.inference.load import build_model
from vos_occ.models.video.pcan import OccPCAN

CONFIG = ROOT / "configs/pcan/pcan_bilayer_r50_bdd100k_e2e.py"
PCAN_STAGES = (
    "prepare",
    "backbone",
    "neck",
    "attention",
    "rpn",
    "boxes",
    "embed",
    "associate",
    "masks",
    "refine",
    "paste",
    "rest",
)
SCENE = Scene(objects=10, network=(1296, 720))


class WithPrototypes(Ours):
    """A PCAN, timed. `masks` are the coarse ones, with their RoI features; `rest` updates the memory."""

    def __init__(self, model: OccPCAN, scene: Scene) -> None:
        _know_objects(model)
        super().__init__(model, scene, stages=PCAN_STAGES, now=time.process_time)
        self.clock.watch(model, "_attend", "attention")
        self.clock.watch(model, "_refine", "refine")
        self.clock.watch(model.detector.roi_head, "mask_features", "masks")
        self.clock.watch(model.detector.roi_head, "predict_from", "masks")


def build(scene: Scene, *, small: bool = False) -> WithPrototypes:
    """The published model with random weights, bilayer head, fused; everything that is detected is tracked."""
    config = Config.fromfile(CONFIG).model.to_dict()
    config["detector"]["init_cfg"] = config["detector"]["backbone"]["init_cfg"] = None
    config["detector"]["roi_head"]["bbox_head"]["num_classes"] = len(CLASSES)
    config["detector"]["test_cfg"]["rcnn"]["score_thr"] = 0.05
    config["tracker"].update(init_score=0.05, obj_score=0.05)
    config["test_scale"] = scene.network
    if small:
        _narrow(config)
    MMLogger.get_current_instance().setLevel(logging.ERROR)  # it lists every weight
    torch.manual_seed(0)
    model = build_model(config, CLASSES)
    model.init_weights()
    _enliven(model)
    model.fuse()
    return WithPrototypes(model, scene)


def _narrow(config: dict[str, Any]) -> None:
    narrow(config)
    width = config["detector"]["neck"]["out_channels"]
    config["detector"]["roi_head"]["mask_head"] = {"type": "BilayerMaskHead", "in_channels": width, "gcn_norm": "gn"}
    config["track_head"]["embed_head"].update(conv_out_channels=width, norm_cfg={"type": "GN", "num_groups": 4})
    config["refine_head"].update(in_channels=width, conv_channels=width)
    config["frame_attention"].update(channels=width)


def _enliven(model: OccPCAN) -> None:
    """Random weights under which features differ from place to place."""
    for module in model.detector.backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.2, 0.8)


def _know_objects(model: OccPCAN) -> None:
    """Exchange the embeddings for ones that tell the objects of a scene apart, which are found in one order always."""
    embed = model.track_head.embed

    def told_apart(feats: tuple[Tensor, ...], boxes: Tensor) -> Tensor:
        found = embed(feats, boxes)
        return 30 * torch.eye(*found.shape)

    object.__setattr__(model.track_head, "embed", told_apart)


def measure_pcan(frames: int, scene: Scene = SCENE, *, small: bool = False) -> dict[str, Any]:
    """Seconds by stage, and what the memory holds after the last frame."""
    torch.set_num_threads(1)
    side = build(scene, small=small)
    steps = [side.step() for _ in range(frames)]
    state = side.session._state
    attention = state.frames.attention
    return {
        "frames": frames,
        "tracked": min(len(result) for result, _ in steps),
        "proposals": side.proposals,
        "seconds": min(step.cpu_seconds for _, step in steps),
        "stages": {stage: min(step.stages[stage] for _, step in steps) for stage in PCAN_STAGES},
        "tracks": len(state.memory),
        "memory_mib": state.memory.nbytes / 2**20,
        "attention_mib": sum(level.nbytes for level in (*attention.maps, *attention.prototypes)) / 2**20,
    }


def pcan_table(answer: dict[str, Any]) -> Table:
    """Milliseconds by stage."""
    title = f"PCAN R50, bilayer head, 1280x720, {answer['proposals']} proposals: ms of the processor a frame"
    table = Table(title=title)
    table.add_column("stage")
    table.add_column("ms", justify="right")
    for stage in PCAN_STAGES:
        table.add_row(stage, f"{1000 * answer['stages'][stage]:.1f}")
    table.add_section()
    table.add_row(f"frame, least of {answer['frames']}", f"{1000 * answer['seconds']:.0f}")
    table.caption = (
        f"{answer['tracked']} objects tracked in each frame. Held: {answer['tracks']} tracks, "
        f"{answer['memory_mib']:.1f} MiB; frame attention {answer['attention_mib']:.1f} MiB"
    )
    return table
