"""What a network saw of a video, kept, so that other ways to track it are tried in seconds.

Tracking needs no image: only boxes, scores, embeddings and mask logits. `record` runs the network once and keeps those
of every detection; `replay` gives them back to the model's own `track`, whose options of memory, association and
occlusion may have changed (`with_options`). Unchanged, the results are those of `VideoSession`.

Of CMTrack it keeps what was seen of a frame through its neighbours, a frame at a time and in order.
"""

from __future__ import annotations

import vos_occ.compat  # noqa: F401  (before any mm* import)

# isort: split
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import copy, deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from eval.readers.ytvis import Video, YtvisDataset
from vos_occ.inference.benchmark import categories_of, frames_of, require_free, write_video
from vos_occ.models.bilayer.prediction import BilayerPrediction
from vos_occ.models.video.contract import VideoMeta
from vos_occ.models.video.masktrack import OccMaskTrackRCNN
from vos_occ.models.video.observation import Observation
from vos_occ.models.video.roi_model import RoIVideoModel
from vos_occ.results.output import require_new, whole_file
from vos_occ.results.ytvis import merge_shards
from vos_occ.structures import FrameResult
from vos_occ.structures.errors import InputError

OBSERVED = ("boxes", "labels", "scores", "embeddings")
PREDICTED = ("occludee_mask", "occluder_mask", "hidden")
FORMAT = "vos_occ/recording/2"


@dataclass(frozen=True, eq=False)
class Recording:
    """All detections of one video, frame after frame.

    Attributes:
        height, width: of the frames, in source pixels.
        counts: (T,) int64, detections of each frame.
        arrays: of all M detections: `boxes` (M, 4), `labels`, `scores` (M,), `embeddings` (M, D), and those of
            `occludee_mask`, `occluder_mask` (M, 1, S, S) and `hidden` (M,) that the mask head has, in logits.
        seen_by: what saw this, as `network_of` says.
    """

    height: int
    width: int
    counts: NDArray[np.int64]
    arrays: dict[str, NDArray]
    seen_by: str

    def __len__(self) -> int:
        return len(self.counts)

    def __repr__(self) -> str:
        return f"Recording({len(self)} frames of {self.height}x{self.width}, {int(self.counts.sum())} detections)"

    def observation(self, frame_index: int, device: torch.device | str = "cpu") -> Observation:
        """What was seen in a frame."""
        end = int(self.counts[: frame_index + 1].sum())
        rows = slice(end - int(self.counts[frame_index]), end)
        values = {name: torch.from_numpy(array[rows]).to(device) for name, array in self.arrays.items()}
        prediction = BilayerPrediction(**{name: values[name] for name in PREDICTED if name in values})
        return Observation(**{name: values[name] for name in OBSERVED}, predict_masks=prediction.select)

    def save(self, path: str | Path, overwrite: bool = False) -> None:
        """Writes an npz; it appears whole.

        Raises:
            OutputExistsError: the file exists and `overwrite` is off.
        """
        require_new(path, overwrite, folder=False)
        about = {"format": FORMAT, "size": (self.height, self.width), "seen_by": self.seen_by}
        with whole_file(Path(path)) as part, part.open("wb") as file:
            np.savez(file, counts=self.counts, **self.arrays, **about)

    @classmethod
    def load(cls, path: str | Path) -> Recording:
        """Reads what `save` wrote.

        Raises:
            InputError: the file is absent, or is none of these.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                values = {name: file[name] for name in file.files}
        except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
            raise InputError(f"'{path}' is no recording: {error}. Record the video again.") from error
        required = {"format", "size", "seen_by", "counts", *OBSERVED, PREDICTED[0]}
        if not required <= set(values) or str(values["format"]) != FORMAT:
            raise InputError(f"'{path}' is no recording of format {FORMAT}. Record the video again.")
        height, width = values["size"].tolist()
        arrays = {name: values[name] for name in (*OBSERVED, *PREDICTED) if name in values}
        return cls(height, width, values["counts"], arrays, str(values["seen_by"]))


def network_of(model: OccMaskTrackRCNN) -> str:
    """Weights, config and least score by which a model sees; how it tracks what it saw is no part of it."""
    return f"weights {model.checkpoint_sha256}, network {model.network_sha256}, score_threshold {model.score_threshold}"


@torch.inference_mode()
def record(model: OccMaskTrackRCNN, images: Iterable[np.ndarray]) -> Recording:
    """Runs the network over one video: all masks of all detections, also those that the model's options do not ask for.

    Args:
        model: as from `vos_occ.load`.
        images: (H, W, 3) uint8 RGB each, of one size, in order; at least one.

    Raises:
        InputError: there is no image, or one has another size than the first; or the model is no MaskTrack.
    """
    model = with_options(model, {"occlusion.enabled": True})
    size: list[int] = []
    counts, parts = [], []
    for seen in model.observations(_of_one_size(images, size)):
        prediction = seen.predict_masks(torch.arange(len(seen), device=seen.boxes.device))
        values = {name: getattr(seen, name) for name in OBSERVED}
        values |= {name: value for name in PREDICTED if (value := getattr(prediction, name)) is not None}
        counts.append(len(seen))
        parts.append({name: value.cpu().numpy() for name, value in values.items()})
    if not size:
        raise InputError("A recording needs at least one frame, found none.")
    arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return Recording(*size, np.array(counts, np.int64), arrays, network_of(model))


def _require_recordable(model: RoIVideoModel) -> None:
    """PCAN sees a frame through its memory, and refines masks by the feature maps of objects."""
    if not isinstance(model, OccMaskTrackRCNN):
        found = type(model).__name__
        raise InputError(
            f"{found} cannot be recorded: it tracks by more than boxes, embeddings and logits. Run its videos anew."
        )


def _of_one_size(images: Iterable[np.ndarray], size: list[int]) -> Iterator[np.ndarray]:
    """The images, checked; height and width of the first are added to `size`."""
    for index, image in enumerate(images):
        size += image.shape[:2] if not index else ()
        if list(image.shape[:2]) != size:
            raise InputError(f"Frame {index} is {image.shape[:2]}, but the video began with {size}. Resize the frames.")
        yield image


def replay(model: OccMaskTrackRCNN, recording: Recording) -> Iterator[FrameResult]:
    """The results of a recorded video under the model's options of memory, association and occlusion.

    Raises:
        InputError: the recording was made with other weights, another network or another least score, or the model is
            no MaskTrack.
    """
    _require_recordable(model)
    if recording.seen_by != network_of(model):
        raise InputError(
            f"The recording was made with {recording.seen_by}, the model has {network_of(model)}. "
            "Record the video again."
        )
    state = model.new_state(VideoMeta(recording.height, recording.width, len(recording)))
    device = model.data_preprocessor.mean.device  # a model with fused layers may have no parameters
    for frame_index in range(len(recording)):
        yield model.track(state, recording.observation(frame_index, device), frame_index)


def with_options(model: OccMaskTrackRCNN, options: Mapping[str, Any]) -> OccMaskTrackRCNN:
    """The model with other options; weights are shared, the original keeps its own.

    Args:
        options: by dotted name, as in a config: `memory.retain_frames`, `memory.occlusion.near`,
            `association.iou_weight`, `occlusion.keep_embedding_above`.

    Raises:
        InputError: there is no such option, or its value cannot be used; or the model is no MaskTrack.
    """
    _require_recordable(model)
    changed = copy(model)
    for name in ("memory_options", "association_options", "occlusion_options"):
        setattr(changed, name, deepcopy(getattr(model, name)))
    for name, value in options.items():
        section, *path = name.split(".")
        if section not in ("memory", "association", "occlusion") or not path:
            raise InputError(f"There is no option {name!r}. Options begin with memory., association. or occlusion.")
        if section == "occlusion" and path[0] not in changed.occlusion_options:
            raise InputError(f"Occlusion has no option {path[0]!r}. It has: {', '.join(changed.occlusion_options)}.")
        place = getattr(changed, f"{section}_options")
        for part in path[:-1]:
            place = place.setdefault(part, {})
        place[path[-1]] = value
    changed.check_options()
    return changed


def record_dataset(
    model: OccMaskTrackRCNN,
    dataset: YtvisDataset,
    image_root: str | Path,
    folder: Path,
    on_video: Callable[[Video], None] = lambda video: None,
) -> None:
    """Records the videos of a dataset as `folder/VIDEO_ID.npz`; those that are there are kept."""
    for video in dataset.videos:
        path = folder / f"{video.id}.npz"
        if not path.is_file():
            record(model, (frame.image for frame in frames_of(video, Path(image_root)))).save(path)
        on_video(video)


def replay_dataset(model: OccMaskTrackRCNN, dataset: YtvisDataset, folder: Path, out: Path, overwrite: bool) -> None:
    """Tracks the recorded videos of a dataset and writes the files of `run_dataset` into `out`.

    Raises:
        InputError: a recording is absent, of another network or of another length than its video.
        OutputExistsError: results exist and `overwrite` is off.
    """
    category_ids = categories_of(model.classes, dataset)
    require_free(dataset, out, overwrite)
    for video in dataset.videos:
        recording = Recording.load(folder / f"{video.id}.npz")
        if len(recording) != video.length:
            raise InputError(
                f"'{folder / f'{video.id}.npz'}' has {len(recording)} frames, video {video.name} has {video.length}. "
                "Record the dataset again."
            )
        write_video(model, video, category_ids, out, ((None, result) for result in replay(model, recording)))
    merge_shards(out / "shards", [video.id for video in dataset.videos], out / "results.json", overwrite)
