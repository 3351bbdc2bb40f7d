"""Our evaluators and the official ones, side by side: seconds, agreement, growth, memory, and where our time goes.

    python tools/benchmark_eval.py                      everything; some minutes
    python tools/benchmark_eval.py --quick              small data, once: does it run?
    python tools/benchmark_eval.py --parts compare --protocols kitti_mots --repeat 9 --out benchmark.json

Every run is a fresh process pinned to one core (or to as many as workers are asked for). Its seconds are from paths
to numbers, files read, modules imported before. BDD100K needs the environment of tools/oracles.sh.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmark_data import Size, write
from benchmark_tables import show
from rich.console import Console
from rich.progress import Progress

from vos_occ.results import require_new, write_atomically
from vos_occ.structures.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
SIDE = Path(__file__).with_name("benchmark_side.py")
PARTS = ("compare", "growth", "stages")

# First that fits counts: part of a path, function, stage.
STAGES = [
    ["eval/runs.py", "", "decode masks"],
    ["eval/masks.py", "", "compare masks"],
    ["eval/tube_runs.py", "", "compare masks"],
    ["eval/tube_ap.py", "_ious", "compare masks"],
    ["eval/tube_ap.py", "_shared", "compare masks"],
    ["eval/readers/", "", "read files"],
    ["/json/", "", "read files"],
    ["eval/", "", "count and average"],
]


Row = dict[str, Any]
Measurement = tuple[str, str, Callable[[], Row]]  # table, title, what makes the row


class BenchmarkError(Exception):
    """What was asked for cannot be measured; one line."""


@dataclass(frozen=True)
class Official:
    """The evaluator that a protocol is held against.

    Attributes:
        side: Its name in benchmark_side.py.
        title: As the table names it.
        oracle: Whether it lives in the environment of tools/oracles.sh.
        parallel: Whether it can use several processes.
    """

    side: str
    title: str
    oracle: bool = False
    parallel: bool = False


OFFICIAL = {
    "kitti_mots": Official("trackeval", "TrackEval 1.3.0 (CLEAR, Identity, HOTA)", parallel=True),
    "bdd100k_mots": Official("scalabel", "scalabel 0.3.1, motmetrics 1.4.0", oracle=True),
    "ytvis": Official("ytviseval", "YTVISeval, mmdet's copy"),
    "ovis": Official("ytviseval", "YTVISeval: OVISeval cannot be installed; the same work without its groups"),
}


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    size: Size
    repeat: int
    growth: Size
    sweeps: dict[str, tuple[int, ...]]


FULL = Plan(
    Size(),
    repeat=5,
    growth=Size(videos=2, vis_videos=1),
    sweeps={"frames": (25, 50, 100, 200, 400), "objects": (5, 10, 20, 40), "videos": (1, 2, 5, 10)},
)
TINY = Size(videos=2, frames=8, objects=6, vis_videos=2, predictions=12)
QUICK = Plan(TINY, repeat=1, growth=replace(TINY, videos=1, vis_videos=1), sweeps={"frames": (4, 8), "videos": (1, 2)})


@dataclass(frozen=True)
class Measured:
    """Some runs of one evaluator on one input; memory is what was added after the imports."""

    seconds: list[float]
    cpu_seconds: list[float]
    memory_mib: float
    worker_peak_mib: float | None
    numbers: dict[str, float | None]
    stages: dict[str, float] | None

    @property
    def best(self) -> float:
        """Seconds of the fastest run."""
        return min(self.seconds)


class Bench:
    """Starts the runs, and remembers where data and environments lie."""

    def __init__(self, folder: Path, oracles: Path) -> None:
        self.folder = folder
        self.oracles = oracles

    def data(self, protocol: str, size: Size) -> tuple[Path, dict[str, float]]:
        """Files of that size, and what they hold; written when they are not there yet."""
        folder = self.folder / "-".join([protocol, *(str(part) for part in asdict(size).values())])
        if not folder.is_dir():
            part = folder.with_name(f".{folder.name}.part")
            shutil.rmtree(part, ignore_errors=True)
            part.parent.mkdir(parents=True, exist_ok=True)
            summary = write(protocol, part, size)
            (part / "summary.json").write_text(json.dumps(summary))
            part.rename(folder)
        return folder, json.loads((folder / "summary.json").read_text())

    def has(self, official: Official) -> bool:
        """Whether the evaluator's environment is there."""
        return not official.oracle or (self.oracles / "bin" / "python").is_file()

    def run(self, side: str, protocol: str, folder: Path, workers: int = 1, stages: bool = False) -> Row:
        """One run in a process of its own."""
        oracle = side == "scalabel"
        python = str(self.oracles / "bin" / "python") if oracle else sys.executable
        asked = {"side": side, "protocol": protocol, "folder": str(folder), "workers": workers}
        asked["stages"] = STAGES if stages else None
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [python, str(SIDE), json.dumps(asked)], capture_output=True, text=True, env=environment, check=False
        )
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise BenchmarkError(f"{side} failed on {protocol} ({folder}): {last}")
        answer: Row = json.loads(done.stdout.splitlines()[-1])
        return answer

    def measure(
        self, sides: Sequence[str], protocol: str, folder: Path, repeat: int, workers: int = 1
    ) -> list[Measured]:
        """Every side `repeat` times, in turns, so that a busy moment of the machine meets all alike."""
        runs: list[list[Row]] = [[] for _ in sides]
        for turn in range(repeat):
            for i in range(len(sides)):
                chosen = (i + turn) % len(sides)
                runs[chosen].append(self.run(sides[chosen], protocol, folder, workers))
        return [_measured(side) for side in runs]


def _measured(runs: list[Row]) -> Measured:
    first = runs[0]
    return Measured(
        seconds=[run["seconds"] for run in runs],
        cpu_seconds=[run["cpu_seconds"] for run in runs],
        memory_mib=max(run["peak_mib"] - run["imported_mib"] for run in runs),
        worker_peak_mib=first["worker_peak_mib"],
        numbers=first["numbers"],
        stages=first["stages"],
    )


def difference(ours: dict[str, float | None], official: dict[str, float | None]) -> tuple[float, int, list[str]]:
    """The largest difference of two sets of numbers, how many they share, and which of the official's we lack.

    A number that only one side leaves undefined differs without bound.
    """
    shared = [name for name in official if name in ours]
    largest = 0.0
    for name in shared:
        mine, theirs = ours[name], official[name]
        if mine is None or theirs is None:
            largest = max(largest, 0.0 if mine is theirs else float("inf"))
        else:
            largest = max(largest, abs(mine - theirs))
    return largest, len(shared), [name for name in official if name not in ours]


def compare(bench: Bench, protocol: str, plan: Plan) -> Row:
    """Both sides on the full data."""
    folder, masks = bench.data(protocol, plan.size)
    official = OFFICIAL[protocol]
    row: Row = {"protocol": protocol, "official": official.title, "masks": masks}
    if not bench.has(official):
        (ours,) = bench.measure(["ours"], protocol, folder, plan.repeat)
        return row | {"ours_seconds": ours.seconds, "ours_mib": ours.memory_mib}
    theirs, ours = bench.measure([official.side, "ours"], protocol, folder, plan.repeat)
    largest, shared, missing = difference(ours.numbers, theirs.numbers)
    if not shared:
        raise BenchmarkError(f"{protocol}: ours and {official.side} have no number in common.")
    return row | {
        "official_seconds": theirs.seconds,
        "ours_seconds": ours.seconds,
        "official_cpu_seconds": theirs.cpu_seconds,
        "ours_cpu_seconds": ours.cpu_seconds,
        "ratio": theirs.best / ours.best,
        "cpu_ratio": min(theirs.cpu_seconds) / min(ours.cpu_seconds),
        "largest_difference": largest,
        "numbers_compared": shared,
        "not_in_ours": missing,
        "official_mib": theirs.memory_mib,
        "ours_mib": ours.memory_mib,
    }


def grow(bench: Bench, protocol: str, plan: Plan, what: str, value: int) -> Row:
    """Both sides on data of one size of a sweep; the best of three runs."""
    changes = {what: value}
    if what == "objects":
        changes["predictions"] = 10 * value
    if what == "videos":
        changes["vis_videos"] = value
    folder, _ = bench.data(protocol, replace(plan.growth, **changes))
    official = OFFICIAL[protocol]
    row: Row = {"protocol": protocol, "what": what, "value": value}
    sides = [official.side, "ours"] if bench.has(official) else ["ours"]
    *theirs, ours = bench.measure(sides, protocol, folder, repeat=min(plan.repeat, 3))
    row |= {"ours_seconds": ours.best, "ours_mib": ours.memory_mib}
    if theirs:
        row |= {"official_seconds": theirs[0].best, "official_mib": theirs[0].memory_mib}
    return row


def parallel(bench: Bench, protocol: str, plan: Plan, workers: int) -> Row:
    """Both sides on the full data, with as many VIS videos, by so many workers; officials that have none run alone."""
    folder, _ = bench.data(protocol, replace(plan.size, vis_videos=plan.size.videos))
    official = OFFICIAL[protocol]
    usable = bench.has(official) and (workers == 1 or official.parallel)
    sides = [official.side, "ours"] if usable else ["ours"]
    *theirs, ours = bench.measure(sides, protocol, folder, min(plan.repeat, 3), workers)
    return {
        "protocol": protocol,
        "workers": workers,
        "ours_seconds": ours.best,
        "ours_cpu_seconds": min(ours.cpu_seconds),
        "ours_worker_mib": ours.worker_peak_mib,
        "official_seconds": theirs[0].best if theirs else None,
    }


def stages(bench: Bench, protocol: str, plan: Plan) -> Row:
    """Shares of our time by stage, from a run with the clock on; seconds are the shares of the fastest run without."""
    folder, _ = bench.data(protocol, plan.size)
    plain = min(bench.run("ours", protocol, folder)["seconds"] for _ in range(min(plan.repeat, 3)))
    clocked = bench.run("ours", protocol, folder, stages=True)["stages"]
    whole = sum(clocked.values())
    shares = {stage: seconds / whole for stage, seconds in sorted(clocked.items(), key=lambda item: -item[1])}
    return {"protocol": protocol, "seconds": plain, "shares": shares}


def measurements(bench: Bench, plan: Plan, protocols: Sequence[str], parts: Sequence[str]) -> list[Measurement]:
    """All that will be run, in the order of the tables. OVIS grows as YouTube-VIS does."""
    found: list[Measurement] = []
    growing = [name for name in protocols if name != "ovis"]
    if "compare" in parts:
        found += [("compare", name, partial(compare, bench, name, plan)) for name in protocols]
    if "growth" in parts:
        steps = [(what, value) for what, values in plan.sweeps.items() for value in values]
        for name in growing:
            found += [("growth", f"{name}, {n} {what}", partial(grow, bench, name, plan, what, n)) for what, n in steps]
        for name in growing:
            found += [("workers", f"{name}, {n} workers", partial(parallel, bench, name, plan, n)) for n in (1, 2)]
    if "stages" in parts:
        found += [("stages", f"{name}, stages", partial(stages, bench, name, plan)) for name in protocols]
    return found


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--protocols", nargs="+", choices=tuple(OFFICIAL), default=list(OFFICIAL), metavar="NAME")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--repeat", type=int, help="runs of each side (default 5)")
    parser.add_argument("--quick", action="store_true", help="small data, one run of each")
    parser.add_argument("--data", type=Path, help="keep the generated data here (default: a temporary folder)")
    parser.add_argument("--out", type=Path, help="also write all measurements as JSON")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing --out")
    default = os.environ.get("VOS_OCC_ORACLES", str(ROOT / ".venv-oracles"))
    parser.add_argument("--oracles", type=Path, default=Path(default), help="environment made by tools/oracles.sh")
    options = parser.parse_args(argv)
    if options.repeat is not None and options.repeat < 1:
        parser.error(f"--repeat must be at least 1, found {options.repeat}")
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what was asked for, then print the tables."""
    options = arguments(argv)
    plan = QUICK if options.quick else FULL
    plan = replace(plan, repeat=options.repeat or plan.repeat)
    errors = Console(stderr=True)
    try:
        if options.out:
            require_new(options.out, options.overwrite, folder=False)
        rows = measure_all(options, plan, errors)
        if options.out:
            write_atomically(options.out, json.dumps(rows, indent=2) + "\n")
    except (BenchmarkError, UserError, OSError) as error:
        errors.print(str(error), soft_wrap=True, markup=False, highlight=False)
        return 2
    show(rows, plan.repeat, plan.growth)
    return 0


def measure_all(options: argparse.Namespace, plan: Plan, errors: Console) -> dict[str, list[Row]]:
    """The rows of every table. Progress and notices go to `errors`."""
    rows: dict[str, list[Row]] = {"compare": [], "growth": [], "workers": [], "stages": []}
    with ExitStack() as stack:
        folder = options.data or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        bench = Bench(folder, options.oracles)
        if not all(bench.has(OFFICIAL[name]) for name in options.protocols):
            errors.print(f"No environment in '{options.oracles}': scalabel is left out. Make it with tools/oracles.sh.")
        jobs = measurements(bench, plan, options.protocols, options.parts)
        progress = stack.enter_context(Progress(console=errors, transient=True, disable=not errors.is_terminal))
        task = progress.add_task("", total=len(jobs))
        for table, title, measure in jobs:
            progress.update(task, description=title)
            rows[table].append(measure())
            progress.advance(task)
    return rows


if __name__ == "__main__":
    sys.exit(main())
