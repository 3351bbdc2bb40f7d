"""Runs over a dataset that end early: nothing half-written is taken for done, and the rest gives the same bytes."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eval.readers.ytvis import YtvisDataset
from vos_occ.inference.benchmark import run_dataset
from vos_occ.inference.shares import Worker
from vos_occ.inference.stopping import Stopped, StopSignals
from vos_occ.models.video.contract import VideoMeta
from vos_occ.structures import FrameResult
from vos_occ.structures.errors import InputError, OutputExistsError, UserError


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run(oracle: Callable, truth: YtvisDataset, world: Path, out: Path, **options: object) -> list[int]:
    """Runs the videos that are to be run, in the order of the oracle's knowledge; the ids of the frames' videos."""
    seen: list[int] = []
    run_dataset(oracle(), truth, world / "frames", out, on_frame=lambda video: seen.append(video.id), **options)
    return seen


@pytest.fixture
def whole(oracle: Callable, truth: YtvisDataset, world: Path, tmp_path: Path) -> dict[str, bytes]:
    run(oracle, truth, world, tmp_path / "whole")
    return files(tmp_path / "whole")


def killed(action: Callable[[], object]) -> None:
    """Does it in a process of its own, which must die of SIGKILL."""
    child = os.fork()
    if child == 0:
        try:
            action()
        finally:
            os._exit(0)  # also on an error: else the child would go on with the tests
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@pytest.mark.parametrize("after_frame", [1, 7, 8, 9, 16])
def test_a_run_killed_at_any_frame_resumes_to_the_same_bytes(
    oracle: Callable, truth: YtvisDataset, world: Path, tmp_path: Path, whole: dict[str, bytes], after_frame: int
) -> None:
    out, count = tmp_path / "out", [0]

    def kill(_: object) -> None:
        count[0] += 1
        if count[0] == after_frame:
            os.kill(os.getpid(), signal.SIGKILL)

    killed(lambda: run_dataset(oracle(), truth, world / "frames", out, on_frame=kill))
    left = files(out)
    done = [video for video in truth.videos if f"shards/{video.id}.json" in left]
    assert len(done) == (after_frame - 1) // 8, "a kill loses at most the video in progress"
    assert all(left[name] == whole[name] for name in left if "part" not in name)
    rest = [video for video in truth.videos if video not in done]
    run_dataset(oracle(videos=rest), truth, world / "frames", out, resume=True)
    assert files(out) == whole


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("rename", range(6))  # run.json, then JSONL and shard of two videos, then results.json
def test_a_run_killed_at_any_rename_resumes_to_the_same_bytes(
    oracle: Callable,
    truth: YtvisDataset,
    world: Path,
    tmp_path: Path,
    whole: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    rename: int,
    moment: str,
) -> None:
    out, replaced, count = tmp_path / "out", os.replace, [0]

    def replace_or_die(source: Path, target: Path) -> None:
        if moment == "after":
            replaced(source, target)
        if count[0] == rename:
            os.kill(os.getpid(), signal.SIGKILL)
        if moment == "before":
            replaced(source, target)
        count[0] += 1

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace_or_die)
        killed(lambda: run(oracle, truth, world, out))
    assert all(content == whole[name] for name, content in files(out).items() if "part" not in name)
    rest = [video for video in truth.videos if f"shards/{video.id}.json" not in files(out)]
    run_dataset(oracle(videos=rest), truth, world / "frames", out, resume=True)
    assert files(out) == whole


def test_what_is_done_is_not_run_again(oracle: Callable, truth: YtvisDataset, world: Path, tmp_path: Path) -> None:
    run(oracle, truth, world, tmp_path)
    before = files(tmp_path)
    assert run(oracle, truth, world, tmp_path, resume=True) == []
    assert files(tmp_path) == before


def test_a_run_of_another_model_is_not_resumed(
    oracle: Callable, truth: YtvisDataset, world: Path, tmp_path: Path
) -> None:
    run(oracle, truth, world, tmp_path)
    before = files(tmp_path)
    other = oracle()
    other.checkpoint_sha256 = "another"
    with pytest.raises(InputError, match="had another checkpoint_sha256: None, now another. Resume with what it began"):
        run_dataset(other, truth, world / "frames", tmp_path, resume=True)
    other = oracle()
    other.options = {"memory": {"momentum": 0.5}}
    with pytest.raises(InputError, match="another options: None, now {'memory': {'momentum': 0.5}}"):
        run_dataset(other, truth, world / "frames", tmp_path, resume=True)
    with pytest.raises(InputError, match="another videos_sha256"):
        fewer = replace(truth, videos=truth.videos[:1])
        run_dataset(oracle(), fewer, world / "frames", tmp_path, resume=True)
    with pytest.raises(OutputExistsError):
        run(oracle, truth, world, tmp_path)
    assert files(tmp_path) == before


def test_a_full_disk_is_one_line_and_keeps_what_is_done(
    oracle: Callable, truth: YtvisDataset, world: Path, tmp_path: Path, whole: dict[str, bytes]
) -> None:
    out, count = tmp_path / "out", [0]

    def fill(_: object) -> None:
        count[0] += 1
        if count[0] == 12:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(UserError, match="Cannot write '.*2.jsonl': No space left on device") as error:
        run_dataset(oracle(), truth, world / "frames", out, on_frame=fill)
    assert "\n" not in str(error.value)
    first = truth.videos[0].id
    assert files(out) == {name: whole[name] for name in ("run.json", f"jsonl/{first}.jsonl", f"shards/{first}.json")}


def test_shares_are_even_and_complete_and_in_order(truth: YtvisDataset) -> None:
    lengths = [150, 3, 80, 80, 40, 100, 1]
    videos = [replace(truth.videos[0], id=i, length=length, file_names=()) for i, length in enumerate(lengths)]
    shares = [Worker(rank, 3).share(videos) for rank in range(3)]
    assert sorted(video.id for share in shares for video in share) == list(range(7))
    assert [sum(video.length for video in share) for share in shares] == [150, 144, 160]
    assert all([v.id for v in share] == sorted(v.id for v in share) for share in shares)
    assert Worker(5, 9).share(videos[:2]) == []


def test_torchrun_says_which_worker_this_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Worker.from_environment() == Worker(0, 1)
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert Worker.from_environment() == Worker(2, 4)
    assert not Worker.from_environment().is_first
    monkeypatch.setenv("RANK", "4")
    with pytest.raises(InputError, match="rank in 0..3, found 4"):
        Worker.from_environment()


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_between_frames_with_a_line_and_the_code_of_a_shell(number: signal.Signals, code: int) -> None:
    before = signal.getsignal(number)
    with StopSignals() as stop:
        stop.check("not yet")
        os.kill(os.getpid(), number)
        assert signal.getsignal(number) == before, "a second signal is not held back"
        with pytest.raises(Stopped, match=rf"^Stopped by {number.name}. Go on with --resume\.$") as error:
            stop.check("Go on with --resume.")
    assert error.value.exit_code == code
    assert signal.getsignal(number) == before


@dataclass
class LateState:
    meta: VideoMeta
    inner: Any
    owed: list[FrameResult]


class Late:
    """Answers some frames late and all in the end, as a model that looks at frames to come.

    Args:
        model: answers at once.
        frames: how many late.
    """

    def __init__(self, model: Any, frames: int) -> None:
        self.classes, self.name, self.checkpoint_sha256 = model.classes, model.name, model.checkpoint_sha256
        self._model, self._frames = model, frames

    def new_state(self, meta: VideoMeta) -> LateState:
        return LateState(meta, self._model.new_state(meta), [])

    def step(self, state: LateState, image: np.ndarray, frame_index: int) -> list[FrameResult]:
        state.owed += self._model.step(state.inner, image, frame_index)
        return [state.owed.pop(0)] if len(state.owed) > self._frames else []

    def finish(self, state: LateState) -> list[FrameResult]:
        return state.owed


@pytest.mark.parametrize("frames", [5, 20])  # the videos have 8
def test_a_model_that_answers_late_resumes_to_the_same_bytes(
    oracle: Callable, truth: YtvisDataset, world: Path, tmp_path: Path, whole: dict[str, bytes], frames: int
) -> None:
    out, count = tmp_path / "out", [0]

    def kill(_: object) -> None:
        count[0] += 1
        if count[0] == 10:
            os.kill(os.getpid(), signal.SIGKILL)

    killed(lambda: run_dataset(Late(oracle(), frames), truth, world / "frames", out, on_frame=kill))
    assert f"shards/{truth.videos[0].id}.json" in files(out) and "results.json" not in files(out)
    run_dataset(Late(oracle(videos=truth.videos[1:]), frames), truth, world / "frames", out, resume=True)
    assert files(out) == whole
