"""Export of checkpoints that hold more than tensors and numbers: only when told to trust them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
import torch

from vos_occ.inference.export import export_checkpoint
from vos_occ.models.video.masktrack import OccMaskTrackRCNN
from vos_occ.structures.errors import CheckpointError


def test_a_checkpoint_with_other_objects_is_exported_only_when_trusted(
    tiny_model: OccMaskTrackRCNN, tiny_config_file: Path, tmp_path: Path
) -> None:
    torch.save({"state_dict": tiny_model.state_dict(), "meta": {"ratio": Fraction(1, 3)}}, tmp_path / "iter_7.pth")
    with pytest.raises(CheckpointError, match="--trust-checkpoint"):
        export_checkpoint(tiny_config_file, tmp_path / "iter_7.pth", tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()
    assert export_checkpoint(
        tiny_config_file, tmp_path / "iter_7.pth", tmp_path / "out.safetensors", trust_checkpoint=True
    )
