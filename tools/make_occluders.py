#!/usr/bin/env python
"""Compute occluder masks beforehand: tools/make_occluders.py ANNOTATIONS --format coco --out occluders.json.

The occluder of an object is the union of the masks of its neighbours (box IoU over 0.05) inside its box, if it has more
than 20 pixels there: the rule of BCNet's released script. With --occluder in_front only those neighbours count that the
annotations say lie in front; an object of which that is not known gets no occluder.

The file is read by `AmodalDataset(occluder_file=...)`: per annotation its id and `bg_object_segmentation`, an RLE or
null. Training does not need it, since the RoI head computes the same online; it serves to look at occluders, to correct
them by hand, or to bring those of another source.
"""

from __future__ import annotations

import argparse
import functools
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch

from eval.errors import EvalError
from eval.readers.occluders import FIELD
from vos_occ.datasets.amodal_formats import FORMATS, read_annotation_file, require_extent
from vos_occ.datasets.amodal_masks import Extent
from vos_occ.models.bilayer.occluder_records import occluder_records
from vos_occ.models.bilayer.targets import BilayerTargetBuilder
from vos_occ.results.output import require_new, write_atomically
from vos_occ.results.records import dataset_json
from vos_occ.structures.errors import UserError


def make(args: argparse.Namespace) -> tuple[int, int]:
    """Writes the file; answers how many objects there are and how many of them have an occluder."""
    from rich.progress import track

    extent: Extent = args.extent or ("visible" if args.format == "coco" else "amodal")
    require_extent(extent, args.format)
    require_new(args.out, args.overwrite, folder=False)
    file = read_annotation_file(args.annotations, args.format)
    tasks = [(image, file.objects[image.id]) for image in file.images]
    work = functools.partial(occluder_records, extent=extent, builder=BilayerTargetBuilder(occluder=args.occluder))
    with ProcessPoolExecutor(args.workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        results = pool.map(work, tasks, chunksize=16) if args.workers > 1 else map(work, tasks)
        shown = track(results, "occluders", total=len(tasks), disable=args.quiet or not sys.stderr.isatty())
        records = [record for part in shown for record in part]
    images = [{"id": i.id, "width": i.width, "height": i.height, "file_name": i.file_name} for i in file.images]
    write_atomically(args.out, dataset_json(args.out, {"images": images, "annotations": records}))
    return len(records), sum(record[FIELD] is not None for record in records)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("annotations", type=Path, help="json of any format of AmodalDataset")
    parser.add_argument("--format", choices=FORMATS, default="coco")
    parser.add_argument("--extent", choices=["amodal", "visible"], help="default: visible for coco, else amodal")
    parser.add_argument("--occluder", choices=["all", "in_front"], default="all", help="which neighbours occlude")
    parser.add_argument("--out", type=Path, required=True, help="the json to write")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    args = parser.parse_args(arguments)
    if args.workers < 1:
        parser.error("--workers must be at least 1")
    try:
        total, occluded = make(args)
    except (UserError, EvalError) as error:
        print(f"make_occluders: {error}", file=sys.stderr)
        return 2
    print(f"{occluded} of {total} objects have an occluder: {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
