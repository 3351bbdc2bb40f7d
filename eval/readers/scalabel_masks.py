"""Scalabel's labels to tables of masks: categories by a benchmark's vocabulary, run lengths or polygons, and flags."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as mask_api

from eval.errors import SchemaError
from eval.masks import MaskTable
from eval.readers.bezier_polygon import BezierError, fill_polygons
from eval.readers.record import LARGEST_IMAGE, Record, shown
from eval.readers.scalabel import frame_index
from eval.rle import empty_mask

_FLAGS = ("ignored", "crowd", "occluded", "truncated")
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Vocabulary:
    """How a benchmark reads categories.

    Attributes:
        classes: Those that are scored.
        renamed: Other names of theirs.
        ignored: Names that stand for a class that nobody can tell apart: read as that class, and as to be ignored.
        height, width: Of frames that say it neither by `size` nor by run lengths.
    """

    classes: tuple[str, ...]
    renamed: Mapping[str, str] = field(default_factory=dict)
    ignored: Mapping[str, str] = field(default_factory=dict)
    height: int = 720
    width: int = 1280

    def kinds(self) -> dict[str, tuple[int, bool]]:
        """Index of the class, and whether the label is to be ignored, by name."""
        index = {name: i for i, name in enumerate(self.classes)}
        kinds = {name: (i, False) for name, i in index.items()}
        kinds |= {name: (index[own], True) for name, own in self.ignored.items()}
        return kinds | {name: kinds[own] for name, own in self.renamed.items()}


def read_masks(
    frames: Sequence[Record],
    vocabulary: Vocabulary,
    source: str,
    size: tuple[int, int] | None = None,
    predicted: bool = False,
    official: bool = False,
) -> MaskTable:
    """The masks of a video; labels without one (boxes) are left out.

    Args:
        frames: Of one video, in order.
        vocabulary: What categories mean.
        source: The file and the video, for errors.
        size: (height, width) that masks must have; None takes that of the first.
        predicted: Whether these are predictions: scalabel draws no polygons for those.
        official: A mask of another size is empty, as nothing can match it, what a frame says of its size means nothing,
            an attribute is true as Python has it, and predicted ids must be numbers.

    Returns:
        Flags "ignored", "crowd", "occluded" and "truncated". Ids are the file's where they are numbers, else they count
        the names from 1.

    Raises:
        SchemaError: A label is not what Scalabel writes, its category is unknown, or masks differ in size.
    """
    rows = LabelRows(vocabulary, size, predicted, official)
    for t, frame in enumerate(frames):
        labels = frame.values.get("labels")
        if labels is not None:
            for i, label in enumerate(labels if isinstance(labels, list) else [labels]):
                rows.add(t, i, label, frame)
    height, width = rows.size or rows.size_of(frames[0] if frames else None)
    flags = np.array(rows.flags, bool).reshape(-1, len(_FLAGS))
    numbers = np.array([t if frame_index(frame) is None else frame_index(frame) for t, frame in enumerate(frames)])
    index = np.array(rows.frames, np.int64)
    ids = _numbered(rows.ids)
    if ids is None:
        if predicted and official:
            name = next(name for name in rows.ids if _numbered([name]) is None)
            raise SchemaError(
                f"{source}: the id '{name}' is no number, as scalabel asks of predictions. Number the ids."
            )
        ranks = {name: rank for rank, name in enumerate(sorted(set(rows.ids)), start=1)}
        ids = np.array([ranks[name] for name in rows.ids], np.int64)
    return MaskTable(
        height,
        width,
        len(frames),
        index,
        ids,
        np.array(rows.categories, np.int64),
        rows.counts,
        {name: flags[:, k].copy() for k, name in enumerate(_FLAGS)},
        source,
        numbers[index] if len(frames) else index,
        "frame",
    )


class LabelRows:
    """The columns of a table of masks, filled label by label.

    Args:
        vocabulary, size, predicted, official: As of `read_masks`.
        boxes: Keep labels without a mask that have a box: their counts are "".

    Attributes:
        boxes: Of each row, x1, y1, x2, y2 in pixels, end-exclusive, where it has no mask; else None.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        size: tuple[int, int] | None,
        predicted: bool = False,
        official: bool = False,
        boxes: bool = False,
    ) -> None:
        self.vocabulary = vocabulary
        self.kinds = vocabulary.kinds()
        self.size = size
        self._usual = None if size is None else list(size)
        self.predicted = predicted
        self.official = official
        self.frames: list[int] = []
        self.ids: list[str] = []
        self.categories: list[int] = []
        self.counts: list[str] = []
        self.flags: list[tuple[bool, ...]] = []
        self.boxes: list[Box | None] = []
        self._keeps_boxes = boxes

    def add(self, t: int, i: int, label: Any, frame: Record) -> None:
        """Read one label of one frame; leaves out what has no mask, nor a box where these are kept."""
        if type(label) is not dict:
            raise frame.error(f"labels[{i}]", f"is {shown(label)}, expected an object", "Correct the label.")
        category = label.get("category")
        kind = self.kinds.get(category) if type(category) is str else None
        if kind is None:
            raise _label(label, i, frame).error(
                "category",
                f"is {shown(category)}, expected one of {', '.join(self.kinds)}",
                "Rename the category or remove the label.",
            )
        counts = self._mask(label, i, frame)
        box = _box(label, i, frame) if counts is None and self._keeps_boxes else None
        if counts is None and box is None:
            return
        if type(label.get("id")) not in (str, int):
            raise _label(label, i, frame).error("id", f"is {shown(label.get('id'))}", "Give every label an id.")
        flags = self._flags(label, i, frame, kind[1])
        self.frames.append(t)
        self.ids.append(str(label["id"]))
        self.categories.append(kind[0])
        self.counts.append(counts or "")
        self.boxes.append(box)
        self.flags.append(flags)

    def size_of(self, frame: Record | None) -> tuple[int, int]:
        """(height, width) as a frame states them, else as all frames of the benchmark have them."""
        stated = None if frame is None or self.official else frame.values.get("size")
        if frame is None or stated is None:
            return self.vocabulary.height, self.vocabulary.width
        size: list[Any] = [stated.get("height"), stated.get("width")] if type(stated) is dict else []
        if not _is_size(size):
            wanted = 'expected {"width": pixels, "height": pixels}'
            raise frame.error("size", f"is {shown(stated)}, {wanted}", "Correct or remove it.")
        return size[0], size[1]

    def _mask(self, label: dict[str, Any], i: int, frame: Record) -> str | None:
        mask, polygons = label.get("rle"), label.get("poly2d")
        if mask is None:
            return None if polygons is None else self._filled(label, i, frame)
        if type(mask) is dict and mask.get("size") == self._usual is not None and type(mask.get("counts")) is str:
            return mask["counts"]
        if type(mask) is not dict or type(mask.get("counts")) is not str or not _is_size(mask.get("size")):
            raise _label(label, i, frame).error(
                "rle", f'is {shown(mask)}, expected {{"counts": a string, "size": [height, width]}}', "Export it again."
            )
        height, width = mask["size"]
        if self.size is None:
            self.size, self._usual = (height, width), [height, width]
        elif self.size != (height, width):
            return self._other_size(height, width, _label(label, i, frame))
        return mask["counts"]

    def _other_size(self, height: int, width: int, label: Record) -> str:
        assert self.size is not None
        if not self.official:
            raise label.error(
                "rle.size",
                f"is [{height}, {width}], but the masks of this video have [height, width] {list(self.size)}",
                "Export masks at the size of the frames.",
            )
        return empty_mask(*self.size)["counts"]

    def _filled(self, label: dict[str, Any], i: int, frame: Record) -> str:
        if self.predicted:
            raise _label(label, i, frame).error("poly2d", "is all there is of the mask", "Write 'rle' in predictions.")
        if self.size is None:
            self.size = self.size_of(frame)
        try:
            mask = fill_polygons(label["poly2d"], *self.size)
        except BezierError as error:
            raise _label(label, i, frame).error(f"poly2d{error.place}", error.problem, "Correct the polygon.") from None
        return mask_api.encode(np.asfortranarray(mask))["counts"].decode()

    def _flags(self, label: dict[str, Any], i: int, frame: Record, ignored: bool) -> tuple[bool, ...]:
        attributes = label.get("attributes")
        if not attributes:
            return (ignored, False, False, False)
        if type(attributes) is not dict:
            raise _label(label, i, frame).error(
                "attributes", f"is {shown(attributes)}, expected an object", "Correct it."
            )
        values = [attributes.get(name) for name in _FLAGS]
        for name, value in zip(_FLAGS, values, strict=True):
            if value not in (None, False, True) and not self.official:
                raise _label(label, i, frame).error(
                    f"attributes.{name}", f"is {shown(value)}, expected true or false", "Correct the label."
                )
        return (ignored or bool(values[0]), *map(bool, values[1:]))


def _label(label: dict[str, Any], i: int, frame: Record) -> Record:
    return Record(label, f"{frame.where}.labels[{i}]", frame.file)


def _box(label: dict[str, Any], i: int, frame: Record) -> Box | None:
    """The box of a label; Scalabel's x2 and y2 are the last pixels inside (scalabel 0.3.1, box2d_to_xyxy)."""
    value = label.get("box2d")
    if value is None:
        return None
    record = _label(label, i, frame)
    if type(value) is not dict:
        raise record.error("box2d", f"is {shown(value)}, expected x1, y1, x2 and y2", "Correct the label.")
    x1, y1, x2, y2 = (record.finite(value.get(name), f"box2d.{name}") for name in ("x1", "y1", "x2", "y2"))
    return x1, y1, x2 + 1, y2 + 1


def _is_size(value: Any) -> bool:
    if type(value) is not list or len(value) != 2 or not all(type(side) is int and side > 0 for side in value):
        return False
    return math.prod(value) <= LARGEST_IMAGE


def _numbered(names: Sequence[str]) -> NDArray[np.int64] | None:
    """Ids as numbers, None where one of them is none; ranks where one is too large, as only equality matters."""
    try:
        numbers = [int(name) for name in names]
    except ValueError:
        return None
    try:
        return np.array(numbers, np.int64)
    except OverflowError:
        return np.unique(np.array(numbers, object), return_inverse=True)[1].astype(np.int64)
