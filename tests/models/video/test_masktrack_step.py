"""Frame after frame through `OccMaskTrackRCNN`: what a result holds, and what the model keeps (nothing)."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData

from vos_occ.inference.session import VideoSession
from vos_occ.models.video.contract import VideoMeta
from vos_occ.models.video.masktrack import OccMaskTrackRCNN
from vos_occ.structures import FrameResult

PLAIN_HEAD = {
    "_delete_": True,
    "type": "PlainMaskHead",
    "num_convs": 1,
    "in_channels": 16,
    "conv_out_channels": 16,
    "num_classes": 6,
}


def run(model: OccMaskTrackRCNN, frames: Sequence[np.ndarray]) -> list[FrameResult]:
    session = VideoSession(model)
    return [result for frame in frames for result in session.step(frame)] + session.finish()


def content(results: Sequence[FrameResult]) -> list[dict[str, Any]]:
    """Everything in the results, as plain values that can be compared."""
    return [
        {
            "frame_index": result.frame_index,
            "track_ids": result.track_ids.tolist(),
            "labels": result.labels.tolist(),
            "scores": result.scores.tolist(),
            "boxes": result.boxes.tolist(),
            "masks": result.masks,
            "occluder_masks": result.occluder_masks,
            "hidden": None if result.hidden is None else result.hidden.tolist(),
            "order": None if result.order is None else result.order.matrix.tolist(),
        }
        for result in results
    ]


def rois_seen(model: OccMaskTrackRCNN) -> list[int]:
    """A list that grows by the number of RoIs of each call of the mask head."""
    seen: list[int] = []
    model.detector.roi_head.mask_head.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    return seen


@pytest.mark.parametrize("first", ["a", "b"])
def test_two_sessions_in_turn_equal_two_apart(
    tiny_model: OccMaskTrackRCNN, tiny_frames: list[np.ndarray], first: str
) -> None:
    videos = {"a": tiny_frames, "b": tiny_frames[::-1]}
    apart = {name: content(run(tiny_model, frames)) for name, frames in videos.items()}
    names = ("a", "b") if first == "a" else ("b", "a")
    sessions = {name: VideoSession(tiny_model) for name in names}
    in_turn: dict[str, list[FrameResult]] = {name: [] for name in names}
    for t in range(len(tiny_frames)):
        for name in names:
            in_turn[name] += sessions[name].step(videos[name][t])
    assert {name: content(results) for name, results in in_turn.items()} == apart
    assert apart["a"] != apart["b"]


def test_a_step_changes_nothing_in_the_model(build_tiny_model: Callable, tiny_frames: list[np.ndarray]) -> None:
    model = build_tiny_model()
    before = {name: value.clone() for name, value in model.state_dict(keep_vars=False).items()}
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    attributes = set(vars(model))
    run(model, tiny_frames)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(torch.equal(buffers[name], value) for name, value in model.named_buffers())
    assert set(vars(model)) == attributes
    assert not model.training


def test_results_say_all_that_the_bilayer_head_knows(
    tiny_model: OccMaskTrackRCNN, tiny_frames: list[np.ndarray]
) -> None:
    results = run(tiny_model, tiny_frames)
    assert [result.frame_index for result in results] == list(range(len(tiny_frames)))
    assert all((result.height, result.width) == tiny_frames[0].shape[:2] for result in results)
    assert all(len(result) > 0 for result in results)
    for result in results:
        assert len(result.occluder_masks) == len(result.order) == len(result)
        assert ((result.hidden > 0) & (result.hidden < 1)).all()
        assert (result.boxes >= 0).all() and (result.boxes <= [200, 120, 200, 120]).all()
        assert not (result.order.matrix & result.order.matrix.T).any()
    assert any(
        set(first.track_ids) & set(second.track_ids) for first, second in zip(results, results[1:], strict=False)
    )


def test_frames_are_resized_to_fit_and_padded(tiny_model: OccMaskTrackRCNN) -> None:
    image = tiny_model.prepare(np.full((97, 400, 3), 255, np.uint8))
    assert image.shape == (39, 160)  # 0.4; mmdet's Resize rounds half up
    assert image.tensor.shape == (1, 3, 64, 160)
    assert image.scale.tolist() == pytest.approx([0.4, 39 / 97, 0.4, 39 / 97])
    assert (image.tensor[:, :, 39:] == 0).all() and (image.tensor[:, :, :39] > 2).all()


def test_portrait_frames_fit_the_same_scale_turned(tiny_model: OccMaskTrackRCNN) -> None:
    assert tiny_model.prepare(np.zeros((200, 120, 3), np.uint8)).shape == (160, 96)


def test_frames_that_are_views_of_others_are_read_right(
    tiny_model: OccMaskTrackRCNN, tiny_frames: list[np.ndarray]
) -> None:
    mirrored = [frame[:, ::-1] for frame in tiny_frames[:1]]
    copied = [np.ascontiguousarray(frame) for frame in mirrored]
    assert content(run(tiny_model, mirrored)) == content(run(tiny_model, copied))


def test_mask_head_sees_surviving_detections_only(build_tiny_model: Callable, tiny_frames: list[np.ndarray]) -> None:
    model, detected = build_tiny_model(), []
    seen = rois_seen(model)
    detect = model.detect
    model.detect = lambda *inputs: detected.append(detect(*inputs)) or detected[-1]
    results = run(model, tiny_frames)
    assert seen == [len(result) for result in results]
    assert sum(seen) < sum(map(len, detected))


def test_tracks_are_shown_once_confirmed(build_tiny_model: Callable, tiny_frames: list[np.ndarray]) -> None:
    at_once = run(build_tiny_model(), tiny_frames)
    confirmed = run(build_tiny_model({"memory.confirm_after": 2}), tiny_frames)
    assert len(at_once[0]) > 0 and len(confirmed[0]) == 0
    assert len(confirmed[1]) > 0
    assert set(confirmed[1].track_ids) <= set(at_once[0].track_ids)


def test_occlusion_off_never_asks_for_occluders(build_tiny_model: Callable, tiny_frames: list[np.ndarray]) -> None:
    model, asked = build_tiny_model({"occlusion.enabled": False}), []
    predict_masks = model.detector.roi_head.predict_masks
    model.detector.roi_head.predict_masks = lambda *a, **k: asked.append(k["outputs"]) or predict_masks(*a, **k)
    ran = []
    model.detector.roi_head.mask_head.occluder_outputs.register_forward_hook(
        lambda module, inputs, maps: ran.append(maps)
    )
    results = run(model, tiny_frames)
    assert set(asked) == {("occludee_mask", "hidden")}
    assert not any(maps for maps in ran)
    assert all(r.occluder_masks is None and r.hidden is None and r.order is None for r in results)


def test_occlusion_off_changes_neither_masks_nor_ids(build_tiny_model: Callable, tiny_frames: list[np.ndarray]) -> None:
    kept = ("track_ids", "boxes", "scores", "masks")
    with_and_without = [
        [{key: frame[key] for key in kept} for frame in content(run(build_tiny_model(changes), tiny_frames))]
        for changes in (None, {"occlusion.enabled": False})
    ]
    assert with_and_without[0] == with_and_without[1]


def test_unknown_order_reports_occluders_alone_and_says_so(
    build_tiny_model: Callable, tiny_frames: list[np.ndarray]
) -> None:
    model = build_tiny_model({"occlusion.order_known": False})
    with pytest.warns(UserWarning, match="not on depth order"):
        results = run(model, tiny_frames)
    assert all(result.hidden is None and result.order is None for result in results)
    assert all(result.hidden_by(i) == [] for result in results for i in range(len(result)))
    assert any(mask is not None for result in results for mask in result.occluder_masks)


def test_unknown_order_is_said_once(build_tiny_model: Callable, tiny_frames: list[np.ndarray]) -> None:
    model = build_tiny_model({"occlusion.order_known": False})
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("default")
        for _ in range(3):
            run(model, tiny_frames[:1])
    assert len(said) == 1


def test_plain_head_reports_none_of_it(build_tiny_model: Callable, tiny_frames: list[np.ndarray]) -> None:
    results = run(build_tiny_model({"detector.roi_head.mask_head": PLAIN_HEAD}), tiny_frames)
    assert sum(map(len, results)) > 0
    assert all(r.occluder_masks is None and r.hidden is None and r.order is None for r in results)


def test_embeddings_of_hidden_detections_are_not_remembered(
    build_tiny_model: Callable, tiny_frames: list[np.ndarray]
) -> None:
    """With a threshold of 0 everything counts as hidden: every track keeps the embedding of its first frame."""
    remembered = {}
    for threshold in (0.0, 1.0):
        model = build_tiny_model({"occlusion.keep_embedding_above": threshold, "memory.retain_frames": None})
        session = VideoSession(model)
        session.step(tiny_frames[0])
        first = session._state.memory.embeddings.clone()
        session.step(tiny_frames[1])
        remembered[threshold] = torch.equal(session._state.memory.embeddings[: len(first)], first)
    assert remembered == {0.0: True, 1.0: False}


def test_frame_without_detections_is_an_empty_result_and_the_video_goes_on(
    build_tiny_model: Callable, tiny_frames: list[np.ndarray]
) -> None:
    model = build_tiny_model()
    session, results = VideoSession(model), []
    for t in range(4):
        model.score_threshold = 1.0 if t in (0, 2) else 0.3
        results += session.step(tiny_frames[t])
    assert [len(result) > 0 for result in results] == [False, True, False, True]
    assert results[0].masks == results[0].occluder_masks == []
    assert set(results[1].track_ids) & set(results[3].track_ids)


def test_frame_without_proposals_is_an_empty_result(
    build_tiny_model: Callable, tiny_frames: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build_tiny_model()
    nothing = InstanceData(bboxes=torch.zeros(0, 4), scores=torch.zeros(0), labels=torch.zeros(0).long())
    monkeypatch.setattr(model.detector.rpn_head, "predict", lambda *_, **__: [nothing])
    assert [len(result) for result in run(model, tiny_frames[:2])] == [0, 0]


def test_score_threshold_is_that_of_the_box_head(build_tiny_model: Callable, tiny_frames: list[np.ndarray]) -> None:
    model = build_tiny_model()
    assert model.score_threshold == 0.3
    model.score_threshold = 0.9
    (result,) = run(model, tiny_frames[:1])
    assert len(result) > 0 and (result.scores > 0.9).all()


def test_whole_clips_are_refused(tiny_model: OccMaskTrackRCNN) -> None:
    with pytest.raises(NotImplementedError, match="VideoSession"):
        tiny_model.predict(torch.zeros(1, 1, 3, 32, 32), [])


def associate(model: OccMaskTrackRCNN, labels: Sequence[int] = (0, 0, 0, 0)) -> list[int]:
    """Three tracks, and a detection of each again, of the second one twice: the column of each detection."""
    state = model.new_state(VideoMeta(96, 160))
    embeddings = torch.eye(3, model.track_head.embed_dim) * 5
    boxes = torch.tensor([[0.0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]])
    state.memory.update(None, embeddings, boxes, torch.zeros(3).long(), torch.ones(3), 0)
    again = [0, 1, 1, 2]
    scores = torch.tensor([0.9, 0.8, 0.7, 0.6])
    return model.associate(state.memory, embeddings[again], boxes[again], torch.tensor(labels), scores).tolist()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"association.method": "greedy"}, [1, 2, -1, 3]),
        ({"association.reassign_losers": True}, [1, 2, 0, 3]),
        ({"association.method": "hungarian"}, [1, 2, 0, 3]),
    ],
    ids=["greedy drops the duplicate", "greedy asks again", "hungarian makes it a new track"],
)
def test_second_detection_of_an_object(build_tiny_model: Callable, options: dict, expected: list) -> None:
    assert associate(build_tiny_model(options)) == expected


def test_weights_reach_the_match_scores(build_tiny_model: Callable) -> None:
    labels = (1, 1, 1, 1)  # of another class than the tracks
    assert associate(build_tiny_model({"association.label_weight": 100.0}), labels) == [0, 0, 0, 0]
    assert associate(build_tiny_model({"association.label_weight": 0.0}), labels) == [1, 2, -1, 3]


@pytest.mark.parametrize(("which", "label"), [("first", 4), ("last", 5)])
def test_label_memory(build_tiny_model: Callable, which: str, label: int) -> None:
    model = build_tiny_model({"memory.label_memory": which})
    memory = model.new_state(VideoMeta(96, 160)).memory
    one = torch.ones(1, model.track_head.embed_dim), torch.ones(1, 4)
    memory.update(None, *one, torch.tensor([4]), torch.ones(1), 0)
    memory.update(torch.tensor([1]), *one, torch.tensor([5]), torch.ones(1), 1)
    assert memory.labels.tolist() == [label]
