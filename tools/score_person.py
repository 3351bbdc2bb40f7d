#!/usr/bin/env python
"""Score a person model on images and videos that it was not trained on: tools/score_person.py --data DATA --out DIR.

DATA holds pennfudan/, davis17_samples/, tud_campus/ and video_intel_ccby/; data/person is what make_person_data wrote.
Everything is scored from files: detections and results are written to DIR first and read back.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
from image_scores import score_images, xywh
from rich.console import Console

from eval.clear import clear
from eval.errors import SchemaError
from eval.identity import identity
from eval.readers.mot import read_mot
from eval.readers.ytvis import read_ytvis
from eval.sequences import FramePair, TrackingSequence
from vos_occ.inference.benchmark import run_dataset
from vos_occ.inference.demo import main as demo
from vos_occ.inference.load import load
from vos_occ.media import open_video
from vos_occ.models.video.roi_model import RoIVideoModel
from vos_occ.results.jsonl import read_jsonl
from vos_occ.results.output import require_new
from vos_occ.results.ytvis import write_ytvis_dataset
from vos_occ.scoring import score_dataset
from vos_occ.structures import rle
from vos_occ.structures.errors import InputError, UserError

# instance ids of people in the DAVIS masks; the others are bags and dogs
DAVIS_PEOPLE = {"schoolgirls": (1, 3, 5, 7), "dogs_jump": (3,)}
LONG_TRACK = 30


def write_davis(root: Path, name: str, out: Path) -> Path:
    """A DAVIS clip as a YTVIS dataset with one category, person; answers with its json."""
    masks = [read_ids(path) for path in sorted((root / f"{name}_masks").glob("*.png"))]
    frames = list(open_video(root / f"sttn_{name}.mp4"))
    if len(frames) != len(masks) or not masks:
        raise InputError(f"{root}/{name}: {len(frames)} frames, but {len(masks)} masks.")
    (out / name).mkdir(parents=True, exist_ok=True)
    names = [f"{name}/{t:05d}.png" for t in range(len(frames))]
    for path, frame in zip(names, frames, strict=True):
        cv2.imwrite(str(out / path), frame.image[..., ::-1])
    height, width = masks[0].shape
    video = {"id": 1, "width": width, "height": height, "length": len(masks), "file_names": names}
    annotations = []
    for track_id in DAVIS_PEOPLE[name]:
        encoded = [rle.encode(ids == track_id) if (ids == track_id).any() else None for ids in masks]
        annotations.append(
            {
                "id": track_id,
                "video_id": 1,
                "category_id": 1,
                "iscrowd": 0,
                "segmentations": encoded,
                "bboxes": [None if mask is None else xywh(rle.bounding_box(mask)) for mask in encoded],
                "areas": [None if mask is None else rle.area(mask) for mask in encoded],
            }
        )
    path = out / f"{name}.json"
    path.unlink(missing_ok=True)
    write_ytvis_dataset(path, [video], annotations, [{"id": 1, "name": "person"}])
    return path


def read_ids(path: Path) -> np.ndarray:
    """(H, W) instance ids of a palette png."""
    from PIL import Image

    return np.array(Image.open(path))


def score_davis(model: RoIVideoModel, root: Path, name: str, out: Path) -> dict[str, float | int | None]:
    dataset = read_ytvis(write_davis(root, name, out / "davis"))
    run_dataset(model, dataset, out / "davis", out / name, overwrite=True)
    return score_dataset(dataset, out / name).as_dict()


def score_boxes(checkpoint: str, root: Path, out: Path) -> dict[str, float | int | None]:
    """TUD-Campus on boxes: its ground truth has no masks."""
    run_demo(checkpoint, root / "TUD-Campus.mp4", out / "tud_campus")
    results = read_jsonl(out / "tud_campus.jsonl").frames
    truth = read_mot(root / "gt.txt", num_frames=len(results))
    pairs = [
        FramePair.from_boxes(gt.ids, gt.boxes, result.track_ids, result.boxes)
        for gt, result in zip(truth, results, strict=True)
    ]
    sequence = TrackingSequence.from_frames(pairs)
    scores, ids = clear(sequence), identity(sequence)
    return {
        "IDF1": ids.idf1,
        "ID_switches": scores.idsw,
        "MOTA": scores.mota,
        "recall": scores.recall,
        "ids": _num_ids(results),
    }


def score_aisle(checkpoint: str, root: Path, out: Path) -> dict[str, int]:
    """The shop aisle has no ground truth: how long tracks live, and how many ids there are."""
    run_demo(checkpoint, root / "store-aisle-detection_480x270.mp4", out / "aisle")
    results = read_jsonl(out / "aisle.jsonl").frames
    lives = Counter(track_id for result in results for track_id in result.track_ids.tolist())
    return {
        f"tracks_of_{LONG_TRACK}_frames": sum(life >= LONG_TRACK for life in lives.values()),
        "ids": len(lives),
        "frames": len(results),
    }


def run_demo(checkpoint: str, video: Path, out: Path) -> None:
    arguments = ["--checkpoint", checkpoint, "--out", f"{out}.mp4", "--json", f"{out}.jsonl", "--overwrite", "--quiet"]
    if demo([str(video), *arguments]):
        raise InputError(f"The demo failed on {video}.")


def _num_ids(results: list) -> int:
    return len({track_id for result in results for track_id in result.track_ids.tolist()})


def score(args: argparse.Namespace) -> dict[str, dict]:
    person = args.person_data
    images = load(args.checkpoint)
    images.score_threshold = 0.05
    videos = load(args.checkpoint)
    scores = {
        split: score_images(images, person / f"{split}.json", person / "pennfudan", args.out / f"{split}.json")
        for split in ("pennfudan_val", "pennfudan_val_occluded")
    }
    for name in DAVIS_PEOPLE:
        scores[name] = score_davis(videos, args.data / "davis17_samples", name, args.out)
    scores["tud_campus_boxes"] = score_boxes(args.checkpoint, args.data / "tud_campus", args.out)
    scores["aisle"] = score_aisle(args.checkpoint, args.data / "video_intel_ccby", args.out)
    return scores


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", default="person")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--person-data", type=Path, default=Path("data/person"))
    parser.add_argument("--out", type=Path, default=Path("out/person"))
    parser.add_argument("--overwrite", action="store_true", help="replace earlier results")
    args = parser.parse_args(arguments)
    try:
        require_new(args.out, args.overwrite, folder=True)
        scores = score(args)
    except (UserError, SchemaError) as error:
        print(f"score_person: {error}", file=sys.stderr)
        return 2
    (args.out / "scores.json").write_text(json.dumps(scores, indent=1) + "\n")
    Console().print_json(json.dumps(scores))
    return 0


if __name__ == "__main__":
    sys.exit(main())
