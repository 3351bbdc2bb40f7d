"""Results for the annotators, zones and counters of the package `supervision`, imported only when asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vos_occ.structures import rle
from vos_occ.structures.errors import UserError
from vos_occ.structures.frame_result import FrameResult

if TYPE_CHECKING:
    from supervision import Detections


def to_supervision(result: FrameResult, classes: Sequence[str] | None = None) -> Detections:
    """One frame as `supervision.Detections`.

    Masks become dense, (N, H, W) bool, so convert frames one by one and let go of them. Occlusion goes into `data`:
    `hidden` (N,) float32, nan where it is undefined or unknown, and `hidden_by` (N,) of tuples of track ids.

    Args:
        result: the frame.
        classes: class names by label, for `data["class_name"]`, which supervision's label annotators show.

    Raises:
        UserError: if supervision is not installed.
        ValueError: if a label has no name.
    """
    try:
        from supervision import Detections
    except ModuleNotFoundError as error:
        raise UserError(
            f"to_supervision needs a package that is not installed ({error.name}). Get it: `pip install supervision`."
        ) from error
    count = len(result)
    masks = np.zeros((count, result.height, result.width), bool)
    for i, mask in enumerate(result.masks):
        crop, x0, y0 = rle.decode_box(mask)
        masks[i, y0 : y0 + crop.shape[0], x0 : x0 + crop.shape[1]] = crop
    return Detections(
        xyxy=result.boxes.copy(),
        mask=masks,
        confidence=result.scores.copy(),
        class_id=result.labels.copy(),
        tracker_id=result.track_ids.copy(),
        data=_data(result, classes),
    )


def _data(result: FrameResult, classes: Sequence[str] | None) -> dict[str, np.ndarray[Any, Any]]:
    hidden_by = np.empty(len(result), object)
    for i in range(len(result)):
        hidden_by[i] = tuple(result.hidden_by(i))
    unknown = np.full(len(result), np.nan, np.float32)
    data: dict[str, np.ndarray[Any, Any]] = {
        "hidden": unknown if result.hidden is None else result.hidden.copy(),
        "hidden_by": hidden_by,
    }
    if classes is not None:
        if len(result) and result.labels.max() >= len(classes):
            raise ValueError(f"{result!r} has label {result.labels.max()} of {len(classes)} classes.")
        data["class_name"] = np.array([classes[label] for label in result.labels], np.str_)
    return data
