"""Annotated videos as labelme takes them: a folder per video, a json per frame, objects as masks with group ids."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from eval.readers.annotated_video import AnnotatedVideo, ObjectTrack
from vos_occ.results.output import require_new, write_atomically
from vos_occ.results.records import to_json
from vos_occ.structures import rle

HELD = ("occlusion", "flags", "description")


def write_labelme(folder: str | Path, video: AnnotatedVideo, overwrite: bool = False) -> set[str]:
    """Write `folder/NAME/000000.json`, ...; named after the picture where its name is known. Pictures are not copied.

    Returns:
        Names of what was left out.

    Raises:
        OutputExistsError: if the video's folder is not empty and `overwrite` is False.
    """
    folder = Path(folder) / video.name
    require_new(folder, overwrite, folder=True)
    for t, name in enumerate(video.frame_names):
        picture = Path(name).name
        shapes = [_shape(track, t) for track in video.tracks if track.masks[t] is not None]
        content: dict[str, Any] = {
            "version": "5.5.0",
            "flags": {},
            "shapes": shapes,
            "imagePath": picture,
            "imageData": None,
            "imageHeight": video.height,
            "imageWidth": video.width,
        }
        write_atomically(folder / f"{Path(picture).stem}.json", to_json(content) + "\n")
    held = {name for track in video.tracks for name in (*track.per_frame, *track.extra)} - {*HELD, "group_id"}
    return held | ({"iscrowd"} if any(track.iscrowd for track in video.tracks) else set())


def _shape(track: ObjectTrack, t: int) -> dict[str, Any]:
    mask = track.masks[t]
    assert mask is not None
    window, left, top = rle.decode_box(mask)
    known = {name: track.per_frame[name][t] for name in HELD if name in track.per_frame}
    flags = dict(known.get("flags") or {})
    if known.get("occlusion"):
        flags[known["occlusion"]] = True
    return {
        "label": track.label,
        "points": [[left, top], [left + window.shape[1] - 1, top + window.shape[0] - 1]],
        "group_id": track.extra.get("group_id", track.id),
        "description": known.get("description") or "",
        "shape_type": "mask",
        "flags": flags,
        "mask": _png(window),
    }


def _png(window: np.ndarray) -> str:
    encoded, data = cv2.imencode(".png", window.astype(np.uint8))
    if not encoded:
        raise RuntimeError(f"OpenCV could not encode a mask of {window.shape}.")
    return base64.b64encode(data.tobytes()).decode("ascii")
