"""What BDD100K's two segmentation-tracking protocols share: which objects count, and how classes are summed up.

Source: scalabel 0.3.1, eval/mots.py and eval/mot.py; bdd100k 1.0.1, eval/mots.py and configs/seg_track.toml.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eval.by_occlusion import FLAG_SCALE, MatchedObjects, OcclusionCounts, by_occlusion, occlusion_rows
from eval.errors import RequestError, SchemaError
from eval.masks import MaskPairs
from eval.motmetrics_accumulator import MotmetricsCounts, accumulate, assigned, fragmented, match
from eval.protocols.protocol import Request
from eval.readers.scalabel_masks import Vocabulary
from eval.scores import Number, Scores
from eval.sequences import Ints, TrackingSequence

PARENTS = {
    "human": ("pedestrian", "rider"),
    "vehicle": ("car", "truck", "bus", "train"),
    "bike": ("motorcycle", "bicycle"),
}
CLASSES = tuple(name for children in PARENTS.values() for name in children)
VOCABULARY = Vocabulary(
    classes=CLASSES,
    renamed={"bike": "bicycle", "caravan": "car", "motor": "motorcycle", "person": "pedestrian", "van": "car"},
    ignored={"other person": "pedestrian", "other vehicle": "car", "trailer": "truck"},
)


@dataclass(frozen=True)
class Objects:
    """One side of a video, in frame order; the order within a frame breaks ties.

    Attributes:
        frames, ids: (N,) of each object.
        categories: (N,) index in CLASSES; of no meaning for ignored ones.
        ignored: (N,) bool. A true one is a region in which predictions need not match, a predicted one does not count.
        occluded: (N,) bool.
    """

    frames: Ints
    ids: Ints
    categories: Ints
    ignored: NDArray[np.bool_]
    occluded: NDArray[np.bool_]


@dataclass(frozen=True)
class ClassSequence:
    """The objects of one class in one video that count.

    Attributes:
        sequence: The objects. Predicted ids are replaced by row numbers where a frame has one twice.
        pred_ids: (M,) the predicted ids as they are.
        gt_rows: (N,) rows of the true ones among those of all classes.
        occluded: (N,) bool, of the true ones.
    """

    sequence: TrackingSequence
    pred_ids: Ints
    gt_rows: Ints
    occluded: NDArray[np.bool_]

    def counts(self) -> MotmetricsCounts:
        """As motmetrics counts them."""
        return accumulate(self.sequence, pred_ids=self.pred_ids)

    def by_occlusion(self) -> OcclusionCounts:
        """The same matches by the true objects' flag."""
        found = match(self.sequence, pred_ids=self.pred_ids)
        matched = MatchedObjects(found.gt, 1 - found.distance, found.switch, fragmented(self.sequence, found))
        return by_occlusion(self.sequence, matched, self.occluded.astype(np.int64), FLAG_SCALE)


def class_sequences(num_frames: int, gt: Objects, pred: Objects, pairs: MaskPairs) -> dict[str, ClassSequence]:
    """Sort the objects of a video by class.

    Predictions without a match that lie by more than half in one single ignored region, of any class, are left out.
    Two regions that only together cover more than half do not do so.

    Args:
        num_frames: Length of the video.
        gt: True objects and ignored regions; ids of one class differ within a frame.
        pred: Predicted objects.
        pairs: Rows that share pixels.

    Returns:
        The classes of which there is any object, in the order of CLASSES.
    """
    gt_class = np.where(gt.ignored, -1, gt.categories)
    pred_class = np.where(pred.ignored, -2, pred.categories)
    covered = np.zeros(len(pred.ids), bool)
    covered[pairs.second[gt.ignored[pairs.first] & (pairs.of_second() > 0.5)]] = True
    similarity = pairs.iou()
    result = {}
    for k, name in enumerate(CLASSES):
        gt_rows, pred_rows = np.flatnonzero(gt_class == k), np.flatnonzero(pred_class == k)
        if not len(gt_rows) and not len(pred_rows):
            continue
        own = np.flatnonzero((gt_class[pairs.first] == k) & (pred_class[pairs.second] == k))
        ids = pred.ids[pred_rows]
        sequence = TrackingSequence(
            num_frames=num_frames,
            gt_frames=gt.frames[gt_rows],
            gt_ids=gt.ids[gt_rows],
            pred_frames=pred.frames[pred_rows],
            pred_ids=np.arange(len(ids)) if _repeats(pred.frames[pred_rows], ids) else ids,
            gt=np.searchsorted(gt_rows, pairs.first[own]),
            pred=np.searchsorted(pred_rows, pairs.second[own]),
            similarity=similarity[own],
        )
        if covered[pred_rows].any():
            kept = ~covered[pred_rows] | assigned(sequence)
            sequence, ids = sequence.keep_pred(kept), ids[kept]
        result[name] = ClassSequence(sequence, ids, gt_rows, gt.occluded[gt_rows])
    return result


def _repeats(frames: Ints, ids: Ints) -> bool:
    order = np.lexsort((ids, frames))
    return bool(((np.diff(frames[order]) == 0) & (np.diff(ids[order]) == 0)).any())


@dataclass(frozen=True)
class VideoCounts:
    """What a worker sends back of one video.

    Attributes:
        classes: Counts of each class of which there was anything.
        warnings: What was tolerated.
        occlusion: Counts of each class by occlusion, if asked for.
    """

    classes: Mapping[str, MotmetricsCounts]
    warnings: tuple[str, ...] = ()
    occlusion: Mapping[str, OcclusionCounts] = field(default_factory=dict)

    @classmethod
    def of(
        cls, found: Mapping[str, ClassSequence], rules: SegTrackRules, warnings: tuple[str, ...] = ()
    ) -> VideoCounts:
        """Count the objects of a video."""
        occlusion = {name: part.by_occlusion() for name, part in found.items()} if rules.by_occlusion else {}
        return cls({name: part.counts() for name, part in found.items()}, warnings, occlusion)

    def total(self, *names: str) -> MotmetricsCounts:
        """Sum of some classes."""
        return sum((self.classes[name] for name in names if name in self.classes), MotmetricsCounts())


@dataclass(frozen=True)
class SegTrackRules:
    """What is to be summed up, and how.

    Attributes:
        name: The protocol.
        version: What its numbers equal.
        official: Whether ground truth without objects is let pass.
        warnings: What was tolerated before anything was read.
        by_occlusion: Whether to count by occlusion too.
    """

    name: str
    version: str
    official: bool = False
    warnings: tuple[str, ...] = ()
    by_occlusion: bool = False

    def asked(self, request: Request, warnings: tuple[str, ...]) -> SegTrackRules:
        """The rules for a request.

        Raises:
            RequestError: Occlusion levels are given, but the ground truth has them.
        """
        if isinstance(request.by_occlusion, Path):
            raise RequestError(f"The ground truth of {self.name} says who is occluded. Give --by-occlusion no path.")
        return replace(self, official=request.official, warnings=warnings, by_occlusion=request.by_occlusion)

    def scores(self, units: Sequence[str], videos: Sequence[VideoCounts]) -> Scores:
        """Sum up.

        Counts are summed over videos, and over classes for parents and overall. In the summary every class counts the
        same: the mean over all eight, in which an undefined or infinite number is 0 (so the false positives of a class
        without ground truth cost nothing there). That is the row AVERAGE of the official table.

        Raises:
            SchemaError: There is no true object at all.
        """
        leaves = {name: sum((video.total(name) for video in videos), MotmetricsCounts()) for name in CLASSES}
        every = VideoCounts(leaves)
        overall = every.total(*CLASSES)
        if not overall.gt and not self.official:
            raise SchemaError("The ground truth has no object that counts, so nothing can be scored. Check its path.")
        occlusion = self._by_occlusion(videos)
        flagged = not occlusion or any(counts.objects[FLAG_SCALE.hiding] for counts in occlusion.values())
        flags = () if flagged else ("The ground truth flags no object as occluded; all count as visible.",)
        parents = {name: every.total(*children) for name, children in PARENTS.items()}
        return Scores(
            protocol=self.name,
            version=self.version,
            summary={
                "mMOTSA": _average([counts.mota for counts in leaves.values()]),
                "mMOTSP": _average([counts.motp for counts in leaves.values()]),
                "mIDF1": _average([counts.idf1 for counts in leaves.values()]),
                "IDSW": overall.idsw,
            },
            classes={name: numbers(counts) for name, counts in (leaves | parents).items()},
            overall=numbers(overall),
            videos={
                unit: {name: numbers(counts) for name, counts in video.classes.items()}
                for unit, video in zip(units, videos, strict=True)
            },
            by_occlusion=occlusion_rows(occlusion),
            warnings=self.warnings + flags + tuple(warning for video in videos for warning in video.warnings),
        )

    def _by_occlusion(self, videos: Sequence[VideoCounts]) -> dict[str, OcclusionCounts]:
        if not self.by_occlusion:
            return {}
        none = OcclusionCounts.none(FLAG_SCALE)
        return {name: sum((v.occlusion[name] for v in videos if name in v.occlusion), none) for name in CLASSES}


def numbers(counts: MotmetricsCounts) -> dict[str, Number]:
    """By their names in the MOTS literature; None where nothing defines one."""
    ratios = {
        "MOTSA": counts.mota,
        "MOTSP": counts.motp,
        "IDF1": counts.idf1,
        "IDP": counts.idp,
        "IDR": counts.idr,
    }
    return {
        **{name: value if math.isfinite(value) else None for name, value in ratios.items()},
        "TP": counts.tp, "FP": counts.fp, "FN": counts.fn, "IDSW": counts.idsw,
        "MT": counts.mt, "PT": counts.pt, "ML": counts.ml, "FM": counts.fm,
        "IDTP": counts.idtp, "IDFP": counts.pred - counts.idtp, "IDFN": counts.gt - counts.idtp,
    }  # fmt: skip


def _average(values: Sequence[float]) -> float:
    return float(np.mean([value if math.isfinite(value) else 0.0 for value in values]))
