from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eval.readers.coco import read_coco
from eval.readers.ytvis import Track, YtvisDataset
from vos_occ.inference.benchmark import run_dataset
from vos_occ.inference.run import select
from vos_occ.scoring import OcclusionMatches, VideoScores, score_dataset
from vos_occ.structures import FrameResult, OcclusionOrder
from vos_occ.structures.errors import InputError


@pytest.fixture
def score(oracle: Callable, truth: YtvisDataset, world: Path, tmp_path: Path) -> Callable[..., VideoScores]:
    """Scores of the truth, changed frame by frame; written to files and read back."""

    def score(change: Callable[[FrameResult], FrameResult] = lambda result: result) -> VideoScores:
        run_dataset(oracle(change), truth, world / "frames", tmp_path / "out", overwrite=True)
        return score_dataset(truth, tmp_path / "out")

    return score


@pytest.fixture
def pair(truth: YtvisDataset) -> tuple[int, int]:
    """Two tracks of one class and one video that are seen in every frame from the fourth to the sixth."""
    for a in truth.tracks:
        for b in truth.tracks:
            alike = (a.video_id, a.category_id) == (b.video_id, b.category_id)
            if a.id < b.id and alike and all(a.segmentations[3:6]) and all(b.segmentations[3:6]):
                return a.id, b.id
    raise AssertionError("the synthetic world has changed: choose other seeds")


def test_the_truth_scores_perfectly(score: Callable) -> None:
    scores = score().as_dict()
    perfect = {"tube_AP": 1, "tube_AP50": 1, "IDF1": 1, "MOTSA": 1, "ID_switches": 0, "order_accuracy": 1}
    perfect |= {"hidden_MAE": 0, "hidden_Spearman": 1, "unoccluded_called_hidden": 0, "order_coverage": 1}
    assert {name: scores[name] for name in perfect} == pytest.approx(perfect, abs=1e-6)
    assert 0 < scores["order_accuracy_of_lower_edge"] < 1
    assert scores["hidden_MAE_of_mean"] > 0.1


def test_swapped_ids_are_counted(score: Callable, pair: tuple[int, int]) -> None:
    a, b = pair

    def swap(result: FrameResult) -> FrameResult:
        if result.frame_index < 4:
            return result
        return replace(result, track_ids=np.array([{a: b, b: a}.get(i, i) for i in result.track_ids.tolist()]))

    scores = score(swap)
    assert scores.clear.idsw == 2
    assert sorted(video.total for video in scores.switches)[-2:] == [0, 2] and len(scores.switches) > 1
    assert scores.identity.idf1 < 1
    assert scores.tube_ap < 1
    assert scores.hidden.mae == pytest.approx(0, abs=1e-6)  # ids do not matter to it


def test_a_missed_track_lowers_recall_not_order(score: Callable, pair: tuple[int, int]) -> None:
    scores = score(lambda result: select(result, np.flatnonzero(result.track_ids != pair[0])))
    assert scores.clear.idsw == 0
    assert scores.clear.fn > 0
    assert scores.clear.fp == 0
    assert scores.identity.idf1 < 1
    assert scores.order.accuracy == 1  # among the objects found


def test_a_wrong_class_is_a_miss_and_a_false_alarm(score: Callable, pair: tuple[int, int]) -> None:
    def rename(result: FrameResult) -> FrameResult:
        return replace(result, labels=np.where(result.track_ids == pair[0], (result.labels + 1) % 6, result.labels))

    scores = score(rename)
    assert scores.clear.fn == scores.clear.fp > 0
    assert scores.hidden.mae == pytest.approx(0, abs=1e-6)


def test_wrong_hidden_fractions_are_measured(score: Callable) -> None:
    def shift(result: FrameResult) -> FrameResult:
        return replace(result, hidden=np.where(result.hidden < 0.5, result.hidden + 0.2, result.hidden - 0.2))

    scores = score(shift)
    assert scores.hidden.mae == pytest.approx(0.2, abs=1e-6)
    assert scores.hidden.false_alarms == 1
    assert scores.tube_ap == 1


def test_a_reversed_order_is_wrong_everywhere(score: Callable) -> None:
    scores = score(lambda result: replace(result, order=OcclusionOrder(result.order.matrix.T)))
    assert scores.order.accuracy == 0
    assert scores.order.coverage == 1


def test_results_without_occlusion_have_no_scores_of_it(score: Callable) -> None:
    scores = score(lambda result: replace(result, occluder_masks=None, hidden=None, order=None)).as_dict()
    assert scores["hidden_MAE"] is None
    assert scores["order_accuracy"] is None
    assert scores["order_coverage"] == 0
    assert scores["order_accuracy_of_lower_edge"] > 0


def test_the_baseline_is_the_same_for_every_model(score: Callable) -> None:
    """It looks at true boxes: boxes that a model got wrong do not move it."""

    def bend(result: FrameResult) -> FrameResult:
        return replace(result, boxes=result.boxes + np.float32([0, 0, 0, 9]) * result.track_ids[:, None])

    assert score(bend).order.baseline_correct == score().order.baseline_correct


def test_no_results_at_all_score_zero(score: Callable) -> None:
    scores = score(lambda result: select(result, np.arange(0)))
    assert (scores.tube_ap, scores.identity.idf1, scores.clear.tp) == (0, 0, 0)
    assert (scores.hidden, scores.order) == (None, None)


def test_a_data_set_without_occlusion_is_scored_without(score: Callable, truth: YtvisDataset, tmp_path: Path) -> None:
    score()
    plain = replace(truth, tracks=tuple(replace(track, extra={}) for track in truth.tracks))
    scores = score_dataset(plain, tmp_path / "out")
    assert scores.tube_ap == 1
    assert (scores.hidden, scores.order) == (None, None)
    assert "hidden_MAE" not in scores.as_dict()


def test_hidden_fractions_without_an_order_are_scored_alone(score: Callable, truth: YtvisDataset, tmp_path) -> None:
    score()
    tracks = tuple(replace(track, extra={"hidden": track.extra["hidden"]}) for track in truth.tracks)
    scores = score_dataset(replace(truth, tracks=tracks), tmp_path / "out")
    assert scores.hidden.mae == pytest.approx(0, abs=1e-6)
    assert scores.order is None


def test_results_that_end_early_are_not_scored(score: Callable, truth: YtvisDataset, tmp_path: Path) -> None:
    """The frames that are missing would count neither as found nor as missed."""
    score()
    path = tmp_path / "out" / "jsonl" / f"{truth.videos[0].id}.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-2]))
    with pytest.raises(InputError, match=r"has 6 of the 8 frames of its video. Run the test again"):
        score_dataset(truth, tmp_path / "out")


def test_images_are_scored_like_frames(oracle: Callable, truth: YtvisDataset, world: Path) -> None:
    model, images = oracle(), read_coco(world / "annotations_coco.json")
    state = model.new_state(type("Meta", (), {"height": 96, "width": 160}))
    matches = OcclusionMatches()
    for t in range(8):
        people = [a for a in images.annotations if a.image_id == t + 1]
        matches.add_image(people, model.step(state, None, t)[0])
    assert matches.hidden().mae == pytest.approx(0, abs=1e-6)
    assert matches.order.accuracy == 1


def test_an_id_that_changes_while_its_object_is_hidden_counts_across_a_gap(
    oracle: Callable, truth: YtvisDataset, world: Path, tmp_path: Path, pair: tuple[int, int]
) -> None:
    """The first of the pair is said to be hidden in frame 4, is not found in it, and comes back as somebody else."""

    def hide(track: Track) -> Track:
        return replace(track, extra=track.extra | {"hidden": [*track.extra["hidden"][:4], 0.9, *[0.0] * 3]})

    def lose(result: FrameResult) -> FrameResult:
        its = result.track_ids == pair[0]
        if result.frame_index == 4:
            return select(result, np.flatnonzero(~its))
        return replace(result, track_ids=result.track_ids + 1000 * (its & (result.frame_index > 4)))

    hidden = replace(truth, tracks=[hide(t) if t.id == pair[0] else t for t in truth.tracks])
    gaps = {}
    for name, change in (("kept", lambda result: result), ("lost", lose)):
        run_dataset(oracle(change), truth, world / "frames", tmp_path / name)
        scores = score_dataset(hidden, tmp_path / name)
        gaps[name] = scores.levels.gaps, scores.as_dict()["ID_switches_across_gaps"]
        assert sum(video.across_gaps for video in scores.switches) == gaps[name][1]
    assert gaps["kept"][1] == 0
    assert gaps["lost"] == (gaps["kept"][0] + 1, 1)
