"""Frames of KITTI MOTS and MOTSChallenge as samples. The formats themselves are `eval.readers.mots` and `mots_png`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from eval.errors import SchemaError, listed
from eval.masks import MaskTable, find_overlaps
from eval.readers.mots import CLASSES, IGNORE_CLASS
from eval.readers.mots_files import find_mots_files
from eval.readers.mots_png import INSTANCES_PER_CLASS, parse_labels
from eval.readers.record import Category
from vos_occ.datasets.annotations import select_classes
from vos_occ.datasets.images import read_frame
from vos_occ.datasets.object_store import ObjectStore, StoreBuilder
from vos_occ.datasets.sample import Sample, visible_sample
from vos_occ.datasets.video_folders import VideoFolder
from vos_occ.datasets.ytvis import sample_of
from vos_occ.structures.errors import InputError

IDS_OF_A_VIDEO = 1 << 16  # as many as a 16-bit image holds


class MotsFrames:
    """Frames of sequences; regions to ignore (class 10) become crowds.

    Of text files, what stays in memory is an `ObjectStore`, of which an item decodes one frame. Images are not opened
    before they are asked for, so all frames count as usable; one without an object is found when it is read.

    Args:
        labels: folder of text files or of images of the sequences, or a zip of either.
        videos: the sequences and their pictures (`list_videos`); the labels may have more.
        first_frame: number of the first frame in the labels: 0 in KITTI MOTS, 1 in MOTSChallenge.
        classes: names to keep, in label order; default: car, pedestrian.
        merge: class that a category belongs to, where that has another name.

    Raises:
        SchemaError: the labels are not of the format, masks of a frame overlap, or an id does not fit 16 bits.
        InputError: a sequence has no labels, or there is no such class.
    """

    keep_empty = False

    def __init__(
        self,
        labels: str | Path,
        videos: Sequence[VideoFolder],
        first_frame: int,
        classes: Sequence[str] | None = None,
        merge: Mapping[str, str] | None = None,
    ) -> None:
        categories = [Category(number, name) for name, number in CLASSES.items()]
        self.classes, self._label_of = select_classes(categories, classes, labels, merge)
        self._videos = tuple(videos)
        self._files = find_mots_files(Path(labels))
        if missing := [video.name for video in videos if video.name not in self._files.files]:
            raise InputError(
                f"'{labels}' has no labels of {len(missing)} of {len(videos)} sequences: {listed(missing)}. Unpack all."
            )
        self._starts = np.append(0, np.cumsum([len(video) for video in self._videos]))
        self._first_frame = first_frame
        self._sizes: list[tuple[int, int]] = []  # of the masks in text files
        if self._files.files[self._videos[0].name][0].endswith(".txt"):
            self._store: ObjectStore | None = self._read_texts()
        else:
            self._store = None
            for video in self._videos:
                self._require_images(video)

    def __repr__(self) -> str:
        return f"MotsFrames({len(self._videos)} sequences of {self._files!r}: {self._starts[-1]} frames)"

    def frames(self) -> list[list[int]]:
        """Per sequence, the indices of the frames with an object that is no crowd; of images, of all."""
        if self._store is None:
            return [list(range(len(video))) for video in self._videos]
        return [np.flatnonzero(part).tolist() for part in np.split(self._store.usable(), self._starts[1:-1])]

    def load(self, video: int, frame_index: int) -> Sample:
        """The sample at `frame_index` of the `video`-th sequence."""
        picture = self._videos[video].path(frame_index)
        if self._store is None:
            return self._of_image(video, frame_index, picture)
        size = self._sizes[video]
        return sample_of(read_frame(picture, *size), self._store.objects(int(self._starts[video]) + frame_index, *size))

    def _of_image(self, video: int, frame_index: int, picture: Path) -> Sample:
        name = self._files.files[self._videos[video].name][frame_index]
        pixels = parse_labels(self._files.contents([name])[0], f"'{self._files.path / name}'")
        values = np.unique(pixels[pixels > 0])
        classes = values // INSTANCES_PER_CLASS
        if (strange := ~np.isin(classes, [*CLASSES.values(), IGNORE_CLASS])).any():
            known = ", ".join(f"{number} {label}" for label, number in CLASSES.items())
            raise SchemaError(
                f"'{self._files.path / name}' has a pixel {values[strange][0]}, of class {classes[strange][0]}; known "
                f"are {known} and {IGNORE_CLASS} ignored. Export it again."
            )
        labels = np.array([self._label(number) for number in classes.tolist()], np.int64)
        kept = labels >= 0
        masks = (pixels == values[kept, None, None]).view(np.uint8)
        ids = values[kept] + video * IDS_OF_A_VIDEO
        return visible_sample(
            read_frame(picture, *pixels.shape), masks, labels[kept], ids, classes[kept] == IGNORE_CLASS
        )

    def _label(self, number: int) -> int:
        """Of a class by its number; regions to ignore, which have no class, count as the first. -1 is left out."""
        return 0 if number == IGNORE_CLASS else self._label_of.get(number, -1)

    def _require_images(self, video: VideoFolder) -> None:
        """One label image for each frame."""
        images = self._files.files[video.name]
        first = int(Path(images[0]).stem)
        if (first, len(images)) != (self._first_frame, len(video)):
            raise InputError(
                f"'{self._files.path}' has {len(images)} images of sequence {video.name} from number {first} on, but "
                f"'{video.folder}' has {len(video)} frames from {self._first_frame}. Unpack all of both."
            )

    def _read_texts(self) -> ObjectStore:
        builder = StoreBuilder()
        for number, video in enumerate(self._videos):
            rows = self._files.read(video.name)
            table = rows.table(self._first_frame, len(video), nameless=[IGNORE_CLASS])
            _check(table)
            self._sizes.append((table.height, table.width))
            self._add(builder, table, number)
        return builder.build(int(self._starts[-1]))

    def _add(self, builder: StoreBuilder, table: MaskTable, video: int) -> None:
        """All masks of a sequence, track by track."""
        tracks = np.stack([table.ids, table.categories], axis=1)
        for track_id, category in np.unique(tracks, axis=0).tolist():
            if (label := self._label(category)) < 0:
                continue
            builder.add_owner(track_id + video * IDS_OF_A_VIDEO, label, category == IGNORE_CLASS)
            for row in np.flatnonzero((tracks == (track_id, category)).all(1)).tolist():
                builder.add(int(self._starts[video] + table.frames[row]), table.counts[row])


def _check(table: MaskTable) -> None:
    """Raises SchemaError where masks overlap or are broken, or an id is larger than an image could hold."""
    if (table.ids >= IDS_OF_A_VIDEO).any():
        row = int((table.ids >= IDS_OF_A_VIDEO).argmax())
        raise SchemaError(
            f"{table.where(row)}: the id is {table.ids[row]}, expected at most {IDS_OF_A_VIDEO - 1}, as 16-bit images "
            "hold it. Number tracks as class * 1000 + instance."
        )
    if len(overlaps := find_overlaps(table)):
        first, second = (table.where(row) for row in overlaps[0])
        raise SchemaError(f"{first} and {second} have masks that overlap. Give every pixel to one object.")
