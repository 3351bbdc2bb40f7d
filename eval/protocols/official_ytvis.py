"""YouTube-VIS' own evaluator, in the copy that mmdet ships, run on the same files to verify our numbers.

OVIS' own evaluator is on no package index. It is YouTube-VIS' evaluator that also ignores objects outside a range of
occlusion, which is what that one does with objects outside the range of areas: one run for each range, with an area
out of all ranges given to the objects outside, has the same result.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import numpy as np

from eval.errors import RequestError
from eval.protocols.protocol import Request
from eval.readers.record import load_json
from eval.readers.ytvis_index import result_files
from eval.scores import Scores
from eval.tube_ap import OCCLUSION_RANGES, occlusion_score

_NOWHERE = 2e10  # an area outside all ranges


def verify(request: Request, scores: Scores, by_occlusion: bool = False) -> float:
    """The largest absolute difference of the summary to that of the official evaluator.

    Raises:
        RequestError: mmdet is not installed, or its evaluator stops at these files.
    """
    expected = official_summary(load_json(request.gt), _results(request), by_occlusion)
    differences = [0.0]
    for name, value in expected.items():
        ours = scores.summary[name]
        if (ours is None) != (value is None):
            return float("inf")
        differences.append(abs(ours - value) if ours is not None and value is not None else 0.0)
    return max(differences)


def official_summary(
    dataset: dict[str, Any], results: list[dict[str, Any]], by_occlusion: bool = False
) -> dict[str, float | None]:
    """The official summary by our names; None where it says -1.

    Args:
        dataset: Annotations; the evaluator changes them.
        results: Likewise.
        by_occlusion: Run also for each of OCCLUSION_RANGES.
    """
    text = json.dumps(dataset), json.dumps(results)  # each run needs copies of its own
    summary = _summary(official_eval(dataset, results).eval)
    for name, (low, high) in zip(("AP_so", "AP_mo", "AP_ho"), OCCLUSION_RANGES if by_occlusion else (), strict=False):
        dataset, results = (json.loads(part) for part in text)
        for annotation in dataset["annotations"]:
            score = occlusion_score(annotation.get("occlusion") or [])
            if score is None or not low <= score <= high:
                annotation["areas"] = [_NOWHERE]
        summary[name] = _summary(official_eval(dataset, results).eval)["AP"]
    return summary


def official_eval(dataset: dict[str, Any], results: list[dict[str, Any]]) -> Any:
    """mmdet's `YTVISeval` after `accumulate`; its `eval` holds precision (T, R, K, A, M) and recall (T, K, A, M).

    Raises:
        RequestError: mmdet is not installed, or its evaluator stops at these files.
    """
    api, evaluator = (_module(name) for name in ("ytvis", "ytviseval"))
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            truth = api.YTVIS(dataset)
            run = evaluator.YTVISeval(truth, truth.loadRes(results), "segm")
            run.evaluate()
            run.accumulate()
    except (AssertionError, IndexError, KeyError, TypeError) as error:
        raise RequestError(f"The official evaluator stops with {type(error).__name__}: {error}.") from error
    return run


def _summary(curves: Mapping[str, Any]) -> dict[str, float | None]:
    precision, recall = curves["precision"], curves["recall"]
    tables = {"AP": precision[..., 0, 2], "AP50": precision[0, ..., 0, 2], "AP75": precision[5, ..., 0, 2]}
    tables |= {name: precision[..., a, 2] for a, name in enumerate(("APs", "APm", "APl"), start=1)}
    tables |= {name: recall[..., 0, m] for m, name in enumerate(("AR1", "AR10", "AR100"))}
    defined = {name: table[table > -1] for name, table in tables.items()}
    return {name: float(np.mean(values)) if len(values) else None for name, values in defined.items()}


def _results(request: Request) -> list[dict[str, Any]]:
    with TemporaryDirectory(prefix="eval-") as folder:
        return [record for path, _ in result_files(request.pred, Path(folder)) for record in load_json(path)]


def _module(name: str) -> ModuleType:
    """A module of mmdet by its file: to import the package would bring in the mm* stack and torch."""
    package = importlib.util.find_spec("mmdet")
    if package is None or package.origin is None:
        raise RequestError("To verify, mmdet must be installed, which ships the official evaluator.")
    path = Path(package.origin).parent / "evaluation" / "functional" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"mmdet_{name}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
