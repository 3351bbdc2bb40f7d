#!/usr/bin/env python
"""Convert annotated videos: tools/convert_dataset.py --from cvat-video --to ytvis a.xml b.xml --out mine/train.json.

Formats: ytvis (YouTube-VIS and OVIS json), cvat-video (CVAT for video 1.1, XML or its zip), mots-png (folder of 16-bit
images, or CVAT's zip of such), cvat-mots (CVAT's MOTS PNG, a zip per video, to write), coco-track (COCO json with
track_id), labelme (a folder of json files per video, group_id as track id), jsonl (what a model found, to read). One
side is ytvis or jsonl. --frames ROOT names the pictures: ROOT/VIDEO/*.jpg, which --media a.mp4 b.mp4 writes; without
it, images of cvat-mots are called as CVAT calls the frames of a video.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.progress import track

from eval.errors import EvalError
from eval.readers.annotated_video import counted
from vos_occ.datasets.conversion import SOURCES, TARGETS, Report, convert, read_videos
from vos_occ.datasets.extraction import extracted_frames
from vos_occ.results.output import require_new
from vos_occ.structures.errors import InputError, UserError


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", nargs="+", type=Path, help="files; folders for labelme and mots-png")
    parser.add_argument("--from", dest="source", choices=SOURCES, required=True)
    parser.add_argument("--to", dest="target", choices=TARGETS, required=True)
    parser.add_argument("--out", type=Path, required=True, help="json of ytvis and coco-track, else a folder")
    parser.add_argument("--frames", type=Path, metavar="ROOT", help="folder with a folder of pictures per video")
    parser.add_argument(
        "--media", nargs="+", type=Path, help="cvat-video, mots-png: the file of each video, to extract frames from"
    )
    parser.add_argument("--classes", type=lambda text: text.split(","), help="mots-png: names of classes 1, 2, ...")
    parser.add_argument("--overwrite", action="store_true", help="replace what exists")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    args = parser.parse_args(arguments)
    if "ytvis" not in (args.source, args.target) and args.source != "jsonl":
        parser.error("one of --from and --to must be ytvis; go from one format to the other by way of it")
    if args.media and (args.source not in ("cvat-video", "mots-png") or args.frames is None):
        parser.error("--media goes with --frames and --from cvat-video or mots-png")
    return args


def run(args: argparse.Namespace) -> Report:
    def shown(items: Iterable[Any], what: str) -> Iterable[Any]:
        return track(list(items), what, disable=args.quiet or not sys.stderr.isatty(), transient=True)

    if args.media:  # before frames are written for nothing; what takes --media writes ytvis
        require_new(args.out, args.overwrite, folder=False)
    frames = None if args.media else args.frames  # which are not there yet
    videos = read_videos(args.source, args.inputs, frames, args.classes, shown)
    if not args.media:
        return convert(videos, args.target, args.out, args.frames, args.overwrite, shown)
    if len(args.media) != len(videos):
        both = f"{counted(len(args.media), 'file')} for {counted(len(videos), 'video')}"
        raise InputError(f"--media names {both} ({', '.join(video.name for video in videos)}). Give one for each.")
    with extracted_frames(args.media, args.frames, videos, args.overwrite, shown) as named:
        return convert(named, args.target, args.out, None, args.overwrite, shown)


def main(arguments: list[str] | None = None) -> int:
    args = parse_arguments(arguments)
    try:
        report = run(args)
    except (UserError, EvalError) as error:
        print(f"convert_dataset: {error}", file=sys.stderr)
        return 2
    names = ", ".join(f"{number} {name}" for name, number in report.classes.items())
    found = ", ".join(counted(getattr(report, f"{noun}s"), noun) for noun in ("video", "track", "mask"))
    print(f"{found} in {args.out}. Classes: {names}.")
    for note, count in report.notes.items():
        print(f"Note: {count} {note}.")
    for remark in report.remarks:
        print(f"Note: {remark}")
    if report.made_up:
        print("Note: names of frames are made up, VIDEO/000000.jpg and so on; --frames names pictures that are there.")
    if report.left_out:
        print(f"Note: {args.target} has no place for {', '.join(report.left_out)}; these are left out.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
