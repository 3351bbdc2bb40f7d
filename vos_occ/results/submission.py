"""Submissions to benchmark servers: checked against the split before a day's upload is spent, and packed.

Each server is an entry of `BENCHMARKS`: which files it takes, who checks them, and what its splits look like.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from eval.protocols.trackeval_mots import CHALLENGE, KITTI, MotsRules
from eval.readers.sequence_extents import Extents
from vos_occ.results.output import require_new
from vos_occ.results.submission_bdd100k import SEG_TRACK_FILE, check_seg_track
from vos_occ.results.submission_mots import check_mots_text
from vos_occ.results.submission_report import SubmissionReport
from vos_occ.results.submission_tracks import RESULTS_FILE, Extent, check_tracks
from vos_occ.results.submission_zip import looks_like_zip, unpack, write_zip
from vos_occ.structures.errors import InputError

Split = Path | Extents
"""What is asked for: a file or folder that says so, or for tracking benchmarks the videos themselves."""


class Check(Protocol):
    """Compares the files of a submission with the split that they answer."""

    def __call__(
        self, files: Mapping[str, Path], split: Any, report: SubmissionReport, *, allow_missing: bool = False
    ) -> None: ...


_TXT = r"(?!\.)[^/]+\.txt"
_SCALABEL_OR_BITMASK = r"(?!\.)[^/]+\.json|(?!\.)[^/]+/(?!\.)[^/]+\.png"


@dataclass(frozen=True)
class Benchmark:
    """A server and what it takes.

    Attributes:
        name: As tools call it.
        title: As people do.
        names: Regular expression of the files that it reads, by their place in the zip.
        wanted: The same in words.
        check: Looks into them.
        single: The name of the one file that it takes, None where it takes many.
        folder: Where in the folder of a run the files are.
        tracking: Whether its videos are folders of pictures, and the split can be given as what is known of them.
    """

    name: str
    title: str
    names: str
    wanted: str
    check: Check = field(repr=False)
    single: str | None = None
    folder: str = ""
    tracking: bool = False


def check_submission(
    benchmark: Benchmark, path: str | Path, split: str | Split, *, allow_missing: bool = False
) -> SubmissionReport:
    """Everything that is wrong with a submission.

    Args:
        benchmark: from `BENCHMARKS`.
        path: the zip, what is to be zipped, or a folder that holds it.
        split: what describes the videos that are asked for: for YouTube-VIS and OVIS the split's json, for tracking
            benchmarks labels or a seqmap, or what is known of the videos.
        allow_missing: videos without results are a warning.

    Raises:
        InputError: there is nothing at `path`.
        SchemaError: the split's file cannot be read.
    """
    with _opened(benchmark, Path(path), split, allow_missing) as (_, report):
        return report


def pack_submission(
    benchmark: Benchmark,
    path: str | Path,
    split: str | Split,
    out: str | Path,
    *,
    allow_missing: bool = False,
    overwrite: bool = False,
) -> SubmissionReport:
    """Checks as `check_submission`, and writes the zip if nothing is wrong; equal results give equal bytes.

    Raises:
        InputError: there is nothing at `path`.
        SchemaError: the split's file cannot be read.
        OutputExistsError: `out` exists and `overwrite` is off.
    """
    require_new(out, overwrite, folder=False)
    with _opened(benchmark, Path(path), split, allow_missing) as (files, report):
        if report.accepted:
            write_zip(files, out, overwrite)
        return report


@contextmanager
def _opened(
    benchmark: Benchmark, path: Path, split: str | Split, allow_missing: bool
) -> Iterator[tuple[Mapping[str, Path], SubmissionReport]]:
    """The files of a submission, unpacked where they are zipped, and what is wrong with them."""
    report = SubmissionReport()
    with TemporaryDirectory(prefix="submission-") as folder:
        files = _files(benchmark, path, Path(folder), report)
        if files:
            asked = Path(split) if isinstance(split, str) else split
            benchmark.check(files, asked, report, allow_missing=allow_missing)
        elif report.accepted:
            report.defect("no results", f"'{path}' holds no {benchmark.wanted}. {benchmark.title} takes these.")
        yield files, report


def _files(benchmark: Benchmark, path: Path, folder: Path, report: SubmissionReport) -> dict[str, Path]:
    if path.is_dir():
        return _files_in(path / benchmark.folder if (path / benchmark.folder).is_dir() else path, benchmark)
    if not path.is_file():
        raise InputError(f"There is no file '{path}'. Give the results, or their zip.")
    if looks_like_zip(path):
        return unpack(path, benchmark.names, folder, report)
    return {benchmark.single or path.name: path}


def _files_in(folder: Path, benchmark: Benchmark) -> dict[str, Path]:
    if benchmark.single is not None and (folder / benchmark.single).is_file():
        return {benchmark.single: folder / benchmark.single}
    found = sorted(path for pattern in ("*", "*/*") for path in folder.glob(pattern) if path.is_file())
    named = {path.relative_to(folder).as_posix(): path for path in found}
    return {name: path for name, path in named.items() if re.fullmatch(benchmark.names, name)}


def _text(rules: MotsRules, title: str) -> Benchmark:
    """A server of MOTS text files."""
    check = partial(check_mots_text, rules=rules)
    return Benchmark(rules.name, title, _TXT, "text file (NAME.txt)", check, folder="txt", tracking=True)


def _tracks(name: str, extent: Extent) -> Benchmark:
    """A server of YouTube-VIS' kind: one results.json of tracks."""
    check = partial(check_tracks, extent=extent)
    return Benchmark(name, extent.title, re.escape(RESULTS_FILE), RESULTS_FILE, check, single=RESULTS_FILE)


# Source: docs/sources.md, trackers 6.1. How many long videos 2022 adds to 2021 is not certain.
BENCHMARKS: Mapping[str, Benchmark] = {
    benchmark.name: benchmark
    for benchmark in (
        _tracks("ytvis19", Extent("YouTube-VIS 2019", 40, "sedan", {"train": 2238, "valid": 302, "test": 343})),
        _tracks("ytvis21", Extent("YouTube-VIS 2021", 40, "flying_disc", {"train": 2985, "valid": 421, "test": 453})),
        _tracks("ytvis22", Extent("YouTube-VIS 2022", 40, "flying_disc")),
        _tracks("ovis", Extent("OVIS", 25, "Poultry", {"train": 607, "valid": 140, "test": 154})),
        _text(KITTI, "KITTI MOTS"),
        _text(CHALLENGE, "MOTSChallenge"),
        Benchmark(
            "bdd100k",
            "BDD100K",
            _SCALABEL_OR_BITMASK,
            "Scalabel file (seg_track.json) and no bitmasks (VIDEO/FRAME.png)",
            check_seg_track,
            single=SEG_TRACK_FILE,
            tracking=True,
        ),
    )
}
