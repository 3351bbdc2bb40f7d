"""Datasets in COCO's instance annotation format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vos_occ.results.output import require_new, write_atomically
from vos_occ.results.records import dataset_json, index_by_id, require_fields, require_known
from vos_occ.structures.errors import SchemaError


def write_coco_dataset(
    path: str | Path,
    images: Sequence[Mapping[str, Any]],
    annotations: Sequence[Mapping[str, Any]],
    categories: Sequence[Mapping[str, Any]],
    overwrite: bool = False,
    videos: Sequence[Mapping[str, Any]] | None = None,
) -> None:
    """Write a COCO instance dataset; extra fields are kept.

    Args:
        path: the json file.
        images: id, file_name, width, height.
        annotations: id, image_id, category_id, bbox (x, y, w, h), area, iscrowd, segmentation (polygons or RLE).
        categories: id, name.
        overwrite: replace an existing file.
        videos: id, name, which images name by `video_id`; None: the file is not of videos.

    Raises:
        OutputExistsError: if the file exists and `overwrite` is False.
        SchemaError: if ids clash or point nowhere, a field is missing, or an RLE has another size than its image.
    """
    require_new(path, overwrite, folder=False)
    index_by_id(path, "videos", videos or ())
    known_images = index_by_id(path, "images", images)
    for i, image in enumerate(images):
        require_fields(path, f"images[{i}]", image, ("file_name", "width", "height"))
    known_categories = index_by_id(path, "categories", categories)
    index_by_id(path, "annotations", annotations)
    for i, annotation in enumerate(annotations):
        where = f"annotations[{i}]"
        require_known(path, f"{where}.image_id", annotation.get("image_id"), known_images, "image")
        require_known(path, f"{where}.category_id", annotation.get("category_id"), known_categories, "category")
        _check_annotation(path, where, annotation, known_images[annotation["image_id"]])
    content = {"images": list(images), "categories": list(categories), "annotations": list(annotations)}
    if videos is not None:
        content = {"videos": list(videos), **content}
    write_atomically(path, dataset_json(path, content))


def _check_annotation(path: str | Path, where: str, annotation: Mapping[str, Any], image: Mapping[str, Any]) -> None:
    require_fields(path, where, annotation, ("bbox", "area", "segmentation", "iscrowd"))
    if len(annotation["bbox"]) != 4:
        raise SchemaError(f"{path}: {where}.bbox is {annotation['bbox']}, expected x, y, width, height.")
    segmentation = annotation["segmentation"]
    size = [image["height"], image["width"]]
    if isinstance(segmentation, Mapping) and list(segmentation["size"]) != size:
        raise SchemaError(
            f"{path}: {where}.segmentation has size {segmentation['size']}, but image {image['id']} is {size} "
            "(height, width). Encode the mask at the image's size."
        )
