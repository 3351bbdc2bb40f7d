#!/usr/bin/env python
"""Draw what an image detector found: tools/show_results.py ANNOTATIONS RESULTS --images FOLDER --out FOLDER.

RESULTS is the results.json of test_image.py, or any in COCO's format; ANNOTATIONS names its images and categories.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from eval.errors import EvalError
from vos_occ.structures.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eval.image_ap import ImageObject
    from eval.readers.coco import Image
    from vos_occ.structures import FrameResult


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("annotations", type=Path, help="json that the results belong to")
    parser.add_argument("results", type=Path, help="results in COCO's format")
    parser.add_argument("--images", type=Path, required=True, help="folder that the json's file names are relative to")
    parser.add_argument("--out", type=Path, required=True, help="folder for the pictures")
    parser.add_argument("--score-thr", type=float, default=0.5, help="least score of what is drawn")
    parser.add_argument("--limit", type=int, default=16, metavar="N", help="draw at most N images")
    parser.add_argument("--overwrite", action="store_true", help="replace pictures")
    args = parser.parse_args(arguments)
    if args.limit < 1 or not 0 <= args.score_thr <= 1:
        parser.error("--limit must be at least 1 and --score-thr in 0..1")
    return args


def draw(args: argparse.Namespace) -> int:
    """Writes the pictures; answers how many."""
    import cv2

    from eval.readers.coco import decode_results, read_images
    from eval.readers.cocoa import REGION
    from eval.readers.record import by_id, categories, load_json, load_object, records
    from vos_occ.datasets.images import read_frame
    from vos_occ.media.overlay import Overlay
    from vos_occ.results.output import require_new, whole_file

    document = load_object(args.annotations)
    images = read_images(document)[: args.limit]
    names = categories(document) if document.values.get("categories") else (REGION,)  # COCOA has none
    written = list(records(load_json(args.results), "", args.results.name))
    found = defaultdict(list)
    for thing in decode_results(written, by_id(read_images(document)), by_id(names)):
        if thing.mask is not None and thing.score >= args.score_thr:
            found[thing.image_id].append(thing)
    labels = {category.id: label for label, category in enumerate(names)}
    for image in images:
        path = args.out / picture_name(image.file_name)
        require_new(path, args.overwrite, folder=False)
        pixels = read_frame(args.images / image.file_name, image.height, image.width)
        overlay = Overlay([category.name for category in names], trails=False)
        picture = overlay.draw(pixels, as_frame(image, found[image.id], labels))
        with whole_file(path) as part:
            part.write_bytes(cv2.imencode(".png", picture[..., ::-1])[1].tobytes())
    return len(images)


def picture_name(file_name: str) -> str:
    """`a/1.jpg` becomes a_1.png: frames of two videos often have the same names."""
    parts = Path(file_name).with_suffix("").parts
    return "_".join(part for part in parts if part not in ("/", "..")) + ".png"


def as_frame(image: Image, found: Sequence[ImageObject], labels: dict[int, int]) -> FrameResult:
    """The objects of one image as a frame, numbered by their scores."""
    import numpy as np

    from vos_occ.structures import FrameResult

    found = sorted(found, key=lambda thing: -thing.score)
    boxes = np.array([thing.bbox for thing in found], np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return FrameResult(
        frame_index=0,
        height=image.height,
        width=image.width,
        track_ids=np.arange(1, len(found) + 1),
        labels=np.array([labels[thing.category_id] for thing in found], np.int64),
        scores=np.array([thing.score for thing in found], np.float32),
        boxes=boxes,
        masks=[thing.mask for thing in found],
    )


def main(arguments: list[str] | None = None) -> int:
    args = parse_arguments(arguments)
    try:
        count = draw(args)
    except (UserError, EvalError) as error:
        print(f"show_results: {error}", file=sys.stderr)
        return 2
    print(f"{count} pictures in {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
