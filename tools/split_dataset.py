#!/usr/bin/env python
"""Hold out videos of a YTVIS or OVIS json to score on: tools/split_dataset.py annotations_train.json --out data/ovis.

Writes DIR/NAME_kept.json and DIR/NAME_holdout.json, records unchanged, and prints what is in each. Videos are never
split; classes, and in each class levels of occlusion, are spread over both parts.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from eval.errors import EvalError
from eval.readers.ytvis import YtvisIndex, index_ytvis
from vos_occ.datasets.holdout import LEVELS, Split, TrackFacts, facts_of, split_videos, video_labels
from vos_occ.results.output import require_new
from vos_occ.results.ytvis_part import write_ytvis_part
from vos_occ.structures.errors import InputError, UserError

Counts = dict[str, Counter[tuple[bool, str]]]  # by row of the table: held out or not, and what is counted


def split(args: argparse.Namespace) -> tuple[Counts, list[Path]]:
    """Write both files; answers with what is in them, and their paths."""
    index = index_ytvis(args.annotations)
    if not index.has_annotations:
        raise InputError(f"{args.annotations} has no annotations to score against. Split the training file.")
    parts = [args.out / f"{args.annotations.stem}_{name}.json" for name in ("kept", "holdout")]
    for path in parts:
        require_new(path, args.overwrite, folder=False)
    quiet = args.quiet or not sys.stderr.isatty()
    read = track(index.tracks(), "read", total=len(index.entries), disable=quiet, transient=True)
    tracks = [facts_of(annotation) for annotation in read]
    chosen = split_videos(video_labels(tracks, [video.id for video in index.videos]), args.holdout, args.seed)
    for path, videos in zip(parts, (chosen.train, chosen.holdout), strict=True):
        write_ytvis_part(args.annotations, path, videos, args.overwrite)
        index_ytvis(path)
    return count(index, tracks, chosen), parts


def count(index: YtvisIndex, tracks: Sequence[TrackFacts], chosen: Split) -> Counts:
    """Videos, tracks, masks and tracks of each level, of each class and of all."""
    names = {category.id: category.name for category in index.categories}
    counts: Counts = {name: Counter() for name in (*names.values(), "all")}
    videos: dict[str, set[int]] = {name: set() for name in counts}
    for item in tracks:
        held = item.video_id in chosen.holdout
        for name in (names[item.category_id], "all"):
            videos[name].add(item.video_id)
            counts[name][held, "tracks"] += 1
            counts[name][held, "masks"] += item.masks
            counts[name][held, item.level or "unknown"] += 1
    videos["all"] = {video.id for video in index.videos}
    for name, ids in videos.items():
        counts[name].update((number in chosen.holdout, "videos") for number in ids)
    return counts


def table(counts: Counts) -> Table:
    """A row per class, `kept / held out` in each cell."""
    said = {what for row in counts.values() for (_, what), number in row.items() if number}
    columns = [what for what in ("videos", "tracks", "masks", *LEVELS) if what in said]
    shown = Table("class", *columns, title="kept / held out", title_justify="left")
    for name, row in counts.items():
        if row[False, "videos"] or row[True, "videos"]:
            shown.add_row(name, *(f"{row[False, what]} / {row[True, what]}" for what in columns))
    return shown


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("annotations", type=Path, help="json of YTVIS or OVIS format")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where both files go")
    parser.add_argument("--holdout", type=float, default=0.1, metavar="SHARE", help="share of videos (default 0.1)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same split")
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    args = parser.parse_args(arguments)
    try:
        counts, parts = split(args)
    except (UserError, EvalError) as error:
        print(f"split_dataset: {error}", file=sys.stderr)
        return 2
    Console().print(table(counts))
    one_sided = [n for n, row in counts.items() if bool(row[False, "videos"]) != bool(row[True, "videos"])]
    if one_sided:
        print(f"In one part only: {', '.join(one_sided)}.")
    print(f"Wrote {parts[0]} and {parts[1]}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
