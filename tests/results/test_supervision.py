"""Results as supervision.Detections: with the package where it is there, and with a stand-in always."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from vos_occ.results import to_supervision
from vos_occ.structures import FrameResult, OcclusionOrder, UserError, rle

HEIGHT, WIDTH = 6, 7


@pytest.fixture
def result() -> FrameResult:
    boxes = [[0, 0, 4, 4], [2, 2, 6, 6]]
    masks = [rle.from_box(box, HEIGHT, WIDTH) for box in boxes]
    order = OcclusionOrder(np.array([[False, True], [False, False]]))
    hidden = np.array([np.nan, 0.5], np.float32)
    return FrameResult(
        3, HEIGHT, WIDTH, [5, 9], [1, 0], [0.9, 0.4], np.array(boxes, np.float32), masks, hidden=hidden, order=order
    )


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("supervision")
    module.Detections = SimpleNamespace  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "supervision", module)


def check(detections, result: FrameResult) -> None:
    np.testing.assert_array_equal(detections.xyxy, result.boxes)
    np.testing.assert_array_equal(detections.mask, [rle.decode(mask) for mask in result.masks])
    assert detections.mask.dtype == bool
    np.testing.assert_array_equal(detections.confidence, result.scores)
    np.testing.assert_array_equal(detections.class_id, result.labels)
    np.testing.assert_array_equal(detections.tracker_id, result.track_ids)
    np.testing.assert_array_equal(detections.data["hidden"], result.hidden)
    assert detections.data["hidden_by"].tolist() == [(), (5,)]
    assert detections.data["class_name"].tolist() == ["cat", "dog"]


def test_every_field_is_handed_over(stand_in, result):
    check(to_supervision(result, ("dog", "cat")), result)


def test_names_are_left_out_unless_given_and_must_be_enough(stand_in, result):
    assert "class_name" not in to_supervision(result).data
    with pytest.raises(ValueError, match="label 1 of 1 classes"):
        to_supervision(result, ("dog",))


def test_changes_to_the_detections_leave_the_result_alone(stand_in, result):
    detections = to_supervision(result)
    for array in (detections.xyxy, detections.confidence, detections.tracker_id, detections.data["hidden"]):
        array[:] = 0
    assert result.boxes.any() and result.scores.all() and result.track_ids.all() and result.hidden[1] == 0.5


def test_without_the_package_one_line_says_how_to_get_it(monkeypatch, result):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(UserError, match="supervision.*`pip install supervision`") as error:
        to_supervision(result)
    assert "\n" not in str(error.value)


def test_the_package_takes_selects_merges_and_draws_them(result):
    supervision = pytest.importorskip("supervision", reason="the extra `supervision` is not installed")
    detections = to_supervision(result, ("dog", "cat"))
    check(detections, result)
    np.testing.assert_array_equal(detections.area, [16, 16])
    hidden = detections[detections.data["hidden"] > 0.1]
    assert hidden.tracker_id.tolist() == [9] and hidden.data["hidden_by"].tolist() == [(5,)]
    assert hidden["class_name"].tolist() == ["dog"]
    both = supervision.Detections.merge(
        [detections[detections.tracker_id == 9], detections[detections.tracker_id == 5]]
    )
    assert both.data["hidden_by"].tolist() == [(5,), ()]
    blank = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    drawn = supervision.MaskAnnotator(opacity=1).annotate(blank.copy(), detections)
    np.testing.assert_array_equal(drawn.any(axis=2), np.any(detections.mask, axis=0))


def test_the_package_takes_a_frame_without_objects():
    supervision = pytest.importorskip("supervision", reason="the extra `supervision` is not installed")
    detections = to_supervision(FrameResult.empty(0, HEIGHT, WIDTH), ("dog",))
    assert len(detections) == 0 and detections.mask.shape == (0, HEIGHT, WIDTH)
    assert len(supervision.Detections.merge([detections, supervision.Detections.empty()])) == 0
