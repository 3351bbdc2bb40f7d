"""BDD100K segmentation tracking from bitmask PNGs: mMOTSA, mMOTSP and mIDF1 over eight classes.

Equals bdd100k 1.0.1's own evaluator with motmetrics 1.4.0. It differs from that of JSON in the order of the objects,
that of their ids here, which breaks ties; and masks cannot overlap.

Videos are folders, matched by name as frames are. `official` reproduces what bdd100k does with input that is wrong: as
many videos on both sides are compared in the order of their names whatever those are, frames that nobody asked for and
classes that nobody knows are left out, and more than 100 predictions in a frame are refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from eval.errors import SchemaError
from eval.masks import MaskPairs
from eval.protocols.bdd100k_rules import VOCABULARY, ClassSequence, Objects, SegTrackRules, VideoCounts, class_sequences
from eval.protocols.bdd100k_verify import seg_track_protocol
from eval.protocols.bdd100k_videos import pair_files, pair_videos
from eval.protocols.protocol import Request
from eval.readers.bdd_bitmask import OCCLUDED, Instances, compare_codes, find_bitmasks, read_instances
from eval.scores import Scores
from eval.sequences import Ints

_RULES = SegTrackRules("bdd100k_mots_bitmask", "bdd100k 1.0.1 + motmetrics 1.4.0")
_MOST = 100  # predictions of a frame that bdd100k's evaluator has room for


@dataclass(frozen=True)
class BitmaskJob:
    """A video is a unit.

    Attributes:
        rules: How to sum up.
        gt, pred: Frames of each video.
        videos: Name of each true video, and of the predicted one that is compared to it; None for none.
    """

    rules: SegTrackRules
    gt: Mapping[str, Mapping[str, Path]]
    pred: Mapping[str, Mapping[str, Path]]
    videos: Sequence[tuple[str, str | None]]

    @cached_property
    def units(self) -> Sequence[str]:
        """The true videos."""
        return [name for name, _ in self.videos]

    def score(self, index: int) -> VideoCounts:
        """Counts of one video."""
        return VideoCounts.of(self.sequences(index), self.rules)

    def combine(self, partials: Sequence[VideoCounts]) -> Scores:
        """Sum over videos."""
        return self.rules.scores(self.units, partials)

    def sequences(self, index: int) -> dict[str, ClassSequence]:
        """What counts of one video, by class.

        Raises:
            SchemaError: A file is no bitmask, or the sides do not fit.
        """
        gt_name, pred_name = self.videos[index]
        frames = pair_files(self.gt[gt_name], None if pred_name is None else self.pred[pred_name], self.rules.official)
        return class_sequences(len(frames), *_compare([self._compare_frame(*paths) for paths in frames]))

    def _compare_frame(self, gt: Path, pred: Path | None) -> tuple[Instances, Instances, Ints]:
        if pred is None:
            truth, found = read_instances(gt), Instances.none()
            shared = np.zeros((len(truth), 0), np.int64)
        else:
            truth, found, shared = compare_codes(gt, pred)
        if self.rules.official and len(found) > _MOST:
            raise SchemaError(f"{pred} has {len(found)} predictions; bdd100k's evaluator fails beyond {_MOST}.")
        for side, path in ((truth, gt), (found, pred)):
            unknown = np.flatnonzero(
                ~side.ignored & ((side.categories < 1) | (side.categories > len(VOCABULARY.classes)))
            )
            if len(unknown) and not self.rules.official:
                raise SchemaError(
                    f"{path}: instance {side.ids[unknown[0]]} has category {side.categories[unknown[0]]}, expected "
                    f"1..{len(VOCABULARY.classes)}. Export it again."
                )
        return truth, found, shared


def _compare(frames: Sequence[tuple[Instances, Instances, Ints]]) -> tuple[Objects, Objects, MaskPairs]:
    """Join the frames of a video."""
    truth, found, shared = zip(*frames, strict=True)
    pairs = [np.zeros((3, 0), np.int64)]
    first = second = 0
    for pixels in shared:
        rows, columns = np.nonzero(pixels)
        pairs.append(np.stack([rows + first, columns + second, pixels[rows, columns]]))
        first, second = first + pixels.shape[0], second + pixels.shape[1]
    areas = [np.concatenate([objects.areas for objects in side]) for side in (truth, found)]
    none = np.zeros((0, 2), np.int64)
    rows, others, joint = np.concatenate(pairs, axis=1)
    return _joined(truth), _joined(found), MaskPairs(rows, others, joint, areas[0], areas[1], none, none)


def _joined(frames: Sequence[Instances]) -> Objects:
    return Objects(
        np.repeat(np.arange(len(frames)), [len(objects) for objects in frames]),
        np.concatenate([objects.ids for objects in frames]),
        np.concatenate([objects.categories for objects in frames]) - 1,
        np.concatenate([objects.ignored for objects in frames]),
        np.concatenate([objects.attributes & OCCLUDED > 0 for objects in frames]),
    )


def _open(request: Request) -> BitmaskJob:
    gt, pred = find_bitmasks(request.gt), find_bitmasks(request.pred)
    videos, warnings = pair_videos(list(gt), list(pred), request, fills=False)
    return BitmaskJob(_RULES.asked(request, warnings), gt, pred, videos)


BDD100K_MOTS_BITMASK = seg_track_protocol(_RULES, _open)
