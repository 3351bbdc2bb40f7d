"""A model over every video of a YTVIS-format dataset: one JSONL and one result shard per video, then results.json."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from eval.readers.ytvis import Video, YtvisDataset
from vos_occ.datasets.images import read_frame
from vos_occ.inference.resumable import BenchmarkRun, Timed, header_of, model_and_videos, results_of
from vos_occ.inference.shares import Worker
from vos_occ.media import Frame
from vos_occ.results.jsonl import JsonlWriter
from vos_occ.results.output import require_new, whole_file
from vos_occ.results.ytvis import YtvisTracks, merge_shards, shard_path, write_shard
from vos_occ.structures.errors import InputError

if TYPE_CHECKING:  # imports mmdet, which whoever scores files needs not
    from vos_occ.models.video.contract import VideoModel


def run_dataset(
    model: VideoModel,
    dataset: YtvisDataset,
    image_root: str | Path,
    out: str | Path,
    *,
    overwrite: bool = False,
    resume: bool = False,
    worker: Worker = Worker(),  # noqa: B008 (frozen)
    on_frame: Callable[[Video], None] = lambda video: None,
) -> Path:
    """Tracks all videos and writes `out/results.json`, `out/shards/` and `out/jsonl/VIDEO_ID.jsonl`.

    A video's files appear whole when it is done, its shard last: a run that dies loses the video in progress.

    Args:
        model: its classes must be categories of the dataset, by name.
        dataset: as read by `eval.readers.ytvis`.
        image_root: folder that the dataset's file names are relative to.
        out: folder for the results.
        overwrite: replace results that exist.
        resume: go on with a run that ended early; videos that are done are kept.
        worker: which share of the videos is run here; the first of several joins all results when all are done.
        on_frame: called after every frame, for progress; what it raises ends the run.

    Returns:
        The path of results.json.

    Raises:
        InputError: a class of the model is not a category of the dataset, a frame cannot be read, or is not named; or
            the run to resume is another one.
        OutputExistsError: results exist, and `overwrite` and `resume` are off.
    """
    run = ytvis_run(model, dataset, image_root, out)
    return run.run(overwrite=overwrite, resume=resume, worker=worker, on_frame=on_frame)


def ytvis_run(model: VideoModel, dataset: YtvisDataset, image_root: str | Path, out: str | Path) -> BenchmarkRun[Video]:
    """What `run_dataset` runs.

    Raises:
        InputError: a class of the model is not a category of the dataset.
    """
    return BenchmarkRun(
        model,
        dataset.videos,
        YtvisFiles(model, dataset, Path(out)),
        partial(frames_of, image_root=Path(image_root)),
        description_of(model, dataset),
    )


class YtvisFiles:
    """A JSONL and a shard per video, and results.json of the shards.

    Args:
        model: whose results they are.
        dataset: whose categories and videos.
        out: folder for them.

    Raises:
        InputError: a class of the model is not a category of the dataset.
    """

    def __init__(self, model: VideoModel, dataset: YtvisDataset, out: Path) -> None:
        self.out = out
        self.results = out / "results.json"
        self._model, self._dataset = model, dataset
        self._category_ids = categories_of(model.classes, dataset)

    def require_free(self, videos: Sequence[Video], overwrite: bool) -> None:
        """See `require_free`."""
        require_free(self._dataset, self.out, overwrite)

    def is_done(self, video: Video) -> bool:
        """Whether both files of a video are there; the shard is written when the other is whole."""
        return shard_path(self.out / "shards", video.id).is_file() and jsonl_path(self.out, video.id).is_file()

    def forget(self, video: Video) -> None:
        """Removes the shard."""
        shard_path(self.out / "shards", video.id).unlink(missing_ok=True)

    def write(self, video: Video, results: Iterable[Timed]) -> None:
        """See `write_video`."""
        write_video(self._model, video, self._category_ids, self.out, results)

    def join(self, videos: Sequence[Video], overwrite: bool) -> None:
        """Joins the shards."""
        merge_shards(self.out / "shards", [video.id for video in videos], self.results, overwrite)


def run_video(
    model: VideoModel,
    video: Video,
    category_ids: list[int],
    image_root: Path,
    out: Path,
    on_frame: Callable[[Video], None],
) -> None:
    """One video to its JSONL, then its shard."""
    results = results_of(model, video, frames_of(video, image_root), on_frame)
    write_video(model, video, category_ids, out, results)


def write_video(model: VideoModel, video: Video, category_ids: list[int], out: Path, results: Iterable[Timed]) -> None:
    """The times and results of a video, frame after frame, to its JSONL, then its shard."""
    header = header_of(model, video.name, video.height, video.width, video.length)
    tracks = YtvisTracks(video.id, video.length, category_ids)
    path = jsonl_path(out, video.id)
    shard_path(out / "shards", video.id).unlink(missing_ok=True)  # of the run that is replaced
    with whole_file(path) as part, JsonlWriter(part, header, overwrite=True) as jsonl:
        for time, result in results:
            tracks.add(result)
            jsonl.write(result, time)
    write_shard(out / "shards", video.id, tracks.entries(), overwrite=True)


def description_of(model: VideoModel, dataset: YtvisDataset) -> dict[str, object]:
    """What must be the same for the videos of one results.json."""
    videos = [(video.id, video.width, video.height, *video.file_names) for video in dataset.videos]
    return model_and_videos(model, videos)


def require_free(dataset: YtvisDataset, out: Path, overwrite: bool) -> None:
    """Raises before the first frame what would otherwise come after hours: outputs in the way, videos without files."""
    require_new(out / "results.json", overwrite, folder=False)
    for video in dataset.videos:
        require_new(jsonl_path(out, video.id), overwrite, folder=False)
        require_new(shard_path(out / "shards", video.id), overwrite, folder=False)
        if not video.file_names:
            raise InputError(f"{dataset.path}: video {video.id} has no file_names, so its frames cannot be found.")


def jsonl_path(out: Path, video_id: int) -> Path:
    """Where the frame results of a video are written."""
    return out / "jsonl" / f"{video_id}.jsonl"


def categories_of(classes: tuple[str, ...], dataset: YtvisDataset) -> list[int]:
    """The dataset's category id of each class, by name."""
    ids = {category.name: category.id for category in dataset.categories}
    missing = [name for name in classes if name not in ids]
    if missing:
        raise InputError(
            f"The model knows the class {missing[0]!r}, but {dataset.path.name} has only {', '.join(sorted(ids))}. "
            "Use a checkpoint that was trained for this dataset's classes."
        )
    return [ids[name] for name in classes]


def frames_of(video: Video, image_root: Path) -> Iterator[Frame]:
    """The frames of a dataset's video, read one by one."""
    for index, name in enumerate(video.file_names):
        yield Frame(index, None, read_frame(image_root / name, video.height, video.width))
