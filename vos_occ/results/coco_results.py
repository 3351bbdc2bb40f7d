"""Detections in COCO's result format: one list over all images, as the benchmark's server takes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vos_occ.results.output import atomic_file, require_new
from vos_occ.results.records import to_json
from vos_occ.structures import rle
from vos_occ.structures.frame_result import FrameResult


def coco_results(result: FrameResult, image_id: int, category_ids: Sequence[int]) -> list[dict[str, Any]]:
    """The objects of one image, those without a pixel left out.

    They have no `bbox`: COCO's loader would take its area for that of the mask, and sort small from large by it.

    Args:
        result: the image as a frame.
        image_id: the dataset's id of the image.
        category_ids: the dataset's category id of each label.

    Raises:
        ValueError: if a label has no category.
    """
    if len(result) and result.labels.max() >= len(category_ids):
        raise ValueError(f"{result!r} has label {result.labels.max()} of {len(category_ids)} categories.")
    return [
        {"image_id": image_id, "category_id": category_ids[label], "segmentation": mask, "score": score}
        for label, mask, score in zip(result.labels.tolist(), result.masks, result.scores.tolist(), strict=True)
        if rle.area(mask)
    ]


def write_coco_results(path: str | Path, entries: Sequence[Mapping[str, Any]], overwrite: bool = False) -> None:
    """Write the detections of all images, a line each.

    Raises:
        OutputExistsError: if the file exists and `overwrite` is False.
    """
    require_new(path, overwrite, folder=False)
    with atomic_file(path) as file:
        lines = ",\n".join(to_json(dict(entry)) for entry in entries)
        file.write(f"[{lines}]\n".encode())
