"""Data for tools/benchmark_eval.py: blobs that drift over, hide and leave each other, in four benchmarks' formats.

Everything follows from a seed. Masks of one frame never overlap, except among the predicted tracks of YouTube-VIS and
OVIS, which may. Run lengths are counted from what was painted; their text is pycocotools'.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as mask_api

# (3, N): column, first row, row after the last one, of each vertical stretch of a mask; by column, then row.
Spans = NDArray[np.int64]

HEIGHT, WIDTH = 720, 1280
RADII = (30, 180)  # pixels, mean over the outline; small objects are more frequent
IGNORED = 1000  # number of the ignored region; objects count from 1
FALSE_POSITIVES = 3  # objects of a video that only the predictions have
CLASSES = ("pedestrian", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle")
VIS_CATEGORIES = [{"id": 1, "name": "person"}, {"id": 2, "name": "fish"}]
OCCLUSION = (("no_occlusion", 0.0), ("slight_occlusion", 0.5), ("severe_occlusion", 1.0))  # hidden at most


@dataclass(frozen=True)
class Size:
    """How much is generated: videos of the MOTS formats, videos and predictions of each of the VIS formats."""

    videos: int = 10
    frames: int = 100
    objects: int = 20
    vis_videos: int = 3
    predictions: int = 200


@dataclass(frozen=True)
class Frame:
    """Masks by object number, as they are and as they are predicted; whole extents; predicted ids."""

    true: Mapping[int, Spans]
    predicted: Mapping[int, Spans]
    whole: Mapping[int, int]
    ids: Mapping[int, int]


def simulate(size: Size, seed: int) -> Iterator[Frame]:
    """The frames of one video.

    Objects come late (two in five) and live for 30 to 100 % of the video. Predictions drift around the truth, miss one
    mask in twelve, change the id of every third object half-way, and see a few objects that are not there.
    """
    rng = np.random.default_rng(seed)
    count = size.objects + FALSE_POSITIVES
    blobs = [_blob(rng) for _ in range(count)]
    position, velocity = rng.uniform((0, 0), (WIDTH, HEIGHT), (count, 2)), rng.normal(0, 4, (count, 2))
    start = rng.uniform(0, 0.6, count) * (rng.random(count) < 0.4) * size.frames
    end = start + rng.uniform(0.3, 1, count) * size.frames
    order, drift = rng.permutation(count), rng.normal(0, 1, (count, 2))
    real = order < size.objects
    ignored = _blob(rng), rng.uniform((0, 0), (WIDTH, HEIGHT))
    for t in range(size.frames):
        position += velocity
        velocity = np.where((position < 0) | (position > (WIDTH, HEIGHT)), -velocity, velocity)
        drift = 0.9 * drift + rng.normal(0, 2, (count, 2))
        alive = (start[order] <= t) & (t < end[order])
        found = alive & (rng.random(count) > np.where(real, 1 / 12, 0.3))
        scene = [(i + 1, blobs[i], position[i]) for i in order[alive & real]]
        switched = size.objects + FALSE_POSITIVES if t > size.frames / 2 else 0
        yield Frame(
            true=_paint([(IGNORED, *ignored), *scene]),
            predicted=_paint([(i + 1, blobs[i], position[i] + drift[i]) for i in order[found]]),
            whole={number: int(blob.sum()) for number, blob, _ in scene},
            ids={i + 1: i + 1 + (switched if i % 3 == 0 else 0) for i in range(count)},
        )


def _blob(rng: np.random.Generator) -> NDArray[np.bool_]:
    """(2 r + 1, 2 r + 1), by column then row: a disc with a wavy outline."""
    angles = np.arange(360) * np.pi / 180
    waves = sum(rng.normal() * np.cos(k * angles + rng.uniform(0, 6)) / k for k in range(1, 9))
    outline = np.exp(rng.uniform(*np.log(RADII))) * np.clip(1 + 0.25 * waves, 0.2, 2)
    reach = int(outline.max())
    x, y = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return np.hypot(x, y) < outline[np.degrees(np.arctan2(y, x)).astype(int) % 360]


def _paint(scene: list[tuple[int, NDArray[np.bool_], NDArray[np.float64]]]) -> dict[int, Spans]:
    """Visible masks by number; the last one painted lies in front. Masks without a pixel are left out."""
    canvas = np.zeros((WIDTH, HEIGHT + 1), np.int16)  # a row more, of zeros, so that no stretch goes on in a new column
    for number, blob, center in scene:
        left, top = (round(float(c)) - len(blob) // 2 for c in center)
        x0, x1, y0, y1 = max(left, 0), min(left + len(blob), WIDTH), max(top, 0), min(top + len(blob), HEIGHT)
        if x0 < x1 and y0 < y1:
            canvas[x0:x1, y0:y1][blob[x0 - left : x1 - left, y0 - top : y1 - top]] = number
    return _spans(canvas)


def _spans(canvas: NDArray[np.int16]) -> dict[int, Spans]:
    flat = canvas.ravel()
    cuts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    numbers = flat[cuts[:-1]]
    column, top = np.divmod(cuts[:-1], HEIGHT + 1)
    stretches = np.stack([column, top, top + np.diff(cuts)])
    return {int(n): stretches[:, numbers == n] for n in np.unique(numbers[numbers > 0])}


def shift(spans: Spans, right: int, down: int) -> Spans:
    """The mask moved; what leaves the picture is cut off."""
    column, top, bottom = spans[0] + right, np.clip(spans[1] + down, 0, HEIGHT), np.clip(spans[2] + down, 0, HEIGHT)
    return np.stack([column, top, bottom])[:, (column >= 0) & (column < WIDTH) & (top < bottom)]


def area(spans: Spans) -> int:
    """Pixels."""
    return int((spans[2] - spans[1]).sum())


def counts(spans: Spans) -> str:
    """Compressed COCO run lengths."""
    begin, end = spans[0] * HEIGHT + spans[1], spans[0] * HEIGHT + spans[2]
    apart = begin[1:] != end[:-1]  # a stretch at a column's foot goes on at the head of the next
    edges = np.stack([begin[np.r_[True, apart]], end[np.r_[apart, True]]], axis=1).ravel() if len(begin) else begin
    runs = np.diff(np.concatenate([[0], edges, [HEIGHT * WIDTH]]))
    listed = {"size": [HEIGHT, WIDTH], "counts": (runs if runs[-1] else runs[:-1]).tolist()}
    return mask_api.frPyObjects(listed, HEIGHT, WIDTH)["counts"].decode()


def write_kitti_mots(folder: Path, size: Size, seed: int = 0) -> dict[str, float]:
    """`gt/*.txt`, `pred/tracker/data/*.txt` and `seqmap`: two classes, and one ignored region for each video."""
    tracker = folder / "pred" / "tracker" / "data"
    for place in (folder / "gt", tracker):
        place.mkdir(parents=True)
    total = _Total()
    for video in range(size.videos):
        lines: tuple[list[str], list[str]] = [], []
        for t, frame in enumerate(simulate(size, seed + video)):
            for number, text in total.of(frame.true):
                kind = 10 if number == IGNORED else number % 2 + 1
                lines[0].append(f"{t} {kind * 1000 + number % 1000} {kind} {HEIGHT} {WIDTH} {text}\n")
            for number, text in total.of(frame.predicted, predicted=True):
                lines[1].append(f"{t} {frame.ids[number]} {number % 2 + 1} {HEIGHT} {WIDTH} {text}\n")
        for place, content in zip((folder / "gt", tracker), lines, strict=True):
            (place / f"{video:04d}.txt").write_text("".join(content))
    seqmap = [f"{video:04d} empty 000000 {size.frames - 1:06d}\n" for video in range(size.videos)]
    (folder / "seqmap").write_text("".join(seqmap))
    return total.summary()


def write_bdd100k_mots(folder: Path, size: Size, seed: int = 0) -> dict[str, float]:
    """`gt.json` and `pred.json` in Scalabel's form: eight classes, and one crowd for each video."""
    folder.mkdir(parents=True)
    total = _Total()
    frames: tuple[list[Any], list[Any]] = [], []
    for video in range(size.videos):
        for t, frame in enumerate(simulate(size, seed + video)):
            head = {"name": f"v{video:03d}-{t:07d}.jpg", "videoName": f"v{video:03d}", "frameIndex": t}
            true = [_label(number, number, text) for number, text in total.of(frame.true)]
            predicted = [
                _label(frame.ids[number], number, text) for number, text in total.of(frame.predicted, predicted=True)
            ]
            for side, labels in zip(frames, (true, predicted), strict=True):
                side.append({**head, "labels": labels})
    for name, side in zip(("gt.json", "pred.json"), frames, strict=True):
        (folder / name).write_text(json.dumps(side))
    return total.summary()


def _label(track_id: int, number: int, text: str) -> dict[str, Any]:
    return {
        "id": str(track_id),
        "category": CLASSES[number % len(CLASSES)],
        "attributes": {"crowd": number == IGNORED},
        "rle": {"counts": text, "size": [HEIGHT, WIDTH]},
    }


def write_vis(folder: Path, size: Size, seed: int = 0, occlusion: bool = False) -> dict[str, float]:
    """`gt.json` and `pred.json` of YouTube-VIS, with `occlusion` of OVIS: one true track per object, two categories.

    A predicted track follows one object at an offset that grows down the ranking; it comes late or leaves early, one
    in ten has the wrong category. Tracks of one object overlap.
    """
    folder.mkdir(parents=True)
    rng, total = np.random.default_rng(seed), _Total()
    document: dict[str, Any] = {"videos": [], "categories": VIS_CATEGORIES, "annotations": []}
    results: list[Any] = []
    for video in range(1, size.vis_videos + 1):
        frames = list(simulate(size, seed + video))
        files = [f"{video:03d}/{t:05d}.jpg" for t in range(size.frames)]
        head = {"id": video, "width": WIDTH, "height": HEIGHT, "length": size.frames, "file_names": files}
        document["videos"].append(head)
        objects = sorted({number for frame in frames for number in frame.true} - {IGNORED})
        for number in objects:
            track = _true_track(frames, number, total, occlusion)
            document["annotations"].append({"id": len(document["annotations"]) + 1, "video_id": video, **track})
        for rank in range(size.predictions):
            track = _predicted_track(frames, objects[rank % len(objects)], rank / size.predictions, rng, total)
            results.append({"video_id": video, **track})
    (folder / "gt.json").write_text(json.dumps(document))
    (folder / "pred.json").write_text(json.dumps(results))
    return total.summary()


def _true_track(frames: list[Frame], number: int, total: _Total, occlusion: bool) -> dict[str, Any]:
    masks = [frame.true.get(number) for frame in frames]
    track = {
        "category_id": number % len(VIS_CATEGORIES) + 1,
        "iscrowd": 0,
        "segmentations": [total.rle(mask) for mask in masks],
        "areas": [None if mask is None else area(mask) for mask in masks],
        "bboxes": [None if mask is None else _box(mask) for mask in masks],
    }
    if occlusion:
        track["occlusion"] = [_occlusion(frame, number) for frame in frames]
    return track


def _predicted_track(
    frames: list[Frame], number: int, rank: float, rng: np.random.Generator, total: _Total
) -> dict[str, Any]:
    right, down = rng.normal(0, 2 + 40 * rank, 2).round().astype(int)
    first, last = np.sort(rng.uniform(0, 1, 2)) * (rank, rank) + (0, 1 - rank)
    masks: list[Spans | None] = []
    for t, frame in enumerate(frames):
        mask = frame.true.get(number) if first <= t / len(frames) < max(last, first + 0.3) else None
        mask = None if mask is None else shift(mask, int(right), int(down))
        masks.append(mask if mask is not None and mask.size else None)
    wrong = rng.random() < 0.1
    return {
        "category_id": (number + wrong) % len(VIS_CATEGORIES) + 1,
        "score": round(float(1 - rank) * 0.9 + rng.uniform(0, 0.1), 4),
        "segmentations": [total.rle(mask, predicted=True) for mask in masks],
    }


def _box(spans: Spans) -> list[int]:
    left, top = int(spans[0].min()), int(spans[1].min())
    return [left, top, int(spans[0].max()) + 1 - left, int(spans[2].max()) - top]


def _occlusion(frame: Frame, number: int) -> str | None:
    if number not in frame.true:
        return None
    hidden = 1 - area(frame.true[number]) / frame.whole[number]
    return next(label for label, most in OCCLUSION if hidden <= most)


class _Total:
    """Counts the masks, and their characters, of both sides while they are written."""

    def __init__(self) -> None:
        self._masks = [0, 0]
        self._characters = 0

    def of(self, masks: Mapping[int, Spans], predicted: bool = False) -> Iterator[tuple[int, str]]:
        """Number and run lengths of each mask."""
        for number, spans in masks.items():
            yield number, self._count(counts(spans), predicted)

    def rle(self, mask: Spans | None, predicted: bool = False) -> dict[str, Any] | None:
        """The mask as YouTube-VIS writes it; None where there is none."""
        return None if mask is None else {"size": [HEIGHT, WIDTH], "counts": self._count(counts(mask), predicted)}

    def _count(self, text: str, predicted: bool) -> str:
        self._masks[predicted] += 1
        self._characters += len(text)
        return text

    def summary(self) -> dict[str, float]:
        """True and predicted masks, mean characters of one."""
        true, predicted = self._masks
        return {"true": true, "predicted": predicted, "characters": self._characters / max(true + predicted, 1)}


def write(protocol: str, folder: Path, size: Size) -> dict[str, float]:
    """Write the data of one protocol into an empty or absent folder; returns how many masks there are, and how long."""
    if protocol in ("ytvis", "ovis"):
        return write_vis(folder, size, occlusion=protocol == "ovis")
    return {"kitti_mots": write_kitti_mots, "bdd100k_mots": write_bdd100k_mots}[protocol](folder, size)
