"""Birth, confirmation, loss and end of tracks, and the bound on what is remembered."""

from __future__ import annotations

import logging
import subprocess
import sys

import numpy as np
import pytest
import torch

from vos_occ.tracking import TrackMemory, TrackState, Update

D = 4


def see(
    memory: TrackMemory, frame_index: int, assignment: list[int] | None, labels=None, scores=None, **options
) -> Update:
    """One frame. Detection i of frame t has the embedding (t, i, 0, 0) and the box (t, i, t + 1, i + 1)."""
    num = len(assignment if assignment is not None else labels)
    place = torch.tensor([[frame_index, i] for i in range(num)], dtype=torch.float32).reshape(num, 2)
    return memory.update(
        None if assignment is None else torch.tensor(assignment, dtype=torch.int64),
        torch.cat([place, torch.zeros(num, D - 2)], dim=1),
        torch.cat([place, place + 1], dim=1),
        torch.tensor(labels if labels is not None else [0] * num, dtype=torch.int64),
        torch.tensor(scores if scores is not None else [0.9] * num, dtype=torch.float32),
        frame_index,
        **options,
    )


def test_the_first_frame_starts_a_track_per_detection_without_match_scores():
    memory = TrackMemory(D)
    update = see(memory, 0, None, labels=[3, 1])
    assert update.track_ids.tolist() == [1, 2]
    assert update.confirmed.all()
    assert memory.labels.tolist() == [3, 1]


def test_a_video_may_start_with_empty_frames():
    memory = TrackMemory(D)
    assert see(memory, 0, None, labels=[]).track_ids.tolist() == []
    assert see(memory, 1, []).track_ids.tolist() == []
    assert see(memory, 2, None, labels=[0]).track_ids.tolist() == [1]


def test_ids_follow_the_assignment():
    memory = TrackMemory(D)
    see(memory, 0, [0, 0, 0])
    update = see(memory, 1, [3, -1, 0, 1, 0])
    assert update.track_ids.tolist() == [3, -1, 4, 1, 5]
    assert update.confirmed.tolist() == [True, False, True, True, True]
    assert memory.track_ids.tolist() == [1, 2, 3, 4, 5]
    assert memory.last_seen.tolist() == [1, 0, 1, 1, 1]
    assert memory.hits.tolist() == [2, 1, 2, 1, 1]
    assert memory.states.tolist() == [TrackState.CONFIRMED, TrackState.LOST] + [TrackState.CONFIRMED] * 3


def test_a_continued_track_remembers_the_last_box_and_embedding():
    memory = TrackMemory(D)
    see(memory, 0, [0, 0])
    see(memory, 1, [2])
    assert memory.embeddings[1].tolist() == [1, 0, 0, 0]
    assert memory.boxes.tolist() == [[0, 0, 1, 1], [1, 0, 2, 1]]


@pytest.mark.parametrize("which, remembered", [("first", 5), ("last", 7)])
def test_label_memory(which, remembered):
    memory = TrackMemory(D, label_memory=which)
    see(memory, 0, [0], labels=[5])
    see(memory, 1, [1], labels=[7])
    assert memory.labels.tolist() == [remembered]


def test_momentum_mixes_old_and_new_embeddings():
    memory = TrackMemory(D, momentum=0.75)
    see(memory, 0, [0])
    see(memory, 4, [1])
    assert memory.embeddings[0].tolist() == [1, 0, 0, 0]


def test_an_occluded_detection_moves_the_box_but_not_the_embedding():
    memory = TrackMemory(D)
    see(memory, 0, [0, 0])
    see(memory, 1, [2, -1, 1, 0], keep_embedding=torch.tensor([True, True, False, True]))
    assert memory.embeddings[:, 0].tolist() == [1, 0, 1], "track 2 keeps frame 0's; a new track has only its own"
    assert memory.boxes[:, 0].tolist() == [1, 1, 1]


def test_nothing_that_is_passed_in_is_remembered_by_reference():
    memory = TrackMemory(D)
    embeddings, boxes = torch.ones(1, D, requires_grad=True), torch.ones(1, 4)
    memory.update(None, embeddings, boxes, torch.zeros(1), torch.ones(1), 0)
    boxes.zero_()
    assert memory.boxes.tolist() == [[1, 1, 1, 1]]
    assert not memory.embeddings.requires_grad


@pytest.mark.parametrize("in_between", ["other objects", "empty frames"])
def test_a_lost_track_is_forgotten_after_retain_frames(in_between):
    memory = TrackMemory(D, retain_frames=3)
    see(memory, 0, [0, 0])
    for frame_index in (1, 2):
        see(memory, frame_index, [1] if in_between == "other objects" else [])
        assert 2 in memory.track_ids
    see(memory, 3, [1] if in_between == "other objects" else [])
    assert 2 not in memory.track_ids


def test_a_lost_track_can_return_in_its_last_frame():
    memory = TrackMemory(D, retain_frames=3)
    see(memory, 0, [0])
    see(memory, 1, [])
    see(memory, 2, [])
    update = see(memory, 3, [1])
    assert update.track_ids.tolist() == [1] and update.confirmed.all()
    assert memory.states.tolist() == [TrackState.CONFIRMED]


def test_without_retain_frames_a_track_is_never_forgotten():
    memory = TrackMemory(D, retain_frames=None)
    see(memory, 0, [0])
    see(memory, 100_000, [])
    assert see(memory, 100_001, [1]).track_ids.tolist() == [1]


def test_ids_are_not_reused_when_all_tracks_are_forgotten():
    memory = TrackMemory(D, retain_frames=1)
    see(memory, 0, [0, 0])
    see(memory, 1, [])
    assert len(memory) == 0
    assert see(memory, 2, None, labels=[0]).track_ids.tolist() == [3]


def test_a_track_is_confirmed_after_enough_hits():
    memory = TrackMemory(D, confirm_after=3)
    assert see(memory, 0, [0]).confirmed.tolist() == [False]
    assert see(memory, 1, [1]).confirmed.tolist() == [False]
    assert memory.states.tolist() == [TrackState.TENTATIVE]
    assert see(memory, 2, [1]).confirmed.tolist() == [True]


def test_a_tentative_track_dies_when_missed_and_a_confirmed_one_is_lost():
    memory = TrackMemory(D, confirm_after=2)
    see(memory, 0, [0])
    see(memory, 1, [1, 0])
    see(memory, 2, [])
    assert memory.track_ids.tolist() == [1]
    assert memory.states.tolist() == [TrackState.LOST]
    assert see(memory, 3, [1]).confirmed.tolist() == [True]


def test_when_full_the_longest_lost_track_makes_room(caplog):
    memory = TrackMemory(D, max_tracks=3)
    see(memory, 0, [0, 0, 0])
    see(memory, 1, [1, 3])
    see(memory, 2, [3])
    with caplog.at_level(logging.WARNING):
        update = see(memory, 3, [3, 0])
        see(memory, 4, [3, 2, 0])
    assert update.track_ids.tolist() == [3, 4]
    assert memory.track_ids.tolist() == [3, 4, 5], "2, lost in frame 1, went first; then 1"
    assert [record.levelname for record in caplog.records] == ["WARNING"], "said once"


def test_when_full_and_none_is_lost_the_least_confident_new_detections_are_refused():
    memory = TrackMemory(D, max_tracks=3)
    see(memory, 0, [0])
    update = see(memory, 1, [0, 0, 1, 0], scores=[0.5, 0.7, 0.9, 0.8])
    assert update.track_ids.tolist() == [-1, 2, 1, 3]
    assert update.confirmed.tolist() == [False, True, True, True]
    assert len(memory) == 3


def test_more_detections_than_room_in_the_first_frame():
    memory = TrackMemory(D, max_tracks=2)
    assert see(memory, 0, None, labels=[0, 0, 0], scores=[0.1, 0.2, 0.3]).track_ids.tolist() == [-1, 1, 2]


@pytest.mark.parametrize(
    "assignment, message",
    [
        ([1, 1], "not one-to-one"),
        ([3, 0], "not one-to-one onto 2 tracks"),
        (None, "holds 2 tracks"),
        ([0, 0, 0], "Expected an assignment"),
    ],
)
def test_assignments_that_do_not_fit_are_refused(assignment, message):
    memory = TrackMemory(D)
    see(memory, 0, [0, 0])
    arguments = (torch.zeros(2, D), torch.zeros(2, 4), torch.zeros(2), torch.ones(2), 1)
    with pytest.raises(ValueError, match=message):
        memory.update(None if assignment is None else torch.tensor(assignment), *arguments)


def test_shapes_and_frame_order_are_checked():
    memory = TrackMemory(D)
    see(memory, 5, [0])
    with pytest.raises(ValueError, match="frame 5 after frame 5"):
        see(memory, 5, [1])
    with pytest.raises(ValueError, match=r"embeddings \(N, 4\)"):
        memory.update(torch.tensor([0]), torch.zeros(1, D + 1), torch.zeros(1, 4), torch.zeros(1), torch.ones(1), 6)


@pytest.mark.parametrize(
    "option", [{"max_tracks": 0}, {"momentum": 1.0}, {"label_memory": "best"}, {"retain_frames": 0}]
)
def test_bad_options_are_refused(option):
    with pytest.raises(ValueError):
        TrackMemory(D, **option)


def test_ten_thousand_frames_of_coming_and_going_do_not_grow_the_memory():
    memory = TrackMemory(D, max_tracks=8, retain_frames=5)
    random = np.random.default_rng(0)
    given: set[int] = set()
    largest = []
    for frame_index in range(10_000):
        tracks = random.permutation(len(memory)) + 1
        assignment = tracks[random.random(len(tracks)) < 0.6].tolist() + [0] * int(random.poisson(0.4))
        update = see(memory, frame_index, assignment)
        for column, track_id in zip(assignment, update.track_ids.tolist(), strict=True):
            if column == 0 and track_id > 0:
                assert track_id not in given
                given.add(track_id)
        shown = update.track_ids[update.track_ids > 0]
        assert len(shown) == len(shown.unique())
        largest.append(memory.nbytes)
    assert given == set(range(1, memory.num_created + 1)) and len(given) > 1000
    row = D * 4 + 4 * 4 + 5 * 8 + 2 * 4 + 8 + 2 * 4 + 2 * 4
    assert max(largest) == 8 * row, "reached, so the cap was at work, and never passed"
    assert max(largest[:5000]) == max(largest[5000:])


def test_tracking_and_checkpoints_import_no_mm_package():
    code = "import sys, vos_occ.tracking, vos_occ.checkpoints; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert {"mmcv", "mmdet", "mmengine"}.isdisjoint(found.split())
