"""YouTube-VIS and OVIS: average precision of tracks, of all and by area, on OVIS also by how much is hidden.

Equal to youtubevos/cocoapi f3f9948 (`YTVOSeval`) and qjy981010/cocoapi 886baff (`OVISeval`). A unit is a video.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from eval.average_precision import NAMES, AveragePrecision, Curves, Matches, named
from eval.errors import RequestError, SchemaError
from eval.protocols.official_ytvis import verify
from eval.protocols.protocol import Column, Protocol, Request
from eval.readers.ytvis_index import ByVideo, index_annotations, index_results, result_files
from eval.readers.ytvis_tubes import Video, annotation_tubes, result_tubes
from eval.scores import Number, Scores
from eval.tube_ap import Tube, best, match_video

_SMALL = 64 << 20  # bytes of JSON, of which the parsed records are kept instead of read again

_METRICS = NAMES[:9]  # the evaluators know no recall by area
_BY_OCCLUSION = ("AP_so", "AP_mo", "AP_ho")


@dataclass(frozen=True)
class _Partial:
    """What one video contributes.

    Attributes:
        matches: Of each category that occurs.
        warnings: What was tolerated.
        unlabelled: Objects without occlusion labels.
    """

    matches: Sequence[Matches]
    warnings: tuple[str, ...]
    unlabelled: int


class VideoApJob:
    """Scores one video at a time. Holds where the tracks of each video stand; of small files also the tracks.

    Args:
        protocol: "ytvis" or "ovis".
        request: What to score.

    Raises:
        EvalError: Files are missing, or a record does not fit.
    """

    def __init__(self, protocol: str, request: Request) -> None:
        self.protocol = protocol
        self.official = request.official
        self._folder: TemporaryDirectory[str] | None = TemporaryDirectory(prefix="eval-")  # for what a zip holds
        files = result_files(request.pred, Path(self._folder.name))
        whole = sum(path.stat().st_size for path in (request.gt, *(path for path, _ in files))) <= _SMALL
        truth = index_annotations(request.gt, whole, self.official)
        self.videos, self.categories = truth.videos, truth.categories
        self.units = _names(truth.videos)
        self._truth: ByVideo = truth.annotations
        self._found = index_results(files, truth, whole, self.official)
        self._warnings = self._missing(files, request)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_folder": None}  # it goes when the job that made it goes

    def score(self, index: int) -> _Partial:
        """Match the tracks of one video."""
        video = self.videos[index]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            truth = self._tubes(self._truth, video, annotation_tubes)
            found = self._tubes(self._found, video, result_tubes)
        if self.official and self.protocol == "ovis":
            _require_what_ovis_requires(truth, found, self.units[index])
        matches = match_video(truth, found, self.protocol == "ovis", self.official)
        unlabelled = sum(tube.occlusion is None for tube in truth)
        return _Partial(matches, tuple(dict.fromkeys(str(warning.message) for warning in caught)), unlabelled)

    def combine(self, partials: Sequence[_Partial]) -> Scores:
        """Average over categories."""
        curves = Curves.of(match for partial in partials for match in partial.matches)
        matches = [{match.category_id: match for match in partial.matches} for partial in partials]
        names = {category.id: category.name for category in self.categories}
        scores = {c: curves.summary(c) for c in curves.categories}
        return Scores(
            protocol=self.protocol,
            version=_VERSIONS[self.protocol],
            summary=self._numbers(curves.summary()),
            classes={name: self._numbers(scores.get(c)) for c, name in names.items()},
            videos={
                unit: {names[c]: _counts(match) for c, match in sorted(of.items())}
                for unit, of in zip(self.units, matches, strict=True)
            },
            warnings=tuple(dict.fromkeys([*self._warnings, *self._tolerated(partials)])),
        )

    def _tubes(self, side: ByVideo, video: Video, read: Any) -> list[Tube]:
        records = [entry.read() for entry in side.get(video.id, ())]
        return read(records, [video] * len(records), self.official)

    def _numbers(self, scores: AveragePrecision | None) -> dict[str, Number]:
        values: dict[str, Number] = dict.fromkeys(_METRICS) if scores is None else {**named(scores)}
        numbers = {name: values[name] for name in _METRICS}
        if self.protocol == "ovis":
            by_occlusion = () if scores is None else scores.ap_by_occlusion  # () also where no object is at all
            numbers |= zip(_BY_OCCLUSION, by_occlusion or (None, None, None), strict=True)
        return numbers

    def _missing(self, files: Sequence[tuple[Path, int | None]], request: Request) -> list[str]:
        """Warnings about videos without predictions; one file for all cannot say whether they were looked at."""
        if self.official:
            if not self._found:
                stop = "The official loader stops with an IndexError"
                raise RequestError(f"{stop}, because {request.pred.name} holds no results. Leave out compat official.")
            return []
        shards = {video_id for _, video_id in files} - {None}
        absent = [video.id for video in self.videos if video.id not in (shards or self._found)]
        if not absent:
            return []
        found = f"{request.pred.name} has no {'file' if shards else 'predictions'} for {len(absent)} of "
        found += f"{len(self.videos)} videos (first: video {absent[0]})."
        if shards and not request.allow_missing:
            raise SchemaError(f"{found} Run these videos too, or allow that they are missing.")
        return [f"{found} They count as videos in which nothing was found."]

    def _tolerated(self, partials: Sequence[_Partial]) -> list[str]:
        tolerated = [warning for partial in partials for warning in partial.warnings]
        unlabelled = sum(partial.unlabelled for partial in partials)
        if self.protocol == "ovis" and unlabelled:
            tolerated.append(
                f"{unlabelled} annotations have no occlusion label in any frame. They count in none of "
                f"{', '.join(_BY_OCCLUSION)}; OVISeval divides by zero."
            )
        return tolerated


def _names(videos: Sequence[Video]) -> list[str]:
    """The folder of each video's frames, which is how people know it; else its name, or its id."""
    names = [
        Path(video.file_names[0]).parent.as_posix() if video.file_names else video.name or str(video.id)
        for video in videos
    ]
    repeated = len(set(names)) < len(names)
    return [str(video.id) for video in videos] if repeated else names


def _counts(matches: Matches) -> dict[str, Number]:
    """Of one category in one video, at IoU .5; and the recall over all thresholds."""
    objects = int(matches.objects[0])
    found = matches.positive[:, 0].sum(0)
    return {
        "TP": int(found[0]),
        "FN": objects - int(found[0]),
        "FP": int(matches.negative[:, 0, 0].sum()),
        "AR100": float(np.mean(found / objects)) if objects else None,
    }


def _require_what_ovis_requires(truth: Sequence[Tube], found: Sequence[Tube], video: str) -> None:
    """Stop where OVISeval stops."""
    sides: dict[int, tuple[list[Tube], list[Tube]]] = defaultdict(lambda: ([], []))
    for side, tubes in enumerate((truth, found)):
        for tube in tubes:
            sides[tube.category_id][side].append(tube)
    for category_id, (annotated, predicted) in sides.items():
        lengths = {len(tube.masks) for tube in annotated} | {len(tube.masks) for tube in best(predicted, official=True)}
        if annotated and predicted and len(lengths) > 1:
            raise RequestError(
                "OVISeval stops with an AssertionError, because tracks of one video differ in length: "
                f"{sorted(lengths)} frames (video {video}, category {category_id}). Write one entry per frame."
            )
    if any(tube.occlusion is None for tube in truth):
        raise RequestError(
            f"OVISeval stops with a ZeroDivisionError, because an annotation of video {video} has no occlusion label "
            "in any frame. Leave out compat official."
        )


_VERSIONS = {
    "ytvis": "YTVOSeval (youtubevos/cocoapi f3f9948)",
    "ovis": "OVISeval (qjy981010/cocoapi 886baff)",
}

YTVIS, OVIS = (
    Protocol(
        name=name,
        version=version,
        open=partial(VideoApJob, name),
        columns=tuple(Column(metric) for metric in (*_METRICS, *(_BY_OCCLUSION if name == "ovis" else ()))),
        official=True,
        verify=partial(verify, by_occlusion=name == "ovis"),
    )
    for name, version in _VERSIONS.items()
)
