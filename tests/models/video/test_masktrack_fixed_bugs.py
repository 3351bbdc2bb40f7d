"""What mmdet's MaskTrackRCNN does wrong (docs/sources.md, trackers 4.1) and ours not, side by side on a tiny model."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from mmdet.models.trackers import MaskTrackRCNNTracker
from mmdet.models.vis import MaskTrackRCNN
from torch import Tensor

from vos_occ.datasets.pairs import FramePairs
from vos_occ.inference.session import VideoSession
from vos_occ.models.video.embedding import OccRoIEmbedHead
from vos_occ.models.video.masktrack import OccMaskTrackRCNN
from vos_occ.tracking import assign, match_scores

pytestmark = pytest.mark.filterwarnings("ignore:DeprecationWarning:UserWarning")  # mmdet of itself

PLAIN_HEAD = {
    "_delete_": True,
    "type": "PlainMaskHead",
    "num_convs": 1,
    "in_channels": 16,
    "conv_out_channels": 16,
    "num_classes": 6,
}
AS_MMDET = {
    "detector.roi_head.mask_head": PLAIN_HEAD,
    "track_head.embed_head.relu_last": True,
    "memory.label_memory": "last",
}
SCALE = (160, 96)


@pytest.fixture(scope="module")
def models(
    build_tiny_model: Callable, tiny_model_config: Callable, mmdets_twin: Callable
) -> tuple[MaskTrackRCNN, OccMaskTrackRCNN]:
    """mmdet's and ours, of the same weights."""
    ours = build_tiny_model(AS_MMDET)
    return mmdets_twin(tiny_model_config(AS_MMDET), ours), ours


def rpn_losses(model: torch.nn.Module, batch: tuple[Tensor, list]) -> dict[str, float]:
    torch.manual_seed(0)  # the samplers' draws
    with torch.no_grad():
        losses = model.loss(*batch)
    return {name: float(sum(value)) for name, value in losses.items() if "rpn" in name}


@pytest.mark.parametrize("labels", [torch.zeros_like, lambda labels: (labels + 1) % 6])
def test_b1_rpn_learns_the_same_whatever_the_classes_are(
    models: tuple, training_batch: Callable, labels: Callable[[Tensor], Tensor]
) -> None:
    theirs, ours = models
    as_annotated, relabelled = (training_batch(ours, relabel=relabel) for relabel in (None, labels))
    assert rpn_losses(ours, as_annotated) == rpn_losses(ours, relabelled)
    there = [rpn_losses(theirs, batch)["loss_rpn_cls"] for batch in (as_annotated, relabelled)]
    assert abs(there[0] - there[1]) > 1e-3, "mmdet trains objects of all classes but 0 as background"


def test_b1_the_annotations_keep_their_labels(models: tuple, training_batch: Callable) -> None:
    _, ours = models
    inputs, samples = training_batch(ours)
    before = [frame.gt_instances.labels.clone() for sample in samples for frame in sample.video_data_samples]
    ours.loss(inputs, samples)
    after = [frame.gt_instances.labels for sample in samples for frame in sample.video_data_samples]
    assert all(map(torch.equal, before, after))
    assert any(labels.any() for labels in after)


def test_b3_two_detections_never_share_an_id() -> None:
    """Detection 1 wants track 7 more than detection 0 does: mmdet gives it to both."""
    scores = torch.tensor([[0.0, 3.0, 1.0], [0.0, 5.0, 1.0], [4.0, 0.0, 0.0]])
    theirs = MaskTrackRCNNTracker()
    theirs.tracks, theirs.num_tracks = {7: None, 8: None}, 9
    assert theirs.assign_ids(scores)[0].tolist() == [7, 7, 9]
    assert assign(scores).tolist() == [-1, 1, 0]


def test_b3_the_better_detection_keeps_the_id_and_the_loser_is_gone(
    models: tuple, tiny_frames: list[np.ndarray], mmdets_prediction: Callable
) -> None:
    theirs, ours = models
    session = VideoSession(ours)
    shared = 0
    for instances, frame in zip(mmdets_prediction(theirs, tiny_frames, SCALE), tiny_frames, strict=True):
        (result,) = session.step(frame)
        ids = (instances.instances_id + 1).tolist()
        shared += len(ids) - len(set(ids))
        last = {track_id: index for index, track_id in enumerate(ids)}  # where mmdet found a better one
        assert dict(zip(result.track_ids.tolist(), result.scores.tolist(), strict=True)) == pytest.approx(
            {track_id: float(instances.scores[index]) for track_id, index in last.items()}
        )
    assert shared > 0


def tensors_in(value: Any, seen: set[int] | None = None) -> Iterator[Tensor | np.ndarray]:
    """All tensors and arrays that can be reached from a value."""
    seen = set() if seen is None else seen
    if id(value) in seen or isinstance(value, type):
        return
    seen.add(id(value))
    if isinstance(value, Tensor | np.ndarray):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors_in(item, seen)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors_in(item, seen)
    elif hasattr(value, "__dict__"):
        yield from tensors_in(vars(value), seen)


def elements(tensor: Tensor | np.ndarray) -> int:
    return tensor.numel() if isinstance(tensor, Tensor) else tensor.size


def test_b4_memory_holds_an_embedding_and_a_box_per_track_and_does_not_grow(
    models: tuple, tiny_frames: list[np.ndarray], mmdets_prediction: Callable
) -> None:
    theirs, ours = models
    session, sizes = VideoSession(ours), []
    for _ in range(4):
        for frame in tiny_frames:
            session.step(frame)
        memory = session._state.memory
        sizes.append(memory.nbytes / len(memory))
    assert len(set(sizes)) == 1
    held = list(tensors_in(session._state))
    assert held
    widths = (2, 4, memory.embed_dim)  # of a velocity, a box and an embedding
    assert all(tensor.ndim == 1 or tensor.shape[1:] in [(width,) for width in widths] for tensor in held)
    assert all(len(tensor) == len(memory) <= 32 for tensor in held)

    mmdets_prediction(theirs, tiny_frames, SCALE)
    longest = max(theirs.tracker.tracks.values(), key=lambda track: len(track["masks"]))
    assert len(longest["masks"]) > 1, "mmdet keeps every mask and every RoI feature of a live track"
    assert len(longest["roi_feats"]) == len(longest["masks"])


def test_b4_hopeless_similarities_give_finite_scores() -> None:
    logits = torch.tensor([[0.0, 200.0, -200.0]])
    rest = torch.tensor([[0.5, 0.5]]), torch.tensor([[True, False]])
    boxes, labels, score = torch.tensor([[0.0, 0, 1, 1]]), torch.tensor([0]), torch.tensor([0.9])
    theirs = MaskTrackRCNNTracker().get_match_score(
        boxes, labels, score, boxes.repeat(2, 1), torch.tensor([0, 1]), logits
    )
    assert theirs.isinf().any()
    assert match_scores(logits, score, *rest).isfinite().all()


def test_b5_no_dense_mask_outlives_its_frame(models: tuple, tiny_frames: list[np.ndarray]) -> None:
    _, ours = models
    height, width = tiny_frames[0].shape[:2]
    session, results = VideoSession(ours), []
    for frame in tiny_frames:
        results += session.step(frame)
    assert sum(map(len, results)) > 10
    assert all(elements(tensor) < height * width // 4 for tensor in tensors_in([results, session._state]))
    assert all(isinstance(mask["counts"], str) for result in results for mask in result.masks)
    assert {"masks", "occluder_masks"} <= {field.name for field in fields(results[0])}


def test_b13_stored_embeddings_match_as_stored_features_would(models: tuple, tiny_frames: list[np.ndarray]) -> None:
    """mmdet stores 256 x 7 x 7 features and runs the layers on them again in every frame, for the same numbers."""
    theirs, ours = models
    features, stored, rois = [], [], []
    with torch.no_grad():
        for frame in tiny_frames[:2]:
            image = ours.prepare(frame)
            levels = ours.detector.extract_feat(image.tensor)
            boxes = ours.detect(levels, image).bboxes
            rois.append(boxes)
            features.append(theirs.track_head.extract_roi_feats(levels, [boxes])[0])
            stored.append(ours.track_head.embed(levels, boxes))
        again = theirs.track_head.predict(features[1], features[0])
        logits = ours.track_head.similarity_logits(stored[1], stored[0])
    assert logits.shape == (len(rois[1]), len(rois[0]) + 1) and len(rois[1]) > 1
    torch.testing.assert_close(logits, again, rtol=1e-6, atol=1e-6)
    assert stored[0].nbytes * 12 < features[0].nbytes


@pytest.fixture
def ytvis(tmp_path: Path) -> Path:
    """Two videos of three frames: objects with annotation ids 0 and 1 in frames 0 and 1 of the first, else nothing.

    Categories stand in the file in another order than their ids.
    """
    cv2.imwrite(str(tmp_path / "frame.png"), np.zeros((40, 60, 3), np.uint8))
    videos = [
        {"id": video, "width": 60, "height": 40, "length": 3, "file_names": [f"{video}/{t}.png" for t in range(3)]}
        for video in (1, 2)
    ]
    for video in videos:
        (tmp_path / str(video["id"])).mkdir()
        for name in video["file_names"]:
            shutil.copy(tmp_path / "frame.png", tmp_path / name)
    square = [[5, 5, 25, 5, 25, 25, 5, 25]], [[30, 10, 55, 10, 55, 35, 30, 35]]
    annotations = [
        {"id": i, "video_id": 1, "category_id": category, "iscrowd": 0, "segmentations": [square[i], square[i], None]}
        for i, category in ((0, 9), (1, 4))
    ]
    categories = [{"id": 9, "name": "owl"}, {"id": 4, "name": "ape"}]
    document = {"videos": videos, "annotations": annotations, "categories": categories}
    (tmp_path / "train.json").write_text(json.dumps(document))
    return tmp_path


def frame_pairs(root: Path, classes: Sequence[str] = ("owl", "ape")) -> FramePairs:
    source = {"type": "YtvisFrames", "ann_file": root / "train.json", "image_root": root}
    return FramePairs([source], pipeline=[], classes=classes)


def test_b9_an_object_with_annotation_id_0_is_matched(ytvis: Path) -> None:
    pairs = frame_pairs(ytvis)
    frames = pairs[0]["data_samples"].video_data_samples
    keys, references = (frame.gt_instances.instances_ids for frame in frames)
    positives = SimpleNamespace(
        pos_assigned_gt_inds=torch.tensor([0, 1]), bboxes=torch.zeros(2, 4), pos_bboxes=torch.zeros(2, 4)
    )
    (targets,), _ = OccRoIEmbedHead(num_fcs=1).get_targets([positives], [keys], [references])
    assert sorted(targets.tolist()) == [1, 2], "neither is taken for a new object"


@pytest.mark.parametrize("classes", [("owl", "ape"), ("ape", "owl")])
def test_b9_labels_follow_the_named_classes_not_the_file(ytvis: Path, classes: tuple[str, ...]) -> None:
    (instances, _) = (frame.gt_instances for frame in frame_pairs(ytvis, classes)[0]["data_samples"].video_data_samples)
    assert [classes[label] for label in instances.labels] == ["owl", "ape"]


def test_b9_frames_and_videos_without_objects_are_no_keys(ytvis: Path) -> None:
    pairs = frame_pairs(ytvis)
    (keys,) = pairs._keys
    assert [keys.pick(index, np.random.default_rng(0)) for index in range(len(pairs))] == [(0, 0), (0, 1)]


def test_b9_a_pair_reads_its_two_frames_and_no_others(ytvis: Path) -> None:
    pairs = frame_pairs(ytvis)
    for unused in (*ytvis.glob("2/*.png"), ytvis / "1/2.png"):
        unused.unlink()
    assert pairs[0]["inputs"].shape == (2, 3, 40, 60)
