"""The one loop of inference: frames in, results out, each handed on as soon as it is final. Writes nothing itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from vos_occ.inference.session import VideoSession
from vos_occ.media import Frame
from vos_occ.models.video.contract import VideoModel
from vos_occ.structures import FrameResult


def track(
    model: VideoModel, frames: Iterable[Frame], num_frames: int | None = None
) -> Iterator[tuple[Frame, FrameResult]]:
    """Runs a model over one video.

    Args:
        model: a video model.
        frames: of one video, in order.
        num_frames: how many they are, where it is known.

    Yields:
        Every frame with its result, in order; `frame_index` is that of the frame, also where a clip leaves some out.
        Frames wait only for models that answer late, and then a few at most.
    """
    session = VideoSession(model, num_frames)
    waiting: dict[int, Frame] = {}
    for position, frame in enumerate(frames):
        waiting[position] = frame
        for result in session.step(frame.image):
            yield _paired(waiting, result)
    for result in session.finish():
        yield _paired(waiting, result)


def _paired(waiting: dict[int, Frame], result: FrameResult) -> tuple[Frame, FrameResult]:
    frame = waiting.pop(result.frame_index)
    return frame, result if frame.index == result.frame_index else replace(result, frame_index=frame.index)


def only_labels(result: FrameResult, labels: frozenset[int]) -> FrameResult:
    """The objects of `result` with one of `labels`; who hides whom is kept among them."""
    keep = np.flatnonzero(np.isin(result.labels, list(labels)))
    return select(result, keep)


def select(result: FrameResult, keep: np.ndarray) -> FrameResult:
    """The objects of `result` at the indices `keep`."""
    occluders, order = result.occluder_masks, result.order
    return replace(
        result,
        track_ids=result.track_ids[keep],
        labels=result.labels[keep],
        scores=result.scores[keep],
        boxes=result.boxes[keep],
        masks=[result.masks[i] for i in keep],
        occluder_masks=None if occluders is None else [occluders[i] for i in keep],
        hidden=None if result.hidden is None else result.hidden[keep],
        order=None if order is None else type(order)(order.matrix[np.ix_(keep, keep)]),
    )
