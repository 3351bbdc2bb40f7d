"""The ablation: what its heads share, how differences are taken, and that a stopped run goes on."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import importlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from mmengine.config import Config

from vos_occ.datasets.synthetic import SyntheticWorld
from vos_occ.models.bilayer.targets import BilayerTargets
from vos_occ.structures.boxes import box_iou

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    return importlib.import_module


def test_differences_are_paired_by_seed(tool: Callable) -> None:
    table = tool("ablation_table")
    reference = {0: {"AP": 0.10}, 1: {"AP": 0.30}, 2: {"AP": 0.50}}
    variant = {0: {"AP": 0.12}, 1: {"AP": 0.33}, 2: {"AP": 0.51}, 3: {"AP": 0.0}}
    difference = table.paired_difference(variant, reference, "AP")
    assert difference.mean == pytest.approx(0.02)
    assert difference.error == pytest.approx(0.01 / math.sqrt(3))
    assert difference.is_clear
    assert str(difference) == "+0.020 ± 0.006 *"


def test_one_seed_shows_no_clear_difference(tool: Callable) -> None:
    table = tool("ablation_table")
    difference = table.paired_difference({0: {"AP": 0.9}}, {0: {"AP": 0.1}}, "AP")
    assert math.isnan(difference.error)
    assert not difference.is_clear


def test_jittered_boxes_still_fit_their_objects(tool: Callable) -> None:
    rois, rng = tool("ablation_rois"), np.random.default_rng(0)
    low = rng.uniform(0, 60, (50, 2))
    boxes = np.concatenate([low, low + rng.uniform(4, 40, (50, 2))], axis=1).astype(np.float32)
    moved = rois.jittered(boxes, (100, 100), np.random.default_rng(1))
    ious = np.array([box_iou(a[None], b[None])[0, 0] for a, b in zip(boxes, moved, strict=True)])
    assert (ious >= 0.5).all()
    assert (ious < 1).all()
    assert moved.min() >= 0
    assert moved.max() <= 100


@pytest.mark.parametrize("extent", ["modal", "amodal"])
def test_objects_are_those_that_can_be_seen(tool: Callable, extent: str) -> None:
    frame = SyntheticWorld("train", height=96, width=160).video(3)[10]
    sample = tool("ablation_rois").objects_of(frame, extent)
    rows = np.flatnonzero(frame.is_visible)
    assert sample.instance_ids.tolist() == frame.track_ids[rows].tolist()
    masks = frame.visible if extent == "modal" else frame.amodal
    assert (sample.masks.astype(bool) == masks[rows]).all()
    assert (sample.in_front == frame.in_front[np.ix_(rows, rows)]).all()


def test_heads_of_one_seed_see_the_same_batches(tool: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    heads, rois = tool("ablation_heads"), tool("ablation_rois")
    count, side = 12, 8
    masks = torch.rand(count, side, side).round()
    ones = torch.ones(count, dtype=torch.bool)
    targets = BilayerTargets(masks, masks, masks, masks, ones, torch.full((count,), torch.nan))
    train = rois.TrainingRois(torch.arange(count).view(-1, 1, 1, 1).expand(-1, 4, 4, 4).half(), targets)
    schedule = heads.Schedule(steps=4, batch=5)
    seen = {}
    for variant in ("single FCN", "bilayer FCN"):
        monkeypatch.setitem(heads.VARIANTS, variant, {**heads.VARIANTS[variant], "num_convs": 1, "gcn_position": 0})
        head = heads.build_head(variant, 4, seed=7)
        batches: list[list[int]] = []
        head.register_forward_pre_hook(lambda _, args, batches=batches: batches.append(args[0][:, 0, 0, 0].tolist()))
        heads.train_head(head, train, schedule, seed=7)
        seen[variant] = batches
    assert seen["single FCN"] == seen["bilayer FCN"]
    assert [len(batch) for batch in seen["single FCN"]] == [5, 5, 5, 5]
    assert sorted(sum(seen["single FCN"], [])[:count]) == list(range(count))  # an epoch leaves nothing out


def test_heads_are_trained_scored_and_kept(
    tool: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    run = tool("run_ablation")
    options = ["heads", "--out", str(tmp_path), "--extents", "amodal", "--variants", "single FCN", "bilayer GCN"]
    options += ["--seeds", "0", "1", "--steps", "2", "--videos", "2", "1", "--stride", "15"]
    assert run.main(options) == 0
    table = capsys.readouterr().out
    assert table.strip() == (tmp_path / "tables.md").read_text().strip()
    assert "| single FCN | 164,225, " in table
    assert "| bilayer GCN | 394,500, " in table
    scores = json.loads((tmp_path / "amodal/heads/bilayer_gcn_1/scores.json").read_text())
    assert set(scores["given"]) == {"AP", "AP_occluded", "IoU", "IoU_occluded"}

    monkeypatch.setattr(run, "train_head", lambda *args: pytest.fail("was trained already"))
    assert run.main(options) == 0
    assert capsys.readouterr().out == table

    for other in ([*options[:-1], "10"], [*options, "--steps", "3"]):  # other frames, other schedule
        assert run.main(other) == 2
        assert "Use another --out" in capsys.readouterr().err


def test_the_truth_scores_one(tool: Callable, tmp_path: Path) -> None:
    run, rois = tool("run_ablation"), tool("ablation_rois")
    from vos_occ.results.coco import write_coco_dataset

    sample = rois.objects_of(SyntheticWorld("heldout", height=96, width=160).video(1)[8], "amodal")
    annotations = rois.coco_annotations(sample, image_id=1, first_id=1)
    images = [{"id": 1, "file_name": "1", "height": 96, "width": 160}]
    categories = [{"id": i, "name": str(i)} for i in range(1, 7)]
    write_coco_dataset(tmp_path / "truth.json", images, annotations, categories)
    results = [
        {k: a[k] for k in ("image_id", "category_id", "segmentation", "bbox")} | {"score": 0.9} for a in annotations
    ]
    (tmp_path / "found.json").write_text(json.dumps(results))
    count = len(annotations)
    ids = torch.arange(1, count + 1)
    given = rois.TestRois(*[torch.zeros(count)] * 5, annotation_ids=ids, size=(96, 160))
    scores = run.score(tmp_path / "truth.json", tmp_path / "found.json", given)
    assert scores["AP"] == pytest.approx(1)
    assert scores["IoU"] == 1


@pytest.mark.parametrize("world", ["synthetic", "person"])
def test_whole_models_differ_in_the_mask_head_alone(world: str) -> None:
    single, bilayer = (
        Config.fromfile(ROOT / f"configs/ablation/{world}_{head}.py").to_dict() for head in ("single", "bilayer")
    )
    heads = [config["model"]["detector"]["roi_head"].pop("mask_head") for config in (single, bilayer)]
    assert [head["type"] for head in heads] == ["PlainMaskHead", "BilayerMaskHead"]
    assert single == bilayer


def test_an_unknown_variant_is_refused(tool: Callable, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert tool("run_ablation").main(["heads", "--out", str(tmp_path), "--variants", "triple"]) == 2
    assert "Variant 'triple' is not known" in capsys.readouterr().err
