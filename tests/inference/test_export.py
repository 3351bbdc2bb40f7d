from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from vos_occ.checkpoints.files import load_checkpoint
from vos_occ.inference.export import export_checkpoint, without_pretrained
from vos_occ.inference.load import load
from vos_occ.inference.session import VideoSession
from vos_occ.models.video.masktrack import OccMaskTrackRCNN
from vos_occ.structures.errors import CheckpointError, OutputExistsError


@pytest.fixture
def checkpoint(tiny_model: OccMaskTrackRCNN, tmp_path: Path) -> Path:
    path = tmp_path / "iter_7.pth"
    torch.save({"state_dict": tiny_model.state_dict(), "meta": {"iter": 7}}, path)
    return path


@pytest.mark.parametrize(("half", "tolerance"), [(True, 0.5), (False, 0.0)], ids=["float16", "float32"])
def test_the_exported_model_predicts_what_the_checkpoint_does(
    checkpoint: Path,
    tiny_model: OccMaskTrackRCNN,
    tiny_config_file: Path,
    tiny_frames: list[np.ndarray],
    tmp_path: Path,
    half: bool,
    tolerance: float,
) -> None:
    export_checkpoint(tiny_config_file, checkpoint, tmp_path / "out.safetensors", half=half)
    ours, theirs = VideoSession(tiny_model), VideoSession(load(tmp_path / "out.safetensors", fuse=False))
    for frame in tiny_frames[:2]:
        (a,), (b,) = ours.step(frame), theirs.step(frame)
        assert len(a) > 2
        np.testing.assert_array_equal(a.track_ids, b.track_ids)
        np.testing.assert_allclose(a.boxes, b.boxes, atol=tolerance)


def test_half_precision_halves_the_file(checkpoint: Path, tiny_config_file: Path, tmp_path: Path) -> None:
    half, full = (
        export_checkpoint(tiny_config_file, checkpoint, tmp_path / f"{half}.safetensors", half=half)
        for half in (True, False)
    )
    assert half < 0.6 * full


def test_the_file_says_what_it_was_trained_on(checkpoint: Path, tiny_config_file: Path, tmp_path: Path) -> None:
    export_checkpoint(tiny_config_file, checkpoint, tmp_path / "out.safetensors", trained_on="two cats")
    exported = load_checkpoint(tmp_path / "out.safetensors")
    assert exported.metadata["trained_on"] == "two cats"
    assert not any(name.endswith("num_batches_tracked") for name in exported.state_dict)


def test_an_existing_file_is_kept_unless_told(checkpoint: Path, tiny_config_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    out.write_text("mine")
    with pytest.raises(OutputExistsError):
        export_checkpoint(tiny_config_file, checkpoint, out)
    assert out.read_text() == "mine"
    export_checkpoint(tiny_config_file, checkpoint, out, overwrite=True)
    assert load(out).name == "out"


def test_a_checkpoint_of_another_model_writes_nothing(tiny_config_file: Path, tmp_path: Path) -> None:
    torch.save({"state_dict": {"conv.weight": torch.zeros(2)}}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match="does not fit"):
        export_checkpoint(tiny_config_file, tmp_path / "other.pth", tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


def test_weights_to_start_from_are_left_out_of_the_config() -> None:
    pretrained = {"type": "Pretrained", "checkpoint": "x.pth"}
    config = {"a": [{"init_cfg": pretrained, "b": 1}], "init_cfg": {"type": "Xavier"}, "c": (1, 2)}
    assert without_pretrained(config) == {"a": [{"b": 1}], "init_cfg": {"type": "Xavier"}, "c": [1, 2]}
