from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from eval.evaluation import evaluate
from eval.readers.coco import read_coco
from eval.readers.ytvis import YtvisDataset
from vos_occ.checkpoints.files import load_checkpoint
from vos_occ.inference.benchmark import run_dataset
from vos_occ.inference.load import load
from vos_occ.inference.session import VideoSession
from vos_occ.media.image_source import read_image
from vos_occ.results.coco_results import coco_results, write_coco_results
from vos_occ.scoring import score_dataset
from vos_occ.structures.errors import InputError
from vos_occ.training import build_runner, read_config
from vos_occ.validation.config import complete_validation
from vos_occ.validation.loop import OccValLoop


def logged(work_dir: Path, key: str) -> list[dict[str, Any]]:
    """The lines of a run's log that have this key."""
    (log,) = work_dir.glob("*/vis_data/scalars.json")
    return [line for line in map(json.loads, log.read_text().splitlines()) if key in line]


def defined(scores: dict[str, float | None]) -> dict[str, float]:
    """Those that are numbers: mmengine's log of scalars leaves out the others."""
    return {name: value for name, value in scores.items() if value is not None}


@pytest.fixture(scope="module")
def validated(run: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Validated after each of two steps."""
    return run(tmp_path_factory.mktemp("validated"), validate=1)


@pytest.fixture(scope="module")
def unvalidated(run: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("unvalidated"))


@pytest.mark.parametrize("step", [1, 2])
def test_metrics_are_those_of_the_files_that_the_checkpoint_writes(
    validated: Path, config: Path, truth: YtvisDataset, root: Path, tmp_path: Path, step: int
) -> None:
    """The checkpoint holds averaged weights, so these are what was validated."""
    model = load(validated / f"iter_{step}.pth", config=config, fuse=False)
    path = run_dataset(model, truth, root / "frames", tmp_path)
    expected = {**evaluate("ytvis", truth.path, path).summary, **score_dataset(truth, tmp_path).as_dict()}
    expected = {f"ytvis/{name}": value for name, value in defined(expected).items() if not name.startswith("tube_AP")}
    (metrics,) = (line for line in logged(validated, "ytvis/AP") if line["step"] == step)
    assert {name: metrics[name] for name in expected} == expected
    assert min(metrics[f"ytvis/{name}"] for name in ("AP", "IDF1", "hidden_Spearman", "order_accuracy")) > 0.2
    assert {name for name in metrics if "/" in name} == set(expected)


def test_averaged_weights_are_others_than_the_raw_ones(validated: Path) -> None:
    """Else the test above would not see which of the two."""
    checkpoint = torch.load(validated / "iter_2.pth", weights_only=False)
    raw = checkpoint["ema_state_dict"]
    moved = [not torch.equal(raw[f"module.{name}"], value) for name, value in checkpoint["state_dict"].items()]
    assert any(moved)


def test_validation_does_not_change_training(validated: Path, unvalidated: Path) -> None:
    losses = [[line["loss"] for line in logged(folder, "loss")] for folder in (validated, unvalidated)]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 2
    states = [load_checkpoint(folder / "iter_2.pth").state_dict for folder in (validated, unvalidated)]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_without_being_asked_nothing_is_validated(unvalidated: Path) -> None:
    assert logged(unvalidated, "ytvis/AP") == []
    assert sorted(path.name for path in unvalidated.glob("*.pth")) == ["iter_1.pth", "iter_2.pth"]


def test_the_checkpoint_of_the_best_metric_is_kept(validated: Path) -> None:
    best = max(logged(validated, "ytvis/AP"), key=lambda line: (line["ytvis/AP"], -line["step"]))["step"]
    (path,) = validated.glob("best_*.pth")
    assert path.name == f"best_ytvis_AP_iter_{best}.pth"
    kept, same = (load_checkpoint(file).state_dict for file in (path, validated / f"iter_{best}.pth"))
    assert all(torch.equal(value, same[name]) for name, value in kept.items())


def test_a_config_says_what_is_scored_and_when(run: Callable[..., Path], truth: YtvisDataset, tmp_path: Path) -> None:
    out = tmp_path / "kept"
    evaluator = {"type": "OccVideoMetric", "protocol": "ovis", "out_dir": out, "tracking": False}
    work_dir = run(
        tmp_path / "work",
        *(f"val_evaluator.{key}={value}" for key, value in evaluator.items()),
        "train_cfg.val_interval=2",
        "default_hooks.checkpoint.save_best=ovis/AP50",
        "default_hooks.checkpoint.rule=greater",
    )
    (metrics,) = logged(work_dir, "ovis/AP")
    assert metrics["step"] == 2
    assert (work_dir / "best_ovis_AP50_iter_2.pth").is_file()
    expected = defined(evaluate("ovis", truth.path, out / "results.json").summary)
    assert {name for name in metrics if "/" in name} == {f"ovis/{name}" for name in expected}
    assert {name: metrics[f"ovis/{name}"] for name in expected} == expected
    assert expected["AP_mo"] > 0


def test_images_are_validated_as_videos_of_one_frame(
    run: Callable[..., Path], config: Path, root: Path, tmp_path: Path
) -> None:
    truth = read_coco(root / "annotations_coco.json")
    named = {"type": "OccImages", "ann_file": truth.path, "image_root": root / "frames"}
    options = [f"val_dataset.{key}={value}" for key, value in named.items()]
    work_dir = run(tmp_path / "work", *options, "val_cfg.type=OccValLoop", "val_cfg.score_thr=0.6", validate=2)
    (metrics,) = logged(work_dir, "coco/AP")
    model = load(work_dir / "iter_2.pth", config=config, fuse=False)
    model.score_threshold = 0.6
    found = []
    for image in truth.images:
        (result,) = VideoSession(model, num_frames=1).step(read_image(root / "frames" / image.file_name))
        assert result.scores.min(initial=1) >= 0.6
        found += coco_results(result, image.id, range(1, 7))
    write_coco_results(tmp_path / "results.json", found)
    expected = defined(evaluate("coco", truth.path, tmp_path / "results.json").summary)
    assert {name: metrics[f"coco/{name}"] for name in expected} == expected
    assert expected["AP"] > 0.1
    assert metrics["coco/order_accuracy"] > 0.2
    assert (work_dir / "best_coco_AP_iter_2.pth").is_file()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"val_evaluator": {"type": "Absent"}}, "cannot be built: Absent is not in the"),
        ({"val_evaluator": {"type": "OccVideoMetric", "speed": 1}}, "unexpected keyword argument 'speed'"),
        ({"val_evaluator": {"type": "OccImageMetric"}}, "OccImageMetric scores the dataset OccImages, found OccVideos"),
        ({"test_dataset.classes": ["ball"]}, "is read with 1 classes, but the model tells 6 apart"),
    ],
)
def test_what_cannot_be_validated_is_refused_before_training(
    config: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    content = read_config(config)
    content.merge_from_dict(changes)
    content.work_dir, content.experiment_name = str(tmp_path), tmp_path.name
    complete_validation(content, 1)
    with pytest.raises(InputError, match=message) as error:
        build_runner(content, config)
    assert "\n" not in str(error.value)


def test_training_data_are_no_validation_data(config: Path, tmp_path: Path) -> None:
    content = read_config(config)
    content.val_dataloader, content.val_cfg = content.train_dataloader, {"type": "OccValLoop"}
    content.val_evaluator = {"type": "OccImageMetric"}
    content.work_dir, content.experiment_name = str(tmp_path), tmp_path.name
    complete_validation(content, 1)
    with pytest.raises(InputError, match="found FramePairs. Use ValLoop"):
        build_runner(content, config)


def test_the_least_score_is_a_score() -> None:
    with pytest.raises(InputError, match=r"must lie in 0..1, found 2"):
        OccValLoop(None, {}, {}, score_thr=2)


@pytest.mark.parametrize(("interval", "message"), [(0, "must be at least 1, found 0"), (1, "names no val_dataset")])
def test_validation_needs_an_interval_and_a_dataset(config: Path, interval: int, message: str) -> None:
    content = read_config(config)
    content.test_dataset = None
    with pytest.raises(InputError, match=message):
        complete_validation(content, interval)


def test_the_command_says_in_one_line_what_is_wrong(config: Path, capsys: pytest.CaptureFixture) -> None:
    spec = importlib.util.spec_from_file_location("tool_train", Path(__file__).parents[2] / "tools/train.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert tool.main([str(config), "--validate", "0", "--work-dir", str(config.parent / "never")]) == 2
    assert capsys.readouterr().err == "train: Steps between validations must be at least 1, found 0.\n"


def test_what_a_config_says_of_validation_is_kept(config: Path) -> None:
    content = read_config(config)
    complete_validation(content)
    assert "val_dataloader" not in content, "nothing was asked for"
    content.val_evaluator = {"type": "OccVideoMetric", "protocol": "ovis"}
    content.default_hooks.checkpoint.save_best = "ovis/AP50"
    complete_validation(content)
    assert content.train_cfg.val_interval == 10**9
    assert content.val_evaluator.protocol == "ovis"
    assert content.default_hooks.checkpoint.save_best == "ovis/AP50"
    assert content.default_hooks.logger.log_metric_by_epoch is False
    complete_validation(content, 3)
    assert content.train_cfg.val_interval == 3
    assert content.val_evaluator.protocol == "ovis"
