"""A training that is resumed draws what it would have drawn."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import os
import random
import shutil
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vos_occ.datasets.synthetic import write_dataset
from vos_occ.inference.stopping import Stopped
from vos_occ.models.video.masktrack import OccMaskTrackRCNN
from vos_occ.training import train
from vos_occ.training.random_states import random_states, set_random_states

SCHEDULE = """
model["detector"]["train_cfg"]["rpn"]["allowed_border"] = -1
default_scope = "mmdet"
custom_imports = dict(imports=["vos_occ.models.video.masktrack", "vos_occ.models.bilayer", "vos_occ.datasets.pairs"])
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    collate_fn=dict(type="pseudo_collate"),
    dataset=dict(
        type="FramePairs",
        classes=classes,
        sources=[dict(type="YtvisFrames", ann_file="{root}/annotations_ytvis.json", image_root="{root}/frames")],
        pipeline=[dict(type="OccRandomScaleCrop", size=(96, 160)), dict(type="OccRandomFlip")],
    ),
)
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="AdamW", lr=1e-3))
param_scheduler = [dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=4)]
train_cfg = dict(type="IterBasedTrainLoop", max_iters=5, val_interval=10**9)
default_hooks = dict(checkpoint=dict(type="CheckpointHook", by_epoch=False, interval=1))
custom_hooks = [dict(type="EMAHook", ema_type="ExpMomentumEMA", update_buffers=True)]
log_processor = dict(by_epoch=False)
randomness = dict(seed=0)
"""


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


@pytest.fixture(scope="module")
def config(tiny_config_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("training")
    write_dataset(root, "train", (0, 1), image_format="png", height=96, width=160, num_frames=4)
    path = root / "tiny_train.py"
    path.write_text(tiny_config_file.read_text() + SCHEDULE.replace("{root}", str(root)))
    return path


def run(config: Path, work_dir: Path, more: Sequence[str] = (), **arguments: Any) -> dict[str, Any]:
    """Trains; the last checkpoint."""
    train(config, work_dir=work_dir, options=[f"experiment_name={work_dir.name}", *more], **arguments)
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
    config: Path, tmp_path_factory: pytest.TempPathFactory, whole: dict[str, Any], broken_after: int
) -> None:
    before, work_dir = whole["work_dir"], tmp_path_factory.mktemp("resumed")
    shutil.copy(before / f"iter_{broken_after}.pth", work_dir)
    (work_dir / "last_checkpoint").write_text(str(work_dir / f"iter_{broken_after}.pth"))
    numbers()  # whatever else the new process may have drawn
    resumed = run(config, work_dir, resume=True)
    parts = ("state_dict", "ema_state_dict", "optimizer", "param_schedulers", "random_states")
    for part in parts:
        expected, found = flat(whole["checkpoint"][part]), flat(resumed[part])
        assert expected.keys() == found.keys()
        different = [name for name in expected if not same(expected[name], found[name])]
        assert different == [], part


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_training_that_is_stopped_saves_its_step_and_goes_on_from_there(
    config: Path, whole: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
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
            run(config, tmp_path, more=["default_hooks.checkpoint.interval=100"])
    assert [path.name for path in tmp_path.glob("*.pth")] == ["iter_2.pth"]
    resumed = run(config, tmp_path, resume=True)
    weights, expected = flat(resumed["state_dict"]), flat(whole["checkpoint"]["state_dict"])
    assert [name for name in expected if not same(weights[name], expected[name])] == []


def same(a: Any, b: Any) -> bool:
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


@pytest.fixture(scope="module")
def whole(config: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    work_dir = tmp_path_factory.mktemp("whole")
    return {"work_dir": work_dir, "checkpoint": run(config, work_dir)}


def test_without_the_states_the_runs_differ(
    config: Path,
    whole: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So that the test above has something to find."""
    keep: Callable[..., None] = lambda *_: None  # noqa: E731
    monkeypatch.setattr("vos_occ.training.random_states.set_random_states", keep)
    shutil.copy(whole["work_dir"] / "iter_3.pth", tmp_path)
    (tmp_path / "last_checkpoint").write_text(str(tmp_path / "iter_3.pth"))
    resumed = run(config, tmp_path, resume=True)
    weights, expected = flat(resumed["state_dict"]), flat(whole["checkpoint"]["state_dict"])
    assert any(not same(weights[name], expected[name]) for name in expected)
