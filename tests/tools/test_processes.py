"""tools/test_video.py as the processes that users start: stopped, killed, resumed, and several at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vos_occ.datasets.synthetic import write_dataset

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow
# one thread in every process: sums in another order would be other bits
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_dataset(folder, "train", (0, 1, 2), image_format="png", height=96, width=160, num_frames=40)
    return folder


def command(checkpoint: Path, world: Path, out: Path, *more: str) -> list[str]:
    data = ["--ann-file", str(world / "annotations_ytvis.json"), "--image-root", str(world / "frames")]
    script = str(ROOT / "tools" / "test_video.py")
    return [script, "-", str(checkpoint), *data, "--out", str(out), "--device", "cpu", *more]


def run(arguments: list[str], *launcher: str) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, *launcher, *arguments]
    return subprocess.run(call, env=ENVIRONMENT, capture_output=True, text=True, timeout=300, check=False)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def whole(tiny_checkpoint: Path, world: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("whole")
    assert run(command(tiny_checkpoint, world, out)).returncode == 0
    return files(out)


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_a_run_that_is_ended_goes_on_to_the_same_bytes(
    tiny_checkpoint: Path, world: Path, tmp_path: Path, whole: dict[str, bytes], number: signal.Signals, code: int
) -> None:
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, *command(tiny_checkpoint, world, out)], env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
    )
    while not list(out.glob("shards/1.json")) and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(number)
    message = process.communicate(timeout=120)[1]
    assert process.returncode == code
    if number != signal.SIGKILL:
        lines = [line for line in message.splitlines() if line.startswith("test_video:")]
        assert lines == [
            f"test_video: Stopped by {number.name}. The videos that are done are in '{out}'. Go on with --resume."
        ]
        assert "Traceback" not in message
    left = {name: content for name, content in files(out).items() if not name.endswith(".part")}
    assert left.items() < whole.items() and "results.json" not in left and "shards/1.json" in left
    assert run(command(tiny_checkpoint, world, out, "--resume")).returncode == 0
    assert files(out) == whole


def test_two_processes_give_the_bytes_of_one(
    tiny_checkpoint: Path, world: Path, tmp_path: Path, whole: dict[str, bytes]
) -> None:
    out = tmp_path / "out"
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    outcome = run(command(tiny_checkpoint, world, out), *launcher)
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stdout.count("Wrote ") == 1, "only one of them talks"
    assert files(out) == whole
