"""Association and memory together give the ids of mmdet's MaskTrackRCNNTracker, over objects that come and go."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

import vos_occ.compat  # noqa: F401  (before any mm* import)

from mmdet.models.trackers import MaskTrackRCNNTracker  # isort: skip
from mmdet.structures import DetDataSample  # isort: skip
from mmdet.structures.bbox import bbox_overlaps  # isort: skip
from mmengine.structures import InstanceData  # isort: skip
from vos_occ.tracking import TrackMemory, assign, match_scores

RETAIN = 5
OBJECTS = 7


def similarity(embeddings: Tensor, remembered: Tensor) -> Tensor:
    """(N, D), (K, D) -> (N, K + 1), column 0 for a new object."""
    return torch.cat([embeddings.new_zeros(len(embeddings), 1), embeddings @ remembered.T], dim=1)


def frames(seed: int, num_frames: int = 60, num_objects: int = OBJECTS) -> Iterator[tuple[InstanceData, Tensor]]:
    """Objects with an appearance of their own that drift, leave for 1 to 9 frames, and change their label at times.

    Object 0 is always there: mmdet's memory does not age in frames without detections.
    """
    random = np.random.default_rng(seed)
    appearance = 8 * np.eye(num_objects) - 1  # similarity 55 to itself, -9 to the others: clear of IoU and label terms
    centres = random.uniform(20, 80, (num_objects, 2))
    away = np.zeros(num_objects, dtype=int)
    for _ in range(num_frames):
        centres += random.normal(scale=2.0, size=centres.shape)
        away = np.where(
            (away == 0) & (random.random(num_objects) < 0.15), random.integers(1, 10, num_objects), away - 1
        )
        away = np.maximum(away, 0)
        away[0] = 0
        seen = random.permutation(np.flatnonzero(away == 0))
        boxes = np.concatenate([centres[seen] - 10, centres[seen] + 10], axis=1)
        labels = (seen + (random.random(len(seen)) < 0.1)) % 3
        embeddings = appearance[seen] + 0.1 * random.normal(size=(len(seen), num_objects))
        instances = InstanceData(
            bboxes=torch.tensor(boxes, dtype=torch.float32),
            labels=torch.tensor(labels),
            scores=torch.tensor(random.uniform(0.1, 1.0, len(seen)), dtype=torch.float32),
            masks=torch.zeros(len(seen), 1, 1, dtype=torch.bool),
        )
        yield instances, torch.tensor(embeddings, dtype=torch.float32)


@pytest.mark.parametrize("seed", range(4))
def test_ids_equal_mmdets_over_a_video(seed):
    theirs, ours = MaskTrackRCNNTracker(num_frames_retain=RETAIN), TrackMemory(OBJECTS, retain_frames=RETAIN)
    for frame_index, (instances, embeddings) in enumerate(frames(seed)):
        head = SimpleNamespace(extract_roi_feats=lambda feats, boxes: (feats, None), predict=similarity)
        sample = DetDataSample(metainfo={"frame_id": frame_index}, pred_instances=instances)
        expected = theirs.track(SimpleNamespace(track_head=head), embeddings, sample, rescale=False)

        assignment = None
        if len(ours):
            scores = match_scores(
                similarity(embeddings, ours.embeddings),
                instances.scores,
                bbox_overlaps(instances.bboxes, ours.boxes),
                instances.labels[:, None] == ours.labels,
            )
            assignment = assign(scores)
        update = ours.update(assignment, embeddings, instances.bboxes, instances.labels, instances.scores, frame_index)
        kept = update.track_ids[update.track_ids > 0]
        expected_ids = expected.instances_id + 1
        assert len(expected_ids) == len(expected_ids.unique()), "no duplicate in this video: nothing to fix"
        assert kept.tolist() == expected_ids.tolist()
        assert ours.track_ids.tolist() == [track_id + 1 for track_id in theirs.ids]
    assert ours.num_created > OBJECTS, "objects that were away too long came back under a new id"
