from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from vos_occ.inference.run import track
from vos_occ.inference.session import VideoSession
from vos_occ.media import Frame
from vos_occ.models.video.contract import VideoMeta
from vos_occ.models.video.masktrack import OccMaskTrackRCNN
from vos_occ.structures import FrameResult
from vos_occ.structures.errors import InputError


@dataclass
class LateState:
    meta: VideoMeta
    waiting: list[int] = field(default_factory=list)


class LateModel:
    """Answers three frames late, as models do that look ahead."""

    classes = ("thing",)
    delay = 3

    def new_state(self, meta: VideoMeta) -> LateState:
        return LateState(meta)

    def step(self, state: LateState, image: np.ndarray, frame_index: int) -> list[FrameResult]:
        state.waiting.append(frame_index)
        return self._answer(state, self.delay)

    def finish(self, state: LateState) -> list[FrameResult]:
        return self._answer(state, 0)

    def _answer(self, state: LateState, keep: int) -> list[FrameResult]:
        ready = [state.waiting.pop(0) for _ in range(max(0, len(state.waiting) - keep))]
        return [FrameResult.empty(t, state.meta.height, state.meta.width) for t in ready]


def blank(height: int = 20, width: int = 30, dtype: type = np.uint8, channels: int = 3) -> np.ndarray:
    return np.zeros((height, width, channels), dtype)


def assert_same(a: Sequence[FrameResult], b: Sequence[FrameResult]) -> None:
    assert len(a) == len(b)
    for x, y in zip(a, b, strict=True):
        assert x.frame_index == y.frame_index
        np.testing.assert_array_equal(x.track_ids, y.track_ids)
        np.testing.assert_array_equal(x.boxes, y.boxes)
        np.testing.assert_array_equal(x.hidden, y.hidden)
        assert x.masks == y.masks


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (blank(dtype=np.float32), r"expected an \(H, W, 3\) uint8 RGB image, found \(20, 30, 3\) float32"),
        (blank(channels=4), r"found \(20, 30, 4\) uint8"),
        (np.zeros((20, 30), np.uint8), r"found \(20, 30\) uint8"),
        (blank(height=0), r"found \(0, 30, 3\) uint8"),
    ],
    ids=["float", "alpha", "grey", "no pixels"],
)
def test_only_rgb_bytes_are_taken(image: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        VideoSession(LateModel()).step(image)


def test_a_frame_of_another_size_is_refused_and_the_session_goes_on() -> None:
    session = VideoSession(LateModel())
    session.step(blank())
    with pytest.raises(InputError, match="Frame 1 is 31x20, but the video began with 30x20"):
        session.step(blank(width=31))
    session.step(blank())
    assert [result.frame_index for result in session.finish()] == [0, 1]


def test_late_answers_come_in_order_and_finish_gives_the_rest() -> None:
    session = VideoSession(LateModel())
    answers = [[r.frame_index for r in session.step(blank())] for _ in range(5)]
    assert answers == [[], [], [], [0], [1]]
    assert [r.frame_index for r in session.finish()] == [2, 3, 4]


def test_nothing_follows_the_end() -> None:
    session = VideoSession(LateModel())
    session.step(blank())
    assert len(session.finish()) == 1
    assert session.finish() == []
    with pytest.raises(RuntimeError, match="finished"):
        session.step(blank())


def test_a_session_without_frames_owes_nothing() -> None:
    assert VideoSession(LateModel()).finish() == []


def test_track_hands_every_frame_its_own_result() -> None:
    frames = [Frame(index, index / 10, np.full((20, 30, 3), index, np.uint8)) for index in range(7)]
    pairs = list(track(LateModel(), frames))
    assert [(frame.index, result.frame_index) for frame, result in pairs] == [(t, t) for t in range(7)]


def test_track_holds_no_more_frames_than_the_model_owes() -> None:
    taken = []

    def frames() -> Callable:
        for index in range(20):
            taken.append(index)
            yield Frame(index, None, blank())

    for _, result in track(LateModel(), frames()):
        assert len(taken) - result.frame_index <= LateModel.delay + 1 or len(taken) == 20


def test_two_interleaved_sessions_equal_two_run_apart(
    tiny_model: OccMaskTrackRCNN, tiny_frames: list[np.ndarray]
) -> None:
    videos = tiny_frames[:4], [np.ascontiguousarray(frame[:, ::-1]) for frame in tiny_frames[:4]]
    apart = []
    for video in videos:
        session = VideoSession(tiny_model)
        apart.append([result for frame in video for result in session.step(frame)])
    sessions = VideoSession(tiny_model), VideoSession(tiny_model)
    together: tuple[list, list] = [], []
    for pair in zip(*videos, strict=True):
        for session, frame, results in zip(sessions, pair, together, strict=True):
            results += session.step(frame)
    assert sum(len(result) for result in apart[0]) > 4
    assert_same(apart[0], together[0])
    assert_same(apart[1], together[1])


def test_a_session_leaves_the_weights_alone(tiny_model: OccMaskTrackRCNN, tiny_frames: list[np.ndarray]) -> None:
    before = {name: tensor.clone() for name, tensor in tiny_model.state_dict().items()}
    VideoSession(tiny_model).step(tiny_frames[0])
    assert all(tensor.equal(before[name]) for name, tensor in tiny_model.state_dict().items())


def test_a_video_of_one_frame_works(tiny_model: OccMaskTrackRCNN, tiny_frames: list[np.ndarray]) -> None:
    assert [result.frame_index for _, result in track(tiny_model, [Frame(0, 0.0, tiny_frames[0])])] == [0]
