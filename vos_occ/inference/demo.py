"""A video in, an overlay and result files out: the command behind tools/demo_video.py and vos-occ-demo."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from vos_occ.inference.progress import frame_progress
from vos_occ.inference.run import only_labels, track
from vos_occ.inference.sinks import Outputs, open_sinks
from vos_occ.media import open_video
from vos_occ.structures.errors import InputError, UserError

if TYPE_CHECKING:  # imports mmdet, for which `--help` need not wait
    from vos_occ.models.video.masktrack import OccMaskTrackRCNN


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="vos-occ-demo", description="Segment and track the objects of a video, and say who hides whom."
    )
    parser.add_argument("input", help="video file, gif, image, or folder of images")
    parser.add_argument("--out", type=Path, help="overlay video (default: <input>_vos_occ.mp4 in this folder)")
    parser.add_argument("--json", type=Path, help="results, one JSON line per frame (schema vos_occ/1)")
    parser.add_argument("--masks", type=Path, help="folder for one MOTS png per frame (class * 1000 + id, 16 bit)")
    parser.add_argument("--mot", type=Path, help="boxes as a MOT challenge txt")
    parser.add_argument("--preset", default="person", help="shipped model: person (default) or synthetic")
    parser.add_argument("--config", help="config of a model of your own")
    parser.add_argument("--checkpoint", help="checkpoint of a model of your own; without --config it must carry one")
    parser.add_argument("--score-thr", type=float, help="least score of a detection, 0..1 (default: the model's)")
    parser.add_argument("--max-side", type=int, help="longer side that frames are scaled down to, in pixels")
    parser.add_argument("--classes", help="comma-separated class names to keep")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--no-occlusion", action="store_true", help="leave occluders, hidden fractions and order out")
    parser.add_argument("--overwrite", action="store_true", help="replace existing outputs")
    parser.add_argument("--trust-checkpoint", action="store_true", help="unpickle a .pth without restrictions")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; 0, or 2 with one line on stderr when the input is at fault."""
    args = parse_arguments(arguments)
    try:
        outputs = Outputs(
            video=args.out or Path(f"{Path(os.path.abspath(args.input)).stem}_vos_occ.mp4"),
            jsonl=args.json,
            masks=args.masks,
            mot=args.mot,
            overwrite=args.overwrite,
        )
        num_frames, num_tracks = run_demo(args, outputs)
    except UserError as error:
        print(f"vos-occ-demo: {error}", file=sys.stderr)
        return 2
    print(f"{num_frames} frames, {num_tracks} tracks. Wrote {', '.join(map(str, outputs.written()))}.")
    return 0


def run_demo(args: argparse.Namespace, outputs: Outputs) -> tuple[int, int]:
    """Tracks `args.input` into `outputs`; answers with the numbers of frames and of tracks shown."""
    check_options(args)
    outputs.require_free(Path(args.input))
    with ExitStack() as stack:
        video = stack.enter_context(open_video(args.input, max_side=args.max_side))
        model = load_model(args)
        labels = wanted_labels(args.classes, model.classes)
        sinks = open_sinks(stack, outputs, video, model)
        frames = stack.enter_context(frame_progress(video, quiet=args.quiet))
        num_frames, tracks = 0, set()
        for frame, result in track(model, frames, video.num_frames):
            shown = only_labels(result, labels)
            for sink in sinks:
                sink(frame, shown)
            tracks.update(shown.track_ids.tolist())
            num_frames += 1
    return num_frames, len(tracks)


def check_options(args: argparse.Namespace) -> None:
    """Raises InputError for options that no video could go with."""
    if args.score_thr is not None and not 0 <= args.score_thr <= 1:
        raise InputError(f"--score-thr must lie in 0..1, found {args.score_thr}.")
    if args.max_side is not None and args.max_side < 1:
        raise InputError(f"--max-side must be at least 1 pixel, found {args.max_side}.")
    if args.config and not args.checkpoint:
        raise InputError("--config needs the --checkpoint that was trained with it.")


def load_model(args: argparse.Namespace) -> OccMaskTrackRCNN:
    """The model that the options name, with its threshold and occlusion set as they say."""
    from vos_occ.inference.load import load

    model = load(
        args.checkpoint or args.preset,
        config=args.config,
        device=args.device,
        trust_checkpoint=args.trust_checkpoint,
    )
    if args.score_thr is not None:
        model.score_threshold = args.score_thr
    if args.no_occlusion:
        model.occlusion_options["enabled"] = False
    return model


def wanted_labels(names: str | None, classes: Sequence[str]) -> frozenset[int]:
    """Labels of comma-separated class names; all of them for None."""
    if names is None:
        return frozenset(range(len(classes)))
    wanted = [name.strip() for name in names.split(",")]
    for name in wanted:
        if name not in classes:
            raise InputError(f"Class {name!r} is not one of this model's: {', '.join(classes)}.")
    return frozenset(classes.index(name) for name in wanted)
