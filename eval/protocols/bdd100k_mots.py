"""BDD100K segmentation tracking from JSON: mMOTSA, mMOTSP and mIDF1 over eight classes, of masks as run lengths.

Equals scalabel 0.3.1 with motmetrics 1.4.0 (`bdd100k.eval.run -t seg_track`). Predicted masks can overlap: then no
prediction of that frame counts. Objects are in the order of the file, which breaks ties.

Videos are matched by name and frames by `frameIndex` (without it by name). `official` reproduces what the officials do
with input that is wrong: as many videos on both sides are compared in the order of their names whatever those are,
videos without predictions count as empty, masks of another size match nothing, and a predicted id that a frame
has twice is one more prediction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from eval.errors import SchemaError, listed
from eval.masks import MaskPairs, MaskTable, compare_masks
from eval.protocols.bdd100k_rules import VOCABULARY, ClassSequence, Objects, SegTrackRules, VideoCounts, class_sequences
from eval.protocols.bdd100k_verify import seg_track_protocol
from eval.protocols.bdd100k_videos import pair_frames, pair_videos
from eval.protocols.protocol import Request
from eval.readers.scalabel import ScalabelLabels
from eval.readers.scalabel_masks import read_masks
from eval.scores import Scores

_RULES = SegTrackRules("bdd100k_mots", "scalabel 0.3.1 + motmetrics 1.4.0")


@dataclass(frozen=True)
class JsonJob:
    """A video is a unit.

    Attributes:
        rules: How to sum up.
        gt, pred: The files.
        videos: Name of each true video, and of the predicted one that is compared to it; None for none.
    """

    rules: SegTrackRules
    gt: ScalabelLabels
    pred: ScalabelLabels
    videos: Sequence[tuple[str, str | None]]

    @cached_property
    def units(self) -> Sequence[str]:
        """The true videos."""
        return [name for name, _ in self.videos]

    def score(self, index: int) -> VideoCounts:
        """Counts of one video."""
        gt, pred, pairs = self.masks(index)
        return VideoCounts.of(_sequences(gt, pred, pairs), self.rules, _tolerated(gt, pred, pairs))

    def combine(self, partials: Sequence[VideoCounts]) -> Scores:
        """Sum over videos."""
        return self.rules.scores(self.units, partials)

    def sequences(self, index: int) -> dict[str, ClassSequence]:
        """What counts of one video, by class; true rows are those of `masks`."""
        return _sequences(*self.masks(index))

    def masks(self, index: int) -> tuple[MaskTable, MaskTable, MaskPairs]:
        """The true and the predicted masks of one video, compared.

        Raises:
            SchemaError: The files do not fit their format or one another.
        """
        gt_name, pred_name = self.videos[index]
        gt_frames = self.gt.frames(gt_name)
        gt_source = f"{self.gt.path.name}, video {gt_name}"
        gt = read_masks(gt_frames, VOCABULARY, gt_source, official=self.rules.official)
        refuse_repeats(gt, each_class=self.rules.official)
        if pred_name is None:
            pred = gt.select(np.zeros(0, np.int64))
        else:
            source = f"{self.pred.path.name}, video {pred_name}"
            frames = pair_frames(gt_frames, self.pred.frames(pred_name), gt_source, source, self.rules.official)
            size = (gt.height, gt.width) if len(gt) else None
            pred = read_masks(frames, VOCABULARY, source, size, predicted=True, official=self.rules.official)
            if not self.rules.official:
                refuse_repeats(pred)
        return gt, pred, compare_masks(gt, pred)


def refuse_repeats(table: MaskTable, each_class: bool = False) -> None:
    """Refuse an id that counts twice in a frame.

    Args:
        table: The masks.
        each_class: Whether classes may share an id.

    Raises:
        SchemaError: There is such an id.
    """
    counted = np.flatnonzero(~_left_out(table))
    columns = [table.ids, table.frames] if not each_class else [table.ids, table.categories, table.frames]
    keys = np.stack([column[counted] for column in columns])
    order = np.lexsort(keys)
    same = np.flatnonzero((np.diff(keys[:, order]) == 0).all(0))
    if len(same):
        row = int(counted[order[same[0] + 1]])
        raise SchemaError(
            f"{table.where(row)}: two labels have the id of one track (number {table.ids[row]} in the order of the "
            "names, where these are no numbers). Give every track of a video its own id."
        )


def _left_out(table: MaskTable) -> NDArray[np.bool_]:
    return table.flags["ignored"] | table.flags["crowd"]


def _sequences(gt: MaskTable, pred: MaskTable, pairs: MaskPairs) -> dict[str, ClassSequence]:
    """Frames in which predicted masks overlap, of whatever class, lose all their predictions."""
    overlapping = np.isin(pred.frames, pred.frames[pairs.second_overlaps[:, 0]])
    truth = Objects(gt.frames, gt.ids, gt.categories, _left_out(gt), gt.flags["occluded"])
    ignored = _left_out(pred) | overlapping
    found = Objects(pred.frames, pred.ids, pred.categories, ignored, pred.flags["occluded"])
    return class_sequences(gt.num_frames, truth, found, pairs)


def _tolerated(gt: MaskTable, pred: MaskTable, pairs: MaskPairs) -> tuple[str, ...]:
    warnings = []
    if len(pairs.second_overlaps):
        assert pred.records is not None
        frames = pred.records[pairs.second_overlaps[:, 0]]
        warnings.append(
            f"{pred.source}: predicted masks overlap in {len(frames)} of {pred.num_frames} frames, and nothing that is "
            f"predicted there counts (frames {listed(frames)})."
        )
    for table, areas in ((gt, pairs.first_areas), (pred, pairs.second_areas)):
        empty = np.flatnonzero((areas == 0) & ~_left_out(table))
        if len(empty):
            warnings.append(f"{table.where(int(empty[0]))}: an empty mask matches nothing; the video has {len(empty)}.")
    return tuple(warnings)


def _open(request: Request) -> JsonJob:
    gt, pred = ScalabelLabels(request.gt), ScalabelLabels(request.pred)
    videos, warnings = pair_videos(gt.videos, pred.videos, request, fills=True)
    return JsonJob(_RULES.asked(request, warnings), gt, pred, videos)


BDD100K_MOTS = seg_track_protocol(_RULES, _open)
