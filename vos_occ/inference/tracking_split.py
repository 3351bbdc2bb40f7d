"""The videos of a tracking benchmark as they lie there, folders of pictures, and the truth that they are scored by.

Layouts are `vos_occ.datasets.video_folders`; what is inside of labels is the business of `eval.readers`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from eval.errors import listed
from eval.protocols.bdd100k_rules import CLASSES as BDD_CLASSES
from eval.protocols.trackeval_mots import CHALLENGE, KITTI
from eval.readers.mots_files import read_seqmap
from eval.readers.sequence_extents import Extents, SequenceExtent, bdd_extents, mots_extents
from vos_occ.datasets.images import read_image
from vos_occ.datasets.video_folders import SplitFolders, VideoFolder, find_folders, list_videos
from vos_occ.media import Frame
from vos_occ.structures.errors import InputError

MOTS_RULES = {rules.name: rules for rules in (KITTI, CHALLENGE)}
BDD100K = "bdd100k"


@dataclass(frozen=True)
class PictureVideo:
    """A video that is a folder of pictures.

    Attributes:
        name: Its own in the benchmark.
        paths: Of its pictures, in order.
        height, width: Of the first one, in pixels.
    """

    name: str
    paths: tuple[Path, ...]
    height: int
    width: int

    @classmethod
    def of(cls, folder: VideoFolder) -> PictureVideo:
        """Reads the first picture for its size.

        Raises:
            InputError: it is none.
        """
        height, width = read_image(folder.path(0)).shape[:2]
        return cls(folder.name, tuple(folder.path(t) for t in range(len(folder))), height, width)

    @property
    def length(self) -> int:
        """Number of frames."""
        return len(self.paths)

    @property
    def file_names(self) -> tuple[str, ...]:
        """Names of the pictures."""
        return tuple(path.name for path in self.paths)

    @property
    def extent(self) -> SequenceExtent:
        """What results of the video must fit."""
        return SequenceExtent(self.length, (self.height, self.width), tuple(path.stem for path in self.paths))

    def frames(self) -> Iterator[Frame]:
        """The frames, read one by one.

        Raises:
            InputError: one cannot be read, or has another size than the first.
        """
        for index, path in enumerate(self.paths):
            image = read_image(path)
            if image.shape[:2] != (self.height, self.width):
                sizes = f"{image.shape[1]}x{image.shape[0]}, but {self.paths[0].name} is {self.width}x{self.height}"
                raise InputError(f"{path} is {sizes}. All frames of a video have one size: unpack them again.")
            yield Frame(index, None, image)


@dataclass(frozen=True)
class TrackingSplit:
    """What is tested.

    Attributes:
        benchmark: One of `video_files.TRACKING_FORMATS`.
        image_root: The folder that holds those of the videos.
        videos: In the order of their names, or of the seqmap.
        truth: File or folder of labels, None where none is known.
        absent: Names of videos of the split of which there are no frames.
    """

    benchmark: str
    image_root: Path
    videos: tuple[PictureVideo, ...]
    truth: Path | None
    absent: tuple[str, ...] = ()

    @property
    def warning(self) -> str:
        """One line about a split that is not all there, "" about one that is."""
        if not self.absent:
            return ""
        of = f"{len(self.absent)} of {len(self.absent) + len(self.videos)} sequences of the split"
        return f"'{self.image_root}' has no frames of {of} ({listed(self.absent)}): they are left out."

    @property
    def categories(self) -> tuple[str, ...]:
        """What the benchmark scores, in its order."""
        return BDD_CLASSES if self.benchmark == BDD100K else tuple(MOTS_RULES[self.benchmark].classes)

    @property
    def protocol(self) -> str:
        """Whose rules of `eval.protocols` score it: those for what the truth is."""
        if self.benchmark != BDD100K:
            return self.benchmark
        return "bdd100k_mots" if self.truth is not None and _is_scalabel(self.truth) else "bdd100k_mots_bitmask"

    def require_scorable(self) -> None:
        """Raises InputError for what would end the scoring, which comes after hours: truth of other videos or frames.

        Raises:
            SchemaError: the truth cannot be read.
        """
        if self.truth is None:
            return
        true = read_extents(self.benchmark, self.truth)
        strange = [video.name for video in self.videos if video.name not in true]
        if strange:
            cure = "Name the videos that it has with --seqmap, or leave out --eval."
            raise InputError(f"'{self.truth}' has no labels of {listed(strange)}. {cure}")
        unasked = [name for name in true if name not in {video.name for video in self.videos}]
        if unasked and self.benchmark == BDD100K:
            raise InputError(
                f"'{self.truth}' has labels of {listed(unasked)}, of which '{self.image_root}' has no frames. "
                "Unpack all of them, or leave out --eval."
            )
        _require_lengths(self.videos, true, str(self.truth))


def read_extents(benchmark: str, path: Path) -> Extents:
    """The videos that labels or a seqmap of a benchmark name.

    Raises:
        SchemaError: they cannot be read.
    """
    if benchmark == BDD100K:
        return bdd_extents(path)
    rules = MOTS_RULES[benchmark]
    return mots_extents(path, rules.first_frame, rules.header)


def find_tracking_split(
    benchmark: str,
    config: Mapping[str, Any],
    *,
    split: str | None = None,
    data_root: str | None = None,
    image_root: str | None = None,
    ann_file: str | None = None,
    seqmap: str | None = None,
) -> TrackingSplit:
    """The videos that were asked for.

    Args:
        benchmark: one of `video_files.TRACKING_FORMATS`.
        config: entries of a config: `test_dataset` with `image_root`, and `ann_file` and `seqmap` or none of them; for
            `split` also `data_root`. May be empty.
        split: train, val or test, looked for below `data_root`.
        data_root: the folder that the benchmark was unpacked into; default: the config's.
        image_root: the folder that holds those of the videos, instead of what the config or the split has.
        ann_file: file or folder of labels, likewise.
        seqmap: file that names the sequences, and how long they are.

    Raises:
        InputError: nothing names the videos, one is not there, or not as long as the seqmap says.
        SchemaError: the seqmap cannot be read.
    """
    if config.get("benchmark", benchmark) != benchmark:
        config = {}  # it says where another one is
    named = config.get("test_dataset", {}) if split is None else {}
    truth, seqmap = ann_file or named.get("ann_file"), seqmap or named.get("seqmap")
    folders = _find(benchmark, split, data_root or config.get("data_root"), image_root or named.get("image_root"))
    lengths = None if seqmap is None else _lengths(benchmark, Path(seqmap))
    if lengths is not None:
        folders = replace(folders, sequences=tuple(lengths))
    videos = tuple(map(PictureVideo.of, list_videos(folders)))
    absent = tuple(name for name in folders.sequences or () if name not in {video.name for video in videos})
    if lengths is not None:
        if absent:
            raise InputError(f"'{folders.images}' has no frames of {listed(absent)}, which '{seqmap}' names. Add them.")
        _require_lengths(videos, {name: SequenceExtent(n) for name, n in lengths.items()}, str(seqmap))
    labels = folders.labels if truth is None else _truth(truth)
    return TrackingSplit(benchmark, folders.images, videos, labels, absent)


def _find(benchmark: str, split: str | None, root: str | None, images: str | None) -> SplitFolders:
    """The folders of a split, or the one of frames that was named."""
    if split is not None and root is None:
        raise InputError(f"The config does not say where --split {split} is to be looked for: add --data-root DIR.")
    if split is not None:
        return find_folders(benchmark, str(root), split, images=images and str(Path(images).absolute()))
    if images is None:
        raise InputError("The config names no test_dataset: give --image-root, or --split.")
    if not Path(images).is_dir():
        raise InputError(f"There is no folder '{images}'. Name the one that holds the folders of the videos.")
    return SplitFolders(benchmark, "", Path(images), None, None)


def _lengths(benchmark: str, seqmap: Path) -> dict[str, int | None]:
    if benchmark not in MOTS_RULES:
        raise InputError(f"{benchmark} has no seqmap: its splits are folders of their own. Leave out --seqmap.")
    rules = MOTS_RULES[benchmark]
    return read_seqmap(seqmap, rules.first_frame, rules.header)


def _require_lengths(videos: tuple[PictureVideo, ...], extents: Extents, source: str) -> None:
    for video in videos:
        length = extents[video.name].length
        if length not in (None, video.length):
            raise InputError(
                f"'{video.paths[0].parent}' has {video.length} frames, but '{source}' has {length} of {video.name}. "
                "Unpack all frames."
            )


def _truth(path: str) -> Path:
    if not Path(path).exists():
        raise InputError(f"There are no labels '{path}'. Check the path, or leave it out.")
    return Path(path)


def _is_scalabel(path: Path) -> bool:
    return path.suffix == ".json" or any(path.glob("*.json"))
