"""A dataset of the synthetic world, and a model that answers with its truth, or with what a test makes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from eval.readers.ytvis import Video, YtvisDataset, read_ytvis
from vos_occ.datasets.synthetic import write_dataset
from vos_occ.models.video.contract import VideoMeta
from vos_occ.structures import FrameResult, OcclusionOrder
from vos_occ.structures.rle import bounding_box

Change = Callable[[FrameResult], FrameResult]


@dataclass
class OracleState:
    meta: VideoMeta
    video_id: int


class Oracle:
    """Knows the dataset by heart; videos must be started in its order.

    Args:
        dataset: what it answers with.
        change: made to every answer.
        videos: those that will be asked for; all of the dataset when left out.
    """

    name, checkpoint_sha256 = "oracle", None

    def __init__(
        self, dataset: YtvisDataset, change: Change = lambda result: result, videos: Sequence[Video] | None = None
    ) -> None:
        self.classes = tuple(category.name for category in dataset.categories)
        self._label_of = {category.id: label for label, category in enumerate(dataset.categories)}
        self._dataset = dataset
        self._videos = iter(dataset.videos if videos is None else videos)
        self._change = change

    def new_state(self, meta: VideoMeta) -> OracleState:
        return OracleState(meta, next(self._videos).id)

    def step(self, state: OracleState, image: np.ndarray, frame_index: int) -> list[FrameResult]:
        tracks = [t for t in self._dataset.tracks if t.video_id == state.video_id and t.segmentations[frame_index]]
        in_front = [[b.id in a.extra["in_front_of"][frame_index] for b in tracks] for a in tracks]
        masks = [t.segmentations[frame_index] for t in tracks]
        result = FrameResult(
            frame_index=frame_index,
            height=state.meta.height,
            width=state.meta.width,
            track_ids=np.array([t.id for t in tracks], np.int64),
            labels=np.array([self._label_of[t.category_id] for t in tracks], np.int64),
            scores=np.ones(len(tracks), np.float32),
            boxes=np.array([bounding_box(mask) for mask in masks], np.float32).reshape(-1, 4),
            masks=masks,
            occluder_masks=[None] * len(tracks),
            hidden=np.array([t.extra["hidden"][frame_index] for t in tracks], np.float32),
            order=OcclusionOrder(np.array(in_front, bool).reshape(len(tracks), len(tracks))),
        )
        return [self._change(result)]

    def finish(self, state: OracleState) -> list[FrameResult]:
        return []


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two videos of eight frames with objects in front of each other: annotations_ytvis.json and frames/."""
    folder = tmp_path_factory.mktemp("world")
    write_dataset(folder, "heldout", (0, 4), image_format="png", height=96, width=160, num_frames=8)
    return folder


@pytest.fixture(scope="session")
def truth(world: Path) -> YtvisDataset:
    return read_ytvis(world / "annotations_ytvis.json")


@pytest.fixture
def oracle(truth: YtvisDataset) -> Callable[..., Oracle]:
    return partial(Oracle, truth)
