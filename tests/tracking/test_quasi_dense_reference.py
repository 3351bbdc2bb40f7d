"""The quasi-dense tracker gives the ids of the published steps, written out plainly, and of mmdet's tracker."""

from __future__ import annotations

import math
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import vos_occ.compat  # noqa: F401  (before any mm* import)

from mmdet.models.trackers import QuasiDenseTracker  # isort: skip
from mmdet.structures import DetDataSample  # isort: skip
from mmengine.structures import InstanceData  # isort: skip
from vos_occ.tracking import QuasiDenseMemory, QuasiDenseRules

D = 4


class PublishedSteps:
    """docs/sources.md, trackers 3.1, one detection after the other, and ageing in every frame."""

    def __init__(self, rules: QuasiDenseRules) -> None:
        self.rules = rules
        self.tracks: dict[int, dict] = {}
        self.backdrops: list[dict] = []
        self.num_created = 0

    def step(self, frame_index: int, boxes: list, labels: list, scores: list, embeddings: list) -> list[int]:
        """Track ids of detections that are sorted by falling score, -1 for none."""
        rules, ids = self.rules, [-1] * len(scores)
        kept = []
        for i, score in enumerate(scores):
            limit = rules.nms_backdrop_iou if score < rules.obj_score else rules.nms_class_iou
            if not any(iou(boxes[i], boxes[j]) > limit for j in range(i)):
                kept.append(i)
        matches = self.match(kept, labels, scores, embeddings)
        backdrops = []
        for i in kept:
            if matches[i] == "none" and scores[i] > rules.init_score:
                self.num_created += 1
                ids[i] = self.num_created
                self.tracks[ids[i]] = {"embedding": embeddings[i], "label": labels[i], "seen": frame_index}
            elif isinstance(matches[i], int):
                ids[i] = matches[i]
                track = self.tracks[ids[i]]
                share = rules.momentum
                mixed = [(1 - share) * a + share * b for a, b in zip(track["embedding"], embeddings[i], strict=True)]
                track.update(embedding=mixed, label=labels[i], seen=frame_index)
            elif matches[i] == "none" and not any(
                iou(boxes[i], boxes[j]) > rules.nms_backdrop_iou for j in kept if j < i
            ):
                backdrops.append({"embedding": embeddings[i], "label": labels[i], "seen": frame_index})
        self.backdrops = [
            backdrop
            for backdrop in backdrops + self.backdrops
            if frame_index - backdrop["seen"] < rules.retain_backdrops
        ]
        self.tracks = {
            track_id: track
            for track_id, track in self.tracks.items()
            if frame_index - track["seen"] < rules.retain_frames
        }
        return ids

    def match(self, kept: list[int], labels: list, scores: list, embeddings: list) -> dict[int, int | str]:
        """For each detection a track id, "none", or "dropped"."""
        track_ids = list(self.tracks)
        remembered = [*self.tracks.values(), *self.backdrops]
        found: dict[int, int | str] = dict.fromkeys(kept, "none")
        if not remembered or not kept:
            return found
        logits = [[dot(embeddings[i], m["embedding"]) for m in remembered] for i in kept]
        forward = [softmax(row) for row in logits]
        backward = [softmax(column) for column in zip(*logits, strict=True)]
        taken = set()
        for place, i in enumerate(kept):
            fits = [
                0.0
                if column in taken or (self.rules.with_cats and m["label"] != labels[i])
                else (forward[place][column] + backward[column][place]) / 2
                for column, m in enumerate(remembered)
            ]
            best = fits.index(max(fits))
            if fits[best] <= self.rules.match_score or best >= len(track_ids):
                continue
            if scores[i] > self.rules.obj_score:
                found[i] = track_ids[best]
                taken.add(best)
            else:
                found[i] = "dropped"
        return found


def dot(first: list[float], second: list[float]) -> float:
    return sum(a * b for a, b in zip(first, second, strict=True))


def iou(first: list[float], second: list[float]) -> float:
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    common = max(width, 0) * max(height, 0)
    sizes = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second))
    return common / (sizes - common)


def softmax(values: tuple[float, ...] | list[float]) -> list[float]:
    exponentials = [math.exp(value) for value in values]
    return [value / sum(exponentials) for value in exponentials]


def frames(seed: int, num_frames: int, least: int, scale: float) -> Iterator[tuple[Tensor, ...]]:
    """Boxes, labels, scores and embeddings, by falling score: known objects with noise, often on top of each other."""
    random = np.random.default_rng(seed)
    appearances = random.uniform(-scale, scale, (6, D))
    for _ in range(num_frames):
        count = int(random.integers(least, 9))
        who = random.integers(0, len(appearances), count)
        corners = random.uniform(0, 40, (count, 2))
        boxes = np.concatenate([corners, corners + random.uniform(10, 30, (count, 2))], axis=1)
        yield (
            torch.tensor(boxes, dtype=torch.float32),
            torch.tensor(who % 2),
            torch.tensor(np.sort(random.uniform(0.05, 1, count))[::-1].copy(), dtype=torch.float32),
            torch.tensor(appearances[who] + random.uniform(-0.2, 0.2, (count, D)), dtype=torch.float32),
        )


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    match_score=st.sampled_from([0.3, 0.5]),
    obj_score=st.sampled_from([0.3, 0.6]),
    with_cats=st.booleans(),
    retain_frames=st.integers(1, 4),
    retain_backdrops=st.integers(0, 2),
)
def test_ids_are_those_of_the_published_steps(seed: int, **options):
    """Embeddings are short, so that no softmax is so close to 0 or 1 that float32 and float64 disagree."""
    rules = QuasiDenseRules(**options)
    ours, theirs = QuasiDenseMemory(D, rules), PublishedSteps(rules)
    for frame_index, seen in enumerate(frames(seed, num_frames=8, least=0, scale=1.2)):
        update = ours.update(ours.associate(*seen), *seen, frame_index)
        assert update.track_ids.tolist() == theirs.step(frame_index, *(values.tolist() for values in seen))
        assert ours.tracks.track_ids.tolist() == list(theirs.tracks)
        assert len(ours.backdrops.seen) == len(theirs.backdrops)


@pytest.mark.parametrize("seed", range(4))
def test_ids_equal_mmdets_over_a_video(seed):
    """In frames with detections; without any, mmdet's does nothing at all."""
    rules = QuasiDenseRules(retain_frames=3)
    theirs = QuasiDenseTracker(
        init_score_thr=0.7, obj_score_thr=0.3, match_score_thr=0.5, memo_tracklet_frames=3, memo_momentum=0.8
    )
    ours, continued = QuasiDenseMemory(D, rules), 0
    head = SimpleNamespace(predict=lambda feats, boxes: feats)
    for frame_index, seen in enumerate(frames(seed, num_frames=40, least=1, scale=3.0)):
        boxes, labels, scores, embeddings = seen
        sample = DetDataSample(metainfo={"frame_id": frame_index})
        sample.pred_instances = InstanceData(bboxes=boxes, labels=labels, scores=scores)
        expected = theirs.track(SimpleNamespace(track_head=head), None, embeddings, sample, rescale=False)

        found = ours.associate(*seen)
        continued += int((found.rows >= 0).sum())
        update = ours.update(found, *seen, frame_index)
        assert update.track_ids[update.track_ids > 0].tolist() == (expected.instances_id + 1).tolist()
        assert ours.tracks.track_ids.tolist() == [track_id + 1 for track_id in theirs.tracks]
        torch.testing.assert_close(
            ours.tracks.embeddings, torch.stack([track["embed"] for track in theirs.tracks.values()])
        )
    assert continued > 20 and ours.tracks.num_created > 10
