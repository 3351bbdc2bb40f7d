"""A model over all videos of a benchmark, shared out among processes, in files that a later run can go on with.

Knows nothing of formats: what is written of a video, and what becomes of all of it, is a `ResultFiles`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from vos_occ.inference.run import track
from vos_occ.inference.shares import HasLength, Worker
from vos_occ.media import Frame
from vos_occ.results.jsonl import Header
from vos_occ.results.output import write_atomically
from vos_occ.structures import FrameResult
from vos_occ.structures.errors import InputError

if TYPE_CHECKING:  # imports mmdet, which whoever scores files needs not
    from vos_occ.models.video.contract import VideoModel

Video = TypeVar("Video", bound=HasLength)
Contra = TypeVar("Contra", bound=HasLength, contravariant=True)
Timed = tuple[float | None, FrameResult]


class ResultFiles(Protocol[Contra]):
    """What a benchmark wants to have written. A video's files appear whole when it is done, the last says that it is.

    Attributes:
        out: folder for all of it.
        results: what the server takes, in it.
    """

    out: Path
    results: Path

    def require_free(self, videos: Sequence[Contra], overwrite: bool) -> None:
        """Raises before the first frame what would otherwise come after hours, such as files in the way."""

    def is_done(self, video: Contra) -> bool:
        """Whether all files of a video are there."""

    def forget(self, video: Contra) -> None:
        """Removes the file that says that a video is done, if it is there."""

    def write(self, video: Contra, results: Iterable[Timed]) -> None:
        """Writes the times and results of a video, frame after frame, over files of an earlier run."""

    def join(self, videos: Sequence[Contra], overwrite: bool) -> None:
        """Makes `results` of all videos, when all are done."""


@dataclass(frozen=True)
class BenchmarkRun(Generic[Video]):
    """What is run, and where it goes.

    Attributes:
        model: a video model.
        videos: of the benchmark, in its order.
        files: where results go.
        frames_of: the frames of a video, read one by one.
        description: what must be the same for the videos of one run, by name.
    """

    model: VideoModel
    videos: Sequence[Video]
    files: ResultFiles[Video]
    frames_of: Callable[[Video], Iterator[Frame]]
    description: Mapping[str, object]

    def to_do(self, worker: Worker, resume: bool) -> list[Video]:
        """The videos that a process has to run, in order: its share, without what an earlier run has done."""
        return [video for video in worker.share(self.videos) if not (resume and self.files.is_done(video))]

    def run(
        self,
        *,
        overwrite: bool = False,
        resume: bool = False,
        worker: Worker = Worker(),  # noqa: B008 (frozen)
        on_frame: Callable[[Video], None] = lambda video: None,
    ) -> Path:
        """Tracks all videos and writes their files. A run that dies loses the video in progress.

        Args:
            overwrite: replace results that exist.
            resume: go on with a run that ended early; videos that are done are kept.
            worker: which share of the videos is run here; the first of several joins all results when all are done.
            on_frame: called after every frame, for progress; what it raises ends the run.

        Returns:
            `files.results`.

        Raises:
            InputError: the run to resume is another one, or a frame cannot be read.
            OutputExistsError: results exist, and `overwrite` and `resume` are off.
        """
        self.files.require_free(self.videos, overwrite or resume)
        if worker.is_first:
            for video in self.videos if not resume else ():
                self.files.forget(video)  # or it would be taken for this run's, were this one resumed
            require_same_run(self.files.out, self.description, resume)
        worker.wait_for_all()  # nobody writes before the first has looked
        for video in self.to_do(worker, resume):
            self.files.write(video, results_of(self.model, video, self.frames_of(video), on_frame))
        worker.wait_for_all()
        if worker.is_first:
            self.files.join(self.videos, overwrite or resume)
        return self.files.results


def results_of(
    model: VideoModel, video: Video, frames: Iterable[Frame], on_frame: Callable[[Video], None]
) -> Iterator[Timed]:
    """The time and result of every frame of a video, as they become final; `on_frame` is called after each."""
    for frame, result in track(model, frames, video.length):
        yield frame.time, result
        on_frame(video)


def require_same_run(out: Path, description: Mapping[str, object], resume: bool) -> None:
    """Notes in `out/run.json` what is run; raises InputError if a run to resume was another one."""
    path, text = out / "run.json", json.dumps(description, indent=1)
    if resume and path.is_file():
        before = json.loads(path.read_text(encoding="utf-8"))
        changed = [name for name, value in json.loads(text).items() if before.get(name) != value]
        if changed:
            name = changed[0]
            raise InputError(
                f"The run in '{out}' had another {name}: {before.get(name)}, now {description[name]}. "
                "Resume with what it began with, or start anew with --overwrite."
            )
    write_atomically(path, text + "\n")


def model_and_videos(model: VideoModel, videos: Sequence[object]) -> dict[str, object]:
    """What every run is described by; `videos` is all that matters of them, as JSON can hold it."""
    return {
        "model": model.name,
        "checkpoint_sha256": model.checkpoint_sha256,
        "config_sha256": getattr(model, "config_sha256", None),
        "options": getattr(model, "options", None),
        "score_threshold": getattr(model, "score_threshold", None),
        "videos_sha256": hashlib.sha256(json.dumps(videos).encode()).hexdigest(),
    }


def header_of(model: VideoModel, name: str, height: int, width: int, length: int) -> Header:
    """The first line of a video's JSONL."""
    return Header(
        video=name,
        width=width,
        height=height,
        fps=None,
        frames=length,
        classes=tuple(model.classes),
        model=model.name,
        checkpoint_sha256=model.checkpoint_sha256,
    )
