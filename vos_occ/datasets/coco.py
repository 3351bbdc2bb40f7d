"""Images of a COCO-format file, as videos of one frame. The file format itself is `eval.readers.coco`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask

from eval.readers.coco import Annotation, read_coco
from vos_occ.datasets.images import read_image
from vos_occ.datasets.sample import Sample
from vos_occ.datasets.ytvis import hidden_or_nan, order_from_lists
from vos_occ.structures.errors import InputError


class CocoFrames:
    """Annotated images of a COCO instance file.

    Args:
        ann_file: json in COCO instances format; `hidden` and `in_front_of` per annotation are read where present.
        image_root: folder that the json's `file_name` are relative to.
        classes: names to keep, in label order; default: the file's categories in order of id.
    """

    def __init__(self, ann_file: str | Path, image_root: str | Path, classes: Sequence[str] | None = None) -> None:
        dataset = read_coco(ann_file)
        self.image_root = Path(image_root)
        names = {category.name: category.id for category in dataset.categories}
        self.classes = tuple(classes) if classes else tuple(sorted(names, key=names.__getitem__))
        missing = [name for name in self.classes if name not in names]
        if missing:
            raise InputError(f"{ann_file} has no category {missing[0]!r}. It has: {', '.join(sorted(names))}.")
        self._label_of = {names[name]: label for label, name in enumerate(self.classes)}
        self._annotations: dict[int, list[Annotation]] = defaultdict(list)
        for annotation in dataset.annotations:
            if annotation.category_id in self._label_of:
                self._annotations[annotation.image_id].append(annotation)
        self.images = dataset.images

    def frames(self) -> list[list[int]]:
        """Per image, `[0]`, or `[]` when nothing on it but crowds is annotated."""
        return [[0] if any(not a.iscrowd for a in self._annotations[image.id]) else [] for image in self.images]

    def load(self, video: int, frame_index: int = 0) -> Sample:
        """The sample of the `video`-th image."""
        assert frame_index == 0, "an image is a video of one frame"
        info = self.images[video]
        image = read_image(self.image_root / info.file_name)
        if image.shape[:2] != (info.height, info.width):
            raise InputError(
                f"{info.file_name} is {image.shape[1]}x{image.shape[0]}, "
                f"but its annotation says {info.width}x{info.height}."
            )
        annotations = self._annotations[info.id]
        masks = np.zeros((len(annotations), *image.shape[:2]), np.uint8)
        for mask, annotation in zip(masks, annotations, strict=True):
            mask[:] = coco_mask.decode(annotation.segmentation)
        return Sample(
            image=image,
            masks=masks,
            labels=np.array([self._label_of[a.category_id] for a in annotations], np.int64),
            instance_ids=np.array([a.id for a in annotations], np.int64),
            hidden=hidden_or_nan([a.extra.get("hidden") for a in annotations]),
            in_front=order_from_lists([a.id for a in annotations], [a.extra.get("in_front_of") for a in annotations]),
            crowd=np.array([bool(a.iscrowd) for a in annotations], bool),
        )
