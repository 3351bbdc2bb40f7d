"""What a run over a tracking benchmark writes: what its server takes, a video at a time, and a JSONL of each.

KITTI MOTS and MOTSChallenge: `txt/NAME.txt`. BDD100K: `shards/NAME.json` and of all of them `seg_track.json`, and
`bitmasks/NAME/`. The JSONL has all that the model found; the others only what is of a category of the benchmark.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eval.errors import listed
from eval.protocols.bdd100k_rules import CLASSES as BDD_CLASSES
from eval.protocols.trackeval_mots import MotsRules
from vos_occ.inference.resumable import BenchmarkRun, Timed, header_of, model_and_videos
from vos_occ.inference.run import select
from vos_occ.inference.tracking_split import BDD100K, MOTS_RULES, PictureVideo, TrackingSplit
from vos_occ.results.bdd_bitmask import BddBitmaskWriter
from vos_occ.results.jsonl import JsonlWriter
from vos_occ.results.mots_txt import MotsTxtWriter
from vos_occ.results.output import require_new, whole_file, write_atomically
from vos_occ.results.png_folder import whole_folder
from vos_occ.results.scalabel import ScalabelWriter, join_scalabel
from vos_occ.structures import FrameResult
from vos_occ.structures.errors import OutputExistsError

if TYPE_CHECKING:  # imports mmdet, which whoever scores files needs not
    from vos_occ.models.video.contract import VideoModel

SEG_TRACK = "seg_track.json"
BITMASKS = "bitmasks"
TXT, SEQMAP = "txt", "seqmap"


class BenchmarkObjects:
    """The objects of a video that a benchmark has a category for, their labels counting its categories.

    Args:
        categories: of the benchmark, in the order that writers know.
        mapped: the category of each of the model's labels that has one.
    """

    def __init__(self, categories: Sequence[str], mapped: Mapping[int, str]) -> None:
        self._label_of = {label: categories.index(name) for label, name in mapped.items()}

    def of(self, result: FrameResult) -> FrameResult:
        """These objects of a frame."""
        kept = select(result, np.flatnonzero(np.isin(result.labels, list(self._label_of))))
        return replace(kept, labels=np.array([self._label_of[label] for label in kept.labels.tolist()], np.int64))


class TrackingFiles(ABC):
    """What the files of all tracking benchmarks have in common.

    Args:
        model: whose results they are.
        out: folder for all of it.
        results: what the server takes, in it.
        categories: of the benchmark.
        mapped: that of each of the model's labels that has one.
    """

    def __init__(
        self, model: VideoModel, out: Path, results: Path, categories: Sequence[str], mapped: Mapping[int, str]
    ) -> None:
        self.out, self.results, self.categories = out, results, tuple(categories)
        self._model, self._mapped = model, dict(mapped)

    @abstractmethod
    def paths_of(self, video: PictureVideo) -> list[Path]:
        """What is written of a video; the first appears last."""

    @abstractmethod
    def open(self, video: PictureVideo, stack: ExitStack) -> list[Callable[[FrameResult], object]]:
        """Takes the frames of a video; its files appear when the stack unwinds without an error."""

    @abstractmethod
    def join(self, videos: Sequence[PictureVideo], overwrite: bool) -> None:
        """See `ResultFiles`."""

    def require_free(self, videos: Sequence[PictureVideo], overwrite: bool) -> None:
        """Raises OutputExistsError for results in the way, and for those of other videos, which would be submitted."""
        for video in videos:
            for path in self.paths_of(video):
                require_new(path, overwrite)
        own = {path for video in videos for path in self.paths_of(video)}
        for folder in {path.parent for path in own}:
            others = [path for path in folder.glob("[!.]*") if path not in own]
            if others:
                has = f"'{folder}' has results of other videos ({listed(path.name for path in others)})"
                raise OutputExistsError(f"{has}, which would be submitted too. Remove them, or choose another --out.")

    def is_done(self, video: PictureVideo) -> bool:
        """Whether all files of a video are there."""
        return all(path.exists() for path in self.paths_of(video))

    def forget(self, video: PictureVideo) -> None:
        """Removes the file that appears last."""
        self.paths_of(video)[0].unlink(missing_ok=True)

    def write(self, video: PictureVideo, results: Iterable[Timed]) -> None:
        """Writes all files of a video, over those of an earlier run."""
        self.forget(video)
        jsonl = self.paths_of(video)[1]
        header = header_of(self._model, video.name, video.height, video.width, video.length)
        objects = BenchmarkObjects(self.categories, self._mapped)
        with ExitStack() as stack:
            takers = self.open(video, stack)
            part = stack.enter_context(whole_file(jsonl))
            everything = stack.enter_context(JsonlWriter(part, header, overwrite=True))
            for time, result in results:
                everything.write(result, time)
                own = objects.of(result)
                for take in takers:
                    take(own)

    def _jsonl(self, video: PictureVideo) -> Path:
        return self.out / "jsonl" / f"{video.name}.jsonl"


class MotsTextFiles(TrackingFiles):
    """`txt/NAME.txt` of KITTI MOTS and MOTSChallenge, and `seqmap`, which names them and says how long they are."""

    def __init__(self, model: VideoModel, out: Path, mapped: Mapping[int, str], rules: MotsRules) -> None:
        super().__init__(model, out, out / TXT, tuple(rules.classes), mapped)
        self._rules = rules

    def paths_of(self, video: PictureVideo) -> list[Path]:
        """The text, and the JSONL."""
        return [self.results / f"{video.name}.txt", self._jsonl(video)]

    def open(self, video: PictureVideo, stack: ExitStack) -> list[Callable[[FrameResult], object]]:
        """A text file."""
        ids, first = list(self._rules.classes.values()), self._rules.first_frame
        path = self.paths_of(video)[0]
        writer = MotsTxtWriter(path, ids, first_frame=first, renumber=True, overwrite=True)
        return [stack.enter_context(writer).write]

    def join(self, videos: Sequence[PictureVideo], overwrite: bool) -> None:
        """Writes the seqmap; the files are for the server as they are."""
        first = self._rules.first_frame
        rows = [f"{video.name} empty {first:06d} {video.length - 1 + first:06d}\n" for video in videos]
        write_atomically(self.out / SEQMAP, "".join(rows))


class BddFiles(TrackingFiles):
    """BDD100K's two forms: `seg_track.json`, joined from `shards/NAME.json`, and `bitmasks/NAME/`."""

    def __init__(self, model: VideoModel, out: Path, mapped: Mapping[int, str]) -> None:
        super().__init__(model, out, out / SEG_TRACK, BDD_CLASSES, mapped)

    def paths_of(self, video: PictureVideo) -> list[Path]:
        """The shard, the JSONL, and the folder of bitmasks."""
        return [self.out / "shards" / f"{video.name}.json", self._jsonl(video), self.out / BITMASKS / video.name]

    def open(self, video: PictureVideo, stack: ExitStack) -> list[Callable[[FrameResult], object]]:
        """A shard and a folder."""
        shard, _, folder = self.paths_of(video)
        options: dict[str, Any] = {"names": video.file_names, "renumber": True, "overwrite": True}
        scalabel = stack.enter_context(ScalabelWriter(shard, self.categories, video=video.name, **options))
        part = stack.enter_context(whole_folder(folder))
        return [scalabel.write, BddBitmaskWriter(part, self.categories, **options).write]

    def require_free(self, videos: Sequence[PictureVideo], overwrite: bool) -> None:
        """See `TrackingFiles`; also seg_track.json."""
        require_new(self.results, overwrite, folder=False)
        super().require_free(videos, overwrite)

    def join(self, videos: Sequence[PictureVideo], overwrite: bool) -> None:
        """Joins the shards."""
        join_scalabel([self.paths_of(video)[0] for video in videos], self.results, overwrite)


def tracking_run(
    model: VideoModel, split: TrackingSplit, out: Path, mapped: Mapping[int, str]
) -> BenchmarkRun[PictureVideo]:
    """A model over the videos of a split.

    Args:
        model: a video model.
        split: what is run.
        out: folder for the results.
        mapped: category of each of the model's labels that has one, as from `map_classes`.
    """
    if split.benchmark == BDD100K:
        files: TrackingFiles = BddFiles(model, out, mapped)
    else:
        files = MotsTextFiles(model, out, mapped, MOTS_RULES[split.benchmark])
    described = [(video.name, video.width, video.height, *video.file_names) for video in split.videos]
    description = model_and_videos(model, described) | {
        "benchmark": split.benchmark,
        "classes": {model.classes[label]: category for label, category in mapped.items()},
    }
    return BenchmarkRun(model, split.videos, files, PictureVideo.frames, description)


def scored_files(split: TrackingSplit, out: Path) -> tuple[Path, Path | None]:
    """What is scored of a run's results, and the seqmap to go by."""
    if split.benchmark != BDD100K:
        return out / TXT, out / SEQMAP
    return out / (SEG_TRACK if split.protocol == "bdd100k_mots" else BITMASKS), None
