"""Orders as lists, clusters and masks give them, and what of real scenes a wrong order scores."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as mask_api

from eval.evaluation import evaluate
from eval.occlusion import order_from_clusters, order_from_lists, order_from_masks, pairs_told_apart
from eval.readers.cocoa import REGION_STEP
from eval.rle import Rle

SHARED = Path(os.environ.get("VOS_OCC_DATA", Path(__file__).parents[2] / ".." / "shared"))
COCOA_DEMO = SHARED / "data" / "cocoa_demo"


def mask(picture: str) -> Rle:
    rows = [[c == "#" for c in row] for row in picture.split()]
    rle = mask_api.encode(np.asfortranarray(rows, np.uint8))
    return {"size": list(rle["size"]), "counts": rle["counts"].decode()}


LEFT, MIDDLE, RIGHT = mask("####....."), mask("..#####.."), mask(".....####")


def pairs(order: np.ndarray) -> list[tuple[int, int]]:
    return [tuple(pair) for pair in np.argwhere(order).tolist()]


def test_lists_name_what_is_behind_and_others_are_left_out() -> None:
    order = order_from_lists([7, 8, 9], [[8, 99, 7], None, [8]])
    assert pairs(order) == [(0, 1), (2, 1)]


@pytest.mark.parametrize(
    ("situation", "clusters", "expected"),
    [
        ("the lower place is in front, where masks touch", [(1, 1), (1, 2), (1, 3)], [(0, 1), (1, 2)]),
        ("other clusters have no order", [(1, 1), (2, 2), (1, 3)], []),
        ("place 0 touches nothing", [(1, 0), (1, 1), (1, 2)], [(1, 2)]),
        ("one place has no order", [(1, 1), (1, 1), (1, 2)], [(1, 2)]),
    ],
)
def test_clusters_of_kins(situation: str, clusters: list, expected: list) -> None:
    assert pairs(order_from_clusters(clusters, [LEFT, MIDDLE, RIGHT])) == expected, situation


def test_no_clusters_have_no_order() -> None:
    assert order_from_clusters([], []).shape == (0, 0)


@pytest.mark.parametrize(
    ("situation", "visible", "expected"),
    [
        ("each behind the next", [mask("##......."), mask("..###...."), RIGHT], [(1, 0), (2, 1)]),
        ("the middle in front", [mask("##......."), MIDDLE, mask(".......##")], [(1, 0), (1, 2)]),
        ("equal parts of both", [mask("###......"), mask("...####.."), mask(".......##")], [(1, 2)]),
    ],
)
def test_masks_imply_an_order(situation: str, visible: list[Rle], expected: list) -> None:
    assert pairs(order_from_masks([LEFT, MIDDLE, RIGHT], visible)) == expected, situation


def test_pairs_agree_in_direction_or_in_having_none() -> None:
    true = order_from_lists([0, 1, 2, 3], [[1], [2], [], []])
    told = order_from_lists([0, 1, 2, 3], [[1], [], [1, 3], []])
    assert pairs_told_apart(true, told) == (4, 6), "1 and 2 the wrong way, 2 and 3 touch nowhere"
    assert pairs_told_apart(np.zeros((1, 1)), np.zeros((1, 1))) == (0, 0)


@pytest.mark.skipif(not COCOA_DEMO.exists(), reason=f"no COCOA sample at {COCOA_DEMO}")
def test_order_of_real_scenes_told_right_and_told_by_the_lower_edge(tmp_path: Path) -> None:
    """50 pairs of regions of COCOA's demo images overlap; in 24 the one whose visible box ends lower is in front."""
    annotations = [json.loads(path.read_text()) for path in sorted(COCOA_DEMO.glob("*.json"))]
    images, right, wrong = [], [], []
    for raw in annotations:
        height, width = next(r["visible_mask"]["size"] for r in raw["regions"] if "visible_mask" in r)
        images.append({"id": raw["image_id"], "height": height, "width": width})
        ids = [REGION_STEP * raw["id"] + place for place in range(1, len(raw["regions"]) + 1)]
        for place, region in enumerate(raw["regions"]):
            record = {"image_id": raw["image_id"], "annotation_id": ids[place]}
            record["segmentation"] = region["segmentation"]
            right.append(record | {"in_front_of": ids[place + 1 :]})
            wrong.append(record | {"in_front_of": ids[:place]})
    summaries = []
    (tmp_path / "gt.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    for told in (right, wrong):
        (tmp_path / "pred.json").write_text(json.dumps(told))
        scores = evaluate("occlusion_levels", tmp_path / "gt.json", tmp_path / "pred.json", options={"min_height": "0"})
        summaries.append(scores.summary)
    assert [s["amodal_mIoU"] for s in summaries] == [1, 1]
    assert [s["order_accuracy"] for s in summaries] == [1, 0]
    assert [(s["order_pairs"], s["order_baseline"]) for s in summaries] == [(50, 0.48)] * 2
