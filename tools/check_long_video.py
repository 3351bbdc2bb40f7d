#!/usr/bin/env python
"""A video of 10,000 frames with objects that come and go: memory stays flat, and no id is given twice.

The objects are coloured blocks whose places are known; the model finds blocks by their colour and has the real track
memory and association. Everything else is what the demo does: decoding, threads, JSONL, MOT, csv, overlay, H.264.
Prints resident memory at frames 100, 1000 and 10000; exits 1 if it grew by more than 3 %, or an id is wrong.
"""

from __future__ import annotations

import argparse
import colorsys
import os
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np
import torch

from vos_occ.inference.ahead import Ahead
from vos_occ.inference.run import track
from vos_occ.inference.sinks import Outputs, open_sinks
from vos_occ.media import VideoWriter, open_video
from vos_occ.models.video.contract import VideoMeta, VideoState
from vos_occ.results.jsonl import read_jsonl
from vos_occ.structures import FrameResult
from vos_occ.structures.rle import encode_box
from vos_occ.tracking.association import assign, match_scores
from vos_occ.tracking.memory import TrackMemory

HEIGHT, WIDTH, SIDE = 96, 160, 12
BIRTHS, LIFE, LANES = 25, 60, 5  # an object every 25 frames, for 60 frames; 2 or 3 are seen at once
ABSENCE = range(30, 39)  # every third object is out of sight then, and comes back
RETAIN = 20
LARGEST_GROWTH = 1.03


def objects_at(frame_index: int) -> list[tuple[int, int, int]]:
    """Number, left and upper edge of every object in sight."""
    seen = []
    for number in range(max(0, (frame_index - LIFE) // BIRTHS), frame_index // BIRTHS + 1):
        age = frame_index - number * BIRTHS
        if 0 <= age < LIFE and not (number % 3 == 0 and age in ABSENCE):
            seen.append((number, 2 + 2 * age, 4 + 18 * (number % LANES)))
    return seen


def picture(frame_index: int) -> np.ndarray:
    """(H, W, 3) uint8 RGB."""
    image = np.full((HEIGHT, WIDTH, 3), 30, np.uint8)
    for number, x, y in objects_at(frame_index):
        colour = colorsys.hsv_to_rgb(number * 0.382 % 1, 1, 1)
        image[y : y + SIDE, x : x + SIDE] = np.multiply(colour, 255).round()
    return image


class ColouredBlocks:
    """Finds blocks of strong colour; their mean colour is their embedding."""

    name, checkpoint_sha256, classes = "blocks", None, ("block",)
    occlusion_options = {"enabled": False}

    def new_state(self, meta: VideoMeta) -> VideoState:
        return VideoState(meta, TrackMemory(3, max_tracks=16, retain_frames=RETAIN))

    def step(self, state: VideoState, image: np.ndarray, frame_index: int) -> list[FrameResult]:
        strong = (np.ptp(image.astype(int), axis=2) > 100).astype(np.uint8)
        _, owners, stats, _ = cv2.connectedComponentsWithStats(strong, connectivity=8)
        found = [k for k in range(1, len(stats)) if stats[k, cv2.CC_STAT_AREA] > SIDE * SIDE / 2]
        colours = torch.tensor(np.array([image[owners == k].mean(0) for k in found]).reshape(-1, 3)).float()
        x, y, width, height = stats[found, :4].astype(np.float32).T
        boxes = torch.tensor(np.stack([x, y, x + width, y + height], 1))
        labels, scores = torch.zeros(len(found), dtype=torch.int64), torch.full((len(found),), 0.9)
        assignment = self._associate(state.memory, colours, boxes, scores)
        update = state.memory.update(assignment, colours, boxes, labels, scores, frame_index)
        result = FrameResult(
            frame_index=frame_index,
            height=HEIGHT,
            width=WIDTH,
            track_ids=update.track_ids.numpy(),
            labels=labels.numpy(),
            scores=scores.numpy(),
            boxes=boxes.numpy(),
            masks=[encode_box(owners[b:d, a:c] == k, a, b, HEIGHT, WIDTH) for k, (a, b, c, d) in
                   zip(found, boxes.int().tolist(), strict=True)],
        )  # fmt: skip
        return [result]

    def _associate(
        self, memory: TrackMemory, colours: torch.Tensor, boxes: torch.Tensor, scores: torch.Tensor
    ) -> torch.Tensor:
        near = 12 - torch.cdist(colours, memory.embeddings) / 5
        logits = torch.cat([torch.zeros(len(colours), 1), near], 1)
        ious = torch.zeros(len(colours), len(memory))
        return assign(match_scores(logits, scores, ious, torch.ones_like(ious, dtype=torch.bool)))

    def finish(self, state: VideoState) -> list[FrameResult]:
        return []


def resident_megabytes() -> float:
    """Memory of this process that is in RAM now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def run(source: Path, folder: Path) -> dict[int, float]:
    """Tracks the video as the demo does; resident megabytes by frame."""
    outputs = Outputs(
        video=folder / "o.mp4", jsonl=folder / "r.jsonl", mot=folder / "m.txt", csv=folder / "t.csv", overwrite=True
    )
    model, memory = ColouredBlocks(), {}
    with ExitStack() as stack:
        video = stack.enter_context(open_video(source))
        sinks = open_sinks(stack, outputs, video, model)
        frames = stack.enter_context(Ahead(video))
        for frame, result in stack.enter_context(Ahead(track(model, frames, video.num_frames))):
            for sink in sinks:
                sink(frame, result)
            if frame.index + 1 in (100, 1000, 10_000):
                memory[frame.index + 1] = resident_megabytes()
                print(f"frame {frame.index + 1:6}: {memory[frame.index + 1]:.1f} MB resident", flush=True)
    return memory


def check_ids(path: Path, num_frames: int) -> list[str]:
    """What is wrong with the ids of a result file; empty if nothing is."""
    frames = read_jsonl(path).frames
    objects_of, ids_of, first_seen, faults = defaultdict(set), defaultdict(set), [], []
    for result in frames:
        places = {(x, y): number for number, x, y in objects_at(result.frame_index)}
        if len(result) != len(places):
            faults.append(f"frame {result.frame_index}: {len(result)} objects found, {len(places)} are there")
        for track_id, (x, y, _, _) in zip(result.track_ids.tolist(), result.boxes.tolist(), strict=True):
            (left, top), number = min(places.items(), key=lambda item: abs(item[0][0] - x) + abs(item[0][1] - y))
            if abs(left - x) + abs(top - y) > 4:
                faults.append(f"frame {result.frame_index}: nothing is at {x:.0f}, {y:.0f}")
            if track_id not in objects_of:
                first_seen.append(track_id)
            objects_of[track_id].add(number)
            ids_of[number].add(track_id)
    faults += [f"id {i} was given to objects {sorted(o)}" for i, o in objects_of.items() if len(o) > 1]
    faults += [f"object {o} had ids {sorted(i)}" for o, i in ids_of.items() if len(i) > 1]
    if first_seen != sorted(first_seen) or len(frames) != num_frames:
        faults.append(f"{len(frames)} frames of {num_frames}; new ids ascend: {first_seen == sorted(first_seen)}")
    print(f"{len(frames)} frames, {len(ids_of)} objects, {len(objects_of)} ids, {len(faults)} faults")
    return faults


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=10_000)
    num_frames = parser.parse_args().frames
    torch.set_num_threads(1)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with VideoWriter(folder / "long.mp4", 25, WIDTH, HEIGHT) as writer:
            for frame_index in range(num_frames):
                writer.write(picture(frame_index))
        memory = run(folder / "long.mp4", folder)
        faults = check_ids(folder / "r.jsonl", num_frames)
    if 10_000 in memory and memory[10_000] > LARGEST_GROWTH * memory[1000]:
        faults.append(f"memory grew from {memory[1000]:.1f} to {memory[10_000]:.1f} MB between frames 1000 and 10000")
    for fault in faults[:10]:
        print(fault)
    print(f"{'failed' if faults else 'passed'} in {time.perf_counter() - began:.0f} s")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
