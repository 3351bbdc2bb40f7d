"""Rules about hidden objects, from the config to the memory of a running model."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from vos_occ.inference.session import VideoSession
from vos_occ.models.video.contract import VideoMeta
from vos_occ.models.video.masktrack import OccMaskTrackRCNN
from vos_occ.structures import FrameResult
from vos_occ.structures.errors import InputError

RULES = {"memory.occlusion": {"embedding_power": 4.0, "weigh_views": True, "near": 0.5, "motion": "occluder"}}


def run(model: OccMaskTrackRCNN, frames: list[np.ndarray]) -> tuple[list[FrameResult], torch.Tensor]:
    """The results, and the embeddings that are remembered at the end."""
    session = VideoSession(model)
    return [result for frame in frames for result in session.step(frame)], session._state.memory.embeddings


def test_rules_reach_the_memory_and_change_what_it_keeps(
    build_tiny_model: Callable[..., OccMaskTrackRCNN], tiny_frames: list[np.ndarray]
) -> None:
    momentum = {"memory.momentum": 0.5}
    _, plain = run(build_tiny_model(momentum), tiny_frames[:2])
    _, gated = run(build_tiny_model(momentum | RULES), tiny_frames[:2])
    assert plain.shape != gated.shape or not torch.equal(plain, gated)


def test_the_less_a_detection_shows_the_less_its_looks_count(build_tiny_model: Callable[..., OccMaskTrackRCNN]) -> None:
    """Looks say the first track, the place says the second."""
    model = build_tiny_model({"memory.occlusion": {"match_power": 1.0}})
    memory = model.new_state(VideoMeta(96, 160)).memory
    embeddings, labels = 3 * torch.eye(2, model.track_head.embed_dim), torch.zeros(2).long()
    boxes = torch.tensor([[0.0, 0, 10, 10], [40, 0, 50, 10]])
    memory.update(None, embeddings, boxes, labels, torch.ones(2), 0)

    def column(hidden: float | None) -> int:
        told = None if hidden is None else torch.tensor([hidden])
        return model.associate(memory, embeddings[:1], boxes[1:], labels[:1], torch.ones(1), told).item()

    assert [column(hidden) for hidden in (None, 0.0, 0.9)] == [1, 1, 2]


def test_a_hidden_detection_loses_a_track_to_a_better_seen_one(
    build_tiny_model: Callable[..., OccMaskTrackRCNN],
) -> None:
    model = build_tiny_model({"memory.occlusion": {"match_power": 1.0}})
    memory = model.new_state(VideoMeta(96, 160)).memory
    one, label, box = 3 * torch.eye(1, model.track_head.embed_dim), torch.zeros(1).long(), torch.ones(1, 4)
    memory.update(None, one, box, label, torch.ones(1), 0)
    pair = one.repeat(2, 1), box.repeat(2, 1), label.repeat(2), torch.tensor([0.9, 0.8])
    assert model.associate(memory, *pair, torch.tensor([0.0, 0.0])).tolist() == [1, -1]
    assert model.associate(memory, *pair, torch.tensor([0.8, 0.0])).tolist() == [-1, 1]


def test_match_power_reaches_the_association_and_no_mask_is_lost(
    build_tiny_model: Callable[..., OccMaskTrackRCNN], tiny_frames: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[torch.Tensor | None] = []
    model = build_tiny_model({"memory.occlusion": {"match_power": 1.0}})
    associate = model.associate
    monkeypatch.setattr(model, "associate", lambda *a: told.append(a[-1]) or associate(*a))
    results, _ = run(model, tiny_frames[:2])
    assert [hidden is not None and bool((hidden > 0).all()) for hidden in told] == [True, True]
    for result in results:
        assert len(result) and len(result.masks) == len(result) and all(np.isfinite(result.hidden))


def test_occlusion_that_is_not_reported_still_guides_the_memory(
    build_tiny_model: Callable[..., OccMaskTrackRCNN], tiny_frames: list[np.ndarray]
) -> None:
    told, remembered = run(build_tiny_model(RULES), tiny_frames)
    silent, silently = run(build_tiny_model(RULES | {"occlusion.enabled": False}), tiny_frames)
    assert [r.track_ids.tolist() for r in told] == [r.track_ids.tolist() for r in silent]
    assert torch.equal(remembered, silently)
    assert all(r.occluder_masks is None and r.hidden is None and r.order is None for r in silent)
    assert any(r.order is not None and r.order.pairs() for r in told), "or there was nothing to guide it"


def test_a_model_that_knows_no_order_tells_the_memory_nothing(
    build_tiny_model: Callable[..., OccMaskTrackRCNN], tiny_frames: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    model = build_tiny_model(RULES | {"occlusion.order_known": False, "occlusion.enabled": False})
    make = model._new_memory

    def listen(**changes: Any) -> Any:
        memory = make(**changes)
        update = memory.update
        memory.update = lambda *a, **k: told.append((k["hidden"], k["in_front"])) or update(*a, **k)
        return memory

    monkeypatch.setattr(model, "_new_memory", listen)
    run(model, tiny_frames[:2])
    assert told == [(None, None)] * 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"memory.occlusion": {"neer": 1.0}}, "unexpected keyword argument 'neer'"),
        ({"memory.occlusion": {"near": 2.0}}, r"near are in \[0, 1\]"),
        ({"memory.occlusion": {"motion": "fast"}}, "Unknown motion 'fast'"),
    ],
)
def test_rules_that_do_not_exist_are_refused_when_the_model_is_built(
    build_tiny_model: Callable[..., OccMaskTrackRCNN], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        build_tiny_model(changes)
