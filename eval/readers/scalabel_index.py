"""Scalabel JSON frame by frame: where each frame stands in its files, so that one is read without the others.

`scalabel` reads the same files video by video, to score them. This is for training, which asks for frames in any order
and has the pictures, so that sizes are known. Frames without `videoName` are single images, each a video of its own.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.errors import SchemaError
from eval.readers.annotated_video import natural_key
from eval.readers.record import Record, as_record, shown
from eval.readers.scalabel import frame_index
from eval.readers.scalabel_masks import Box, LabelRows, Vocabulary
from eval.readers.stream import Item, read_item, stream_json
from eval.rle import Rle
from eval.runs import MaskError, decode_runs

_CURE = "Use the pictures that were labelled."
_MOST_CLASSES = 63  # bits of the number that says which classes a frame shows


@dataclass(frozen=True)
class FrameLabels:
    """The N objects of one frame, in the order of the file.

    Attributes:
        ids: (N,) from 1, those of a video or an image its own among all of the files'.
        categories: (N,) index of the class in the vocabulary.
        ignored: (N,) bool: crowds, and what is to be ignored.
        masks: N; None where only the box is known.
        boxes: N; None where the mask is known, else x1, y1, x2, y2 in pixels, end-exclusive.
    """

    ids: NDArray[np.int64]
    categories: NDArray[np.int64]
    ignored: NDArray[np.bool_]
    masks: Sequence[Rle | None]
    boxes: Sequence[Box | None]


class ScalabelIndex:
    """The frames of a file, or of a folder's files, by video.

    Every file is read once, record by record. What stays in memory is the place of each frame, its name, and the ids of
    each video's objects, which need not be numbers.

    Attributes:
        path: The file or folder.
        videos: Names by number, in the order of the files; "" for a single image.

    Args:
        path: The file or folder.
        vocabulary: What categories mean.
        skipped: Categories that are left out; any other that the vocabulary does not know is an error.

    Raises:
        SchemaError: There is no file, it is no JSON, has no frames, or a frame or label is not what Scalabel writes.
    """

    def __init__(self, path: Path, vocabulary: Vocabulary, skipped: Collection[str] = ()) -> None:
        if len(vocabulary.classes) > _MOST_CLASSES:
            raise ValueError(f"At most {_MOST_CLASSES} classes can be told apart, found {len(vocabulary.classes)}.")
        self.path = path
        self.vocabulary = vocabulary
        self._kinds = vocabulary.kinds()
        self._skipped = frozenset(skipped)
        self._files = _files(path)
        self.videos: list[str] = []
        self._ids: list[dict[str, int] | None] = []  # number of each name; None of a single image: objects are counted
        self._first_id = array("q")
        self._names: list[str] = []
        self._rows, self._starts = self._scan()

    def __repr__(self) -> str:
        return f"ScalabelIndex({self.path}: {len(self._names)} frames of {len(self.videos)} videos)"

    def names(self, video: int) -> Sequence[str]:
        """File names of a video's frames, in order."""
        return self._names[self._starts[video] : self._starts[video + 1]]

    def shown(self, video: int) -> NDArray[np.bool_]:
        """(frames, classes): whether a frame shows an object of a class that is neither a crowd nor to be ignored."""
        bits = self._rows[self._starts[video] : self._starts[video + 1], 4]
        return (bits[:, None] >> np.arange(len(self.vocabulary.classes)) & 1).astype(bool)

    def read(self, video: int, frame: int, height: int, width: int) -> FrameLabels:
        """The objects of one frame, the rest of the file unread.

        Args:
            video: Its number.
            frame: Position in the video.
            height, width: Of the picture, in pixels, which masks must have.

        Raises:
            SchemaError: A mask is broken or has another size, or a polygon or a box is none.
        """
        file, number, offset, length, _ = self._rows[self._starts[video] + frame].tolist()
        path = self._files[file]
        record = Record(read_item(path, offset, length), f"frames[{number}]", path.name)
        rows = LabelRows(self.vocabulary, (height, width), boxes=True)
        if record.values.get("size") is not None and rows.size_of(record) != (height, width):
            stated = " x ".join(map(str, rows.size_of(record)))
            raise record.error("size", f"is {stated} (height x width), but its picture is {height} x {width}", _CURE)
        for i, label in self._labels(record):
            rows.add(0, i, label, record)
        self._check(rows, record, height, width)
        flags = np.array(rows.flags, bool).reshape(-1, 4)
        masks: list[Rle | None] = [
            {"size": [height, width], "counts": counts} if counts else None for counts in rows.counts
        ]
        return FrameLabels(
            ids=self._numbered(video, rows.ids),
            categories=np.array(rows.categories, np.int64),
            ignored=flags[:, 0] | flags[:, 1],
            masks=masks,
            boxes=rows.boxes,
        )

    def _numbered(self, video: int, names: Sequence[str]) -> NDArray[np.int64]:
        known, first = self._ids[video], self._first_id[video]
        numbers = range(len(names)) if known is None else [known[name] for name in names]
        return np.array(numbers, np.int64) + first

    @staticmethod
    def _check(rows: LabelRows, record: Record, height: int, width: int) -> None:
        codes = [counts for counts in rows.counts if counts]
        try:
            decode_runs(codes, height, width)
        except MaskError as error:
            label = [k for k, counts in enumerate(rows.counts) if counts][error.index]
            raise record.error(
                f"labels: the mask of '{rows.ids[label]}'", error.problem, "Export the mask again."
            ) from None

    def _labels(self, frame: Record) -> Iterator[tuple[int, Any]]:
        """The labels of a frame that count, with their places."""
        labels = frame.values.get("labels") or []
        if not isinstance(labels, list):
            raise frame.error("labels", f"is {shown(labels)}, expected a list of objects", "Correct the labels.")
        for i, label in enumerate(labels):
            category = label.get("category") if isinstance(label, dict) else None
            if not isinstance(category, str) or category not in self._skipped:
                yield i, label

    def _scan(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Of each frame its file, number in it, offset, length and classes shown, by video; and where videos begin."""
        places, owners, positions = array("q"), array("q"), []
        videos: dict[str, int] = {}
        next_id = 1
        for file, item in self._items():
            frame = as_record(item.value, item.where, self._files[file].name)
            video = self._video(frame, videos)
            bits, count = self._look(frame, self._ids[video])
            if self._ids[video] is None:
                self._first_id[video], next_id = next_id, next_id + count
            places.extend((file, item.index or 0, item.offset, item.length, bits))
            owners.append(video)
            positions.append(frame_index(frame))
            self._names.append(frame.text("name"))
        for video, ids in enumerate(self._ids):
            if ids is not None:
                self._first_id[video], next_id = next_id, next_id + len(ids)
        order = self._order(owners, positions)
        self._names = [self._names[i] for i in order]
        starts = np.searchsorted(np.array(owners)[order], np.arange(len(self.videos) + 1))
        return np.array(places, np.int64).reshape(-1, 5)[order], starts

    def _video(self, frame: Record, videos: dict[str, int]) -> int:
        """Number of a frame's video, which may be new."""
        name = frame.values.get("videoName") or ""
        if not isinstance(name, str):
            raise frame.error("videoName", f"is {shown(name)}, expected a string or null", "Correct the record.")
        if name in videos:
            return videos[name]
        if name:
            videos[name] = len(self.videos)
        self.videos.append(name)
        self._ids.append({} if name else None)
        self._first_id.append(0)
        return len(self.videos) - 1

    def _order(self, videos: Sequence[int], positions: Sequence[int | None]) -> list[int]:
        """Frames by video, then by `frameIndex`, in a video where one has none by name."""
        by_name = {video for video, position in zip(videos, positions, strict=True) if position is None}

        def key(i: int) -> tuple[Any, ...]:
            return videos[i], natural_key(self._names[i]) if videos[i] in by_name else positions[i]

        return sorted(range(len(videos)), key=key)

    def _look(self, frame: Record, ids: dict[str, int] | None) -> tuple[int, int]:
        """Classes that a frame shows, as bits, and its number of labels; notes the ids of its objects."""
        bits = count = 0
        for i, label in self._labels(frame):
            place = f"labels[{i}]"
            if not isinstance(label, dict):
                raise frame.error(place, f"is {shown(label)}, expected an object", "Correct the label.")
            kind = self._kinds.get(label["category"]) if isinstance(label.get("category"), str) else None
            if kind is None:
                raise frame.error(
                    f"{place}.category",
                    f"is {shown(label.get('category'))}, expected one of {', '.join(self._kinds)}",
                    "Rename the category or remove the label.",
                )
            count += 1
            if ids is not None:
                ids.setdefault(str(label.get("id")), len(ids))
            attributes = label.get("attributes")
            flags = attributes if isinstance(attributes, dict) else {}
            visible = any(label.get(field) is not None for field in ("rle", "poly2d", "box2d"))
            if visible and not (kind[1] or flags.get("crowd") or flags.get("ignored")):
                bits |= 1 << kind[0]
        return bits, count

    def _items(self) -> Iterator[tuple[int, Item]]:
        """The frames, and the number of the file that each stands in."""
        for number, file in enumerate(self._files):
            frames = 0
            for item in stream_json(file):
                if item.member in ("", "frames") and item.index is not None:
                    frames += 1
                    yield number, item
            if not frames:
                raise SchemaError(f"{file.name} has no frames. Is it a Scalabel file?")


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(path.glob("*.json"))
    if not files:
        raise SchemaError(f"The folder '{path}' holds no .json files. Name a Scalabel file or a folder of such.")
    return files
