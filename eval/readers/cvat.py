"""CVAT for video 1.1: an XML of tracks, each a list of shapes at frames (box, polygon or mask)."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from eval.readers.annotated_video import BOXES, EMPTY, VANISHED, AnnotatedVideo, ObjectTrack
from eval.readers.cvat_head import CvatHead, parse_cvat
from eval.readers.cvat_shapes import Shape, draw, fill, read_shape
from eval.readers.ytvis_tubes import OCCLUSION_LABELS
from eval.rle import Rle

FEW = 3  # tracks that may well be seen in one frame only


def read_cvat_video(path: str | Path, frames: str | Path | None = None) -> AnnotatedVideo:
    """Read an annotations.xml of one task or job, or the zip that CVAT puts it in.

    Args:
        path: The file.
        frames: Folder with the pictures of each task in a folder of its name: of a task made of pictures CVAT does not
            write the size.

    Raises:
        SchemaError: It is none, nothing says its size, or something in it does not fit; names file, track and frame.
    """
    path = Path(path)
    root = parse_cvat(path)
    head = CvatHead(root, path.name, None if frames is None else Path(frames))
    notes = dict.fromkeys((BOXES, VANISHED, EMPTY), 0)
    tracks = []
    for number, element in enumerate(root.iter("track")):
        track = _track(element, f"track {element.get('id', f'number {number}')}", head, notes)
        if any(mask is not None for mask in track.masks):
            tracks.append(track)
        else:
            notes[EMPTY] += 1
    ids = sorted(track.id for track in tracks)
    again = [number for number, other in zip(ids, ids[1:], strict=False) if number == other]
    if again:
        raise head.error("", f"has two tracks of id {again[0]}", "Export one task at a time.")
    classes = {name: i for i, name in enumerate(dict.fromkeys([*head.labels, *(t.label for t in tracks)]), start=1)}
    return AnnotatedVideo(
        name=head.name,
        height=head.height,
        width=head.width,
        length=head.length,
        frame_names=(),
        classes=classes,
        tracks=tuple(tracks),
        source=path.name,
        source_frames=range(head.first, head.first + head.length * head.step, head.step),
        media=head.media,
        notes=notes,
        remarks=tuple(_remarks(root, head, tracks)),
    )


def _remarks(root: ElementTree.Element, head: CvatHead, tracks: Sequence[ObjectTrack]) -> Iterator[str]:
    once = sum(sum(mask is not None for mask in track.masks) == 1 for track in tracks)
    if head.length > 1 and once >= max(FEW, len(tracks) / 2):
        seen = f"{once} of {len(tracks)} tracks of {head.name} are seen in one frame only"
        yield f"{seen}: were they drawn in shape mode? An object is one track only in track mode."
    there = [shape for shape in root.iterfind("track/*") if shape.get("outside") != "1"]
    said = [(child.text or "").strip() for shape in there for child in shape.iterfind("attribute[@name='occlusion']")]
    if strange := [value for value in said if value and value not in OCCLUSION_LABELS]:
        known = ", ".join(OCCLUSION_LABELS)
        yield (
            f"The attribute occlusion of {head.name} has {len(strange)} of {len(said)} values that are no labels, "
            f"such as '{strange[0][:40]}'. Known are {known}."
        )


def _track(element: ElementTree.Element, place: str, head: CvatHead, notes: dict[str, int]) -> ObjectTrack:
    number, label = element.get("id", ""), element.get("label", "").strip()
    if not number.isdecimal() or len(number) > 15:
        raise head.error(place, f"has the id {number[:40]!r}, expected a whole number", "Correct it.")
    if not label:
        raise head.error(place, "has no label", "Give it one in CVAT.")
    shapes = sorted((read_shape(child, place, head) for child in element), key=lambda shape: shape.frame)
    for before, shape in zip(shapes, shapes[1:], strict=False):
        if before.frame == shape.frame:
            cure = "Leave one: an object has one shape per frame."
            raise head.error(f"{place}, frame {head.frame_of(shape.frame)}", "has two shapes", cure)
    filled = fill(shapes, head.length)
    different = {id(shape): shape for shape in filled if shape is not None}  # fewer, where a shape stays
    drawn = {key: draw(shape, place, head) for key, shape in different.items()}
    masks = tuple(None if shape is None else drawn[id(shape)] for shape in filled)
    seen = [shape for shape in filled if shape is not None]
    notes[BOXES] += sum(shape.kind == "box" for shape in seen)
    notes[VANISHED] += len(seen) - sum(mask is not None for mask in masks)
    extra = {name: value for name, value in element.attrib.items() if name not in ("id", "label") and value}
    return ObjectTrack(int(number), label, masks, False, _per_frame(filled, masks), extra)


def _per_frame(filled: Sequence[Shape | None], masks: Sequence[Rle | None]) -> dict[str, tuple[Any, ...]]:
    there = [shape.facts if shape and mask else {} for shape, mask in zip(filled, masks, strict=True)]
    names = dict.fromkeys(name for facts in there for name in facts)
    return {name: tuple(facts.get(name) for facts in there) for name in names}
