"""Scores of a video model on single images, every one a video of one frame, from the COCO result file it wrote."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from eval.image_ap import image_ap
from eval.readers.coco import CocoDataset, read_coco, read_coco_results
from vos_occ.datasets.images import read_image
from vos_occ.inference.run import select
from vos_occ.inference.session import VideoSession
from vos_occ.models.video.roi_model import RoIVideoModel
from vos_occ.results.output import write_atomically
from vos_occ.scoring import OcclusionMatches

HEAVILY_HIDDEN = 0.3


def score_images(model: RoIVideoModel, ann_file: Path, image_root: Path, out: Path) -> dict[str, float | None]:
    """Mask AP of a COCO file, every image a video of its own; on occluded instances alone where that is known."""
    dataset = read_coco(ann_file)
    detections = [found for image in dataset.images for found in detect(model, image_root / image.file_name, image.id)]
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, json.dumps([record["coco"] for record in detections]))
    found = read_coco_results(out, dataset)
    ap = image_ap(dataset.objects(), found)
    scores = {"AP": ap.ap, "AP50": ap.ap50, "AP75": ap.ap75, "box_AP": image_ap(dataset.objects(), found, "bbox").ap}
    hidden = dataset.objects(lambda a: (a.extra.get("hidden") or 0) > HEAVILY_HIDDEN)
    if any(not thing.ignored and not thing.iscrowd for thing in hidden):
        occluded = image_ap(hidden, found)
        scores |= {"AP_hidden_over_30": occluded.ap, "AP50_hidden_over_30": occluded.ap50}
        scores |= score_occlusion(dataset, detections)
    return scores


def detect(model: RoIVideoModel, path: Path, image_id: int) -> list[dict]:
    """COCO results of one image, each with its frame result for the occlusion scores; categories count from 1."""
    (result,) = VideoSession(model, num_frames=1).step(read_image(path))
    return [
        {
            "coco": {
                "image_id": image_id,
                "category_id": int(label) + 1,
                "segmentation": mask,
                "bbox": xywh(box),
                "score": float(score),
            },
            "result": result,
        }
        for mask, box, label, score in zip(result.masks, result.boxes, result.labels, result.scores, strict=True)
    ]


def xywh(box: np.ndarray) -> list[float]:
    """COCO's box of an xyxy one."""
    return [float(box[0]), float(box[1]), float(box[2] - box[0]), float(box[3] - box[1])]


def score_occlusion(dataset: CocoDataset, detections: list[dict]) -> dict[str, float | None]:
    """Hidden fraction and order of the people found with score .5 or more."""
    results = {record["coco"]["image_id"]: record["result"] for record in detections}
    matches = OcclusionMatches()
    for image in dataset.images:
        people = [a for a in dataset.annotations if a.image_id == image.id and a.extra.get("in_front_of") is not None]
        if image.id in results:
            result = results[image.id]
            matches.add_image(people, select(result, np.flatnonzero(result.scores >= 0.5)))
    hidden = matches.hidden()
    return {
        "hidden_MAE": hidden.mae if hidden else None,
        "hidden_MAE_of_mean": hidden.baseline_mae if hidden else None,
        "hidden_Spearman": hidden.spearman if hidden else None,
        "order_accuracy": matches.order.accuracy if matches.order.predicted else None,
        "order_coverage": matches.order.coverage,
        "order_accuracy_of_lower_edge": matches.order.baseline_accuracy,
        "order_pairs": matches.order.pairs,
        "order_pairs_found": matches.order.pairs / matches.true_pairs if matches.true_pairs else None,
    }
