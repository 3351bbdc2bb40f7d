"""A PCAN as a file: exported, loaded by `vos_occ.load` and run by the tools as any video model."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from vos_occ.datasets.synthetic import CLASSES
from vos_occ.inference.export import export_checkpoint
from vos_occ.inference.load import load
from vos_occ.inference.session import VideoSession
from vos_occ.structures.errors import InputError


@pytest.fixture(scope="module")
def exported(build_tiny_pcan: Callable, tiny_pcan_config: Callable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pcan")
    (folder / "pcan.py").write_text(f"model = {tiny_pcan_config()!r}\nclasses = {CLASSES!r}\n")
    torch.save({"state_dict": build_tiny_pcan().state_dict(), "meta": {}}, folder / "iter_1.pth")
    export_checkpoint(folder / "pcan.py", folder / "iter_1.pth", folder / "pcan.safetensors", half=False)
    return folder / "pcan.safetensors"


def test_a_loaded_file_finds_what_the_model_did(
    exported: Path, build_tiny_pcan: Callable, tiny_frames: list[np.ndarray]
) -> None:
    sessions = VideoSession(build_tiny_pcan()), VideoSession(load(exported, fuse=False))
    for frame in tiny_frames[:2]:
        (ours,), (theirs,) = (session.step(frame) for session in sessions)
        assert len(ours) > 0 and ours.track_ids.tolist() == theirs.track_ids.tolist()
        assert ours.masks == theirs.masks and (ours.boxes == theirs.boxes).all()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_prototypes_stay_as_they_are_in_any_precision(exported: Path, precision: str) -> None:
    model, kept = load(exported, precision=precision), load(exported, fuse=False)
    for name in ("refine_head.pos_mu", "refine_head.neg_mu", "frame_attention.mu0"):
        assert torch.equal(model.get_buffer(name), kept.get_buffer(name))


def test_a_first_stage_without_mask_head_says_what_it_lacks(build_tiny_pcan: Callable) -> None:
    model = build_tiny_pcan(
        {"stage": "box", "detector.roi_head.mask_head": None, "detector.roi_head.mask_roi_extractor": None}
    )
    with pytest.raises(InputError, match="has no mask head"):
        VideoSession(model).step(np.zeros((96, 160, 3), np.uint8))
