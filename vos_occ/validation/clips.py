"""What a model in training is run over: the videos of a file, or its images as videos of one frame."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmdet.registry import DATASETS
from torch.utils.data import Dataset

from eval.readers.coco import Image, read_images
from eval.readers.record import Category, categories, load_object
from eval.readers.ytvis import Video, read_ytvis
from vos_occ.datasets.annotations import select_classes
from vos_occ.structures.errors import InputError


class Clips(Dataset):
    """Videos with the classes that a model tells apart. An item is an `eval.readers.ytvis.Video`; no pixel is read.

    Args:
        ann_file: the ground truth.
        image_root: folder that its file names are relative to.
        videos: of the file.
        known: categories of the file.
        classes: names in the model's label order; None: all of the file's, in order of id.

    Raises:
        InputError: a class is not in the file, or a video names no files.
    """

    def __init__(
        self,
        ann_file: str | Path,
        image_root: str | Path,
        videos: Sequence[Video],
        known: Sequence[Category],
        classes: Sequence[str] | None,
    ) -> None:
        names, label_of = select_classes(known, classes, ann_file)
        if unnamed := [video.id for video in videos if not all(video.file_names) or not video.file_names]:
            raise InputError(
                f"{ann_file}: video or image {unnamed[0]} has no file names, so its frames cannot be found. Add them."
            )
        if not videos:
            raise InputError(f"{ann_file} has nothing to validate on. Give a file with videos or images.")
        self.ann_file, self.image_root = Path(ann_file), Path(image_root)
        self.classes, self.category_ids = names, list(label_of)
        self.videos = tuple(videos)
        self.metainfo: dict[str, Any] = {
            "kind": type(self).__name__,
            "classes": names,
            "category_ids": self.category_ids,
            "ann_file": str(ann_file),
        }

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, index: int) -> Video:
        return self.videos[index]


@DATASETS.register_module()
class OccVideos(Clips):
    """The videos of a YTVIS-format file.

    Args:
        ann_file: json in YTVIS or OVIS format, with annotations.
        image_root: folder that its `file_names` are relative to.
        classes: names in the model's label order; None: all of the file's, in order of id.

    Raises:
        SchemaError: the json is not a YTVIS file.
        InputError: it has no annotations, or they cannot be used.
    """

    def __init__(self, ann_file: str | Path, image_root: str | Path, classes: Sequence[str] | None = None) -> None:
        dataset = read_ytvis(ann_file)
        require_annotations(dataset.has_annotations, ann_file)
        super().__init__(ann_file, image_root, dataset.videos, dataset.categories, classes)
        self.metainfo["dataset"] = dataset


@DATASETS.register_module()
class OccImages(Clips):
    """The images of a COCO-like file (COCO, KINS, COCOA-cls, D2SA), each a video of one frame.

    Args:
        ann_file: json with annotations.
        image_root: folder that its `file_name` are relative to.
        classes: names in the model's label order; None: all of the file's, in order of id.

    Raises:
        SchemaError: the json has no images and categories as COCO has them.
        InputError: it has no annotations, or they cannot be used.
    """

    def __init__(self, ann_file: str | Path, image_root: str | Path, classes: Sequence[str] | None = None) -> None:
        document = load_object(ann_file)
        require_annotations(document.values.get("annotations") is not None, ann_file)
        videos = [as_video(image) for image in read_images(document)]
        super().__init__(ann_file, image_root, videos, categories(document), classes)


def as_video(image: Image) -> Video:
    """A video of this one frame, with the image's id."""
    return Video(image.id, image.file_name, image.width, image.height, 1, (image.file_name,))


def require_annotations(present: bool, ann_file: str | Path) -> None:
    """Raises InputError for the annotation file of a test set, before anything is trained."""
    if not present:
        raise InputError(f"{ann_file} has no annotations, so nothing can be validated on it. Use a file that has them.")
