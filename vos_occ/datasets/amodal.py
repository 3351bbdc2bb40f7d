"""Still images with visible, amodal and occluder masks for any mmdet detector: dataset, loading and packing.

One dataset for COCO, KINS, COCOA, COCOA-cls, D2SA and the synthetic world. Between `LoadAmodalAnnotations` and
`PackAmodalInputs` every transform of mmdet may stand that keeps `gt_masks` a container (not its CopyPaste).
"""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import os
import warnings
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmdet.datasets import BaseDetDataset
from mmdet.datasets.transforms import PackDetInputs
from mmdet.registry import DATASETS, TRANSFORMS
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

from eval.readers.coco import Box, Image
from eval.readers.occluders import read_occluders
from eval.rle import Rle
from vos_occ.datasets.amodal_formats import AnnotationFile, TrainingObject, read_annotation_file, require_extent
from vos_occ.datasets.amodal_masks import AmodalMasks, Extent, Scene
from vos_occ.datasets.amodal_order import order_of
from vos_occ.datasets.annotations import hidden_or_nan, select_classes
from vos_occ.structures import rle
from vos_occ.structures.errors import InputError

MIN_SIDE = 1  # pixels of a box inside its image, as in mmdet's CocoDataset


@DATASETS.register_module()
class AmodalDataset(BaseDetDataset):
    """Annotated still images.

    Args:
        format: `coco` (visible masks), `kins` (2019 and 2020), `cocoa`, `cocoa_cls`, `d2sa`, `synthetic`, or `amodal`,
            which is whichever of the amodal ones the file's fields tell.
        extent: which masks are learned and which boxes detected; default: visible for `coco`, else amodal.
        occluder_file: occluder masks made beforehand (`bg_object_segmentation`), instead of those that the RoI head
            computes; may be the annotation file itself.
        stuff: keep COCOA's regions of background.
        num_classes: what the model tells apart; a file with another number of classes is refused.
        check_images: refuse a dataset of which images are not on the disk, before training starts.
        arguments: those of mmengine's BaseDataset: `ann_file`, `data_root`, `data_prefix=dict(img=...)`, `pipeline`,
            `metainfo=dict(classes=...)` (default: all of the file's, in order of id), `filter_cfg` with
            `filter_empty_gt` and `min_size`, `test_mode`, ...

    Raises:
        SchemaError: the file is not of the format.
        InputError: it cannot be trained on, or images are missing.

    Warns:
        UserWarning: objects without a mask, or thinner than a pixel, are left out.
    """

    def __init__(
        self,
        *positional: Any,
        format: str = "amodal",
        extent: Extent | None = None,
        occluder_file: str | None = None,
        stuff: bool = True,
        num_classes: int | None = None,
        check_images: bool = True,
        **arguments: Any,
    ) -> None:
        self.format = format
        self.extent: Extent = extent or ("visible" if format == "coco" else "amodal")
        self.occluder_file = occluder_file
        self.stuff = stuff
        self.num_classes = num_classes
        self.check_images = check_images
        require_extent(self.extent, format)
        super().__init__(*positional, **arguments)

    def load_data_list(self) -> list[dict[str, Any]]:
        """One dict per image, with its `objects` (`TrainingObject`) of the chosen classes."""
        file = read_annotation_file(self.ann_file, self.format, self.stuff)
        names, label_of = select_classes(file.categories, self._metainfo.get("classes"), self.ann_file)
        if self.num_classes not in (None, len(names)):
            raise InputError(
                f"The config says {self.num_classes} classes, but {self.ann_file} gives {len(names)}: "
                f"{', '.join(names)}. Correct num_classes, or name the classes to keep in metainfo."
            )
        self._metainfo |= {"classes": names, "category_ids": list(label_of), "ann_file": str(self.ann_file)}
        if self.test_mode:
            self._require_masks(file)
        occluders = self._occluders(file)
        objects = self._usable(file, label_of)
        if not self.test_mode and not any(not thing.crowd for members in objects.values() for thing in members):
            raise InputError(f"{self.ann_file} has no object of the classes {', '.join(names)} that is no crowd.")
        if self.check_images:
            self._require_images(file.images)
        return [self._data_info(image, objects[image.id], label_of, occluders) for image in file.images]

    def _require_masks(self, file: AnnotationFile) -> None:
        """Scoring would refuse them, after an epoch of training."""
        for members in file.objects.values():
            for thing in members:
                if thing.extent(self.extent)[0] is None:
                    raise InputError(
                        f"{self.ann_file}: annotation {thing.id} has no {self.extent} mask, so nothing can be scored "
                        "on the file. Add the mask, or remove the annotation."
                    )

    def _occluders(self, file: AnnotationFile) -> Mapping[int, Rle | None] | None:
        if self.occluder_file is None:
            return None
        occluders = read_occluders(self._path(self.occluder_file))
        known = {thing.id for members in file.objects.values() for thing in members if not thing.crowd}
        if missing := known - occluders.keys():
            raise InputError(
                f"{self.occluder_file} has no occluder of annotation {min(missing)} and {len(missing) - 1} more of "
                f"{self.ann_file}. Make it again with tools/make_occluders.py."
            )
        return occluders

    def _path(self, name: str) -> str:
        return name if os.path.isabs(name) else os.path.join(self.data_root or "", name)

    def _usable(self, file: AnnotationFile, label_of: Mapping[int, int]) -> dict[int, list[TrainingObject]]:
        """Objects of the chosen classes by image, without those that nothing can be learned from."""
        usable: dict[int, list[TrainingObject]] = {image.id: [] for image in file.images}
        left_out: Counter[str] = Counter()
        for image in file.images:
            for thing in file.objects[image.id]:
                if thing.category_id in label_of:
                    mask, box = thing.extent(self.extent)
                    problem = _problem(mask, box, image)
                    left_out[problem] += bool(problem)
                    if not problem:
                        usable[image.id].append(thing)
        if total := left_out.total():
            reasons = ", ".join(f"{count} {problem}" for problem, count in left_out.items() if count)
            warnings.warn(f"{self.ann_file}: {total} objects are left out: {reasons}.", stacklevel=2)
        return usable

    def _require_images(self, images: Sequence[Image]) -> None:
        """Lists each folder once, which is faster than to ask for every file."""
        folders: dict[str, list[str]] = defaultdict(list)
        for image in images:
            folder, name = os.path.split(self._image_path(image))
            folders[folder].append(name)
        missing = [
            os.path.join(folder, name)
            for folder, names in folders.items()
            for name in set(names).difference(os.listdir(folder) if os.path.isdir(folder) else ())
        ]
        if missing:
            raise InputError(
                f"{len(missing)} of {len(images)} images of {self.ann_file} are not on the disk, such as "
                f"{min(missing)}. Check data_root and data_prefix."
            )

    def _image_path(self, image: Image) -> str:
        return os.path.join(self.data_prefix.get("img", ""), image.file_name)

    def _data_info(
        self,
        image: Image,
        objects: Sequence[TrainingObject],
        label_of: Mapping[int, int],
        occluders: Mapping[int, Rle | None] | None,
    ) -> dict[str, Any]:
        info = _bare_info(objects, self.extent, image)
        for thing, instance in zip(objects, info["instances"], strict=True):
            instance["bbox_label"] = label_of[thing.category_id]
        if occluders is not None:
            info["occluders"] = [occluders.get(thing.id) for thing in objects]
        return info | {"img_path": self._image_path(image), "img_id": image.id, "seg_map_path": None}

    def filter_data(self) -> list[dict[str, Any]]:
        """`filter_cfg`: `filter_empty_gt` drops images on which nothing but crowds is annotated, `min_size` small ones.

        Raises:
            InputError: no image is left.
        """
        if self.test_mode or not self.filter_cfg:
            return self.data_list
        kept = [
            info
            for info in self.data_list
            if min(info["height"], info["width"]) >= self.filter_cfg.get("min_size", 0)
            and not (self.filter_cfg.get("filter_empty_gt") and all(i["ignore_flag"] for i in info["instances"]))
        ]
        if not kept:
            raise InputError(f"No image of {self.ann_file} is left by filter_cfg {dict(self.filter_cfg)}.")
        return kept


def _bare_info(objects: Sequence[TrainingObject], extent: Extent, image: Image) -> dict[str, Any]:
    """What `LoadAmodalAnnotations` reads, all of one label. mmdet's samplers and filters ask for `instances`."""
    return {
        "height": image.height,
        "width": image.width,
        "extent": extent,
        "objects": list(objects),
        "occluders": None,
        "instances": [
            {"bbox": _corners(thing.extent(extent)[1], image), "bbox_label": 0, "ignore_flag": int(thing.crowd)}
            for thing in objects
        ],
    }


def _problem(mask: Rle | None, box: Box, image: Image) -> str:
    """Why an object cannot be learned, or nothing."""
    if mask is None or rle.area(mask) == 0:
        return "without a pixel in their mask"
    x0, y0, x1, y1 = _corners(box, image)
    return "with a box thinner than a pixel" if min(x1 - x0, y1 - y0) < MIN_SIDE else ""


def _corners(box: Box, image: Image) -> list[float]:
    """x, y, width, height as x, y, x, y inside the image."""
    x, y, width, height = box
    corners = np.array([x, y, x + width, y + height])
    return np.clip(corners, 0, [image.width, image.height, image.width, image.height]).tolist()


@TRANSFORMS.register_module()
class LoadAmodalAnnotations(BaseTransform):
    """Objects of `AmodalDataset` as `gt_bboxes`, `gt_bboxes_labels`, `gt_ignore_flags`, `gt_masks` (`AmodalMasks`)."""

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        objects: list[TrainingObject] = results["objects"]
        instances = results["instances"]
        height, width = results["height"], results["width"]
        if "ori_shape" in results and tuple(results["ori_shape"]) != (height, width):
            found = "x".join(map(str, results["ori_shape"][::-1]))
            raise InputError(f"{results['img_path']} is {found}, but its annotation says {width}x{height}.")
        planes = {"visible": _decoded([thing.visible for thing in objects], height, width)}
        if results["extent"] == "amodal" or (objects and all(thing.amodal is not None for thing in objects)):
            planes["amodal"] = _decoded([thing.amodal for thing in objects], height, width)
        if results["occluders"] is not None:
            planes["occluder"] = _decoded(results["occluders"], height, width)
        scene = Scene(
            np.array([thing.id for thing in objects], np.int64),
            order_of(objects),
            hidden_or_nan([thing.hidden for thing in objects]),
        )
        boxes = np.array([instance["bbox"] for instance in instances], np.float32).reshape(-1, 4)
        results["gt_bboxes"] = HorizontalBoxes(boxes)
        results["gt_bboxes_labels"] = np.array([instance["bbox_label"] for instance in instances], np.int64)
        results["gt_ignore_flags"] = np.array([instance["ignore_flag"] for instance in instances], bool)
        results["gt_masks"] = AmodalMasks(planes, results["extent"], scene)
        return results


def _decoded(masks: Sequence[Rle | None], height: int, width: int) -> np.ndarray:
    planes = np.zeros((len(masks), height, width), np.uint8)
    for plane, mask in zip(planes, masks, strict=True):
        if mask is not None:
            plane[:] = rle.decode(mask)
    return planes


@TRANSFORMS.register_module()
class PackAmodalInputs(PackDetInputs):
    """PackDetInputs, with what the bilayer RoI head reads of objects: `hidden`, `in_front`, `occluders`; their ids too.

    `in_front` is a matrix: cut the packed instances only together with it (their `masks` cut their own).
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        _require_in_step(results)
        packed = super().transform(results)
        for instances in (packed["data_samples"].gt_instances, packed["data_samples"].ignored_instances):
            _add_facts(instances)
        return packed


def _require_in_step(results: Mapping[str, Any]) -> None:
    """Raises InputError if a transform made masks of its own, or dropped or moved objects without their masks."""
    masks, boxes, size = results["gt_masks"], results["gt_bboxes"], results["img"].shape[:2]
    if not isinstance(masks, AmodalMasks):
        raise InputError(
            f"gt_masks became {type(masks).__name__} on the way, which knows no order and no hidden parts. Leave out "
            "the transform that makes new masks, such as CopyPaste."
        )
    if len(masks) != len(boxes) or (masks.height, masks.width) != size:
        raise InputError(
            f"There are {len(boxes)} boxes in an image of {size[1]}x{size[0]}, but {masks!r}. Leave out the transform "
            "that forgets masks, such as RandomShift."
        )


def _add_facts(instances: InstanceData) -> None:
    masks: AmodalMasks = instances.masks
    instances.instances_ids = torch.from_numpy(masks.ids)
    instances.hidden = torch.from_numpy(masks.hidden)
    instances.in_front = torch.from_numpy(masks.in_front)
    if (occluders := masks.bitmaps("occluder")) is not None:
        instances.occluders = occluders


def amodal_samples(ann_file: str | Path, image_root: str | Path, **options: Any) -> AmodalDataset:
    """The images of a file that have objects, as they are: packed without a transform, for tools that look at them.

    Args:
        ann_file: of any format.
        image_root: folder that its file names are relative to.
        **options: of `AmodalDataset`.

    Raises:
        SchemaError: the file is not of the format.
        InputError: nothing can be learned from it, or images are missing.
    """
    if options.get("occluder_file") is not None:
        options["occluder_file"] = os.path.abspath(options["occluder_file"])
    with DefaultScope.overwrite_default_scope("mmdet"):
        return AmodalDataset(
            ann_file=os.path.abspath(ann_file),
            data_prefix={"img": str(image_root)},
            filter_cfg={"filter_empty_gt": True},
            pipeline=[{"type": name} for name in ("LoadImageFromFile", "LoadAmodalAnnotations", "PackAmodalInputs")],
            **options,
        )


def instances_of(objects: Sequence[TrainingObject], extent: Extent, image: Image) -> InstanceData:
    """Objects of an image of which no pixel is loaded, with bboxes, masks and all else that targets are made from."""
    info = _bare_info(objects, extent, image)
    loaded = LoadAmodalAnnotations().transform(info)
    instances = InstanceData(bboxes=loaded["gt_bboxes"].tensor, masks=loaded["gt_masks"])
    _add_facts(instances)
    return instances
