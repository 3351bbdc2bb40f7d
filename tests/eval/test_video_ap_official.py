"""Random videos with ties, crowds and areas on borders: the same bits as mmdet's copy of the official evaluator."""

from __future__ import annotations

import copy
import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as mask_api

from eval import evaluate
from eval.average_precision import Curves
from eval.protocols.official_ytvis import official_eval, official_summary
from eval.protocols.protocol import Request
from eval.protocols.video_ap import OVIS, YTVIS, VideoApJob
from eval.readers.ytvis import read_ytvis, read_ytvis_results
from eval.rle import Rle
from eval.tube_ap import OCCLUSION_SCORES, tube_ap

needs_mmdet = pytest.mark.skipif(importlib.util.find_spec("mmdet") is None, reason="mmdet, the oracle, is not there")
LABELS = (*OCCLUSION_SCORES, None)
GROUPS = ("AP_so", "AP_mo", "AP_ho")
SIZE = 300


def square(top: int, left: int, side: int, size: int = SIZE) -> Rle:
    mask = np.zeros((size, size), np.uint8, order="F")
    mask[top : top + side, left : left + side] = 1
    return {"size": [size, size], "counts": mask_api.encode(mask)["counts"].decode()}


# few places and sizes, so that IoUs tie; 128 and 256 lie on the borders of the ranges of areas
PLACES = [square(top, left, side) for side in (60, 90, 128, 256) for top in (0, 30) for left in (0, 20, 40)]
EMPTY = square(0, 0, 0)


def track(rng: np.random.Generator, length: int) -> list[Rle | None]:
    place = int(rng.integers(len(PLACES)))
    other = int(rng.integers(len(PLACES)))
    choices = [PLACES[place], PLACES[place], PLACES[other], None, EMPTY]
    return [choices[i] for i in rng.choice(5, length, p=(0.4, 0.3, 0.15, 0.1, 0.05))]


def world(seed: int, annotations: int = 30, results: int = 90) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Three videos, one of them without objects, and four categories, one of them without annotations."""
    rng = np.random.default_rng(seed)
    lengths = {5: 4, 2: 3, 9: 6}
    truth, found = [], []
    for i in range(annotations):
        video_id = int(rng.choice([5, 2]))
        masks = track(rng, lengths[video_id])
        truth.append(
            {
                "id": i + 1,
                "video_id": video_id,
                "category_id": int(rng.choice([1, 3, 7])),
                "iscrowd": int(rng.random() < 0.1),
                "segmentations": masks,
                "areas": [None if mask is None else int(mask_api.area(mask)) for mask in masks],
                "bboxes": [None] * len(masks),
                "occlusion": [LABELS[k] for k in rng.integers(0, 4 if i % 5 else 1, len(masks))],
            }
        )
    for _ in range(results):
        video_id = int(rng.choice([5, 2, 9], p=(0.6, 0.3, 0.1)))
        score = float(rng.choice([0.1, 0.4, 0.5, 0.9, rng.random()]))
        category_id = int(rng.choice([1, 3, 7, 8], p=(0.6, 0.2, 0.1, 0.1)))
        masks = track(rng, lengths[video_id])
        found.append({"video_id": video_id, "category_id": category_id, "score": score, "segmentations": masks})
    dataset = {
        "videos": [{"id": i, "width": SIZE, "height": SIZE, "length": length} for i, length in lengths.items()],
        "categories": [{"id": i, "name": f"class {i}"} for i in (7, 1, 3, 8)],
        "annotations": truth,
    }
    return dataset, found


def write(folder: Path, truth: dict[str, Any], found: list[dict[str, Any]]) -> Request:
    (folder / "gt.json").write_text(json.dumps(truth))
    (folder / "results.json").write_text(json.dumps(found))
    return Request(gt=folder / "gt.json", pred=folder / "results.json")


def assert_same_bits(request: Request, truth: dict[str, Any], found: list[dict[str, Any]], official: bool) -> None:
    expected = official_eval(copy.deepcopy(truth), copy.deepcopy(found))
    job = VideoApJob("ytvis", Request(request.gt, request.pred, official=official))
    curves = Curves.of(match for i in range(len(job.units)) for match in job.score(i).matches)
    columns = [expected.params.catIds.index(category) for category in curves.categories]
    precision, recall = expected.eval["precision"], expected.eval["recall"]
    np.testing.assert_array_equal(np.nan_to_num(curves.precision, nan=-1), precision[:, :, columns][..., 2])
    np.testing.assert_array_equal(np.nan_to_num(curves.recall, nan=-1), recall[:, columns])
    assert set(np.unique(np.delete(precision, columns, axis=2))) <= {-1}


@needs_mmdet
@pytest.mark.parametrize("seed", range(8))
def test_precision_and_recall_have_the_bits_of_the_official_ones(tmp_path: Path, seed: int) -> None:
    truth, found = world(seed)
    assert_same_bits(write(tmp_path, truth, found), truth, found, official=False)


@needs_mmdet
def test_only_a_hundred_predictions_of_a_video_and_category_count(tmp_path: Path) -> None:
    truth, found = world(99, annotations=12, results=400)
    assert_same_bits(write(tmp_path, truth, found), truth, found, official=False)


@needs_mmdet
@pytest.mark.parametrize("seed", range(8))
def test_compat_official_has_the_bits_of_the_official_on_broken_input(tmp_path: Path, seed: int) -> None:
    """Ids that are 0 or shared, tracks too short or long, other mask sizes, NaN, unknown categories."""
    rng = np.random.default_rng(seed)
    truth, found = world(seed)
    truth["annotations"][3]["id"] = 0
    for i in (5, 6, 7):
        truth["annotations"][i]["id"] = truth["annotations"][i + 10]["id"]
    truth["annotations"][8]["category_id"] = 4
    for record in found[::4]:
        masks = record["segmentations"]
        masks[:] = masks[: rng.integers(1, len(masks))] if rng.random() < 0.5 else [*masks, PLACES[0]]
    for record in found[::3]:
        record["segmentations"][0] = square(0, 0, 90, size=200)
    for record in found[::7]:
        record["score"] = float(rng.choice([np.nan, np.inf]))
    found[11]["category_id"] = 5
    assert_same_bits(write(tmp_path, truth, found), truth, found, official=True)


@needs_mmdet
@pytest.mark.parametrize("seed", range(5))
def test_ovis_equals_the_official_run_once_for_each_range_of_occlusion(tmp_path: Path, seed: int) -> None:
    truth, found = world(seed)
    request = write(tmp_path, truth, found)
    summary = evaluate("ovis", request.gt, request.pred).summary
    expected = official_summary(truth, found, by_occlusion=True)
    assert summary == expected
    dataset = read_ytvis(request.gt)
    scores = tube_ap(dataset.tubes(), read_ytvis_results(request.pred, dataset), by_occlusion=True)
    assert [scores.ap, scores.ar10, *scores.ap_by_occlusion] == [*map(expected.get, ("AP", "AR10", *GROUPS))]
    assert len({summary[name] for name in ("AP", *GROUPS)}) == 4


@needs_mmdet
@pytest.mark.parametrize("protocol", [YTVIS, OVIS])
def test_verify_finds_no_difference_and_sees_one(tmp_path: Path, protocol: Any) -> None:
    request = write(tmp_path, *world(0))
    scores = evaluate(protocol.name, request.gt, request.pred)
    assert protocol.verify(request, scores) == 0
    other = write(tmp_path, *world(1))
    assert protocol.verify(other, scores) > 0.001
