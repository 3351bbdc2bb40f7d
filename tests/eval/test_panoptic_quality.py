"""Panoptic Quality, rule by rule, on maps small enough to count."""

from __future__ import annotations

import numpy as np
import pytest

from eval.panoptic import PanopticCounts, Segments, count_ids, panoptic_counts

CAR, SKY = 0, 1


def segments(art: str, categories: dict[str, int], crowd: str = "", areas: dict[str, int] | None = None) -> Segments:
    """A map of letters, each a segment; `.` is void."""
    id_map = np.array([[0 if c == "." else ord(c) for c in line.strip()] for line in art.strip().splitlines()])
    counted = dict(zip(*(values.tolist() for values in count_ids(id_map)), strict=True))
    return Segments(
        id_map=id_map,
        ids=np.array([ord(letter) for letter in categories], np.int64),
        categories=np.array(list(categories.values()), np.int64),
        areas=np.array([(areas or {}).get(letter, counted.get(ord(letter), 0)) for letter in categories], np.int64),
        crowd=np.array([letter in crowd for letter in categories], bool),
    )


def tally(truth: Segments, predicted: Segments) -> list[tuple[int, int, int]]:
    """TP, FP and FN of both categories."""
    counts = panoptic_counts(truth, predicted, 2)
    return list(zip(counts.tp.tolist(), counts.fp.tolist(), counts.fn.tolist(), strict=True))


def test_an_iou_of_exactly_a_half_is_no_match() -> None:
    truth = segments("aaaabbbb", {"a": CAR, "b": SKY})
    half = segments("xx..yyyy", {"x": CAR, "y": SKY})
    assert tally(truth, half) == [(0, 1, 1), (1, 0, 0)]
    more = segments("xxx.yyyy", {"x": CAR, "y": SKY})
    counts = panoptic_counts(truth, more, 2)
    assert counts.iou_sum.tolist() == [0.75, 1.0]
    assert (counts.pq.tolist(), counts.sq.tolist(), counts.rq.tolist()) == ([0.75, 1.0], [0.75, 1.0], [1.0, 1.0])


def test_void_is_taken_out_of_the_union_and_hides_what_lies_mostly_in_it() -> None:
    truth = segments("aaaa....", {"a": CAR})
    assert panoptic_counts(truth, segments("xxxxxx..", {"x": CAR}), 2).iou_sum[CAR] == 1
    assert tally(truth, segments("...xyyyy", {"x": CAR, "y": SKY})) == [(0, 1, 1), (0, 0, 0)]
    assert tally(truth, segments("..yyyy..", {"y": SKY})) == [(0, 0, 1), (0, 1, 0)], "half in void is not mostly"


def test_a_crowd_hides_predictions_of_its_class_only() -> None:
    truth = segments("aaaabbbb", {"a": CAR, "b": SKY}, crowd="a")
    assert tally(truth, segments("xxx.bbbb", {"x": CAR, "b": SKY})) == [(0, 0, 0), (1, 0, 0)]
    assert tally(truth, segments("xxx.bbbb", {"x": SKY, "b": SKY})) == [(0, 0, 0), (1, 1, 0)]


def test_of_several_crowds_of_a_class_only_the_last_hides() -> None:
    truth = segments("aaaabbbb", {"a": CAR, "b": CAR}, crowd="ab")
    assert tally(truth, segments("xxxx....", {"x": CAR}))[CAR] == (0, 1, 0)
    assert tally(truth, segments("....yyyy", {"y": CAR}))[CAR] == (0, 0, 0)


def test_the_area_that_the_file_states_counts() -> None:
    truth = segments("aaaa....", {"a": CAR}, areas={"a": 8})
    assert panoptic_counts(truth, segments("xxxxxx..", {"x": CAR}), 2).tp[CAR] == 0, "4 / (6 + 8 - 4 - 2)"


def test_true_pixels_that_the_file_does_not_know_are_not_void() -> None:
    truth = segments("aaaabbbb", {"a": CAR})
    assert tally(truth, segments("xxxxyyyy", {"x": CAR, "y": SKY})) == [(1, 0, 0), (0, 1, 0)]


def test_a_class_that_nobody_shows_has_no_quality() -> None:
    nothing = segments("....", {})
    counts = panoptic_counts(nothing, nothing, 2)
    assert not counts.defined.any()
    assert np.isnan([counts.pq, counts.sq, counts.rq]).all()
    missed = panoptic_counts(segments("aa..", {"a": CAR}), nothing, 2)
    assert (missed.pq[CAR], missed.sq[CAR], missed.rq[CAR]) == (0, 0, 0)


def test_counts_of_images_add_up() -> None:
    truth, predicted = segments("aaaabbbb", {"a": CAR, "b": SKY}), segments("xxx.yyyy", {"x": CAR, "y": CAR})
    one = panoptic_counts(truth, predicted, 2)
    two = sum([one, one], PanopticCounts.zero(2))
    assert (two.iou_sum.tolist(), two.tp.tolist(), two.fp.tolist(), two.fn.tolist()) == (
        (2 * one.iou_sum).tolist(),
        [2, 0],
        [2, 0],
        [0, 2],
    )


def test_maps_of_different_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"one size, found \(1, 4\) and \(1, 3\)"):
        panoptic_counts(segments("aa..", {"a": CAR}), segments("aa.", {"a": CAR}), 2)
