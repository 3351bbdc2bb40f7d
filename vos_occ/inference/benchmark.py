"""A model over every video of a YTVIS-format dataset: one JSONL and one result shard per video, then results.json."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from eval.readers.ytvis import Video, YtvisDataset
from vos_occ.datasets.images import read_frame
from vos_occ.inference.run import track
from vos_occ.media import Frame
from vos_occ.results.jsonl import Header, JsonlWriter
from vos_occ.results.output import require_new
from vos_occ.results.ytvis import YtvisTracks, merge_shards, shard_path, write_shard
from vos_occ.structures.errors import InputError

if TYPE_CHECKING:  # imports mmdet, which whoever scores files needs not
    from vos_occ.models.video.masktrack import OccMaskTrackRCNN


def run_dataset(
    model: OccMaskTrackRCNN,
    dataset: YtvisDataset,
    image_root: str | Path,
    out: str | Path,
    *,
    overwrite: bool = False,
    on_frame: Callable[[Video], None] = lambda video: None,
) -> Path:
    """Tracks all videos and writes `out/results.json`, `out/shards/` and `out/jsonl/VIDEO_ID.jsonl`.

    Args:
        model: its classes must be categories of the dataset, by name.
        dataset: as read by `eval.readers.ytvis`.
        image_root: folder that the dataset's file names are relative to.
        out: folder for the results.
        overwrite: replace results that exist.
        on_frame: called after every frame, for progress.

    Returns:
        The path of results.json.

    Raises:
        InputError: a class of the model is not a category of the dataset, a frame cannot be read, or is not named.
        OutputExistsError: results exist and `overwrite` is off.
    """
    out = Path(out)
    category_ids = categories_of(model.classes, dataset)
    require_free(dataset, out, overwrite)
    for video in dataset.videos:
        tracks = YtvisTracks(video.id, video.length, category_ids)
        header = Header(
            video=video.name,
            width=video.width,
            height=video.height,
            fps=None,
            frames=video.length,
            classes=tuple(model.classes),
            model=model.name,
            checkpoint_sha256=model.checkpoint_sha256,
        )
        with JsonlWriter(jsonl_path(out, video.id), header, overwrite) as jsonl:
            for frame, result in track(model, frames_of(video, Path(image_root)), video.length):
                tracks.add(result)
                jsonl.write(result, frame.time)
                on_frame(video)
        write_shard(out / "shards", video.id, tracks.entries(), overwrite)
    merge_shards(out / "shards", [video.id for video in dataset.videos], out / "results.json", overwrite)
    return out / "results.json"


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
