#!/usr/bin/env python
"""The main job on the embedded default: track held-back synthetic videos, draw one, and score the files written.

tools/demo_synthetic.py [--out demo_out] [--videos 20]; tools/demo.sh sets up the environment and calls this.
"""

from __future__ import annotations

import argparse
import json
import sys
from importlib import resources
from pathlib import Path

from rich.console import Console
from rich.table import Table

from eval.readers.ytvis import read_ytvis
from vos_occ.datasets.synthetic import SyntheticWorld, write_dataset
from vos_occ.inference.benchmark import run_dataset
from vos_occ.inference.demo import main as demo_video
from vos_occ.inference.load import load
from vos_occ.inference.progress import frames_bar
from vos_occ.media import VideoWriter
from vos_occ.results.output import require_new
from vos_occ.scoring import score_dataset
from vos_occ.structures.errors import UserError

SHOWN_SEED, SHOWN_FRAMES, FPS = 1005, 90, 15.0
AIMS = {
    "tube_AP": ">= 0.60",
    "IDF1": ">= 0.85",
    "hidden_MAE": "< half the next",
    "hidden_Spearman": ">= 0.70",
    "unoccluded_called_hidden": "<= 0.05",
    "order_accuracy": ">= 0.85",
}


def draw_one(checkpoint: str, out: Path, quiet: bool) -> None:
    """Renders a held-back video to an mp4, and runs the demo command on that file like on any other."""
    world = SyntheticWorld("heldout", num_frames=SHOWN_FRAMES)
    path = out / "synthetic_input.mp4"
    with VideoWriter(path, FPS, 320, 192, overwrite=True) as writer:
        for frame in world.video(SHOWN_SEED):
            writer.write(frame.image)
    arguments = [str(path), "--out", str(out / "synthetic.mp4"), "--json", str(out / "synthetic.jsonl"), "--overwrite"]
    model = ["--checkpoint", checkpoint] if Path(checkpoint).is_file() else ["--preset", checkpoint]
    if demo_video([*arguments, *model, *(["--quiet"] if quiet else [])]):
        raise UserError("The demo command failed on the rendered video.")


def score_heldout(checkpoint: str, out: Path, num_videos: int, quiet: bool) -> dict[str, float | int | None]:
    """Tracks `num_videos` held-back videos and scores results.json and the JSONL files."""
    folder = out / "heldout"
    write_dataset(folder, "heldout", range(num_videos), overwrite=True)
    dataset = read_ytvis(folder / "annotations_ytvis.json")
    model = load(checkpoint)
    total = sum(video.length for video in dataset.videos)
    with frames_bar(quiet) as progress:
        task = progress.add_task(f"{num_videos} held-back videos", total=total)
        run_dataset(
            model,
            dataset,
            folder / "frames",
            out / "results",
            overwrite=True,
            on_frame=lambda _: progress.advance(task),
        )
    return score_dataset(dataset, out / "results").as_dict()


def stored_scores() -> dict[str, dict[str, float]]:
    """Measured scores of the models trained alike, by name; see docs/experiments.md for commands and seeds."""
    path = resources.files("vos_occ") / "weights" / "synthetic_scores.json"
    return json.loads(path.read_text()) if path.is_file() else {}


def show(scores: dict[str, float | int | None]) -> None:
    others = stored_scores()
    table = Table(title="Held-back shapes and textures")
    table.add_column("score", no_wrap=True)
    for column in ("this run", *others, "aim"):
        table.add_column(column)
    for name, value in scores.items():
        columns = [_text(other.get(name)) for other in others.values()]
        table.add_row(name, _text(value), *columns, AIMS.get(name, ""))
    Console().print(table)


def _text(value: float | int | None) -> str:
    return "-" if value is None else str(value) if isinstance(value, int) else f"{value:.3f}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("demo_out"))
    parser.add_argument("--checkpoint", default="synthetic", help="shipped name or file")
    parser.add_argument("--videos", type=int, default=20, help="held-back videos to score, seeds 0..N-1")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier demo's files")
    parser.add_argument("--quiet", action="store_true")
    args = parser.parse_args(arguments)
    try:
        require_new(args.out, args.overwrite, folder=True)
        draw_one(args.checkpoint, args.out, args.quiet)
        scores = score_heldout(args.checkpoint, args.out, args.videos, args.quiet)
    except UserError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2
    (args.out / "scores.json").write_text(json.dumps(scores, indent=1) + "\n")
    show(scores)
    written = ("synthetic.mp4", "synthetic.jsonl", "results/results.json", "scores.json")
    print(f"Wrote {', '.join(str(args.out / name) for name in written)}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
