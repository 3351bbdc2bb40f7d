"""AP of COCO files: the hundred published images, random scenes, and input that is wrong, against pycocotools."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as mask_api
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import eval.protocols.coco as coco_protocol
from eval import evaluate
from eval.average_precision import Curves
from eval.errors import RequestError, SchemaError
from eval.protocols.protocol import Request
from eval.rle import Rle
from eval.scores import Scores

SHARED = Path(os.environ.get("VOS_OCC_DATA", Path(__file__).parents[2] / ".." / "shared"))
COCO_100 = SHARED / "fixtures" / "coco_val2014_100"
TRUTH = COCO_100 / "instances_val2014_100.json"
NAMES = coco_protocol.NAMES

needs_coco = pytest.mark.skipif(not COCO_100.exists(), reason=f"no COCO sample at {COCO_100}")


def results_100(iou: str) -> Path:
    return COCO_100 / f"instances_val2014_fake{iou}100_results.json"


def official(truth: Path, results: Path, iou: str = "segm") -> COCOeval:
    """pycocotools on files, without its printing."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(truth))
        evaluation = COCOeval(coco, coco.loadRes(str(results)), iou)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def assert_equals_official(scores: Scores, evaluation: COCOeval) -> None:
    ours = [-1 if value is None else value for value in scores.summary.values()]
    np.testing.assert_allclose(ours, evaluation.stats, rtol=0, atol=1e-12)


# Of the fixture, by pycocotools 2.0.11: COCOeval(COCO(truth), truth.loadRes(results), iou).
PUBLISHED = {
    "segm": (0.319545, 0.562288, 0.298927, 0.387374, 0.310183, 0.326934)
    + (0.268230, 0.415449, 0.416839, 0.469450, 0.376759, 0.381472),
    "bbox": (0.504581, 0.696973, 0.572982, 0.585626, 0.519400, 0.501398)
    + (0.386813, 0.593680, 0.595353, 0.639811, 0.566421, 0.564291),
}


@needs_coco
@pytest.mark.parametrize("iou", ["segm", "bbox"])
def test_a_hundred_coco_images_score_as_published(iou: Any) -> None:
    request = Request(TRUTH, results_100(iou), options={"iou": iou})
    job = coco_protocol.COCO.open(request)
    partials = [job.score(i) for i in range(len(job.units))]
    scores, evaluation = job.combine(partials), official(TRUTH, results_100(iou), iou)
    assert tuple(scores.summary) == NAMES
    np.testing.assert_allclose(list(scores.summary.values()), PUBLISHED[iou], rtol=0, atol=1e-6)
    assert_equals_official(scores, evaluation)

    curves = Curves.of(match for partial in partials for match in partial)
    precision, recall = evaluation.eval["precision"][..., -1], evaluation.eval["recall"]
    columns = [evaluation.params.catIds.index(category) for category in curves.categories]
    np.testing.assert_array_equal(np.nan_to_num(curves.precision, nan=-1), precision[:, :, columns])
    np.testing.assert_array_equal(np.nan_to_num(curves.recall, nan=-1), recall[:, columns])
    absent = np.delete(np.arange(precision.shape[2]), columns)
    assert (precision[:, :, absent] == -1).all()


# By faster-coco-eval 1.8.0: COCOeval_faster(COCO(truth), truth.loadRes(results), "boundary"), stats[:12].
BOUNDARY = (
    *(0.22639400050237551, 0.3775010774391817, 0.2255798462421854, 0.3873740315997838, 0.2723674031279294),
    *(0.07554378414806898, 0.18722550309388875, 0.31265229701106306, 0.3140431150818811, 0.4694498622754236),
    *(0.34054347826086956, 0.10387037037037035),
)


@needs_coco
def test_boundary_ap_of_a_hundred_coco_images() -> None:
    scores = evaluate("coco_boundary", TRUTH, results_100("segm"))
    np.testing.assert_allclose(list(scores.summary.values()), BOUNDARY, rtol=0, atol=1e-12)


@needs_coco
def test_verify_finds_no_difference_to_pycocotools_and_notices_one() -> None:
    scores = evaluate("coco", TRUTH, results_100("segm"))
    verify = coco_protocol.COCO.verify
    assert verify is not None
    request = Request(TRUTH, results_100("segm"))
    assert verify(request, scores) <= 1e-12
    wrong = Scores("coco", "", scores.summary, {**scores.classes, "person": {**scores.classes["person"], "AP": 0.0}})
    assert verify(request, wrong) == pytest.approx(scores.classes["person"]["AP"])


@needs_coco
def test_scores_do_not_depend_on_the_number_of_workers() -> None:
    assert evaluate("coco", TRUTH, results_100("segm"), workers=2) == evaluate("coco", TRUTH, results_100("segm"))


SIZE = 100


def rectangle(left: int, top: int, right: int, bottom: int, size: int = SIZE) -> Rle:
    pixels = np.zeros((size, size), np.uint8, order="F")
    pixels[top:bottom, left:right] = 1
    rle = mask_api.encode(pixels)
    return {"size": [size, size], "counts": rle["counts"].decode()}


def scene(folder: Path, seed: int = 0, images: int = 60) -> tuple[Path, Path]:
    """Rectangles of three classes on a coarse grid, so that IoUs and scores tie; some are crowds, half are found."""
    rng = np.random.default_rng(seed)
    sides: dict[str, list[dict]] = {"truth": [], "results": []}
    for side, count in (("truth", 4 * images), ("results", 12 * images)):
        for i in range(count):
            left, top = (int(v) for v in rng.integers(0, 3, 2) * 10)
            width, height = (int(v) for v in rng.integers(1, 5, 2) * 12)
            record: dict[str, Any] = {
                "image_id": int(rng.integers(images)),
                "category_id": int(rng.integers(1, 4)),
                "segmentation": rectangle(left, top, left + width, top + height),
            }
            if side == "truth":
                record |= {"id": i + 1, "iscrowd": int(rng.random() < 0.15), "area": width * height}
            else:
                if i % 6 == 0:
                    record = {key: sides["truth"][i // 3][key] for key in record}
                record |= {"score": float(rng.choice([0.2, 0.5, 0.9]))}
            sides[side].append(record)
    document = {
        "images": [{"id": i, "height": SIZE, "width": SIZE} for i in range(images)],
        "categories": [{"id": i, "name": name} for i, name in enumerate(("car", "dog", "kite", "owl"), 1)],
        "annotations": sides["truth"],
    }
    (folder / "truth.json").write_text(json.dumps(document))
    (folder / "results.json").write_text(json.dumps(sides["results"]))
    return folder / "truth.json", folder / "results.json"


@pytest.mark.parametrize("iou", ["segm", "bbox"])
@pytest.mark.parametrize("seed", range(3))
def test_random_scenes_with_ties_and_crowds_score_as_pycocotools_has_them(seed: int, iou: str, tmp_path: Path) -> None:
    def boxed(document: Any) -> None:
        for record in document if isinstance(document, list) else document["annotations"]:
            record["bbox"] = mask_api.toBbox(record.pop("segmentation")).tolist()

    truth, results = scene(tmp_path, seed)
    if iou == "bbox":
        change(truth, boxed)
        change(results, boxed)
    scores = evaluate("coco", truth, results, options={"iou": iou})
    assert_equals_official(scores, official(truth, results, iou))
    assert scores.summary["AP"]
    assert scores.classes["owl"] == dict.fromkeys(NAMES)


Change = Callable[[Any], object]


def change(path: Path, how: Change) -> None:
    document = json.loads(path.read_text())
    how(document)
    path.write_text(json.dumps(document))


def changed(folder: Path, side: str, how: Change, **options: Any) -> tuple[Path, Path]:
    paths = scene(folder, images=3, **options)
    change(paths[side == "results"], how)
    return paths


@pytest.mark.parametrize(
    ("side", "how", "message"),
    [
        ("results", lambda d: d[5].update(image_id=9), r"^\[5\].image_id is 9, but no image has this id \(results"),
        ("results", lambda d: d[5].update(category_id=9), r"^\[5\].category_id is 9, but no category has this id"),
        ("results", lambda d: d[5].update(score=float("nan")), r"^\[5\].score is NaN, expected a finite number"),
        ("results", lambda d: d[5].pop("score"), r"^\[5\].score is missing \(results.json\)"),
        (
            "results",
            lambda d: d[5].update(segmentation=rectangle(0, 0, 5, 5, 50)),
            r"^\[5\].segmentation has size \[50, 50\], but its image has \[height, width\] \[100, 100\]",
        ),
        (
            "results",
            lambda d: d[5].update(segmentation=None, bbox=[0, 0, 5, 5]),
            r"^\[5\].segmentation is missing \(results.json\). Add the mask, or score boxes \(option iou=bbox\)",
        ),
        ("results", lambda d: d.append(3), r"^\[36\] is 3, expected an object"),
        ("truth", lambda d: d.pop("annotations"), r"truth.json has no annotations to score against"),
        ("truth", lambda d: d.update(annotations=[]), r"truth.json has no annotations to score against"),
        ("truth", lambda d: d["annotations"][4].update(image_id=9), r"annotations\[4\].image_id is 9, but no image"),
        ("truth", lambda d: d["annotations"][4].update(id=1), r"annotations\[4\].id is 1, as that of annotations\[0\]"),
        ("truth", lambda d: d.pop("images"), r"images is missing \(truth.json\)"),
    ],
)
@pytest.mark.parametrize("protocol", ["coco", "coco_boundary"])
def test_files_that_do_not_fit_are_named(protocol: str, side: str, how: Change, message: str, tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=message):
        evaluate(protocol, *changed(tmp_path, side, how))


def test_a_file_of_the_other_side_is_named(tmp_path: Path) -> None:
    truth, _ = scene(tmp_path, images=1)
    with pytest.raises(SchemaError, match="truth.json holds an object, expected a list of detections"):
        evaluate("coco", truth, truth)


def test_without_detections_classes_with_truth_score_zero(tmp_path: Path) -> None:
    scores = evaluate("coco", *changed(tmp_path, "results", lambda d: d.clear()))
    assert scores.summary["AP"] == scores.summary["AR100"] == scores.classes["car"]["AP"] == 0
    assert scores.classes["owl"]["AP"] is None


def regular(document: dict) -> list[dict]:
    return [annotation for annotation in document["annotations"][::2] if not annotation["iscrowd"]]


def repeat_an_id(document: dict) -> None:
    first, second, *_ = regular(document)
    second["id"] = first["id"]


def lend_a_box(results: list[dict]) -> None:
    for result in results:
        result["bbox"] = [0.0, 0.0, 100.0, 100.0]


@pytest.mark.parametrize(
    ("side", "how"),
    [
        ("results", lambda d: d[5].update(category_id=9)),
        ("results", lambda d: [record.update(score=float("nan")) for record in d[::3]]),
        ("results", lambda d: [record.update(segmentation=rectangle(0, 0, 50, 50, 50)) for record in d[::2]]),
        ("results", lend_a_box),
        ("truth", lambda d: d["annotations"][4].update(category_id=9)),
        ("truth", lambda d: d["annotations"][4].update(image_id=9)),
        ("truth", lambda d: regular(d)[0].update(id=0)),
        ("truth", repeat_an_id),
    ],
    ids=["category", "NaN", "size", "boxes", "true category", "true image", "id 0", "same id"],
)
def test_compat_official_does_what_pycocotools_does(side: str, how: Change, tmp_path: Path) -> None:
    plain = evaluate("coco", *scene(tmp_path, images=3))
    truth, results = changed(tmp_path, side, how)
    scores = evaluate("coco", truth, results, compat="official")
    assert scores.summary != plain.summary
    assert_equals_official(scores, official(truth, results))


def test_a_mask_is_as_large_as_itself_whatever_box_comes_with_it(tmp_path: Path) -> None:
    plain = evaluate("coco", *scene(tmp_path, images=3))
    truth, results = changed(tmp_path, "results", lend_a_box)
    scores = evaluate("coco", truth, results)
    assert scores == plain
    verify = coco_protocol.COCO.verify
    assert verify is not None
    assert verify(Request(truth, results), scores) <= 1e-12


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (lambda d: d[5].update(image_id=9), "pycocotools ends with AssertionError: Results do not correspond"),
        (lambda d: d.clear(), "pycocotools ends with an IndexError"),
    ],
)
def test_compat_official_ends_where_pycocotools_ends(how: Change, message: str, tmp_path: Path) -> None:
    truth, results = changed(tmp_path, "results", how)
    with pytest.raises((AssertionError, IndexError)):
        official(truth, results)
    with pytest.raises(RequestError, match=message):
        evaluate("coco", truth, results, compat="official")


def test_only_by_boundary_annotations_may_be_ignored_without_being_crowds(tmp_path: Path) -> None:
    def ignore_first(document: dict) -> None:
        regular(document)[0]["ignore"] = 1

    truth, results = scene(tmp_path, images=3)
    before = [evaluate(protocol, truth, results) for protocol in ("coco", "coco_boundary")]
    change(truth, ignore_first)
    after = [evaluate(protocol, truth, results) for protocol in ("coco", "coco_boundary")]
    assert after[0] == before[0]
    assert after[1] != before[1]


def test_an_unknown_choice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="Option iou is 'keypoints', expected one of: segm, bbox"):
        evaluate("coco", *scene(tmp_path, images=1), options={"iou": "keypoints"})
