"""What the library logs and warns of, as lines of a command: no times, levels, file names or source."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

OURS = tuple(Path(__file__).parents[2] / package for package in ("vos_occ", "eval"))


@contextmanager
def warnings_as_lines(program: str) -> Iterator[None]:
    """Shows them on stderr as `program: message`; what other packages warn of stays as it is."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(f"{program}: %(message)s"))
    logger = logging.getLogger("vos_occ")
    logger.addHandler(handler)
    others = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], filename: str, *more: Any, **named: Any) -> None:
        if any(Path(filename).is_relative_to(package) for package in OURS):
            print(f"{program}: {message}", file=sys.stderr)
        else:
            others(message, category, filename, *more, **named)

    try:
        with warnings.catch_warnings():
            warnings.showwarning = show
            yield
    finally:
        logger.removeHandler(handler)
