#!/usr/bin/env python
"""What reading a training item costs on a json of OVIS' size, beside reading the whole video as mmdet does.

Both decode the objects of the same frames from the same file; pictures are not read. "whole video" keeps each video's
annotations pickled, as mmengine's `serialize_data` does, and unpickles them per item (docs/sources.md, trackers B9).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import pickle
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from benchmark_data import Size, write_vis
from pycocotools import mask as coco_mask
from rich.console import Console
from rich.table import Table

from eval.readers.ytvis import read_ytvis
from vos_occ.datasets import ytvis

MADE = 6  # different videos; more are copies of them, as only how much there is matters


def write_annotations(folder: Path, videos: int, frames: int, objects: int) -> Path:
    """An OVIS file of so many videos of 720 x 1280 pixels."""
    size = Size(vis_videos=min(MADE, videos), frames=frames, objects=objects, predictions=0)
    write_vis(folder / "made", size, occlusion=True)
    made = json.loads((folder / "made" / "gt.json").read_text())
    path, number = folder / "annotations.json", 0
    with path.open("w") as file:
        records = [made["videos"][v % len(made["videos"])] | {"id": v + 1} for v in range(videos)]
        file.write(f'{{"videos":{json.dumps(records)},"categories":{json.dumps(made["categories"])},"annotations":[\n')
        for v in range(videos):
            for track in made["annotations"]:
                if track["video_id"] == v % len(made["videos"]) + 1:
                    number += 1
                    file.write("," * (number > 1) + json.dumps(track | {"id": number, "video_id": v + 1}) + "\n")
        file.write("]}\n")
    return path


class WholeVideos:
    """As mmdet's `BaseVideoDataset` has it: a list of frames of each video, pickled into one buffer."""

    def __init__(self, path: Path) -> None:
        dataset = read_ytvis(path)
        videos = {video.id: [[] for _ in range(video.length)] for video in dataset.videos}
        for track in dataset.tracks:
            for t, mask in enumerate(track.segmentations):
                if mask is not None:
                    known = {"bbox": track.bboxes[t], "ignore_flag": int(track.iscrowd), "instance_id": track.id}
                    videos[track.video_id][t].append({"mask": mask, "bbox_label": track.category_id, **known})
        packed = [np.frombuffer(pickle.dumps(frames), np.uint8) for frames in videos.values()]
        self._ends = np.cumsum([len(part) for part in packed])
        self._bytes = np.concatenate(packed)

    def objects(self, video: int, frame_index: int) -> list[np.ndarray]:
        start = 0 if video == 0 else self._ends[video - 1]
        frames = pickle.loads(memoryview(self._bytes[start : self._ends[video]]))
        return [coco_mask.decode(instance["mask"]) for instance in frames[frame_index]]


class OneFrame(ytvis.YtvisFrames):
    """Ours, of a file whose pictures do not exist."""

    def __init__(self, path: Path) -> None:
        ytvis.require_frames = lambda *_: None  # this process does nothing else
        super().__init__(path, path.parent)


def measure(kind: Callable[[Path], Any], path: Path, items: int, report: Path) -> None:
    """In a process of its own: seconds to open, seconds an item, MiB at the peak, MiB that go to a worker."""
    start = time.perf_counter()
    dataset = kind(path)
    opened = time.perf_counter() - start
    lengths = [
        video["length"] for video in json.loads(path.with_name("made").joinpath("gt.json").read_text())["videos"]
    ]
    rng = np.random.default_rng(0)
    wanted = [(int(rng.integers(len(lengths))), int(rng.integers(min(lengths)))) for _ in range(items)]
    dataset.objects(*wanted[0])
    times = list(_times(dataset, wanted))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    worker = len(pickle.dumps(dataset, protocol=5)) / 2**20
    report.write_text(json.dumps({"open": opened, "item": float(np.median(times)), "peak": peak, "worker": worker}))


def _times(dataset: Any, wanted: list[tuple[int, int]]) -> Iterator[float]:
    for video, frame_index in wanted:
        start = time.thread_time()  # of this core: other work on the machine does not count
        dataset.objects(video, frame_index)
        yield time.thread_time() - start


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=607, help="OVIS trains on 607")
    parser.add_argument("--frames", type=int, default=69, help="of a video")
    parser.add_argument("--objects", type=int, default=6, help="of a video")
    parser.add_argument("--items", type=int, default=200, help="frames to read")
    parser.add_argument("--json", type=Path, help="write the numbers there")
    args = parser.parse_args(arguments)
    if min(args.videos, args.frames, args.objects, args.items) < 1:
        parser.error("all numbers must be at least 1")
    kinds: dict[str, Callable[[Path], Any]] = {"whole video": WholeVideos, "one frame": OneFrame}
    numbers = {}
    with tempfile.TemporaryDirectory() as name:
        path = write_annotations(Path(name), args.videos, args.frames, args.objects)
        size = path.stat().st_size / 2**20
        for kind, build in kinds.items():
            report = Path(name) / "report.json"
            process = multiprocessing.get_context("spawn").Process(
                target=measure, args=(build, path, args.items, report)
            )
            process.start()
            process.join()
            if process.exitcode:
                raise RuntimeError(f"Measuring '{kind}' ended with exit code {process.exitcode}.")
            numbers[kind] = json.loads(report.read_text())
    show(numbers, f"{args.videos} videos of {args.frames} frames, {args.objects} objects, {size:.0f} MiB of json")
    if args.json:
        args.json.write_text(json.dumps(numbers, indent=1) + "\n")
    return 0


def show(numbers: dict[str, dict[str, float]], title: str) -> None:
    table = Table("", "open, s", "item, ms", "peak, MiB", "to a worker, MiB", title=title, title_justify="left")
    units = {"open": 1.0, "item": 1000.0, "peak": 1.0, "worker": 1.0}
    for kind, row in numbers.items():
        table.add_row(kind, *(f"{row[name] * unit:.2f}" for name, unit in units.items()))
    whole, one = numbers["whole video"], numbers["one frame"]
    table.add_row("ratio", *(f"{whole[name] / one[name]:.1f}x" for name in units))
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
