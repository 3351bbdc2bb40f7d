"""Annotated videos as data sets: YouTube-VIS, COCO with track ids, MOTS images.

What is said of a track and a format has no place for is left out; its writer answers with the names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from eval.readers.annotated_video import AnnotatedVideo, ObjectTrack
from eval.rle import areas
from vos_occ.results.coco import write_coco_dataset
from vos_occ.results.cvat_mots import CvatMotsWriter
from vos_occ.results.mots_objects import INSTANCES_PER_CLASS, MAX_CLASS_ID
from vos_occ.results.mots_png import MotsPngWriter
from vos_occ.results.output import require_new, write_atomically
from vos_occ.results.ytvis import write_ytvis_dataset
from vos_occ.structures import rle
from vos_occ.structures.errors import InputError
from vos_occ.structures.frame_result import FrameResult


def write_ytvis_videos(path: str | Path, videos: Sequence[AnnotatedVideo], overwrite: bool = False) -> None:
    """Write a YouTube-VIS file; whatever is known besides goes along under its name: nothing is left out.

    Annotations keep the ids of tracks where these are unique among all videos, which then count from where they did;
    else they are numbered from 1, and the track's own id is `track_id`.

    Raises:
        OutputExistsError: if the file exists and `overwrite` is False.
        SchemaError: if names of fields clash.
    """
    classes = class_ids(videos)
    numbers = _numbers(videos)
    own = any(number != track_id for (_, track_id), number in numbers.items())
    annotations = [
        _ytvis_track(v, track, numbers, classes, own) for v, video in enumerate(videos, 1) for track in _by_id(video)
    ]
    records = [
        {
            "id": v,
            "name": video.name,
            "width": video.width,
            "height": video.height,
            "length": video.length,
            "file_names": list(video.frame_names),
        }
        for v, video in enumerate(videos, 1)
    ]
    write_ytvis_dataset(path, records, annotations, _categories(classes), overwrite)


def write_coco_tracks(path: str | Path, videos: Sequence[AnnotatedVideo], overwrite: bool = False) -> set[str]:
    """Write a COCO file with an image per frame (`video_id`, `frame_id` from 0) and `track_id` per annotation.

    Returns:
        Names of what was left out: what is said of a track as a whole, and of frames in which it is not seen.

    Raises:
        OutputExistsError: if the file exists and `overwrite` is False.
    """
    classes = class_ids(videos)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    left_out: set[str] = set()
    for v, video in enumerate(videos, 1):
        for t in range(video.length):
            size = {"width": video.width, "height": video.height}
            number = len(images) + 1
            images.append({"id": number, "video_id": v, "frame_id": t, "file_name": video.frame_names[t], **size})
            annotations += _coco_objects(video, t, number, len(annotations) + 1, classes)
        left_out |= _unsaid_in_coco(video)
    names = [{"id": v, "name": video.name} for v, video in enumerate(videos, 1)]
    write_coco_dataset(path, images, annotations, _categories(classes), overwrite, videos=names)
    return left_out


def write_mots_videos(folder: str | Path, videos: Sequence[AnnotatedVideo], overwrite: bool = False) -> set[str]:
    """Write `instances/NAME/000000.png` and `instances/labels.txt`, the layout that CVAT and Datumaro know.

    Returns:
        Names of what was left out.

    Raises:
        OutputExistsError: if the folder is not empty and `overwrite` is False.
        InputError: if masks overlap, a track is a crowd, or there are more tracks or classes than the format holds.
    """
    folder = Path(folder) / "instances"
    require_new(folder, overwrite, folder=True)
    classes = class_ids(videos)
    order = sorted(classes, key=lambda name: classes[name])
    for video in videos:
        _refuse_what_pixels_cannot_hold(video, order)
    for video in videos:
        writer, numbers = MotsPngWriter(folder / video.name, overwrite=overwrite), _instance_numbers(video)
        for t in range(video.length):
            writer.write(_frame(video, t, numbers, order))
    write_atomically(folder / "labels.txt", "".join(f"{name}\n" for name in order))
    return _unsaid_in_mots(videos) | ({"file_names"} if any(video.frame_names for video in videos) else set())


def write_cvat_mots(folder: str | Path, videos: Sequence[AnnotatedVideo], overwrite: bool = False) -> set[str]:
    """Write `NAME.zip` for each video: CVAT's MOTS PNG, to upload to its task.

    Images are called as the video's pictures are, or `frame_000000` and so on where it has none.

    Returns:
        Names of what was left out.

    Raises:
        OutputExistsError: if a file exists and `overwrite` is False.
        InputError: as `write_mots_videos`.
    """
    folder = Path(folder)
    require_new(folder, overwrite, folder=True)
    classes = class_ids(videos)
    order = sorted(classes, key=lambda name: classes[name])
    for video in videos:
        _refuse_what_pixels_cannot_hold(video, order)
    for video in videos:
        names = [PurePosixPath(name).name for name in video.frame_names] or None
        numbers = _instance_numbers(video)
        with CvatMotsWriter(folder / f"{video.name}.zip", order, names=names, overwrite=overwrite) as writer:
            for t in range(video.length):
                writer.write(_frame(video, t, numbers, order))
    return _unsaid_in_mots(videos)


def class_ids(videos: Sequence[AnnotatedVideo]) -> dict[str, int]:
    """Ids of all classes by name: as the videos have them where they agree, else from 1 in order of appearance."""
    pairs = {pair for video in videos for pair in video.classes.items()}
    names, ids = ({pair[side] for pair in pairs} for side in (0, 1))
    if len(names) == len(ids) == len(pairs):
        return dict(sorted(pairs, key=lambda pair: pair[1]))
    order = dict.fromkeys(name for video in videos for name in video.classes)
    return {name: number for number, name in enumerate(order, start=1)}


def _categories(classes: Mapping[str, int]) -> list[dict[str, Any]]:
    return [{"id": number, "name": name} for name, number in classes.items()]


def _by_id(video: AnnotatedVideo) -> list[ObjectTrack]:
    return sorted(video.tracks, key=lambda track: track.id)


def _numbers(videos: Sequence[AnnotatedVideo]) -> dict[tuple[int, int], int]:
    """Annotation id of each track, by video (from 1) and the track's own id."""
    keys = [(v, track.id) for v, video in enumerate(videos, 1) for track in _by_id(video)]
    ids = [number for _, number in keys]
    unique = len(set(ids)) == len(ids)
    return {key: key[1] if unique else i for i, key in enumerate(keys, start=1)}


def _ytvis_track(
    v: int, track: ObjectTrack, numbers: Mapping[tuple[int, int], int], classes: Mapping[str, int], own: bool
) -> dict[str, Any]:
    pixels = areas(track.masks).tolist()
    facts: dict[str, Any] = {name: list(values) for name, values in track.per_frame.items()}
    if "in_front_of" in facts:
        behind = facts["in_front_of"]
        facts["in_front_of"] = [ids if ids is None else [numbers[v, number] for number in ids] for ids in behind]
    return {
        **({"track_id": track.id} if own else {}),
        **track.extra,
        **facts,
        "id": numbers[v, track.id],
        "video_id": v,
        "category_id": classes[track.label],
        "iscrowd": int(track.iscrowd),
        "segmentations": list(track.masks),
        "bboxes": [None if mask is None else _xywh(mask) for mask in track.masks],
        "areas": [None if mask is None else area for mask, area in zip(track.masks, pixels, strict=True)],
    }


def _coco_objects(
    video: AnnotatedVideo, t: int, image_id: int, first: int, classes: Mapping[str, int]
) -> list[dict[str, Any]]:
    there = [track for track in _by_id(video) if track.masks[t] is not None]
    numbers = {track.id: first + i for i, track in enumerate(there)}
    found = []
    for track in there:
        facts = {name: values[t] for name, values in track.per_frame.items() if values[t] is not None}
        if "amodal_segmentations" in facts:
            facts["amodal_segmentation"] = facts.pop("amodal_segmentations")
        if "in_front_of" in facts:
            facts["in_front_of"] = [numbers[number] for number in facts["in_front_of"] if number in numbers]
        mask = track.masks[t]
        assert mask is not None
        known = {
            "id": numbers[track.id],
            "image_id": image_id,
            "category_id": classes[track.label],
            "track_id": track.id,
            "iscrowd": int(track.iscrowd),
            "segmentation": mask,
            "bbox": _xywh(mask),
            "area": rle.area(mask),
        }
        found.append(facts | known)
    return found


def _unsaid_in_coco(video: AnnotatedVideo) -> set[str]:
    unsaid = {name for track in video.tracks for name in track.extra} - {"track_id"}  # which is written anew
    for track in video.tracks:
        for name, values in track.per_frame.items():
            hidden = zip(values, track.masks, strict=True)
            if any(value not in (None, []) and mask is None for value, mask in hidden):
                unsaid.add(f"{name} of frames without a mask")
    return unsaid


def _unsaid_in_mots(videos: Sequence[AnnotatedVideo]) -> set[str]:
    return {name for video in videos for track in video.tracks for name in (*track.per_frame, *track.extra)}


def _instance_numbers(video: AnnotatedVideo) -> dict[int, int]:
    """Number of each track in MOTS images, by its id: that, or from 1 where one does not fit."""
    if all(1 <= track.id < INSTANCES_PER_CLASS for track in video.tracks):
        return {track.id: track.id for track in video.tracks}
    return {track.id: i for i, track in enumerate(_by_id(video), 1)}


def _refuse_what_pixels_cannot_hold(video: AnnotatedVideo, order: Sequence[str]) -> None:
    if len(video.tracks) >= INSTANCES_PER_CLASS:
        most = f"and MOTS images hold up to {INSTANCES_PER_CLASS - 1} of a video"
        raise InputError(f"'{video.name}' has {len(video.tracks)} tracks, {most}. Split the video.")
    if far := [track for track in video.tracks if order.index(track.label) >= MAX_CLASS_ID]:
        number = f"which is number {order.index(far[0].label) + 1} of the classes, and MOTS images hold {MAX_CLASS_ID}"
        raise InputError(f"Track {far[0].id} of '{video.name}' is a {far[0].label}, {number}. Convert fewer classes.")
    if crowds := [track.id for track in video.tracks if track.iscrowd]:
        raise InputError(f"Track {crowds[0]} of '{video.name}' is a crowd, which MOTS images have not. Take it out.")
    for t in range(video.length):
        there = [(track.id, mask) for track in video.tracks if (mask := track.masks[t]) is not None]
        masks = [mask for _, mask in there]
        if masks and rle.area(rle.union(masks)) < int(areas(masks).sum()):
            shared = rle.intersection_over_first(masks, masks) > 0
            i, j = np.argwhere(np.triu(shared, 1))[0].tolist()
            raise InputError(
                f"Tracks {there[i][0]} and {there[j][0]} of '{video.name}' overlap in frame {t}, and a pixel of a MOTS "
                "image has one owner. Convert to another format, or give every pixel to one object."
            )


def _frame(video: AnnotatedVideo, t: int, numbers: Mapping[int, int], order: Sequence[str]) -> FrameResult:
    there = [(track, mask) for track in video.tracks if (mask := track.masks[t]) is not None]
    return FrameResult(
        frame_index=t,
        height=video.height,
        width=video.width,
        track_ids=np.array([numbers[track.id] for track, _ in there], np.int64),
        labels=np.array([order.index(track.label) for track, _ in there], np.int64),
        scores=np.ones(len(there), np.float32),
        boxes=np.array([rle.bounding_box(mask) for _, mask in there], np.float32).reshape(-1, 4),
        masks=[mask for _, mask in there],
    )


def _xywh(mask: Any) -> list[float]:
    x0, y0, x1, y1 = rle.bounding_box(mask).tolist()
    return [x0, y0, x1 - x0, y1 - y0]
