"""A loss that is no number ends the training in one line, and no checkpoint holds what came of it."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, MODELS
from mmengine.structures import BaseDataElement
from torch import Tensor, nn
from torch.utils.data import Dataset

from vos_occ.training import train
from vos_occ.training.finite_losses import NotFiniteError

CONFIG = """
default_scope = "mmengine"
model = dict(type="SlippingModel", bad_step={bad_step}, bad_value="{bad_value}", bad_part="{bad_part}")
train_dataloader = dict(
    batch_size=2, num_workers=0, dataset=dict(type="NumberedImages"), collate_fn=dict(type="pseudo_collate"),
    sampler=dict(type="InfiniteSampler", shuffle=False))
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.1))
train_cfg = dict(type="IterBasedTrainLoop", max_iters=4, val_interval=10**9)
default_hooks = dict(
    checkpoint=dict(type="CheckpointHook", by_epoch=False, interval=1), logger=dict(type="LoggerHook", interval=2))
log_processor = dict(by_epoch=False)
"""


MIXED: set[bool] = set()


class SlippingModel(BaseModel):
    """A weight that is learned until, at one step, a loss or a gradient is no number."""

    def __init__(self, bad_step: int, bad_value: str, bad_part: str) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.bad_step, self.bad_value, self.bad_part = bad_step, float(bad_value), bad_part
        self.steps = 0
        MIXED.clear()

    def forward(self, inputs: list[Tensor], data_samples: list[BaseDataElement], mode: str) -> dict[str, Any]:
        self.steps += 1
        MIXED.add(torch.is_autocast_enabled("cpu"))
        bad = self.steps == self.bad_step
        if bad and self.bad_part == "gradient":
            self.weight.register_hook(lambda gradient: gradient * self.bad_value)
        factor = self.bad_value if bad and self.bad_part == "loss" else 1.0
        return {
            "loss_mask": self.weight**2,
            "loss_box": [self.weight, self.weight * factor],
            "mask_iou": torch.tensor(self.steps / 10),
        }


class NumberedImages(Dataset):
    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"inputs": torch.zeros(1), "data_samples": BaseDataElement(metainfo={"img_id": 100 + index})}


@pytest.fixture(autouse=True)
def registered() -> Any:
    MODELS.register_module(module=SlippingModel)
    DATASETS.register_module(module=NumberedImages)
    yield
    MODELS._module_dict.pop("SlippingModel")
    DATASETS._module_dict.pop("NumberedImages")


def config(folder: Path, step: int = 3, value: str = "nan", part: str = "loss") -> Path:
    path = folder / f"slip_{step}_{value.strip('-')}_{part}.py"
    path.write_text(CONFIG.format(bad_step=step, bad_value=value, bad_part=part))
    return path


def saved(work: Path) -> list[str]:
    return sorted(path.name for path in work.glob("*.pth"))


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_term_step_and_images_are_named_and_earlier_checkpoints_stay(value: str, tmp_path: Path) -> None:
    with pytest.raises(NotFiniteError) as raised:
        train(config(tmp_path, value=value), work_dir=tmp_path / "work")
    message = str(raised.value)
    assert f"loss_box is {value} at step 3 (images 104, 105)" in message and "loss_mask" not in message
    assert f"the last checkpoint is {tmp_path / 'work' / 'iter_2.pth'}" in message and "\n" not in message
    assert saved(tmp_path / "work") == ["iter_1.pth", "iter_2.pth"]
    weights = torch.load(tmp_path / "work/iter_2.pth", weights_only=False)["state_dict"]
    assert weights["weight"].isfinite()


def test_weights_that_a_gradient_spoiled_are_not_saved(tmp_path: Path) -> None:
    with pytest.raises(NotFiniteError, match=r"weights of weight are not finite after step 2 \(images 102, 103\)"):
        train(config(tmp_path, step=2, part="gradient"), work_dir=tmp_path / "work")
    assert saved(tmp_path / "work") == ["iter_1.pth"]


def test_the_first_step_says_that_nothing_was_saved_and_the_tool_exits_with_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tool().main([str(config(tmp_path, step=1)), "--work-dir", str(tmp_path / "work")]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()[-1:]
    assert line.startswith("train: loss_box is nan at step 1 (images 100, 101).")
    assert "no checkpoint was saved yet" in line and not saved(tmp_path / "work")


def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("train_tool", Path(__file__).parents[2] / "tools/train.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_training_of_numbers_ends_as_ever_and_may_accumulate_gradients(tmp_path: Path) -> None:
    work = tmp_path / "work"
    train(config(tmp_path, step=99), work_dir=work, options=["optim_wrapper.accumulative_counts=2"])
    assert saved(work) == [f"iter_{i}.pth" for i in (1, 2, 3, 4)]


def test_measures_are_logged_as_means_of_the_last_steps(tmp_path: Path) -> None:
    # mmengine gives the log of an earlier run of the same name and second
    options = ["log_processor.window_size=3", "experiment_name=measures"]
    train(config(tmp_path, step=99), work_dir=tmp_path / "work", options=options)
    (log,) = (tmp_path / "work").glob("*/vis_data/scalars.json")
    logged = {line["step"]: line["mask_iou"] for line in map(json.loads, log.read_text().splitlines())}
    assert logged == {2: pytest.approx(0.15), 4: pytest.approx(0.3)}


@pytest.mark.parametrize("mixed", [True, False])
def test_the_option_amp_reaches_the_forward_pass(mixed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    arguments = [str(config(tmp_path, step=99)), "--work-dir", str(tmp_path / "work"), *["--amp"] * mixed]
    assert tool().main(arguments) == 0
    assert list(MIXED) == [mixed] and saved(tmp_path / "work")
