"""Drops what the mm* stack says while it is imported: known lines, by their text, and nothing else."""

from __future__ import annotations

import contextlib
import io
import sys
import warnings
from collections.abc import Iterator, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import TextIO

WARNINGS = (
    # mmdet.evaluation, about a metric that is not used here; using it raises an error of its own
    (r"faster_coco_eval is not installed", UserWarning),
    # mmcv.cnn, importing its own class from where it used to be
    (r"``MultiScaleDeformableAttention`` has been moved", ImportWarning),
    # mmdet's track head, reading its own sampler by an old name at every training step
    (r"DeprecationWarning: (pos_)?bboxes is deprecated", UserWarning),
    # official mmengine, through setuptools
    (r"pkg_resources is deprecated as an API", UserWarning),
)
"""(start of the message as a regular expression, category)."""

PRINTING_MODULES = ("mmdet.datasets", "mmdet.datasets.transforms")
"""Modules that print a notice to stdout when imported, where it would mix with a program's own output."""

PRINTED_LINES = ("Could not import OneDL. Skipping OneDL datasets.",)


def silence() -> None:
    """Install the filters, once. Filters that a program sets later take precedence, as always in Python."""
    for message, category in WARNINGS:
        warnings.filterwarnings("ignore", message=message, category=category)
    if not any(isinstance(finder, QuietFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, QuietFinder())


class QuietFinder(MetaPathFinder):
    """Finds the printing modules as Python itself would, and wraps their loader."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Answer for the printing modules only."""
        if fullname not in PRINTING_MODULES:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = QuietLoader(spec.loader)
        return spec


class QuietLoader(Loader):
    """Runs another loader with the known lines taken out of stdout.

    Everything else that the other loader offers (`get_source`, `get_filename`, ...) is passed through, for tracebacks
    and for tools that inspect modules.
    """

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> object:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """As the wrapped loader does."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """As the wrapped loader does, quietly."""
        with _without_printed_lines():
            self._loader.exec_module(module)


class _LineFilter(io.TextIOBase):
    """A text stream that hands whole lines on to another, except the known ones."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._partial = ""

    def write(self, text: str) -> int:
        *lines, self._partial = (self._partial + text).split("\n")
        for line in lines:
            if line not in PRINTED_LINES:
                self._stream.write(line + "\n")
        return len(text)

    def finish(self) -> None:
        """Hand on a last line that has no end."""
        self._stream.write(self._partial)
        self._partial = ""


@contextlib.contextmanager
def _without_printed_lines() -> Iterator[None]:
    stream = _LineFilter(sys.stdout)
    with contextlib.redirect_stdout(stream):
        try:
            yield
        finally:
            stream.finish()
