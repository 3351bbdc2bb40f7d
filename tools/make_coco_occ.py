#!/usr/bin/env python
"""Make the split COCO-OCC: tools/make_coco_occ.py instances_val2017.json --out instances_val2017_occ.json.

Keeps the images on which the boxes of two objects overlap by at least 0.2, with all their annotations as they are:
ids, areas and crowds included. --ids takes the list of image ids (or of file names) instead, one per line, or another
COCO file whose images are meant. The paper's split has 1,005 images of val2017; its rule was not released, so a split
of another size is warned about, and --metric, --aggregate and --min-area try other readings.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from eval.errors import EvalError
from eval.readers.coco import CocoDataset, read_coco
from eval.readers.record import load_json
from vos_occ.datasets.coco_occ import AGGREGATES, METRICS, PAPER_COUNT, image_overlap
from vos_occ.results.output import require_new, write_atomically
from vos_occ.results.records import dataset_json
from vos_occ.structures.errors import InputError, UserError


def overlapping_images(dataset: CocoDataset, args: argparse.Namespace) -> set[int]:
    """Ids of the images whose overlap is at least the threshold."""
    boxes: dict[int, list[tuple[float, ...]]] = defaultdict(list)
    for annotation in dataset.annotations:
        if not annotation.iscrowd and annotation.area >= args.min_area:
            boxes[annotation.image_id].append(annotation.bbox)
    return {
        image_id
        for image_id, members in boxes.items()
        if image_overlap(members, args.metric, args.aggregate) >= args.threshold
    }


def listed_images(path: Path, dataset: CocoDataset) -> set[int]:
    """Ids of the images that a list names.

    Raises:
        InputError: the list is absent, empty, or names an image that is not there.
    """
    known = {str(image.id): image.id for image in dataset.images}
    known |= {Path(image.file_name).name: image.id for image in dataset.images}
    if not path.is_file():
        raise InputError(f"Image list {path} does not exist.")
    if path.suffix == ".json":
        content = load_json(path)
        rows = content.get("images", []) if isinstance(content, dict) else content
        names = [str(row["id"]) if isinstance(row, dict) else str(row) for row in rows]
    else:
        names = path.read_text().split()
    names = [name.lstrip("0") or "0" if name.isdecimal() else Path(name).name for name in names]
    if strange := [name for name in names if name not in known]:
        raise InputError(f"{path} names image {strange[0]} and {len(strange) - 1} more that {dataset.path} has not.")
    if not names:
        raise InputError(f"{path} names no image.")
    return {known[name] for name in names}


def reduced(content: dict[str, Any], kept: set[int]) -> dict[str, Any]:
    """A COCO file's content with some of its images; records stay as they are."""
    images = [image for image in content["images"] if image["id"] in kept]
    annotations = [record for record in content["annotations"] if record["image_id"] in kept]
    return content | {"images": images, "annotations": annotations}


def make(args: argparse.Namespace) -> str:
    """Writes the file; answers what to tell."""
    require_new(args.out, args.overwrite, folder=False)
    dataset = read_coco(args.annotations)
    if not dataset.has_annotations:
        raise InputError(f"{args.annotations} has no annotations, so it is not known what overlaps.")
    kept = listed_images(args.ids, dataset) if args.ids else overlapping_images(dataset, args)
    if not kept:
        raise InputError(f"No image of {args.annotations} has an overlap of {args.threshold}. Lower --threshold.")
    content = reduced(json.loads(args.annotations.read_text()), kept)
    write_atomically(args.out, dataset_json(args.out, content))
    if not args.ids and len(kept) != PAPER_COUNT:
        print(
            f"make_coco_occ: the paper's COCO-OCC has {PAPER_COUNT} images of val2017, this has {len(kept)} of "
            f"{len(dataset.images)}; scores on it are not the paper's.",
            file=sys.stderr,
        )
    return f"{len(kept)} of {len(dataset.images)} images, {len(content['annotations'])} annotations: {args.out}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("annotations", type=Path, help="COCO instances json")
    parser.add_argument("--out", type=Path, required=True, help="the json to write")
    parser.add_argument("--ids", type=Path, help="text file of image ids or names, or a COCO json, instead of a rule")
    parser.add_argument("--threshold", type=float, default=0.2, help="smallest overlap (default 0.2)")
    parser.add_argument("--metric", choices=METRICS, default="iou", help="of two boxes: IoU, or over one of them")
    parser.add_argument("--aggregate", choices=AGGREGATES, default="max", help="of the pairs of an image")
    parser.add_argument("--min-area", type=float, default=0.0, help="smaller objects do not count, in pixels")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    args = parser.parse_args(arguments)
    if not 0 < args.threshold <= 1:
        parser.error("--threshold must be in (0, 1]")
    try:
        print(make(args))
    except (UserError, EvalError) as error:
        print(f"make_coco_occ: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
