#!/usr/bin/env python
"""Turn JSONL results into a MOTS submission, a text file per video: tools/export_mots.py RESULTS --out DIR.

RESULTS are .jsonl files, or folders of them such as test_video.py's `jsonl`; DIR/pred gets NAME.txt for each, named
after the video. With --ann-file (YTVIS json, such as the synthetic world's) the ground truth is written too, and how
hidden its objects are, so that tracking can be scored by occlusion:

    python -m eval kitti_mots --gt DIR/instances_txt --pred DIR/pred --seqmap DIR/seqmap --by-occlusion DIR/hidden

MOTS knows two classes, 1 car and 2 pedestrian. Classes named car, pedestrian or person become those; all others become
1, so that tracks are compared without regard to their class. --class-ids says otherwise.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from eval.errors import EvalError
from eval.readers.ytvis import Track, Video, YtvisDataset, read_ytvis
from vos_occ.results.jsonl import JsonlVideo, read_jsonl
from vos_occ.results.mots_objects import INSTANCES_PER_CLASS
from vos_occ.results.mots_txt import MotsTxtWriter
from vos_occ.results.output import require_new, write_atomically
from vos_occ.structures import rle
from vos_occ.structures.errors import InputError, UserError
from vos_occ.structures.frame_result import FrameResult

MOTS_CLASSES = {1: "car", 2: "pedestrian"}
KNOWN_IDS = {"car": 1, "pedestrian": 2, "person": 2}


def class_ids_of(names: Sequence[str], chosen: Mapping[str, int]) -> list[int]:
    """The MOTS class id of each class."""
    return [chosen.get(name, KNOWN_IDS.get(name, 1)) for name in names]


def find_videos(files: Sequence[Path], lengths: Mapping[str, int]) -> tuple[dict[str, Path], list[str]]:
    """The file of each video by its name, and all their classes; refuses files that are broken or not whole.

    Args:
        files: result files.
        lengths: frames of the dataset's videos, by name. Other names lose their ending: `walk.mp4` is sequence walk.
    """
    videos: dict[str, Path] = {}
    classes: dict[str, None] = {}
    for file in files:
        video = read_jsonl(file)
        name = video.header.video if video.header.video in lengths else Path(video.header.video).stem
        require_whole(file, video, lengths.get(name))
        if name in videos:
            raise InputError(f"'{file}' and '{videos[name]}' are both of a video {name}. Give one of them.")
        videos[name] = file
        classes |= dict.fromkeys(video.header.classes)
    return videos, list(classes)


def export_results(videos: Mapping[str, Path], folder: Path, args: argparse.Namespace) -> None:
    """Write a text file for each result file, one in memory at a time."""
    for name, file in videos.items():
        video = read_jsonl(file)
        ids = class_ids_of(video.header.classes, args.class_ids)
        with MotsTxtWriter(folder / f"{name}.txt", ids, first_frame=args.first_frame, overwrite=args.overwrite) as out:
            for frame in video.frames:
                out.write(frame)


def require_whole(file: Path, video: JsonlVideo, length: int | None) -> None:
    """Refuse a file whose run was stopped: what it lacks would count as missed. Containers may announce too much."""
    last = video.frames[-1].frame_index + 1 if len(video) else 0
    announced = video.header.frames or 0
    if video.torn or (length is not None and length != last):
        raise InputError(f"'{file}' has {last} of {length or announced or 'more'} frames. Run the video again.")
    if last < announced:
        print(f"export_mots: '{file}' has {last} frames, its source announced {announced}.", file=sys.stderr)


def tracks_of(dataset: YtvisDataset) -> dict[int, list[Track]]:
    """The tracks of each video, in the order of the file; refuses what MOTS cannot hold.

    A pixel of a MOTS file has one owner, and who that is must not be made up for ground truth.
    """
    if not dataset.has_annotations:
        raise InputError(f"{dataset.path} has no annotations. Give the file that has them.")
    tracks: dict[int, list[Track]] = defaultdict(list)
    for track in dataset.tracks:
        tracks[track.video_id].append(track)
    for video in dataset.videos:
        for t in range(video.length):
            masks = [mask for track in tracks[video.id] if (mask := track.segmentations[t]) is not None]
            if masks and rle.area(rle.union(masks)) < sum(map(rle.area, masks)):
                raise InputError(
                    f"{dataset.path}: masks of video {video.name} overlap in frame {t}, which MOTS does not allow. "
                    "Give every pixel to one object."
                )
    return tracks


def export_truth(
    dataset: YtvisDataset, tracks: Mapping[int, Sequence[Track]], out: Path, args: argparse.Namespace
) -> None:
    """Write instances_txt/, seqmap and, where the dataset knows hidden fractions, hidden/."""
    labels = {category.id: label for label, category in enumerate(dataset.categories)}
    class_ids = class_ids_of([category.name for category in dataset.categories], args.class_ids)
    seqmap = []
    for video in dataset.videos:
        found = [labels[track.category_id] for track in tracks[video.id]]
        write_truth(video, tracks[video.id], found, class_ids, out, args)
        if any(track.extra.get("hidden") is not None for track in tracks[video.id]):
            write_hidden(video, tracks[video.id], [class_ids[label] for label in found], out, args)
        seqmap.append(f"{video.name} empty {args.first_frame:06d} {video.length - 1 + args.first_frame:06d}\n")
    write_atomically(out / "seqmap", "".join(seqmap))


def write_truth(
    video: Video,
    tracks: Sequence[Track],
    labels: Sequence[int],
    class_ids: Sequence[int],
    out: Path,
    args: argparse.Namespace,
) -> None:
    """The masks of one video, whose objects are numbered from 1 in the order of the file."""
    path = out / "instances_txt" / f"{video.name}.txt"
    with MotsTxtWriter(path, class_ids, first_frame=args.first_frame, overwrite=args.overwrite) as file:
        for t in range(video.length):
            there = [(i, mask) for i, track in enumerate(tracks) if (mask := track.segmentations[t]) is not None]
            file.write(
                FrameResult(
                    frame_index=t,
                    height=video.height,
                    width=video.width,
                    track_ids=np.array([i + 1 for i, _ in there], np.int64),
                    labels=np.array([labels[i] for i, _ in there], np.int64),
                    scores=np.ones(len(there), np.float32),
                    boxes=np.array([rle.bounding_box(mask) for _, mask in there], np.float32).reshape(-1, 4),
                    masks=[mask for _, mask in there],
                )
            )


def write_hidden(
    video: Video, tracks: Sequence[Track], class_ids: Sequence[int], out: Path, args: argparse.Namespace
) -> None:
    """Lines of frame, id, hidden fraction; also for frames in which an object is hidden whole."""
    path = out / "hidden" / f"{video.name}.txt"
    require_new(path, args.overwrite, folder=False)
    lines = [
        f"{t + args.first_frame} {class_id * INSTANCES_PER_CLASS + i + 1} {tracks[i].extra['hidden'][t]:.6f}\n"
        for t, (i, class_id) in itertools.product(range(video.length), enumerate(class_ids))
        if tracks[i].extra.get("hidden") is not None and tracks[i].extra["hidden"][t] is not None
    ]
    write_atomically(path, "".join(lines))


def result_files(paths: Sequence[Path]) -> list[Path]:
    """The .jsonl files given, and those of the folders given."""
    files = []
    for path in paths:
        inside = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
        if not inside:
            raise InputError(f"'{path}' has no .jsonl files. Give the folder that test_video.py calls jsonl.")
        files += inside
    return files


def class_id(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    if not name or not number.isdecimal() or int(number) not in MOTS_CLASSES:
        raise argparse.ArgumentTypeError(f"expected NAME=1 (car) or NAME=2 (pedestrian), found '{text}'")
    return name, int(number)


def run(args: argparse.Namespace) -> None:
    """Check all that is given, write what was asked for, and say what became of the classes."""
    dataset = read_ytvis(args.ann_file) if args.ann_file else None
    lengths = {video.name: video.length for video in dataset.videos} if dataset else {}
    videos, names = find_videos(result_files(args.results), lengths)
    if dataset is not None:
        names = list(dict.fromkeys([*names, *(category.name for category in dataset.categories)]))
    if unknown := [name for name in args.class_ids if name not in names]:
        raise InputError(f"--class-ids names '{unknown[0]}', but the classes are {', '.join(names)}.")
    for folder in ("pred", *(("instances_txt", "hidden") if dataset else ())):
        require_new(args.out / folder, args.overwrite, folder=True)
    if dataset is not None:
        require_new(args.out / "seqmap", args.overwrite, folder=False)
        export_truth(dataset, tracks_of(dataset), args.out, args)
    export_results(videos, args.out / "pred", args)
    ids = class_ids_of(names, args.class_ids)
    for number, mots_name in MOTS_CLASSES.items():
        if number in ids:
            these = [name for name, found in zip(names, ids, strict=True) if found == number]
            print(f"{number} ({mots_name}): {', '.join(these)}")
    print(f"Wrote {len(videos)} files to {args.out / 'pred'}.")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", nargs="+", type=Path, help="result files, or folders of them")
    parser.add_argument("--out", required=True, type=Path, help="folder to write")
    parser.add_argument("--ann-file", type=Path, help="YTVIS json: write ground truth, seqmap and hidden fractions too")
    parser.add_argument("--class-ids", nargs="+", type=class_id, default=[], metavar="NAME=ID", help="1 or 2 by class")
    parser.add_argument("--first-frame", type=int, choices=(0, 1), default=0, help="0 KITTI MOTS, 1 MOTSChallenge")
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")
    args = parser.parse_args(arguments)
    args.class_ids = dict(args.class_ids)
    try:
        run(args)
    except (UserError, EvalError) as error:
        print(f"export_mots: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
