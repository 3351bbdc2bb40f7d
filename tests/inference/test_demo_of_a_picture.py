"""The demo command on a single picture, with a model that shows tracks from their second detection on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from vos_occ.checkpoints.files import save_checkpoint
from vos_occ.inference.demo import main
from vos_occ.media import VideoWriter
from vos_occ.results.jsonl import read_jsonl

PATIENT = {"memory.confirm_after": 2}


@pytest.fixture(scope="module")
def patient_checkpoint(
    build_tiny_model: Callable, tiny_model_config: Callable, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    model = build_tiny_model(PATIENT)
    path = tmp_path_factory.mktemp("patient") / "patient.safetensors"
    return save_checkpoint(path, model.state_dict(), json.dumps(tiny_model_config(PATIENT)), model.classes)


def objects_per_frame(source: Path, checkpoint: Path, folder: Path) -> list[int]:
    options = ["--out", str(folder / "o.mp4"), "--json", str(folder / "r.jsonl"), "--quiet"]
    assert main([str(source), "--checkpoint", str(checkpoint), *options]) == 0
    return [len(frame) for frame in read_jsonl(folder / "r.jsonl").frames]


def test_a_picture_shows_its_objects_at_once(
    patient_checkpoint: Path, tiny_frames: list[np.ndarray], tmp_path: Path
) -> None:
    cv2.imwrite(str(tmp_path / "picture.png"), tiny_frames[0][..., ::-1])
    (found,) = objects_per_frame(tmp_path / "picture.png", patient_checkpoint, tmp_path)
    assert found > 0


def test_a_video_waits_for_the_second_frame(
    patient_checkpoint: Path, tiny_frames: list[np.ndarray], tmp_path: Path
) -> None:
    with VideoWriter(tmp_path / "clip.mp4", 10, 200, 120) as writer:
        for frame in tiny_frames[:2]:
            writer.write(frame)
    first, second = objects_per_frame(tmp_path / "clip.mp4", patient_checkpoint, tmp_path)
    assert (first, second > 0) == (0, True)
