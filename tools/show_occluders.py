#!/usr/bin/env python
"""Draw what the bilayer head learns: tools/show_occluders.py ANNOTATIONS --images FOLDER --format kins.

One picture per image: the image with numbered boxes, and for every object its RoI, the occludee target (green) and the
occluder target (red) with their contours, on the 28 x 28 cells on which the head is trained.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from eval.errors import EvalError
from vos_occ.structures.errors import InputError, UserError


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("annotations", type=Path, help="json of any format of AmodalDataset")
    parser.add_argument("--images", type=Path, required=True, help="folder that the json's file names are relative to")
    parser.add_argument("--format", default="coco", help="coco, kins, cocoa, cocoa_cls, d2sa, synthetic or amodal")
    parser.add_argument("--extent", choices=["amodal", "visible"], help="default: visible for coco, else amodal")
    parser.add_argument("--occluder", choices=["all", "in_front"], default="all", help="which neighbours occlude")
    parser.add_argument("--occluder-file", type=Path, help="occluders of tools/make_occluders.py instead")
    parser.add_argument("--crop-to-gt-box", action="store_true", help="as the released annotations do")
    parser.add_argument("--margin", type=float, default=0.1, help="how far an RoI reaches beyond its box, in box sides")
    parser.add_argument("--image-id", type=int, nargs="+", help="which images (default: the first ones)")
    parser.add_argument("--limit", type=int, default=8, metavar="N", help="draw at most N images")
    parser.add_argument("--out", type=Path, default=Path("out/targets"))
    parser.add_argument("--overwrite", action="store_true", help="replace pictures")
    args = parser.parse_args(arguments)
    if args.limit < 1 or not 0 <= args.margin <= 2:
        parser.error("--limit must be at least 1 and --margin between 0 and 2")
    return args


def draw(args: argparse.Namespace) -> int:
    """Writes the pictures; answers how many."""
    import cv2

    from vos_occ.datasets.amodal import amodal_samples
    from vos_occ.models.bilayer.target_picture import target_picture
    from vos_occ.models.bilayer.targets import BilayerTargetBuilder
    from vos_occ.results.output import require_new, whole_file

    dataset = amodal_samples(
        args.annotations, args.images, format=args.format, extent=args.extent, occluder_file=args.occluder_file
    )
    builder = BilayerTargetBuilder(occluder=args.occluder, crop_to_gt_box=args.crop_to_gt_box)
    positions = {dataset.get_data_info(i)["img_id"]: i for i in range(len(dataset))}
    if missing := set(args.image_id or ()) - positions.keys():
        raise InputError(f"{args.annotations} has no image {min(missing)} with objects.")
    chosen = [positions[i] for i in args.image_id] if args.image_id else range(len(dataset))
    for position in list(chosen)[: args.limit]:
        sample = dataset[position]
        data = sample["data_samples"]
        path = args.out / f"{Path(data.img_path).stem}_{data.img_id}.png"
        require_new(path, args.overwrite, folder=False)
        image = sample["inputs"].numpy()[::-1].transpose(1, 2, 0).copy()
        picture = target_picture(image, data.gt_instances, dataset.metainfo["classes"], builder, margin=args.margin)
        with whole_file(path) as part:
            part.write_bytes(cv2.imencode(".png", picture[..., ::-1])[1].tobytes())
    return len(list(chosen)[: args.limit])


def main(arguments: list[str] | None = None) -> int:
    args = parse_arguments(arguments)
    try:
        count = draw(args)
    except (UserError, EvalError) as error:
        print(f"show_occluders: {error}", file=sys.stderr)
        return 2
    print(f"{count} pictures in {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
