"""tools/convert_checkpoint.py: all tensors or none, the difference by name, exit code 2."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import importlib.util
import pickle
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import Tensor

import vos_occ.models.bilayer  # noqa: F401  (registers)
import vos_occ.models.video.pcan  # noqa: F401  (registers)
from vos_occ.checkpoints.files import load_checkpoint
from vos_occ.training.small_config import small_config

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("convert_checkpoint", ROOT / "tools/convert_checkpoint.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def small(tmp_path: Path, name: str) -> tuple[Path, dict[str, Tensor]]:
    """A recipe at an eighth of its width, in a file, and weights of its model."""
    config = small_config(Config.fromfile(ROOT / f"configs/bcnet/{name}.py"))
    path = tmp_path / f"{name}_small.py"
    config.dump(path)
    with DefaultScope.overwrite_default_scope("mmdet"):
        return path, MODELS.build(config.model).state_dict()


def test_weights_that_fit_are_written_with_their_config(tool, tmp_path, capsys) -> None:
    config, state = small(tmp_path, "faster_plain_r50_1x_coco")
    torch.save({"state_dict": state, "meta": {"CLASSES": ["a", "b"]}}, tmp_path / "theirs.pth")
    arguments = ["--from", "mmdet", str(tmp_path / "theirs.pth"), str(tmp_path / "ours.safetensors")]
    assert tool.main([*arguments, "--config", str(config)]) == 0
    ours = load_checkpoint(tmp_path / "ours.safetensors")
    assert ours.state_dict.keys() == state.keys() and ours.classes == ("a", "b")
    assert all(torch.equal(ours.state_dict[name], tensor) for name, tensor in state.items())
    assert "0 missing, 0 unexpected, 0 of another shape" in capsys.readouterr().out
    assert tool.main([*arguments, "--config", str(config)]) == 2, "an existing file is not replaced unasked"


def test_any_difference_is_listed_and_nothing_is_written(tool, tmp_path, capsys) -> None:
    config, state = small(tmp_path, "faster_plain_r50_1x_coco")
    del state["backbone.conv1.weight"]
    state["roi_head.mask_head.conv_logits.bias"] = torch.zeros(7)
    state["extra.weight"] = torch.zeros(1)
    torch.save(state, tmp_path / "theirs.pth")
    arguments = ["--from", "mmdet", str(tmp_path / "theirs.pth"), str(tmp_path / "ours.safetensors")]
    assert tool.main([*arguments, "--config", str(config)]) == 2
    printed = capsys.readouterr()
    lines = printed.err.splitlines()
    assert lines[0] == "missing: backbone.conv1.weight"
    assert lines[1] == "unexpected: mmdet:extra.weight"
    assert lines[2].startswith("reshaped: roi_head.mask_head.conv_logits.bias: checkpoint (7,), model (80,)")
    assert len(lines) == 4 and "1 tensors missing, 1 unexpected, 1 of another shape" in lines[3]
    assert not (tmp_path / "ours.safetensors").exists()


def test_another_mask_head_begins_without_weights_when_its_part_is_skipped(tool, tmp_path) -> None:
    _, state = small(tmp_path, "faster_plain_r50_1x_coco")
    config, bilayer = small(tmp_path, "faster_r50_1x_coco")
    torch.save(state, tmp_path / "theirs.pth")
    arguments = ["--from", "mmdet", str(tmp_path / "theirs.pth"), str(tmp_path / "ours.safetensors")]
    assert tool.main([*arguments, "--config", str(config)]) == 2
    assert tool.main([*arguments, "--config", str(config), "--skip", "roi_head.mask_head"]) == 0
    ours = load_checkpoint(tmp_path / "ours.safetensors").state_dict
    assert set(bilayer) - set(ours) == {name for name in bilayer if name.startswith("roi_head.mask_head.")}


def test_our_own_names_are_no_names_of_the_released_code(tool, tmp_path, capsys) -> None:
    config, state = small(tmp_path, "fcos_r50_1x_coco")
    torch.save(state, tmp_path / "ours.pth")
    arguments = ["--from", "bcnet", str(tmp_path / "ours.pth"), str(tmp_path / "out.safetensors")]
    assert tool.main([*arguments, "--config", str(config)]) == 2
    assert "unexpected: bcnet:backbone.conv1.weight" in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["weights", "config"])
def test_absent_files_are_one_line(missing, tool, tmp_path, capsys) -> None:
    config, state = small(tmp_path, "faster_plain_r50_1x_coco")
    torch.save(state, tmp_path / "theirs.pth")
    weights = tmp_path / ("absent.pth" if missing == "weights" else "theirs.pth")
    named = tmp_path / "absent.py" if missing == "config" else config
    out = str(tmp_path / "ours.safetensors")
    assert tool.main(["--from", "mmdet", str(weights), out, "--config", str(named)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_weights_of_a_backbone_begin_a_training(tool, tmp_path) -> None:
    config, state = small(tmp_path, "faster_r50_1x_coco")
    theirs = {"fc1000_b": np.zeros(1000, np.float32), "conv1_b": np.zeros(8, np.float32)}
    branches = {"downsample.0": "1", "downsample.1": "1_bn"}
    for i, part in enumerate("abc", start=1):
        branches |= {f"conv{i}": f"2{part}", f"bn{i}": f"2{part}_bn"}
    for name, tensor in state.items():
        if not name.startswith("backbone.") or "running" in name or "num_batches" in name:
            continue
        *place, kind = name.split(".")[1:]
        end = {"weight": "w", "bias": "b"}[kind]
        if place[0] in ("conv1", "bn1"):
            theirs["conv1_w" if place == ["conv1"] else f"res_conv1_bn_{'s' if end == 'w' else end}"] = tensor.numpy()
            continue
        branch = branches[".".join(place[2:])]
        end = "s" if branch.endswith("bn") and end == "w" else end
        theirs[f"res{int(place[0][-1]) + 1}_{place[1]}_branch{branch}_{end}"] = tensor.numpy()
    (tmp_path / "R-50.pkl").write_bytes(pickle.dumps(theirs))
    out = tmp_path / "r50.safetensors"
    assert tool.main(["--from", "msra", str(tmp_path / "R-50.pkl"), str(out), "--config", str(config)]) == 0
    ours = load_checkpoint(out).state_dict
    backbone = {name.removeprefix("backbone.") for name in state if name.startswith("backbone.")}
    assert set(ours) == {name for name in backbone if not name.endswith("num_batches_tracked")}
    assert torch.equal(ours["layer3.5.conv2.weight"], state["backbone.layer3.5.conv2.weight"])


def as_pcan(ours: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our names as PCAN's release has them."""
    moved = {"track_head.embed_head.": "roi_head.track_head.", "refine_head.": "roi_head.refine_head.",
             "frame_attention.": "", "detector.": ""}  # fmt: skip
    theirs = {}
    for name, tensor in ours.items():
        prefix = next(prefix for prefix in moved if name.startswith(prefix))
        theirs[moved[prefix] + name.removeprefix(prefix)] = tensor
    return theirs


def test_pcan_keeps_all_but_its_mask_head_beside_the_bilayer_one_and_names_classes_as_they_count(
    tool, tmp_path, capsys
) -> None:
    single, bilayer = (ROOT / f"configs/demo/bdd_pcan_refine_{head}.py" for head in ("single", "bilayer"))
    config = Config.fromfile(single)
    with DefaultScope.overwrite_default_scope("mmdet"):
        state = MODELS.build(config.model).state_dict()
    listed = ["pedestrian", "rider", "car", "bus", "truck", "bicycle", "motorcycle", "train"]  # as QDTrack's files do
    torch.save({"state_dict": as_pcan(state), "meta": {"CLASSES": listed}}, tmp_path / "theirs.pth")
    for head in (single, bilayer):
        arguments = ["--from", "pcan", str(tmp_path / "theirs.pth"), str(tmp_path / f"{head.stem}.safetensors")]
        assert tool.main([*arguments, "--config", str(head)]) == 0
        written = load_checkpoint(tmp_path / f"{head.stem}.safetensors")
        said, kept = capsys.readouterr().out, {name for name in state if ".mask_head." not in name}
        assert set(written.state_dict) == (set(state) if head is single else kept)
        assert ("Left out: detector.roi_head.mask_head." in said) == (head is bilayer)
        assert all(torch.equal(written.state_dict[name], state[name]) for name in written.state_dict)
        assert written.classes == tuple(config.classes) != tuple(listed)
