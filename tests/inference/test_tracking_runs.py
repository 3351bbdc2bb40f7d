"""Runs over tracking benchmarks that end early, or are shared out: the rest gives the same bytes."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from vos_occ.inference.class_map import map_classes
from vos_occ.inference.shares import Worker
from vos_occ.inference.tracking_files import tracking_run
from vos_occ.inference.tracking_split import TrackingSplit, find_tracking_split
from vos_occ.models.video.contract import VideoMeta
from vos_occ.structures import FrameResult, InputError, rle
from vos_occ.structures.errors import OutputExistsError, UserError

HEIGHT, WIDTH, FRAMES = 6, 9, 2
NAMES = {"kitti_mots": ("0002", "0006"), "bdd100k": ("a", "b")}


class Fake:
    """Finds, in every frame, two persons that overlap and a dog, under ids that grow beyond 16 bits."""

    classes, name, checkpoint_sha256 = ("person", "car", "dog"), "fake", None

    def new_state(self, meta: VideoMeta) -> SimpleNamespace:
        return SimpleNamespace(meta=meta)

    def step(self, state: SimpleNamespace, image: np.ndarray, frame_index: int) -> list[FrameResult]:
        masks = np.zeros((3, HEIGHT, WIDTH), bool)
        masks[0, 1:4, 1 : 5 + frame_index], masks[1, 2:5, 3:7], masks[2, 0, :] = True, True, True
        ids = [70_000, 70_001 + frame_index, 5]
        found = [rle.encode(mask) for mask in masks]
        scores, boxes = [0.5, 0.9, 0.7], np.zeros((3, 4), np.float32)
        return [FrameResult(frame_index, HEIGHT, WIDTH, ids, [0, 0, 2], scores, boxes, found)]

    def finish(self, state: SimpleNamespace) -> list[FrameResult]:
        return []


@pytest.fixture
def splits(tmp_path: Path) -> dict[str, TrackingSplit]:
    found = {}
    for benchmark, names in NAMES.items():
        for name in names:
            folder = tmp_path / "data" / benchmark / name
            folder.mkdir(parents=True)
            for t in range(FRAMES):
                file = f"{t:06d}.png" if benchmark == "kitti_mots" else f"{name}-{t + 1:07d}.png"
                cv2.imwrite(str(folder / file), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
        found[benchmark] = find_tracking_split(benchmark, {}, image_root=str(tmp_path / "data" / benchmark))
    return found


def run(split: TrackingSplit, out: Path, worker: Worker = Worker(), **options: Any) -> Path:  # noqa: B008
    mapped = map_classes(Fake.classes, split.categories, {"person": "pedestrian"}, split.benchmark)
    return tracking_run(Fake(), split, out, mapped).run(worker=worker, **options)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def killed(action: Callable[[], object]) -> None:
    """Does it in a process of its own, which must die of SIGKILL."""
    child = os.fork()
    if child == 0:
        try:
            action()
        finally:
            os._exit(0)  # also on an error: else the child would go on with the tests
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@pytest.mark.parametrize("benchmark", NAMES)
def test_a_run_killed_at_any_rename_resumes_to_the_same_bytes(
    splits: dict[str, TrackingSplit], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, benchmark: str
) -> None:
    replaced, count, last = os.replace, [0], [-1]

    def replace_or_die(source: Path, target: Path) -> None:
        count[0] += 1
        if count[0] == last[0]:  # before it; after it is before the next
            os.kill(os.getpid(), signal.SIGKILL)
        replaced(source, target)

    monkeypatch.setattr(os, "replace", replace_or_die)
    run(splits[benchmark], tmp_path / "whole")
    whole, renames, out = files(tmp_path / "whole"), count[0], tmp_path / "out"
    for rename in range(1, renames + 1):
        count[0], last[0] = 0, rename
        killed(lambda: run(splits[benchmark], out))
        left = {name: content for name, content in files(out).items() if "part" not in name}
        assert left.items() <= whole.items(), "no file is half a video"
        last[0] = -1
        run(splits[benchmark], out, resume=True)
        assert files(out) == whole
        shutil.rmtree(out)


@pytest.mark.parametrize("benchmark", NAMES)
def test_what_is_there_is_replaced_only_if_asked_for(
    splits: dict[str, TrackingSplit], tmp_path: Path, benchmark: str
) -> None:
    run(splits[benchmark], tmp_path / "out")
    before = files(tmp_path / "out")
    with pytest.raises(OutputExistsError, match="Use --overwrite"):
        run(splits[benchmark], tmp_path / "out")
    assert files(tmp_path / "out") == before
    run(splits[benchmark], tmp_path / "out", overwrite=True)
    assert files(tmp_path / "out") == before


@pytest.mark.parametrize("benchmark", NAMES)
def test_a_run_that_replaces_another_and_is_killed_keeps_nothing_of_it(
    splits: dict[str, TrackingSplit], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, benchmark: str
) -> None:
    out = tmp_path / "out"
    run(splits[benchmark], tmp_path / "whole")
    with monkeypatch.context() as other:
        other.setattr(Fake, "name", "another model")
        run(splits[benchmark], out)

    def kill(_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    killed(lambda: run(splits[benchmark], out, overwrite=True, on_frame=kill))
    run(splits[benchmark], out, resume=True)
    assert files(out) == files(tmp_path / "whole")


def test_videos_that_are_shared_out_are_joined_by_the_first(
    splits: dict[str, TrackingSplit], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Worker, "wait_for_all", lambda self: None)
    whole = run(splits["bdd100k"], tmp_path / "whole")
    run(splits["bdd100k"], tmp_path / "out", Worker(1, 2))
    assert not (tmp_path / "out" / whole.name).exists()
    run(splits["bdd100k"], tmp_path / "out", Worker(0, 2), resume=True)
    assert files(tmp_path / "out") == files(tmp_path / "whole")


def test_the_run_of_another_class_map_is_not_resumed(splits: dict[str, TrackingSplit], tmp_path: Path) -> None:
    run(splits["bdd100k"], tmp_path)
    with pytest.raises(InputError, match="had another classes: "):
        tracking_run(Fake(), splits["bdd100k"], tmp_path, {0: "rider"}).run(resume=True)


def test_files_of_a_user_among_the_pictures_are_not_removed(splits: dict[str, TrackingSplit], tmp_path: Path) -> None:
    (tmp_path / "out/bitmasks/a").mkdir(parents=True)
    (tmp_path / "out/bitmasks/a/notes.txt").write_text("mine")
    with pytest.raises(UserError, match="Cannot write .*not empty"):
        run(splits["bdd100k"], tmp_path / "out", overwrite=True)
    assert (tmp_path / "out/bitmasks/a/notes.txt").read_text() == "mine"
