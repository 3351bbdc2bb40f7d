from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.evaluator import Evaluator
from mmengine.structures import InstanceData

from eval.errors import EvalError
from eval.evaluation import evaluate
from eval.readers.coco import read_coco
from eval.readers.ytvis import YtvisDataset
from vos_occ.results.coco_results import coco_results, write_coco_results
from vos_occ.results.jsonl import read_jsonl
from vos_occ.scoring import score_dataset
from vos_occ.structures import rle
from vos_occ.structures.errors import InputError, OutputExistsError, UserError
from vos_occ.validation import OccImageMetric, OccImages, OccVideoMetric, OccVideos
from vos_occ.validation.written import WrittenVideo


@pytest.fixture(scope="module")
def written(truth: YtvisDataset, results: Path) -> list[WrittenVideo]:
    return [WrittenVideo.read(video.id, results) for video in truth.videos]


@pytest.fixture
def video_metric(truth: YtvisDataset) -> Callable[..., OccVideoMetric]:
    def build(**arguments: Any) -> OccVideoMetric:
        metric = OccVideoMetric(**arguments)
        metric.dataset_meta = OccVideos(truth.path, "frames").metainfo
        return metric

    return build


def test_video_metrics_are_those_of_test_video(
    video_metric: Callable, written: list[WrittenVideo], truth: YtvisDataset, results: Path
) -> None:
    metric = video_metric()
    for video in written:
        metric.process([], [video])
    metrics = metric.evaluate(len(written))
    expected = {**evaluate("ytvis", truth.path, results / "results.json").summary}
    expected |= {k: v for k, v in score_dataset(truth, results).as_dict().items() if not k.startswith("tube_AP")}
    assert metrics == {f"ytvis/{name}": value for name, value in expected.items()}
    assert next(iter(metrics)) == "ytvis/AP", "what save_best=auto takes"
    assert metric.results == [], "ready for the next validation"


def test_neither_order_nor_repetition_changes_anything(
    video_metric: Callable, written: list[WrittenVideo], truth: YtvisDataset
) -> None:
    """Several processes take videos in turn, and the sampler gives some of them twice so that all have as many."""
    ordered, shuffled = video_metric(), video_metric()
    ordered.process([], written)
    shuffled.process([], [*written[::-1], written[0], written[2]])
    assert ordered.evaluate(3) == shuffled.evaluate(3)


def test_several_metrics_score_the_same_files(truth: YtvisDataset, written: list[WrittenVideo], results: Path) -> None:
    evaluator = Evaluator([OccVideoMetric(), OccVideoMetric("ovis", tracking=False)])
    evaluator.dataset_meta = OccVideos(truth.path, "frames").metainfo
    evaluator.process(written)
    metrics = evaluator.evaluate(3)
    ovis = evaluate("ovis", truth.path, results / "results.json").summary
    assert {name: metrics[f"ovis/{name}"] for name in ovis} == dict(ovis)
    assert metrics["ytvis/AP"] == metrics["ovis/AP"]
    assert "ytvis/IDF1" in metrics and "ovis/IDF1" not in metrics


def test_a_video_that_was_not_run_is_not_scored_as_empty(video_metric: Callable, written: list[WrittenVideo]) -> None:
    metric = video_metric()
    metric.process([], written[:2])
    with pytest.raises(InputError, match="has no results of 1 of 3 videos"):
        metric.evaluate(3)


def test_what_was_scored_can_be_kept(
    video_metric: Callable, written: list[WrittenVideo], results: Path, tmp_path: Path
) -> None:
    metric = video_metric(out_dir=tmp_path, prefix="mine")
    for _ in range(2):  # the second over the first
        metric.process([], written)
        metrics = metric.evaluate(3)
    assert {name.split("/")[0] for name in metrics} == {"mine"}
    for name in ("results.json", "jsonl/1.jsonl", "shards/3.json"):
        assert (tmp_path / name).read_bytes() == (results / name).read_bytes()


@pytest.mark.parametrize(
    ("shard", "kind"),
    [(b"[{}]", UserError), (b'[{"video_id": 1, "category_id": 99, "score": 1, "segmentations": []}]', EvalError)],
    ids=["our writer", "the evaluator"],
)
def test_what_cannot_be_scored_is_reported_in_one_line(
    video_metric: Callable, written: list[WrittenVideo], shard: bytes, kind: type[Exception]
) -> None:
    metric = video_metric()
    metric.process([], [replace(written[0], shard=shard), *written[1:]])
    with pytest.raises(kind) as error:
        metric.evaluate(3)
    assert "json" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (OccVideoMetric, {"protocol": "coco"}, "OccVideoMetric has no protocol 'coco'. Choose one of: ytvis, ovis"),
        (OccImageMetric, {"protocol": "ytvis"}, "OccImageMetric has no protocol 'ytvis'"),
        (OccVideoMetric, {"options": {"area": "vrsp"}}, "ytvis has no option 'area'. Its options: none"),
        (OccImageMetric, {"protocol": "kins", "options": {"iou": "bbox"}}, "kins has no option 'iou'"),
        (OccVideoMetric, {"workers": 0}, "must be at least 1, found 0"),
    ],
)
def test_what_a_metric_cannot_do_is_refused_when_it_is_made(kind: type, arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        kind(**arguments)


# images


@pytest.fixture(scope="module")
def frames(truth: YtvisDataset, results: Path) -> dict[int, Any]:
    """The frames of the videos by the ids that they have as images."""
    found = [frame for v in truth.videos for frame in read_jsonl(results / "jsonl" / f"{v.id}.jsonl").frames]
    return dict(enumerate(found, start=1))


@pytest.fixture
def samples(frames: dict[int, Any]) -> list[DetDataSample]:
    """As an mmdet detector would predict them."""
    return [
        DetDataSample(
            metainfo={"img_id": image_id, "ori_shape": (frame.height, frame.width)},
            pred_instances=InstanceData(
                bboxes=torch.from_numpy(frame.boxes),
                labels=torch.from_numpy(frame.labels),
                scores=torch.from_numpy(frame.scores),
                masks=torch.from_numpy(
                    np.array([rle.decode(mask) for mask in frame.masks]).reshape(-1, frame.height, frame.width) > 0
                ),
            ),
        )
        for image_id, frame in frames.items()
    ]


@pytest.mark.parametrize("protocol", ["coco", "coco_boundary"])
def test_predictions_of_mmdets_detectors_are_scored_in_mmengines_way(
    samples: list[DetDataSample], frames: dict[int, Any], root: Path, tmp_path: Path, protocol: str
) -> None:
    truth = read_coco(root / "annotations_coco.json")
    names = [category.name for category in truth.categories]
    evaluator = Evaluator(OccImageMetric(protocol, ann_file=truth.path, occlusion=False))
    evaluator.dataset_meta = {"classes": tuple(reversed(names))}
    for sample in samples:
        flipped = sample.clone()
        flipped.pred_instances.labels = len(names) - 1 - sample.pred_instances.labels
        evaluator.process([flipped])
    entries = [entry for i, frame in frames.items() for entry in coco_results(frame, i, range(1, 7))]
    write_coco_results(tmp_path / "results.json", entries)
    expected = evaluate(protocol, truth.path, tmp_path / "results.json").summary
    assert evaluator.evaluate(len(samples)) == {f"{protocol}/{name}": value for name, value in expected.items()}
    assert expected["AP"] > 0.1


def test_a_detector_without_masks_is_refused(samples: list[DetDataSample], root: Path) -> None:
    sample = samples[0].to_dict()
    del sample["pred_instances"]["masks"]
    with pytest.raises(InputError, match="the model predicts none"):
        OccImageMetric(ann_file=root / "annotations_coco.json").process([], [sample])


def test_ground_truth_of_another_dataset_must_be_named(samples: list[DetDataSample]) -> None:
    metric = OccImageMetric()
    metric.dataset_meta = {"classes": ("ball",)}
    metric.process([], [sample.to_dict() for sample in samples])
    with pytest.raises(InputError, match="needs the ann_file of the dataset"):
        metric.evaluate(len(samples))


def test_amodal_protocols_take_the_masks_for_amodal_ones(tmp_path: Path, frames: dict[int, Any]) -> None:
    """The truth as a prediction: KINS' `segmentation` is amodal."""
    frame = next(frame for frame in frames.values() if len(frame) > 1)
    image = {"id": 5, "width": frame.width, "height": frame.height, "file_name": "5.png"}
    annotations = [
        {
            "id": i + 1,
            "image_id": 5,
            "category_id": 1,
            "iscrowd": 0,
            "segmentation": mask,
            "inmodal_seg": mask,
            "bbox": [0, 0, 1, 1],
            "area": rle.area(mask),
        }
        for i, mask in enumerate(frame.masks)
    ]
    content = {"images": [image], "annotations": annotations, "categories": [{"id": 1, "name": "car"}]}
    (tmp_path / "kins.json").write_text(json.dumps(content))
    metric = OccImageMetric("kins")
    metric.dataset_meta = OccImages(tmp_path / "kins.json", tmp_path).metainfo
    found = replace(frame, labels=np.zeros(len(frame), np.int64))
    sample = {
        "img_id": 5,
        "ori_shape": (frame.height, frame.width),
        "pred_instances": {
            "masks": [rle.decode(mask) for mask in found.masks],
            "labels": found.labels,
            "scores": found.scores,
            "bboxes": found.boxes,
        },
    }
    metric.process([], [sample])
    metrics = metric.evaluate(1)
    assert next(iter(metrics.items())) == ("kins/amodal_AP", 1.0)
    assert not any("hidden" in name for name in metrics)


def test_objects_without_a_pixel_are_no_results(frames: dict[int, Any]) -> None:
    frame = next(frame for frame in frames.values() if len(frame) > 1)
    nothing = rle.encode(np.zeros((frame.height, frame.width), bool))
    entries = coco_results(replace(frame, masks=[nothing, *frame.masks[1:]]), 5, range(1, 7))
    assert len(entries) == len(frame) - 1
    assert all(set(entry) == {"image_id", "category_id", "segmentation", "score"} for entry in entries)
    with pytest.raises(ValueError, match="has label"):
        coco_results(frame, 5, [])


def test_coco_results_are_not_replaced_unasked(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    write_coco_results(path, [])
    assert json.loads(path.read_text()) == []
    with pytest.raises(OutputExistsError):
        write_coco_results(path, [])
    write_coco_results(path, [{"image_id": 1, "score": 0.5}], overwrite=True)
    assert json.loads(path.read_text()) == [{"image_id": 1, "score": 0.5}]
