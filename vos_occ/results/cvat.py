"""Annotated videos as CVAT takes them: XML of 'CVAT for video 1.1', masks as masks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from numpy.typing import NDArray

from eval.readers.annotated_video import AnnotatedVideo, ObjectTrack
from vos_occ.results.output import require_new, write_atomically
from vos_occ.results.records import to_json
from vos_occ.structures import rle

HELD = ("occlusion", "hidden", "occluded", "z_order", "attributes")
"""What of a frame has a place: flags of the shape, and attributes, two of them by names of ours."""


def write_cvat_video(path: str | Path, video: AnnotatedVideo, overwrite: bool = False) -> set[str]:
    """Write one video as the annotations of a task: every frame a keyframe, `outside` where an object goes.

    Returns:
        Names of what was left out.

    Raises:
        OutputExistsError: if the file exists and `overwrite` is False.
    """
    require_new(path, overwrite, folder=False)
    lines = [*_head(video), *(line for track in video.tracks for line in _track(track)), "</annotations>"]
    write_atomically(path, "\n".join(lines) + "\n")
    held = {name for track in video.tracks for name in (*track.per_frame, *track.extra)} - {*HELD, "source"}
    held |= {"iscrowd"} if any(track.iscrowd for track in video.tracks) else set()
    return held | ({"file_names"} if video.frame_names else set())


def _head(video: AnnotatedVideo) -> Iterator[str]:
    yield '<?xml version="1.0" encoding="utf-8"?>'
    yield "<annotations>"
    yield "<version>1.1</version>"
    yield "<meta><task>"
    yield f"<name>{escape(video.name)}</name><size>{video.length}</size><mode>interpolation</mode>"
    yield f"<start_frame>0</start_frame><stop_frame>{video.length - 1}</stop_frame>"
    yield "<labels>"
    for name in sorted(video.classes, key=lambda name: video.classes[name]):
        yield f"<label><name>{escape(name)}</name></label>"
    yield "</labels>"
    yield f"<original_size><width>{video.width}</width><height>{video.height}</height></original_size>"
    yield "</task></meta>"


def _track(track: ObjectTrack) -> Iterator[str]:
    source = track.extra.get("source")
    source = source if isinstance(source, str) else "manual"
    yield f'<track id="{track.id}" label={quoteattr(track.label)} source={quoteattr(source)}>'
    before: str | None = None
    for t, mask in enumerate(track.masks):
        facts = {name: track.per_frame[name][t] for name in HELD if name in track.per_frame}
        if mask is not None:
            before = _window(mask)
            flags = f'occluded="{int(bool(facts.get("occluded")))}" z_order="{int(facts.get("z_order") or 0)}"'
            yield f'<mask frame="{t}" keyframe="1" outside="0" {flags} {before}>'
            yield from _attributes(facts)
            yield "</mask>"
        elif before is not None:
            yield f'<mask frame="{t}" keyframe="1" outside="1" occluded="0" z_order="0" {before}></mask>'
            before = None
    yield "</track>"


def _attributes(facts: dict[str, Any]) -> Iterator[str]:
    own = {name: facts[name] for name in ("occlusion", "hidden") if facts.get(name) is not None}
    for name, value in {**(facts.get("attributes") or {}), **own}.items():
        text = value if isinstance(value, str) else to_json(value)
        yield f"<attribute name={quoteattr(str(name))}>{escape(text)}</attribute>"


def _window(mask: rle.Rle) -> str:
    """Run lengths along the rows of the mask's box, background first."""
    window, left, top = rle.decode_box(mask)
    runs = ", ".join(map(str, row_runs(window)))
    return f'rle="{runs}" left="{left}" top="{top}" width="{window.shape[1]}" height="{window.shape[0]}"'


def row_runs(window: NDArray[np.bool_]) -> list[int]:
    """Lengths of the runs off, on, off, ... of a picture read row by row."""
    flat = window.reshape(-1)
    edges = np.flatnonzero(np.diff(flat, prepend=False))
    return np.diff(edges, prepend=0, append=len(flat)).tolist()
