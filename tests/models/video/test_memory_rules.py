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
