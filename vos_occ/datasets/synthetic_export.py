"""Synthetic videos on disk: frames, a YTVIS/OVIS json and a COCO json, both with the truth about occlusion added."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from vos_occ.datasets.synthetic_truth import SyntheticFrame
from vos_occ.results.coco import write_coco_dataset
from vos_occ.results.output import require_new
from vos_occ.results.ytvis import write_ytvis_dataset
from vos_occ.structures.errors import InputError
from vos_occ.structures.rle import area, bounding_box, encode

YTVIS_FILE, COCO_FILE, FRAMES_FOLDER = "annotations_ytvis.json", "annotations_coco.json", "frames"
UNHIDDEN, SEVERE = 0.01, 0.5
"""Hidden fractions: below the first OVIS's label is `no_occlusion` (level L0), from the second on `severe_occlusion`,
`slight_occlusion` between."""


class Video(Protocol):
    """What is asked of a video; `SyntheticVideo` is one."""

    name: str

    @property
    def height(self) -> int: ...

    @property
    def width(self) -> int: ...

    @property
    def classes(self) -> Sequence[str]: ...

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[SyntheticFrame]: ...


def write_videos(
    folder: Path, videos: Iterable[Video], *, coco_stride: int = 1, image_format: str = "jpg", overwrite: bool = False
) -> None:
    """Writes `folder/frames/VIDEO/00000.jpg`, `annotations_ytvis.json` and `annotations_coco.json`.

    File names in both files are relative to `folder/frames`; boxes are x, y, width, height. An object with fewer than
    16 visible pixels (`synthetic_truth.MIN_AREA`) in a frame is not there to be seen: null in YTVIS (`segmentations`,
    `bboxes`, `areas`, `occlusion`), no annotation in COCO. Objects that are never seen are left out.

    YTVIS annotations also carry, per frame: `occlusion` (OVIS), `amodal_segmentations` (RLE inside the image, or null),
    `hidden` (number, or null outside the image; given for fully hidden ones too) and `in_front_of` (ids of the
    annotations that this one hides part of). COCO annotations carry `hidden`, `amodal_segmentation`, `in_front_of`
    (annotation ids of the same image) and `track_id`, which equals `instance_id` and the YTVIS annotation id.

    Raises:
        InputError: an option out of range, or two videos of one name.
        OutputExistsError: an annotation file exists and `overwrite` is off.
    """
    if coco_stride < 1 or image_format not in ("jpg", "png"):
        raise InputError(f"Expected coco_stride >= 1 and image_format jpg or png, got {coco_stride}, {image_format!r}.")
    for name in (YTVIS_FILE, COCO_FILE):
        require_new(folder / name, overwrite)
    records = Records(coco_stride)
    for video in videos:
        records.start(video)
        for frame in video:
            file_name = f"{video.name}/{frame.frame_index:05d}.{image_format}"
            write_image(folder / FRAMES_FOLDER / file_name, frame.image)
            records.add(frame, file_name)
        records.finish()
    write_ytvis_dataset(folder / YTVIS_FILE, records.videos, records.tracks, records.categories, overwrite)
    write_coco_dataset(folder / COCO_FILE, records.images, records.objects, records.categories, overwrite)


class Records:
    """Annotation dicts of both formats, collected frame by frame.

    Args:
        coco_stride: every how many frames there is an image in the COCO file; None: never.
    """

    def __init__(self, coco_stride: int | None) -> None:
        self._stride = coco_stride
        self.videos: list[dict[str, Any]] = []
        self.tracks: list[dict[str, Any]] = []
        self.images: list[dict[str, Any]] = []
        self.objects: list[dict[str, Any]] = []
        self.categories: list[dict[str, Any]] = []
        self._rows: list[dict[str, Any]] | None = None
        self._first_id = 1  # of the current video's tracks

    def start(self, video: Video) -> None:
        if any(known["name"] == video.name for known in self.videos):
            raise InputError(f"Two videos are named {video.name}; give every seed once.")
        names = enumerate(video.classes, start=1)
        self.categories = [{"id": number, "name": name, "supercategory": "object"} for number, name in names]
        size = {"width": video.width, "height": video.height, "length": len(video)}
        self.videos.append({"id": len(self.videos) + 1, "name": video.name, **size, "file_names": []})
        self._rows = None

    def add(self, frame: SyntheticFrame, file_name: str) -> None:
        self.videos[-1]["file_names"].append(file_name)
        facts = _frame_facts(frame)
        self._add_to_tracks(frame, facts)
        if self._stride is not None and frame.frame_index % self._stride == 0:
            self._add_image(frame, facts, file_name)

    def finish(self) -> None:
        """Keeps the tracks that were seen at least once."""
        rows = self._rows or []
        kept = [row for row in rows if any(segment is not None for segment in row["segmentations"])]
        numbers = {row["id"] for row in kept}
        for row in kept:
            row["in_front_of"] = [[number for number in behind if number in numbers] for behind in row["in_front_of"]]
        self.tracks += kept
        self._first_id += len(rows)

    def _add_to_tracks(self, frame: SyntheticFrame, facts: list[dict[str, Any]]) -> None:
        if self._rows is None:
            self._rows = [self._empty_track(self._first_id + i, int(frame.labels[i])) for i in range(len(frame))]
        for index, (row, fact) in enumerate(zip(self._rows, facts, strict=True)):
            row["segmentations"].append(fact["segmentation"])
            row["bboxes"].append(fact["bbox"])
            row["areas"].append(fact["area"])
            row["occlusion"].append(fact["occlusion"])
            row["amodal_segmentations"].append(fact["amodal"])
            row["hidden"].append(fact["hidden"])
            row["in_front_of"].append([self._first_id + int(j) for j in np.flatnonzero(frame.in_front[index])])

    def _empty_track(self, number: int, label: int) -> dict[str, Any]:
        video = self.videos[-1]
        size = {key: video[key] for key in ("width", "height", "length")}
        fields = ("segmentations", "bboxes", "areas", "occlusion", "amodal_segmentations", "hidden", "in_front_of")
        track = {"id": number, "video_id": video["id"], "category_id": label + 1, "iscrowd": 0, **size}
        return track | {field: [] for field in fields}

    def _add_image(self, frame: SyntheticFrame, facts: list[dict[str, Any]], file_name: str) -> None:
        video = self.videos[-1]
        size = {"width": video["width"], "height": video["height"]}
        place = {"video_id": video["id"], "frame_index": frame.frame_index}
        self.images.append({"id": len(self.images) + 1, "file_name": file_name, **size, **place})
        seen = [index for index, fact in enumerate(facts) if fact["segmentation"] is not None]
        numbers = {index: len(self.objects) + 1 + place for place, index in enumerate(seen)}
        for index in seen:
            fact, track = facts[index], self._first_id + index
            self.objects.append(
                {
                    "id": numbers[index],
                    "image_id": self.images[-1]["id"],
                    "category_id": int(frame.labels[index]) + 1,
                    "segmentation": fact["segmentation"],
                    "bbox": fact["bbox"],
                    "area": fact["area"],
                    "iscrowd": 0,
                    "amodal_segmentation": fact["amodal"],
                    "hidden": fact["hidden"],
                    "in_front_of": [numbers[j] for j in np.flatnonzero(frame.in_front[index]).tolist() if j in numbers],
                    "instance_id": track,
                    "track_id": track,
                }
            )


def _frame_facts(frame: SyntheticFrame) -> list[dict[str, Any]]:
    """Per object, what both formats say of it; None stands for null."""
    facts = []
    for visible, amodal, hidden, seen in zip(frame.visible, frame.amodal, frame.hidden, frame.is_visible, strict=True):
        inside = bool(amodal.any())
        segmentation = encode(visible) if seen else None
        facts.append(
            {
                "segmentation": segmentation,
                "bbox": _xywh(bounding_box(segmentation)) if segmentation else None,
                "area": int(area(segmentation)) if segmentation else None,
                "occlusion": _occlusion_label(float(hidden)) if seen else None,
                "amodal": encode(amodal) if inside else None,
                "hidden": round(float(hidden), 6) if inside else None,
            }
        )
    return facts


def _occlusion_label(hidden: float) -> str:
    if hidden < UNHIDDEN:
        return "no_occlusion"
    return "severe_occlusion" if hidden >= SEVERE else "slight_occlusion"


def _xywh(box: Iterable[float]) -> list[float]:
    x0, y0, x1, y1 = (float(value) for value in box)
    return [x0, y0, x1 - x0, y1 - y0]


def write_image(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92]):
        raise InputError(f"Could not write the frame {path}; is the disk full or the folder read-only?")
