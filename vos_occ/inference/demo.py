"""Videos in, overlays and result files out: the command behind tools/demo_video.py and vos-occ-demo."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from vos_occ.inference.ahead import Ahead
from vos_occ.inference.messages import warnings_as_lines
from vos_occ.inference.progress import frame_progress
from vos_occ.inference.run import only_labels, track
from vos_occ.inference.sinks import OUTPUT_OPTIONS, Outputs, mots_class_ids, open_sinks
from vos_occ.inference.stopping import StopSignals
from vos_occ.media import Clip, Frame, Moment, VideoReader, open_video, source_stem
from vos_occ.structures.errors import InputError, UserError

if TYPE_CHECKING:  # imports mmdet, for which `--help` need not wait
    from vos_occ.models.video.roi_model import RoIVideoModel

BAD_INPUT, DAMAGED_INPUT = 2, 3  # exit codes; of several videos, the lower of those that are not 0

EPILOG = """
An input is a video file, gif, image, folder of images, address (rtsp://, http://, ...) or the number of a camera (0).
With several inputs, outputs are named with {name} in them, which stands for the input's name: --json out/{name}.jsonl.

exit codes: 0 all is well, 2 an input or option is at fault or the disk is full, 3 an input is damaged and what could be
read of it was tracked, 130 stopped by Ctrl-C, 143 by SIGTERM. What was written before is kept, whole and playable.
"""


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="vos-occ-demo",
        description="Segment and track the objects of videos, and say who hides whom.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("inputs", nargs="+", metavar="input", help="what to track; see below")
    for field, (option, text) in OUTPUT_OPTIONS.items():
        parser.add_argument(option, dest=field, type=Path, metavar="PATH", help=text)
    parser.add_argument("--mots-class", help="class ids in MOTS files, as person=2 (default: 1, 2, ... in order)")
    parser.add_argument("--start", help="first frame: its number from 0 (120), or a time (4.5s, 1:30)")
    parser.add_argument("--end", help="frame or time to stop before")
    parser.add_argument("--stride", type=int, default=1, help="take every n-th frame from the first on")
    parser.add_argument("--preset", default="person", help="shipped model: person (default) or synthetic")
    parser.add_argument("--config", help="config of a model of your own")
    parser.add_argument("--checkpoint", help="checkpoint of a model of your own; without --config it must carry one")
    parser.add_argument("--score-thr", type=float, help="least score of a detection, 0..1 (default: the model's)")
    parser.add_argument("--max-side", type=int, help="longer side that frames are scaled down to, in pixels")
    parser.add_argument("--max-objects", type=int, help="most objects at once; the most confident begin a track")
    parser.add_argument("--classes", help="comma-separated class names to keep")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--no-occlusion", action="store_true", help="leave occluders, hidden fractions and order out")
    parser.add_argument("--overwrite", action="store_true", help="replace existing outputs")
    parser.add_argument("--trust-checkpoint", action="store_true", help="unpickle a .pth without restrictions")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; answers with its exit code, and says why in one line on stderr where it is not 0."""
    args = parse_arguments(arguments)
    with warnings_as_lines("vos-occ-demo"), StopSignals() as stop:
        try:
            return run_demo(args, stop)
        except UserError as error:
            say(error)
            return getattr(error, "exit_code", BAD_INPUT)
        except KeyboardInterrupt:  # the second; the first is noted by `stop`
            say("Stopped at once.")
            return 130


def run_demo(args: argparse.Namespace, stop: StopSignals) -> int:
    """Tracks every input into its outputs, one after the other; one that is at fault does not keep back the rest."""
    check_options(args)
    clip = wanted_clip(args)
    require_apart(args)
    jobs = [(source, outputs_of(args, source)) for source in args.inputs]
    for source, outputs in jobs:
        outputs.require_free(Path(source))
    model, codes = None, set()
    for source, outputs in jobs:
        try:
            video = open_video(source, max_side=args.max_side, clip=clip)
        except InputError as error:
            say(error)
            codes.add(BAD_INPUT)
            continue
        with video:
            if model is None:
                model = load_model(args)
                labels = wanted_labels(args.classes, model.classes)
                mots_classes = mots_class_ids(args.mots_class, model.classes, labels)
                stop.check("Nothing was written.")
            codes.add(run_video(model, video, outputs, labels, stop, mots_classes, quiet=args.quiet))
    return min(codes - {0}, default=0)


def run_video(
    model: RoIVideoModel,
    video: VideoReader,
    outputs: Outputs,
    labels: frozenset[int],
    stop: StopSignals,
    mots_classes: Sequence[int] | None = None,
    *,
    quiet: bool = False,
) -> int:
    """Tracks one video into its outputs; its exit code.

    Raises:
        Stopped: a stop was asked for; the frames before it are written.
    """
    num_frames, tracks = 0, set()
    try:
        with ExitStack() as stack:
            sinks = open_sinks(stack, outputs, video, model, mots_classes)
            frames: Iterable[Frame] = stack.enter_context(frame_progress(video, quiet=quiet))
            frames = stack.enter_context(Ahead(until_stopped(frames, stop)))
            results = stack.enter_context(Ahead(track(model, frames, video.num_frames)))
            for frame, result in results:
                shown = only_labels(result, labels)
                for sink in sinks:
                    sink(frame, shown)
                tracks.update(shown.track_ids.tolist())
                num_frames += 1
    except UserError as error:
        say(error)
        return BAD_INPUT
    stop.check(f"The first {num_frames} frames of {video.name} are written." if num_frames else "Nothing was written.")
    print(f"{num_frames} frames, {len(tracks)} tracks. Wrote {', '.join(map(str, outputs.written()))}.")
    return DAMAGED_INPUT if video.problem is not None else 0


def until_stopped(frames: Iterable[Frame], stop: StopSignals) -> Iterator[Frame]:
    """The frames before a stop was asked for; what the model still owes for them is then finished as at any end."""
    for frame in frames:
        if stop.requested is not None:
            return
        yield frame


def say(message: object) -> None:
    """One line for whoever runs the command."""
    print(f"vos-occ-demo: {message}", file=sys.stderr)


def outputs_of(args: argparse.Namespace, source: str) -> Outputs:
    """Where the results of one input go: `{name}` in an option is replaced by what the input is called."""
    name = source_stem(source)

    def named(option: Path | None) -> Path | None:
        return None if option is None else Path(str(option).replace("{name}", name))

    paths = {field: named(getattr(args, field)) for field in OUTPUT_OPTIONS}
    paths["video"] = paths["video"] or Path(f"{name}_vos_occ.mp4")
    return Outputs(**paths, overwrite=args.overwrite)


def require_apart(args: argparse.Namespace) -> None:
    """Raises InputError if two inputs would write to one place."""
    seen: dict[str, str] = {}
    for source in args.inputs:
        other = seen.setdefault(source_stem(source), source)
        if other is not source:
            raise InputError(f"{other} and {source} have one name, so their outputs would too. Run them apart.")
    for field, (option, _) in OUTPUT_OPTIONS.items():
        path = getattr(args, field)
        if len(args.inputs) > 1 and path is not None and "{name}" not in str(path):
            raise InputError(
                f"With several inputs, {option} needs {{name}} in it, as in {option} "
                f"'{path.with_name('{name}' + path.suffix)}': else all would go to {path}."
            )


def check_options(args: argparse.Namespace) -> None:
    """Raises InputError for options that no video could go with."""
    if args.score_thr is not None and not 0 <= args.score_thr <= 1:
        raise InputError(f"--score-thr must lie in 0..1, found {args.score_thr}.")
    if args.max_side is not None and args.max_side < 1:
        raise InputError(f"--max-side must be at least 1 pixel, found {args.max_side}.")
    if args.max_objects is not None and args.max_objects < 1:
        raise InputError(f"--max-objects must be at least 1, found {args.max_objects}.")
    if args.config and not args.checkpoint:
        raise InputError("--config needs the --checkpoint that was trained with it.")


def wanted_clip(args: argparse.Namespace) -> Clip:
    """The part of the videos that `--start`, `--end` and `--stride` name."""
    start = Moment(frame=0) if args.start is None else Moment.parse(args.start)
    return Clip(start, None if args.end is None else Moment.parse(args.end), args.stride)


def load_model(args: argparse.Namespace) -> RoIVideoModel:
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
    if args.max_objects is not None:
        model.limit_tracks(args.max_objects)
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
