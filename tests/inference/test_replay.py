"""What was recorded of a video gives, tracked again, the results of the session that saw it."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vos_occ.inference.replay import Recording, record, replay, with_options
from vos_occ.inference.session import VideoSession
from vos_occ.models.video.masktrack import OccMaskTrackRCNN
from vos_occ.structures import FrameResult
from vos_occ.structures.errors import InputError, OutputExistsError

OPTIONS = {
    "as the model": {},
    "gated": {"memory.momentum": 0.7, "memory.occlusion.embedding_power": 4.0, "memory.occlusion.weigh_views": True},
    "searched": {"memory.occlusion.near": 0.5, "memory.occlusion.motion": "occluder", "memory.retain_frames": 2},
    "hungarian": {"association.method": "hungarian", "occlusion.keep_embedding_above": 0.1},
}


def session(model: OccMaskTrackRCNN, frames: list[np.ndarray]) -> list[FrameResult]:
    running = VideoSession(model, len(frames))
    return [result for frame in frames for result in running.step(frame)]


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_replayed_video_equals_the_session(
    tiny_model: OccMaskTrackRCNN, tiny_frames: list[np.ndarray], tmp_path: Path, options: dict
) -> None:
    model = with_options(tiny_model, options)
    record(tiny_model, tiny_frames).save(tmp_path / "video.npz")
    replayed = list(replay(model, Recording.load(tmp_path / "video.npz")))
    seen = session(model, tiny_frames)
    assert sum(map(len, seen)) > 0
    for ours, expected in zip(replayed, seen, strict=True):
        assert ours.track_ids.tolist() == expected.track_ids.tolist()
        assert ours.masks == expected.masks and ours.occluder_masks == expected.occluder_masks
        np.testing.assert_array_equal(ours.boxes, expected.boxes)
        np.testing.assert_allclose(ours.hidden, expected.hidden, atol=1e-6)  # fewer RoIs at once add up otherwise
        assert (ours.order.matrix == expected.order.matrix).all()


def test_a_model_with_other_options_leaves_the_first_as_it_was(tiny_model: OccMaskTrackRCNN) -> None:
    before = repr((tiny_model.memory_options, tiny_model.association_options, tiny_model.occlusion_options))
    changed = with_options(tiny_model, OPTIONS["gated"] | OPTIONS["hungarian"])
    assert changed.memory_options["occlusion"] == {"embedding_power": 4.0, "weigh_views": True}
    assert repr((tiny_model.memory_options, tiny_model.association_options, tiny_model.occlusion_options)) == before
    assert next(changed.parameters()) is next(tiny_model.parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"memory.momentun": 0.5}, "unexpected keyword argument 'momentun'"),
        ({"memory.occlusion.near": 7.0}, r"near are in \[0, 1\]"),
        ({"occlusion.nearness": 1.0}, "Occlusion has no option 'nearness'"),
        ({"test_scale": 3}, "There is no option 'test_scale'"),
    ],
)
def test_options_that_do_not_exist_are_refused(tiny_model: OccMaskTrackRCNN, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        with_options(tiny_model, options)


def test_a_recording_of_another_network_is_refused(build_tiny_model: Callable, tiny_frames: list[np.ndarray]) -> None:
    model = build_tiny_model()
    recording = record(model, tiny_frames[:1])
    others = [build_tiny_model({"test_scale": [96, 64]}), build_tiny_model(), build_tiny_model()]
    others[1].checkpoint_sha256 = "f" * 64
    others[2].score_threshold = 0.9
    for other in others:
        with pytest.raises(InputError, match="Record the video again"):
            list(replay(other, recording))
    assert len(list(replay(build_tiny_model({"memory.momentum": 0.5}), recording))) == 1


def test_a_fused_model_with_the_plain_head_is_replayed(
    build_tiny_model: Callable, tiny_frames: list[np.ndarray]
) -> None:
    """None of its layers keeps a parameter."""
    head = {"_delete_": True, "type": "PlainMaskHead", "num_convs": 1, "in_channels": 16, "conv_out_channels": 16}
    model = build_tiny_model({"detector.roi_head.mask_head": head | {"num_classes": 6}})
    model.fuse()
    assert sum(map(len, replay(model, record(model, tiny_frames[:2])))) > 0


def test_what_a_model_does_not_report_is_recorded_for_options_that_ask_for_it(
    tiny_model: OccMaskTrackRCNN, tiny_frames: list[np.ndarray]
) -> None:
    silent = with_options(tiny_model, {"occlusion.enabled": False})
    searching = with_options(silent, OPTIONS["searched"])
    replayed = list(replay(searching, record(silent, tiny_frames)))
    expected = session(searching, tiny_frames)
    assert [result.track_ids.tolist() for result in replayed] == [result.track_ids.tolist() for result in expected]
    assert all(result.occluder_masks is None and result.hidden is None for result in replayed)


def test_recordings_are_not_replaced_unasked_and_other_files_are_refused(
    tiny_model: OccMaskTrackRCNN, tiny_frames: list[np.ndarray], tmp_path: Path
) -> None:
    recording = record(tiny_model, tiny_frames[:1])
    recording.save(tmp_path / "a.npz")
    with pytest.raises(OutputExistsError):
        recording.save(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", boxes=np.zeros((1, 4)))
    (tmp_path / "c.npz").write_text("nothing of the kind")
    (tmp_path / "d.npz").touch()
    for name in ("absent.npz", "b.npz", "c.npz", "d.npz"):
        with pytest.raises(InputError, match=f"{name}' is no recording"):
            Recording.load(tmp_path / name)


def test_frames_of_two_sizes_and_videos_of_none_are_refused(
    tiny_model: OccMaskTrackRCNN, tiny_frames: list[np.ndarray]
) -> None:
    with pytest.raises(InputError, match="Frame 1 is"):
        record(tiny_model, [tiny_frames[0], tiny_frames[0][:50]])
    with pytest.raises(InputError, match="at least one frame"):
        record(tiny_model, [])
