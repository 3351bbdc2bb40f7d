"""What being hidden changes in the memory, and that nothing changes unless asked for."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vos_occ.tracking import OcclusionRules, TrackMemory, TrackState
from vos_occ.tracking.occlusion import mix
from vos_occ.tracking.search import covering, main_occluders, nearness

X, Y, Z = torch.eye(3)
BOX = (0.0, 0.0, 10.0, 10.0)


def see(memory: TrackMemory, frame_index: int, *seen: tuple, order: list[tuple[int, int]] | None = None) -> list[int]:
    """One frame of (column, embedding, box, hidden); `order` holds pairs (i hides part of j). The ids given."""
    columns, embeddings, boxes, hidden = (list(values) for values in zip(*seen, strict=True)) if seen else ([],) * 4
    in_front = torch.zeros(len(seen), len(seen), dtype=torch.bool)
    for i, j in order or []:
        in_front[i, j] = True
    update = memory.update(
        torch.tensor(columns, dtype=torch.int64),
        torch.stack(embeddings) if seen else torch.zeros(0, 3),
        torch.tensor(boxes).reshape(-1, 4),
        torch.zeros(len(seen)),
        torch.ones(len(seen)),
        frame_index,
        hidden=torch.tensor(hidden, dtype=torch.float32),
        in_front=in_front,
    )
    return update.track_ids.tolist()


def memory(momentum: float = 0.0, **rules) -> TrackMemory:
    return TrackMemory(3, momentum=momentum, occlusion=OcclusionRules(**rules))


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.3, 0.75]), st.sampled_from([1, 2]))
def test_without_rules_what_is_hidden_changes_no_bit(seed: int, momentum: float, confirm_after: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    options = {"max_tracks": 4, "retain_frames": 3, "momentum": momentum, "confirm_after": confirm_after}
    told, untold = TrackMemory(3, **options), TrackMemory(3, **options)
    for frame_index in range(12):
        num = int(torch.randint(0, 4, (1,), generator=draw))
        columns = torch.randperm(len(told) + num, generator=draw)[:num]
        columns = torch.where(columns < len(told), columns + 1, 0)
        corner = 20 * torch.rand(num, 2, generator=draw)
        seen = (
            columns,
            torch.randn(num, 3, generator=draw),
            torch.cat([corner, corner + 10], dim=1),
            torch.zeros(num),
            torch.rand(num, generator=draw),
            frame_index,
        )
        hidden, in_front = torch.rand(num, generator=draw), torch.rand(num, num, generator=draw) > 0.5
        updates = told.update(*seen, hidden=hidden, in_front=in_front), untold.update(*seen)
        assert torch.equal(updates[0].track_ids, updates[1].track_ids)
        for name in ("embeddings", "boxes", "labels", "track_ids", "states", "last_seen"):
            assert torch.equal(getattr(told, name), getattr(untold, name)), name
        ious = torch.rand(2, len(told), generator=draw)
        assert told.location_scores(torch.rand(2, 4, generator=draw), ious) is ious


def test_the_more_is_hidden_the_less_a_view_changes_the_embedding():
    towards_new = []
    for hidden in (0.0, 0.3, 0.6, 1.0):
        tracks = memory(embedding_power=2.0)
        see(tracks, 0, (0, X, BOX, 0.0))
        see(tracks, 1, (1, Y, BOX, hidden))
        towards_new.append(float(tracks.embeddings[0] @ Y))
    assert towards_new == sorted(towards_new, reverse=True)
    assert towards_new[0] == 1.0 and towards_new[-1] < 0.01


def test_a_good_view_replaces_bad_ones_at_once_if_views_are_weighed():
    looks = {}
    for weigh_views in (False, True):
        tracks = memory(momentum=0.7, embedding_power=4.0, weigh_views=weigh_views)
        see(tracks, 0, (0, X, BOX, 0.8))  # born in hiding
        see(tracks, 1, (1, Y, BOX, 0.0))
        looks[weigh_views] = float(tracks.embeddings[0] @ Y)
    assert looks[True] > 0.99 > 0.6 > looks[False]


def test_weighed_views_are_a_fading_mean():
    tracks = memory(momentum=0.5, embedding_power=1.0, weigh_views=True)
    views = [(X, 0.0), (Y, 0.5), (Z, 0.75)]
    for frame_index, (look, hidden) in enumerate(views):
        see(tracks, frame_index, (min(frame_index, 1), look, BOX, hidden))
    first = mix(X[None], Y[None], torch.tensor([0.5 / (0.5 + 0.5)]))
    second = mix(first, Z[None], torch.tensor([0.25 / (0.5 * 1.0 + 0.25)]))
    torch.testing.assert_close(tracks.embeddings, second)


@given(st.floats(0, 1), st.floats(0, math.pi - 0.01), st.floats(0.1, 10), st.floats(0.1, 10))
def test_a_mix_keeps_the_length(share: float, angle: float, first: float, second: float):
    old = torch.tensor([[first, 0.0]])
    new = second * torch.tensor([[math.cos(angle), math.sin(angle)]])
    length = float(mix(old, new, torch.tensor([share])).norm())
    assert length == pytest.approx((1 - share) * first + share * second, rel=1e-3)


def test_a_hidden_view_moves_the_box_less():
    tracks = memory(box_power=1.0)
    see(tracks, 0, (0, X, (0.0, 0, 10, 10), 0.0))
    see(tracks, 1, (1, X, (8.0, 0, 10, 10), 0.75))
    assert tracks.boxes.tolist() == [[2, 0, 10, 10]]


@pytest.mark.parametrize(
    ("situation", "hidden", "order", "lives"),
    [
        ("in full view", 0.1, [], False),
        ("much of it hidden", 0.4, [], True),
        ("behind another track", 0.1, [(0, 1)], True),
        ("before another track", 0.1, [(1, 0)], False),
    ],
)
def test_what_vanishes_behind_something_lives_longer(situation, hidden, order, lives):
    tracks = TrackMemory(3, retain_frames=2, occlusion=OcclusionRules(retain_frames=5))
    other = (20.0, 0.0, 40.0, 10.0)
    see(tracks, 0, (0, X, other, 0.0), (0, Y, (12.0, 0, 22, 10), hidden), order=order)
    for frame_index in range(1, 5):
        see(tracks, frame_index, (1, X, other, 0.0))
    assert (2 in tracks.track_ids) == lives, situation
    see(tracks, 5, (1, X, other, 0.0))
    assert tracks.track_ids.tolist() == [1], "forgotten at last"


def test_a_track_that_a_box_covers_when_it_is_first_missed_is_behind_it():
    for cover, occluder in ((0.5, 1), (0.9, 0)):
        tracks = TrackMemory(3, occlusion=OcclusionRules(near=1.0, cover=cover))
        see(tracks, 0, (0, X, (10.0, 0, 30, 10), 0.0), (0, Y, (0.0, 0, 10, 10), 0.0))
        see(tracks, 1, (1, X, (3.0, 0, 23, 10), 0.0))
        assert tracks.occluders.tolist() == [0, occluder]


@pytest.mark.parametrize(
    ("motion", "left"), [("still", 12.0), ("velocity", 18.0), ("occluder", 4.0)], ids=["still", "velocity", "occluder"]
)
def test_where_the_box_of_a_lost_track_goes(motion, left):
    """It went right by 2 a frame for three frames; the track that hides it then goes left by 4 a frame, twice."""
    tracks = TrackMemory(3, occlusion=OcclusionRules(motion=motion))
    for t in range(2):
        see(
            tracks,
            t,
            (t, X, (20.0, 0, 40, 20), 0.0),
            (2 * t, Y, (10.0 + 2 * t, 0, 20 + 2 * t, 10), 0.5),
            order=[(0, 1)],
        )
    for t in range(2, 4 if motion != "velocity" else 5):
        see(tracks, t, (1, X, (20.0 - 4 * (t - 1), 0, 40 - 4 * (t - 1), 20), 0.0))
    assert float(tracks.boxes[1, 0]) == pytest.approx(left)


def test_an_object_that_comes_back_on_its_course_keeps_its_velocity():
    tracks = TrackMemory(3, occlusion=OcclusionRules(motion="velocity"))
    for t in (0, 1, 2, 8):
        see(tracks, t, (min(t, 1), X, (5.0 * t, 0, 5.0 * t + 10, 10), 0.0))
        for missed in range(3, 8) if t == 2 else ():
            see(tracks, missed)
    assert tracks._rows.velocities.tolist() == [[5, 0]]


def test_a_track_that_is_seen_again_is_behind_nothing_until_that_is_known_anew():
    """A model that does not know the order says nothing of who is in front; then boxes alone tell."""
    tracks = TrackMemory(3, retain_frames=2, occlusion=OcclusionRules(near=1.0, retain_frames=9))
    cover, away = (0.0, 0.0, 12.0, 10.0), (200.0, 0.0, 210.0, 10.0)
    frames = [[(0, X, cover), (0, Y, BOX)], [(1, X, cover)], [(1, X, cover), (2, Y, away)], [(1, X, cover)]]
    behind = []
    for t, seen in enumerate(frames):
        columns, embeddings, boxes = zip(*seen, strict=True)
        unsaid = torch.zeros(len(seen)), torch.ones(len(seen)), t
        tracks.update(torch.tensor(columns), torch.stack(embeddings), torch.tensor(boxes), *unsaid)
        behind.append(tracks.occluders.tolist())
    assert behind == [[0, 0], [0, 1], [0, 0], [0, 0]]
    tracks.update(torch.tensor([1]), X[None], torch.tensor([cover]), torch.zeros(1), torch.ones(1), 4)
    assert tracks.track_ids.tolist() == [1], "vanished in the open, it lives no longer than others"


def test_a_view_that_is_not_taken_weighs_nothing():
    def remembered(*views: tuple[torch.Tensor, bool]) -> torch.Tensor:
        tracks = memory(momentum=0.5, weigh_views=True)
        for t, (embedding, keep) in enumerate(views):
            known = torch.tensor([min(t, 1)]), embedding[None], torch.tensor([BOX]), torch.zeros(1), torch.ones(1), t
            tracks.update(*known, keep_embedding=torch.tensor([keep]))
        return tracks.embeddings

    assert torch.equal(remembered((X, False), (Y, True), (Z, False)), remembered((X, False), (Z, False)))


def test_a_lost_track_is_looked_for_near_its_occluder_and_the_search_widens():
    tracks = TrackMemory(3, occlusion=OcclusionRules(near=0.5, near_growth=0.5))
    front, behind = (20.0, 0.0, 60.0, 40.0), (15.0, 0.0, 25.0, 10.0)
    see(tracks, 0, (0, X, front, 0.0), (0, Y, behind, 0.6), order=[(0, 1)])
    other_side = torch.tensor([[62.0, 30, 70, 40]])
    nothing = torch.zeros(1, 2)
    assert tracks.location_scores(other_side, nothing).tolist() == [[0, 0]], "it is not lost yet"
    near = []
    for frame_index in (1, 2, 5):
        see(tracks, frame_index, (1, X, front, 0.0))
        scores = tracks.location_scores(other_side, nothing)
        assert scores[0, 0] == 0, "the occluder itself is where it is"
        near.append(float(scores[0, 1]))
    assert 0 < near[0] < near[1] < near[2] < 0.5
    ious = torch.full((1, 2), 0.7)
    assert torch.equal(tracks.location_scores(other_side, ious), ious), "lying on its last box counts more"


def test_a_forgotten_occluder_is_nobodys():
    tracks = TrackMemory(3, retain_frames=2, occlusion=OcclusionRules(retain_frames=9, near=1.0, motion="occluder"))
    see(tracks, 0, (0, X, (20.0, 0, 60, 40), 0.0), (0, Y, (15.0, 0, 25, 10), 0.6), order=[(0, 1)])
    for frame_index in range(1, 4):
        see(tracks, frame_index)
    assert tracks.track_ids.tolist() == [2] and tracks.states.tolist() == [TrackState.LOST]
    ious = torch.full((1, 1), 0.25)
    assert torch.equal(tracks.location_scores(torch.tensor([[20.0, 0, 30, 10]]), ious), ious)


def test_of_several_in_front_the_one_that_shares_most_is_the_occluder():
    boxes = torch.tensor([[0.0, 0, 10, 10], [5, 0, 15, 10], [8, 0, 18, 10], [90, 0, 99, 9]])
    in_front = torch.tensor([[0, 0, 0, 1], [1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]]).bool()
    assert main_occluders(boxes, in_front).tolist() == [1, 2, -1, -1], "the last shares nothing with who is said"
    assert main_occluders(boxes[:0], in_front[:0, :0]).tolist() == []


def test_nobody_covers_where_nobody_is():
    assert covering(torch.tensor([BOX]), torch.zeros(0, 4), 0.5).tolist() == [-1]


def test_nearness_is_one_inside_the_box_and_falls_outside():
    boxes = torch.tensor([[4.0, 4, 6, 6], [10, 0, 20, 10], [30, 0, 40, 10]])
    near = nearness(boxes, torch.tensor([BOX]), torch.tensor([10.0]), torch.tensor([0]), 0.5, 0.1)[:, 0]
    assert near.tolist() == pytest.approx([1.0, math.exp(-0.5), math.exp(-0.5 * 25)])


@pytest.mark.parametrize(
    "rules",
    [
        {"embedding_power": -1.0},
        {"match_power": -1.0},
        {"near": 1.5},
        {"cover": 0.0},
        {"hidden_above": 2.0},
        {"retain_frames": 0},
        {"motion": "fast"},
        {"near_radius": 0.0},
    ],
)
def test_bad_rules_are_refused(rules):
    with pytest.raises(ValueError):
        OcclusionRules(**rules)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"hidden": torch.tensor([1.5])}, "hidden fractions"),
        ({"hidden": torch.tensor([float("nan")])}, "hidden fractions"),
        ({"in_front": torch.zeros(1, 1)}, "in_front"),
    ],
)
def test_what_is_said_of_hiding_is_checked(told, message):
    with pytest.raises(ValueError, match=message):
        memory().update(None, X[None], torch.tensor([BOX]), torch.zeros(1), torch.ones(1), 0, **told)
