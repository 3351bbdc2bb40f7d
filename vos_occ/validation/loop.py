"""The validation loop: every video through a session of its own, in order, as in inference."""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from mmengine.evaluator import Evaluator
from mmengine.model import is_model_wrapper
from mmengine.registry import LOOPS
from mmengine.runner import Runner, ValLoop

from eval.readers.ytvis import Video
from vos_occ.inference.benchmark import run_video
from vos_occ.models.video.roi_model import RoIVideoModel
from vos_occ.structures.errors import InputError
from vos_occ.validation.clips import Clips
from vos_occ.validation.written import WrittenVideo


@LOOPS.register_module()
class OccValLoop(ValLoop):
    """Runs the model over the videos of `OccVideos` or `OccImages` and hands the metrics what it wrote for each.

    One step is one video. mmengine's hooks do the rest as in any validation: averaged weights (EMA) are in place, and
    `CheckpointHook(save_best=...)` sees the metrics. Under torchrun the sampler shares the videos out.

    Args:
        runner: the Runner.
        dataloader: of `OccVideos` or `OccImages`, without shuffling.
        evaluator: `OccVideoMetric`, `OccImageMetric`, or several.
        score_thr: least score of a detection while validating, 0..1; None: the model's own.

    Raises:
        InputError: the dataset or the model is of another kind, or score_thr is out of range.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: dict[str, Any],
        evaluator: Evaluator | dict[str, Any] | list[Any],
        score_thr: float | None = None,
    ) -> None:
        if score_thr is not None and not 0 <= score_thr <= 1:
            raise InputError(f"score_thr of OccValLoop must lie in 0..1, found {score_thr}.")
        super().__init__(runner, dataloader, evaluator)
        self.score_thr = score_thr
        self.clips = self.dataloader.dataset
        self._require_fit()

    def _require_fit(self) -> None:
        if not isinstance(self.clips, Clips):
            found = type(self.clips).__name__
            raise InputError(f"OccValLoop runs OccVideos and OccImages, found {found}. Use ValLoop for it.")
        if not isinstance(self.model, RoIVideoModel):
            found = type(self.model).__name__
            raise InputError(f"OccValLoop runs video models of vos_occ, found {found}. Use ValLoop for it.")
        known = self.model.detector.roi_head.bbox_head.num_classes
        if known != len(self.clips.classes):
            raise InputError(
                f"The validation set {self.clips.ann_file} is read with {len(self.clips.classes)} classes, but the "
                f"model tells {known} apart. Set `classes`."
            )

    @property
    def model(self) -> RoIVideoModel:
        """The video model, without the wrapper of several processes."""
        model = self.runner.model
        return model.module if is_model_wrapper(model) else model

    def run(self) -> dict[str, Any]:
        """All videos, then the metrics."""
        with TemporaryDirectory(prefix="vos_occ_validation_") as folder, self._as_for_inference():
            self._folder = Path(folder)
            return super().run()

    @torch.no_grad()
    def run_iter(self, idx: int, data_batch: Sequence[Video]) -> None:
        """One video, or as many as the dataloader puts into a batch, one after the other."""
        self.runner.call_hook("before_val_iter", batch_idx=idx, data_batch=data_batch)
        written = [self._run(video) for video in data_batch]
        self.evaluator.process(data_samples=written, data_batch=data_batch)
        self.runner.call_hook("after_val_iter", batch_idx=idx, data_batch=data_batch, outputs=written)

    def _run(self, video: Video) -> WrittenVideo:
        clips = self.clips
        run_video(self.model, video, clips.category_ids, clips.image_root, self._folder, lambda video: None)
        return WrittenVideo.read(video.id, self._folder)

    @contextmanager
    def _as_for_inference(self) -> Iterator[None]:
        """What `load` tells a model about itself, and the score threshold."""
        model, threshold = self.model, self.model.score_threshold
        model.classes, model.name, model.checkpoint_sha256 = self.clips.classes, "in training", None
        if self.score_thr is not None:
            model.score_threshold = self.score_thr
        try:
            with torch.random.fork_rng(devices=[]):  # torch's loaders draw a seed, which training would miss
                yield
        finally:
            model.score_threshold = threshold
