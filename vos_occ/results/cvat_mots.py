"""CVAT's "MOTS PNG 1.0": a zip with a 16-bit PNG per frame and the names of the classes, to upload to a task.

    default/instances/labels.txt           names of classes 1, 2, ...
    default/instances/frame_000000.png     pixel = class * 1000 + instance, 0 background

Decoded by `eval.readers.mots_videos`. Facts: docs.cvat.ai, "MOTS PNG"; cvat 2.x formats/mots.py, which takes the part
after the class for the id of a track and makes polygons of its masks; datumaro, data_formats/mots.py.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from types import TracebackType

from vos_occ.results.mots_objects import MotsIds
from vos_occ.results.mots_png import mots_pixels
from vos_occ.results.output import FrameOrder, reported, require_new, whole_file
from vos_occ.results.png_folder import encode_png
from vos_occ.results.submission_zip import zip_member
from vos_occ.structures.errors import InputError
from vos_occ.structures.frame_result import FrameResult

_FOLDER = "default/instances"


class CvatMotsWriter:
    """Writes the zip of one task. It appears when it is closed, whole.

    As in MOTS images a pixel holds one object: where masks overlap, the higher score wins; and a track keeps the class
    of its first frame. The task must have labels of the classes' names.

    Args:
        path: the zip.
        classes: names by label.
        names: of the task's pictures by frame index, with or without suffix; None: `frame_000000` and so on, as CVAT
            calls the frames of a video.
        overwrite: replace an existing file.

    Raises:
        OutputExistsError: on construction, if the file exists and `overwrite` is False.
        InputError: on construction, if the name of a class cannot be a line of text.
    """

    def __init__(
        self, path: str | Path, classes: Sequence[str], *, names: Sequence[str] | None = None, overwrite: bool = False
    ) -> None:
        require_new(path, overwrite, folder=False)
        if bad := [name for name in classes if not name.strip() or name != " ".join(name.splitlines()).strip()]:
            raise InputError(f"{bad[0]!r} cannot be the name of a class of CVAT: it is a line of text. Rename it.")
        self.path = Path(path)
        self._classes, self._names = list(classes), names
        self._ids = MotsIds("MOTS PNG", list(range(1, len(classes) + 1)))
        self._order = FrameOrder()
        self._stack = ExitStack()
        self._zip: zipfile.ZipFile | None = None
        self._closed = False

    def __enter__(self) -> CvatMotsWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        elif not self._closed:
            self._closed = True
            self._stack.__exit__(kind, error, trace)

    def __repr__(self) -> str:
        return f"CvatMotsWriter({str(self.path)!r})"

    def write(self, result: FrameResult) -> None:
        """Add one frame; frames without objects may be left out.

        Raises:
            InputError: if a track id or label does not fit, or there are more frames than names.
            ValueError: if the frame does not come after the one before, or the file is closed.
        """
        if self._closed:
            raise ValueError(f"'{self.path}' is closed.")
        self._order.advance(result.frame_index)
        name = f"{_FOLDER}/{self._name(result.frame_index)}.png"
        data = encode_png(mots_pixels(result, self._ids))
        with reported(self.path):
            self._open().writestr(zip_member(name), data)

    def close(self) -> None:
        """Write the file, also one without frames. Closing twice is harmless."""
        if not self._closed:
            with self._stack:
                text = "".join(f"{name}\n" for name in self._classes)
                self._open().writestr(zip_member(f"{_FOLDER}/labels.txt"), text)
                self._closed = True

    def _name(self, frame_index: int) -> str:
        if self._names is None:
            return f"frame_{frame_index:06d}"
        if frame_index >= len(self._names):
            raise InputError(f"Frame {frame_index} has no name, {len(self._names)} are given. Give one per frame.")
        return PurePosixPath(self._names[frame_index]).with_suffix("").as_posix()

    def _open(self) -> zipfile.ZipFile:
        if self._zip is None:
            part = self._stack.enter_context(whole_file(self.path))
            with reported(self.path, part):
                self._zip = self._stack.enter_context(zipfile.ZipFile(part, "w"))
        return self._zip
