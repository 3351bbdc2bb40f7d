"""Scalabel JSON, the labels and results of BDD100K: a list of frames with labels that hold boxes, masks or outlines.

Decoded by `eval.readers.scalabel` and `scalabel_images`. Facts: docs/sources.md, trackers 6.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal

import numpy as np

from eval.readers.stream import stream_json
from vos_occ.results.bdd_objects import BddCategories, Flags, FrameNames, InstanceIds, flags_of
from vos_occ.results.mots_objects import disjoint_masks
from vos_occ.results.output import atomic_file, reported, require_new
from vos_occ.results.pixel_outlines import pixel_outlines
from vos_occ.results.records import to_json
from vos_occ.structures import rle
from vos_occ.structures.frame_result import FrameResult

Extent = Literal["rle", "poly2d", "box2d"]


class ScalabelWriter:
    """Writes the frames of a video, or single images, as one list.

    A label's id is its track's, as text. Where masks overlap, the higher score wins (of a frame in which they do,
    BDD100K's evaluator counts nothing), and an object that is left without a pixel has no label, unless labels are
    boxes only. The file appears when it is closed, whole; until then it grows under a hidden name beside it.

    Args:
        path: the file to write.
        classes: names by label; see `BddCategories`.
        video: whose frames these are; None: they are images of their own, which have no `frameIndex`.
        names: of the pictures, by frame index, with or without folders; images need them. None: `VIDEO-0000001.jpg`
            and so on.
        extent: what a label says besides its box: "rle" masks, "poly2d" outlines along the edges of the pixels, which
            predictions may not have; "box2d" nothing.
        renumber: number tracks as they appear, see `InstanceIds`.
        overwrite: replace an existing file.

    Raises:
        OutputExistsError: on construction, if the file exists and `overwrite` is False.
        InputError: on construction, if BDD100K does not know a class.
    """

    def __init__(
        self,
        path: str | Path,
        classes: Sequence[str],
        *,
        video: str | None,
        names: Sequence[str] | None = None,
        extent: Extent = "rle",
        renumber: bool = False,
        overwrite: bool = False,
    ) -> None:
        if video is None and names is None:
            raise ValueError("Images of no video need names.")
        require_new(path, overwrite, folder=False)
        self.path = Path(path)
        self._categories = BddCategories(classes)
        self._video, self._extent = video, extent
        self._names = FrameNames(video or self.path.stem, names)
        self._ids = InstanceIds(renumber)
        self._stack = ExitStack()
        self._file: BinaryIO | None = None
        self._closed = False

    def __enter__(self) -> ScalabelWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        elif not self._closed:
            self._closed = True
            self._stack.__exit__(kind, error, trace)

    def __repr__(self) -> str:
        return f"ScalabelWriter({str(self.path)!r})"

    def write(self, result: FrameResult, flags: Flags | None = None) -> None:
        """Add one frame, also an empty one.

        Args:
            result: the frame that comes next.
            flags: of ground truth: what is to be said of its objects, which then have no score.

        Raises:
            InputError: a label has no category, or there are more frames than names.
            ValueError: another frame comes next, or the file is closed.
        """
        if self._closed:
            raise ValueError(f"'{self.path}' is closed.")
        frame: dict[str, Any] = {"name": self._names.advance(result.frame_index)}
        if self._video is not None:
            frame |= {"videoName": self._video, "frameIndex": result.frame_index}
        frame["size"] = {"width": result.width, "height": result.height}
        frame["labels"] = self._labels(result, flags)
        separator = b"[\n" if self._file is None else b",\n"
        with reported(self.path):
            self._open().write(separator + to_json(frame).encode())

    def close(self) -> None:
        """Write the file, also one without frames. Closing twice is harmless.

        Raises:
            InputError: frames are missing of those that have names; then there is no file.
        """
        if self._closed:
            return
        self._closed = True
        with self._stack:  # an error leaves no file behind
            self._names.require_all()
            end = b"[]\n" if self._file is None else b"\n]\n"
            self._open().write(end)

    def _labels(self, result: FrameResult, flags: Flags | None) -> list[dict[str, Any]]:
        told, ids = flags_of(flags, result), self._ids.of(result)
        boxes_only = self._extent == "box2d"
        labels = []
        for i, mask in enumerate(result.masks if boxes_only else disjoint_masks(result)):
            if not boxes_only and not rle.area(mask):
                continue
            category = self._categories.name(int(result.labels[i]))
            label: dict[str, Any] = {"id": str(ids[i]), "category": category}
            if flags is None:
                label["score"] = round(float(result.scores[i]), 6)
            else:
                label["attributes"] = {name: bool(values[i]) for name, values in told.items()}
            labels.append(label | {"box2d": _box2d(result, i)} | self._extent_of(mask))
        return labels

    def _extent_of(self, mask: rle.Rle) -> dict[str, Any]:
        if self._extent == "poly2d":
            return {"poly2d": [_polygon(outline) for outline in pixel_outlines(mask)]}
        return {"rle": dict(mask)} if self._extent == "rle" else {}

    def _open(self) -> BinaryIO:
        if self._file is None:
            self._file = self._stack.enter_context(atomic_file(self.path))
        return self._file


def join_scalabel(files: Iterable[str | Path], out: str | Path, overwrite: bool = False) -> None:
    """Join files, such as those of the videos of a benchmark, into one list, their frames byte for byte.

    Args:
        files: lists of frames, or objects that have one as `frames`. One frame is in memory at a time.
        out: the file to write.
        overwrite: replace an existing file.

    Raises:
        OutputExistsError: if `out` exists and `overwrite` is False.
        SchemaError: a file is not JSON.
    """
    require_new(out, overwrite, folder=False)
    with atomic_file(out) as joined:
        separator = b"[\n"
        for path in files:
            with Path(path).open("rb") as source:
                for item in stream_json(path):
                    if item.member in ("", "frames") and item.index is not None:
                        source.seek(item.offset)
                        joined.write(separator + source.read(item.length))
                        separator = b",\n"
        joined.write(b"[]\n" if separator == b"[\n" else b"\n]\n")


def _box2d(result: FrameResult, i: int) -> dict[str, float]:
    """Scalabel's box, whose last column and row belong to it (transforms.py of scalabel 0.3.1), inside of the frame."""
    limits = [result.width, result.height] * 2
    corners = np.clip(result.boxes[i].astype(np.float64), 0, limits) - [0, 0, 1, 1]
    return dict(zip(("x1", "y1", "x2", "y2"), corners.round(3).tolist(), strict=True))


def _polygon(outline: Sequence[float]) -> dict[str, Any]:
    vertices = np.asarray(outline, np.float64).reshape(-1, 2).tolist()
    return {"vertices": vertices, "types": "L" * len(vertices), "closed": True}
