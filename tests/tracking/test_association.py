"""Match scores and their one-to-one resolution."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vos_occ.tracking import assign, match_scores


def table(*rows: list[float]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float32)


def mmdet_rule(scores: torch.Tensor) -> list[int]:
    """mmdet's `assign_ids` with tracks for ids: in detection order, strictly better than the best so far."""
    best = [-1e6] * (scores.shape[1] - 1)
    result = []
    for row in scores:
        column = int(row.argmax())
        if column > 0 and row[column] <= best[column - 1]:
            column = -1
        elif column > 0:
            best[column - 1] = float(row[column])
        result.append(column)
    return result


def test_scores_follow_the_paper():
    logits = table([0.0, 1.0, 2.0])
    scores = match_scores(
        logits, torch.tensor([0.5]), torch.tensor([[0.25, 0.75]]), torch.tensor([[True, False]]), iou_weight=2.0
    )
    log_p = np.log(np.exp([0.0, 1.0, 2.0]) / np.exp([0.0, 1.0, 2.0]).sum())
    expected = log_p + np.log(0.5) + [10.0, 2 * 0.25 + 10.0, 2 * 0.75]
    np.testing.assert_allclose(scores.numpy()[0], expected, rtol=1e-6)


def test_scores_stay_finite_where_a_probability_underflows():
    logits = table([0.0, 300.0, -300.0])
    scores = match_scores(logits, torch.zeros(1), torch.zeros(1, 2), torch.ones(1, 2, dtype=torch.bool))
    assert not torch.isfinite(logits.softmax(1).log()).all()
    assert torch.isfinite(scores).all()
    assert scores[0, 0] > scores[0, 2]


@pytest.mark.parametrize("num_detections, num_tracks", [(0, 0), (0, 3), (3, 0)])
def test_scores_of_no_detections_or_no_tracks(num_detections, num_tracks):
    pairs = torch.zeros(num_detections, num_tracks)
    logits = torch.zeros(num_detections, num_tracks + 1)
    scores = match_scores(logits, torch.ones(num_detections), pairs, pairs.bool())
    assert scores.shape == (num_detections, num_tracks + 1)
    assert assign(scores).tolist() == [0] * num_detections
    assert assign(scores, "hungarian").tolist() == [0] * num_detections


def test_scores_refuse_shapes_that_do_not_belong_together():
    with pytest.raises(ValueError, match=r"logits \(N, K \+ 1\)"):
        match_scores(torch.zeros(2, 3), torch.ones(2), torch.zeros(2, 3), torch.zeros(2, 3))


ASSIGNMENTS = [
    ("each its own track", [[0, 5, 1], [0, 1, 5]], [1, 2], [1, 2], [1, 2]),
    ("nothing similar in memory", [[9, 5, 1], [9, 1, 5]], [0, 0], [0, 0], [0, 0]),
    ("the first of two is better", [[0, 6, 4], [1, 5, 4]], [1, -1], [1, 2], [1, 2]),
    ("the later of two is better", [[1, 5, 4], [0, 6, 4]], [-1, 1], [2, 1], [2, 1]),
    ("the first of equals keeps the track", [[3, 5, 0], [3, 5, 0]], [1, -1], [1, 0], None),
    (
        "a loser does not take a track that is spoken for",
        [[0, 9, 8], [0, 8, 7], [0, 1, 2]],
        [1, -1, 2],
        [1, 0, 2],
        None,
    ),
    ("a loser prefers to be new", [[5, 9, 4], [5, 8, 4]], [1, -1], [1, 0], [1, 0]),
    ("more detections than tracks", [[0, 3], [0, 2], [0, 1]], [1, -1, -1], [1, 0, 0], [1, 0, 0]),
    ("the sum beats the first choice", [[0, 10, 9], [0, 9.5, 1]], [1, -1], [1, 2], [2, 1]),
]


@pytest.mark.parametrize(
    "rows, greedy, reassigned, hungarian", [row[1:] for row in ASSIGNMENTS], ids=[row[0] for row in ASSIGNMENTS]
)
def test_assignment(rows, greedy, reassigned, hungarian):
    scores = table(*rows)
    assert assign(scores).tolist() == greedy
    assert assign(scores, reassign_losers=True).tolist() == reassigned
    if hungarian is not None:
        assert assign(scores, "hungarian").tolist() == hungarian


score_tables = st.tuples(st.integers(0, 6), st.integers(1, 6), st.integers(0, 2**32 - 1)).map(
    # quarters, so that ties happen
    lambda drawn: torch.from_numpy(np.random.default_rng(drawn[2]).integers(-8, 8, drawn[:2]) / 4.0)
)


@settings(deadline=None)
@given(score_tables, st.sampled_from([("greedy", False), ("greedy", True), ("hungarian", False)]))
def test_two_detections_never_share_a_track(scores, option):
    assignment = assign(scores, option[0], reassign_losers=option[1])
    continued = assignment[assignment > 0]
    assert len(continued) == len(continued.unique())
    if option != ("greedy", False):
        assert (assignment >= 0).all()


@settings(deadline=None)
@given(score_tables)
def test_greedy_equals_mmdet_wherever_that_is_one_to_one(scores):
    expected = mmdet_rule(scores)
    continued = [column for column in expected if column > 0]
    assignment = assign(scores).tolist()
    if len(continued) == len(set(continued)):
        assert assignment == expected
    else:  # there the last to claim a track has the highest score; it keeps the track, and nothing else changes
        last = {column: index for index, column in enumerate(expected)}
        assert assignment == [
            -1 if column > 0 and last[column] != index else column for index, column in enumerate(expected)
        ]


@settings(deadline=None)
@given(score_tables)
def test_hungarian_is_at_least_as_good_as_greedy(scores):
    def total(assignment: torch.Tensor) -> float:
        return float(scores[torch.arange(len(scores)), assignment].sum())

    assert total(assign(scores, "hungarian")) >= total(assign(scores, reassign_losers=True)) - 1e-9


def test_the_copied_rule_is_mmdets():
    pytest.importorskip("vos_occ.compat")
    tracker_class = importlib.import_module("mmdet.models.trackers").MaskTrackRCNNTracker
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        scores = torch.randn(5, 4, generator=generator)
        tracker = tracker_class()
        tracker.tracks = {100: None, 101: None, 102: None}
        tracker.num_tracks = 200
        ids, _ = tracker.assign_ids(scores)
        as_columns = [0 if track_id >= 200 else int(track_id) - 99 if track_id >= 0 else -1 for track_id in ids]
        assert as_columns == mmdet_rule(scores)


def test_infinite_scores_mean_never():
    scores = table([-np.inf, -np.inf, 1.0], [0.0, -np.inf, -np.inf])
    assert assign(scores).tolist() == [2, 0]
    assert assign(scores, "hungarian").tolist() == [2, 0]


def test_nan_scores_and_unknown_methods_are_refused():
    with pytest.raises(ValueError, match="NaN"):
        assign(table([0.0, np.nan]))
    with pytest.raises(ValueError, match="'greedy' or 'hungarian'"):
        assign(table([0.0, 1.0]), "optimal")
