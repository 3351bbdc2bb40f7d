"""The two sides of tools/benchmark_video.py: our video model and mmdet's, with equal weights and equal detections.

Weights are random. Everything runs as it does with trained ones, then the boxes that the RPN and the box head answer
are exchanged for those of a scene, on both sides alike: random weights would find nothing that stays for two frames.
"""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mmdet
import numpy as np
import torch
from mmdet.registry import MODELS, TRANSFORMS
from mmdet.structures.mask import encode_mask_results
from mmengine.config import Config, ConfigDict
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from torch import Tensor, nn

from vos_occ.inference.load import build_model
from vos_occ.inference.session import VideoSession
from vos_occ.structures import FrameResult, rle

ROOT = Path(__file__).resolve().parents[1]
MMDETS = "masktrack_rcnn/masktrack-rcnn_mask-rcnn_r50_fpn_8xb1-12e_youtubevis2019.py"
OURS = ROOT / "configs/masktrack/masktrack_fcn_r50_ytvis2019.py"
CLASSES = tuple(map(str, range(40)))
STAGES = ("prepare", "backbone", "neck", "rpn", "boxes", "embed", "associate", "masks", "paste", "encode", "rest")


@dataclass(frozen=True)
class Scene:
    """What is detected in each frame: objects that sway, each found `1 + duplicates` times from the second frame on.

    The others of an object are of its class, overlap it too little for NMS, and lose its track to the better one: both
    sides drop them.
    """

    objects: int = 100
    duplicates: int = 0
    width: int = 1280
    height: int = 720
    network: tuple[int, int] = (640, 360)

    def image(self, frame_index: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB: coloured blocks and noise."""
        rng = np.random.default_rng(frame_index % 4)
        blocks = rng.integers(0, 256, (self.height // 16 + 1, self.width // 16 + 1, 3))
        image = blocks.repeat(16, 0).repeat(16, 1)[: self.height, : self.width]
        return np.clip(image + rng.integers(-20, 20, image.shape), 0, 255).astype(np.uint8)

    def detections(self, frame_index: int) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes (N, 4) in network pixels, labels and scores (N,), by falling score."""
        generator = torch.Generator().manual_seed(0)
        size = torch.tensor(self.network)
        sides = torch.rand(self.objects, 2, generator=generator).square() * size * 0.25 + 0.06 * size
        centres = torch.rand(self.objects, 2, generator=generator) * 0.6 * size + 0.2 * size
        phase = 6.28 * torch.rand(self.objects, 2, generator=generator)
        centres = centres + 10 * torch.sin(phase + frame_index / 8)
        offsets = torch.tensor([[0.0, 0], *(OFFSETS[: self.duplicates] if frame_index else [])])
        low = (centres - sides / 2)[None] + offsets[:, None] * sides  # (1 + duplicates, objects, 2)
        boxes = torch.cat([low, low + sides], dim=2).flatten(0, 1).clamp(min=0)
        boxes = boxes.minimum(size.repeat(2))
        labels = (torch.arange(self.objects) % len(CLASSES)).repeat(len(offsets))
        return boxes, labels, torch.linspace(0.95, 0.1, len(boxes))


# Offsets in sides of the object, a ring around it: IoU with it .23 to .29, among each other below .5.
OFFSETS = [[0.55 * math.cos(0.7 * k), 0.55 * math.sin(0.7 * k)] for k in range(9)]
ALL_SURVIVE = Scene()
TENTH_SURVIVES = Scene(objects=10, duplicates=9)  # 100 detections


class Clock:
    """Adds up the time of stages; what runs inside another stage counts for itself alone.

    Args:
        stages: their names.
        now: seconds.
    """

    def __init__(self, stages: tuple[str, ...] = STAGES, now: Callable[[], float] = time.perf_counter) -> None:
        self.seconds: dict[str, float] = dict.fromkeys(stages, 0.0)
        self._now = now
        self._inner: list[float] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time of the block, less that of stages inside."""
        begin = self._now()
        self._inner.append(0.0)
        try:
            yield
        finally:
            taken = self._now() - begin
            self.seconds[name] += taken - self._inner.pop()
            if self._inner:
                self._inner[-1] += taken

    def watch(self, owner: Any, method: str, name: str) -> None:
        """Time every call of a method."""
        inner = getattr(owner, method)

        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.stage(name):
                return inner(*args, **kwargs)

        object.__setattr__(owner, method, timed)  # past nn.Module, which takes modules and tensors apart

    def take(self) -> dict[str, float]:
        """Seconds since the last call."""
        taken, self.seconds = self.seconds, dict.fromkeys(self.seconds, 0.0)
        return taken


@dataclass(frozen=True)
class Step:
    """Seconds of one frame: by the clock on the wall, of the processor (all threads), and by stage."""

    seconds: float
    cpu_seconds: float
    stages: dict[str, float]

    @property
    def dense_seconds(self) -> float:
        """Without making run lengths of dense masks."""
        return self.seconds - self.stages["encode"]


class Side:
    """A model that steps through a scene, timed.

    Args:
        clock: arguments of `Clock`.
    """

    def __init__(self, model: nn.Module, scene: Scene, **clock: Any) -> None:
        self.model = model
        self.scene = scene
        self.clock = Clock(**clock)
        self.frame_index = 0
        self.detected = 0
        self._inject()
        detector = model.detector
        self.clock.watch(detector.backbone, "forward", "backbone")
        self.clock.watch(detector.neck, "forward", "neck")
        self.clock.watch(detector.rpn_head, "predict", "rpn")
        self.clock.watch(detector.roi_head, "predict_bbox", "boxes")

    def _inject(self) -> None:
        """Exchange the answers of the RPN, whose number stays, and of the box head for those of the scene."""
        rpn, box_head = self.model.detector.rpn_head, self.model.detector.roi_head.bbox_head
        propose, detect = rpn.predict, self.model.detector.roi_head.predict_bbox

        def predict(*args: Any, **kwargs: Any) -> list[InstanceData]:
            (found,) = propose(*args, **kwargs)
            boxes, _, _ = self.scene.detections(self.frame_index)
            self.proposals = count = max(len(found), len(boxes))
            boxes = torch.cat([boxes, found.bboxes])[:count]
            return [InstanceData(bboxes=boxes, scores=boxes.new_ones(count), labels=boxes.new_zeros(count).long())]

        def count(*args: Any, **kwargs: Any) -> list[InstanceData]:
            (found,) = detect(*args, **kwargs)
            self.detected = len(found)
            return [found]

        def classify(_: nn.Module, inputs: Any, answer: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            _, labels, scores = self.scene.detections(self.frame_index)
            logits = torch.full_like(answer[0], -30)
            logits[:, -1] = 0
            views = logits.unflatten(0, (-1, self.proposals))  # CMTrack sees each proposal several times
            views[:, torch.arange(len(labels)), labels] = scores.logit()
            return logits, torch.zeros_like(answer[1])

        object.__setattr__(rpn, "predict", predict)
        object.__setattr__(self.model.detector.roi_head, "predict_bbox", count)
        box_head.register_forward_hook(classify)

    def step(self) -> tuple[Any, Step]:
        """The result of the next frame, and what it took."""
        image = self.scene.image(self.frame_index)
        self.clock.take()
        begin, cpu_begin = time.perf_counter(), time.process_time()
        with self.clock.stage("rest"):
            result = self._step(image)
        seconds, cpu_seconds = time.perf_counter() - begin, time.process_time() - cpu_begin
        self.frame_index += 1
        return result, Step(seconds, cpu_seconds, self.clock.take())

    def _step(self, image: np.ndarray) -> Any:
        raise NotImplementedError


class Ours(Side):
    """Our model; frames to run lengths."""

    def __init__(self, model: nn.Module, scene: Scene, **clock: Any) -> None:
        super().__init__(model, scene, **clock)
        self.session = VideoSession(model)
        for method, stage in (("prepare", "prepare"), ("associate", "associate"), ("predict_masks", "masks")):
            self.clock.watch(model, method, stage)
        self.clock.watch(model.track_head, "embed", "embed")
        self.clock.watch(model, "_result", "paste")

    def _step(self, image: np.ndarray) -> FrameResult:
        return self.session.step(image)[0]


class Mmdets(Side):
    """mmdet's model by its own test pipeline, a frame at a time; frames to dense masks, and these to run lengths."""

    def __init__(self, model: nn.Module, scene: Scene) -> None:
        super().__init__(model, scene)
        roi_head = model.detector.roi_head
        self.clock.watch(roi_head, "predict_mask", "masks")
        self.clock.watch(roi_head.mask_head, "predict_by_feat", "paste")
        self.clock.watch(model.tracker, "track", "associate")
        self.clock.watch(model.track_head, "extract_roi_feats", "embed")
        self.clock.watch(model.track_head, "predict", "embed")
        resize = {"type": "Resize", "scale": scene.network, "keep_ratio": True}
        with DefaultScope.overwrite_default_scope("mmdet"):
            self.pipeline = [
                TRANSFORMS.build({"type": "TransformBroadcaster", "transforms": [resize]}),
                TRANSFORMS.build({"type": "PackTrackInputs"}),
            ]

    def _step(self, image: np.ndarray) -> InstanceData:
        with self.clock.stage("prepare"):
            batch = self._batch(image)
        with torch.no_grad():
            (sample,) = self.model.predict(**batch)
        instances = sample[0].pred_track_instances
        with self.clock.stage("encode"):
            instances.rles = encode_mask_results(instances.masks.numpy())
        return instances

    def _batch(self, image: np.ndarray) -> dict[str, Any]:
        results: dict[str, Any] = (
            {
                "img": [image[..., ::-1]],  # BGR, as mmdet reads files
                "img_shape": [image.shape[:2]],
                "ori_shape": [image.shape[:2]],
                "img_path": [""],
                "video_id": [0],
                "video_length": [1],
            }
            | {name: [self.frame_index] for name in ("frame_id", "img_id")}
        )
        for transform in self.pipeline:
            results = transform(results)
        packed = {"inputs": [results["inputs"]], "data_samples": [results["data_samples"]]}
        return self.model.data_preprocessor(packed, training=False)


def both_sides(
    scene: Scene, *, small: bool = False, fuse: torch.dtype | None = torch.float32
) -> tuple[Ours, Callable[[], Mmdets]]:
    """Our side, and what makes mmdet's with the same weights.

    Args:
        small: a narrow network, for long runs that look at memory.
        fuse: dtype of the fused layers of ours; None leaves them as built.
    """
    MMLogger.get_current_instance().setLevel(logging.ERROR)  # it lists every weight
    theirs, ours = model_configs(scene)
    if small:
        narrow(theirs), narrow(ours)
    torch.manual_seed(0)
    model = build_model(ours, CLASSES)
    model.init_weights()
    enliven(model)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    if fuse is not None:
        model.fuse(fuse)

    def make() -> Mmdets:
        with DefaultScope.overwrite_default_scope("mmdet"):
            twin = MODELS.build(ConfigDict(theirs))
        twin.load_state_dict(weights)
        return Mmdets(twin.eval(), scene)

    return Ours(model, scene), make


def model_configs(scene: Scene) -> tuple[dict[str, Any], dict[str, Any]]:
    """mmdet's shipped model and ours with its settings: 200 proposals, at most 100 detections, tracks kept 20 frames.

    The score threshold is .05, as published for OVIS; mmdet ships .01.
    """
    theirs = Config.fromfile(Path(mmdet.__file__).parent / ".mim/configs" / MMDETS).model.to_dict()
    theirs["data_preprocessor"]["bgr_to_rgb"] = True
    theirs["detector"]["test_cfg"]["rcnn"]["score_thr"] = 0.05
    ours = Config.fromfile(OURS).model.to_dict()
    ours["detector"]["test_cfg"] = theirs["detector"]["test_cfg"]
    ours["track_head"]["embed_head"]["relu_last"] = True
    ours["memory"] = {"retain_frames": 20, "label_memory": "last", "confirm_after": 1}
    ours["association"] = {"method": "greedy"}
    ours["occlusion"] = {"enabled": False}
    ours["test_scale"] = scene.network
    for detector in (theirs["detector"], ours["detector"]):
        detector["init_cfg"] = detector["backbone"]["init_cfg"] = None
    return theirs, ours


def narrow(config: dict[str, Any]) -> None:
    """R18, and 16 channels behind it."""
    detector, width = config["detector"], 16
    detector["backbone"]["depth"] = 18
    detector["neck"].update(in_channels=[64, 128, 256, 512], out_channels=width)
    detector["rpn_head"].update(in_channels=width, feat_channels=width)
    roi_head = detector["roi_head"]
    for extractor in (roi_head["bbox_roi_extractor"], roi_head["mask_roi_extractor"]):
        extractor["out_channels"] = width
    config["track_head"]["roi_extractor"]["out_channels"] = width
    roi_head["bbox_head"].update(in_channels=width, fc_out_channels=64)
    roi_head["mask_head"].update(in_channels=width, conv_out_channels=width, num_convs=1)
    config["track_head"]["embed_head"].update(in_channels=width, fc_out_channels=64)


def enliven(model: nn.Module) -> None:
    """Random weights under which features differ from place to place, and appearance does not outweigh place."""
    for module in model.detector.backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.2, 0.8)
    model.track_head.embed_head.fcs[-1].weight.data.mul_(0.01)


def difference(ours: FrameResult, theirs: InstanceData) -> dict[str, float]:
    """Largest difference of boxes (pixels) and scores, share of differing pixels of the masks; raises on other ids.

    Of mmdet's detections that share an id, which is its bug, the last and better one counts.
    """
    last = {track_id: row for row, track_id in enumerate(theirs.instances_id.tolist())}
    rows = sorted(last.values())
    expected = theirs[torch.tensor(rows)]
    if (
        ours.track_ids.tolist() != (expected.instances_id + 1).tolist()
        or ours.labels.tolist() != expected.labels.tolist()
    ):
        raise AssertionError(f"Frame {ours.frame_index}: the two sides differ in ids or classes.")
    wrong = sum(np.sum(rle.decode(a) != b) for a, b in zip(ours.masks, expected.masks.numpy(), strict=True))
    return {
        "boxes": float(np.abs(ours.boxes - expected.bboxes.numpy()).max()),
        "scores": float(np.abs(ours.scores - expected.scores.numpy()).max()),
        "masks": float(wrong / max(int(expected.masks.sum()), 1)),
    }
