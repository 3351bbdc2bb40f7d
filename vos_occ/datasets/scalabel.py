"""Frames of Scalabel JSON as samples, one record at a time: BDD100K's masks, polygons and boxes, of videos and images.

The format itself is `eval.readers.scalabel_index`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eval.protocols.bdd100k_rules import VOCABULARY
from eval.readers.scalabel_index import FrameLabels, ScalabelIndex
from vos_occ.datasets.bdd_classes import NOT_TRACKED, bdd_labels
from vos_occ.datasets.images import read_image, require_pictures
from vos_occ.datasets.sample import Sample, visible_sample
from vos_occ.structures import rle


class ScalabelFrames:
    """Frames of segmentation or box tracking, or images of instance segmentation or detection.

    Objects of which only the box is known have `mask_known` False. Ignored objects, distractors and crowds become
    crowds.

    Args:
        labels: JSON file, or folder of such.
        image_root: folder of the pictures; those of a video are in a folder of its name.
        classes: names to keep, in label order; default: BDD100K's eight.
        merge: class that a category belongs to, where that has another name.
        keep_empty: use frames without an object of these classes too, as background that must not be detected.

    Raises:
        SchemaError: a file is no Scalabel file, or has a category that BDD100K does not know.
        InputError: a picture is missing, or BDD100K has no such class.
    """

    def __init__(
        self,
        labels: str | Path,
        image_root: str | Path,
        classes: Sequence[str] | None = None,
        merge: Mapping[str, str] | None = None,
        keep_empty: bool = False,
    ) -> None:
        self.image_root = Path(image_root)
        self.keep_empty = keep_empty
        self.classes, label_of = bdd_labels(classes, labels, merge)
        self._labels = np.array([label_of[number] for number in sorted(label_of)])
        self._index = ScalabelIndex(Path(labels), VOCABULARY, NOT_TRACKED)
        videos = range(len(self._index.videos))
        single = [name for video in videos if not self._index.videos[video] for name in self._index.names(video)]
        require_pictures(self.image_root, single, labels)
        for video in videos:
            if self._index.videos[video]:
                require_pictures(self._folder(video), self._index.names(video), labels)

    def __repr__(self) -> str:
        return f"ScalabelFrames({self._index!r}, images in {str(self.image_root)!r})"

    def frames(self) -> list[list[int]]:
        """Per video, the indices of the frames that show an object which is no crowd, or of all."""
        kept = self._labels >= 0
        return [
            np.flatnonzero(self.keep_empty | self._index.shown(video)[:, kept].any(1)).tolist()
            for video in range(len(self._index.videos))
        ]

    def load(self, video: int, frame_index: int) -> Sample:
        """The sample at `frame_index` of the `video`-th video, counted among those that have labels."""
        image = read_image(self._folder(video) / self._index.names(video)[frame_index])
        height, width = image.shape[:2]
        found = self._index.read(video, frame_index, height, width)
        labels = self._labels[found.categories]
        kept = np.flatnonzero(labels >= 0)
        return visible_sample(
            image,
            _masks(found, kept, height, width),
            labels[kept],
            found.ids[kept],
            found.ignored[kept],
            np.array([found.boxes[k] is None for k in kept], bool),
        )

    def _folder(self, video: int) -> Path:
        return self.image_root / self._index.videos[video]


def _masks(found: FrameLabels, rows: NDArray[np.int64], height: int, width: int) -> NDArray[np.uint8]:
    """(len(rows), height, width) uint8: the masks, and boxes filled to the nearest pixel."""
    masks = np.zeros((len(rows), height, width), np.uint8)
    for mask, k in zip(masks, rows.tolist(), strict=True):
        if (code := found.masks[k]) is not None:
            crop, x0, y0 = rle.decode_box(code)
            mask[y0 : y0 + crop.shape[0], x0 : x0 + crop.shape[1]] = crop
        elif (box := found.boxes[k]) is not None:
            x1, y1, x2, y2 = (max(0, round(edge)) for edge in box)
            mask[y1:y2, x1:x2] = 1
    return masks
