"""Frame after frame through `OccPCAN`: what a result holds, what is remembered, and what never changes."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from vos_occ.inference.replay import record, with_options
from vos_occ.inference.session import VideoSession
from vos_occ.models.video.contract import VideoMeta
from vos_occ.models.video.pcan import OccPCAN
from vos_occ.structures import FrameResult
from vos_occ.structures.errors import InputError

PLAIN_HEAD = {
    "_delete_": True,
    "type": "PlainMaskHead",
    "num_convs": 1,
    "in_channels": 16,
    "conv_out_channels": 16,
    "num_classes": 6,
}


def run(model: OccPCAN, frames: Sequence[np.ndarray]) -> list[FrameResult]:
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


@pytest.fixture(scope="module")
def model(build_tiny_pcan: Callable) -> OccPCAN:
    return build_tiny_pcan()


def test_two_sessions_in_turn_equal_two_apart(model: OccPCAN, tiny_frames: list[np.ndarray]) -> None:
    videos = {"a": tiny_frames, "b": tiny_frames[::-1]}
    apart = {name: content(run(model, frames)) for name, frames in videos.items()}
    sessions = {name: VideoSession(model) for name in videos}
    in_turn: dict[str, list[FrameResult]] = {name: [] for name in videos}
    for t in range(len(tiny_frames)):
        for name in videos:
            in_turn[name] += sessions[name].step(videos[name][t])
    assert {name: content(results) for name, results in in_turn.items()} == apart
    assert apart["a"] != apart["b"]


def test_a_step_changes_nothing_in_the_model(build_tiny_pcan: Callable, tiny_frames: list[np.ndarray]) -> None:  # P-e
    model = build_tiny_pcan()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    attributes = {name: id(value) for name, value in vars(model).items()}
    run(model, tiny_frames)
    assert {"refine_head.pos_mu", "frame_attention.mu0"} <= set(before)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert {name: id(value) for name, value in vars(model).items()} == attributes
    assert not any(module.training for module in model.modules())


def test_results_say_all_that_the_bilayer_head_knows(model: OccPCAN, tiny_frames: list[np.ndarray]) -> None:
    results = run(model, tiny_frames)
    assert [result.frame_index for result in results] == list(range(len(tiny_frames)))
    assert all(len(result) > 0 for result in results)
    for result in results:
        assert len(result.occluder_masks) == len(result.order) == len(result)
        assert ((result.hidden >= 0) & (result.hidden < 1)).all()
        assert len(set(result.track_ids)) == len(result)
    assert any(
        set(first.track_ids) & set(second.track_ids) for first, second in zip(results, results[1:], strict=False)
    )


def test_plain_head_reports_masks_alone(build_tiny_pcan: Callable, tiny_frames: list[np.ndarray]) -> None:
    results = run(build_tiny_pcan({"detector.roi_head.mask_head": PLAIN_HEAD}), tiny_frames[:2])
    assert sum(map(len, results)) > 0
    assert all(r.occluder_masks is None and r.hidden is None and r.order is None for r in results)


def test_parts_switched_off_equal_a_model_without_them(
    build_tiny_pcan: Callable, tiny_frames: list[np.ndarray]
) -> None:
    model = build_tiny_pcan()
    model.use_refine = model.use_frame_attention = False
    without = build_tiny_pcan({"refine_head": None, "frame_attention": None})
    without.load_state_dict({k: v for k, v in model.state_dict().items() if k in without.state_dict()})
    off = content(run(model, tiny_frames[:3]))
    assert off == content(run(without, tiny_frames[:3]))
    model.use_refine = True
    refined = content(run(model, tiny_frames[:3]))
    assert [frame["masks"] for frame in refined] != [frame["masks"] for frame in off]
    unrefined = ("track_ids", "boxes", "occluder_masks", "hidden")
    assert all(a[key] == b[key] for a, b in zip(refined, off, strict=True) for key in unrefined)
    with pytest.raises(InputError, match="no refine_head"):
        without.use_refine = True
    with pytest.raises(InputError, match="no frame_attention"):
        without.use_frame_attention = True


def test_a_track_is_refined_by_what_it_was_like_before(
    build_tiny_pcan: Callable, tiny_frames: list[np.ndarray]
) -> None:
    """A new track compares with itself; one that goes on, with the coarse logits and features of its last frame."""
    model, seen = build_tiny_pcan(), []
    model.refine_head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs))
    state = model.new_state(VideoMeta(*tiny_frames[0].shape[:2]))
    (first,) = model.step(state, tiny_frames[0], 0)
    features, logits, ref_features, ref_logits = seen[0]
    assert torch.equal(features, ref_features) and torch.equal(logits, ref_logits)
    assert torch.equal(state.memory.payload("logits"), logits)  # coarse, as they went in
    (second,) = model.step(state, tiny_frames[1], 1)
    before = {int(track): row for row, track in enumerate(first.track_ids)}
    rows = [(row, before[int(track)]) for row, track in enumerate(second.track_ids) if int(track) in before]
    assert rows
    for now, then in rows:
        assert torch.equal(seen[1][2][now], features[then]) and torch.equal(seen[1][3][now], logits[then])


def test_occlusion_off_changes_neither_masks_nor_ids(build_tiny_pcan: Callable, tiny_frames: list[np.ndarray]) -> None:
    kept = ("track_ids", "boxes", "scores", "masks")
    model, off = build_tiny_pcan(), build_tiny_pcan({"occlusion.enabled": False})
    found = [[{key: frame[key] for key in kept} for frame in content(run(m, tiny_frames))] for m in (model, off)]
    assert found[0] == found[1]


def test_frames_without_detections_age_the_tracks(build_tiny_pcan: Callable, tiny_frames: list[np.ndarray]) -> None:
    model = build_tiny_pcan({"tracker.retain_frames": 2})  # P-j
    state = model.new_state(VideoMeta(*tiny_frames[0].shape[:2]))
    model.step(state, tiny_frames[0], 0)
    assert len(state.memory) > 0 and len(state.memory.payload("features")) == len(state.memory)
    threshold, model.score_threshold = model.score_threshold, 1.1
    for t in (1, 2):
        (result,) = model.step(state, tiny_frames[t], t)
        assert len(result) == 0
    assert len(state.memory) == len(state.memory.payload("features")) == 0
    model.score_threshold = threshold
    (result,) = model.step(state, tiny_frames[3], 3)
    assert len(result) > 0 and min(result.track_ids) > 1


def test_memory_does_not_grow_with_the_video(build_tiny_pcan: Callable, tiny_frames: list[np.ndarray]) -> None:
    model, sizes = build_tiny_pcan(), []
    model.limit_tracks(4)
    state = model.new_state(VideoMeta(*tiny_frames[0].shape[:2]))
    for t in range(12):
        model.step(state, tiny_frames[t % len(tiny_frames)], t)
        attention = state.frames.attention
        sizes.append((state.memory.nbytes, sum(x.nbytes for x in (*attention.maps, *attention.prototypes))))
        assert len(state.memory) <= 4
    assert max(size for size, _ in sizes[6:]) <= max(size for size, _ in sizes[:6])
    assert len({size for _, size in sizes}) == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_fused_layers_find_the_same(
    build_tiny_pcan: Callable, tiny_frames: list[np.ndarray], dtype: torch.dtype
) -> None:
    plain, fused = build_tiny_pcan(), build_tiny_pcan()
    fused.fuse(dtype)
    if dtype == torch.bfloat16:
        assert sum(map(len, run(fused, tiny_frames[:2]))) > 0
        return
    expected, found = (run(model, tiny_frames[:3]) for model in (plain, fused))
    for a, b in zip(expected, found, strict=True):
        assert a.track_ids.tolist() == b.track_ids.tolist()
        assert a.boxes == pytest.approx(b.boxes, abs=1e-2) and a.scores == pytest.approx(b.scores, abs=1e-4)


def test_recording_is_refused_in_one_line(model: OccPCAN, tiny_frames: list[np.ndarray]) -> None:
    for refused in (lambda: record(model, tiny_frames[:1]), lambda: with_options(model, {"memory.retain_frames": 1})):
        with pytest.raises(InputError, match="OccPCAN cannot be recorded") as error:
            refused()
        assert "\n" not in str(error.value)
