"""Validation on videos: a benchmark's AP, tracking, and what is known of occlusion."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from collections.abc import Sequence
from typing import Any

from mmdet.registry import METRICS

from eval.readers.ytvis import YtvisDataset
from vos_occ.results.ytvis import merge_shards
from vos_occ.scoring import score_tracks
from vos_occ.validation.metric import Metrics, ProtocolMetric
from vos_occ.validation.written import WrittenVideo


@METRICS.register_module()
class OccVideoMetric(ProtocolMetric):
    """Scores a results.json by `ytvis` or `ovis`, and as `tools/test_video.py` does.

    Args:
        protocol: "ytvis" or "ovis".
        tracking: add IDF1, MOTSA, ID switches and recall; with `hidden` or `in_front_of` in the annotations also the
            scores of hidden fraction and order. They are no part of the benchmark.
        **arguments: see `ProtocolMetric`.

    Raises:
        InputError: the protocol is another one.
    """

    protocols = ("ytvis", "ovis")
    datasets = ("OccVideos",)

    def __init__(self, protocol: str = "ytvis", tracking: bool = True, **arguments: Any) -> None:
        super().__init__(protocol, **arguments)
        self.tracking = tracking

    def process(self, data_batch: Any, data_samples: Sequence[WrittenVideo]) -> None:
        """Takes what was written for some videos."""
        self.results.extend(data_samples)

    def compute_metrics(self, results: Sequence[WrittenVideo]) -> Metrics:
        """Writes results.json as for a submission, and scores it."""
        dataset: YtvisDataset = self.dataset_meta["dataset"]
        with self.folder() as out:
            for written in results:
                written.write(out)
            path = out / "results.json"
            merge_shards(out / "shards", [video.id for video in dataset.videos], path, overwrite=True)
            metrics = self.score(dataset.path, path)
            if self.tracking:
                found = score_tracks(dataset, out).as_dict()
                metrics |= {name: value for name, value in found.items() if not name.startswith("tube_AP")}
        return metrics
