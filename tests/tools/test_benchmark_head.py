"""tools/benchmark_head.py: the loops that ours is timed against do the same work, and the numbers of work are right."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from vos_occ.models.layers.boundary import mask_boundary


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    path = Path(__file__).parents[2] / "tools/benchmark_head.py"
    spec = importlib.util.spec_from_file_location("benchmark_head", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("parts", "millions"),
    [((1, 0, 1), 514), ((2, 2, 4), 1273), ((2, 2, 1), 1119), ((2, 0, 4), 1131), ((2, 0, 1), 976)],
    ids=["Mask R-CNN", "GCN", "GCN, tested", "FCN", "FCN, tested"],
)
def test_work_of_a_roi_is_the_specs(parts, millions, tool) -> None:
    assert tool.multiply_adds(*parts) == pytest.approx(millions, abs=0.75)  # docs/sources.md, BCNet 9


def test_looped_contours_are_ours(tool) -> None:
    masks = (np.random.default_rng(0).random((20, 28, 28)) < 0.5).astype(np.uint8)
    expected = mask_boundary(torch.from_numpy(masks).float()).numpy()
    assert np.array_equal(np.stack([tool.contour(mask) for mask in masks]), expected)


def test_looped_unions_stay_in_their_boxes_and_leave_out_the_object(tool) -> None:
    masks = np.zeros((2, 20, 30), np.uint8)
    masks[0, 5:15, 5:15], masks[1, 5:15, 10:20] = 1, 1
    boxes = np.array([[5.0, 5.0, 15.0, 15.0], [10.0, 5.0, 20.0, 15.0]])
    first, second = tool.full_image_unions(masks, ~np.eye(2, dtype=bool), boxes)
    assert first.sum() == 50 and first[5:15, 10:15].all()
    assert second.sum() == 50 and second[5:15, 10:15].all()


def test_forward_and_targets_are_timed_and_masks_agree(tool, capsys, monkeypatch) -> None:
    threads = torch.get_num_threads()
    monkeypatch.setattr(tool, "training_step", lambda args: None)  # two models of full size
    small = ["--rois", "2", "--objects", "4", "--target-rois", "8", "--repeat", "1"]
    assert tool.main(small) == 0
    torch.set_num_threads(threads)
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0].split("  ")[0] for line in printed[1:4]] == ["head"] * 3
    assert printed[4].startswith("contours") and printed[5].startswith("all targets")
    assert float(printed[7].split("alike: ")[1].split(" %")[0]) > 95
    assert len(printed) == 8


def test_a_device_that_is_not_there_is_one_line(tool, capsys, monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert tool.main(["--device", "cuda"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
