#!/usr/bin/env python
"""Join COCOA annotations that come one file per image: tools/make_cocoa_data.py FOLDER --out annotations.json.

FOLDER holds pairs of 1.jpg and 1.json, as the demo of the deocclusion project does; the file that is written has the
layout of COCO_amodal_train2014.json, with file names relative to FOLDER.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from eval.errors import EvalError
from eval.readers.cocoa import cocoa_dataset
from eval.readers.record import Record, load_object
from vos_occ.datasets.images import read_image
from vos_occ.results.output import require_new, write_atomically
from vos_occ.structures.errors import InputError, UserError


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="with NAME.jpg and NAME.json of every image")
    parser.add_argument("--out", type=Path, required=True, help="the json to write")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    return parser.parse_args(arguments)


def joined(folder: Path) -> dict[str, list]:
    """The content of one COCOA file.

    Raises:
        InputError: the folder has no such pair.
        EvalError: a file is not one image's annotation.
    """
    images, annotations = [], []
    for path in sorted(folder.glob("*.json")):
        picture = path.with_suffix(".jpg")
        if not picture.is_file():
            continue
        record = load_object(path)
        height, width = read_image(picture).shape[:2]
        image_id = record.integer("image_id")
        images.append({"id": image_id, "file_name": picture.name, "height": height, "width": width})
        annotations.append(record.values)
    if not images:
        raise InputError(f"{folder} has no NAME.json beside a NAME.jpg, expected one of both for every image.")
    content = {"images": images, "annotations": annotations}
    cocoa_dataset(Record(content, "", folder.name))  # refuses what no reader could use
    return content


def main(arguments: list[str] | None = None) -> int:
    args = parse_arguments(arguments)
    try:
        require_new(args.out, args.overwrite, folder=False)
        content = joined(args.folder)
        write_atomically(args.out, json.dumps(content) + "\n")
    except (UserError, EvalError) as error:
        print(f"make_cocoa_data: {error}", file=sys.stderr)
        return 2
    print(f"Wrote {args.out}: {len(content['images'])} images.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
