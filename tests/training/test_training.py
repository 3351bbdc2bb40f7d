from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from vos_occ.checkpoints.files import load_checkpoint
from vos_occ.inference.export import export_checkpoint
from vos_occ.inference.load import load
from vos_occ.structures.errors import CheckpointError, InputError, OutputExistsError
from vos_occ.training import parse_options, read_config, train

Run = Callable[..., Path]
TWO_STEPS = "train_cfg.max_iters=2"


@pytest.fixture(scope="module")
def trained(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("work"), TWO_STEPS)


def losses(work_dir: Path) -> list[dict[str, Any]]:
    """The logged steps of all runs in a work dir, in order of time."""
    logs = sorted(work_dir.glob("*/vis_data/scalars.json"))
    return [json.loads(line) for log in logs for line in log.read_text().splitlines()]


def test_every_kind_of_loss_is_logged_and_finite(trained: Path) -> None:
    steps = losses(trained)
    assert [step["step"] for step in steps] == [1, 2]
    for name in ("loss_rpn_cls", "loss_bbox", "loss_mask", "loss_mask_occluder", "loss_hidden", "loss_match"):
        assert all(torch.isfinite(torch.tensor(step[name])) for step in steps), name
    assert sorted(path.name for path in trained.glob("*.pth")) == ["iter_1.pth", "iter_2.pth"]


def test_steps_change_the_weights_that_are_not_frozen(trained: Path) -> None:
    first, second = (load_checkpoint(trained / f"iter_{i}.pth").state_dict for i in (1, 2))
    moved = {name for name in first if not torch.equal(first[name], second[name])}
    for part in ("detector.rpn_head", "detector.roi_head.mask_head", "track_head"):
        assert any(name.startswith(part) for name in moved), part
    assert "detector.backbone.conv1.weight" not in moved


def test_resume_goes_on_where_the_run_ended(run: Run, trained: Path, tmp_path: Path) -> None:
    began_with = f"load_from={trained / 'iter_1.pth'}"  # not what is resumed
    run(tmp_path, TWO_STEPS, began_with)
    run(tmp_path, began_with, "train_cfg.max_iters=3", resume=True)
    assert [step["step"] for step in losses(tmp_path)] == [1, 2, 3]
    state = load_checkpoint(tmp_path / "iter_3.pth")
    assert state.metadata["iter"] == "3"


def test_resume_refuses_a_checkpoint_that_runs_code(config: Path, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Callable, tuple]:
            return print, ("this must never be printed",)

    torch.save({"state_dict": Evil(), "meta": {}}, tmp_path / "iter_1.pth")
    (tmp_path / "last_checkpoint").write_text(str(tmp_path / "iter_1.pth"))
    with pytest.raises(CheckpointError, match="--trust-checkpoint"):
        train(config, work_dir=tmp_path, resume=True)


def test_one_seed_gives_one_training(run: Run, trained: Path, tmp_path: Path) -> None:
    again = run(tmp_path, TWO_STEPS, seed=0)
    assert [step["loss"] for step in losses(again)] == [step["loss"] for step in losses(trained)]


def test_checkpoints_of_an_earlier_run_are_not_written_over(config: Path, trained: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in trained.rglob("*") if path.is_file()}
    with pytest.raises(OutputExistsError, match="Use --resume to go on, or --overwrite"):
        train(config, work_dir=trained)
    assert {path.name: path.stat().st_mtime_ns for path in trained.rglob("*") if path.is_file()} == before


def test_a_training_checkpoint_exports_to_one_file_that_needs_no_config(
    config: Path, trained: Path, tmp_path: Path
) -> None:
    size = export_checkpoint(config, trained / "iter_2.pth", tmp_path / "tiny.safetensors", trained_on="two videos")
    assert size == (tmp_path / "tiny.safetensors").stat().st_size
    model, averaged = (
        load(tmp_path / "tiny.safetensors", fuse=False),
        load_checkpoint(trained / "iter_2.pth").state_dict,
    )
    assert load_checkpoint(tmp_path / "tiny.safetensors").metadata["trained_on"] == "two videos"
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, averaged[name], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = (", "SyntaxError"),
        ("model = dict(type=undefined)", "NameError: name 'undefined' is not defined"),
        ("_base_ = ['absent.py']", "absent.py"),
        ("x = 1 / 0", "ZeroDivisionError: division by zero"),
    ],
    ids=["syntax error", "undefined name", "absent base", "failing code"],
)
def test_a_config_that_cannot_be_read_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "broken.py"
    path.write_text(text + "\n")
    with pytest.raises(InputError, match=message) as error:
        read_config(path)
    assert "\n" not in str(error.value)


def test_a_config_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent.py' does not exist. The shipped ones are in configs/"):
        read_config(tmp_path / "absent.py")


def test_a_config_without_a_model_is_not_trained(tmp_path: Path) -> None:
    (tmp_path / "empty.py").write_text("x = 1\n")
    with pytest.raises(InputError, match="has no `model`, which training needs"):
        train(tmp_path / "empty.py", work_dir=tmp_path / "work")
    assert not (tmp_path / "work").exists()


def test_classes_and_detector_must_agree(config: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="names 6 classes, but num_classes of its model's bbox_head is 3"):
        train(config, work_dir=tmp_path / "work", options=["model.detector.roi_head.bbox_head.num_classes=3"])


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("model.type=NoSuchModel", "NoSuchModel is not in the mmdet::model registry"),
        ("model.detector.backbone.deptth=18", "unexpected keyword argument 'deptth'"),
        ("train_cfg.max_iter=20", "unexpected keyword argument 'max_iter'"),
        ("train_dataloader.dataset.sources.0.imageroot=x", "unexpected keyword argument 'imageroot'"),
        ("optim_wrapper.optimizer.type=Admm", "cannot be built"),
        ("optim_wrapper.optimizer.learning_rate=1", "unexpected keyword argument 'learning_rate'"),
    ],
)
def test_a_config_that_cannot_be_built_is_one_line(config: Path, tmp_path: Path, option: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        train(config, work_dir=tmp_path, options=[option])
    assert "\n" not in str(error.value)


def test_several_processes_need_gpus(config: Path, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(InputError, match="needs a GPU for each, and there is none"):
        train(config, work_dir=tmp_path, launcher="pytorch")


def test_classes_that_are_a_text_are_refused(config: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is the text 'person', expected names: classes = \('person',\) with a comma"):
        train(config, work_dir=tmp_path, options=["classes=person"])


def test_options_override_the_config(tmp_path: Path) -> None:
    path = tmp_path / "config.py"
    path.write_text("a = dict(b=1)\nc = [1, 2]\n")
    config = read_config(path, ["a.b=2.5", "c=[3,4]", "d.e=yes", "f=None"])
    assert (config.a.b, list(config.c), config.d.e, config.f) == (2.5, [3, 4], "yes", None)


@pytest.mark.parametrize("option", ["a.b", "=1", ""])
def test_an_option_without_key_or_value_is_refused(option: str) -> None:
    with pytest.raises(InputError, match="is not of the form key=value"):
        parse_options([option])


def test_an_option_that_does_not_fit_the_config_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.py"
    path.write_text("c = [1, 2]\n")
    with pytest.raises(InputError, match="c.7=1 do not fit"):
        read_config(path, ["c.7=1"])
