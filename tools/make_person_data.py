#!/usr/bin/env python
"""Prepare the data of configs/demo/person.py: tools/make_person_data.py DATA --out data/person.

DATA holds pennfudan/ (JPEGImages, PedMasks) and coco128/ (annotations, images). Writes pennfudan_train.json (first 136
images by name), pennfudan_val.json (last 34), coco128_person.json, coco128_background.json (images without people), the
images they name, and pennfudan_val_occluded.json: the 34 images with seeded copy-paste occlusions, order and hidden
fraction.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np

from eval.errors import SchemaError
from eval.readers.coco import read_coco
from vos_occ.datasets.copy_paste import CopyPaste
from vos_occ.datasets.images import read_image
from vos_occ.datasets.sample import Sample, unknown_order
from vos_occ.results.coco import write_coco_dataset
from vos_occ.results.output import require_new
from vos_occ.structures import rle
from vos_occ.structures.errors import InputError, UserError

NUM_TRAIN = 136
CATEGORY = {"id": 1, "name": "person"}
SPLITS = ("pennfudan_train", "pennfudan_val", "pennfudan_val_occluded", "coco128_person", "coco128_background")


def penn_fudan_sample(root: Path, name: str) -> Sample:
    """An image and the people in its mask file, in which 0 is nobody and n the n-th person."""
    image = read_image(root / "JPEGImages" / f"{name}.jpg")
    mask_file = root / "PedMasks" / f"{name}_mask.png"
    ids = cv2.imread(str(mask_file), cv2.IMREAD_UNCHANGED) if mask_file.is_file() else None
    if ids is None or ids.shape != image.shape[:2] or not ids.any():
        raise InputError(f"{mask_file} is absent, of another size than its image, or empty. Unpack Penn-Fudan again.")
    numbers = np.unique(ids[ids > 0])
    count = len(numbers)
    return Sample(
        image=image,
        masks=(ids == numbers[:, None, None]).astype(np.uint8),
        labels=np.zeros(count, np.int64),
        instance_ids=np.arange(1, count + 1),
        hidden=np.full(count, np.nan, np.float32),
        in_front=unknown_order(count),
        crowd=np.zeros(count, bool),
    )


def occluded(samples: list[Sample], seed: int) -> list[Sample]:
    """Every sample with one or two people of others pasted before its own; the same for the same seed."""
    paste = CopyPaste(prob=1.0, max_objects=2, size_ratio=(0.8, 1.2))
    results = []
    for index, sample in enumerate(samples):
        rng = np.random.default_rng((seed, index))
        cutouts = paste.draw(lambda rng=rng: samples[int(rng.integers(len(samples)))], rng)
        targets = [int(target) for target in rng.choice(sample.instance_ids, len(cutouts))]
        results.append(paste.paste(sample, cutouts, targets, rng))
    return results


def coco_records(samples: list[Sample], names: list[str]) -> tuple[list[dict], list[dict]]:
    """COCO images and annotations; `hidden` and `in_front_of` where they are known.

    The format has no word for "unknown" per pair: of the people of one photograph, who were not pasted, none is said
    to hide another. Scores count only pairs that are said to.
    """
    images, annotations = [], []
    for image_id, (sample, name) in enumerate(zip(samples, names, strict=True), start=1):
        height, width = sample.image.shape[:2]
        images.append({"id": image_id, "file_name": name, "height": height, "width": width})
        visible = sample.select(sample.masks.any((1, 2)))
        ids = len(annotations) + 1 + np.arange(len(visible))
        order_known = not (visible.in_front < 0).all() or len(visible) == 1
        for i, (mask, box) in enumerate(zip(visible.masks, visible.boxes(), strict=True)):
            hidden = float(visible.hidden[i])
            annotation = {
                "id": int(ids[i]),
                "image_id": image_id,
                "category_id": 1,
                "iscrowd": 0,
                "segmentation": rle.encode(mask.astype(bool)),
                "area": int(mask.sum()),
                "bbox": [float(box[0]), float(box[1]), float(box[2] - box[0]), float(box[3] - box[1])],
                "hidden": None if np.isnan(hidden) else hidden,
            }
            if order_known:
                annotation["in_front_of"] = [int(ids[j]) for j in np.flatnonzero(visible.in_front[i] == 1)]
            annotations.append(annotation)
    return images, annotations


def write_images(samples: list[Sample], names: list[str], folder: Path) -> None:
    """The images as JPEG of quality 95."""
    folder.mkdir(parents=True, exist_ok=True)
    for sample, name in zip(samples, names, strict=True):
        cv2.imwrite(str(folder / name), sample.image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])


def write_penn_fudan(root: Path, out: Path, seed: int, copies: int) -> None:
    """The splits by name, and the last 34 images again, `copies` times, with people pasted in front of people."""
    names = sorted(path.stem for path in (root / "JPEGImages").glob("*.jpg"))
    if len(names) <= NUM_TRAIN:
        raise InputError(f"{root}/JPEGImages has {len(names)} jpg images; Penn-Fudan has 170.")
    samples = [penn_fudan_sample(root, name) for name in names]
    splits = {
        "pennfudan_train": (samples[:NUM_TRAIN], names[:NUM_TRAIN]),
        "pennfudan_val": (samples[NUM_TRAIN:], names[NUM_TRAIN:]),
        "pennfudan_val_occluded": (
            [sample for copy in range(copies) for sample in occluded(samples[NUM_TRAIN:], seed + copy)],
            [f"{name}_occluded{copy or ''}" for copy in range(copies) for name in names[NUM_TRAIN:]],
        ),
    }
    for split, (chosen, stems) in splits.items():
        files = [f"{stem}.jpg" for stem in stems]
        write_images(chosen, files, out / "pennfudan")
        images, annotations = coco_records(chosen, files)
        write_coco_dataset(out / f"{split}.json", images, annotations, [CATEGORY], overwrite=True)


def write_coco_persons(root: Path, out: Path) -> None:
    """The images of COCO128 with a person, as category 1, crowds stay crowds; and those without one, as background."""
    source = read_coco(root / "annotations" / "instances_train2017_first128.json")
    names = {category.id: category.name for category in source.categories}
    persons = [a for a in source.annotations if names[a.category_id] == "person"]
    with_person = {annotation.image_id for annotation in persons}
    images = [asdict(image) for image in source.images if image.id in with_person]
    empty = [asdict(image) for image in source.images if image.id not in with_person]
    annotations = [
        {
            "id": a.id,
            "image_id": a.image_id,
            "category_id": CATEGORY["id"],
            "iscrowd": int(a.iscrowd),
            "segmentation": a.segmentation,
            "area": a.area,
            "bbox": a.bbox,
        }
        for a in persons
    ]
    (out / "coco128").mkdir(parents=True, exist_ok=True)
    for image in images + empty:
        source_file = root / "images" / "train2017" / image["file_name"]
        if not source_file.is_file():
            raise InputError(f"{source_file} does not exist, but the annotations name it.")
        shutil.copyfile(source_file, out / "coco128" / image["file_name"])
    write_coco_dataset(out / "coco128_person.json", images, annotations, [CATEGORY], overwrite=True)
    write_coco_dataset(out / "coco128_background.json", empty, [], [CATEGORY], overwrite=True)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with pennfudan/ and coco128/")
    parser.add_argument("--out", type=Path, default=Path("data/person"))
    parser.add_argument("--seed", type=int, default=0, help="of the copy-paste occlusions of the validation images")
    parser.add_argument("--copies", type=int, default=1, help="how often each of them is occluded, by other people")
    parser.add_argument("--overwrite", action="store_true", help="replace existing data")
    args = parser.parse_args(arguments)
    if args.copies < 1:
        parser.error(f"--copies must be at least 1, found {args.copies}")
    try:
        for split in SPLITS:  # before any image is written over
            require_new(args.out / f"{split}.json", args.overwrite)
        write_penn_fudan(args.data / "pennfudan", args.out, args.seed, args.copies)
        write_coco_persons(args.data / "coco128", args.out)
    except (UserError, SchemaError) as error:
        print(f"make_person_data: {error}", file=sys.stderr)
        return 2
    print(f"Wrote {args.out}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
