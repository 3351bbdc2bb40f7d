"""Panoptic Quality from files: the published sample, results of every kind of error, and files that do not fit."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from eval import evaluate
from eval.errors import EvalError, RequestError, SchemaError
from eval.scores import Scores

SHARED = Path(os.environ.get("VOS_OCC_DATA", Path(__file__).parents[2] / ".." / "shared"))
SAMPLE = SHARED / "fixtures" / "panopticapi_sample" / "panoptic_examples.json"
COCO_128 = SHARED / "data" / "coco128" / "panoptic_segmentation" / "annotations" / "panoptic_val2017.json"
QUALITIES = ("PQ", "SQ", "RQ", "PQ_th", "SQ_th", "RQ_th", "PQ_st", "SQ_st", "RQ_st")


def write_png(path: Path, ids: NDArray) -> None:
    channels = np.stack([ids & 255, ids >> 8 & 255, ids >> 16], axis=-1).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(channels).save(path)


def read_png(path: Path) -> NDArray[np.int64]:
    channels = np.asarray(Image.open(path)).astype(np.int64)
    return channels[..., 0] + 256 * channels[..., 1] + 65536 * channels[..., 2]


def degrade(path: Path, folder: Path, seed: int) -> Path:
    """Results with every kind of error: maps are shifted, segments are lost, mistaken for another class and split."""
    rng = np.random.default_rng(seed)
    document = json.loads(path.read_text())
    classes = sorted({s["category_id"] for a in document["annotations"] for s in a["segments_info"]})
    annotations = []
    for annotation in document["annotations"]:
        ids = read_png(path.with_suffix("") / annotation["file_name"])
        result = np.zeros_like(ids)
        segments = []
        for k, segment in enumerate(annotation["segments_info"], 1):
            lost, mistaken, split = rng.random(3) < (0.1, 0.15, 0.2)
            category = int(rng.choice(classes)) if mistaken else segment["category_id"]
            rows, columns = np.nonzero(ids == segment["id"])
            halves = (columns > np.median(columns)) & split
            result[rows, columns] = np.where(lost, 0, k + 1000 * halves)
            segments += [{"id": k + 1000 * half, "category_id": category} for half in (0, 1)]
        result = np.roll(result, tuple(rng.integers(-6, 7, 2)), axis=(0, 1))
        write_png(folder / "results" / annotation["file_name"], result)
        shown = set(np.unique(result).tolist())
        kept = [segment for segment in segments if segment["id"] in shown]
        names = {"image_id": annotation["image_id"], "file_name": annotation["file_name"]}
        annotations.append({**names, "segments_info": kept})
    (folder / "results.json").write_text(json.dumps({"annotations": annotations}))
    return folder / "results.json"


@pytest.mark.skipif(not SAMPLE.exists(), reason=f"no panoptic sample at {SAMPLE}")
@pytest.mark.parametrize("protocol", ["coco_panoptic", "cityscapes_panoptic"])
def test_the_published_sample_against_itself_is_perfect(protocol: str) -> None:
    scores = evaluate(protocol, SAMPLE, SAMPLE)
    assert [scores.summary[name] for name in QUALITIES] == [1.0] * 9
    assert [scores.summary[name] for name in ("n", "n_th", "n_st")] == [8, 4, 4]
    assert scores.classes["person"]["PQ"] == 1
    assert scores.classes["bicycle"] == {"PQ": None, "SQ": None, "RQ": None, "TP": 0, "FP": 0, "FN": 0}


# Results of `degrade`, scored by cityscapesscripts 2.3.0 (Python 3.11, numpy 2.4.6):
# python -m cityscapesscripts.evaluation.evalPanopticSemanticLabeling --gt-json-file panoptic_examples.json \
#   --prediction-json-file results.json --results_file out.json
DEGRADED = {
    "sample 0": (
        *(0.2682940952939516, 0.5494697023377566, 0.3678571428571428, 0.29179207832918735, 0.5317073792103773),
        *(0.4107142857142857, 0.24479611225871584, 0.5672320254651362, 0.325),
    ),
    "sample 1": (
        *(0.29627899197177743, 0.5756123588076355, 0.3939393939393939, 0.35765209651078256, 0.5306038638369823),
        *(0.5045454545454545, 0.23490588743277235, 0.6206208537782886, 0.2833333333333333),
    ),
    "COCO 0": (
        *(0.3584268368556716, 0.7130342457334551, 0.44443426753412046, 0.3235658637346114, 0.710015094698193),
        *(0.40981641852883777, 0.4066958765617551, 0.7172146087053574, 0.49236667384912763),
    ),
}


@pytest.mark.parametrize("case", DEGRADED)
def test_results_with_errors_score_as_the_official_evaluator_has_them(case: str, tmp_path: Path) -> None:
    truth = SAMPLE if case.startswith("sample") else COCO_128
    if not truth.exists():
        pytest.skip(f"no panoptic annotations at {truth}")
    scores = evaluate("cityscapes_panoptic", truth, degrade(truth, tmp_path, int(case[-1])))
    np.testing.assert_allclose([scores.summary[name] for name in QUALITIES], DEGRADED[case], rtol=0, atol=1e-12)


def write_scenes(folder: Path, seed: int, count: int = 60) -> tuple[Path, Path]:
    """Tiny maps of blocks with void, crowds (several of one class in an image) and ties at an IoU of exactly .5."""
    rng = np.random.default_rng(seed)
    sides: dict[str, list[dict]] = {"truth": [], "results": []}
    for image in range(count):
        blocks = rng.integers(0, 7, (3, 4))
        for side, records in sides.items():
            redrawn = (rng.random((3, 4)) < 0.3) & (side == "results")
            ids = np.kron(np.where(redrawn, rng.integers(0, 7, (3, 4)), blocks), np.ones((4, 3), np.int64))
            numbers, pixels = np.unique(ids, return_counts=True)
            segments = [
                {
                    "id": int(number),
                    "category_id": int(number + (rng.random() < 0.1)) % 3 + 1,
                    "area": int(area),
                    "iscrowd": int(side == "truth" and rng.random() < 0.3),
                }
                for number, area in zip(numbers, pixels, strict=True)
                if number
            ]
            write_png(folder / side / f"{image}.png", ids)
            records.append({"image_id": image, "file_name": f"{image}.png", "segments_info": segments})
    categories = [{"id": i, "name": name, "isthing": int(i < 3)} for i, name in enumerate(("car", "dog", "sky"), 1)]
    for side, records in sides.items():
        (folder / f"{side}.json").write_text(json.dumps({"categories": categories, "annotations": records}))
    return folder / "truth.json", folder / "results.json"


# cityscapesscripts 2.3.0 on these files, as above.
SCENES = (
    *(0.42842755527523746, 0.9001504105915871, 0.4758246609902239, 0.44206990434142757, 0.9114756158873806),
    *(0.48516556291390733, 0.40114285714285713, 0.8775000000000001, 0.45714285714285713),
)


def test_void_crowds_and_ties_count_as_the_official_evaluator_has_them(tmp_path: Path) -> None:
    scores = evaluate("coco_panoptic", *write_scenes(tmp_path, 0))
    np.testing.assert_allclose([scores.summary[name] for name in QUALITIES], SCENES, rtol=0, atol=1e-12)
    # Its counts are not in its output; these give its qualities.
    assert {name: (c["TP"], c["FP"], c["FN"]) for name, c in scores.classes.items()} == {
        "car": (39, 42, 30),
        "dog": (34, 50, 33),
        "sky": (40, 52, 43),
    }


def test_scores_do_not_depend_on_the_number_of_workers(tmp_path: Path) -> None:
    truth, results = write_scenes(tmp_path, 1)
    assert evaluate("coco_panoptic", truth, results, workers=2) == evaluate("coco_panoptic", truth, results)


Change = Callable[[dict[str, Any]], object]


def score_changed(folder: Path, change: Change, side: str = "results", **options: Any) -> Scores:
    """Scores after one side's JSON was changed."""
    truth, results = write_scenes(folder, 0, count=3)
    path = folder / f"{side}.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    return evaluate("coco_panoptic", truth, results, **options)


def first_segments(document: dict[str, Any]) -> list[dict]:
    return document["annotations"][0]["segments_info"]


@pytest.mark.parametrize(
    ("side", "change", "message"),
    [
        (
            "results",
            lambda d: first_segments(d).append({"id": 9, "category_id": 1}),
            r"annotations\[0\].segments_info has segment 9, which results/0.png does not show \(results.json\)",
        ),
        (
            "results",
            lambda d: first_segments(d).pop(0),
            r"annotations\[0\].segments_info has no segment 1, which results/0.png shows \(results.json\)",
        ),
        (
            "results",
            lambda d: first_segments(d)[0].update(category_id=7),
            r"segments_info\[0\].category_id is 7, but no category has this id",
        ),
        (
            "results",
            lambda d: first_segments(d)[1].update(id=1),
            r"segments_info\[1\].id is 1, as that of another segment",
        ),
        ("results", lambda d: first_segments(d)[0].update(id=0), r"segments_info\[0\].id is 0, expected 1 to 16777215"),
        (
            "results",
            lambda d: d["annotations"][0].update(segments_info=None),
            r"annotations\[0\].segments_info is null, expected a list",
        ),
        (
            "results",
            lambda d: d["annotations"].pop(),
            r"results.json has no predictions for 1 of 3 images, first 2. Add them",
        ),
        (
            "results",
            lambda d: d["annotations"].append({**d["annotations"][0], "image_id": "x"}),
            r"results.json has 1 images that truth.json does not, first x",
        ),
        (
            "results",
            lambda d: d["annotations"].append(d["annotations"][0]),
            r"annotations\[3\].image_id is 0, as that of annotations\[0\]",
        ),
        (
            "results",
            lambda d: d["annotations"][0].update(file_name="absent.png"),
            r"There is no file '.*absent.png', which the JSON names",
        ),
        ("results", lambda d: d["annotations"][0].update(image_id=None), r"image_id is null, expected a number or a"),
        ("results", lambda d: d.pop("annotations"), r"annotations is missing \(results.json\)"),
        (
            "truth",
            lambda d: first_segments(d)[0].update(area=1),
            r"segments_info\[0\].area is 1, but truth/0.png shows \d+ pixels of it",
        ),
        ("truth", lambda d: first_segments(d).pop(0), r"has no segment 1, which truth/0.png shows \(truth.json\)"),
        ("truth", lambda d: d.update(annotations=[]), r"truth.json has no annotations to score against"),
        ("truth", lambda d: d.pop("categories"), r"categories is missing \(truth.json\)"),
    ],
)
def test_files_that_do_not_fit_are_named(side: str, change: Change, message: str, tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=message):
        score_changed(tmp_path, change, side)


def test_maps_that_are_no_maps_are_named(tmp_path: Path) -> None:
    truth, results = write_scenes(tmp_path, 0, count=1)
    png = tmp_path / "results" / "0.png"
    for content, message in (
        (Image.new("L", (12, 12)), r"results/0.png' has mode L, expected RGB"),
        (Image.new("RGB", (6, 6), (5, 0, 0)), r"annotations\[0\].file_name is 6 x 6 pixels, but .* image 0 is 12 x 12"),
    ):
        content.save(png)
        document = json.loads(results.read_text())
        document["annotations"][0]["segments_info"] = [{"id": 5, "category_id": 1}]
        results.write_text(json.dumps(document))
        with pytest.raises(SchemaError, match=message):
            evaluate("coco_panoptic", truth, results)
    png.write_bytes(b"none")
    with pytest.raises(SchemaError, match=r"results/0.png' is no image in PNG format"):
        evaluate("coco_panoptic", truth, results)


def test_an_image_without_predictions_may_count_as_empty(tmp_path: Path) -> None:
    whole = score_changed(tmp_path, lambda d: None)
    scores = score_changed(tmp_path, lambda d: d["annotations"].pop(), allow_missing=True)
    assert scores.warnings == ("1 images have no predictions, first 2.",)
    assert sum(c["FN"] for c in scores.classes.values()) > sum(c["FN"] for c in whole.classes.values())


def test_compat_official_lets_pass_what_panopticapi_lets_pass(tmp_path: Path) -> None:
    def official(change: Change, side: str) -> Scores:
        return score_changed(tmp_path, change, side, compat="official")

    whole = score_changed(tmp_path, lambda d: None)
    assert official(lambda d: d["annotations"].append({**d["annotations"][0], "image_id": 9}), "results") == whole
    missed = official(lambda d: first_segments(d).append({"id": 9, "category_id": 3, "area": 1, "iscrowd": 0}), "truth")
    assert missed.classes["sky"]["FN"] == whole.classes["sky"]["FN"] + 1
    with pytest.raises(SchemaError, match="does not show"):
        official(lambda d: first_segments(d).append({"id": 9, "category_id": 1}), "results")


def test_without_any_segment_no_mean_is_defined(tmp_path: Path) -> None:
    document = {
        "categories": [{"id": 1, "name": "car", "isthing": 1}],
        "annotations": [{"image_id": 0, "file_name": "0.png", "segments_info": []}],
    }
    (tmp_path / "empty.json").write_text(json.dumps(document))
    write_png(tmp_path / "empty" / "0.png", np.zeros((4, 4), np.int64))
    scores = evaluate("coco_panoptic", tmp_path / "empty.json", tmp_path / "empty.json")
    assert scores.summary == {**dict.fromkeys(QUALITIES), "n": 0, "n_th": 0, "n_st": 0}


def test_a_folder_stands_for_the_one_json_file_in_it_and_maps_may_lie_elsewhere(tmp_path: Path) -> None:
    truth, results = write_scenes(tmp_path, 0, count=1)
    expected = evaluate("cityscapes_panoptic", truth, results)
    (tmp_path / "submission").mkdir()
    results.rename(tmp_path / "submission" / "pred.json")
    with pytest.raises(RequestError, match=r"no folder '.*pred' with the PNG files of pred.json"):
        evaluate("cityscapes_panoptic", truth, tmp_path / "submission")
    options = {"pred_folder": str(tmp_path / "results")}
    assert evaluate("cityscapes_panoptic", truth, tmp_path / "submission", options=options) == expected
    (tmp_path / "submission" / "more.json").write_text("{}")
    with pytest.raises(EvalError, match="holds 2 JSON files, expected one"):
        evaluate("cityscapes_panoptic", truth, tmp_path / "submission", options=options)
