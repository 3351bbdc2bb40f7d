"""Frame after frame through `OccCMTrackRCNN`, against a whole clip at once, spelled out."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from mmdet.structures.bbox import bbox2roi
from mmengine.structures import InstanceData
from torch import Tensor

from vos_occ.datasets.synthetic import SyntheticWorld
from vos_occ.inference.session import VideoSession
from vos_occ.models.bilayer.prediction import OUTPUTS, BilayerPrediction
from vos_occ.models.video import cmtrack
from vos_occ.models.video.cmtrack import OccCMTrackRCNN
from vos_occ.models.video.contract import VideoMeta
from vos_occ.models.video.observation import Observation
from vos_occ.structures import FrameResult
from vos_occ.structures.errors import InputError
from vos_occ.structures.rle import decode

REACH = 5
PLAIN_HEAD = {
    "_delete_": True,
    "type": "PlainMaskHead",
    "num_convs": 1,
    "in_channels": 16,
    "conv_out_channels": 16,
    "num_classes": 6,
}


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    """Eleven frames (64, 96, 3) uint8 RGB."""
    return [frame.image for frame in SyntheticWorld("train", height=64, width=96, num_frames=11).video(1)]


SMALL = {"test_scale": [96, 64], "detector.test_cfg.rpn.max_per_img": 20, "detector.test_cfg.rcnn.max_per_img": 4}


@pytest.fixture(scope="module")
def model(build_tiny_cmtrack: Callable) -> OccCMTrackRCNN:
    """Small images, few detections."""
    return build_tiny_cmtrack(SMALL)


def run(model: OccCMTrackRCNN, frames: Sequence[np.ndarray]) -> list[FrameResult]:
    session = VideoSession(model)
    return [result for frame in frames for result in session.step(frame)] + session.finish()


@torch.inference_mode()
def whole_clip(model: OccCMTrackRCNN, frames: Sequence[np.ndarray]) -> list[FrameResult]:
    """All features first, then frame by frame, neighbour by neighbour: means of logits, and nothing batched."""
    images = [model.prepare(frame) for frame in frames]
    feats = [model.detector.extract_feat(image.tensor) for image in images]
    state = model.new_state(VideoMeta(*frames[0].shape[:2], None))
    results = []
    for t, image in enumerate(images):
        first, last = max(t - REACH, 0), min(t + REACH, len(frames) - 1)
        neighbours = [u for u in range(first, last + 1) if u != t] or [t]
        views = [model.calibration(feats[t][:4], feats[u][:4]) for u in neighbours]
        detections = detected(model, image, feats[t], views)
        seen = Observation(
            boxes=detections.bboxes / image.scale,
            labels=detections.labels,
            scores=detections.scores,
            embeddings=model.track_head.embed(feats[t], detections.bboxes),
            predict_masks=lambda rows, views=views, found=detections: mean_masks(model, views, found[rows]),
        )
        results.append(model.track(state, seen, t))
    return results


def detected(model: OccCMTrackRCNN, image: Any, feats: tuple, views: list[tuple]) -> InstanceData:
    size = tuple(image.tensor.shape[-2:])
    meta = {"img_shape": image.shape, "ori_shape": image.shape, "pad_shape": size, "batch_input_shape": size}
    outputs, rpn, head = model.detector.rpn_head(feats), model.detector.rpn_head, model.detector.roi_head.bbox_head
    (proposals,) = rpn.predict_by_feat(*outputs, batch_img_metas=[meta | {"scale_factor": (1, 1)}], rescale=False)
    rois = bbox2roi([proposals.bboxes])
    extract = model.detector.roi_head.bbox_roi_extractor
    answers = [head(extract(view, rois)) for view in views]
    scores, deltas = (sum(answer[i] for answer in answers) / len(answers) for i in (0, 1))
    return head.predict_by_feat((rois,), (scores,), (deltas,), [meta], model.detector.roi_head.test_cfg)[0]


def mean_masks(model: OccCMTrackRCNN, views: list[tuple], detections: InstanceData) -> BilayerPrediction:
    head, extract = model.detector.roi_head.mask_head, model.detector.roi_head.mask_roi_extractor
    answers = [head(extract(view, bbox2roi([detections.bboxes]))).select_class(detections.labels) for view in views]
    means: dict[str, Tensor] = {}
    for name in OUTPUTS:
        if getattr(answers[0], name) is not None and "boundary" not in name:
            means[name] = sum(getattr(answer, name) for answer in answers) / len(answers)
    return BilayerPrediction(**means)


def assert_alike(found: Sequence[FrameResult], expected: Sequence[FrameResult]) -> None:
    """But for the order of additions."""
    assert [result.frame_index for result in found] == [result.frame_index for result in expected]
    for a, b in zip(found, expected, strict=True):
        assert a.track_ids.tolist() == b.track_ids.tolist() and a.labels.tolist() == b.labels.tolist()
        np.testing.assert_allclose(a.scores, b.scores, atol=1e-5)
        np.testing.assert_allclose(a.boxes, b.boxes, atol=1e-3)
        for kind in ("masks", "occluder_masks"):
            for one, other in zip(getattr(a, kind) or [], getattr(b, kind) or [], strict=True):
                assert (one is None) == (other is None)
                assert one is None or np.mean(decode(one) != decode(other)) < 1e-3
        assert (a.hidden is None) == (b.hidden is None)
        if a.hidden is not None:
            np.testing.assert_allclose(a.hidden, b.hidden, atol=1e-5)


def exactly(results: Sequence[FrameResult]) -> list[tuple]:
    return [(r.frame_index, r.track_ids.tolist(), r.scores.tolist(), r.boxes.tolist(), r.masks) for r in results]


@pytest.mark.parametrize("length", [1, 2, 6, 11])
def test_streamed_results_equal_those_of_the_whole_clip(
    model: OccCMTrackRCNN, frames: list[np.ndarray], length: int
) -> None:
    results = run(model, frames[:length])
    assert [result.frame_index for result in results] == list(range(length))
    assert sum(len(result) for result in results) >= 2 * length
    assert_alike(results, whole_clip(model, frames[:length]))


def test_the_plain_head_sees_through_neighbours_too(build_tiny_cmtrack: Callable, frames: list[np.ndarray]) -> None:
    model = build_tiny_cmtrack(SMALL | {"detector.roi_head.mask_head": PLAIN_HEAD})
    assert_alike(run(model, frames[:3]), whole_clip(model, frames[:3]))


def test_an_identity_start_sees_what_masktrack_sees(
    build_tiny_model: Callable, build_tiny_cmtrack: Callable, frames: list[np.ndarray]
) -> None:
    masktrack = build_tiny_model(SMALL)
    cmtrack_model = build_tiny_cmtrack(SMALL | {"calibration.start": "identity"})
    cmtrack_model.load_state_dict(masktrack.state_dict(), strict=False)
    assert_alike(run(cmtrack_model, frames[:3]), run(masktrack, frames[:3]))


def test_answers_come_five_frames_late(model: OccCMTrackRCNN, frames: list[np.ndarray]) -> None:
    session = VideoSession(model)
    assert [[r.frame_index for r in session.step(frame)] for frame in frames[:7]] == [[], [], [], [], [], [0], [1]]
    assert [r.frame_index for r in session.finish()] == [2, 3, 4, 5, 6]
    assert session.finish() == []


def test_neighbours_change_what_is_seen(model: OccCMTrackRCNN, frames: list[np.ndarray]) -> None:
    alone = run(model, frames[:1])[0]
    assert exactly([alone]) != exactly(run(model, frames[:6])[:1])


def test_two_sessions_in_turn_equal_two_apart(model: OccCMTrackRCNN, frames: list[np.ndarray]) -> None:
    videos = frames[:7], frames[:3:-1]
    apart = [exactly(run(model, video)) for video in videos]
    sessions = [VideoSession(model) for _ in videos]
    together: list[list[FrameResult]] = [[], []]
    for pair in zip(*videos, strict=True):
        for session, frame, results in zip(sessions, pair, together, strict=True):
            results += session.step(frame)
    for session, results in zip(sessions, together, strict=True):
        results += session.finish()
    assert [exactly(results) for results in together] == apart
    assert apart[0] != apart[1]


def test_a_session_changes_nothing_in_the_model(model: OccCMTrackRCNN, frames: list[np.ndarray]) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    attributes = set(vars(model))
    run(model, frames[:7])
    assert all(tensor.equal(before[name]) for name, tensor in model.state_dict().items())
    assert set(vars(model)) == attributes


def test_what_is_remembered_does_not_grow(build_tiny_cmtrack: Callable, frames: list[np.ndarray]) -> None:
    model = build_tiny_cmtrack(SMALL | {"reach": 1})
    state = model.new_state(VideoMeta(64, 96))
    held = []
    for t in range(8):
        model.step(state, frames[t], t)
        held.append((len(state.ring), state.ring.nbytes))
    assert held[1:] == [held[1]] * 7 and held[1][0] == 2


@pytest.mark.parametrize("rois", [1, 40, 10**6], ids=["one view", "two views", "all views"])
def test_views_together_give_what_each_gives_alone(
    model: OccCMTrackRCNN, frames: list[np.ndarray], rois: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = run(model, frames[:3])
    monkeypatch.setattr(cmtrack, "BOX_ROIS_AT_ONCE", rois)
    assert_alike(run(model, frames[:3]), expected)


def test_scores_are_those_of_the_mean_logits(
    model: OccCMTrackRCNN, frames: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the mean of the scores: a view that is sure outweighs one that is not."""
    logits = torch.tensor([[4.0, 0, 0, 0, 0, 0, 0], [-1.0, 0, 0, 0, 0, 0, 0]])  # of two views

    def forward(views: tuple, rois: Tensor) -> dict[str, Tensor]:
        return {"cls_score": logits, "bbox_pred": torch.zeros(2, 24)}

    monkeypatch.setattr(model.detector.roi_head, "_bbox_forward", forward)
    size = {"img_shape": (64, 96), "scale_factor": (1.0, 1.0)}
    proposal = InstanceData(bboxes=torch.tensor([[5.0, 6, 40, 50]]))
    with torch.no_grad():
        found = model._classify((torch.zeros(2, 16, 16, 24),) * 4, size, [proposal])
    best = logits.mean(0).softmax(0)[0]
    assert found.labels.tolist() == [0] and found.scores[0] == pytest.approx(best.item())
    assert abs(best - logits.softmax(1).mean(0)[0]) > 0.05
    assert found.bboxes[0].tolist() == [5, 6, 40, 50]


def test_no_proposals_are_no_detections(model: OccCMTrackRCNN) -> None:
    size = {"img_shape": (64, 96), "scale_factor": (1.0, 1.0)}
    nothing = InstanceData(bboxes=torch.zeros(0, 4), scores=torch.zeros(0), labels=torch.zeros(0).long())
    assert len(model._classify((torch.zeros(2, 16, 16, 24),) * 4, size, [nothing])) == 0


def test_observations_are_what_a_session_tracks(model: OccCMTrackRCNN, frames: list[np.ndarray]) -> None:
    state = model.new_state(VideoMeta(64, 96))
    seen = enumerate(model.observations(frames[:7]))
    tracked = [model.track(state, observation, t) for t, observation in seen]
    assert exactly(tracked) == exactly(run(model, frames[:7]))
    alone = model.observe(frames[0])
    assert torch.equal(alone.boxes, next(model.observations(frames[:1])).boxes)


def test_fused_layers_give_the_same(build_tiny_cmtrack: Callable, frames: list[np.ndarray]) -> None:
    model = build_tiny_cmtrack(SMALL)
    expected = run(model, frames[:3])
    model.fuse()
    assert_alike(run(model, frames[:3]), expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reach": 0}, "reach must be at least 1 frame, found 0"),
        ({"calibration": {"type": "FPN", "in_channels": [1], "out_channels": 1, "num_outs": 1}},
         "needs a TemporalCalibration, found FPN"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused(build_tiny_cmtrack: Callable, changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_tiny_cmtrack(changes)
