"""A training that is resumed draws what it would have drawn."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import os
import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vos_occ.inference.stopping import Stopped
from vos_occ.models.video.masktrack import OccMaskTrackRCNN
from vos_occ.training.random_states import random_states, set_random_states

Run = Callable[..., Path]


def numbers() -> list[Any]:
    return [random.random(), random.gauss(0, 1), np.random.rand(), np.random.randn(), float(torch.rand(()))]


def test_states_set_again_give_the_same_numbers() -> None:
    numbers()  # a normal draw leaves half of a pair behind
    states = random_states()
    first = numbers()
    numbers()
    set_random_states(states)
    assert numbers() == first


def test_states_are_what_a_safe_checkpoint_may_hold(tmp_path: Path) -> None:
    torch.save(random_states(), tmp_path / "states.pt")
    states = torch.load(tmp_path / "states.pt", weights_only=True)
    set_random_states(states)
    first = numbers()
    set_random_states(states)
    assert numbers() == first


def last(work_dir: Path) -> dict[str, Any]:
    """The last checkpoint of a run."""
    return torch.load(work_dir / "iter_5.pth", weights_only=False)


def flat(value: Any, name: str = "") -> dict[str, Any]:
    """Every tensor and number of a checkpoint by its path."""
    if isinstance(value, dict):
        items = [(str(key), item) for key, item in value.items()]
    elif isinstance(value, list | tuple):
        items = [(str(i), item) for i, item in enumerate(value)]
    else:
        return {name: value}
    return {key: leaf for part, item in items for key, leaf in flat(item, f"{name}/{part}").items()}


@pytest.mark.parametrize("broken_after", [1, 3])
def test_a_resumed_run_ends_bit_equal_to_one_without_a_break(
    run: Run, tmp_path_factory: pytest.TempPathFactory, whole: dict[str, Any], broken_after: int
) -> None:
    before, work_dir = whole["work_dir"], tmp_path_factory.mktemp("resumed")
    shutil.copy(before / f"iter_{broken_after}.pth", work_dir)
    (work_dir / "last_checkpoint").write_text(str(work_dir / f"iter_{broken_after}.pth"))
    numbers()  # whatever else the new process may have drawn
    resumed = last(run(work_dir, resume=True))
    parts = ("state_dict", "ema_state_dict", "optimizer", "param_schedulers", "random_states")
    for part in parts:
        expected, found = flat(whole["checkpoint"][part]), flat(resumed[part])
        assert expected.keys() == found.keys()
        different = [name for name in expected if not same(expected[name], found[name])]
        assert different == [], part


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_training_that_is_stopped_saves_its_step_and_goes_on_from_there(
    run: Run, whole: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    step = OccMaskTrackRCNN.loss

    def second_step_is_interrupted(model: OccMaskTrackRCNN, *arguments: Any, **options: Any) -> Any:
        steps.append(None)
        if len(steps) == 2:
            os.kill(os.getpid(), number)
        return step(model, *arguments, **options)

    steps: list[None] = []
    with monkeypatch.context() as patch:
        patch.setattr(OccMaskTrackRCNN, "loss", second_step_is_interrupted)
        with pytest.raises(Stopped, match=f"Stopped by {number.name}. Step 2 is saved in .* Go on with --resume"):
            run(tmp_path, "default_hooks.checkpoint.interval=100")
    assert [path.name for path in tmp_path.glob("*.pth")] == ["iter_2.pth"]
    resumed = last(run(tmp_path, resume=True))
    weights, expected = flat(resumed["state_dict"]), flat(whole["checkpoint"]["state_dict"])
    assert [name for name in expected if not same(weights[name], expected[name])] == []


def same(a: Any, b: Any) -> bool:
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


@pytest.fixture(scope="module")
def whole(run: Run, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    work_dir = run(tmp_path_factory.mktemp("whole"))
    return {"work_dir": work_dir, "checkpoint": last(work_dir)}


def test_without_the_states_the_runs_differ(
    run: Run, whole: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the test above has something to find."""
    keep: Callable[..., None] = lambda *_: None  # noqa: E731
    monkeypatch.setattr("vos_occ.training.random_states.set_random_states", keep)
    shutil.copy(whole["work_dir"] / "iter_3.pth", tmp_path)
    (tmp_path / "last_checkpoint").write_text(str(tmp_path / "iter_3.pth"))
    resumed = last(run(tmp_path, resume=True))
    weights, expected = flat(resumed["state_dict"]), flat(whole["checkpoint"]["state_dict"])
    assert any(not same(weights[name], expected[name]) for name in expected)
