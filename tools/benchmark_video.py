"""Our video path and mmdet's `MaskTrackRCNN` R50, side by side: milliseconds by stage, memory, growth, bfloat16.

    python tools/benchmark_video.py                                    everything; under 8 minutes on two cores
    python tools/benchmark_video.py --parts compare --frames 12        the comparison alone
    python tools/benchmark_video.py --parts accuracy --videos 80       tube AP by precision; some 10 minutes more
    python tools/benchmark_video.py --parts cmtrack --frames 2         CMTrack by stage and number of references
    python tools/benchmark_video.py --parts pcan --frames 20           PCAN by stage, and its memory over 1000 frames
    python tools/benchmark_video.py --plot docs/images/video_speed.png --out benchmark.json

Same weights, same detections, same operators (the named backend); results are compared before anything is timed.
Frames of the two sides alternate, and each number is the least of the frames: other work on the machine only adds.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from benchmark_video_cmtrack import REACHES, build, cmtrack_table, measure_cmtrack
from benchmark_video_pcan import build as build_pcan
from benchmark_video_pcan import measure_pcan, pcan_table
from benchmark_video_sides import ALL_SURVIVE, STAGES, TENTH_SURVIVES, Scene, Side, Step, both_sides, difference
from rich.console import Console
from rich.table import Table

from vos_occ.compat import op_backend, plain_ops
from vos_occ.models.layers.fused import onednn_problem
from vos_occ.results import require_new, write_atomically
from vos_occ.structures.errors import UserError

PARTS = ("compare", "threads", "bfloat16", "memory", "growth")  # those of a plain run
ASKED_FOR = ("accuracy", "cmtrack", "pcan")  # these must be named
SCENES = {"all survive": ALL_SURVIVE, "10 of 100 survive": TENTH_SURVIVES}
TOLERANCE = {"boxes": 1e-3, "scores": 1e-5, "masks": 1e-3}
CHECKED_FRAMES = 3
MIB = 2**20

OUTPUTS = ((640, 360), (1280, 720), (1920, 1080), (3840, 2160))
OBJECTS = (1, 10, 30, 100)
MMDETS_FRAMES, OUR_FRAMES, CMTRACK_FRAMES = (50, 100), (50, 200, 1000), (20, 50, 200)
PCAN_FRAMES = (100, 500, 1000)


class BenchmarkError(UserError):
    """The two sides do not do the same."""


def compare(name: str, frames: int, threads: int) -> dict[str, Any]:
    """Both sides on one scene, alternating; seconds of the fastest frame, and of each stage's."""
    torch.set_num_threads(threads)
    ours, make_theirs = both_sides(SCENES[name])
    theirs = make_theirs()
    largest = dict.fromkeys(TOLERANCE, 0.0)
    for _ in range(CHECKED_FRAMES):
        result = ours.step()[0]
        found = difference(result, theirs.step()[0])
        largest = {key: max(value, found[key]) for key, value in largest.items()}
    if any(largest[key] > TOLERANCE[key] for key in TOLERANCE):
        raise BenchmarkError(f"The two sides differ by {largest}, more than {TOLERANCE}; nothing was timed.")
    timed = alternate({"ours": ours, "theirs": theirs}, frames)
    seconds, cpu = ({side: least(steps, what) for side, steps in timed.items()} for what in ("seconds", "cpu_seconds"))
    dense = least(timed["theirs"], "dense_seconds")
    return {
        "scene": name,
        "threads": threads,
        "detected": theirs.detected,
        "survived": len(result),
        "difference": largest,
        "stages": {
            side: {stage: min(step.stages[stage] for step in steps) for stage in STAGES}
            for side, steps in timed.items()
        },
        "seconds": seconds,
        "cpu_seconds": cpu,
        "mmdets_dense_seconds": dense,
        "ratio": dense / seconds["ours"],
        "ratio_to_rle": seconds["theirs"] / seconds["ours"],
    }


def alternate(sides: dict[str, Side], frames: int) -> dict[str, list[Step]]:
    """What each side's frames took, taken in turn."""
    timed: dict[str, list[Step]] = {name: [] for name in sides}
    for _ in range(frames):
        for name, side in sides.items():
            timed[name].append(side.step()[1])
    return timed


def least(steps: list[Step], what: str = "seconds") -> float:
    """Of the fastest frame."""
    return min(getattr(step, what) for step in steps)


def compare_bfloat16(name: str, frames: int, threads: int) -> dict[str, Any]:
    """Our side in bfloat16 against mmdet's in float32, the only precision of its path on a CPU."""
    torch.set_num_threads(threads)
    ours, make_theirs = both_sides(SCENES[name], fuse=torch.bfloat16)
    theirs = make_theirs()
    ours.step(), theirs.step()
    timed = alternate({"ours": ours, "theirs": theirs}, frames)
    seconds = least(timed["ours"])
    return {"scene": name, "seconds": seconds, "ratio": least(timed["theirs"], "dense_seconds") / seconds}


def tube_ap_by_precision(videos: int) -> dict[str, float]:
    """Tube AP of the shipped synthetic model on held-back videos: as trained, fused, and fused in bfloat16."""
    from eval.readers.ytvis import read_ytvis
    from vos_occ.datasets.synthetic import write_dataset
    from vos_occ.inference.benchmark import run_dataset
    from vos_occ.inference.load import load
    from vos_occ.scoring import score_dataset

    scores = {}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        write_dataset(data, "heldout", range(videos))
        dataset = read_ytvis(data / "annotations_ytvis.json")
        options: dict[str, dict[str, Any]] = {
            "as trained": {"fuse": False},
            "fused": {},
            "bfloat16": {"precision": "bfloat16"},
        }
        for name, chosen in options.items():
            run_dataset(load("synthetic", device="cpu", **chosen), dataset, data / "frames", Path(folder) / name)
            scores[name] = float(score_dataset(dataset, Path(folder) / name).tube_ap or 0.0)
    return scores


def compare_backends(name: str, frames: int, threads: int) -> dict[str, float] | None:
    """Our side on plain operators against the compiled ones; None where there are none."""
    if op_backend().name == "plain":
        return None
    import mmcv._ext as compiled

    torch.set_num_threads(threads)
    sides = {"compiled": both_sides(SCENES[name])[0], "plain": both_sides(SCENES[name])[0]}
    kept = {operator: getattr(compiled, operator) for operator in ("nms", "roi_align_forward")}
    seconds = dict.fromkeys(sides, float("inf"))
    for _ in range(frames + 1):
        for side, model in sides.items():
            for operator, function in kept.items():
                setattr(compiled, operator, function if side == "compiled" else getattr(plain_ops, operator))
            seconds[side] = min(seconds[side], model.step()[1].seconds)
    for operator, function in kept.items():
        setattr(compiled, operator, function)
    return seconds


def memory(side: str, objects: int, marks: list[int]) -> list[dict[str, float]]:
    """Resident MiB and milliseconds a frame of one side, in this process, at the marked frames; a narrow network."""
    torch.set_num_threads(1)
    scene = Scene(objects=objects, network=(160, 96))
    if side == "cmtrack":
        model: Side = build(max(REACHES), scene, small=True)
    elif side == "pcan":
        model = build_pcan(scene, small=True)
    else:
        ours, make_theirs = both_sides(scene, small=True)
        model = ours if side == "ours" else make_theirs()
    scene_images = [scene.image(t) for t in range(4)]
    object.__setattr__(scene, "image", lambda t: scene_images[t % 4])  # drawing them is not what is looked at
    rows, seconds = [], []
    for frame in range(1, max(marks) + 1):
        seconds.append(model.step()[1].seconds)
        if frame in marks:
            rows.append({"frame": frame, "mib": resident_mib(), "ms": 1000 * min(seconds[-20:])})
    return rows


def resident_mib() -> float:
    """Memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / MIB


def available_mib() -> float:
    """Memory that a process may still take."""
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return int(lines["MemAvailable"].split()[0]) / 1024


def memory_of_both() -> dict[str, Any]:
    """`memory` of each side in a process of its own; fewer objects where the machine could not hold mmdet's masks."""
    needed = {objects: objects * max(MMDETS_FRAMES) * 1280 * 720 / MIB + 2000 for objects in (100, 30, 10)}
    objects = next((n for n in needed if needed[n] < 0.8 * available_mib()), 1)
    sides = (("mmdet", MMDETS_FRAMES), ("ours", OUR_FRAMES))
    return {"objects": objects} | {side: memory_alone(side, objects, marks) for side, marks in sides}


def memory_alone(side: str, objects: int, marks: tuple[int, ...]) -> list[dict[str, float]]:
    """`memory` in a process of its own."""
    asked = json.dumps({"side": side, "objects": objects, "marks": marks})
    ended = subprocess.run([sys.executable, __file__, "--side", asked], capture_output=True, text=True)
    if ended.returncode:
        raise BenchmarkError(f"{side} ended with {ended.returncode}: {(ended.stderr.splitlines() or [''])[-1]}")
    return json.loads(ended.stdout.splitlines()[-1])


def growth(frames: int, threads: int) -> list[dict[str, Any]]:
    """Processor milliseconds of both sides over the size of the frames, and over the number of objects."""
    torch.set_num_threads(threads)
    scenes = [("pixels", w * h, replace(Scene(objects=30), width=w, height=h)) for w, h in OUTPUTS]
    scenes += [("objects", count, Scene(objects=count)) for count in OBJECTS]
    rows = []
    for what, value, scene in scenes:
        ours, make_theirs = both_sides(scene)
        sides = {"ours": ours, "mmdet": make_theirs()}
        for side in sides.values():
            side.step()
        timed = alternate(sides, frames)
        rows.append(
            {"what": what, "value": value} | {name: 1000 * least(steps, "cpu_seconds") for name, steps in timed.items()}
        )
    return rows


def show(console: Console, answer: dict[str, Any]) -> None:
    """Print what was measured."""
    console.print(f"operators: {op_backend().name} ({op_backend().reason})", soft_wrap=True)
    console.print(
        f"layers of ours: {'oneDNN, packed' if onednn_problem() is None else 'torch'}; torch {torch.__version__}"
    )
    for row in answer.get("compare", []) + answer.get("threads", []):
        console.print(comparison_table(row))
    for row in answer.get("bfloat16", []):
        console.print(f"bfloat16, {row['scene']}: {1000 * row['seconds']:.0f} ms, {row['ratio']:.2f}x mmdet's float32")
    if "tube_ap" in answer:
        console.print("synthetic tube AP: " + ", ".join(f"{name} {ap:.4f}" for name, ap in answer["tube_ap"].items()))
    if answer.get("backends"):
        seconds = answer["backends"]
        console.print(
            f"plain operators: {seconds['plain'] / seconds['compiled']:.2f}x the time of {op_backend().name}'s"
        )
    if "memory" in answer:
        for side in ("mmdet", "ours"):
            marks = ", ".join(f"frame {row['frame']}: {row['mib']:.0f} MiB" for row in answer["memory"][side])
            console.print(f"resident, {answer['memory']['objects']} objects, {side}: {marks}", soft_wrap=True)
    if "growth" in answer:
        console.print(growth_table(answer["growth"]))
    if "cmtrack" in answer:
        console.print(cmtrack_table(answer["cmtrack"]))
        marks = ", ".join(f"frame {row['frame']}: {row['mib']:.0f} MiB" for row in answer["cmtrack"]["memory"])
        console.print(f"resident, narrow network, 10 references: {marks}", soft_wrap=True)
    if "pcan" in answer:
        console.print(pcan_table(answer["pcan"]))
        marks = ", ".join(f"frame {row['frame']}: {row['mib']:.0f} MiB" for row in answer["pcan"]["memory"])
        console.print(f"resident, narrow network, 10 objects: {marks}", soft_wrap=True)


def comparison_table(row: dict[str, Any]) -> Table:
    """Milliseconds by stage."""
    table = Table(title=f"{row['scene']}, {row['threads']} thread(s), 640x360 in, 1280x720 out: ms per frame, float32")
    for column in ("stage", "mmdet", "ours", "ratio"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    ours, theirs = row["stages"]["ours"], row["stages"]["theirs"]
    for stage in STAGES:
        ratio = f"{theirs[stage] / ours[stage]:.1f}" if ours[stage] > 1e-4 else ""
        table.add_row(stage, f"{1000 * theirs[stage]:.1f}", f"{1000 * ours[stage]:.1f}", ratio)
    table.add_section()
    total, dense = 1000 * row["seconds"]["ours"], 1000 * row["mmdets_dense_seconds"]
    table.add_row("frame, mmdet's masks dense", f"{dense:.1f}", f"{total:.1f}", f"{row['ratio']:.2f}")
    to_rle = 1000 * row["seconds"]["theirs"]
    table.add_row("frame, to run lengths", f"{to_rle:.1f}", f"{total:.1f}", f"{row['ratio_to_rle']:.2f}")
    cpu_theirs, cpu_ours = (1000 * row["cpu_seconds"][side] for side in ("theirs", "ours"))
    table.add_row("  processor time of it", f"{cpu_theirs:.1f}", f"{cpu_ours:.1f}", f"{cpu_theirs / cpu_ours:.2f}")
    largest = row["difference"]
    table.caption = (
        f"{row['detected']} detections, of which {row['survived']} survive. paste of ours: run lengths included. "
        f"Largest differences: boxes {largest['boxes']:.0e} px, scores {largest['scores']:.0e}, "
        f"masks {largest['masks']:.0e} of their pixels; ids equal"
    )
    return table


def growth_table(rows: list[dict[str, Any]]) -> Table:
    """Milliseconds over size."""
    table = Table(title="growth: ms of the processor per frame, to run lengths")
    for column in ("with", "mmdet", "ours", "ratio"):
        table.add_column(column, justify="left" if column == "with" else "right")
    for row in rows:
        name = f"{row['value']} objects" if row["what"] == "objects" else f"{row['value'] / 1e6:.2f} megapixels"
        table.add_row(name, f"{row['mmdet']:.0f}", f"{row['ours']:.0f}", f"{row['mmdet'] / row['ours']:.2f}")
    return table


def plot(answer: dict[str, Any], path: Path) -> None:
    """Growth with pixels, objects and length, as one small png."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 2.6), dpi=80, layout="constrained")
    axes = figure.subplots(1, 3)
    for axis, what, label in zip(
        axes, ("pixels", "objects"), ("megapixels out (30 objects)", "objects (1280x720)"), strict=False
    ):
        rows = [row for row in answer["growth"] if row["what"] == what]
        scale = 1e6 if what == "pixels" else 1
        for side, colour in (("mmdet", "tab:gray"), ("ours", "tab:blue")):
            axis.plot(
                [row["value"] / scale for row in rows], [row[side] for row in rows], "o-", color=colour, label=side
            )
        axis.set(xlabel=label, ylabel="processor ms per frame", ylim=(0, None))
    for side, colour in (("mmdet", "tab:gray"), ("ours", "tab:blue")):
        rows = answer["memory"][side]
        axes[2].plot([row["frame"] for row in rows], [row["mib"] for row in rows], "o-", color=colour, label=side)
    axes[2].set(
        xlabel=f"frame ({answer['memory']['objects']} objects)", ylabel="resident MiB", xscale="log", ylim=(0, None)
    )
    axes[0].legend(frameon=False)
    figure.savefig(path)


def measure(answer: dict[str, Any], options: argparse.Namespace, progress: Console) -> None:
    """Everything asked for, into `answer`."""
    frames, threads = options.frames, options.threads
    begin = time.monotonic()
    for part in options.parts:
        progress.print(f"{time.monotonic() - begin:4.0f} s  {part}", highlight=False)
        if part == "compare":
            answer["compare"] = [compare(name, frames, threads) for name in SCENES]
            answer["backends"] = compare_backends("all survive", frames, threads)
        elif part == "threads":
            answer["threads"] = [compare(name, max(frames // 2, 3), 2) for name in SCENES]
        elif part == "bfloat16":
            answer["bfloat16"] = [compare_bfloat16(name, max(frames // 2, 3), threads) for name in SCENES]
        elif part == "accuracy":
            answer["tube_ap"] = tube_ap_by_precision(options.videos)
        elif part == "memory":
            answer["memory"] = memory_of_both()
        elif part == "growth":
            answer["growth"] = growth(3, threads)
        elif part == "cmtrack":
            answer["cmtrack"] = measure_cmtrack(frames)
            answer["cmtrack"]["memory"] = memory_alone("cmtrack", 10, CMTRACK_FRAMES)
        elif part == "pcan":
            answer["pcan"] = measure_pcan(frames)
            answer["pcan"]["memory"] = memory_alone("pcan", 10, PCAN_FRAMES)


def run(argv: list[str] | None) -> int:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=[*PARTS, *ASKED_FOR], default=list(PARTS))
    parser.add_argument("--frames", type=int, default=6, help="timed frames of each side and scene")
    parser.add_argument("--threads", type=int, default=1, help="torch threads of everything but the part `threads`")
    parser.add_argument("--videos", type=int, default=20, help="held-back synthetic videos of the part `accuracy`")
    parser.add_argument("--plot", type=Path, help="write the growth as a png here; needs the parts growth and memory")
    parser.add_argument("--out", type=Path, help="write the numbers as JSON here")
    parser.add_argument("--overwrite", action="store_true", help="replace what --plot and --out name")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.side:
        print(json.dumps(memory(**json.loads(options.side))))
        return 0
    if options.plot and not {"growth", "memory"} <= set(options.parts):
        parser.error("--plot needs the parts growth and memory")
    for path in filter(None, (options.plot, options.out)):
        require_new(path, options.overwrite, folder=False)
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, 110)  # a file has no edge to wrap at
    answer: dict[str, Any] = {"backend": op_backend().name}
    try:
        measure(answer, options, Console(stderr=True))
    finally:  # what was measured is shown, whatever went wrong with the rest
        show(console, answer)
    if options.plot:
        plot(answer, options.plot)
    if options.out:
        write_atomically(options.out, json.dumps(answer, indent=1) + "\n")
    return 0


def main(argv: list[str] | None = None) -> int:
    """0, or 2 with one line when something cannot be measured."""
    try:
        return run(argv)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
