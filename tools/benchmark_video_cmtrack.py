"""What seeing through neighbours costs: CMTrack R-CNN R50 in tools/benchmark_video.py, its part `cmtrack`.

Processor time of one thread, in which a busy machine shows less than in time on the wall; the least of the frames.
"""

from __future__ import annotations

from benchmark_video_sides import CLASSES, ROOT, STAGES, Ours, Scene, enliven, narrow

# isort: split
import logging
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.logging import MMLogger
from rich.table import Table
from torch import Tensor

from vos_occ.inference.load import build_model
from vos_occ.models.layers.shift_correlation import NEGATIVE_SLOPE, ShiftCorrelation
from vos_occ.models.video import calibration, cmtrack
from vos_occ.models.video.cmtrack import OccCMTrackRCNN
from vos_occ.models.video.contract import VideoMeta
from vos_occ.structures import FrameResult

CONFIG = ROOT / "configs/cmtrack/cmtrack_fcn_r50_ovis.py"
CM_STAGES = (*STAGES, "correlation", "offsets", "warp")
REACHES = (1, 3, 5)
SCENE = Scene(objects=10)
PROPOSALS = 200
FINEST, COARSE = (96, 160), (24, 40)
"""Cells of the levels P2 and P4 of a 640x360 image."""


class ThroughNeighbours(Ours):
    """A CMTrack that answers in every step, each time through all its neighbours."""

    def __init__(self, model: OccCMTrackRCNN, scene: Scene) -> None:
        super().__init__(model, scene, stages=CM_STAGES, now=time.process_time)
        self.clock.watch(model, "_classify", "boxes")
        self.clock.watch(model.calibration, "forward", "rest")
        self.clock.watch(model.calibration, "offsets", "offsets")
        self.clock.watch(model.calibration.correlation, "forward", "correlation")
        self.clock.watch(model.calibration.warp, "forward", "warp")
        self.state = model.new_state(VideoMeta(scene.height, scene.width))
        with torch.inference_mode():
            for _ in range(2 * model.reach):
                model._take(self.state.ring, scene.image(self.frame_index), self.frame_index)
                for _ in self.state.ring.due():  # answered by nobody: their time is not looked at
                    pass
                self.frame_index += 1

    def _step(self, image: np.ndarray) -> FrameResult:
        (result,) = self.model.step(self.state, image, self.frame_index)
        return result


def build(reach: int, scene: Scene, *, small: bool = False) -> ThroughNeighbours:
    """The published model with random weights, plain head, fused, 200 proposals."""
    config = Config.fromfile(CONFIG).model.to_dict()
    config["detector"]["test_cfg"]["rpn"].update(nms_pre=PROPOSALS, max_per_img=PROPOSALS)
    config["detector"]["roi_head"]["bbox_head"]["num_classes"] = len(CLASSES)
    config["detector"]["roi_head"]["mask_head"]["num_classes"] = len(CLASSES)
    config["detector"]["init_cfg"] = config["detector"]["backbone"]["init_cfg"] = None
    config.update(reach=reach, test_scale=scene.network)
    if small:
        narrow(config)
        config["calibration"].update(channels=config["detector"]["neck"]["out_channels"], patch_size=5)
    MMLogger.get_current_instance().setLevel(logging.ERROR)  # it lists every weight
    torch.manual_seed(0)
    model = build_model(config, CLASSES)
    model.init_weights()
    enliven(model)
    model.fuse()
    return ThroughNeighbours(model, scene)


def measure_cmtrack(frames: int, scene: Scene = SCENE, *, small: bool = False) -> dict[str, Any]:
    """Seconds by stage over the number of references, and of what lost."""
    torch.set_num_threads(1)
    by_references = []
    for reach in REACHES:
        side = build(reach, scene, small=small)
        steps = [side.step()[1] for _ in range(frames)]
        by_references.append(
            {
                "references": 2 * reach,
                "seconds": min(step.cpu_seconds for step in steps),
                "stages": {stage: min(step.stages[stage] for step in steps) for stage in CM_STAGES},
                "ring_mib": side.state.ring.nbytes / 2**20,
            }
        )
    return {"references": by_references, "one_by_one": _one_by_one(side, frames), "correlation": correlations(small)}


def _one_by_one(side: ThroughNeighbours, frames: int) -> float:
    """Seconds of a frame whose references are calibrated, classified and segmented each for itself."""
    kept = calibration.CELLS_AT_ONCE, cmtrack.BOX_ROIS_AT_ONCE
    calibration.CELLS_AT_ONCE = cmtrack.BOX_ROIS_AT_ONCE = 1
    try:
        return min(side.step()[1].cpu_seconds for _ in range(frames))
    finally:
        calibration.CELLS_AT_ONCE, cmtrack.BOX_ROIS_AT_ONCE = kept


def correlations(small: bool = False) -> list[dict[str, Any]]:
    """Seconds of ours, of a loop over all shifts, and of `F.unfold` where what it writes fits; equal results."""
    layer, rows = ShiftCorrelation(5 if small else 16), []
    for name, size in (("finest level", FINEST), ("coarse level", COARSE)):
        x, reference = torch.randn(2, 1, 16 if small else 256, *size, generator=torch.Generator().manual_seed(0))
        ways: dict[str, Callable[[], Tensor]] = {
            "ours": lambda x=x, r=reference: layer(x, r),
            "shift loop": lambda x=x, r=reference: shift_loop(layer, x, r),
        }
        if size == COARSE:
            ways["unfold"] = lambda x=x, r=reference: unfolded(layer, x, r)
        row: dict[str, Any] = {"level": name}
        with torch.inference_mode():
            for way, run in ways.items():
                torch.testing.assert_close(run(), layer(x, reference), rtol=1e-4, atol=1e-5)
                begin = time.process_time()
                run()
                row[way] = time.process_time() - begin
        rows.append(row)
    return rows


def shift_loop(layer: ShiftCorrelation, x: Tensor, reference: Tensor) -> Tensor:
    """One pass over both maps for each shift."""
    (height, width), reach = x.shape[2:], layer.shifts[-1]
    padded = F.pad(reference, (reach,) * 4)
    products = [
        (x * padded[:, :, reach + dy :, reach + dx :][:, :, :height, :width]).mean(1)
        for dy in layer.shifts
        for dx in layer.shifts
    ]
    return F.leaky_relu(torch.stack(products, dim=1), NEGATIVE_SLOPE)


def unfolded(layer: ShiftCorrelation, x: Tensor, reference: Tensor) -> Tensor:
    """All shifted copies at once: C * patch_size^2 channels."""
    padded = F.pad(reference, (layer.shifts[-1],) * 4)
    copies = F.unfold(padded, layer.patch_size, dilation=layer.dilation).unflatten(1, (x.size(1), -1))
    products = (x.flatten(2)[:, :, None] * copies).mean(1)
    return F.leaky_relu(products.unflatten(2, x.shape[2:]), NEGATIVE_SLOPE)


def cmtrack_table(answer: dict[str, Any]) -> Table:
    """Milliseconds by stage and number of references."""
    rows = answer["references"]
    table = Table(title="CMTrack R50, 640x360 in, 1280x720 out, 10 objects, 200 proposals: ms of the processor a frame")
    table.add_column("stage")
    for row in rows:
        table.add_column(f"{row['references']} references", justify="right")
    for stage in CM_STAGES:
        if any(row["stages"][stage] for row in rows):
            table.add_row(stage, *(f"{1000 * row['stages'][stage]:.1f}" for row in rows))
    table.add_section()
    table.add_row("frame", *(f"{1000 * row['seconds']:.0f}" for row in rows))
    table.add_row("  features held, MiB", *(f"{row['ring_mib']:.0f}" for row in rows))
    first, last = rows[0], rows[-1]
    each = (last["seconds"] - first["seconds"]) / (last["references"] - first["references"])
    ratio = answer["one_by_one"] / last["seconds"]
    lines = [
        f"each reference: {1000 * each:.0f} ms",
        f"{last['references']} references one by one: {1000 * answer['one_by_one']:.0f} ms, {ratio:.2f}x",
    ]
    for row in answer["correlation"]:
        others = [f"{way} {row[way] / row['ours']:.1f}x" for way in ("shift loop", "unfold") if way in row]
        lines.append(f"correlation, {row['level']}: {1000 * row['ours']:.1f} ms; {', '.join(others)}")
    table.caption = "\n".join(lines)
    return table
