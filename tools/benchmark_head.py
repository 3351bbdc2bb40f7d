#!/usr/bin/env python
"""Times the bilayer head beside Mask R-CNN's: forward, targets, training step.

    python tools/benchmark_head.py [--device cpu] [--rois 50] [--repeat 3] [--size 320 416]

Both sides of a row run in turns in this process, in one thread of the CPU; a number is the fastest of the repeats, in
processor time on a CPU, in wall time on a GPU. The targets of the other side are made as the released BCNet makes them:
mask by mask, in loops, with polygons.
"""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from pycocotools import mask as coco
from scipy import ndimage
from torch import Tensor

from vos_occ.models.bilayer import BilayerMaskHead, BilayerTargetBuilder
from vos_occ.models.bilayer.targets import neighbours
from vos_occ.models.layers.boundary import mask_boundary

CONFIGS = Path(__file__).resolve().parent.parent / "configs/bcnet"
C, S = 256, 14
CLASSES = 80


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--rois", type=int, default=50, help="RoIs of the forward pass and of a training step")
    parser.add_argument("--objects", type=int, default=20, help="objects of each of two images, for the targets")
    parser.add_argument("--target-rois", type=int, default=128, help="RoIs of each of two images, for the targets")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--size", type=int, nargs=2, default=[320, 416], help="height and width of the training image")
    args = parser.parse_args(arguments)
    if min(args.rois, args.objects, args.target_rois, args.repeat, *args.size) < 1:
        parser.error("all numbers must be at least 1")
    return args


def main(arguments: list[str] | None = None) -> int:
    args = parse_arguments(arguments)

    if args.device != "cpu" and not torch.cuda.is_available():
        print(f"benchmark_head: torch has no device {args.device} here.", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(f"{'':44}{'theirs':>10}{'ours':>10}  ratio")
    forward(args)
    targets(args)
    training_step(args)
    return 0


def row(name: str, theirs: float, ours: float, ratio: str) -> None:
    print(f"{name:44}{1e3 * theirs:>8.1f}ms{1e3 * ours:>8.1f}ms  {ratio}", flush=True)


def fastest(calls: Sequence[Callable[[], object]], repeat: int, device: str) -> list[float]:
    """Seconds of each call; they take turns, and each is called once before."""

    def clock() -> float:
        if device == "cpu":
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()

    for call in calls:
        call()
    best = [float("inf")] * len(calls)
    for _ in range(repeat):
        for i, call in enumerate(calls):
            start = clock()
            call()
            best[i] = min(best[i], clock() - start)
    return best


# Forward


def multiply_adds(layers: int, blocks: int, outputs: int) -> float:
    """Of one RoI, in millions: layers of four 3x3 convolutions, non-local blocks, outputs with a deconvolution each."""
    cells = S * S
    conv, deconv, predictor = 9 * C * C * cells, 4 * C * C * cells, 4 * C * cells
    non_local = 4 * C * C * cells + 2 * C * cells * cells
    return (4 * layers * conv + blocks * non_local + outputs * (deconv + predictor)) / 1e6


def forward(args: argparse.Namespace) -> None:
    """Head alone, on RoI features: Mask R-CNN's against ours as at test time, and with all outputs."""

    plain = FCNMaskHead(class_agnostic=True).to(args.device).eval()
    ours = BilayerMaskHead(C).to(args.device).eval()
    fcn = BilayerMaskHead(C, variant="fcn").to(args.device).eval()
    x = torch.randn(args.rois, C, S, S, device=args.device)
    calls = (
        lambda: plain(x),
        lambda: ours(x, outputs=("occludee_mask",)),
        lambda: ours(x),
        lambda: fcn(x, outputs=("occludee_mask",)),
    )
    with torch.inference_mode():
        theirs, *seconds = fastest(calls, args.repeat, args.device)
    base = multiply_adds(1, 0, 1)
    variants = (("as at test time", (2, 2, 1)), ("all four maps", (2, 2, 4)), ("FCN, as at test time", (2, 0, 1)))
    for (name, parts), taken in zip(variants, seconds, strict=True):
        work = multiply_adds(*parts) / base
        ratio = taken / theirs
        row(f"head, {args.rois} RoIs, {name}", theirs, taken, f"{ratio:.2f} ({ratio / work:.2f} of {work:.2f} in work)")


# Targets


def ellipse(box: np.ndarray, corners: int = 40) -> np.ndarray:
    """The outline (corners, 2) of an object that fills its box roundly."""
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    centre, radius = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
    return centre + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def draw(polygon: np.ndarray, height: int, width: int) -> np.ndarray:
    """(height, width) uint8 of one outline, as COCO draws it."""
    (rle,) = coco.frPyObjects([polygon.flatten().tolist()], height, width)
    return coco.decode(rle)


def scene(seed: int, count: int, height: int, width: int) -> tuple[DetDataSample, list[np.ndarray]]:
    """An image's objects in groups that overlap, and their outlines."""
    rng = np.random.default_rng(seed)
    groups = rng.uniform(0.2, 0.8, (count // 3 + 1, 2)) * (width, height)
    centres = groups[rng.integers(len(groups), size=count)] + rng.normal(0, 0.05, (count, 2)) * (width, height)
    sides = rng.uniform(0.1, 0.3, (count, 2)) * min(height, width)
    boxes = np.concatenate([centres - sides / 2, centres + sides / 2], axis=1).clip(0, [width, height] * 2)
    polygons = [ellipse(box) for box in boxes]
    masks = np.stack([draw(polygon, height, width) for polygon in polygons])
    frame = {"img_shape": (height, width), "pad_shape": (height, width), "batch_input_shape": (height, width)}
    sample = DetDataSample(metainfo={**frame, "ori_shape": (height, width), "scale_factor": (1.0, 1.0)})
    sample.gt_instances = InstanceData(
        bboxes=torch.from_numpy(boxes).float(),
        labels=torch.from_numpy(rng.integers(0, CLASSES, count)),
        masks=BitmapMasks(masks, height, width),
    )
    return sample, polygons


def crop(polygons: Sequence[np.ndarray], box: np.ndarray, size: int = 28) -> np.ndarray:
    """(size, size) union of some outlines seen through a box."""
    scale = size / np.maximum(box[2:] - box[:2], 1e-3)
    union = np.zeros((size, size), np.uint8)
    for polygon in polygons:
        union |= draw((polygon - box[:2]) * scale, size, size)
    return union


def contour(mask: np.ndarray) -> np.ndarray:
    """What the released code makes of each mask: contour, interior and a smooth weight, of which it uses the first."""
    dilated = ndimage.binary_dilation(mask)
    eroded = ndimage.binary_erosion(mask, border_value=1)
    ndimage.gaussian_filter((dilated ^ eroded).astype(np.float32), 2)
    return (dilated ^ eroded).astype(np.float32)


def full_image_unions(masks: np.ndarray, adjacent: np.ndarray, boxes: np.ndarray) -> list[np.ndarray]:
    """The released script's occluders: for each object, its neighbours added up over the whole image."""
    unions = []
    for j, (x1, y1, x2, y2) in enumerate(boxes.astype(int)):
        union = np.zeros(masks.shape[1:], np.int64)
        for k in np.flatnonzero(adjacent[:, j]):
            union += masks[k].astype(np.int64)
        window = np.zeros_like(union)
        window[y1:y2, x1:x2] = 1
        unions.append((union * window).clip(0, 1))
    return unions


def targets(args: argparse.Namespace) -> None:
    """Targets of both layers of one training step of two images: ours online, theirs in loops."""

    images = [scene(seed, args.objects, 800, 1216) for seed in (0, 1)]
    generator = torch.Generator().manual_seed(0)
    gts = [sample.gt_instances for sample, _ in images]
    indices = [torch.randint(len(gt), (args.target_rois,), generator=generator) for gt in gts]
    boxes = [gt.bboxes[i] + 8 * torch.randn(len(i), 4, generator=generator) for gt, i in zip(gts, indices, strict=True)]
    on_device = [gt.to(args.device) for gt in gts]
    boxes_there = [b.to(args.device) for b in boxes]
    indices_there = [i.to(args.device) for i in indices]
    builder = BilayerTargetBuilder()
    adjacency = [neighbours(gt.bboxes, 0.05).numpy() for gt in gts]

    def ours() -> Tensor:
        return builder(boxes_there, indices_there, on_device, [(1.0, 1.0)] * 2).occludee_mask

    def loop() -> np.ndarray:
        rows = []
        for (_, polygons), adjacent, b, i in zip(images, adjacency, boxes, indices, strict=True):
            for box, j in zip(b.numpy(), i.tolist(), strict=True):
                occludee = crop([polygons[j]], box)
                occluder = crop([polygons[k] for k in np.flatnonzero(adjacent[:, j])], box)
                rows.append([occludee, contour(occludee), occluder, contour(occluder)])
        return np.array(rows)

    def offline() -> list[list[np.ndarray]]:
        return [full_image_unions(gt.masks.masks, a, gt.bboxes.numpy()) for gt, a in zip(gts, adjacency, strict=True)]

    rasters = loop()[:, [0, 2]].reshape(-1, 28, 28)
    there = torch.from_numpy(rasters != 0).to(args.device)
    agreement = (ours().cpu().numpy() == rasters[::2]).mean()
    calls = (ours, loop, offline, lambda: mask_boundary(there).float(), lambda: [contour(mask) for mask in rasters])
    online, looped, script, boundary, boundary_loop = fastest(calls, args.repeat, args.device)
    step = f"2 x {args.target_rois} RoIs"
    row(
        f"contours of both layers, {step}", boundary_loop, boundary, f"theirs {boundary_loop / boundary:.0f}x (aim 50x)"
    )
    row(f"all targets, {step}", looped, online, f"theirs {looped / online:.1f}x (occluders given)")
    both = looped + script
    row("  and their script, which finds the occluders", both, online, f"theirs {both / online:.1f}x (aim 50x)")
    print(f"  (occludee cells alike: {100 * agreement:.1f} %)")


# Training


def training_step(args: argparse.Namespace) -> None:
    """Forward, backward and update of one image: Mask R-CNN of mmdet's parts against BCNet on Faster R-CNN."""

    sample, _ = scene(2, 8, *args.size)
    sample = sample.to(args.device)
    image = torch.randn(1, 3, *args.size, device=args.device)

    def step_of(changes: dict) -> Callable[[], None]:
        config = Config.fromfile(CONFIGS / "base_faster_rcnn.py")
        config.merge_from_dict({"model.roi_head.max_mask_rois": args.rois, "model.backbone.init_cfg": None, **changes})
        with DefaultScope.overwrite_default_scope("mmdet"):
            model = MODELS.build(config.model).to(args.device).train()
        optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-5)
        if args.device != "cpu":
            torch.cuda.reset_peak_memory_stats()

        def step() -> None:
            torch.manual_seed(0)
            losses = model.loss(image, [sample])
            loss, _ = model.parse_losses(losses)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

        return step

    plain_head = {"_delete_": True, "type": "PlainMaskHead", "num_classes": CLASSES}
    plain = step_of({"model.roi_head.mask_head": plain_head})
    theirs, ours = fastest((plain, step_of({})), max(1, args.repeat - 1), args.device)
    height, width = args.size
    row(f"training step, {width} x {height}, <= {args.rois} RoIs", theirs, ours, f"{ours / theirs:.2f}")


if __name__ == "__main__":
    sys.exit(main())
