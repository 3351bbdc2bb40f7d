"""Tiny valid files of every format, as bytes, which the fuzzer breaks; and what a target of it is."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_mutations import Files, code_of, png

HEIGHT, WIDTH, FRAMES = 6, 8, 3
Check = Callable[[Files, Any], None]


@dataclass(frozen=True)
class Target:
    """A reader or a protocol.

    Attributes:
        files: Valid ones.
        read: Reads them from a folder.
        check: Raises `Impossible` where they should not have been accepted.
    """

    files: Files
    read: Callable[[Path], Any]
    check: Check


# Masks ------------------------------------------------------------------------------------------------------------


def rectangle(top: int, left: int, height: int, width: int) -> list[int]:
    """Run lengths of a rectangle, not touching the last pixel."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[top : top + height, left : left + width] = True
    flat = mask.T.reshape(-1)
    edges = np.flatnonzero(np.diff(flat, prepend=False))
    return np.diff([0, *edges, flat.size]).tolist()


def rle(*rectangle_of: int) -> dict[str, Any]:
    return {"size": [HEIGHT, WIDTH], "counts": code_of(rectangle(*rectangle_of))}


FIRST, SECOND, THIRD = (0, 0, 3, 3), (3, 4, 2, 3), (1, 3, 2, 2)
POLYGON = [1, 1, 4, 1, 4, 4, 1, 4]


def dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


def label_png(labels: np.ndarray) -> bytes:
    """A 16-bit grey PNG."""
    return png(WIDTH, HEIGHT, 16, 0, b"".join(b"\0" + row.astype(">u2").tobytes() for row in labels))


def colour_png(colours: np.ndarray) -> bytes:
    """An RGB or RGBA PNG of (H, W, 3 or 4)."""
    kind = {3: 2, 4: 6}[colours.shape[2]]
    return png(WIDTH, HEIGHT, 8, kind, b"".join(b"\0" + row.astype(np.uint8).tobytes() for row in colours))


def labels_of(values: Sequence[tuple[int, tuple[int, ...]]]) -> np.ndarray:
    """A map in which each rectangle has its value."""
    labels = np.zeros((HEIGHT, WIDTH), np.int64)
    for value, (top, left, height, width) in values:
        labels[top : top + height, left : left + width] = value
    return labels


# Files ------------------------------------------------------------------------------------------------------------

IMAGES = [
    {"id": 1, "width": WIDTH, "height": HEIGHT, "file_name": "1.png"},
    {"id": 7, "width": WIDTH, "height": HEIGHT, "file_name": "7.png"},
]
CATEGORIES = [{"id": 1, "name": "person"}, {"id": 3, "name": "car"}]


def annotation(number: int, image: int, category: int, where: Sequence[int], **more: Any) -> dict[str, Any]:
    return {"id": number, "image_id": image, "category_id": category, "segmentation": rle(*where), "iscrowd": 0, **more}


COCO = {
    "images": IMAGES,
    "categories": CATEGORIES,
    "annotations": [
        annotation(1, 1, 1, FIRST, bbox=[0, 0, 3, 3], area=9.0, hidden=0.25, in_front_of=[2]),
        annotation(2, 1, 3, SECOND, bbox=[4, 3, 3, 2], area=6),
        annotation(3, 7, 1, THIRD) | {"segmentation": [POLYGON], "area": 9},
        annotation(4, 7, 3, SECOND)
        | {"segmentation": {"size": [HEIGHT, WIDTH], "counts": rectangle(*SECOND)}, "iscrowd": 1},
    ],
}
COCO_RESULTS = [
    {"image_id": 1, "category_id": 1, "score": 0.9, "segmentation": rle(*FIRST), "bbox": [0, 0, 3, 3]},
    {"image_id": 1, "category_id": 3, "score": 0.8, "segmentation": rle(*THIRD)},
    {"image_id": 7, "category_id": 1, "score": 0.7, "segmentation": rle(*THIRD)},
]
VIDEOS = [
    {"id": 1, "width": WIDTH, "height": HEIGHT, "length": FRAMES, "file_names": [f"a/{t}.png" for t in range(FRAMES)]},
    {"id": 2, "width": WIDTH, "height": HEIGHT, "length": 2, "file_names": [f"b/{t}.png" for t in range(2)]},
]
YTVIS = {
    "videos": VIDEOS,
    "categories": CATEGORIES,
    "annotations": [
        {
            "id": 1, "video_id": 1, "category_id": 1, "iscrowd": 0, "segmentations": [rle(*FIRST), None, rle(*SECOND)],
            "bboxes": [[0, 0, 3, 3], None, [4, 3, 3, 2]], "areas": [9, None, 6], "hidden": [0.0, None, 0.5],
            "occlusion": ["no_occlusion", None, "severe_occlusion"], "in_front_of": [[2], None, []],
        },
        {"id": 2, "video_id": 1, "category_id": 3, "segmentations": [rle(*THIRD), [POLYGON], None],
         "occlusion": ["slight_occlusion"] * 2 + [None]},
        {"id": 3, "video_id": 2, "category_id": 3, "segmentations": [None, rle(*SECOND)], "areas": [None, 6],
         "occlusion": [None, "slight_occlusion"]},
    ],
}  # fmt: skip
YTVIS_RESULTS = [
    {"video_id": 1, "category_id": 1, "score": 0.9, "segmentations": [rle(*FIRST), rle(*THIRD), None]},
    {"video_id": 1, "category_id": 3, "score": 0.5, "segmentations": [None, rle(*THIRD), None]},
    {"video_id": 2, "category_id": 3, "score": 0.25, "segmentations": [rle(*SECOND), rle(*SECOND)]},
]
_MASKS = {"inmodal_seg": rle(*THIRD), "inmodal_bbox": [3, 1, 2, 2], "bbox": [3, 1, 2, 2], "area": 4}
KINS = COCO | {
    "annotations": [
        annotation(1, 1, 1, THIRD, **_MASKS),
        annotation(2, 7, 3, SECOND, inmodal_seg=[POLYGON], inmodal_bbox=[1, 1, 3, 3]),
        {"id": 3, "image_id": 7, "category_id": 1, "a_segm": rle(*FIRST), "a_bbox": [0, 0, 3, 3], "a_area": 9,
         "i_segm": rle(0, 0, 3, 2), "i_bbox": [0, 0, 2, 3], "oco_id": 1, "ico_id": 1},
    ]
}  # fmt: skip
COCOA = {
    "images": IMAGES,
    "annotations": [
        {
            "id": 5, "image_id": 1, "depth_constraint": "1-2",
            "regions": [
                {"segmentation": POLYGON, "occlude_rate": 0, "isStuff": 0, "order": 1, "area": 9},
                {"segmentation": [0, 0, 5, 0, 5, 5, 0, 5], "visible_mask": rle(*THIRD), "occlude_rate": 0.5,
                 "isStuff": 1, "order": 2},
            ],
        },
        {"id": 6, "image_id": 7, "regions": [{"segmentation": POLYGON, "occlude_rate": 0, "order": 1}]},
    ],
}  # fmt: skip
VISIBLE = COCO | {
    "annotations": [
        annotation(1, 1, 1, FIRST, visible_mask=rle(0, 0, 3, 2), occlude_rate=0.3, area=9),
        annotation(2, 7, 3, SECOND, occlude_rate=0),
    ]
}
SYNTHETIC = COCO | {
    "annotations": [
        annotation(1, 1, 1, THIRD, amodal_segmentation=rle(*THIRD), hidden=0.0, in_front_of=[2]),
        annotation(2, 1, 3, SECOND, amodal_segmentation=rle(2, 3, 3, 4), hidden=0.5, in_front_of=[]),
    ]
}
AMODAL_RESULTS = [
    {"image_id": 1, "category_id": 1, "score": 0.9, "segmentation": rle(*FIRST), "visible_segmentation": rle(*FIRST)},
    {"image_id": 7, "category_id": 3, "score": 0.5, "segmentation": rle(*SECOND), "visible_segmentation": rle(*SECOND)},
]
LEVEL_RESULTS = [
    {"image_id": 1, "annotation_id": number, "category_id": category, "in_front_of": behind}
    | {"segmentation": rle(*where), "visible_mask": rle(*where)}
    for number, category, where, behind in ((1, 1, THIRD, [2]), (2, 3, SECOND, []))
]  # fmt: skip


def mots_text(rows: Sequence[tuple[int, int, int, Sequence[int]]]) -> bytes:
    lines = (f"{t} {i} {c} {HEIGHT} {WIDTH} {code_of(rectangle(*where))}\n" for t, i, c, where in rows)
    return "".join(lines).encode()


def sequence(first: int) -> bytes:
    a, b = (first, 1001, 1, FIRST), (first, 2001, 2, SECOND)
    rows = [a, b, (first, 10_000, 10, (3, 0, 2, 2)), (first + 1, 1001, 1, THIRD), (first + 2, 2001, 2, SECOND)]
    return mots_text(rows)


LABELS = [labels_of([(1001, FIRST), (2001, SECOND)]), labels_of([(1001, THIRD), (10_000, (4, 0, 2, 2))])]
MOT = b"".join(b"%d,%d,%d.5,2,3,4,1,-1,-1,-1\n" % (t, i, 10 * i + t) for t in (1, 2, 4) for i in (1, 2))
INFO = b"[Sequence]\nname=a\nimDir=img1\nseqLength=3\nimWidth=8\nimHeight=6\n"
FRACTIONS = b"0 1001 0.0\n0 2001 0.5\n1 1001 1.0\n2 2001 0.25\n"
KITTI = b"".join(
    b"%d %d %s 0 %d -1.5 0 1 5 6 -1 -1 -1 -1000 -1000 -1000 -10\n" % (t, i, kind, k)
    for t, i, kind, k in ((0, 1, b"Car", 0), (0, 2, b"Van", 2), (0, -1, b"DontCare", -1), (1, 1, b"Car", 3))
)


def scalabel(count: int = 2) -> list[dict[str, Any]]:
    frames = []
    for video in ("a", "b")[:count]:
        for t in range(FRAMES):
            labels = [
                {"id": "1", "category": "car", "attributes": {"occluded": True, "crowd": False}, "rle": rle(*FIRST)},
                {"id": "2", "category": "pedestrian", "rle": rle(*SECOND)},
            ]
            frames.append({"name": f"{video}-{t}.jpg", "videoName": video, "frameIndex": t, "labels": labels})
    return frames


def polygons() -> list[dict[str, Any]]:
    vertices = [[1, 1], [4, 1], [5, 2], [5, 3], [4, 4], [1, 4]]
    shape = [{"vertices": vertices, "types": "LLCCLL", "closed": True}]
    size = {"id": "3", "category": "car", "rle": rle(5, 7, 1, 1)}
    return [
        {
            "name": "a",
            "videoName": "a",
            "frameIndex": 0,
            "labels": [size, {"id": "1", "category": "bus", "poly2d": shape}],
        }
    ]


def bitmask(values: Sequence[tuple[tuple[int, int, int], Sequence[int]]]) -> bytes:
    """Category, attributes and id of rectangles."""
    colours = np.zeros((HEIGHT, WIDTH, 4))
    for (category, attributes, number), (top, left, height, width) in values:
        colours[top : top + height, left : left + width] = category, attributes, number >> 8, number & 255
    return colour_png(colours)


BITMASKS = {
    f"{video}/{t}.png": bitmask([((3, 0, 1), FIRST), ((1, 4, 300), SECOND)]) for video in ("a", "b") for t in range(2)
}
PANOPTIC_CATEGORIES = [{"id": 1, "name": "person", "isthing": 1}, {"id": 2, "name": "sky", "isthing": 0}]


def panoptic(predicted: bool) -> Files:
    ids = [labels_of([(1, FIRST), (70_000, SECOND)]), labels_of([(5, THIRD)])]
    rows = []
    for image, segments in ((1, [(1, 1, 9), (70_000, 2, 6)]), (2, [(5, 1, 4)])):
        infos = [{"id": i, "category_id": c, "area": area, "iscrowd": 0} for i, c, area in segments]
        rows.append({"image_id": image, "file_name": f"{image}.png", "segments_info": infos})
    name = "pred" if predicted else "gt"
    pictures = {
        f"{name}/{k + 1}.png": colour_png(np.stack([m & 255, m >> 8 & 255, m >> 16 & 255], -1))
        for k, m in enumerate(ids)
    }
    return {f"{name}.json": dumped({"annotations": rows, "categories": PANOPTIC_CATEGORIES}), **pictures}


def jsonl() -> bytes:
    header = {
        "type": "header", "schema": "vos_occ/1", "video": "v", "width": WIDTH, "height": HEIGHT, "fps": 25.0,
        "frames": FRAMES, "classes": ["person", "car"], "box": "xyxy pixels, end-exclusive", "model": None,
        "checkpoint_sha256": None,
    }  # fmt: skip
    rows: list[dict[str, Any]] = [header]
    for t in range(FRAMES):
        objects = [
            {"track_id": k + 1, "label": header["classes"][k], "label_id": k, "score": 0.5, "box": [0, 0, 3.5, 3],
             "mask": rle(*where), "occluder": None if k else rle(*THIRD), "hidden": None if k else 0.5,
             "hidden_by": [] if k else [2]}
            for k, where in enumerate((FIRST, SECOND))
        ]  # fmt: skip
        rows.append({"type": "frame", "frame_index": t, "time": t / 25, "objects": objects})
    return b"".join(dumped(row) + b"\n" for row in rows)


def samples_files(dataset: Any, names: Sequence[str]) -> Files:
    """Annotations and the pictures that they are of."""
    picture = colour_png(np.full((HEIGHT, WIDTH, 3), 90))
    return {"gt.json": dumped(dataset), **{name: picture for name in names}}


def sides(gt: Any, pred: Any) -> Files:
    """Annotations and results."""
    return {"gt.json": dumped(gt), "pred.json": dumped(pred)}
