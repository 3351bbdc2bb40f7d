"""Targets of the fuzzer: formats in which people annotate videos of their own, occluder files, splits of benchmarks."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import fuzz_checks as checks
from fuzz_files import (
    COCO,
    FIRST,
    HEIGHT,
    IMAGES,
    LABELS,
    POLYGON,
    SECOND,
    THIRD,
    WIDTH,
    YTVIS,
    Target,
    annotation,
    dumped,
    label_png,
    rle,
)
from fuzz_mutations import Files, png

from eval.readers.annotated_video import AnnotatedVideo
from eval.readers.coco_tracks import read_coco_tracks
from eval.readers.cvat import read_cvat_video
from eval.readers.labelme import read_labelme
from eval.readers.mots_videos import read_mots_videos
from eval.readers.occluders import read_occluders
from eval.readers.ytvis_split import Split, read_split

# Files ------------------------------------------------------------------------------------------------------------

CVAT = f"""<annotations><version>1.1</version><meta><task><name>walk.mp4</name><size>5</size>
<start_frame>10</start_frame><frame_filter>step=2</frame_filter><labels><label><name>dog</name></label></labels>
<original_size><width>{WIDTH}</width><height>{HEIGHT}</height></original_size></task></meta>
<track id="0" label="dog" source="manual">
<box frame="10" outside="0" occluded="1" xtl="0.5" ytl="1" xbr="3" ybr="3" rotation="30" z_order="1">
<attribute name="hidden">0.5</attribute><attribute name="colour">red</attribute></box>
<box frame="14" outside="0" occluded="0" xtl="2.5" ytl="1" xbr="5" ybr="3"></box>
<box frame="16" outside="1" occluded="0" xtl="2.5" ytl="1" xbr="5" ybr="3"></box></track>
<track id="3" label="cat"><polygon frame="10" outside="0" points="1,1;5,1;5,4"/>
<polygon frame="12" outside="0" points="2,1;6,1;6,4"/>
<mask frame="14" outside="0" rle="2, 3, 1" left="1" top="2" width="3" height="2"/></track></annotations>""".encode()

_WINDOW = base64.b64encode(png(2, 2, 8, 0, b"\0\xff\0\0\0\xff")).decode()


def _labelme(shapes: Sequence[dict[str, Any]], name: str) -> bytes:
    return dumped({"shapes": shapes, "imagePath": name, "imageHeight": HEIGHT, "imageWidth": WIDTH, "imageData": None})


LABELME = {
    "walk/1.json": _labelme(
        [
            {"label": "dog", "group_id": 1, "shape_type": "polygon", "points": [[1, 1], [4, 1], [4, 4]], "flags": {}},
            {"label": "dog", "group_id": 1, "shape_type": "rectangle", "points": [[5, 4], [6.4, 5]]},
            {"label": "cat", "group_id": 7, "shape_type": "mask", "points": [[6, 0], [7, 1]], "mask": _WINDOW,
             "flags": {"slight_occlusion": True, "blurred": False}, "description": "left"},
        ],
        "C:\\walk\\1.png",
    ),
    "walk/2.json": _labelme([{"label": "dog", "group_id": 1, "points": [[0, 0], [3, 0], [3, 3]]}], "2.png"),
    "walk/3.png": label_png(LABELS[0]),
}  # fmt: skip

TRACKS = COCO | {
    "videos": [{"id": 4, "name": "walk"}, {"id": 5}],
    "images": [
        IMAGES[0] | {"video_id": 4, "frame_id": 1},
        IMAGES[1] | {"video_id": 4, "frame_id": 0, "file_name": "walk/7.png"},
        IMAGES[1] | {"id": 9, "file_name": "run/img2.png"},
    ],
    "annotations": [
        annotation(1, 1, 1, FIRST, track_id=11, in_front_of=[2], hidden=0.25, occlusion="slight_occlusion"),
        annotation(2, 1, 3, SECOND, instance_id=12, amodal_segmentation=rle(*SECOND)),
        annotation(3, 7, 1, THIRD, track_id=11) | {"segmentation": [POLYGON]},
        {"id": 4, "image_id": 9, "category_id": 3, "track_id": 2, "bbox": [1, 1, 3, 2], "iscrowd": 1},
    ],
}
OCCLUDERS = COCO | {
    "annotations": [
        annotation(1, 1, 1, FIRST, bg_object_segmentation=rle(*THIRD)),
        annotation(2, 1, 3, SECOND, bg_object_segmentation=[]),
        annotation(3, 7, 1, THIRD, bg_object_segmentation=[POLYGON]),
    ]
}

# Checking ---------------------------------------------------------------------------------------------------------


def _check_videos(files: Files, videos: Sequence[AnnotatedVideo]) -> None:
    """Facts of every video, whatever it was read from."""
    for video in videos:
        checks.require(0 < video.height * video.width <= checks.MOST_PIXELS, "a size")
        checks.require(1 <= video.length <= 10**6, f"{video.length} frames")
        checks.require(video.name not in ("", ".", "..") and "/" not in video.name, f"the name {video.name!r:.40}")
        checks.require(len(video.frame_names) in (0, video.length), "names of other frames")
        checks.distinct((track.id for track in video.tracks), "track id")
        for track in video.tracks:
            checks.require(track.label in video.classes, f"the class {track.label!r:.40}")
            for mask in track.masks:
                pixels = checks.mask_pixels(mask, video.height, video.width)
                checks.require(mask is None or pixels, "a mask without a pixel")
            for hidden in track.per_frame.get("hidden", ()):
                checks.require(hidden is None or checks.number(hidden, "hidden", 0, 1) >= 0, "hidden")


def _pixels(videos: Sequence[AnnotatedVideo]) -> Counter[int]:
    masks = [(mask, v) for v in videos for track in v.tracks for mask in track.masks if mask is not None]
    return Counter(checks.mask_pixels(mask, video.height, video.width) or 0 for mask, video in masks)


def _check_tracks(files: Files, videos: Sequence[AnnotatedVideo]) -> None:
    wanted = Counter(value for value in checks.coco_truth(files["gt.json"]).values() if value)
    checks.require(wanted <= _pixels(videos), "masks are lost or changed")
    images = checks.document(files["gt.json"])["images"]
    checks.require(sum(video.length for video in videos) == len(images), "frames are lost")
    _check_videos(files, videos)


def _check_labelme(files: Files, videos: Sequence[AnnotatedVideo]) -> None:
    documents = [checks.document(data) for name, data in files.items() if name.endswith(".json")]
    sizes = {(document["imageHeight"], document["imageWidth"]) for document in documents}
    checks.require(sizes == {(videos[0].height, videos[0].width)}, f"pictures of sizes {sizes}")
    for shape in (shape for document in documents for shape in document["shapes"]):
        checks.integer(shape["group_id"], "group_id")
        for point in shape["points"]:
            checks.require(len(point) == 2, "a point")
            for value in point:
                checks.number(value, "a coordinate", -1e6, 1e6)
    _check_videos(files, videos)


def _check_mots(files: Files, videos: Sequence[AnnotatedVideo]) -> None:
    pictures = [data for name, data in files.items() if name.endswith(".png")]
    for data in pictures:
        checks.whole_png(data)
    checks.require(sum(video.length for video in videos) >= len(pictures), "frames are lost")
    _check_videos(files, videos)


def _check_occluders(files: Files, found: Mapping[int, Any]) -> None:
    images, annotations = checks.tables(checks.document(files["gt.json"]), "images", "annotations")
    checks.require(list(found) == list(annotations), "annotations are lost")
    for key, record in annotations.items():
        size = checks.image_size(images[record["image_id"]])
        wanted = checks.mask_pixels(record["bg_object_segmentation"], *size)
        pixels = checks.mask_pixels(found[key], *size)
        checks.require(wanted in (None, pixels), f"an occluder of {wanted} pixels was read as one of {pixels}")


def _check_split(files: Files, split: Split) -> None:
    content = checks.document(files["gt.json"])
    checks.ytvis_truth(dumped(content | {"annotations": None}))
    checks.require(list(split.videos) == [video["id"] for video in content["videos"]], "videos are lost")
    checks.require(list(split.categories) == [c["id"] for c in content["categories"]], "categories are lost")


# ------------------------------------------------------------------------------------------------------------------


def _one_folder(folder: Path) -> list[AnnotatedVideo]:
    return [read_labelme(folder / "walk")]


ANNOTATED: Mapping[str, Target] = {
    "cvat": Target({"a.xml": CVAT}, lambda f: [read_cvat_video(f / "a.xml")], _check_videos),
    "labelme": Target(LABELME, _one_folder, _check_labelme),
    "coco_tracks": Target({"gt.json": dumped(TRACKS)}, lambda f: read_coco_tracks(f / "gt.json"), _check_tracks),
    "mots_videos": Target(
        {f"a/gt/{t:06}.png": label_png(labels) for t, labels in enumerate(LABELS)} | {"labels.txt": b"car\nbus\n"},
        read_mots_videos,
        _check_mots,
    ),
    "occluders": Target({"gt.json": dumped(OCCLUDERS)}, lambda f: read_occluders(f / "gt.json"), _check_occluders),
    "ytvis_split": Target(
        {"gt.json": dumped(YTVIS | {"annotations": YTVIS["annotations"][:1]})},
        lambda f: read_split(f / "gt.json"),
        _check_split,
    ),
}
