"""tools/test_image.py: a checkpoint becomes results.json and the scores of this file."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.registry import DefaultScope

from eval.evaluation import evaluate
from vos_occ.datasets.synthetic import CLASSES, write_dataset
from vos_occ.training import read_config
from vos_occ.training.small_config import small_config

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("test_image_tool", ROOT / "tools/test_image.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def case(tmp_path: Path) -> list[str]:
    """Config, checkpoint and folder of a small FCOS on two synthetic images."""
    write_dataset(tmp_path / "data", "train", (0,), image_format="png", height=96, width=160, num_frames=2)
    config = small_config(read_config(ROOT / "configs/bcnet/fcos_r50_1x_coco.py"))
    config.val_dataloader.dataset.update(
        data_root=str(tmp_path / "data"),
        ann_file="annotations_coco.json",
        data_prefix={"img": "frames"},
        num_classes=len(CLASSES),
    )
    config.model.bbox_head.num_classes = len(CLASSES)
    config.model.test_cfg.fcos.score_thr = 0.0
    config.dump(tmp_path / "small.py")
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope("mmdet"):
        torch.save(MODELS.build(config.model).state_dict(), tmp_path / "model.pth")
    return [str(tmp_path / "small.py"), str(tmp_path / "model.pth"), "--out", str(tmp_path / "out")]


def test_results_are_written_and_scored_as_they_were_written(case, tool, tmp_path, capsys) -> None:
    assert tool.main(case) == 0
    results = json.loads((tmp_path / "out/results.json").read_text())
    assert {result["image_id"] for result in results} == {1, 2}
    scores = json.loads((tmp_path / "out/scores.json").read_text())
    expected = evaluate("coco", tmp_path / "data/annotations_coco.json", tmp_path / "out/results.json").summary
    assert {name: scores[f"coco/{name}"] for name in expected} == pytest.approx(dict(expected))
    assert "coco/AP " in capsys.readouterr().out
    assert tool.main(case) == 2
    assert "already exists. Use --overwrite" in capsys.readouterr().err


def test_a_checkpoint_of_another_model_is_one_line(case, tool, tmp_path, capsys) -> None:
    torch.save({"backbone.conv1.weight": torch.zeros(3)}, tmp_path / "model.pth")
    assert tool.main(case) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("test_image:")]
    assert "does not fit BilayerFCOS" in line
    assert not (tmp_path / "out/results.json").exists()


def test_a_config_without_validation_is_one_line(tool, tmp_path, capsys) -> None:
    (tmp_path / "bare.py").write_text("model = dict(type='BilayerFCOS')\n")
    assert tool.main([str(tmp_path / "bare.py"), "x.pth", "--out", str(tmp_path / "out")]) == 2
    assert "has no `val_dataloader`" in capsys.readouterr().err
