"""Scalabel JSON of single images: where the labels of each are, so that a worker reads those of its images only.

`scalabel` reads the same files by video. BDD100K's files of scores beside bitmasks are such files too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.errors import SchemaError
from eval.readers.record import Record, shown
from eval.readers.stream import read_item, stream_json


@dataclass(frozen=True)
class ImageLabels:
    """Where a file has the labels of one image.

    Attributes:
        name: Of the image.
        video: That it is from, None where the file does not say so.
        has_rle: Whether any label has run lengths.
        has_polygons: Whether any label has polygons and no run lengths.
        file: The file.
        where: The place in it, for errors.
        offset, length: In bytes.
    """

    name: str
    video: str | None
    has_rle: bool
    has_polygons: bool
    file: Path
    where: str
    offset: int
    length: int

    def read(self) -> Record:
        """The image with its labels."""
        return Record(read_item(self.file, self.offset, self.length), self.where, self.file.name)


def read_labels(image: Record) -> list[Record]:
    """The labels of an image; none where the field is missing or null.

    Raises:
        SchemaError: They are no list of objects.
    """
    labels = image.values.get("labels") or []
    if not isinstance(labels, list) or not all(isinstance(label, dict) for label in labels):
        raise image.error("labels", f"is {shown(labels)}, expected a list of objects", "Correct the labels.")
    return [Record(label, f"{image.where}.labels[{i}]", image.file) for i, label in enumerate(labels)]


def find_image_labels(path: Path) -> list[ImageLabels]:
    """The images of a file, or of a folder's files in the order of their names.

    Raises:
        SchemaError: There is no such file, it is no JSON, or holds no images with names.
    """
    if not path.is_dir():
        return list(_images(path))
    files = sorted(path.glob("*.json"))
    if not files:
        raise SchemaError(f"The folder '{path}' holds no .json files. Name a Scalabel file or a folder of such.")
    return [image for file in files for image in _images(file)]


def _images(file: Path) -> Iterator[ImageLabels]:
    others = frames = 0
    for item in stream_json(file):
        if item.member not in ("", "frames") or item.index is None:
            others += 1
            continue
        frames += 1
        if not isinstance(item.value, dict):
            problem = f"is {shown(item.value)}, expected an object ({file.name}). Correct the record."
            raise SchemaError(f"{item.where} {problem}")
        record = Record(item.value, item.where, file.name)
        video = record.values.get("videoName")
        if video is not None and not isinstance(video, str):
            raise record.error("videoName", f"is {shown(video)}, expected a string or null", "Correct the record.")
        name = record.text("name")
        yield ImageLabels(name, video, *_kinds(record.values), file, item.where, item.offset, item.length)
    if others and not frames:
        raise SchemaError(f"{file.name} has no records in 'frames'. Is it a Scalabel file?")


def _kinds(values: Any) -> tuple[bool, bool]:
    """Whether any label has run lengths, and whether any has polygons alone; what is no label shows up when read."""
    labels = values.get("labels")
    labels = [label for label in labels if isinstance(label, dict)] if isinstance(labels, list) else []
    coded = [label.get("rle") is not None for label in labels]
    drawn = [label.get("poly2d") is not None for label in labels]
    return any(coded), any(polygons and not rle for rle, polygons in zip(coded, drawn, strict=True))
