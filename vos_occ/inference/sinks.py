"""Where the results of one video go: which outputs are asked for, and one sink for each, all fed frame by frame."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vos_occ.media import Frame, Overlay, VideoReader, VideoWriter, legible_scale
from vos_occ.results.jsonl import Header, JsonlWriter
from vos_occ.results.mot import MotWriter
from vos_occ.results.mots_png import MotsPngWriter
from vos_occ.results.output import require_new
from vos_occ.structures import FrameResult
from vos_occ.structures.errors import InputError

if TYPE_CHECKING:  # imports mmdet, for which `--help` need not wait
    from vos_occ.models.video.masktrack import OccMaskTrackRCNN

Sink = Callable[[Frame, FrameResult], object]


@dataclass(frozen=True)
class Outputs:
    """Where the results of one video go; None is not written.

    Raises:
        InputError: nothing would be written, or two outputs have one name.
    """

    video: Path | None = None
    jsonl: Path | None = None
    masks: Path | None = None
    mot: Path | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        if not self.written():
            raise InputError("Nothing would be written: name at least one of --out, --json, --masks and --mot.")
        if len({path.resolve() for path in self.written()}) < len(self.written()):
            raise InputError(f"Two outputs have one name: {', '.join(map(str, self.written()))}. Name them apart.")

    def written(self) -> list[Path]:
        """The outputs that are asked for."""
        return [path for path in (self.video, self.jsonl, self.masks, self.mot) if path is not None]

    def require_free(self, source: Path) -> None:
        """Raises before any work is done if an output exists, or would mix with the video that is read."""
        source = source.resolve()
        for path in self.written():
            output = path.resolve()
            if source in (output, output.parent) or output == source.parent:
                raise InputError(f"Output '{path}' would mix with the input '{source}'. Choose another place.")
            require_new(path, self.overwrite)


def open_sinks(stack: ExitStack, outputs: Outputs, video: VideoReader, model: OccMaskTrackRCNN) -> list[Sink]:
    """One `sink(frame, result)` per output that is asked for; `stack` closes them."""
    sinks: list[Sink] = []
    if outputs.jsonl is not None:
        header = Header(
            video=video.name,
            width=video.width,
            height=video.height,
            fps=video.fps,
            frames=video.num_frames,
            classes=tuple(model.classes),
            model=model.name,
            checkpoint_sha256=model.checkpoint_sha256,
        )
        jsonl = stack.enter_context(JsonlWriter(outputs.jsonl, header, outputs.overwrite))
        sinks.append(lambda frame, result: jsonl.write(result, frame.time))
    if outputs.masks is not None:
        masks = MotsPngWriter(outputs.masks, overwrite=outputs.overwrite)
        sinks.append(lambda frame, result: masks.write(result))
    if outputs.mot is not None:
        mot = stack.enter_context(MotWriter(outputs.mot, outputs.overwrite))
        sinks.append(lambda frame, result: mot.write(result))
    if outputs.video is not None:
        scale = legible_scale(video.width, video.height)
        overlay = Overlay(model.classes, show_occlusion=model.occlusion_options["enabled"], scale=scale)
        size = video.width * scale, video.height * scale
        writer = stack.enter_context(VideoWriter(outputs.video, video.fps, *size, outputs.overwrite))
        sinks.append(lambda frame, result: writer.write(overlay.draw(frame.image, result), frame.time))
    return sinks
