"""What several tests of the evaluators need."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from eval.sequences import FramePair


@pytest.fixture
def trackeval_data() -> Callable[[list[FramePair]], dict]:
    """Frames to what TrackEval's metrics take."""
    return _trackeval_data


def _trackeval_data(frames: list[FramePair]) -> dict:
    """The dict that TrackEval's datasets hand to its metrics: ids renumbered from 0."""
    gt_names, pred_names = (
        np.unique(np.concatenate([getattr(f, side) for f in frames])) for side in ("gt_ids", "pred_ids")
    )
    return {
        "gt_ids": [np.searchsorted(gt_names, f.gt_ids) for f in frames],
        "tracker_ids": [np.searchsorted(pred_names, f.pred_ids) for f in frames],
        "similarity_scores": [f.similarity for f in frames],
        "num_gt_ids": len(gt_names),
        "num_tracker_ids": len(pred_names),
        "num_gt_dets": sum(len(f.gt_ids) for f in frames),
        "num_tracker_dets": sum(len(f.pred_ids) for f in frames),
        "num_timesteps": len(frames),
    }
