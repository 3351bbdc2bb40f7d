"""Times vos_occ's plain-torch roi_align and nms beside a naive version and, where present, compiled ones.

    python tools/benchmark_ops.py [--repeat 5] [--threads 1]

Every column is measured in the same run, on the same inputs; each number is the fastest of the repeats. "x" columns
say how many times longer than ours the others take. Compiled is mmcv's extension, else torchvision.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from vos_occ.compat import op_backend, plain_ops

NAIVE_ROIS = 64
"""The naive version is timed on this many RoIs at most, and its time scaled up: it is slow, and linear in them."""


@dataclass(frozen=True)
class RoIAlignCase:
    """A situation that training or inference meets, in cells and pixels of the network's input.

    Attributes:
        shape: (B, C, H, W) of the features.
        rois: how many.
        sides: shortest and longest side of the RoIs in pixels.
        bins: output height and width.
        stride: pixels per cell.
        sampling_ratio: 0 is mmdet's default.
    """

    name: str
    shape: tuple[int, int, int, int]
    rois: int
    sides: tuple[int, int]
    bins: int
    stride: int
    sampling_ratio: int = 0

    def make(self) -> tuple[Tensor, Tensor]:
        """Features and RoIs (R, 5), seeded."""
        generator = torch.Generator().manual_seed(0)
        batch, _, height, width = self.shape
        size = torch.tensor([width, height]) * self.stride
        shortest, longest = self.sides
        sides = torch.rand(self.rois, 2, generator=generator) * (longest - shortest) + shortest
        centres = torch.rand(self.rois, 2, generator=generator) * size
        image = torch.arange(self.rois)[:, None] % batch
        corners = [(centres - sides / 2).clamp(min=0), torch.minimum(centres + sides / 2, size)]
        return torch.randn(self.shape, generator=generator), torch.cat([image, *corners], dim=1)

    def options(self) -> dict[str, float]:
        """Keyword arguments of the extension's roi_align."""
        return {
            "aligned_height": self.bins,
            "aligned_width": self.bins,
            "spatial_scale": 1 / self.stride,
            "sampling_ratio": self.sampling_ratio,
            "pool_mode": 1,
            "aligned": True,
        }


CASES = (
    RoIAlignCase("boxes, training, 64 ch", (4, 64, 48, 80), 512, (16, 112), 7, 4),
    RoIAlignCase("boxes, training, 256 ch", (2, 256, 48, 80), 512, (16, 112), 7, 4),
    RoIAlignCase("boxes, sampling ratio 2", (2, 256, 48, 80), 512, (16, 112), 7, 4, sampling_ratio=2),
    RoIAlignCase("boxes, coarse level", (4, 64, 12, 20), 128, (64, 224), 7, 16),
    RoIAlignCase("boxes, tiny", (4, 64, 48, 80), 512, (8, 24), 7, 4),
    RoIAlignCase("masks, training, 256 ch", (2, 256, 48, 80), 64, (16, 112), 14, 4),
    RoIAlignCase("masks, 10 in a large image", (1, 256, 200, 334), 10, (16, 112), 14, 4),
    RoIAlignCase("mask targets", (64, 1, 192, 320), 64, (30, 200), 28, 1),
)

NMS_CASES = (100, 1000, 4000)


def naive_roi_align(features: Tensor, rois: Tensor, case: RoIAlignCase) -> Tensor:
    """RoI by RoI, gathering the four neighbours of every sample."""
    _, _, height, width = features.shape
    pooled = []
    for roi in rois:
        image = features[int(roi[0])]
        x1, y1, x2, y2 = (roi[1:] / case.stride - 0.5).tolist()
        y, weight_y = _naive_positions(y1, y2 - y1, case, height)
        x, weight_x = _naive_positions(x1, x2 - x1, case, width)
        top, left = y.floor().long(), x.floor().long()
        bottom, right = (top + 1).clamp(max=height - 1), (left + 1).clamp(max=width - 1)
        dy, dx = (y - top)[:, None], x - left
        upper = image[:, top][:, :, left] * (1 - dx) + image[:, top][:, :, right] * dx
        lower = image[:, bottom][:, :, left] * (1 - dx) + image[:, bottom][:, :, right] * dx
        samples = (upper * (1 - dy) + lower * dy) * (weight_y[:, None] * weight_x)  # (C, bins * S, bins * S)
        pooled.append(samples.unflatten(2, (case.bins, -1)).unflatten(1, (case.bins, -1)).mean(dim=(2, 4)))
    return torch.stack(pooled)


def _naive_positions(start: float, size: float, case: RoIAlignCase, cells: int) -> tuple[Tensor, Tensor]:
    """Sample positions of one axis (bins * S,), and 1 where they count."""
    samples = case.sampling_ratio or max(int(torch.tensor(size / case.bins).ceil()), 1)
    position = start + (torch.arange(case.bins * samples) + 0.5) * size / (case.bins * samples)
    return position.clamp(0, cells - 1), ((position >= -1) & (position <= cells)).float()


def naive_nms(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """Box by box, each against all that are left."""
    order, kept = scores.argsort(descending=True), []
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
    while order.numel():
        first, order = order[0], order[1:]
        kept.append(first)
        sides = torch.minimum(boxes[first, 2:], boxes[order, 2:]) - torch.maximum(boxes[first, :2], boxes[order, :2])
        shared = sides.clamp(min=0).prod(dim=1)
        order = order[shared / (areas[first] + areas[order] - shared) <= threshold]
    return torch.stack(kept)


def compiled_operators() -> ModuleType | None:
    """mmcv's compiled extension or the torchvision stand-in; None where there is neither."""
    name = op_backend().name
    if name == "mmcv":
        import mmcv._ext as compiled

        return compiled
    if name == "torchvision":
        from vos_occ.compat import torchvision_ops

        return torchvision_ops
    return None


def milliseconds(action: Callable[[], object], repeat: int) -> float:
    """Fastest of some runs, after one that is not counted."""
    action()
    times = []
    for _ in range(repeat):
        begin = time.perf_counter()
        action()
        times.append(time.perf_counter() - begin)
    return min(times) * 1000


def time_forward(case: RoIAlignCase, compiled: ModuleType | None, repeat: int) -> tuple[float, float, float | None]:
    """Milliseconds of the naive version, ours, and the compiled one, after a look at whether they agree."""
    features, rois = case.make()
    output, empty = features.new_empty(len(rois), features.size(1), case.bins, case.bins), features.new_zeros(0)
    scale = max(len(rois) / NAIVE_ROIS, 1.0)
    naive = milliseconds(lambda: naive_roi_align(features, rois[:NAIVE_ROIS], case), 1) * scale

    expected = naive_roi_align(features, rois[:NAIVE_ROIS], case)

    def run(ops: ModuleType) -> float:
        taken = milliseconds(
            lambda: ops.roi_align_forward(features, rois, output, empty, empty, **case.options()), repeat
        )
        # the naive positions round differently: 3e-5 cells at column 300, times the features' slope
        torch.testing.assert_close(output[:NAIVE_ROIS], expected, rtol=0, atol=5e-4)
        return taken

    return naive, run(plain_ops), run(compiled) if compiled else None


def time_backward(case: RoIAlignCase, compiled: ModuleType | None, repeat: int) -> tuple[float, float, float | None]:
    """As `time_forward`, for the gradient; autograd's for the naive version."""
    features, rois = case.make()
    grad = torch.ones(len(rois), features.size(1), case.bins, case.bins)
    empty = features.new_zeros(0)
    few = min(len(rois), NAIVE_ROIS)
    leaf = features.clone().requires_grad_()
    pooled = naive_roi_align(leaf, rois[:few], case)
    naive = milliseconds(lambda: torch.autograd.grad(pooled, leaf, grad[:few], retain_graph=True), 1)

    def run(ops: ModuleType) -> float:
        def backward() -> None:
            ops.roi_align_backward(grad, rois, empty, empty, torch.zeros_like(features), **case.options())

        return milliseconds(backward, repeat)

    return naive * len(rois) / few, run(plain_ops), run(compiled) if compiled else None


def time_nms(count: int, compiled: ModuleType | None, repeat: int) -> tuple[float, float, float | None]:
    """As `time_forward`, for proposals at IoU 0.7."""
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(count, 2, generator=generator) * 300
    boxes = torch.cat([corners, corners + torch.rand(count, 2, generator=generator) * 120], dim=1)
    scores = torch.rand(count, generator=generator)

    def run(ops: ModuleType) -> float:
        return milliseconds(lambda: ops.nms(boxes, scores, iou_threshold=0.7, offset=0), repeat)

    naive = milliseconds(lambda: naive_nms(boxes, scores, 0.7), 1)
    return naive, run(plain_ops), run(compiled) if compiled else None


def main() -> None:
    """Measure everything, then print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    compiled = compiled_operators()
    table = Table(title=f"milliseconds, {options.threads} thread(s); this machine's backend: {op_backend().name}")
    table.add_column("operator", no_wrap=True)
    for column in ("naive", "ours", "compiled", "naive x", "compiled x"):
        table.add_column(column, justify="right")

    measurements = [(f"roi_align {case.name}", time_forward, case) for case in CASES]
    measurements += [(f"  backward {case.name}", time_backward, case) for case in CASES]
    measurements += [(f"nms of {count} boxes", time_nms, count) for count in NMS_CASES]
    for name, measure, case in track(measurements, "measuring", transient=True):
        naive, ours, other = measure(case, compiled, options.repeat)
        compiled_columns = (f"{other:.2f}", f"{other / ours:.1f}") if other is not None else ("-", "-")
        table.add_row(
            name, f"{naive:.1f}", f"{ours:.2f}", compiled_columns[0], f"{naive / ours:.1f}", compiled_columns[1]
        )
    Console().print(table)


if __name__ == "__main__":
    main()
