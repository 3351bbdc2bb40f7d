"""CMTrack R-CNN answers five frames late; every way through the house copes: overlay, result files, benchmarks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from eval.readers.ytvis import YtvisDataset, read_ytvis_results
from vos_occ.checkpoints.files import save_checkpoint
from vos_occ.datasets.synthetic import CLASSES, SyntheticWorld
from vos_occ.inference.benchmark import run_dataset
from vos_occ.inference.demo import main
from vos_occ.inference.load import load
from vos_occ.inference.run import track
from vos_occ.inference.session import VideoSession
from vos_occ.media import Frame, VideoWriter, open_video
from vos_occ.models.video.cmtrack import OccCMTrackRCNN
from vos_occ.results.jsonl import read_jsonl

FRAMES = 8
CHANGES = {
    "type": "OccCMTrackRCNN",
    "calibration": {"type": "TemporalCalibration", "channels": 16, "patch_size": 3},
    "test_scale": [96, 64],
    "detector.test_cfg.rcnn.max_per_img": 4,
}


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    return [frame.image for frame in SyntheticWorld("train", height=64, width=96, num_frames=FRAMES).video(1)]


@pytest.fixture(scope="module")
def checkpoint(build_tiny_model: Callable, tiny_model_config: Callable, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("cmtrack") / "cmtrack.safetensors"
    return save_checkpoint(
        path, build_tiny_model(CHANGES).state_dict(), json.dumps(tiny_model_config(CHANGES)), CLASSES
    )


def test_overlay_and_result_files_hold_every_frame_at_its_time(
    checkpoint: Path, frames: list[np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with VideoWriter(Path("clip.mp4"), 10, 96, 64) as writer:
        for frame in frames:
            writer.write(frame)
    assert main(["clip.mp4", "--checkpoint", str(checkpoint), "--out", "o.mp4", "--json", "r.jsonl", "--quiet"]) == 0

    results = read_jsonl(Path("r.jsonl"))
    assert [frame.frame_index for frame in results.frames] == list(range(FRAMES))
    assert results.times == pytest.approx([t / 10 for t in range(FRAMES)])
    with open_video("clip.mp4") as video:
        images = [frame.image for frame in video]
    session = VideoSession(load(checkpoint), num_frames=FRAMES)
    expected = [result for image in images for result in session.step(image)] + session.finish()
    assert [r.track_ids.tolist() for r in results.frames] == [r.track_ids.tolist() for r in expected]
    assert [r.masks for r in results.frames] == [r.masks for r in expected]
    with open_video("o.mp4") as overlay:
        drawn = [frame.image for frame in overlay]
    scale = drawn[0].shape[0] // 64
    plain = np.stack([image.repeat(scale, 0).repeat(scale, 1) for image in images]).astype(int)
    nearest = [int(np.abs(image - plain).mean((1, 2, 3)).argmin()) for image in drawn]
    assert nearest == list(range(FRAMES)), "each is drawn on its own pixels"


def test_a_benchmark_run_has_every_frame(checkpoint: Path, truth: YtvisDataset, world: Path, tmp_path: Path) -> None:
    model = load(checkpoint)
    assert isinstance(model, OccCMTrackRCNN)
    tubes = read_ytvis_results(run_dataset(model, truth, world / "frames", tmp_path), truth)
    assert tubes and all(len(tube.masks) == 8 for tube in tubes)
    for video in truth.videos:
        results = read_jsonl(tmp_path / "jsonl" / f"{video.id}.jsonl")
        assert [frame.frame_index for frame in results.frames] == list(range(8))


def test_no_more_frames_wait_than_are_looked_ahead(checkpoint: Path, frames: list[np.ndarray]) -> None:
    taken = []

    def video():
        for index, image in enumerate([*frames, *frames]):
            taken.append(index)
            yield Frame(index, None, image)

    ahead = [len(taken) - result.frame_index for _, result in track(load(checkpoint), video())]
    assert ahead == [6] * (2 * FRAMES - 5) + [5, 4, 3, 2, 1]
