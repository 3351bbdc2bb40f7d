"""What a model found as annotations of a video, to be corrected by people or trained on: JSONL results as tracks."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

from eval.readers.annotated_video import AnnotatedVideo, ObjectTrack, file_name, video_stem
from eval.rle import Rle
from vos_occ.results.jsonl import read_jsonl
from vos_occ.results.mots_objects import disjoint_masks
from vos_occ.structures import rle
from vos_occ.structures.errors import InputError

UNSAID = "tracks are without their scores and what was predicted of occlusion"


def read_jsonl_video(path: str | Path) -> AnnotatedVideo:
    """The tracks of a result file: each with its most frequent class, a pixel with the object of the highest score.

    A video without a name, as those of OVIS and YouTube-VIS are, is called as the file.

    Raises:
        InputError: there is no such file, or its run was stopped.
        SchemaError: a line is not what the schema says.
    """
    video = read_jsonl(path)
    length = video.frames[-1].frame_index + 1 if video.frames else 0
    if video.torn or not length:
        raise InputError(f"'{path}' holds {length} frames and then breaks off. Run the video again.")
    masks: dict[int, list[Rle | None]] = defaultdict(lambda: [None] * length)
    votes: dict[int, Counter[int]] = defaultdict(Counter)
    for frame in video.frames:
        for track_id, label, mask in zip(
            frame.track_ids.tolist(), frame.labels.tolist(), disjoint_masks(frame), strict=True
        ):
            if rle.area(mask):
                masks[track_id][frame.frame_index] = {"size": mask["size"], "counts": mask["counts"]}
                votes[track_id][label] += 1
    classes = video.header.classes
    tracks = tuple(
        ObjectTrack(track_id, classes[votes[track_id].most_common(1)[0][0]], tuple(masks[track_id]))
        for track_id in sorted(masks)
    )
    return AnnotatedVideo(
        name=video_stem(file_name(Path(video.header.video).name or Path(path).stem)),
        height=video.header.height,
        width=video.header.width,
        length=length,
        frame_names=(),
        classes={name: number for number, name in enumerate(classes, start=1)},
        tracks=tracks,
        source=Path(path).name,
        notes={UNSAID: len(tracks)},
    )
