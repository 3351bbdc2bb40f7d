"""The quasi-dense tracker: duplicates, backdrops, classes, the life of tracks and what they carry."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vos_occ.tracking import Association, QuasiDenseMemory, QuasiDenseRules, Update
from vos_occ.tracking.appearance import bisoftmax, claim

D = 4
A, B, OTHER = [4.0, 0, 0, 0], [3.0, 2, 0, 0], [0, 0, 4.0, 0]  # B resembles A, but itself more


def detections(*objects: tuple[Sequence[float], float], labels: Sequence[int] | None = None) -> tuple[Tensor, ...]:
    """Boxes, labels, scores and embeddings of (embedding, score) pairs, side by side."""
    boxes = torch.tensor([[20.0 * i, 0, 20 * i + 10, 10] for i in range(len(objects))]).reshape(-1, 4)
    return (
        boxes,
        torch.tensor([0] * len(objects) if labels is None else labels, dtype=torch.int64),
        torch.tensor([score for _, score in objects]).reshape(-1),
        torch.from_numpy(np.array([embedding for embedding, _ in objects], np.float32)).reshape(-1, D),
    )


def see(memory: QuasiDenseMemory, frame_index: int, *objects, labels=None, **options) -> list[int]:
    """Track ids of one frame."""
    seen = detections(*objects, labels=labels)
    return memory.update(memory.associate(*seen), *seen, frame_index, **options).track_ids.tolist()


def random_frame(random: np.random.Generator, appearances: np.ndarray, num_classes: int = 2) -> tuple[Tensor, ...]:
    """Up to 8 detections of known appearances with noise, their boxes often on top of each other."""
    count = random.integers(0, 9)
    corners = random.uniform(0, 40, (count, 2))
    boxes = np.concatenate([corners, corners + random.uniform(10, 30, (count, 2))], axis=1)
    seen = appearances[random.integers(0, len(appearances), count)] + 0.3 * random.normal(size=(count, D))
    return (
        torch.tensor(boxes, dtype=torch.float32),
        torch.tensor(random.integers(0, num_classes, count)),
        torch.tensor(random.uniform(0.05, 1, count), dtype=torch.float32),
        torch.tensor(seen, dtype=torch.float32),
    )


# matching


def test_bisoftmax_is_the_mean_of_both_directions():
    fits = bisoftmax(torch.tensor([[1.0], [3.0]]), torch.tensor([[1.0], [0.0], [2.0]]))
    forward = [[np.exp(1), 1, np.exp(2)], [np.exp(3), 1, np.exp(6)]]
    by_row = np.array(forward) / np.sum(forward, axis=1, keepdims=True)
    by_column = np.array(forward) / np.sum(forward, axis=0)
    np.testing.assert_allclose(fits.numpy(), (by_row + by_column) / 2)


@pytest.mark.parametrize(
    "fits, is_object, columns",
    [
        ([[0.9, 0.6], [0.8, 0.7]], [True, True], [0, 1]),
        ([[0.9, 0.1], [0.8, 0.3]], [True, True], [0, -1]),
        ([[0.5, 0.1]], [True], [-1]),
        ([[0.7, 0.1], [0.8, 0.1]], [False, True], [-2, 0]),
        ([[0.6, 0.1, 0.9], [0.6, 0.1, 0.9]], [True, True], [-1, -1]),
        ([[], []], [True, True], [-1, -1]),
        ([], [], []),
    ],
    ids=[
        "loser takes its second",
        "loser's second is too weak",
        "a match is above the threshold",
        "too low a score leaves the track free",
        "many may look like a backdrop",
        "nothing remembered",
        "no detections",
    ],
)
def test_who_gets_which_track(fits, is_object, columns):
    table = torch.tensor(fits).reshape(len(fits), -1 if fits else 2)
    claimed = claim(table, torch.tensor(is_object, dtype=torch.bool), 2, 0.5)
    assert claimed.tolist() == columns
    assert torch.equal(table, torch.tensor(fits).reshape(table.shape)), "the table is the caller's"


@pytest.mark.parametrize(
    "scores, labels, shift, kept",
    [
        ((0.9, 0.8), (0, 0), 1, 1),
        ((0.9, 0.8), (0, 1), 1, 1),
        ((0.9, 0.8), (0, 0), 3, 2),
        ((0.9, 0.2), (0, 0), 3, 1),
        ((0.9, 0.2), (0, 0), 7, 2),
        ((0.2, 0.9), (0, 0), 3, 1),
        ((0.9, 0.3), (0, 0), 3, 2),
    ],
    ids=[
        "IoU .82",
        "IoU .82 of another class",
        "IoU .54 of two objects",
        "IoU .54 with something uncertain",
        "IoU .18 with something uncertain",
        "the higher is kept, whichever comes first",
        "a score of obj_score is an object's",
    ],
)
def test_duplicates(scores, labels, shift, kept):
    """Of two boxes side by side; what is kept starts a track or is a backdrop."""
    rules = QuasiDenseRules(init_score=0.1, with_cats=False)
    boxes = torch.tensor([[0.0, 0, 10, 10], [shift, 0, 10 + shift, 10]])
    found = QuasiDenseMemory(D, rules).associate(boxes, torch.tensor(labels), torch.tensor(scores), torch.eye(2, D))
    assert len(found.tracked) + len(found.backdrops) == kept
    assert scores.index(max(scores)) in found.tracked


def test_what_a_duplicate_overlaps_is_a_duplicate_too():
    """The third overlaps the second only, which the first has suppressed (as released)."""
    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 0, 11, 10], [2, 0, 12, 10]])
    rules = QuasiDenseRules(nms_class_iou=0.75)  # IoU .82 with the next, .67 with the one after
    found = QuasiDenseMemory(D, rules).associate(
        boxes, torch.zeros(3).long(), torch.tensor([0.9, 0.8, 0.75]), torch.eye(3, D)
    )
    assert found.tracked.tolist() == [0]


def test_classes_have_tracks_of_their_own():
    memory = QuasiDenseMemory(D)
    assert see(memory, 0, (A, 0.9), (OTHER, 0.9), labels=[0, 1]) == [1, 2]
    assert see(memory, 1, (OTHER, 0.9), (A, 0.9), labels=[0, 1]) == [3, 4], "each looks like a track of another class"
    assert see(memory, 2, (B, 0.9), labels=[0]) == [1]


def test_classes_compete_before_they_are_told_apart():
    memory = QuasiDenseMemory(D)
    assert see(memory, 0, (A, 0.9), (A, 0.9), labels=[0, 1]) == [1, 2]
    assert see(memory, 1, (A, 0.9), (A, 0.9), labels=[0, 1]) == [3, 4]


def test_without_classes_appearance_alone_decides():
    memory = QuasiDenseMemory(D, QuasiDenseRules(with_cats=False))
    see(memory, 0, (A, 0.9), labels=[0])
    assert see(memory, 1, (A, 0.9), labels=[1]) == [1]
    assert memory.tracks.labels.tolist() == [1]


# backdrops


@pytest.mark.parametrize("retain_backdrops, track_id", [(0, 1), (1, -1)], ids=["without backdrops", "with them"])
def test_what_looks_like_a_backdrop_continues_no_track(retain_backdrops, track_id):
    memory = QuasiDenseMemory(D, QuasiDenseRules(retain_backdrops=retain_backdrops))
    assert see(memory, 0, (A, 0.9), (B, 0.6)) == [1, -1]
    assert see(memory, 1, (B, 0.6)) == [track_id]


@pytest.mark.parametrize("frames_between", ["empty", "something else"])
def test_backdrops_live_one_frame(frames_between):
    memory = QuasiDenseMemory(D)
    see(memory, 0, (A, 0.9), (B, 0.6))
    see(memory, 1, *([] if frames_between == "empty" else [(OTHER, 0.9)]))
    assert see(memory, 2, (B, 0.6)) == [1]


def test_backdrops_may_live_longer():
    memory = QuasiDenseMemory(D, QuasiDenseRules(retain_backdrops=2))
    see(memory, 0, (A, 0.9), (B, 0.6))
    see(memory, 1)
    assert see(memory, 2, (B, 0.6)) == [-1]


def test_a_backdrop_whose_score_rises_starts_a_track():
    memory = QuasiDenseMemory(D)
    see(memory, 0, (A, 0.9), (B, 0.6))
    assert see(memory, 1, (A, 0.9), (B, 0.8)) == [1, 2]


def test_a_backdrop_of_another_class_takes_nothing():
    memory = QuasiDenseMemory(D)
    see(memory, 0, (A, 0.9), (B, 0.6), labels=[0, 1])
    assert see(memory, 1, (B, 0.6), labels=[0]) == [1]


def test_what_overlaps_something_better_is_no_backdrop():
    boxes = torch.tensor([[0.0, 0, 10, 10], [4, 0, 14, 10], [30, 0, 40, 10]])  # IoU .43: no duplicate
    found = QuasiDenseMemory(D).associate(boxes, torch.zeros(3).long(), torch.tensor([0.9, 0.6, 0.5]), torch.eye(3, D))
    assert found.tracked.tolist() == [0] and found.backdrops.tolist() == [2]


def test_what_overlaps_a_duplicate_may_be_a_backdrop():
    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 0, 11, 10], [5.8, 0, 15.8, 10]])  # IoU .27 with the first, .35
    found = QuasiDenseMemory(D).associate(boxes, torch.zeros(3).long(), torch.tensor([0.9, 0.8, 0.6]), torch.eye(3, D))
    assert found.tracked.tolist() == [0] and found.backdrops.tolist() == [2]


def test_a_match_with_too_low_a_score_is_neither_track_nor_backdrop():
    """The released id -2. The detector of the released configs leaves no such score."""
    memory = QuasiDenseMemory(D)
    see(memory, 0, (A, 0.9), ([0, 0, 0, 4.0], 0.9))
    seen = detections((A, 0.3), (OTHER, 0.3))
    found = memory.associate(*seen)
    assert found.tracked.tolist() == [] and found.backdrops.tolist() == [1]
    assert memory.update(found, *seen, 1).track_ids.tolist() == [-1, -1]
    assert memory.tracks.last_seen.tolist() == [0, 0]


# the life of tracks


def test_the_new_embedding_counts_four_fifths():
    memory = QuasiDenseMemory(D)
    see(memory, 0, (A, 0.9))
    see(memory, 1, (B, 0.9))
    torch.testing.assert_close(memory.tracks.embeddings[0], torch.tensor([3.2, 1.6, 0, 0]))


def test_a_hidden_view_may_leave_the_embedding_as_it_is():
    memory = QuasiDenseMemory(D)
    see(memory, 0, (A, 0.9))
    see(memory, 1, (OTHER, 0.6), (B, 0.9), keep_embedding=torch.tensor([False, True]))
    assert memory.tracks.embeddings.tolist() == [A] and memory.tracks.last_seen.tolist() == [1]


@pytest.mark.parametrize("unseen, returns_as", [(9, 1), (10, 2)])
def test_frames_without_detections_age_tracks(unseen, returns_as):
    """In the released tracker they do not: it is not called for them (docs/sources.md, trackers P-j)."""
    memory = QuasiDenseMemory(D)
    see(memory, 0, (A, 0.9))
    for frame_index in range(1, unseen + 1):
        assert see(memory, frame_index) == []
    assert len(memory) == (1 if unseen < 10 else 0)
    assert see(memory, unseen + 1, (A, 0.9)) == [returns_as]


def test_a_score_between_the_thresholds_continues_but_does_not_start():
    memory = QuasiDenseMemory(D)
    assert see(memory, 0, (A, 0.7)) == [-1]
    assert see(memory, 1, (A, 0.8)) == [1]
    assert see(memory, 2, (A, 0.4)) == [1]


def test_the_order_of_detections_does_not_matter():
    random = np.random.default_rng(0)
    appearances = 3 * random.normal(size=(6, D))
    for _ in range(20):
        memory = QuasiDenseMemory(D)
        first, second = random_frame(random, appearances), random_frame(random, appearances)
        memory.update(memory.associate(*first), *first, 0)
        found = memory.associate(*second)
        mixed = torch.tensor(random.permutation(len(second[0])))
        again = memory.associate(*(values[mixed] for values in second))
        assert again.assignment.tolist() == found.assignment[mixed].tolist()
        assert mixed[again.backdrops].tolist() == found.backdrops.tolist()


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12))
def test_ids_are_unique_in_a_frame_and_never_reused_and_carry_their_own_payload(seed: int, max_tracks: int):
    """Also while tracks are forgotten, evicted and refused."""
    random = np.random.default_rng(seed)
    appearances = 3 * random.normal(size=(10, D))
    memory = QuasiDenseMemory(D, QuasiDenseRules(max_tracks=max_tracks, retain_frames=3))
    carried: dict[int, float] = {}
    for frame_index in range(15):
        seen = random_frame(random, appearances)
        found = memory.associate(*seen)
        marks = torch.rand(len(found.tracked), 2, generator=torch.Generator().manual_seed(frame_index))
        before = dict(zip(memory.tracks.track_ids.tolist(), range(len(memory)), strict=True))
        update = memory.update(found, *seen, frame_index, mark=marks)
        ids = update.track_ids[update.track_ids > 0].tolist()
        assert len(ids) == len(set(ids)) and update.confirmed.sum() == len(ids)
        assert all(track_id in before or track_id not in carried for track_id in ids), "no id comes back"
        given_ids = update.track_ids[found.tracked].tolist()
        continued = [(track_id, row) for track_id, row in zip(given_ids, found.rows.tolist(), strict=True) if row >= 0]
        assert all(before[track_id] == row for track_id, row in continued)
        carried |= {track_id: mark for track_id, mark in zip(given_ids, marks.tolist(), strict=True) if track_id > 0}
        assert len(memory) <= max_tracks and len(memory.backdrops.seen) <= max_tracks
        if len(memory):
            assert memory.payload("mark").tolist() == [carried[i] for i in memory.tracks.track_ids.tolist()]


# payload


def test_a_detection_recalls_what_its_track_carries_and_a_new_one_itself():
    memory = QuasiDenseMemory(D)
    see(memory, 0, (A, 0.9), (OTHER, 0.9), feats=torch.tensor([[1.0], [2.0]]))
    found = memory.associate(*detections((B, 0.6), (OTHER, 0.9), ([0, 0, 0, 4.0], 0.9), (A, 0.8)))
    assert found.tracked.tolist() == [1, 2, 3] and found.rows.tolist() == [1, -1, 0]
    own = torch.tensor([[7.0], [8.0], [9.0]])
    assert memory.recall("feats", found, own).tolist() == [[2], [8], [1]]
    assert own.tolist() == [[7], [8], [9]]


def test_in_the_first_frame_everything_recalls_itself():
    memory = QuasiDenseMemory(D)
    found = memory.associate(*detections((A, 0.9)))
    assert memory.recall("feats", found, torch.ones(1, 3)).tolist() == [[1, 1, 1]]


def test_payloads_follow_their_tracks_when_one_is_evicted_and_one_refused():
    memory = QuasiDenseMemory(D, QuasiDenseRules(max_tracks=2))
    see(memory, 0, (A, 0.9), (OTHER, 0.9), feats=torch.tensor([[1.0], [2.0]]))
    fresh = [0, 0, 0, 4.0], [0, 4.0, 0, 0]
    ids = see(memory, 1, (OTHER, 0.9), (fresh[0], 0.8), (fresh[1], 0.9), feats=torch.tensor([[3.0], [4.0], [5.0]]))
    assert ids == [2, -1, 3]
    assert memory.tracks.track_ids.tolist() == [2, 3] and memory.payload("feats").tolist() == [[3], [5]]


def test_a_payload_is_kept_while_its_track_is_lost_and_is_not_the_callers():
    memory, feats = QuasiDenseMemory(D), torch.ones(1, 2, requires_grad=True)
    see(memory, 0, (A, 0.9), feats=feats)
    with torch.no_grad():
        feats.zero_()
    see(memory, 1)
    assert memory.payload("feats").tolist() == [[1, 1]] and not memory.payload("feats").requires_grad


@pytest.mark.parametrize(
    "payload, message",
    [
        ({}, r"carry \['feats'\], got \[\]"),
        ({"feats": torch.ones(1, 2), "logits": torch.ones(1, 2)}, r"carry \['feats'\], got \['feats', 'logits'\]"),
        ({"feats": torch.ones(2, 2)}, "payloads of 1 tracked detections, got 2"),
    ],
)
def test_payloads_that_do_not_fit_are_refused(payload, message):
    memory = QuasiDenseMemory(D)
    see(memory, 0, (A, 0.9), feats=torch.ones(1, 2))
    with pytest.raises(ValueError, match=message):
        see(memory, 1, (A, 0.9), **payload)


def test_a_long_video_does_not_grow_the_memory():
    """A full memory is as large after 120 frames as after 60."""
    random = np.random.default_rng(0)
    memory, sizes = QuasiDenseMemory(D, QuasiDenseRules(max_tracks=16)), []
    for frame_index in range(120):
        objects = [(4 * random.normal(size=D), 0.9) for _ in range(16)] + [(random.normal(size=D), 0.6)] * 20
        seen = detections(*objects)
        found = memory.associate(*seen)
        memory.update(found, *seen, frame_index, feats=torch.zeros(len(found.tracked), 8, 2, 2))
        sizes.append(memory.nbytes)
    assert len(memory) == 16 and memory.tracks.num_created > 60
    assert sizes[-1] == max(sizes) == sizes[59]


# what is refused


def test_embeddings_that_are_not_numbers_are_refused():
    memory = QuasiDenseMemory(D)
    see(memory, 0, (A, 0.9))
    with pytest.raises(ValueError, match="NaN"):
        memory.associate(*detections(([float("nan")] * D, 0.9)))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"init_score": 1.5}, "init_score"),
        ({"nms_class_iou": -0.1}, "nms_class_iou"),
        ({"momentum": 0.0}, "momentum"),
        ({"retain_frames": 0}, "retain_frames"),
        ({"retain_backdrops": -1}, "retain_backdrops"),
        ({"max_tracks": 0}, "max_tracks"),
    ],
)
def test_bad_rules_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        QuasiDenseRules(**options)


def test_results_are_tensors_of_the_detections():
    memory, seen = QuasiDenseMemory(D), detections((A, 0.9), (OTHER, 0.2))
    found = memory.associate(*seen)
    update = memory.update(found, *seen, 0)
    assert isinstance(found, Association) and isinstance(update, Update)
    assert found.assignment.dtype == update.track_ids.dtype == torch.int64
    assert len(found.assignment) == len(update.track_ids) == 2
