"""What the official evaluators of YouTube-VIS and OVIS answered to odd input, and what we say of it."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as mask_api

from eval import evaluate
from eval.errors import EvalError, RequestError
from eval.rle import Rle

SHARED = Path(os.environ.get("VOS_OCC_DATA", Path(__file__).parents[2] / ".." / "shared"))
QUIRKS = SHARED / "fixtures" / "golden_quirks"
NAN = float("nan")


def box(top: int, left: int, bottom: int, right: int, height: int = 20, width: int = 20) -> Rle:
    mask = np.zeros((height, width), np.uint8, order="F")
    mask[top:bottom, left:right] = 1
    return {"size": [height, width], "counts": mask_api.encode(mask)["counts"].decode()}


def annotation(id: int, masks: list[Any], crowd: int = 0, occ: list[str | None] | None = None) -> dict[str, Any]:
    return {
        "id": id,
        "video_id": 1,
        "category_id": 1,
        "iscrowd": crowd,
        "segmentations": masks,
        "bboxes": [None] * len(masks),
        "areas": [100] * len(masks),
        "occlusion": occ or ["no_occlusion"] * len(masks),
    }


def dataset(annotations: list[dict[str, Any]], T: int = 2) -> dict[str, Any]:
    return {
        "videos": [{"id": 1, "width": 20, "height": 20, "length": T}],
        "categories": [{"id": 1, "name": "one"}, {"id": 2, "name": "two"}],
        "annotations": annotations,
    }


def detection(masks: list[Any], v: int = 1, c: int = 1, score: float = 0.9) -> dict[str, Any]:
    return {"video_id": v, "category_id": c, "score": score, "segmentations": masks}


A, B = box(0, 0, 10, 10), box(10, 10, 20, 20)


def cases() -> dict[str, tuple[dict[str, Any], list[dict[str, Any]]]]:
    """The recorded cases by name: yq_cases.txt holds one call `run(name, dataset, detections)` in a line."""
    found: dict[str, Any] = {}
    names = {"A": A, "B": B, "box": box, "ann": annotation, "ds": dataset, "det": detection}
    names["run"] = lambda name, truth, results: found.update({name: (truth, results)})
    if QUIRKS.exists():
        for line in (QUIRKS / "yq_cases.txt").read_text().splitlines():
            eval(line, names)
    return found


CASES = cases()
needs_record = pytest.mark.skipif(not CASES, reason=f"no recorded official answers at {QUIRKS}")


def write(folder: Path, name: str) -> tuple[Path, Path]:
    paths = folder / "gt.json", folder / "results.json"
    for path, content in zip(paths, CASES[name], strict=True):
        path.write_text(json.dumps(content))
    return paths


def recorded(name: str, evaluator: str) -> str:
    text = (QUIRKS / "ytvis_quirks_official_output.txt").read_text()
    answer = re.search(rf"^== {re.escape(name)}\n(?:  .*\n)*?  {evaluator} (.*)$", text, re.MULTILINE)
    assert answer, name
    return answer[1]


@needs_record
@pytest.mark.parametrize(("protocol", "evaluator"), [("ytvis", "YT"), ("ovis", "OV")])
@pytest.mark.parametrize("name", CASES)
def test_compat_official_answers_as_the_officials_did(tmp_path: Path, name: str, protocol: str, evaluator: str) -> None:
    answer = recorded(name, evaluator)
    gt, pred = write(tmp_path, name)
    if answer.startswith("ERR"):
        with pytest.raises(RequestError, match=answer.split()[1]):
            evaluate(protocol, gt, pred, compat="official")
        return
    summary = evaluate(protocol, gt, pred, compat="official").summary
    ours = [-1 if summary[metric] is None else summary[metric] for metric in ("AP", "AP50", "AR1", "AR10")]
    expected = re.match(r"AP (\S+) AP50 (\S+) AR1 (\S+) AR10 (\S+) occ (\[.*?\])?", answer)
    assert expected
    np.testing.assert_allclose(ours, [float(value) for value in expected.groups()[:4]], atol=5e-5)
    if protocol == "ovis":
        by_occlusion = [-1 if summary[metric] is None else summary[metric] for metric in ("AP_so", "AP_mo", "AP_ho")]
        np.testing.assert_allclose(by_occlusion, json.loads(expected[5]), atol=5e-5)


STRICT = {
    "perfect": 1.0,
    "empty results": 0.0,
    "no gt annotations at all": r"gt.json has no annotations to score against",
    "gt of cat1 only, FP in cat2 (class without gt => excluded)": 1.0,
    "unknown category id 9": r"\[1\].category_id is 9, but no category has this id \(results.json\)",
    "unknown video id": r"\[1\].video_id is 9, but no video has this id",
    "pred shorter than video: [A] vs gt [A,A]": r"\[0\].segmentations has 1 entry, but video 1 has 2 frames",
    "pred None second frame": 0.1,
    "wrong size mask frame 2": r"\[0\].segmentations\[1\] has size \[40, 20\], but its image has .* \[20, 20\]",
    "wrong size all frames": r"\[0\].segmentations\[0\] has size \[40, 20\]",
    "gt id 0": 1.0,
    "dup gt ids": r"annotations\[1\].id is 1, as that of annotations\[0\]",
    "NaN score": r"\[1\].score is NaN, expected a finite number",
    "crowd gt matched twice": 1.0,
    "equal scores stable order": 0.5,
    "occ .25 exactly in light+medium": 1.0,
    "occ all None": 1.0,
    "occ .5 : severe+slight of 4 -> top2 mean": 1.0,
}


@needs_record
@pytest.mark.parametrize("protocol", ["ytvis", "ovis"])
@pytest.mark.parametrize("name", CASES)
def test_by_default_what_does_not_fit_is_refused(tmp_path: Path, name: str, protocol: str) -> None:
    expected = STRICT[name]
    if isinstance(expected, str):
        with pytest.raises(EvalError, match=expected):
            evaluate(protocol, *write(tmp_path, name))
    else:
        assert evaluate(protocol, *write(tmp_path, name)).summary["AP"] == pytest.approx(expected, abs=1e-12)


@needs_record
def test_objects_without_occlusion_labels_are_in_no_group_and_warned_of(tmp_path: Path) -> None:
    scores = evaluate("ovis", *write(tmp_path, "occ all None"))
    assert [scores.summary[name] for name in ("AP", "AP_so", "AP_mo", "AP_ho")] == [pytest.approx(1), None, None, None]
    assert scores.warnings == (
        "1 annotations have no occlusion label in any frame. They count in none of AP_so, AP_mo, AP_ho; "
        "OVISeval divides by zero.",
    )


def test_the_last_of_several_annotations_of_one_id_also_decides_the_video(tmp_path: Path) -> None:
    """As the official loader has it: the ids of a video's annotations are looked up in one table for all videos."""
    truth = dataset([annotation(1, [A, A]), annotation(1, [B, B]) | {"video_id": 2}])
    truth["videos"].append(truth["videos"][0] | {"id": 2})
    (tmp_path / "gt.json").write_text(json.dumps(truth))
    results = [detection([B, B]), detection([B, B], v=2, score=0.8), detection([B, B], v=2, score=0.7)]
    (tmp_path / "results.json").write_text(json.dumps(results))
    scores = evaluate("ytvis", tmp_path / "gt.json", tmp_path / "results.json", compat="official")
    assert {video: counts["one"]["TP"] for video, counts in scores.videos.items()} == {"1": 0, "2": 2}


def test_results_of_unknown_categories_alone_are_results_to_the_official_loader(tmp_path: Path) -> None:
    (tmp_path / "gt.json").write_text(json.dumps(dataset([annotation(1, [A, A])])))
    (tmp_path / "results.json").write_text(json.dumps([detection([A, A], c=9)]))
    assert evaluate("ytvis", tmp_path / "gt.json", tmp_path / "results.json", compat="official").summary["AP"] == 0
