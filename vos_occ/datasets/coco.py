"""Images of a COCO-format file, as videos of one frame. The file format itself is `eval.readers.coco`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from eval.readers.coco import Annotation, read_coco
from vos_occ.datasets.annotations import decode_masks, hidden_or_nan, order_from_lists, select_classes
from vos_occ.datasets.images import read_frame
from vos_occ.datasets.sample import Sample
from vos_occ.structures.errors import InputError


class CocoFrames:
    """Annotated images of a COCO instance file.

    Args:
        ann_file: json in COCO instances format; `hidden` and `in_front_of` per annotation are read where present.
        image_root: folder that the json's `file_name` are relative to.
        classes: names to keep, in label order; default: the file's categories in order of id.
        keep_empty: use images without an object of these classes too, as background that must not be detected.

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
    ) -> None:
        dataset = read_coco(ann_file)
        if not dataset.has_annotations:
            raise InputError(f"{ann_file} has no annotations, so it cannot be trained on. Use the train split.")
        self.image_root = Path(image_root)
        self.keep_empty = keep_empty
        self.classes, self._label_of = select_classes(dataset.categories, classes, ann_file)
        self._annotations: dict[int, list[Annotation]] = defaultdict(list)
        for annotation in dataset.annotations:
            if annotation.category_id in self._label_of:
                if annotation.segmentation is None:
                    raise InputError(f"{ann_file}: annotation {annotation.id} has a box but no mask. Add its mask.")
                self._annotations[annotation.image_id].append(annotation)
        self.images = dataset.images

    def frames(self) -> list[list[int]]:
        """Per image, `[0]`, or `[]` when nothing on it but crowds is annotated and empty ones are not kept."""
        return [[0] if self.keep_empty or self._has_objects(image.id) else [] for image in self.images]

    def _has_objects(self, image_id: int) -> bool:
        return any(not annotation.iscrowd for annotation in self._annotations[image_id])

    def load(self, video: int, frame_index: int = 0) -> Sample:
        """The sample of the `video`-th image."""
        assert frame_index == 0, "an image is a video of one frame"
        info = self.images[video]
        annotations = self._annotations[info.id]
        ids = [a.id for a in annotations]
        return Sample(
            image=read_frame(self.image_root / info.file_name, info.height, info.width),
            masks=decode_masks([a.segmentation for a in annotations], info.height, info.width),
            labels=np.array([self._label_of[a.category_id] for a in annotations], np.int64),
            instance_ids=np.array(ids, np.int64),
            hidden=hidden_or_nan([a.extra.get("hidden") for a in annotations]),
            in_front=order_from_lists(ids, [a.extra.get("in_front_of") for a in annotations]),
            crowd=np.array([bool(a.iscrowd) for a in annotations], bool),
        )
