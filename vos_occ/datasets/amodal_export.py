"""Pictures of the synthetic world as an amodal dataset of any published format: images and one json."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from eval.readers.amodal import AmodalObject
from eval.readers.coco import Box
from vos_occ.datasets.synthetic_export import Video
from vos_occ.datasets.synthetic_truth import SyntheticFrame
from vos_occ.results.amodal import write_amodal_dataset
from vos_occ.results.output import reported, require_new
from vos_occ.structures import rle
from vos_occ.structures.rle import Rle

ANNOTATIONS, IMAGES = "annotations.json", "images"


def write_amodal_images(folder: Path, format_name: str, videos: Iterable[Video], overwrite: bool = False) -> None:
    """Writes every frame of some videos as `folder/images/VIDEO_00000.png`, and `folder/annotations.json`.

    Objects with fewer than `MIN_AREA` visible pixels are left out, as in the COCO file of the synthetic world.

    Args:
        folder: made if absent.
        format_name: one of `vos_occ.results.amodal.FORMATS`.
        videos: their classes become the categories, ids from 1.
        overwrite: replace annotations that exist.

    Raises:
        OutputExistsError: the annotations exist and `overwrite` is off.
    """
    require_new(folder / ANNOTATIONS, overwrite, folder=False)
    images, objects, names = [], [], {}
    for video in videos:
        names = dict(enumerate(video.classes, start=1))
        for frame in video:
            name = f"{video.name}_{frame.frame_index:05d}.png"
            _write_image(folder / IMAGES / name, frame.image)
            height, width = frame.image.shape[:2]
            images.append({"id": len(images) + 1, "file_name": name, "width": width, "height": height})
            objects += frame_objects(frame, len(images), len(objects) + 1)
    categories = [{"id": number, "name": name} for number, name in names.items()]
    write_amodal_dataset(folder / ANNOTATIONS, format_name, images, objects, categories, overwrite)


def frame_objects(frame: SyntheticFrame, image_id: int, first_id: int) -> list[AmodalObject]:
    """The objects of a frame that can be seen, with ids from `first_id`."""
    seen = np.flatnonzero(frame.is_visible).tolist()
    ids = dict(zip(seen, range(first_id, first_id + len(seen)), strict=True))
    return [_object(frame, i, ids, image_id) for i in seen]


def _object(frame: SyntheticFrame, i: int, ids: dict[int, int], image_id: int) -> AmodalObject:
    amodal, visible = rle.encode(frame.amodal[i]), rle.encode(frame.visible[i])
    return AmodalObject(
        id=ids[i],
        image_id=image_id,
        category_id=int(frame.labels[i]) + 1,
        amodal=amodal,
        visible=visible,
        amodal_box=_xywh(amodal),
        visible_box=_xywh(visible),
        area=float(rle.area(amodal)),
        occlude_rate=float(frame.hidden[i]),
        in_front_of=tuple(ids[j] for j in np.flatnonzero(frame.in_front[i]).tolist() if j in ids),
    )


def _xywh(mask: Rle) -> Box:
    x0, y0, x1, y1 = rle.bounding_box(mask).tolist()
    return x0, y0, x1 - x0, y1 - y0


def _write_image(path: Path, image: np.ndarray) -> None:
    with reported(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(".png", image[..., ::-1])[1].tobytes())
