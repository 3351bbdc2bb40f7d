"""One measured run of one evaluator, in a process of its own: what tools/benchmark_eval.py starts.

    python tools/benchmark_side.py '{"side": "trackeval", "protocol": "kitti_mots", "folder": ..., "workers": 1}'

Prints one JSON line: seconds from paths to numbers (reading included, imports not), peak memory, and the numbers by
name, in our names and as fractions. Runs in the environment of the evaluator too, so it imports nothing before it
knows which one is asked for.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Numbers = dict[str, Any]
Run = Callable[[Path, int], Numbers]

CLEAR = {"MOTSA": "MOTA", "sMOTSA": "sMOTA", "MOTSP": "MOTP", "MODSA": "MODA", "IDSW": "IDSW", "Frag": "Frag"}
CLEAR |= {"MT": "MT", "PT": "PT", "ML": "ML", "TP": "CLR_TP", "FN": "CLR_FN", "FP": "CLR_FP"}
IDENTITY = {name: name for name in ("IDF1", "IDP", "IDR", "IDTP", "IDFN", "IDFP")}
HOTA = ("HOTA", "DetA", "AssA", "DetRe", "DetPr", "AssRe", "AssPr", "LocA")
SCALABEL = {"MOTSA": "MOTA", "MOTSP": "MOTP", "IDF1": "IDF1", "FP": "FP", "FN": "FN", "IDSW": "IDSw", "MT": "MT"}
SCALABEL |= {"PT": "PT", "ML": "ML", "FM": "FM"}
VIS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100")


def ours(protocol: str, clock: Any = None) -> Run:
    """This project's evaluator. A clock is run inside it, to see where the time goes."""
    from eval import evaluate
    from eval.protocols import protocol as find_protocol

    find_protocol(protocol)  # imports its module

    def run(folder: Path, workers: int) -> Numbers:
        gt, pred, seqmap = folder / "gt.json", folder / "pred.json", None
        if protocol == "kitti_mots":
            gt, pred, seqmap = folder / "gt", folder / "pred" / "tracker" / "data", folder / "seqmap"
        with clock or contextlib.nullcontext():
            scores = evaluate(protocol, gt, pred, seqmap=seqmap, workers=workers)
        document = scores.as_json()
        return flat({"": document["summary"], **document["classes"], "OVERALL": document["overall"]})

    return run


def trackeval_kitti_mots() -> Run:
    """TrackEval's KittiMOTS with CLEAR, Identity and HOTA; writes and plots nothing."""
    import trackeval

    quiet = {"PRINT_CONFIG": False}
    silent = dict.fromkeys(
        ("PRINT_RESULTS", "OUTPUT_SUMMARY", "OUTPUT_DETAILED", "PLOT_CURVES", "TIME_PROGRESS"), False
    )

    def run(folder: Path, workers: int) -> Numbers:
        parallel = {"USE_PARALLEL": workers > 1, "NUM_PARALLEL_CORES": workers, "LOG_ON_ERROR": None}
        evaluator = trackeval.Evaluator({**quiet, **silent, **parallel})
        places = {"GT_FOLDER": str(folder / "gt"), "TRACKERS_FOLDER": str(folder / "pred")}
        # a map of one sequence stops TrackEval's own reader ("Could not determine delimiter")
        rows = [line.split() for line in (folder / "seqmap").read_text().splitlines()]
        files = {"SEQ_INFO": {row[0]: int(row[3]) + 1 for row in rows}, "GT_LOC_FORMAT": "{gt_folder}/{seq}.txt"}
        dataset = trackeval.datasets.KittiMOTS({**quiet, **places, **files, "TRACKERS_TO_EVAL": ["tracker"]})
        metrics = [trackeval.metrics.CLEAR(quiet), trackeval.metrics.Identity(quiet), trackeval.metrics.HOTA()]
        result, _ = evaluator.evaluate([dataset], metrics)
        combined = result["KittiMOTS"]["tracker"]["COMBINED_SEQ"]
        return flat({name: _trackeval_class(combined[name]) for name in ("car", "pedestrian")})

    return run


def _trackeval_class(metrics: Mapping[str, Any]) -> Numbers:
    numbers = {name: metrics["CLEAR"][official] for name, official in CLEAR.items()}
    numbers |= {name: metrics["Identity"][official] for name, official in IDENTITY.items()}
    return numbers | {name: metrics["HOTA"][name].mean() for name in HOTA}


def scalabel_bdd100k_mots() -> Run:
    """What `python -m bdd100k.eval.run -t seg_track` does with two json files."""
    from bdd100k.common.utils import load_bdd100k_config
    from bdd100k.label.to_scalabel import bdd100k_to_scalabel
    from scalabel.eval.mots import acc_single_video_mots, evaluate_seg_track
    from scalabel.label.io import group_and_sort, load

    def run(folder: Path, workers: int) -> Numbers:
        config = load_bdd100k_config("seg_track")
        sides = []
        for name in ("gt.json", "pred.json"):
            frames = load(str(folder / name), nprocs=1).frames
            sides.append(group_and_sort(bdd100k_to_scalabel(frames, config)))
        result = evaluate_seg_track(acc_single_video_mots, *sides, config.scalabel, nproc=workers).dict()
        percent = {"MOTSA", "MOTSP", "IDF1"}
        numbers = {}
        for name, official in SCALABEL.items():
            for group in result[official]:
                for where, value in group.items():
                    numbers[where, name] = value / 100 if name in percent else value
        classes = sorted({where for where, _ in numbers})
        by_class = {where: {name: numbers[where, name] for name in SCALABEL} for where in classes}
        average = by_class.pop("AVERAGE")
        summary = {"mMOTSA": average["MOTSA"], "mMOTSP": average["MOTSP"], "mIDF1": average["IDF1"]}
        return flat({"": {**summary, "IDSW": average["IDSW"]}, **by_class})

    return run


def ytviseval() -> Run:
    """mmdet's copy of the YouTube-VIS API, from its two files: mmdet as a whole brings torch."""
    api, evaluator = (_file_of_mmdet(f"evaluation/functional/{name}.py") for name in ("ytvis", "ytviseval"))

    def run(folder: Path, workers: int) -> Numbers:
        truth = api.YTVIS(str(folder / "gt.json"))
        evaluation = evaluator.YTVISeval(truth, truth.loadRes(str(folder / "pred.json")), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        stats = [None if number == -1 else number for number in evaluation.stats.tolist()]
        return flat({"": dict(zip(VIS, stats, strict=False))})

    return run


def _file_of_mmdet(path: str) -> Any:
    package = importlib.util.find_spec("mmdet")
    assert package is not None and package.origin is not None
    spec = importlib.util.spec_from_file_location(Path(path).stem, Path(package.origin).parent / path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SIDES: dict[str, Callable[[], Run]] = {
    "trackeval": trackeval_kitti_mots,
    "scalabel": scalabel_bdd100k_mots,
    "ytviseval": ytviseval,
}


def flat(groups: Mapping[str, Mapping[str, Any]]) -> Numbers:
    """`{"car": {"MOTSA": x}}` as `{"car/MOTSA": x}`; the headline numbers have no class. NaN and infinite: None."""
    numbers: Numbers = {}
    for group, values in groups.items():
        for name, value in values.items():
            number = value.item() if hasattr(value, "item") else value
            finite = number is not None and abs(number) < float("inf")
            numbers[f"{group}/{name}" if group else name] = number if finite else None
    return numbers


class StageClock:
    """Charges the time of a block to stages: to that of the innermost of our functions on the stack that has one.

    A hook on every Python call makes Python code slower (arrays are not), so shares count, not seconds.

    Args:
        stages: (part of a file's path, function name or "", stage); the first that fits counts.
    """

    def __init__(self, stages: list[list[str]]) -> None:
        self.seconds: dict[str, float] = {}
        self._rules = stages
        self._known: dict[Any, str | None] = {}
        self._stack = ["rest"]
        self._since = 0.0

    def __enter__(self) -> StageClock:
        self._since = time.perf_counter()
        sys.setprofile(self._event)
        return self

    def __exit__(self, *error: object) -> None:
        sys.setprofile(None)
        self._charge()

    def _event(self, frame: Any, event: str, _: Any) -> None:
        if event == "call":
            code = frame.f_code
            if code not in self._known:
                self._known[code] = self._stage(code.co_filename, code.co_name)
            stage = self._known[code] or self._stack[-1]
            if stage != self._stack[-1]:
                self._charge()
            self._stack.append(stage)
        elif event == "return" and len(self._stack) > 1:
            if self._stack[-1] != self._stack[-2]:
                self._charge()
            self._stack.pop()

    def _charge(self) -> None:
        now = time.perf_counter()
        self.seconds[self._stack[-1]] = self.seconds.get(self._stack[-1], 0.0) + now - self._since
        self._since = now

    def _stage(self, file: str, function: str) -> str | None:
        path = file.replace(os.sep, "/")
        return next((stage for part, name, stage in self._rules if part in path and name in ("", function)), None)


def peak_mib() -> float:
    """Most memory of this process since it began."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def cpu_seconds() -> float:
    """CPU time of this process and of its workers that have ended."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def main() -> None:
    """Run what the only argument asks for."""
    asked = json.loads(sys.argv[1])
    workers = asked["workers"]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-workers:])
    clock = StageClock(asked["stages"]) if asked.get("stages") else None
    with contextlib.redirect_stdout(sys.stderr):
        run = ours(asked["protocol"], clock) if asked["side"] == "ours" else SIDES[asked["side"]]()
        imported = peak_mib()
        begin, cpu = time.perf_counter(), cpu_seconds()
        numbers = run(Path(asked["folder"]), workers)
        seconds, cpu = time.perf_counter() - begin, cpu_seconds() - cpu
    answer = {
        "seconds": seconds,
        "cpu_seconds": cpu,
        "imported_mib": imported,
        "peak_mib": peak_mib(),
        "worker_peak_mib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024 if workers > 1 else None,
        "stages": clock.seconds if clock else None,
        "numbers": numbers,
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
