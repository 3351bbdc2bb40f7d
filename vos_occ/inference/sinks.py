"""Where the results of one video go: which outputs are asked for, and one sink for each, all fed frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from vos_occ.media import ContactSheet, Frame, Overlay, VideoReader, VideoWriter, legible_scale
from vos_occ.results.csv import CsvWriter
from vos_occ.results.jsonl import Header, JsonlWriter
from vos_occ.results.masks_npz import MasksNpzWriter
from vos_occ.results.masks_png import IdPngWriter, TrackPngWriter
from vos_occ.results.mot import MotWriter
from vos_occ.results.mots_png import MotsPngWriter
from vos_occ.results.mots_txt import MotsTxtWriter
from vos_occ.results.output import require_new
from vos_occ.results.png_folder import write_png
from vos_occ.structures import FrameResult
from vos_occ.structures.errors import InputError

if TYPE_CHECKING:  # imports mmdet, for which `--help` need not wait
    from vos_occ.models.video.roi_model import RoIVideoModel

Sink = Callable[[Frame, FrameResult], object]


# What each field of `Outputs` is called on a command line, and what it is.
OUTPUT_OPTIONS = {
    "video": ("--out", "overlay video (default: <input>_vos_occ.mp4 in this folder)"),
    "jsonl": ("--json", "results, one JSON line per frame (schema vos_occ/1)"),
    "csv": ("--csv", "table of the objects without their masks, one row per object and frame"),
    "mot": ("--mot", "boxes as a MOT challenge txt"),
    "mots": ("--mots", "masks as a KITTI MOTS txt; see --mots-class"),
    "masks": ("--masks", "folder for one MOTS png per frame (class * 1000 + id, 16 bit); see --mots-class"),
    "mask_ids": ("--mask-ids", "folder for one png per frame that says which id is where (16 bit)"),
    "mask_tracks": ("--mask-tracks", "folder for a folder of masks per track, one png per frame (0 and 255)"),
    "npz": ("--npz", "masks of all frames in one npz, as run lengths"),
    "contact_sheet": ("--contact-sheet", "png of the hardest occlusions, each as filmed and as understood"),
}


@dataclass(frozen=True)
class Outputs:
    """Where the results of one video go; None is not written. `OUTPUT_OPTIONS` says what each is.

    Attributes:
        overwrite: replace what is there.

    Raises:
        InputError: nothing would be written, two outputs have one name, or the contact sheet is not called `.png`.
    """

    video: Path | None = None
    jsonl: Path | None = None
    csv: Path | None = None
    mot: Path | None = None
    mots: Path | None = None
    masks: Path | None = None
    mask_ids: Path | None = None
    mask_tracks: Path | None = None
    npz: Path | None = None
    contact_sheet: Path | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        if not self.written():
            raise InputError("Nothing would be written: name an output, such as --out or --json.")
        if len({path.resolve() for path in self.written()}) < len(self.written()):
            raise InputError(f"Two outputs have one name: {', '.join(map(str, self.written()))}. Name them apart.")
        if self.contact_sheet is not None and self.contact_sheet.suffix.lower() != ".png":
            raise InputError(
                f"--contact-sheet is a png picture, found '{self.contact_sheet}'. Let its name end in .png."
            )

    def written(self) -> list[Path]:
        """The outputs that are asked for."""
        paths = (getattr(self, name) for name in OUTPUT_OPTIONS)
        return [path for path in paths if path is not None]

    def require_free(self, source: Path) -> None:
        """Raises before any work is done if an output exists, or would mix with the video that is read."""
        source = source.resolve()
        for path in self.written():
            output = path.resolve()
            if source in (output, output.parent) or output == source.parent:
                raise InputError(f"Output '{path}' would mix with the input '{source}'. Choose another place.")
            require_new(path, self.overwrite)


def mots_class_ids(names: str | None, classes: Sequence[str], kept: frozenset[int]) -> list[int] | None:
    """The class id of each label in MOTS files, from `person=2,car=1`; None, for None, means label + 1.

    Args:
        names: what `--mots-class` says.
        classes: the model's.
        kept: labels of the classes that are written; each needs an id, the others have 0.

    Raises:
        InputError: the text is not of that form, names an unknown class, or leaves a kept one out.
    """
    if names is None:
        return None
    ids = [0] * len(classes)
    for part in names.split(","):
        name, _, number = (word.strip() for word in part.rpartition("="))
        if not (name and number.isascii() and number.isdigit()):
            raise InputError(f"--mots-class takes NAME=ID with commas between, such as person=2; found '{part}'.")
        if name not in classes:
            raise InputError(f"Class '{name}' of --mots-class is not one of this model's: {', '.join(classes)}.")
        ids[classes.index(name)] = int(number)
    missing = [classes[label] for label in sorted(kept) if not ids[label]]
    if missing:
        raise InputError(f"--mots-class gives no id to '{missing[0]}'. Name it too, or leave it out with --classes.")
    return ids


def open_sinks(
    stack: ExitStack,
    outputs: Outputs,
    video: VideoReader,
    model: RoIVideoModel,
    mots_classes: Sequence[int] | None = None,
) -> list[Sink]:
    """One `sink(frame, result)` per output that is asked for; `stack` closes them.

    When the video breaks off, what was written until then is kept, in every format.

    Args:
        stack: must be entered.
        outputs: which.
        video: gives size, rate and name.
        model: gives class names and its own.
        mots_classes: class id of each label in MOTS files; see `mots_class_ids`.
    """
    sinks = _line_sinks(stack, outputs, video, model)
    if outputs.masks is not None:
        masks = MotsPngWriter(outputs.masks, mots_classes, overwrite=outputs.overwrite)
        sinks.append(lambda frame, result: masks.write(result))
    if outputs.mask_ids is not None:
        ids = IdPngWriter(outputs.mask_ids, outputs.overwrite)
        sinks.append(lambda frame, result: ids.write(result))
    if outputs.mask_tracks is not None:
        tracks = TrackPngWriter(outputs.mask_tracks, outputs.overwrite)
        sinks.append(lambda frame, result: tracks.write(result))
    if outputs.npz is not None:
        npz = MasksNpzWriter(outputs.npz, video.height, video.width, tuple(model.classes), outputs.overwrite)
        sinks.append(stack.enter_context(_AtEnd(lambda frame, result: npz.write(result, frame.time), npz.close)))
    if outputs.mots is not None:
        mots = MotsTxtWriter(outputs.mots, mots_classes, overwrite=outputs.overwrite)
        sinks.append(stack.enter_context(_AtEnd(lambda frame, result: mots.write(result), mots.close)))
    return sinks + _picture_sinks(stack, outputs, video, model)


def _line_sinks(stack: ExitStack, outputs: Outputs, video: VideoReader, model: RoIVideoModel) -> list[Sink]:
    """Text files that grow line by line."""
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
    if outputs.csv is not None:
        csv = stack.enter_context(CsvWriter(outputs.csv, model.classes, outputs.overwrite))
        sinks.append(lambda frame, result: csv.write(result, frame.time))
    if outputs.mot is not None:
        mot = stack.enter_context(MotWriter(outputs.mot, outputs.overwrite))
        sinks.append(lambda frame, result: mot.write(result))
    return sinks


def _picture_sinks(stack: ExitStack, outputs: Outputs, video: VideoReader, model: RoIVideoModel) -> list[Sink]:
    """What is drawn."""
    sinks: list[Sink] = []
    show_occlusion = model.occlusion_options["enabled"]
    if outputs.video is not None:
        scale = legible_scale(video.width, video.height)
        overlay = Overlay(model.classes, show_occlusion=show_occlusion, scale=scale)
        size = video.width * scale, video.height * scale
        writer = stack.enter_context(VideoWriter(outputs.video, video.fps, *size, outputs.overwrite))
        sinks.append(lambda frame, result: writer.write(overlay.draw(frame.image, result), frame.time))
    if outputs.contact_sheet is not None:
        path = outputs.contact_sheet
        require_new(path, outputs.overwrite, folder=False)
        gap = max(1, round(video.source_fps))  # a second
        sheet = ContactSheet(video.name, model.classes, show_occlusion=show_occlusion, gap=gap)
        finish = partial(_write_sheet, path, sheet)
        sinks.append(
            stack.enter_context(_AtEnd(lambda frame, result: sheet.add(frame.image, result, frame.time), finish))
        )
    return sinks


def _write_sheet(path: Path, sheet: ContactSheet) -> None:
    write_png(path, sheet.picture())


class _AtEnd:
    """A sink whose file is put together at the end of the video, or where it broke off if a frame came before."""

    def __init__(self, write: Sink, finish: Callable[[], object]) -> None:
        self._write = write
        self._finish = finish
        self._started = False

    def __call__(self, frame: Frame, result: FrameResult) -> None:
        self._write(frame, result)
        self._started = True

    def __enter__(self) -> _AtEnd:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None or self._started:
            self._finish()
