"""Frames of BDD100K's bitmasks as samples, one picture at a time. The format itself is `eval.readers.bdd_bitmask`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from eval.errors import SchemaError
from eval.readers.bdd_bitmask import find_bitmasks, read_picture
from vos_occ.datasets.bdd_classes import bdd_labels
from vos_occ.datasets.images import picture_suffix, read_frame
from vos_occ.datasets.sample import Sample, visible_sample

IDS_OF_A_VIDEO = 1 << 16  # as many as two channels hold


class BddBitmaskFrames:
    """Frames of segmentation tracking, or images of instance segmentation.

    No bitmask is opened before it is asked for, so all frames count as usable; one without an object is found when it
    is read. Ignored objects and crowds become crowds, those of no category too.

    Args:
        labels: folder of the videos' folders of bitmasks, or of the bitmasks of single images.
        image_root: folder that holds the pictures under the same names, jpg or png.
        classes: names to keep, in label order; default: BDD100K's eight.
        merge: class that a category belongs to, where that has another name.

    Raises:
        SchemaError: there are no bitmasks; on reading, one is none.
        InputError: a picture is missing, or BDD100K has no such class.
    """

    keep_empty = False

    def __init__(
        self,
        labels: str | Path,
        image_root: str | Path,
        classes: Sequence[str] | None = None,
        merge: Mapping[str, str] | None = None,
    ) -> None:
        self.labels, self.image_root = Path(labels), Path(image_root)
        self.classes, self._label_of = bdd_labels(classes, self.labels, merge)
        videos = find_bitmasks(self.labels)
        stems = {name: tuple(frames) for name, frames in videos.items()}
        self._suffix = {
            name: picture_suffix(self.image_root / name, names, self.labels / name) for name, names in stems.items()
        }
        single = stems.pop(".", ())
        self._videos = [*((".", (stem,)) for stem in single), *stems.items()]

    def __repr__(self) -> str:
        frames = sum(len(stems) for _, stems in self._videos)
        return f"BddBitmaskFrames({len(self._videos)} videos in {str(self.labels)!r}: {frames} bitmasks)"

    def frames(self) -> list[list[int]]:
        """Per video, the indices of all its frames."""
        return [list(range(len(stems))) for _, stems in self._videos]

    def load(self, video: int, frame_index: int) -> Sample:
        """The sample at `frame_index` of the `video`-th video, counted among those that have a bitmask."""
        name, stems = self._videos[video]
        stem = stems[frame_index]
        path = self.labels / name / f"{stem}.png"
        objects, owner = read_picture(path)
        image = read_frame(self.image_root / name / (stem + self._suffix[name]), *owner.shape)
        unknown = ~np.isin(objects.categories, list(self._label_of)) & ~objects.ignored
        if unknown.any():
            raise SchemaError(
                f"{path}: instance {objects.ids[unknown][0]} has category {objects.categories[unknown][0]}, expected "
                f"1..{len(self._label_of)}. Export it again."
            )
        labels = np.array([self._label_of.get(number, 0) for number in objects.categories.tolist()], np.int64)
        kept = np.flatnonzero(labels >= 0)
        masks = (owner == kept[:, None, None]).view(np.uint8)
        ids = objects.ids[kept] + video * IDS_OF_A_VIDEO
        return visible_sample(image, masks, labels[kept], ids, objects.ignored[kept])
