"""Images of a COCO-format file, as videos of one frame. The file format itself is `eval.readers.coco`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from eval.readers.coco import read_coco
from vos_occ.datasets.annotations import select_classes
from vos_occ.datasets.images import read_frame
from vos_occ.datasets.object_store import FrameObjects, StoreBuilder
from vos_occ.datasets.sample import Sample
from vos_occ.datasets.ytvis import sample_of
from vos_occ.structures.errors import InputError


class CocoFrames:
    """Annotated images of a COCO instance file.

    Args:
        ann_file: json in COCO instances format; `hidden` and `in_front_of` per annotation are read where present.
        image_root: folder that the json's `file_name` are relative to.
        classes: names to keep, in label order; default: the file's categories in order of id.
        keep_empty: use images without an object of these classes too, as background that must not be detected.
        merge: class that a category belongs to, where that has another name.

    Raises:
        SchemaError: the json is not a COCO instance file.
        InputError: it has no annotations, an object of these classes has no mask, or a class is not in it.
    """

    def __init__(
        self,
        ann_file: str | Path,
        image_root: str | Path,
        classes: Sequence[str] | None = None,
        keep_empty: bool = False,
        merge: Mapping[str, str] | None = None,
    ) -> None:
        dataset = read_coco(ann_file)
        if not dataset.has_annotations:
            raise InputError(f"{ann_file} has no annotations, so it cannot be trained on. Use the train split.")
        self.image_root = Path(image_root)
        self.keep_empty = keep_empty
        self.classes, label_of = select_classes(dataset.categories, classes, ann_file, merge)
        self.images = dataset.images
        place = {image.id: number for number, image in enumerate(self.images)}
        builder = StoreBuilder()
        for annotation in dataset.annotations:
            if annotation.category_id not in label_of:
                continue
            if annotation.segmentation is None:
                raise InputError(f"{ann_file}: annotation {annotation.id} has a box but no mask. Add its mask.")
            builder.add_owner(annotation.id, label_of[annotation.category_id], annotation.iscrowd)
            builder.add(
                place[annotation.image_id],
                annotation.segmentation["counts"],
                hidden=annotation.extra.get("hidden"),
                behind=annotation.extra.get("in_front_of"),
            )
        self._store = builder.build(len(self.images))

    def __repr__(self) -> str:
        return f"CocoFrames({len(self.images)} images in {str(self.image_root)!r}: {self._store!r})"

    def frames(self) -> list[list[int]]:
        """Per image, `[0]`, or `[]` when nothing on it but crowds is annotated and empty ones are not kept."""
        return [[0] if self.keep_empty or usable else [] for usable in self._store.usable().tolist()]

    def objects(self, video: int) -> FrameObjects:
        """What is annotated in the `video`-th image; no file is read."""
        return self._store.objects(video, self.images[video].height, self.images[video].width)

    def load(self, video: int, frame_index: int = 0) -> Sample:
        """The sample of the `video`-th image."""
        assert frame_index == 0, "an image is a video of one frame"
        info = self.images[video]
        return sample_of(read_frame(self.image_root / info.file_name, info.height, info.width), self.objects(video))
