"""Scores of written results against YTVIS-format ground truth, occlusion included. The metrics are `eval`'s."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from eval.by_occlusion import RATE_SCALE, MatchedObjects, OcclusionCounts, by_occlusion, rate_levels
from eval.clear import Clear, breaks, clear, clear_matches
from eval.identity import Identity, identity
from eval.occlusion import HiddenFractionScore, OrderScore, match_masks, score_hidden_fraction, score_order
from eval.readers.coco import Annotation
from eval.readers.ytvis import Track, Video, YtvisDataset, read_ytvis_results
from eval.sequences import FramePair, TrackingSequence
from eval.tube_ap import tube_ap
from vos_occ.inference.benchmark import jsonl_path
from vos_occ.results.jsonl import JsonlVideo, read_jsonl
from vos_occ.structures import FrameResult
from vos_occ.structures.errors import InputError
from vos_occ.structures.rle import Rle, bounding_box


@dataclass(frozen=True)
class Switches:
    """ID switches in one video: all of them, and those across gaps."""

    total: int
    across_gaps: int


@dataclass(frozen=True)
class VideoScores:
    """What one run over a dataset scored. Fractions in [0, 1]; None where nothing defines a value.

    Attributes:
        tube_ap, tube_ap50: spatio-temporal AP of results.json.
        identity, clear: on visible masks at IoU .5, summed over classes and videos.
        hidden: hidden fractions of the objects found; None when ground truth knows none.
        order: who hides whom, among the objects found; None likewise.
        true_pairs: pairs of visible objects of which one hides part of the other, found or not.
        levels: how ids survive being hidden, as `eval.by_occlusion` counts it; None where it was not counted.
        switches: of each video, in the order of the dataset; together those of `clear` and `levels`.
    """

    tube_ap: float | None
    tube_ap50: float | None
    identity: Identity
    clear: Clear
    hidden: HiddenFractionScore | None
    order: OrderScore | None
    true_pairs: int = 0
    levels: OcclusionCounts | None = None
    switches: tuple[Switches, ...] = ()

    def as_dict(self) -> dict[str, float | int | None]:
        """Flat names and plain numbers, for tables and JSON."""
        scores: dict[str, float | int | None] = {
            "tube_AP": self.tube_ap,
            "tube_AP50": self.tube_ap50,
            "IDF1": self.identity.idf1,
            "MOTSA": self.clear.mota,
            "ID_switches": self.clear.idsw,
            "recall": self.clear.recall,
        }
        if self.levels is not None:
            scores |= {"gaps": self.levels.gaps, "ID_switches_across_gaps": self.levels.gaps_switched}
        return scores | occlusion_scores(self.hidden, self.order, self.true_pairs)


def occlusion_scores(
    hidden: HiddenFractionScore | None, order: OrderScore | None, true_pairs: int
) -> dict[str, float | int | None]:
    """Flat names and plain numbers of what is known of occlusion; see `VideoScores`."""
    scores: dict[str, float | int | None] = {}
    if hidden is not None:
        scores |= {
            "hidden_MAE": hidden.mae,
            "hidden_MAE_of_mean": hidden.baseline_mae,
            "hidden_Spearman": hidden.spearman,
            "unoccluded_called_hidden": hidden.false_alarms,
        }
    if order is not None:
        scores |= {
            "order_accuracy": order.accuracy if order.predicted else None,
            "order_accuracy_of_lower_edge": order.baseline_accuracy,
            "order_coverage": order.coverage,
            "order_pairs_found": order.pairs / true_pairs if true_pairs else None,
        }
    return scores


def score_dataset(dataset: YtvisDataset, out: str | Path) -> VideoScores:
    """Scores what `run_dataset` wrote into `out`, read back from the files.

    Args:
        dataset: ground truth; its `hidden` and `in_front_of`, where present, are scored too.
        out: folder with results.json and jsonl/.

    Raises:
        InputError: a video has no results, or not for all of its frames.
        SchemaError: a file is not what its format says.
    """
    average_precision = tube_ap(dataset.tubes(), read_ytvis_results(Path(out) / "results.json", dataset))
    scores = score_tracks(dataset, out)
    return replace(scores, tube_ap=average_precision.ap, tube_ap50=average_precision.ap50)


def score_tracks(dataset: YtvisDataset, out: str | Path) -> VideoScores:
    """As `score_dataset`, from jsonl/ alone: without AP, which a protocol of `eval` tells."""
    by_video: dict[int, list[Track]] = defaultdict(list)
    for gt_track in dataset.tracks:
        if not gt_track.iscrowd:
            by_video[gt_track.video_id].append(gt_track)
    identities, clears, matches = Identity(), Clear(), OcclusionMatches()
    levels = OcclusionCounts.none(RATE_SCALE)
    switches = []
    category_of = {category.name: category.id for category in dataset.categories}
    for video in dataset.videos:
        tracks, results = by_video[video.id], read_whole(Path(out), video)
        category_ids = [category_of[name] for name in results.header.classes]
        total, across_gaps = clears.idsw, levels.gaps_switched
        for category_id in sorted({t.category_id for t in tracks} | set(category_ids)):
            pairs = [frame_pair(tracks, frame, category_ids, category_id) for frame in results.frames]
            sequence = TrackingSequence.from_frames(pairs)
            identities += identity(sequence)
            clears += clear(sequence)
            levels += count_levels(sequence, tracks)
        switches.append(Switches(clears.idsw - total, levels.gaps_switched - across_gaps))
        for frame in results.frames:
            matches.add(tracks, frame)
    return VideoScores(
        tube_ap=None,
        tube_ap50=None,
        identity=identities,
        clear=clears,
        hidden=matches.hidden(),
        order=matches.order if matches.order.pairs else None,
        true_pairs=matches.true_pairs,
        levels=levels,
        switches=tuple(switches),
    )


def count_levels(sequence: TrackingSequence, tracks: Sequence[Track]) -> OcclusionCounts:
    """Counts by level of one class in one video, whose tracks say how much of them is hidden, or not."""
    hidden = {track.id: track.extra.get("hidden") for track in tracks}
    objects = zip(sequence.gt_ids.tolist(), sequence.gt_frames.tolist(), strict=True)
    rates = [np.nan if (rate := _at(hidden[i], t)) is None else rate for i, t in objects]
    found = clear_matches(sequence)
    matches = MatchedObjects(sequence.gt[found], sequence.similarity[found], *breaks(sequence, found))
    return by_occlusion(sequence, matches, rate_levels(rates), RATE_SCALE)


def read_whole(out: Path, video: Video) -> JsonlVideo:
    """The JSONL of a video; frames that are missing in it would count neither as found nor as missed."""
    path = jsonl_path(out, video.id)
    results = read_jsonl(path)
    if [frame.frame_index for frame in results.frames] != list(range(video.length)):
        raise InputError(f"{path} has {len(results)} of the {video.length} frames of its video. Run the test again.")
    return results


def frame_pair(tracks: Sequence[Track], frame: FrameResult, category_ids: Sequence[int], category_id: int) -> FramePair:
    """True and predicted objects of one class in one frame, compared by mask IoU."""
    true = [t for t in tracks if t.category_id == category_id and t.segmentations[frame.frame_index] is not None]
    found = [i for i, label in enumerate(frame.labels) if category_ids[label] == category_id]
    return FramePair.from_masks(
        [t.id for t in true],
        [t.segmentations[frame.frame_index] for t in true],
        frame.track_ids[found],
        [frame.masks[i] for i in found],
    )


@dataclass(frozen=True)
class TrueObject:
    """A visible object of which the data may say how much is hidden (else None) and the ids it hides part of."""

    id: int
    mask: Rle
    hidden: float | None
    in_front_of: Sequence[int] | None


class OcclusionMatches:
    """Collects, over frames, hidden fractions and order of the objects that were found (mask IoU at least .5).

    What is hidden most is found least, so these scores are to be read beside the share that was found.
    """

    def __init__(self) -> None:
        self.order = OrderScore()
        self.true_pairs = 0
        self._true: list[float] = []
        self._predicted: list[float] = []

    def add(self, tracks: Sequence[Track], frame: FrameResult) -> None:
        """Takes the true and the predicted objects of one frame, of any class."""
        t = frame.frame_index
        visible = [track for track in tracks if track.segmentations[t] is not None]
        self._add(
            [
                TrueObject(v.id, v.segmentations[t], _at(v.extra.get("hidden"), t), _at(v.extra.get("in_front_of"), t))
                for v in visible
            ],
            frame,
        )

    def add_image(self, annotations: Sequence[Annotation], frame: FrameResult) -> None:
        """Takes the true and the predicted objects of one image of a COCO file, of any class."""
        self._add(
            [TrueObject(a.id, a.segmentation, a.extra.get("hidden"), a.extra.get("in_front_of")) for a in annotations],
            frame,
        )

    def _add(self, true: Sequence[TrueObject], frame: FrameResult) -> None:
        rows, columns = match_masks([thing.mask for thing in true], frame.masks)
        found = [true[row] for row in rows]
        self._true += [np.nan if thing.hidden is None else thing.hidden for thing in found]
        self._predicted += [np.nan if frame.hidden is None else float(frame.hidden[column]) for column in columns]
        pairs = [[behind.id in (front.in_front_of or ()) for behind in true] for front in true]
        in_front = np.reshape(np.array(pairs, bool), (len(true),) * 2)
        self.true_pairs += int((in_front & ~in_front.T).sum())
        order = np.zeros((len(frame), len(frame)), bool) if frame.order is None else frame.order.matrix
        # the baseline has the true boxes: those of the model would make it another one for every model
        boxes = np.array([bounding_box(thing.mask) for thing in found]).reshape(-1, 4)
        self.order += score_order(in_front[np.ix_(rows, rows)], order[np.ix_(columns, columns)], boxes)

    def hidden(self) -> HiddenFractionScore | None:
        """The score of all hidden fractions so far; None when no true one was seen."""
        return None if np.isnan(self._true).all() else score_hidden_fraction(self._true, self._predicted)

    def as_dict(self) -> dict[str, float | int | None]:
        """Flat names and plain numbers, without those that nothing true defines."""
        return occlusion_scores(self.hidden(), self.order if self.order.pairs else None, self.true_pairs)


def _at(values: Sequence[Any] | None, frame_index: int) -> Any:
    return None if values is None else values[frame_index]
